//! Names of the ledger's objects: `ledger/<epoch>/<thousand>/<sequence>.jsonl.zst`.
//!
//! Every number has a fixed width, so that the order of names is the order of segments, and there is one name for one
//! place. A folder holds 1,024 segments; once it is full it may also hold `bundle.jsonl.zst`.

use serde::{Deserialize, Serialize};

use crate::store::{StoreKey, StoreKeyError};

/// Segments in one folder.
pub const FOLDER: u64 = 1024;
/// The highest sequence that ten digits can say.
pub const MAX_SEQUENCE: u64 = 9_999_999_999;
/// The highest epoch that six digits can say.
pub const MAX_EPOCH: u32 = 999_999;
/// The first epoch of every archive.
pub const FIRST_EPOCH: u32 = 1;
/// The folder that holds the ledger of a store.
const ROOT: &str = "ledger";

/// A segment's place: epoch first, then sequence.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Position {
    /// The epoch, from 1.
    pub epoch: u32,
    /// The sequence within the epoch, from 0.
    pub sequence: u64,
}

impl Position {
    /// Where every ledger begins.
    pub const GENESIS: Self = Self { epoch: FIRST_EPOCH, sequence: 0 };

    /// The next place of the same epoch.
    #[must_use]
    pub fn next(self) -> Self {
        Self { sequence: self.sequence.saturating_add(1), ..self }
    }

    /// The folder it lies in.
    #[must_use]
    pub fn folder(self) -> Folder {
        Folder { epoch: self.epoch, number: self.sequence / FOLDER }
    }

    /// The name of the segment as text.
    #[must_use]
    pub fn name(self) -> String {
        let Self { epoch, sequence } = self;
        format!("{ROOT}/{epoch:06}/{:07}/{sequence:010}.jsonl.zst", sequence / FOLDER)
    }

    /// The name of the segment.
    ///
    /// # Errors
    /// Never in practice: digits and slashes make a good name.
    pub fn key(self) -> Result<StoreKey, StoreKeyError> {
        StoreKey::parse(&self.name())
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "segment {} of epoch {}", self.sequence, self.epoch)
    }
}

/// 1,024 places of one epoch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Folder {
    /// The epoch.
    pub epoch: u32,
    /// Its number in the epoch, from 0.
    pub number: u64,
}

impl Folder {
    /// Its first place.
    #[must_use]
    pub fn first(self) -> Position {
        Position { epoch: self.epoch, sequence: self.number.saturating_mul(FOLDER) }
    }

    /// Its last place.
    #[must_use]
    pub fn last(self) -> Position {
        Position { epoch: self.epoch, sequence: self.number.saturating_mul(FOLDER).saturating_add(FOLDER - 1) }
    }

    /// The name of its bundle.
    ///
    /// # Errors
    /// As [`Position::key`].
    pub fn bundle_key(self) -> Result<StoreKey, StoreKeyError> {
        StoreKey::parse(&format!("{ROOT}/{:06}/{:07}/bundle.jsonl.zst", self.epoch, self.number))
    }
}

/// What an object's name says that it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LedgerObject {
    /// A segment.
    Segment(Position),
    /// The bundle of a folder.
    Bundle(Folder),
}

/// What an object's name says that it is; `None` for a name that Vellum gives to nothing.
#[must_use]
pub fn read_name(key: &StoreKey) -> Option<LedgerObject> {
    let mut parts = key.as_str().split('/');
    let (Some(ROOT), Some(epoch), Some(folder), Some(file), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let epoch: u32 = epoch.parse().ok()?;
    let (object, name) = match file.strip_suffix(".jsonl.zst")? {
        "bundle" => {
            let folder = Folder { epoch, number: folder.parse().ok()? };
            (LedgerObject::Bundle(folder), folder.bundle_key())
        }
        sequence => {
            let position = Position { epoch, sequence: sequence.parse().ok()? };
            (LedgerObject::Segment(position), position.key())
        }
    };
    (name.as_ref() == Ok(key)).then_some(object)
}

/// The folder of the whole ledger.
///
/// # Errors
/// As [`Position::key`].
pub(super) fn root_key() -> Result<StoreKey, StoreKeyError> {
    StoreKey::parse(ROOT)
}

/// The folder of an epoch.
///
/// # Errors
/// As [`Position::key`].
pub(super) fn epoch_key(epoch: u32) -> Result<StoreKey, StoreKeyError> {
    StoreKey::parse(&format!("{ROOT}/{epoch:06}"))
}

/// A name that sorts after everything of an epoch and before everything of the next: `~` follows all letters.
///
/// # Errors
/// As [`Position::key`].
pub(super) fn after_epoch_key(epoch: u32) -> Result<StoreKey, StoreKeyError> {
    StoreKey::parse(&format!("{ROOT}/{epoch:06}/~"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_fixed_widths_and_sort_like_their_places() {
        let place = |epoch, sequence| Position { epoch, sequence };
        assert_eq!(place(1, 0).key().unwrap().as_str(), "ledger/000001/0000000/0000000000.jsonl.zst");
        assert_eq!(place(12, 2049).key().unwrap().as_str(), "ledger/000012/0000002/0000002049.jsonl.zst");
        let places =
            [place(1, 0), place(1, 9), place(1, 10), place(1, 1023), place(1, 1024), place(2, 0), place(10, 5)];
        let keys: Vec<StoreKey> = places.iter().map(|place| place.key().unwrap()).collect();
        assert!(keys.is_sorted());
        for (place, key) in places.into_iter().zip(&keys) {
            assert_eq!(read_name(key), Some(LedgerObject::Segment(place)));
        }
        let bundle = place(1, 1023).folder().bundle_key().unwrap();
        assert_eq!(bundle.as_str(), "ledger/000001/0000000/bundle.jsonl.zst");
        assert!(keys[3] < bundle && bundle < keys[4] && keys[4] < after_epoch_key(1).unwrap());
        assert!(after_epoch_key(1).unwrap() < keys[5]);
    }

    #[test]
    fn a_place_has_one_name() {
        for bad in [
            "ledger/1/0000000/0000000000.jsonl.zst",
            "ledger/000001/0000001/0000000000.jsonl.zst",
            "ledger/000001/0000000/00000000000.jsonl.zst",
            "ledger/000001/0000000/0000000000.jsonl",
            "ledger/000001/0000000/0000000000.jsonl.zst/x",
            "ledger/000001/bundle.jsonl.zst",
            "studies/000001/0000000/0000000000.jsonl.zst",
        ] {
            assert_eq!(read_name(&StoreKey::parse(bad).unwrap()), None, "{bad}");
        }
    }
}
