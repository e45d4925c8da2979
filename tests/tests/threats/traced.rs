//! A server whose system calls are written down: what it opens, makes, connects to and starts.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use system_tests::vellum::{DataFolder, Server};

/// A server with strace attached to it.
pub struct Traced {
    pub server: Server,
    strace: Child,
    log: PathBuf,
}

/// Starts a server and attaches strace; `None`, said, where that cannot be done here.
pub fn serve(data: &DataFolder) -> Option<Traced> {
    let server = data.serve();
    let log = data.path().with_extension("strace");
    let started = Command::new("strace")
        .args(["-f", "-y", "-s", "4096", "-e", "trace=%file,connect,execve,ftruncate", "-o"])
        .arg(&log)
        .args(["-p", &server.pid().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut strace) = started else {
        eprintln!("SKIPPED: there is no strace");
        return None;
    };
    let mut lines = BufReader::new(strace.stderr.take().expect("a pipe")).lines();
    let attached = lines.by_ref().map_while(Result::ok).any(|line| line.contains("attached"));
    if !attached {
        let _ended = strace.wait();
        eprintln!("SKIPPED: strace may not attach to a process here");
        return None;
    }
    // The rest is read, so that strace never waits for somebody who reads.
    std::thread::spawn(move || lines.for_each(drop));
    Some(Traced { server, strace, log })
}

impl Traced {
    /// Stops the server; everything that was written down.
    pub fn stop(mut self) -> Calls {
        assert_eq!(self.server.stop(), 0);
        let _ended = self.strace.wait();
        Calls(std::fs::read_to_string(&self.log).expect("what strace wrote"))
    }
}

/// System calls, one a line.
pub struct Calls(pub String);

impl Calls {
    /// Lines of these calls.
    pub fn of<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a str> {
        self.0.lines().filter(|line| {
            let call = line.split_once(' ').map_or(*line, |(_pid, call)| call.trim_start());
            names.iter().any(|name| call.starts_with(&format!("{name}(")))
        })
    }

    /// Every path that something was made, changed, renamed or deleted at.
    pub fn changed(&self) -> Vec<PathBuf> {
        let opened = self.of(&["open", "openat", "creat"]);
        let opened =
            opened.filter(|line| ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"].iter().any(|flag| line.contains(flag)));
        let others = self.of(&[
            "mkdir",
            "mkdirat",
            "rename",
            "renameat",
            "renameat2",
            "link",
            "linkat",
            "symlink",
            "symlinkat",
            "unlink",
            "unlinkat",
            "rmdir",
            "truncate",
            "chmod",
            "fchmodat",
            "mknod",
            "mknodat",
        ]);
        opened.chain(others).flat_map(paths_of).collect()
    }
}

/// The paths in a call, those relative to a folder with it.
fn paths_of(line: &str) -> Vec<PathBuf> {
    let mut base = PathBuf::new();
    let mut paths = Vec::new();
    for (index, piece) in line.split('"').enumerate() {
        if index % 2 == 1 {
            paths.push(base.join(piece));
        } else {
            // `-y` writes `AT_FDCWD</current/folder>` or `3</a/folder>` before a relative path.
            let named =
                piece.rsplit_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(path, _)| Path::new(path));
            base = named.map(Path::to_owned).unwrap_or_default();
        }
    }
    paths
}
