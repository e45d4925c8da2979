//! The switch that cuts the power of a file system: ioctl FS_IOC_SHUTDOWN, so that everything that was not synced is gone.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::peers;

/// A switch that waits to be thrown.
#[derive(Debug)]
pub struct Switch(Child);

impl Switch {
    /// For a file system; flag 1 writes its own log before (metadata without data), 2 nothing at all.
    ///
    /// # Panics
    /// When there is no Python.
    #[must_use]
    pub fn ready(mount_point: &Path, flag: u64) -> Self {
        let mut child = Command::new("python3")
            .arg(peers::script("shut_down_file_system.py"))
            .arg(mount_point)
            .arg(flag.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        Self(child)
    }

    /// Throws it.
    ///
    /// # Panics
    /// When the file system is not shut down.
    pub fn throw(mut self) {
        self.0.stdin.take().expect("a pipe").write_all(b"now\n").expect("the switch listens");
        assert!(self.0.wait().expect("the switch").success(), "the file system was not shut down");
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        // It holds the file system as long as it waits.
        let _thrown = self.0.kill();
        let _status = self.0.wait();
    }
}
