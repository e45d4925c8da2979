//! The program under test.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde_json::Value;

use crate::s3_server::S3Server;

/// How long a start may take before a test gives up; machines under load are slow, nothing is measured by it.
const START_PATIENCE: Duration = Duration::from_secs(600);

/// How often a process that is ending is looked at.
const ENDING_POLL: Duration = Duration::from_millis(10);

/// The program that cargo built beside this test.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("VELLUM_BIN") {
        return path.into();
    }
    built("vellum")
}

/// A program of the workspace that cargo built beside this test.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn built(name: &str) -> PathBuf {
    let mut folder = std::env::current_exe().expect("the test knows its own path");
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let path = folder.join(name);
    assert!(path.exists(), "{} is not built: run `cargo build` first", path.display());
    path
}

/// A data folder with a configuration.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    environment: Vec<(String, String)>,
    bucket: Option<S3Server>,
    _temporary: Option<tempfile::TempDir>,
}

impl DataFolder {
    /// A fresh folder with defaults that suit tests: ports that the system picks, JSON log. Its store is a local folder,
    /// or with `VELLUM_TEST_STORE=s3` a bucket of a server that is started for it: the same promises hold on both.
    ///
    /// # Panics
    /// When the disk fails, or a bucket is asked for and cannot be had.
    #[must_use]
    pub fn fresh() -> Self {
        Self::fresh_in(&scratch())
    }

    /// As [`DataFolder::fresh`], below a folder of the test's own choice.
    ///
    /// # Panics
    /// As there.
    #[must_use]
    pub fn fresh_in(folder: &Path) -> Self {
        let temporary = tempfile::tempdir_in(folder).expect("a temporary folder");
        let path = temporary.path().join("data");
        let wants_bucket = std::env::var_os("VELLUM_TEST_STORE").is_some_and(|store| store == "s3");
        let bucket =
            wants_bucket.then(|| S3Server::start().expect("VELLUM_TEST_STORE=s3 needs an S3-compatible server"));
        let mut environment = Self::defaults();
        for (key, value) in bucket.iter().flat_map(S3Server::environment) {
            environment.push((key.to_owned(), value));
        }
        Self { path, environment, bucket, _temporary: Some(temporary) }
    }

    /// Where the objects of its one store lie as plain files.
    #[must_use]
    pub fn store_folder(&self) -> PathBuf {
        self.bucket.as_ref().map_or_else(|| self.path.join("store"), S3Server::bucket_folder)
    }

    /// A folder at a place of the test's own, for instance on a file system of its own.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), environment: Self::defaults(), bucket: None, _temporary: None }
    }

    /// A folder elsewhere under the same configuration: with a copy of this one's files, the same archive twice.
    #[must_use]
    pub fn twin(&self, path: &Path) -> Self {
        Self { path: path.to_owned(), environment: self.environment.clone(), bucket: None, _temporary: None }
    }

    fn defaults() -> Vec<(String, String)> {
        [
            ("VELLUM_HTTP__LISTEN", "127.0.0.1:0"),
            ("VELLUM_DIMSE__LISTEN", "127.0.0.1:0"),
            ("VELLUM_LOG__FORMAT", "json"),
            ("VELLUM_JOURNAL__ALLOW_VOLATILE", "true"),
            ("VELLUM_JOURNAL__SEGMENT", "64MiB"),
            ("VELLUM_JOURNAL__SPARES", "0"),
            ("VELLUM_JOURNAL__RESERVE", "16MiB"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// Sets a key of the configuration, as `VELLUM_SECTION__KEY`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.set(key, value);
        self
    }

    /// As [`DataFolder::with`], for a folder that is in use: it counts from the next start on.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.environment.retain(|(there, _)| there != key);
        self.environment.push((key.to_owned(), value.into()));
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The program with these arguments on this folder, not started yet.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).arg("--data").arg(&self.path).envs(self.environment.clone());
        command
    }

    /// Runs a verb to its end.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        let output = self.command(arguments).stdin(Stdio::null()).output().expect("the program starts");
        Ran::from(output)
    }

    /// Starts the server and waits until it is ready.
    ///
    /// # Panics
    /// When it ends before, with what it logged.
    #[must_use]
    pub fn serve(&self) -> Server {
        Server::start(self.command(["serve"]))
    }
}

/// A folder in memory, where there is one: for what is killed and never loses power, a disk's syncs are not needed.
#[must_use]
pub fn in_memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { scratch() }
}

/// The folder for temporary files; the disk of the build, for /tmp may be in memory.
fn scratch() -> PathBuf {
    let folder = program().parent().map(|folder| folder.join("test-data")).unwrap_or_default();
    std::fs::create_dir_all(&folder).expect("a folder for temporary files");
    folder
}

/// A verb that ran.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; -1 where a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// Asserts the exit code.
    ///
    /// # Panics
    /// With everything that was printed, where it is another.
    #[must_use]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// Standard output as JSON lines.
    ///
    /// # Panics
    /// Where a line is no JSON.
    #[must_use]
    pub fn json_lines(&self) -> Vec<Value> {
        let lines = self.out.lines().filter(|line| !line.trim().is_empty());
        lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: Receiver<String>,
    seen: Vec<String>,
    /// Where HTTP listens.
    pub http: SocketAddr,
    /// Where DIMSE listens.
    pub dimse: SocketAddr,
}

impl Server {
    /// Starts a server from a command and waits until it is ready.
    ///
    /// # Panics
    /// When it ends before, with what it logged.
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut server = Self::of(child.expect("the program starts"));
        assert!(server.becomes_ready(), "no start:\n{}", server.seen.join("\n"));
        server
    }

    /// A server that was started just now; its log comes by its standard error.
    pub(crate) fn of(mut child: Child) -> Self {
        let stderr = child.stderr.take().expect("standard error is a pipe");
        let (sender, log) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { child, log, seen: Vec::new(), http: nowhere, dimse: nowhere }
    }

    /// Waits until it is ready; `false` when it ends before.
    pub(crate) fn becomes_ready(&mut self) -> bool {
        let Some(ready) = self.wait_for("ready") else { return false };
        let address = |key: &str| {
            let text = ready.pointer(&format!("/fields/{key}")).and_then(Value::as_str).expect("an address");
            text.parse().expect("an address")
        };
        (self.http, self.dimse) = (address("http"), address("dimse"));
        true
    }

    /// Waits for a log line with this message; `None` when the server ends first.
    pub fn wait_for(&mut self, message: &str) -> Option<Value> {
        loop {
            let line = self.log.recv_timeout(START_PATIENCE).ok()?;
            self.seen.push(line.clone());
            let parsed: Value = serde_json::from_str(&line).unwrap_or_default();
            if parsed.pointer("/fields/message").and_then(Value::as_str) == Some(message) {
                return Some(parsed);
            }
        }
    }

    /// Everything logged so far.
    pub fn log(&mut self) -> String {
        self.seen.extend(self.log.try_iter());
        self.seen.join("\n")
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that it ever held, in bytes (`VmHWM` of proc(5)).
    ///
    /// # Panics
    /// When it does not run any more.
    #[must_use]
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a running process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("kilobytes") * 1024
    }

    /// The beginning of DICOMweb URLs.
    #[must_use]
    pub fn dicom_web(&self) -> String {
        format!("http://{}/dicom-web", self.http)
    }

    /// Kills it as a power switch would kill the process.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn kill(mut self) {
        self.child.kill().expect("kill -9");
        let _status = self.child.wait();
    }

    /// As [`Server::kill`], and gives everything it logged until then.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn kill_and_log(&mut self) -> Vec<String> {
        self.child.kill().expect("kill -9");
        let _status = self.child.wait();
        // Ends when the pipe is empty and closed.
        self.seen.extend(self.log.iter());
        std::mem::take(&mut self.seen)
    }

    /// Waits until it ends by itself; gives the exit code and everything it logged. A server that does not end within
    /// the patience of a start has no exit code.
    pub fn ended(&mut self) -> (Option<i32>, Vec<String>) {
        while let Ok(line) = self.log.recv_timeout(START_PATIENCE) {
            self.seen.push(line);
        }
        // Its log is closed: it is ending, or it hangs.
        let mut code = None;
        for _ in 0..START_PATIENCE.as_millis() / ENDING_POLL.as_millis() {
            if let Ok(Some(status)) = self.child.try_wait() {
                code = status.code();
                break;
            }
            std::thread::sleep(ENDING_POLL);
        }
        (code, std::mem::take(&mut self.seen))
    }

    /// Stops it with SIGTERM and waits; gives the exit code.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn stop(mut self) -> i32 {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("SIGTERM");
        self.child.wait().expect("the program ends").code().unwrap_or(-1)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _status = self.child.wait();
    }
}
