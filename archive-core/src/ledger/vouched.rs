//! Vouched time: what retention counts in (docs/FORMAT.md, "Time").
//!
//! It is never ahead of what was vouched before plus the monotonic time that has passed since. A system clock that
//! jumps ahead ten years therefore moves it by nothing, and neither does one that jumps back. While no process runs,
//! vouched time stands still: it falls behind, and what falls behind disposes late, never early. It is corrected only by
//! agreement of independent sources or of people, which is not this module's to judge.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::SharedClock;

/// Trusted time of one process.
#[derive(Clone, Debug)]
pub struct Vouched {
    clock: SharedClock,
    base: Timestamp,
    since: Duration,
}

impl Vouched {
    /// Goes on from what was vouched for last, now.
    #[must_use]
    pub fn from(last: Timestamp, clock: SharedClock) -> Self {
        let since = clock.monotonic();
        Self { clock, base: last, since }
    }

    /// Trusted time now, in whole milliseconds.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let passed = self.clock.monotonic().saturating_sub(self.since);
        let moved = self.base.checked_add(passed).unwrap_or(self.base);
        milliseconds(moved).max(self.base)
    }
}

/// Cuts a time to whole milliseconds, downwards.
#[must_use]
pub(super) fn milliseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_nanosecond().div_euclid(1_000_000).try_into().unwrap_or(0)).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::clock::Clock;

    /// A clock whose calendar can be set to anything.
    #[derive(Debug, Default)]
    struct Unruly {
        monotonic: Mutex<Duration>,
        calendar: Mutex<Timestamp>,
    }

    impl Clock for Unruly {
        fn now(&self) -> Timestamp {
            *self.calendar.lock()
        }

        fn monotonic(&self) -> Duration {
            *self.monotonic.lock()
        }
    }

    #[test]
    fn i6_a_calendar_that_jumps_ten_years_moves_vouched_time_by_nothing() {
        let clock = Arc::new(Unruly::default());
        let start: Timestamp = "2030-06-01T12:00:00Z".parse().unwrap();
        let vouched = Vouched::from(start, clock.clone());
        for jump in ["2040-06-01T12:00:00Z", "1999-01-01T00:00:00Z"] {
            *clock.calendar.lock() = jump.parse().unwrap();
            assert_eq!(vouched.now(), start);
        }
        *clock.monotonic.lock() = Duration::from_micros(3_600_000_000 + 1_999);
        assert_eq!(vouched.now(), "2030-06-01T13:00:00.001Z".parse().unwrap());
    }

    #[test]
    fn i6_time_while_no_process_ran_is_not_vouched_for() {
        let clock = crate::clock::ManualClock::new();
        let start: Timestamp = "2020-01-01T00:00:00Z".parse().unwrap();
        clock.advance(Duration::from_secs(86_400));
        assert_eq!(Vouched::from(start, clock).now(), start);
    }
}
