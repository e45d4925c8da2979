//! The machine that disk and stores are used from: it counts what goes in and out, can be killed at any of it, and keeps a
//! trace by which two runs can be compared.

use std::fmt::Arguments;
use std::future::pending;
use std::sync::Arc;

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use crate::identifiers::Sha256Digest;

/// Whether what the machine dies at happens before it dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// It does not.
    Before,
    /// It does, and nobody hears of it.
    After,
}

/// What becomes of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// It is made.
    Goes,
    /// It is made, and the machine is dead.
    GoesAndDies,
    /// It is begun, and the machine is dead.
    Dies,
    /// The machine was dead before.
    Dead,
}

#[derive(Default)]
struct State {
    calls: u64,
    dies_at: Option<(u64, Effect)>,
    trace: Sha256,
    lines: Option<Vec<String>>,
}

/// A machine.
pub struct Machine {
    state: Mutex<State>,
    dead: watch::Sender<bool>,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine").field("calls", &self.calls()).field("dead", &self.is_dead()).finish()
    }
}

impl Machine {
    /// A machine that runs.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), dead: watch::Sender::new(false) })
    }

    /// It dies at the n-th call from now on, from 1.
    pub fn dies_at(&self, call: u64, effect: Effect) {
        let mut state = self.state.lock();
        state.dies_at = Some((state.calls + call.max(1), effect));
    }

    /// It dies now.
    pub fn die(&self) {
        self.dead.send_replace(true);
    }

    /// It runs again; what it was to die at is forgotten.
    pub fn start(&self) {
        self.state.lock().dies_at = None;
        self.dead.send_replace(false);
    }

    /// Whether it died.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        *self.dead.borrow()
    }

    /// Whether it is to die, and has not yet.
    #[must_use]
    pub fn is_doomed(&self) -> bool {
        self.state.lock().dies_at.is_some() && !self.is_dead()
    }

    /// Waits until it dies.
    pub async fn died(&self) {
        let mut dead = self.dead.subscribe();
        // The sender lives as long as this machine.
        let _dead = dead.wait_for(|dead| *dead).await;
    }

    /// Calls so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state.lock().calls
    }

    /// From now on the trace is kept line by line, for who looks for the first difference of two runs.
    pub fn keep_lines(&self) {
        self.state.lock().lines = Some(Vec::new());
    }

    /// The lines kept.
    #[must_use]
    pub fn take_lines(&self) -> Vec<String> {
        self.state.lock().lines.take().unwrap_or_default()
    }

    /// The digest over all that happened.
    #[must_use]
    pub fn trace(&self) -> Sha256Digest {
        Sha256Digest::from_raw(self.state.lock().trace.clone().finalize().into())
    }

    /// Notes something in the trace.
    pub fn note(&self, what: Arguments<'_>) {
        self.state.lock().note(what);
    }

    /// A call begins.
    pub(super) fn call(&self, what: Arguments<'_>) -> Fate {
        if self.is_dead() {
            return Fate::Dead;
        }
        let mut state = self.state.lock();
        state.calls += 1;
        state.note(what);
        let fate = match state.dies_at {
            Some((at, effect)) if at == state.calls => match effect {
                Effect::Before => Fate::Dies,
                Effect::After => Fate::GoesAndDies,
            },
            _ => return Fate::Goes,
        };
        state.note(format_args!("dies: {fate:?}"));
        drop(state);
        self.die();
        fate
    }

    /// A call from a machine that is dead: nobody is left who could hear of an end.
    pub(super) async fn never<T>() -> T {
        pending().await
    }
}

impl State {
    fn note(&mut self, what: Arguments<'_>) {
        let line = what.to_string();
        self.trace.update(&line);
        self.trace.update(b"\n");
        if let Some(lines) = &mut self.lines {
            lines.push(line);
        }
    }
}
