//! Names of objects.

use std::fmt;

/// The name of an object in a store: segments of `[A-Za-z0-9._~-]`, joined by `/`, at most 512 characters in all.
/// Nothing received from outside becomes part of one except through [`crate::identifiers::uid_path_component`].
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct StoreKey(String);

/// A name that no object may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a name for an object: {0:?}")]
pub struct StoreKeyError(String);

impl StoreKey {
    /// Reads a name.
    ///
    /// # Errors
    /// [`StoreKeyError`] for an empty segment, `.`, `..`, another character, or more than 512 characters.
    pub fn parse(text: &str) -> Result<Self, StoreKeyError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-');
        let segment_is_good =
            |segment: &str| !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(allowed);
        if text.len() > 512 || !text.split('/').all(segment_is_good) {
            return Err(StoreKeyError(text.chars().take(80).collect()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_climbs_out_of_its_store() {
        for bad in ["", "/", "a//b", "/a", "a/", "..", "a/../b", "./a", "a\\b", "a b", "ä", "a\0"] {
            assert!(StoreKey::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(StoreKey::parse("studies/ab/1.2.3/ff.zip").unwrap().as_str(), "studies/ab/1.2.3/ff.zip");
    }
}
