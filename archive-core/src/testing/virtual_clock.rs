//! A clock that follows tokio's paused time: whoever sleeps lets it go on.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::clock::{Clock, SharedClock};

/// Where the calendar of every simulation begins: 2026-01-01T00:00:00Z.
const BEGINNING: Timestamp = Timestamp::constant(1_767_225_600, 0);

/// The calendar of a machine. It goes on from one process to the next; the monotonic count of each process begins anew, as
/// it does on a real machine.
#[derive(Debug, Default)]
pub struct VirtualClock {
    before: Mutex<Duration>,
}

/// The clock of one process.
#[derive(Debug)]
struct OfProcess {
    machine: Arc<VirtualClock>,
    started: Instant,
    before: Duration,
}

impl VirtualClock {
    /// A clock at the beginning.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The clock of a process that starts now. To be called within a runtime whose time is paused.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this clock is tokio's paused time")]
    pub fn of_process(self: &Arc<Self>) -> SharedClock {
        Arc::new(OfProcess { machine: Arc::clone(self), started: Instant::now(), before: *self.before.lock() })
    }

    /// Calendar time since the beginning, as the last process left it.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        *self.before.lock()
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        BEGINNING.saturating_add(self.elapsed()).unwrap_or(BEGINNING)
    }

    fn monotonic(&self) -> Duration {
        self.elapsed()
    }
}

impl OfProcess {
    fn elapsed(&self) -> Duration {
        let elapsed = self.started.elapsed();
        let mut reached = self.machine.before.lock();
        *reached = (*reached).max(self.before + elapsed);
        elapsed
    }
}

impl Clock for OfProcess {
    fn now(&self) -> Timestamp {
        BEGINNING.saturating_add(self.before + self.elapsed()).unwrap_or(BEGINNING)
    }

    fn monotonic(&self) -> Duration {
        self.elapsed()
    }
}
