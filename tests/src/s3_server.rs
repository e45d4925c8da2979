//! A real S3-compatible server (`s3s-fs`) for tests, on a free port of this machine, with its files in a folder that
//! goes with it.
//!
//! The program is looked for in `VELLUM_S3_SERVER`, on `PATH`, in `~/.cargo/bin` and in `target/tools/bin` of the
//! workspace. Install it with
//! `cargo install s3s-fs --version 0.14.1 --features binary --locked --root target/tools`.

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use archive_core::store::{S3Credentials, S3Options};
use tempfile::TempDir;

const BINARY: &str = "s3s-fs";
const BUCKET: &str = "vellum";
const ACCESS_KEY: &str = "visibly-a-test-key";
const SECRET_KEY: &str = "visibly-a-test-secret";
/// The server is asked every 50 ms whether it is up, this often.
const TRIES: u32 = 400;

/// A server that runs as long as this lives, or until it is stopped.
#[derive(Debug)]
pub struct S3Server {
    program: PathBuf,
    process: Child,
    port: u16,
    folder: TempDir,
}

impl S3Server {
    /// Starts a server with one empty bucket; `None`, and a line on standard error that says so, where the program is
    /// not installed. With `VELLUM_S3_SERVER` set it must be there.
    #[must_use]
    pub fn start() -> Option<Self> {
        let Some(program) = program() else {
            eprintln!("SKIPPED: {BINARY} was not found; set VELLUM_S3_SERVER or install it (tests/src/s3_server.rs)");
            return None;
        };
        let folder = TempDir::new().unwrap();
        std::fs::create_dir_all(folder.path().join("data").join(BUCKET)).unwrap();
        std::fs::write(folder.path().join("access"), ACCESS_KEY).unwrap();
        std::fs::write(folder.path().join("secret"), format!("{SECRET_KEY}\n")).unwrap();
        // Another process may take the port between our asking and the server's: then it ends, and the next is tried.
        (0..5)
            .find_map(|_| {
                let port = free_port();
                let process = Self::start_on(port, &program, folder.path())?;
                Some((process, port))
            })
            .map(|(process, port)| Self { program, process, port, folder })
    }

    /// The server goes away; what it holds stays.
    pub fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// A server that was stopped comes back, where it was and with what it held.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        let process = Self::start_on(self.port, &self.program, self.folder.path());
        self.process = process.unwrap_or_else(|| panic!("{BINARY} did not start again on port {}", self.port));
    }

    fn start_on(port: u16, program: &Path, folder: &Path) -> Option<Child> {
        let mut process = Command::new(program)
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .args(["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY])
            .arg(folder.join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
        for _ in 0..TRIES {
            if process.try_wait().unwrap().is_some() {
                return None;
            }
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Some(process);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = process.kill();
        panic!("{} did not listen on port {port}", program.display());
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where the server keeps the objects of the bucket, as plain files of their names.
    #[must_use]
    pub fn bucket_folder(&self) -> PathBuf {
        self.folder.path().join("data").join(BUCKET)
    }

    /// How to reach the bucket.
    #[must_use]
    pub fn options(&self) -> S3Options {
        self.options_through(self.port)
    }

    /// What the program's environment says where this bucket is its store `main`, credentials included.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        self.environment_as("MAIN", self.port)
    }

    /// As [`S3Server::environment`], for a store of another name, through something else that listens on this machine.
    #[must_use]
    pub fn environment_as(&self, store: &str, port: u16) -> Vec<(String, String)> {
        let of_store = |key: &str, value: &str| (format!("VELLUM_STORES__{store}__{key}"), value.to_owned());
        vec![
            of_store("KIND", "s3"),
            of_store("ENDPOINT", &format!("http://127.0.0.1:{port}")),
            of_store("BUCKET", BUCKET),
            of_store("ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID".to_owned(), ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), SECRET_KEY.to_owned()),
        ]
    }

    /// How to reach the bucket through something else that listens on this machine.
    #[must_use]
    pub fn options_through(&self, port: u16) -> S3Options {
        let key = |name: &str| self.folder.path().join(name);
        S3Options {
            endpoint: Some(format!("http://127.0.0.1:{port}")),
            region: Some("us-east-1".to_owned()),
            allow_http: true,
            credentials: S3Credentials::Files { access_key: key("access"), secret_key: key("secret") },
            ..S3Options::bucket(BUCKET)
        }
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that nobody uses, and that the system gives nobody who asks for any (it gives those from 32768 on): a server
/// that stops finds its port free when it comes back.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Tests that run beside this one are processes of neighbouring numbers: far apart, they do not meet.
    let first = u16::try_from(std::process::id().wrapping_mul(7919) % 16384).unwrap();
    let ports = std::iter::repeat_with(|| 16384 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 16384);
    ports.take(16384).find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).expect("a free port")
}

fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("VELLUM_S3_SERVER") {
        return Some(named.into());
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin");
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo/bin"));
    let path: OsString = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(home).chain([workspace]);
    folders.map(|folder| folder.join(BINARY)).find(|program| program.is_file())
}
