//! What is to happen, and at which calls.

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

/// What happens when a call is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum What {
    /// Nothing: calls are listed.
    List,
    /// The program is killed; the call is not made.
    Kill,
    /// Half of what was to be written is written, then the program is killed.
    Tear,
    /// All calls wait until the next plan comes; `Kill` ends the program then.
    Hold,
    /// The call is not made and gives this error, by its number.
    Fail(i32),
}

/// A call by what it does and where: the name of the system call, and the place with numbers as `#` and digests as `@`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Site {
    /// As `pwrite64`.
    pub call: String,
    /// A path below the data folder, as `journal/segment-#.journal`; `socket`; or another path whole.
    pub place: String,
}

impl std::fmt::Display for Site {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{} {}", self.call, self.place)
    }
}

/// What is to happen. Counting begins when the plan is given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// What happens.
    pub what: What,
    /// At the first of so many matching calls, from 1.
    pub first: u64,
    /// And at all up to this one.
    pub last: u64,
    /// Only calls of this name match.
    pub call: Option<String>,
    /// Only calls at this place match; one that ends with `*` matches all that begin so.
    pub place: Option<String>,
}

impl Plan {
    /// Nothing but a list.
    #[must_use]
    pub const fn list() -> Self {
        Self { what: What::List, first: u64::MAX, last: u64::MAX, call: None, place: None }
    }

    /// At the n-th call whatever it is, from 1.
    #[must_use]
    pub const fn at(what: What, n: u64) -> Self {
        Self { what, first: n, last: n, call: None, place: None }
    }

    /// At the n-th call of one site.
    #[must_use]
    pub fn at_site(what: What, n: u64, site: &Site) -> Self {
        Self { call: Some(site.call.clone()), place: Some(site.place.clone()), ..Self::at(what, n) }
    }

    /// These calls at these places fail, from the n-th on, until the next plan.
    #[must_use]
    pub fn fail_from(error: Errno, n: u64, call: &str, place: &str) -> Self {
        let (call, place) = (Some(call.to_owned()), Some(place.to_owned()));
        Self { what: What::Fail(error as i32), first: n, last: u64::MAX, call, place }
    }

    /// The n-th of these calls fails, and no other.
    #[must_use]
    pub fn fail_once(error: Errno, n: u64, call: &str, place: &str) -> Self {
        Self { last: n, ..Self::fail_from(error, n, call, place) }
    }

    pub(super) fn matches(&self, site: &Site) -> bool {
        let place = |wanted: &String| match wanted.strip_suffix('*') {
            Some(beginning) => site.place.starts_with(beginning),
            None => site.place == *wanted,
        };
        self.call.as_ref().is_none_or(|call| *call == site.call) && self.place.as_ref().is_none_or(place)
    }
}
