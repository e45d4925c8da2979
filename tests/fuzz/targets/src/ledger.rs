//! The ledger: a segment that is accepted says of itself what is true, what was read is written and read again as the same,
//! and a ledger that was damaged is never read to its end as if nothing were.

use std::sync::OnceLock;

use archive_core::identifiers::{ArchiveId, Sha256Digest};
use archive_core::ledger::checkpoint::{Checkpoint, origin};
use archive_core::ledger::fold::{Start, Walk};
use archive_core::ledger::merkle::{Frontier, leaf_hash};
use archive_core::ledger::proof::TreeHead;
use archive_core::ledger::segment::{MAX_SEGMENT, Segment};
use archive_core::ledger::{Chain, LedgerState, Position, Recorded, find_end, verify};
use archive_core::store::{MemoryStore, SharedStore};
use serde_json::Value;

use crate::edits;
use crate::memory;
use crate::pieces::steer;

/// `archive-core/tests/golden/ledger-1`: two epochs, every kind.
const SEGMENTS: [(Position, &[u8]); 5] = [
    (
        at(1, 0),
        include_bytes!("../../../../archive-core/tests/golden/ledger-1/ledger/000001/0000000/0000000000.jsonl.zst"),
    ),
    (
        at(1, 1),
        include_bytes!("../../../../archive-core/tests/golden/ledger-1/ledger/000001/0000000/0000000001.jsonl.zst"),
    ),
    (
        at(1, 2),
        include_bytes!("../../../../archive-core/tests/golden/ledger-1/ledger/000001/0000000/0000000002.jsonl.zst"),
    ),
    (
        at(2, 0),
        include_bytes!("../../../../archive-core/tests/golden/ledger-1/ledger/000002/0000000/0000000000.jsonl.zst"),
    ),
    (
        at(2, 1),
        include_bytes!("../../../../archive-core/tests/golden/ledger-1/ledger/000002/0000000/0000000001.jsonl.zst"),
    ),
];

const fn at(epoch: u32, sequence: u64) -> Position {
    Position { epoch, sequence }
}

/// One byte steers: what the rest is.
pub fn run(data: &[u8]) {
    let Some(([form], rest)) = steer(data) else { return };
    match form % 5 {
        0 => object(rest),
        1 => text(rest),
        2 => line(rest),
        3 => note(rest),
        _ => damaged(rest),
    }
}

/// Bytes that lie where a segment is expected.
fn object(bytes: &[u8]) {
    for position in [Position::GENESIS, at(1, 1)] {
        let read = memory::within(8 * MAX_SEGMENT, || Segment::decode(position, bytes));
        if let Ok(segment) = read {
            check(&segment, position, bytes);
        }
    }
}

/// Lines of a segment, packed and given the checkpoint that they must have: what is behind the checksums is reached.
fn text(bytes: &[u8]) {
    let mut lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).collect();
    let Some(header) = lines.first().and_then(|line| serde_json::from_slice::<Value>(line).ok()) else { return };
    let checkpoint = checkpoint(&header, &lines[1..]);
    let packed = checkpoint.as_deref().map(str::as_bytes);
    lines.extend(packed);
    let mut text = lines.join(&b'\n');
    text.push(b'\n');
    let mut compressor = zstd::bulk::Compressor::new(1).expect("zstd");
    compressor.include_checksum(true).expect("zstd");
    compressor.include_contentsize(true).expect("zstd");
    let object = compressor.compress(&text).expect("memory");
    let number = |name: &str| header.get(name).and_then(Value::as_u64).unwrap_or(0);
    let position = at(u32::try_from(number("epoch")).unwrap_or(0), number("sequence"));
    if let Ok(segment) = Segment::decode(position, &object) {
        check(&segment, position, &object);
        let (again, bytes) = Segment::encode(segment.header.clone(), segment.entries.clone()).expect("it was read");
        let read = Segment::decode(position, &bytes).expect("what was written is read");
        assert_eq!(read, again, "written and read again");
        assert_eq!((read.entries, read.header), (segment.entries.clone(), segment.header.clone()));
        let mut chain = Chain::genesis(segment.header.archive.clone());
        if chain.accept(&segment).is_ok() {
            assert_eq!(position, Position::GENESIS, "only the first segment continues nothing");
            assert_eq!(chain.head().map(|head| head.tree()), Some(segment.tree()));
        }
    }
}

fn checkpoint(header: &Value, entries: &[&[u8]]) -> Option<String> {
    let archive = ArchiveId::parse(header.get("archive")?.as_str()?).ok()?;
    let subtrees: Vec<Sha256Digest> = serde_json::from_value(header.get("frontier")?.clone()).ok()?;
    let mut frontier = Frontier::of(header.get("first")?.as_u64()?, subtrees)?;
    entries.iter().for_each(|line| frontier.push(leaf_hash(line)));
    let tree = TreeHead { size: frontier.size(), root: frontier.root() };
    let note = Checkpoint::unsigned(&archive, tree).to_note();
    Some(serde_json::json!({ "checkpoint": note }).to_string())
}

/// One entry.
fn line(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(read) = Recorded::parse(text) else { return };
    assert_eq!(read.line, text, "the line is kept as it is");
    let written = Recorded::of(read.entry.clone()).expect("an entry is JSON");
    let again = Recorded::parse(&written.line).expect("what was written is read");
    assert_eq!(again.entry, read.entry, "written and read again");
    let _ = read.entry.body.studies();
}

/// A checkpoint.
fn note(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(read) = Checkpoint::parse(text) {
        assert_eq!(read.to_note(), text, "there is one way to write a checkpoint");
    }
}

fn check(segment: &Segment, position: Position, object: &[u8]) {
    assert_eq!(
        (segment.position, segment.header.epoch, segment.header.sequence),
        (position, position.epoch, position.sequence)
    );
    assert_eq!(segment.sha256, Sha256Digest::of(object));
    assert!(!segment.entries.is_empty());
    let mut frontier = Frontier::of(segment.header.first, segment.header.frontier.clone()).expect("it was checked");
    for (n, entry) in (segment.header.first..).zip(&segment.entries) {
        assert_eq!(entry.entry.n, n, "entries are numbered without a gap");
        frontier.push(leaf_hash(entry.line.as_bytes()));
    }
    assert_eq!(
        segment.tree(),
        TreeHead { size: frontier.size(), root: frontier.root() },
        "the root is that of the lines"
    );
    assert_eq!(segment.checkpoint.origin, origin(&segment.header.archive));
}

/// What is read of a ledger from beginning to end, if nothing is wrong on the way.
fn read_all(objects: &[Vec<u8>]) -> (Option<Vec<String>>, bool) {
    let store = MemoryStore::named("fuzz");
    for ((position, _), bytes) in SEGMENTS.iter().zip(objects) {
        store.damage(&position.key().expect("a name"), bytes.clone().into());
    }
    let store: SharedStore = store;
    crate::on_a_runtime(async move {
        let archive = archive();
        let report = verify(store.clone(), archive.clone(), None).await.expect("memory");
        let LedgerState::EndsAt(end) = find_end(&*store).await.expect("memory") else {
            return (None, report.findings.is_empty());
        };
        let Ok(mut walk) = Walk::begin(store, archive, Start::Genesis, end).await else {
            return (None, report.findings.is_empty());
        };
        let mut lines = Vec::new();
        loop {
            match walk.next().await {
                Ok(Some(segment)) => lines.extend(segment.entries.into_iter().map(|entry| entry.line)),
                Ok(None) => return (Some(lines), report.findings.is_empty()),
                Err(_) => return (None, report.findings.is_empty()),
            }
        }
    })
}

fn archive() -> ArchiveId {
    static ARCHIVE: OnceLock<ArchiveId> = OnceLock::new();
    ARCHIVE.get_or_init(|| Segment::decode(SEGMENTS[0].0, SEGMENTS[0].1).expect("golden").header.archive).clone()
}

/// A list of edits of the golden ledger.
fn damaged(list: &[u8]) {
    static WHOLE: OnceLock<Vec<String>> = OnceLock::new();
    let golden = SEGMENTS.map(|(_, bytes)| bytes.to_vec());
    let whole = WHOLE.get_or_init(|| match read_all(&golden) {
        (Some(lines), true) => lines,
        other => panic!("the golden ledger is whole: {other:?}"),
    });
    let mut objects = golden.clone();
    edits::apply(&mut objects, list);
    let (lines, is_clean) = read_all(&objects);
    if objects == golden {
        assert!(is_clean && lines.as_ref() == Some(whole));
    } else {
        assert!(!is_clean, "damage is found");
    }
    assert!(lines.is_none_or(|lines| lines == *whole), "nothing else than was written is read");
}
