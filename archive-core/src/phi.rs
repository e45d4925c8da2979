//! `Phi<T>`: patient data that can be neither printed nor logged.
//!
//! A name in a log file is a reportable breach, and it happens by accident: a struct that derives `Debug`, an error
//! that quotes its input. So patient data travels in a type whose `Debug` says only that it is there.

use std::fmt;

/// Patient data. `Debug` prints `Phi(…)`; there is no `Display` and no `Serialize`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Phi<T>(T);

impl<T> Phi<T> {
    /// Marks a value as patient data.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The one way out: searchable, and only for what leaves towards the caller who asked for it, or into a pack.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// As [`Phi::expose`], giving the value away.
    pub fn into_exposed(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Phi<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phi(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patient_data_does_not_print() {
        assert_eq!(format!("{:?}", Phi::new("DOE^JANE")), "Phi(…)");
    }
}
