//! What the data folder remembers of its archive: whose it is, which store is which, and the last ledger head seen. It
//! is written before anything else of a new archive, so that a crash while it is created is finished by the next start;
//! and it is how a store that was exchanged, emptied or rolled back is noticed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::identifiers::{ArchiveId, StoreId};
use crate::ledger::Head;

/// The file's name in the data folder.
const FILE_NAME: &str = "known.json";

/// What is remembered.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Known {
    /// The archive.
    pub(super) archive: ArchiveId,
    /// Its stores, by the names that the configuration gives them.
    pub(super) stores: BTreeMap<String, StoreId>,
    /// The ledger's end when it was last looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) head: Option<Head>,
}

impl Known {
    /// Reads it; `None` in a folder that no archive uses yet.
    pub(super) fn read(data: &Path) -> std::io::Result<Option<Self>> {
        match std::fs::read(data.join(FILE_NAME)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(std::io::Error::other),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes it durably: a new file, synced, put in the place of the old one, and the folder synced.
    pub(super) fn write(&self, data: &Path) -> std::io::Result<()> {
        let staged: PathBuf = data.join("known.json.new");
        let mut file = File::create(&staged)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        std::fs::rename(&staged, data.join(FILE_NAME))?;
        File::open(data)?.sync_all()
    }
}
