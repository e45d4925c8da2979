//! What goes into the journal and what comes back: one received instance.

use std::fmt;

use jiff::Timestamp;

use crate::caller::{Door, SourceKey};
use crate::dicom::cut::CutList;
use crate::identifiers::ReceiptNumber;
use crate::instance::{HeldReceipt, VersionFacts};
use crate::receipt::{FileDigest, Receipt, Resolved};

/// A receipt without its number, with everything that the commit record holds. Content id and transfer syntax of the
/// receipt are those of `facts.version`.
pub struct PendingReceipt {
    /// System clock when it was received.
    pub time: Timestamp,
    /// The door it came by.
    pub door: Door,
    /// Who sent it.
    pub source: SourceKey,
    /// The whole file, where a file came.
    pub file: Option<FileDigest>,
    /// What the configuration said.
    pub resolved: Resolved,
    /// What came before the content, as [`HeldReceipt::prefix`].
    pub prefix: Option<Vec<u8>>,
    /// What the scan found. Its `content_length` must be what was written to the intake.
    pub facts: VersionFacts,
    /// How the content is cut; its units must cover the content. Not kept where content is shared: equal bytes in the
    /// same syntax are cut the same way.
    pub cut: CutList,
    /// A live receipt of the same version whose content this one leans on; what was written to the intake is then
    /// dropped. If that receipt is not live any more, the content is journalled like new.
    pub shares: Option<ReceiptNumber>,
}

impl PendingReceipt {
    /// The receipt, with number 0:0 until the writer gives one.
    pub(super) fn receipt(&self) -> Receipt {
        Receipt {
            number: ReceiptNumber { epoch: 0, number: 0 },
            time: self.time,
            door: self.door,
            source: self.source.clone(),
            content: self.facts.version.content,
            transfer_syntax: self.facts.version.transfer_syntax.clone(),
            file: self.file,
            resolved: self.resolved.clone(),
        }
    }
}

impl fmt::Debug for PendingReceipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingReceipt")
            .field("door", &self.door)
            .field("content", &self.facts.version.content)
            .field("content_length", &self.facts.content_length)
            .field("shares", &self.shares)
            .finish_non_exhaustive()
    }
}

/// An instance that is durable in the journal.
#[derive(Clone, PartialEq)]
pub struct JournalEntry {
    /// The receipt, with its number, and the prefix that came.
    pub held: HeldReceipt,
    /// What the scan found.
    pub facts: VersionFacts,
    /// Whose content it leans on, if not on its own.
    pub shares: Option<ReceiptNumber>,
}

impl JournalEntry {
    /// The receipt's number: what the journal is asked by.
    #[must_use]
    pub const fn number(&self) -> ReceiptNumber {
        self.held.receipt.number
    }
}

impl fmt::Debug for JournalEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalEntry")
            .field("number", &self.number())
            .field("content", &self.facts.version.content)
            .field("content_length", &self.facts.content_length)
            .field("shares", &self.shares)
            .finish_non_exhaustive()
    }
}
