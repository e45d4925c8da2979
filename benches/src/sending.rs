//! Sending instances by C-STORE and by STOW-RS.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;

use crate::numbers::Numbers;
use crate::requestor::Requestor;
use crate::run::{Done, Outcome, run};
use crate::shapes::{Maker, Shape};
use crate::template::{Ids, Template};
use crate::web::{Web, add_to_stow_body, end_stow_body};

/// What is sent.
#[derive(Args, Clone, Debug)]
pub struct Sending {
    /// Connections at once.
    #[arg(long, default_value_t = 1)]
    pub connections: u64,
    /// Instances to send.
    #[arg(long, default_value_t = 1000)]
    pub count: u64,
    /// End after so many seconds, whatever --count says.
    #[arg(long)]
    pub seconds: Option<u64>,
    /// What kind of instances.
    #[arg(long, value_enum, default_value = "ct")]
    pub shape: Shape,
    /// Instances of each study.
    #[arg(long, default_value_t = 100)]
    pub study_size: u64,
    /// Number of the first study.
    #[arg(long, default_value_t = 0)]
    pub first_study: u64,
    /// Instances with pixels of their own that each connection prepares; it sends them again with other UIDs.
    #[arg(long, default_value_t = 32)]
    pub prepared: u64,
    /// Seed; also part of all UIDs.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The server's process, to tell what it used.
    #[arg(long)]
    pub pid: Option<u32>,
}

/// The instances of a run, given out one after the other.
struct Queue<'a> {
    sending: &'a Sending,
    next: AtomicU64,
    begin: OnceLock<Instant>,
}

impl<'a> Queue<'a> {
    const fn of(sending: &'a Sending) -> Self {
        Self { sending, next: AtomicU64::new(0), begin: OnceLock::new() }
    }

    fn take(&self, count: u64) -> Option<Range<u64>> {
        let begin = self.begin.get_or_init(Instant::now);
        if self.sending.seconds.is_some_and(|seconds| begin.elapsed() >= Duration::from_secs(seconds)) {
            return None;
        }
        let from = self.next.fetch_add(count, Ordering::Relaxed);
        let end = if self.sending.seconds.is_some() { u64::MAX } else { self.sending.count };
        (from < end).then(|| from..(from + count).min(end))
    }
}

/// What one connection prepared.
struct Prepared<'a> {
    sending: &'a Sending,
    templates: Vec<Template>,
}

impl<'a> Prepared<'a> {
    fn by(connection: u64, sending: &'a Sending) -> Self {
        let mut maker = Maker::new(Numbers::of(sending.seed * 1000 + connection));
        let needed = sending.prepared.min(sending.count.div_ceil(sending.connections)).max(1);
        let ids = |number| Ids { run: sending.seed, study: sending.first_study, series: 0, instance: number };
        let templates = (0..needed).map(|number| maker.template(sending.shape, ids(number))).collect();
        Self { sending, templates }
    }

    /// The instance of the run with this number.
    fn instance(&mut self, number: u64) -> &Template {
        let (study, instance) = (number / self.sending.study_size, number % self.sending.study_size);
        let study = self.sending.first_study + study;
        let count = self.templates.len();
        let template = &mut self.templates[usize::try_from(number).unwrap_or(0) % count];
        template.become_instance(Ids { run: self.sending.seed, study, series: 0, instance });
        template
    }
}

/// C-STORE over one association for each connection.
pub fn store(to: &str, called: &str, sending: &Sending) -> Outcome {
    let queue = Queue::of(sending);
    run("store", sending.connections, sending.pid, |connection, begin_together| {
        let mut prepared = Prepared::by(connection, sending);
        let first = &prepared.templates[0];
        let opened = Requestor::open(to, called, first.class, first.syntax);
        begin_together();
        let mut done = Done::default();
        match opened {
            Ok(requestor) => store_all(requestor, &queue, &mut prepared, &mut done),
            Err(error) => done.failure = Some(error.to_string()),
        }
        done
    })
}

fn store_all(mut requestor: Requestor, queue: &Queue<'_>, prepared: &mut Prepared<'_>, done: &mut Done) {
    while let Some(numbers) = queue.take(1) {
        let instance = prepared.instance(numbers.start);
        let bytes = instance.data_set.len() as u64;
        let begin = Instant::now();
        match requestor.store(instance) {
            Ok(0) => {
                done.latencies.add(begin.elapsed());
                done.instances += 1;
                done.bytes += bytes;
            }
            Ok(status) => done.refuse(format!("status {status:04X}H")),
            Err(error) => {
                done.failure = Some(error.to_string());
                return;
            }
        }
    }
    if let Err(error) = requestor.release() {
        done.failure = Some(error.to_string());
    }
}

/// STOW-RS with so many instances in each request.
pub fn stow(url: &str, per_request: u64, sending: &Sending) -> Outcome {
    let queue = Queue::of(sending);
    run("stow", sending.connections, sending.pid, |connection, begin_together| {
        let mut prepared = Prepared::by(connection, sending);
        let mut web = Web::default();
        begin_together();
        let mut done = Done::default();
        let mut body = Vec::new();
        while let Some(numbers) = queue.take(per_request) {
            let instances = numbers.end - numbers.start;
            body.clear();
            for number in numbers {
                add_to_stow_body(prepared.instance(number), &mut body);
            }
            end_stow_body(&mut body);
            match web.stow(url, &body) {
                Ok(answer) if answer.status == 200 => {
                    done.latencies.add(answer.whole);
                    done.instances += instances;
                    done.bytes += body.len() as u64;
                }
                Ok(answer) => done.refuse(format!("status {}", answer.status)),
                Err(error) => {
                    done.failure = Some(error.to_string());
                    break;
                }
            }
        }
        done
    })
}
