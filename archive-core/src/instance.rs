//! What the archive knows of one version of one instance: the same in the journal, the overlay, a pack's index and the
//! catalog.

use serde::{Deserialize, Serialize};

use crate::dicom::attributes::Attributes;
use crate::dicom::scan::{InstanceKeys, Scan, ScanWarning};
use crate::identifiers::{ContentId, TransferSyntaxUid};
use crate::receipt::Receipt;

/// One version of an instance: equal bytes under two syntaxes are two versions.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct VersionKey {
    /// SHA-256 over the data set as it came.
    pub content: ContentId,
    /// The syntax it is in.
    pub transfer_syntax: TransferSyntaxUid,
}

/// What one scan of a version found and everyone downstream keeps; the cut list lies beside it, for it may be large.
/// The reading (character set, issuer) is that of the lowest-numbered receipt.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct VersionFacts {
    /// Where it belongs.
    pub keys: InstanceKeys,
    /// Which version.
    pub version: VersionKey,
    /// Bytes of content.
    pub content_length: u64,
    /// Fragments count in inflated space: the transfer syntax is deflated.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inflated: bool,
    /// Frames that can be told apart.
    pub frame_count: u64,
    /// What queries need.
    pub attributes: Attributes,
    /// Which scanner said so.
    pub scanner_revision: u32,
    /// What was odd.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<ScanWarning>,
}

impl VersionFacts {
    /// The facts of a scan.
    #[must_use]
    pub fn of(scan: &Scan) -> Self {
        Self {
            keys: scan.keys.clone(),
            version: VersionKey { content: scan.content, transfer_syntax: scan.transfer_syntax.clone() },
            content_length: scan.content_length,
            inflated: scan.cut.inflated,
            frame_count: scan.cut.frames.len(),
            attributes: scan.attributes.clone(),
            scanner_revision: crate::dicom::scan::SCANNER_REVISION,
            warnings: scan.warnings.clone(),
        }
    }
}

/// A receipt with the prefix that came with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldReceipt {
    /// The act of receiving.
    pub receipt: Receipt,
    /// Preamble, `DICM` and meta group as they came, at most 64 KiB; `None` for a bare data set, whose prefix is
    /// composed from the receipt ([`crate::dicom::prefix::compose`]), the same way every time. Empty where a file
    /// came without any.
    pub prefix: Option<Vec<u8>>,
}
