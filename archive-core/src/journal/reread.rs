//! A live receipt read back from its commit record: for sealing, exporting and verifying, so that none of it need stay in
//! memory.

use std::io;
use std::sync::Arc;

use super::compact::read_record;
use super::entry::JournalEntry;
use super::facade::Journal;
use crate::identifiers::ReceiptNumber;
use crate::instance::HeldReceipt;
use crate::reading::ReadError;

impl Journal {
    /// The entry of a live receipt, as it was committed.
    ///
    /// # Errors
    /// [`ReadError::Local`] if the receipt is not live or its segment cannot be read, [`ReadError::Damaged`] if the record
    /// does not have its digest, neither here nor in the mirror.
    pub async fn entry(&self, receipt: ReceiptNumber) -> Result<JournalEntry, ReadError> {
        let shared = Arc::clone(&self.shared);
        let object = format!("receipt {receipt}");
        let read = crate::off_runtime::blocking(move || {
            let commit = shared.state.lock().live.get(&receipt).map(|live| live.commit);
            commit.map(|commit| read_record(&shared, commit))
        });
        let missing = || ReadError::Local {
            object: object.clone(),
            source: io::Error::new(io::ErrorKind::NotFound, "it is not in the journal (any more)"),
        };
        let damaged = || ReadError::Damaged { object: object.clone(), what: "its commit record".to_owned() };
        let ended =
            |_| ReadError::Local { object: object.clone(), source: io::Error::other("a thread of the journal ended") };
        let parts = read.await.map_err(ended)?.ok_or_else(missing)?.ok_or_else(damaged)?;
        let facts = serde_json::from_slice(&parts.facts_json).map_err(|_| damaged())?;
        Ok(JournalEntry {
            held: HeldReceipt { receipt: parts.receipt, prefix: parts.prefix },
            facts,
            shares: parts.shares,
        })
    }
}
