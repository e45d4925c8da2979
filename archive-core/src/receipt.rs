//! Receipts: one act of receiving each, with everything that a replay in ten years needs to give the same answers.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::caller::{Door, SourceKey};
use crate::identifiers::{AeTitle, ContentId, ReceiptNumber, Sha256Digest, TransferSyntaxUid};

/// Which of several versions of one instance is current, as configured when this one was received.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DuplicateRule {
    /// A source replaces what it sent itself; anyone else's different content stays beside it.
    #[default]
    SameSourceReplaces,
    /// What came first stays current.
    FirstWins,
    /// What came last becomes current.
    LatestWins,
}

/// What the configuration resolved to at the moment of receiving. It is part of the receipt, so that the answers stay
/// the same under another configuration.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Resolved {
    /// The rule on duplicates.
    pub duplicate_rule: DuplicateRule,
    /// The issuer assumed for a Patient ID that comes without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_issuer: Option<String>,
    /// The Specific Character Set (a defined term of PS3.3 §C.12.1.1.2) assumed where a data set names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assumed_charset: Option<String>,
    /// The AE title that was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_ae: Option<AeTitle>,
}

/// Digest and size of a whole file, where a file came.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct FileDigest {
    /// SHA-256 over the file.
    pub sha256: Sha256Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// One act of receiving.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Receipt {
    /// Given by the journal's writer.
    pub number: ReceiptNumber,
    /// System clock when it was received; for people, never for order.
    pub time: Timestamp,
    /// The door it came by.
    pub door: Door,
    /// Who sent it.
    pub source: SourceKey,
    /// What was received.
    pub content: ContentId,
    /// The syntax it was received in.
    pub transfer_syntax: TransferSyntaxUid,
    /// The whole file, where a file came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileDigest>,
    /// What the configuration said then.
    pub resolved: Resolved,
}
