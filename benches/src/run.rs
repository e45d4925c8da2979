//! A run: some connections that begin together, and what they and the server did, summed up.

use std::sync::Barrier;
use std::time::Instant;

use serde_json::{Value, json};

use crate::latencies::Latencies;
use crate::process::{Usage, forget_peak};

/// What one connection did.
#[derive(Default, Debug)]
pub struct Done {
    /// Of whole operations.
    pub latencies: Latencies,
    /// Until the first byte of an answer.
    pub first_bytes: Latencies,
    /// Bytes of instances sent, or of answers.
    pub bytes: u64,
    /// Instances that were acknowledged.
    pub instances: u64,
    /// Operations that were refused.
    pub refused: u64,
    /// The first refusal.
    pub first_refusal: Option<String>,
    /// Why the connection ended early.
    pub failure: Option<String>,
}

impl Done {
    /// An operation was refused.
    pub fn refuse(&mut self, why: impl Into<String>) {
        self.refused += 1;
        self.first_refusal.get_or_insert_with(|| why.into());
    }

    fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.first_bytes.extend(other.first_bytes);
        self.bytes += other.bytes;
        self.instances += other.instances;
        self.refused += other.refused;
        self.first_refusal = self.first_refusal.take().or(other.first_refusal);
        self.failure = self.failure.take().or(other.failure);
    }
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// One line for scripts.
    pub line: Value,
    /// Nothing was refused and no connection ended early.
    pub well: bool,
}

/// Runs a thread for each connection. Each prepares itself, calls what it is given to say that it is ready, and works
/// when all are.
pub fn run(kind: &str, connections: u64, pid: Option<u32>, work: impl Fn(u64, &dyn Fn()) -> Done + Sync) -> Outcome {
    let everybody = Barrier::new(usize::try_from(connections).unwrap_or(1) + 1);
    let begin_together = || {
        everybody.wait();
    };
    let (work, begin_together) = (&work, &begin_together);
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..connections).map(|connection| scope.spawn(move || work(connection, begin_together))).collect();
        begin_together();
        pid.iter().for_each(|pid| forget_peak(*pid));
        let before = pid.map(Usage::of);
        let begin = Instant::now();
        let mut done = Done::default();
        for thread in threads {
            match thread.join() {
                Ok(one) => done.add(one),
                Err(_) => done.failure = Some("a connection's thread panicked".to_owned()),
            }
        }
        let seconds = begin.elapsed().as_secs_f64();
        let used = pid.zip(before).map(|(pid, before)| Usage::of(pid).since(before, pid));
        summed_up(kind, connections, seconds, done, used)
    })
}

fn summed_up(kind: &str, connections: u64, seconds: f64, done: Done, server: Option<Value>) -> Outcome {
    #[allow(clippy::cast_precision_loss, reason = "rates for people")]
    let rate = |count: u64| (count as f64 / seconds * 10.0).round() / 10.0;
    let well = done.refused == 0 && done.failure.is_none();
    let requests = done.latencies.count();
    let first_byte = (done.first_bytes.count() > 0).then(|| done.first_bytes.summary());
    let line = json!({
        "kind": kind,
        "connections": connections,
        "requests": requests,
        "instances": done.instances,
        "bytes": done.bytes,
        "refused": done.refused,
        "first_refusal": done.first_refusal,
        "failure": done.failure,
        "seconds": seconds,
        "instances_per_s": rate(done.instances),
        "requests_per_s": rate(requests as u64),
        "mb_per_s": rate(done.bytes) / 1e6,
        "latency_ms": done.latencies.summary(),
        "first_byte_ms": first_byte,
        "server": server,
    });
    Outcome { line, well }
}
