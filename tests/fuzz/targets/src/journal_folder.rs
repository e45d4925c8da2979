//! A journal whose files were damaged, opened again: what is served is what was received, what is missing is named, and
//! what the mirror has is never lost.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use archive_core::clock::ManualClock;
use archive_core::entropy::SeededEntropy;
use archive_core::identifiers::{ArchiveId, ContentId, ReceiptNumber};
use archive_core::journal::{Journal, JournalError, JournalOptions, RealDisk, Recovered};

use crate::edits;
use crate::journal::make_good;
use crate::pieces::steer;

/// `archive-core/tests/golden/journal-1`: three receipts, one content in the segment, one in a spill file.
const FILES: [(&str, &[u8]); 2] = [
    (
        "segment-0000000001.journal",
        include_bytes!("../../../../archive-core/tests/golden/journal-1/segment-0000000001.journal"),
    ),
    (
        "spill/814dd7b9784d57c15b9c2972e9b4fd6c.bin",
        include_bytes!("../../../../archive-core/tests/golden/journal-1/spill/814dd7b9784d57c15b9c2972e9b4fd6c.bin"),
    ),
];
/// The archive whose journal it is.
const ARCHIVE: &str = "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1";
/// Numbered from 1.
const RECEIPTS: usize = 3;
/// The batch of receipt n begins n times so many bytes into the segment.
const BATCH: usize = 4096;

/// What a journal gave when it was opened: the bytes of each receipt that could be read.
#[derive(Clone, PartialEq, Debug, Default)]
struct Found {
    bytes: BTreeMap<ReceiptNumber, Vec<u8>>,
    /// Something was said about damage or loss.
    complained: bool,
}

/// One byte steers (with a whole mirror or without, checksums made good or not); the rest is a list of edits.
pub fn run(data: &[u8]) {
    let Some(([form], list)) = steer(data) else { return };
    let (mirrored, forged) = (form & 1 == 1, form & 2 == 2);
    let mut files = FILES.map(|(_, bytes)| bytes.to_vec());
    edits::apply(&mut files, list);
    if forged {
        make_good(&mut files[0], true);
    }
    let folder = tempfile::tempdir_in(base()).expect("a folder");
    let (main, mirror) = (folder.path().join("journal"), folder.path().join("mirror"));
    write(&main, files.iter().map(Vec::as_slice));
    if mirrored {
        write(&mirror, FILES.iter().map(|(_, bytes)| *bytes));
    }
    let mirror = mirrored.then_some(mirror);
    let Some(first) = open(&main, mirror.as_deref()) else { return };
    if forged {
        return;
    }
    let whole = whole();
    for (number, bytes) in &first.bytes {
        assert_eq!(Some(bytes), whole.bytes.get(number), "receipt {number} has other bytes than were received");
    }
    if mirrored {
        assert_eq!(first.bytes, whole.bytes, "the mirror has everything");
    }
    let missing = whole.bytes.keys().find(|number| !first.bytes.contains_key(number));
    if let Some(missing) = missing
        && !first.complained
    {
        // Without a mirror, an end that left no trace cannot be told from one that was never written.
        let batch = usize::try_from(missing.number).expect("short") * BATCH;
        let traces = files[0].iter().skip(batch).any(|&byte| byte != 0);
        assert!(!traces, "receipt {missing} is missing and nothing was said");
    }
    let again = open(&main, mirror.as_deref()).expect("what was recovered opens again");
    assert_eq!(again.bytes, first.bytes, "recovering twice is recovering once");
}

fn base() -> PathBuf {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() }
}

fn whole() -> &'static Found {
    static WHOLE: OnceLock<Found> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let folder = tempfile::tempdir_in(base()).expect("a folder");
        write(&folder.path().join("journal"), FILES.iter().map(|(_, bytes)| *bytes));
        let found = open(&folder.path().join("journal"), None).expect("the golden journal opens");
        assert_eq!((found.bytes.len(), found.complained), (RECEIPTS, false));
        found
    })
}

fn write<'a>(folder: &Path, files: impl Iterator<Item = &'a [u8]>) {
    std::fs::create_dir_all(folder.join("spill")).expect("a folder");
    for ((name, _), bytes) in FILES.iter().zip(files) {
        std::fs::write(folder.join(name), bytes).expect("memory");
    }
}

/// Opens a journal, reads all that it has, and shuts it down; `None` where it is refused as a whole.
fn open(folder: &Path, mirror: Option<&Path>) -> Option<Found> {
    let options = JournalOptions {
        mirror: mirror.map(Path::to_owned),
        segment_bytes: 64 * 1024,
        direct: false,
        spare_segments: 0,
        memory_bytes: 1024 * 1024,
        reserve_bytes: 0,
        allow_volatile: true,
        ..JournalOptions::new(folder.to_owned(), ArchiveId::parse(ARCHIVE).expect("an id"), 1)
    };
    let (journal, recovered) =
        match Journal::open(Arc::new(RealDisk), options, ManualClock::new(), SeededEntropy::from_seed(1)) {
            Ok(opened) => opened,
            Err(
                JournalError::NewerFormat { .. } | JournalError::OtherArchive { .. } | JournalError::LaterEpoch { .. },
            ) => {
                return None;
            }
            Err(error) => panic!("{error}"),
        };
    let found = read(&journal, &recovered);
    crate::on_a_runtime(journal.shut_down());
    Some(found)
}

fn read(journal: &Journal, recovered: &Recovered) -> Found {
    let complained = !(recovered.findings.is_empty() && recovered.lost.is_empty() && recovered.gone.is_empty());
    let mut found = Found { complained, ..Found::default() };
    for entry in &recovered.entries {
        let number = entry.number();
        let Ok(content) = journal.content(number) else { continue };
        let mut bytes = Vec::new();
        while let Ok(more) = content.read_at(bytes.len() as u64..u64::MAX) {
            if more.is_empty() {
                break;
            }
            bytes.extend_from_slice(&more);
        }
        let whole = bytes.len() as u64 == content.length();
        if whole && ContentId::of(&bytes) == entry.held.receipt.content {
            found.bytes.insert(number, bytes);
        } else {
            // Recovery said that it is whole; only a forger makes it otherwise.
            found.complained |= !whole;
        }
        let _ = (content.cut(), content.fragments_of(0));
    }
    found
}
