//! The server under [`crate::fault_at`]: started, told what happens at which call, and asked what did.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde_json::Value;

use crate::fault_at::{Plan, Site};
use crate::vellum::{DataFolder, Server, built};

/// How long an answer of the tracer, or an end, may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(600);

/// Whether a server can be traced here; says so where it cannot.
#[must_use]
pub fn can_trace() -> bool {
    let can = cfg!(all(target_os = "linux", target_arch = "x86_64"));
    if !can {
        eprintln!("SKIPPED: faults at system calls need Linux on x86-64");
    }
    can
}

/// How a server ended.
#[derive(Debug)]
pub struct End {
    /// The calls at which the plan struck.
    pub hits: Vec<Site>,
    /// `SIGKILL`, or `exit code 0`.
    pub how: String,
    /// Everything it logged.
    pub log: Vec<String>,
}

/// A running server.
#[derive(Debug)]
pub struct Traced {
    /// The server; it is a child of the tracer.
    pub server: Server,
    to: Option<ChildStdin>,
    said: Receiver<Value>,
    hits: Vec<Site>,
    how: Option<String>,
}

impl Traced {
    /// Starts `vellum serve` on a folder; the plan is in force from its first call on.
    ///
    /// # Panics
    /// When the tracer cannot be started.
    #[must_use]
    pub fn start(data: &DataFolder, plan: &Plan) -> Self {
        let serve = data.command(["serve"]);
        let mut command = Command::new(built("fault-at"));
        command.arg("--below").arg(data.path()).arg("--plan").arg(serde_json::to_string(plan).expect("a plan"));
        command.arg("--").arg(serve.get_program()).args(serve.get_args());
        for (key, value) in serve.get_envs() {
            command.env(key, value.unwrap_or_default());
        }
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the tracer starts");
        let (to, from) = (child.stdin.take(), child.stdout.take().expect("a pipe"));
        let (sender, said) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                if sender.send(serde_json::from_str(&line).expect("JSON")).is_err() {
                    return;
                }
            }
        });
        Self { server: Server::of(child), to, said, hits: Vec::new(), how: None }
    }

    /// Waits until it is ready; `false` when it ended before.
    pub fn becomes_ready(&mut self) -> bool {
        self.server.becomes_ready()
    }

    /// From now on this plan is in force; `false` when the server has ended.
    pub fn arm(&mut self, plan: &Plan) -> bool {
        self.order(&serde_json::to_string(plan).expect("a plan"), "armed").is_some()
    }

    /// The calls since the last plan, in order, where that was to list them.
    ///
    /// # Panics
    /// When the server has ended.
    pub fn list(&mut self) -> Vec<Site> {
        let list = self.order("\"list\"", "list").expect("a running server");
        serde_json::from_value(list).expect("a list")
    }

    /// Waits until the plan strikes; `None` when the server ends without.
    pub fn wait_for_hit(&mut self) -> Option<Site> {
        while self.hits.is_empty() && self.how.is_none() {
            self.take_next(PATIENCE)?;
        }
        self.hits.last().cloned()
    }

    /// Whether it still runs, as far as was heard.
    pub fn runs(&mut self) -> bool {
        while self.take_next(Duration::ZERO).is_some() {}
        self.how.is_none()
    }

    /// Kills it; what it did is told.
    #[must_use]
    pub fn kill(mut self) -> End {
        drop(self.to.take());
        self.end()
    }

    /// Asks it to end (SIGTERM).
    pub fn ask_to_stop(&mut self) {
        let _ended = self.order("\"end\"", "armed");
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    #[must_use]
    pub fn stop(mut self) -> End {
        self.ask_to_stop();
        self.end()
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn end(mut self) -> End {
        while self.how.is_none() && self.take_next(PATIENCE).is_some() {}
        let (_code, log) = self.server.ended();
        let how = self.how.take().unwrap_or_else(|| panic!("it does not end:\n{}", log.join("\n")));
        End { hits: std::mem::take(&mut self.hits), how, log }
    }

    fn order(&mut self, line: &str, answer: &str) -> Option<Value> {
        let to = self.to.as_mut()?;
        // It may have ended just now.
        writeln!(to, "{line}").and_then(|()| to.flush()).ok()?;
        loop {
            let said = self.take_next(PATIENCE)?;
            if let Some(answer) = said.get(answer) {
                return Some(answer.clone());
            }
            assert!(said.get("error").is_none(), "{said}");
        }
    }

    /// The next thing that the tracer says; `None` when it says no more, or not in time.
    fn take_next(&mut self, patience: Duration) -> Option<Value> {
        let said = self.said.recv_timeout(patience).ok()?;
        if let Some(hit) = said.get("hit") {
            self.hits.push(serde_json::from_value(hit.clone()).expect("a call"));
        }
        if let Some(how) = said.pointer("/ended/how").and_then(Value::as_str) {
            self.how = Some(how.to_owned());
        }
        Some(said)
    }
}
