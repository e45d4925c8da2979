//! Golden lines and golden segments: what format 1 looks like for ever (promise I15).
//!
//! `VELLUM_BLESS=1` writes them where there are none; what is there is never written again: a format that must change
//! gets a new version and golden files of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::epochs::{following, opening_of};
use super::*;
use crate::caller::{Door, SourceKey};
use crate::identifiers::{ContentId, PackId, ReceiptNumber, SopUid, StudyUid, TransferSyntaxUid};
use crate::instance::VersionKey;
use crate::ledger::entry::{After, CaseSubject, Entry, Ground, KINDS, ReceiptRanges, StoreEntry, StoreRole};
use crate::ledger::zstd_frame;
use crate::pack::PackRef;
use crate::pack::RootPlace;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/ledger-1"))
}

fn word(text: &str) -> Word {
    Word::parse(text).unwrap()
}

fn study() -> StudyUid {
    StudyUid::parse("1.2.826.0.1.3680043.2.1125.1").unwrap()
}

fn pack() -> PackRef {
    let root = RootPlace { offset: 123_456, length: 789, sha256: Sha256Digest::of(b"root") };
    PackRef { study: study(), pack: PackId::of(b"pack"), size: 130_000, root }
}

fn receipts() -> ReceiptRanges {
    let numbers = [(1, 5), (1, 6), (1, 7), (1, 12), (2, 1)];
    ReceiptRanges::covering(numbers.map(|(epoch, number)| ReceiptNumber { epoch, number }))
}

fn after() -> After {
    [(1, 12), (2, 1), (10, 3)].into()
}

fn key() -> StoreKey {
    StoreKey::parse("studies/5a/1.2.826.0.1.3680043.2.1125.1/ab.zip").unwrap()
}

fn by() -> SourceKey {
    SourceKey::new("j.archivist")
}

fn stores() -> Vec<StoreEntry> {
    vec![StoreEntry { store: store_id('1'), role: StoreRole::Home }]
}

/// One entry of every kind, those of epochs first.
fn every_kind() -> Vec<EntryBody> {
    let version = VersionKey {
        content: ContentId::of(b"content"),
        transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap(),
    };
    let id = Sha256Digest::of(b"id");
    let sop = SopUid::parse("1.2.826.0.1.3680043.2.1125.1.1.1").unwrap();
    let subject = CaseSubject {
        studies: vec![study()],
        sop: Some(sop.clone()),
        pack: Some(PackId::of(b"pack")),
        store: Some(store_id('2')),
        document: Some(id),
    };
    let (ground, store) = (Ground::Superseded, store_id('2'));
    vec![
        EntryBody::ArchiveCreated { archive: archive(), format: 1, stores: stores() },
        EntryBody::EpochOpened { epoch: 1, continues: None, program: word("vellum-0.1.0") },
        EntryBody::EpochClosed { epoch: 1, by: by() },
        EntryBody::BranchAbandoned { epoch: 1, sequence: 7, sha256: id },
        EntryBody::HomeChanged { stores: stores() },
        EntryBody::Received {
            source: SourceKey::new("CT_01"),
            door: Door::CStore,
            study: study(),
            receipts: receipts(),
            bytes: 526_336,
        },
        EntryBody::Sealed {
            pack: pack(),
            receipts: receipts(),
            versions: 4,
            after: after(),
            stores: vec![store_id('1'), store_id('2')],
        },
        EntryBody::Merged {
            pack: pack(),
            replaces: vec![PackId::of(b"one"), PackId::of(b"two")],
            versions: 4,
            after: after(),
            stores: vec![store_id('1')],
        },
        EntryBody::CaseOpened { case: id, about: word("two-patients"), subject },
        EntryBody::CaseClosed { case: id, by: by(), outcome: word("kept-both") },
        EntryBody::VersionPromoted { study: study(), sop, version, by: by(), after: after() },
        EntryBody::Copied { pack: PackId::of(b"pack"), study: study(), store: store.clone() },
        EntryBody::DeleteIntended {
            ground,
            store: store.clone(),
            study: Some(study()),
            objects: vec![key()],
            after: after(),
        },
        EntryBody::Deleted { ground, store: store.clone(), study: Some(study()), objects: vec![key()], intended: 11 },
        EntryBody::DamageFound { store: store.clone(), object: key(), part: word("root") },
        EntryBody::DamageRepaired { store, object: key() },
        EntryBody::AuditFinished { audit: word("fixity"), objects: 10, bytes: 1_000_000, findings: 1 },
        EntryBody::JobStarted { job: word("merge"), id },
        EntryBody::JobFinished { job: word("merge"), id, outcome: word("done") },
        EntryBody::ConfigChanged { stores: stores(), sha256: id },
    ]
}

fn recorded(n: u64, body: EntryBody) -> Recorded {
    let time = "2026-01-02T03:04:05.678Z".parse().unwrap();
    Recorded::of(Entry { n, time, vouched: "2026-01-02T03:04:05Z".parse().unwrap(), body }).unwrap()
}

/// A ledger of two epochs that holds every kind, and one of a later program.
fn golden_ledger() -> Vec<(Segment, Bytes)> {
    let mut bodies = every_kind();
    let closed = bodies.remove(2);
    let rest = bodies.split_off(2);
    let header = segment::Header {
        format: 1,
        archive: archive(),
        epoch: 1,
        sequence: 0,
        writer: "fedcba9876543210fedcba9876543210".to_owned(),
        first: 0,
        previous: None,
        frontier: Vec::new(),
    };
    let first = Segment::encode(header, (0..).zip(bodies).map(|(n, body)| recorded(n, body)).collect()).unwrap();
    let at = |epoch, sequence| Position { epoch, sequence };
    let second = following(&first.0, at(1, 1), rest);
    let third = following(&second.0, at(1, 2), vec![closed]);
    let fourth = following(&third.0, at(2, 0), vec![opening_of(&third.0, 2)]);
    let future: BTreeMap<String, serde_json::Value> =
        [("kind".to_owned(), "study_sung".into()), ("voices".to_owned(), 4.into())].into();
    let fifth = following(&fourth.0, at(2, 1), vec![EntryBody::Unknown(future)]);
    vec![first, second, third, fourth, fifth]
}

fn plain(object: &[u8]) -> String {
    String::from_utf8(zstd_frame::decompress(object, 1 << 20).unwrap()).unwrap()
}

fn golden_object(position: Position) -> Vec<u8> {
    std::fs::read(folder().join(position.name())).unwrap()
}

/// Writes what is not there yet. Run alone, before the others.
#[test]
fn golden_segments_are_written_once() {
    if std::env::var_os("VELLUM_BLESS").is_some() && !folder().exists() {
        let mut lines = String::new();
        for (segment, bytes) in golden_ledger() {
            let path = folder().join(segment.position.name());
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
            segment.entries.iter().for_each(|entry| lines.push_str(&format!("{}\n", entry.line)));
            std::fs::write(folder().join("root.txt"), format!("{}\n", segment.tree().root)).unwrap();
        }
        std::fs::write(folder().join("entries.jsonl"), lines).unwrap();
    }
    assert!(folder().join("root.txt").exists());
}

#[test]
fn every_kind_is_in_the_golden_ledger_and_has_one_form() {
    let kinds: Vec<String> = every_kind().iter().map(|body| body.kind().to_owned()).collect();
    assert_eq!(kinds, KINDS);
    for body in every_kind() {
        let written = recorded(3, body);
        assert_eq!(Recorded::parse(&written.line).unwrap(), written);
        assert!(written.line.contains(&format!(r#""kind":"{}""#, written.entry.body.kind())));
    }
}

/// Compared before compression: encoders of zstd differ between versions.
#[test]
fn i15_the_writer_still_writes_the_lines_of_the_golden_segments() {
    let ledger = golden_ledger();
    let mut bodies = Vec::new();
    for (segment, _) in &ledger {
        let golden = golden_object(segment.position);
        let read = Segment::decode(segment.position, &golden).unwrap();
        let written: Vec<Recorded> =
            read.entries.iter().map(|recorded| Recorded::of(recorded.entry.clone()).unwrap()).collect();
        assert_eq!(written, read.entries);
        bodies.extend(written.iter().map(|recorded| recorded.entry.body.clone()));
        let (_, bytes) = Segment::encode(read.header, written).unwrap();
        assert_eq!(plain(&bytes), plain(&golden));
    }
    for body in every_kind() {
        assert!(bodies.contains(&body), "{} is in no golden segment", body.kind());
    }
}

#[tokio::test]
async fn i15_golden_segments_stay_readable() {
    let store = MemoryStore::named("golden");
    for (segment, _) in golden_ledger() {
        let bytes = golden_object(segment.position).into();
        store.create(&segment.position.key().unwrap(), bytes).await.unwrap();
    }
    let LedgerState::EndsAt(end) = find_end(&*store).await.unwrap() else { panic!("no end") };
    assert_eq!(end, Position { epoch: 2, sequence: 1 });
    let mut entries = Entries::begin(store.clone(), archive(), Filter::default(), end).await.unwrap();
    let mut lines = String::new();
    while let Some(entry) = entries.next().await.unwrap() {
        lines.push_str(&format!("{}\n", entry.line));
    }
    assert_eq!(lines, std::fs::read_to_string(folder().join("entries.jsonl")).unwrap());
    let report = verify(store, archive(), None).await.unwrap();
    assert!(report.is_good(), "{report}");
    assert_eq!((report.summary.entries, report.summary.unknown_kinds), (22, 1));
    let head = report.summary.head.unwrap();
    assert_eq!(head.size, 22);
    assert_eq!(head.root.to_hex(), std::fs::read_to_string(folder().join("root.txt")).unwrap().trim());
}
