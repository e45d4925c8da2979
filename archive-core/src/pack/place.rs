//! Where a pack lies and how its contents are named: what the ledger records and the catalog remembers.

use serde::{Deserialize, Serialize};

use crate::identifiers::{PackId, Sha256Digest, StudyUid, uid_fan_out, uid_path_component};
use crate::instance::{HeldReceipt, VersionFacts};
use crate::store::{StoreKey, StoreKeyError};

/// Where `vellum/root.json` lies in a pack, and its digest: the hook on which every byte of the pack hangs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct RootPlace {
    /// First byte of the stored form, from the start of the pack.
    pub offset: u64,
    /// Bytes; the root is stored, never compressed.
    pub length: u64,
    /// SHA-256 over them.
    pub sha256: Sha256Digest,
}

/// A pack as the ledger's `sealed` and `merged` entries name it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct PackRef {
    /// Its study.
    pub study: StudyUid,
    /// SHA-256 over its bytes.
    pub pack: PackId,
    /// Bytes.
    pub size: u64,
    /// Its root.
    pub root: RootPlace,
}

impl PackRef {
    /// The object's name: `studies/<2 hex>/<StudyInstanceUID>/<sha256>.zip`.
    ///
    /// # Errors
    /// Never in practice: [`uid_path_component`] gives only characters that a name may have.
    pub fn key(&self) -> Result<StoreKey, StoreKeyError> {
        let study = self.study.as_str();
        StoreKey::parse(&format!("studies/{}/{}/{}.zip", uid_fan_out(study), uid_path_component(study), self.pack))
    }
}

/// One line of a pack's index: a version and the receipts of it that lie in that pack.
#[derive(Clone, PartialEq, Debug)]
pub struct IndexedVersion {
    /// What it is.
    pub facts: VersionFacts,
    /// Its receipts in this pack, in the order of their numbers.
    pub receipts: Vec<HeldReceipt>,
    /// Index of the line in `vellum/index.jsonl`, from 0.
    pub line: u32,
    /// Whether the pack holds the bytes; a pack may hold receipts of a version whose bytes lie in another one.
    pub has_content: bool,
}

/// Where a sealed version lies.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct PackPlace {
    /// The pack.
    pub pack: PackRef,
    /// Line of its index, from 0.
    pub line: u32,
}
