//! Names of objects.

use std::fmt;

/// The name of an object in a store: segments of `[A-Za-z0-9._~-]` that do not begin with a dot, joined by `/`, at most
/// 512 characters in all. A local store keeps what is no object (its staging area) under names with a dot in front.
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
    /// [`StoreKeyError`] for a segment that is empty or begins with a dot, another character, a segment of more than
    /// 255 characters (file systems have no longer names), or more than 512 characters in all.
    pub fn parse(text: &str) -> Result<Self, StoreKeyError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-');
        let segment_is_good = |segment: &str| {
            (1..=255).contains(&segment.len()) && !segment.starts_with('.') && segment.bytes().all(allowed)
        };
        if text.len() > 512 || !text.split('/').all(segment_is_good) {
            return Err(StoreKeyError(text.chars().take(80).collect()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The segments, outermost folder first.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
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
        for bad in ["", "/", "a//b", "/a", "a/", "..", "a/../b", "./a", ".stage/a", "a/.b", "a\\b", "a b", "ä", "a\0"]
        {
            assert!(StoreKey::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(StoreKey::parse("studies/ab/1.2.3/ff.zip").unwrap().as_str(), "studies/ab/1.2.3/ff.zip");
    }
}
