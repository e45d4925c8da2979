//! An entry as one line of JSON: the exact bytes that are a leaf of the Merkle tree.
//!
//! What is written has one form (the order of fields in `entry.rs`, no white space). What is read is kept as it is
//! beside its meaning, for the hash is over the bytes and not over the meaning. Reading is in two steps, so that a
//! known kind with wrong members is damage, and only an unknown kind is unknown.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::entry::{Entry, EntryBody, KINDS};
use super::merkle::leaf_hash;
use crate::identifiers::Sha256Digest;

/// An entry with the line it was read from.
#[derive(Clone, PartialEq, Debug)]
pub struct Recorded {
    /// What the line says.
    pub entry: Entry,
    /// The line as it is stored, without its line feed.
    pub line: String,
}

impl Recorded {
    /// An entry with the line it will be stored as.
    ///
    /// # Errors
    /// When the entry cannot be written as JSON; no entry made of our types is such.
    pub fn of(entry: Entry) -> Result<Self, serde_json::Error> {
        let line = serde_json::to_string(&entry)?;
        Ok(Self { entry, line })
    }

    /// Reads a line.
    ///
    /// # Errors
    /// When it is no entry, or one of a known kind with members that this kind has not.
    pub fn parse(line: &str) -> Result<Self, serde_json::Error> {
        let Members(mut members) = serde_json::from_str(line)?;
        let mut take = |name: &'static str| members.remove(name).ok_or_else(|| serde_json::Error::missing_field(name));
        let n = u64::deserialize(take("n")?)?;
        let time = Timestamp::deserialize(take("time")?)?;
        let vouched = Timestamp::deserialize(take("vouched")?)?;
        let kind =
            members.get("kind").and_then(Value::as_str).ok_or_else(|| serde_json::Error::missing_field("kind"))?;
        let body = if KINDS.contains(&kind) {
            EntryBody::deserialize(Value::Object(members.into_iter().collect()))?
        } else {
            EntryBody::Unknown(members)
        };
        Ok(Self { entry: Entry { n, time, vouched, body }, line: line.to_owned() })
    }

    /// The leaf of the Merkle tree.
    #[must_use]
    pub fn leaf(&self) -> Sha256Digest {
        leaf_hash(self.line.as_bytes())
    }
}

/// The members of a JSON object, none of them twice: two readers must never take two different values for one member.
struct Members(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member stands there twice"));
            }
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = concat!(
        r#"{"n":7,"time":"2026-01-01T00:00:00Z","vouched":"2026-01-01T00:00:00Z","#,
        r#""kind":"job_started","job":"fixity","id":"00000000000000000000000000000000000000000000000000000000000000ff"}"#
    );

    #[test]
    fn an_unknown_kind_is_kept_raw_and_a_known_kind_with_wrong_members_is_damage() {
        let unknown = LINE.replace("job_started", "study_sung");
        let read = Recorded::parse(&unknown).unwrap();
        assert_eq!(read.line, unknown);
        assert_eq!(read.entry.body.kind(), "study_sung");
        let EntryBody::Unknown(members) = &read.entry.body else { panic!("known?") };
        assert_eq!(members.get("job"), Some(&Value::from("fixity")));
        for bad in [
            LINE.replace(r#""job":"#, r#""jab":"#),
            LINE.replace("fixity", "Fixity of Jane Doe"),
            LINE.replace(r#""n":7"#, r#""n":-7"#),
            LINE.replace(r#""n":7"#, r#""n":7,"n":8"#),
            LINE.replace(r#""kind":"job_started","#, ""),
            LINE.replace("2026-01-01T", "2026-13-01T"),
            "[]".to_owned(),
            "{".repeat(10_000),
        ] {
            assert!(Recorded::parse(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn members_that_a_later_program_adds_are_read_over_and_stay_in_the_leaf() {
        let more = LINE.replace(r#""job":"#, r#""later":[1,2],"job":"#);
        let read = Recorded::parse(&more).unwrap();
        assert_eq!(read.entry, Recorded::parse(LINE).unwrap().entry);
        assert_ne!(read.leaf(), Recorded::parse(LINE).unwrap().leaf());
    }
}
