//! A made-up receipt of the journal.

use crate::caller::{Door, SourceKey};
use crate::dicom::attributes::Attributes;
use crate::dicom::scan::InstanceKeys;
use crate::identifiers::{ContentId, ReceiptNumber, SeriesUid, SopClassUid, SopUid, StudyUid, TransferSyntaxUid};
use crate::instance::{HeldReceipt, VersionFacts, VersionKey};
use crate::journal::JournalEntry;
use crate::receipt::{Receipt, Resolved};

pub(in crate::archive) fn entry(number: u64) -> JournalEntry {
    let transfer_syntax = TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap();
    let version = VersionKey { content: ContentId::of(b"x"), transfer_syntax };
    let keys = InstanceKeys {
        study: StudyUid::parse("1.2").unwrap(),
        series: SeriesUid::parse("1.2.1").unwrap(),
        sop_class: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.7").unwrap(),
        sop: SopUid::parse("1.2.3").unwrap(),
    };
    let receipt = Receipt {
        number: ReceiptNumber { epoch: 1, number },
        time: jiff::Timestamp::UNIX_EPOCH,
        door: Door::Import,
        source: SourceKey::new("CT1"),
        content: version.content,
        transfer_syntax: version.transfer_syntax.clone(),
        file: None,
        resolved: Resolved::default(),
    };
    let facts = VersionFacts {
        keys,
        version,
        content_length: 10,
        inflated: false,
        frame_count: 0,
        attributes: Attributes::default(),
        scanner_revision: 1,
        warnings: Vec::new(),
    };
    JournalEntry { held: HeldReceipt { receipt, prefix: None }, facts, shares: None }
}
