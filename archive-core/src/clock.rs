//! The clock, handed in, so that tests own time.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

/// Two clocks in one: the calendar, which people can set and which may jump, and a monotonic count, which cannot.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Calendar time as the operating system says it.
    fn now(&self) -> Timestamp;
    /// Time since some fixed moment of this process; never goes back.
    fn monotonic(&self) -> Duration;
}

/// A clock that several parts share.
pub type SharedClock = Arc<dyn Clock>;

/// The operating system's clock.
#[derive(Debug)]
pub struct SystemClock {
    started: std::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic count begins now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the operating system")]
    pub fn start() -> SharedClock {
        Arc::new(Self { started: std::time::Instant::now() })
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the operating system")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that stands still until it is told to go on.
#[derive(Debug, Default)]
pub struct ManualClock {
    elapsed: parking_lot::Mutex<Duration>,
}

impl ManualClock {
    /// A clock at 2026-01-01T00:00:00Z.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        *self.elapsed.lock() += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        let start = Timestamp::constant(1_767_225_600, 0);
        start.saturating_add(self.monotonic()).unwrap_or(start)
    }

    fn monotonic(&self) -> Duration {
        *self.elapsed.lock()
    }
}
