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
use std::time::Duration;

use archive_core::store::{S3Credentials, S3Options};
use tempfile::TempDir;

const BINARY: &str = "s3s-fs";
const BUCKET: &str = "vellum";
const ACCESS_KEY: &str = "visibly-a-test-key";
const SECRET_KEY: &str = "visibly-a-test-secret";
/// The server is asked every 50 ms whether it is up, this often.
const TRIES: u32 = 400;

/// A server that runs as long as this lives.
#[derive(Debug)]
pub struct S3Server {
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
        (0..5).find_map(|_| Self::start_on_free_port(&program, folder.path())).map(|(process, port)| Self {
            process,
            port,
            folder,
        })
    }

    fn start_on_free_port(program: &Path, folder: &Path) -> Option<(Child, u16)> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        Self::start_on(program, folder, port)
    }

    fn start_on(program: &Path, folder: &Path, port: u16) -> Option<(Child, u16)> {
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
                return Some((process, port));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = process.kill();
        panic!("{} did not listen on port {port}", program.display());
    }

    /// Ends the server; its objects stay.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn stop(&mut self) {
        self.process.kill().unwrap();
        let _status = self.process.wait().unwrap();
    }

    /// Starts it again after [`S3Server::stop`], on the same port and with the same objects.
    ///
    /// # Panics
    /// When it does not start: another process has the port by now.
    pub fn start_again(&mut self) {
        let program = program().expect("it was there before");
        let (process, _) = Self::start_on(&program, self.folder.path(), self.port).expect("the port is free");
        self.process = process;
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
        self.environment_as("MAIN")
    }

    /// As [`S3Server::environment`], for a store of another name, in capitals.
    #[must_use]
    pub fn environment_as(&self, store: &str) -> Vec<(String, String)> {
        let of_store = [
            ("KIND", "s3".to_owned()),
            ("ENDPOINT", format!("http://127.0.0.1:{}", self.port)),
            ("BUCKET", BUCKET.to_owned()),
            ("ALLOW_HTTP", "true".to_owned()),
        ];
        let of_store = of_store.map(|(key, value)| (format!("VELLUM_STORES__{store}__{key}"), value));
        let credentials = [("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)];
        let credentials = credentials.map(|(key, value)| (key.to_owned(), value.to_owned()));
        of_store.into_iter().chain(credentials).collect()
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
