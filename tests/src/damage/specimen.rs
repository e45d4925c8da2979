//! An archive whose files are kept in memory, so that each flip begins with all of them as they were.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use archive_core::query::QueryLevel;
use archive_core::{journal, pack};

use super::kind::{Kind, Parts, hit};
use super::look::{Looked, answers, give_back, look};
use crate::generate::{EXPLICIT, Generator, element, prefix, short, sop, text};
use crate::oracle::files_below;

/// Pixels of an instance that lies in the journal's segment, and of one that has a file of its own (bytes).
const INLINE_PIXELS: usize = 128;
const SPILLED_PIXELS: usize = 5 * 1024;
/// How often is looked whether the journal has let a segment go.
const PATIENCE: u32 = 4000;
/// As many frames as need a table of their own in a pack.
const FRAMES: usize = 300;

/// An instance as it was sent, and what else is asked of it.
#[derive(Clone, Debug)]
pub struct Instance {
    pub(super) study: String,
    pub(super) sop: String,
    pub(super) file: Vec<u8>,
    pub(super) frame: Vec<u8>,
    pub(super) header: Vec<u8>,
}

/// A byte that is flipped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flip {
    file: usize,
    at: usize,
}

/// A file that is flipped in.
#[derive(Clone, Debug)]
struct Target {
    /// Its number among the files.
    file: usize,
    name: String,
    /// Bytes that mean something; behind them may lie room that was reserved.
    length: usize,
    parts: Parts,
}

/// An archive, and what is in it.
#[derive(Debug)]
pub struct Specimen {
    kind: Kind,
    files: Vec<(PathBuf, Vec<u8>)>,
    targets: Vec<Target>,
    work: tempfile::TempDir,
    pub(super) instances: Vec<Instance>,
    pub(super) answers: Vec<(QueryLevel, String)>,
}

impl Specimen {
    /// Makes one in a folder, for flips of one kind.
    ///
    /// # Panics
    /// When the archive does not do what it should on whole files.
    pub async fn make(kind: Kind, folder: &Path, make: &mut Generator) -> Self {
        let work = tempfile::tempdir_in(folder).expect("a folder");
        let data = work.path().join("data");
        let archive = super::archive::open(&data, kind).await.expect("a new archive");
        let study = make.study();
        let mut files = make.files(&study, 0, 3, INLINE_PIXELS);
        let frames = frames(&study);
        match kind {
            Kind::Spill => files.extend(make.files(&study, 3, 1, SPILLED_PIXELS)),
            Kind::Journal | Kind::JournalMirrored => {}
            _ => files.push(frames.clone()),
        }
        let mut instances = Vec::new();
        for file in files {
            super::archive::receive(&archive, &file).await;
            let sop = if file == frames { format!("{study}.9.1") } else { sop(&file).to_owned() };
            let (frame, header) = (Vec::new(), Vec::new());
            instances.push(Instance { study: study.clone(), sop, file, frame, header });
        }
        let mut archive = archive;
        if kind.is_sealed() {
            let sealed = archive.seal(&archive_core::caller::Caller::local(), true).await.expect("it seals");
            assert!(sealed.failed.is_empty() && sealed.packs == 1, "{sealed:?}");
            archive.close().await;
            drop(archive);
            archive = super::archive::open(&data, kind).await.expect("it opens");
            // The journal must not stand in for the pack: something new begins a new segment, and the old one goes.
            let study = make.study();
            let file = make.files(&study, 0, 1, INLINE_PIXELS).remove(0);
            super::archive::receive(&archive, &file).await;
            let sop = sop(&file).to_owned();
            instances.push(Instance { study, sop, file, frame: Vec::new(), header: Vec::new() });
            let first = data.join("journal/segment-0000000001.journal");
            for _ in 0..PATIENCE {
                if !first.exists() {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            assert!(!first.exists(), "the journal still has what was sealed");
        }
        for instance in &mut instances {
            let given = give_back(&archive, instance).await.expect("it comes back");
            assert!(given.file == instance.file, "it comes back byte for byte");
            (instance.frame, instance.header) = (given.frame, given.header);
        }
        let answers = answers(&archive).await;
        archive.close().await;
        drop(archive);
        if !kind.has_catalog() {
            std::fs::remove_dir_all(data.join("catalog")).expect("the catalog");
        }
        let files = files_below(&data).into_iter().map(|path| {
            let bytes = std::fs::read(&path).expect("a file");
            (path.strip_prefix(&data).expect("below").to_owned(), bytes)
        });
        let mut specimen = Self { kind, files: files.collect(), targets: Vec::new(), work, instances, answers };
        specimen.targets = specimen.targets();
        assert!(!specimen.targets.is_empty(), "nothing to flip in");
        let whole = specimen.look_at(None).await;
        assert!(whole.refused.is_none() && whole.missing.is_empty() && whole.wrong.is_empty(), "{whole:?}");
        assert!(whole.named.is_empty() && !whole.answers_differ, "nothing is damaged yet: {whole:?}");
        specimen
    }

    /// Every byte that can be flipped.
    #[must_use]
    pub fn flips(&self) -> Vec<Flip> {
        let of = |target: &Target| {
            let file = target.file;
            (0..target.length).map(move |at| Flip { file, at })
        };
        self.targets.iter().flat_map(of).collect()
    }

    /// Flips one bit of a byte and looks.
    ///
    /// # Errors
    /// How many files, frames, headers or answers were wrong, and what does not hold, in words.
    ///
    /// # Panics
    /// When the disk fails.
    pub async fn flip(&self, flip: Flip) -> Result<(), (u64, String)> {
        let target = self.targets.iter().find(|target| target.file == flip.file).expect("a target");
        let looked = self.look_at(Some(flip)).await;
        let hit = hit(&target.parts, flip.at as u64);
        self.kind
            .judge(&target.name, &hit, &looked)
            .map_err(|why| (looked.wrong.len() as u64, format!("{}, byte {}: {why}", target.name, flip.at)))
    }

    async fn look_at(&self, flip: Option<Flip>) -> Looked {
        let data = self.work.path().join("data");
        if data.exists() {
            std::fs::remove_dir_all(&data).expect("our own folder");
        }
        for (number, (path, bytes)) in self.files.iter().enumerate() {
            let path = data.join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            match flip.filter(|flip| flip.file == number) {
                None => std::fs::write(&path, bytes).expect("a file"),
                Some(flip) => {
                    let mut bytes = bytes.clone();
                    bytes[flip.at] ^= 1 << (flip.at % 8);
                    std::fs::write(&path, bytes).expect("a file");
                }
            }
        }
        look(self, &data, self.kind).await
    }

    fn targets(&self) -> Vec<Target> {
        let wanted = |path: &str| match self.kind {
            Kind::Journal | Kind::JournalMirrored => path.starts_with("journal/segment-"),
            Kind::Spill => path.starts_with("journal/spill/"),
            Kind::Pack | Kind::PackWithCopy | Kind::PackWithoutCatalog => {
                path.starts_with("store0/studies/") && path.ends_with(".zip")
            }
            Kind::Ledger | Kind::LedgerWithoutCatalog => path.starts_with("store0/ledger/"),
            Kind::Catalog | Kind::RedbCatalog => path.starts_with("catalog/"),
        };
        let mut targets = Vec::new();
        for (number, (path, bytes)) in self.files.iter().enumerate() {
            let name = path.display().to_string();
            if wanted(&name) && !bytes.is_empty() {
                let at = self.work.path().join("looked-at");
                std::fs::write(&at, bytes).expect("a file");
                let parts = self.parts(&at, bytes.len());
                // Room that was reserved ahead is zero and means nothing.
                let length = match self.kind {
                    Kind::Journal | Kind::JournalMirrored => parts.last().map_or(0, |(range, _)| range.end as usize),
                    Kind::Catalog | Kind::RedbCatalog => {
                        bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
                    }
                    _ => bytes.len(),
                };
                targets.push(Target { file: number, name, length, parts });
            }
        }
        targets
    }

    /// Which bytes belong to which instances.
    fn parts(&self, file: &Path, length: usize) -> Parts {
        match self.kind {
            Kind::Journal | Kind::JournalMirrored => {
                let frames = journal::inspect(file).expect("a segment").map(|frame| frame.expect("a frame"));
                let of = |receipt: Option<_>| {
                    let number = receipt.map(|receipt: archive_core::identifiers::ReceiptNumber| receipt.number);
                    // Receipts count from 1, in the order in which instances were sent.
                    number.and_then(|number| usize::try_from(number).ok()?.checked_sub(1)).into_iter().collect()
                };
                frames.map(|frame| (frame.range.clone(), of(frame.receipt))).collect()
            }
            // It is the last one's.
            Kind::Spill => vec![(0..length as u64, BTreeSet::from([self.instances.len() - 1]))],
            Kind::Pack | Kind::PackWithCopy | Kind::PackWithoutCatalog => {
                let of = |member: pack::InspectedMember| {
                    let range = member.offset..member.offset + member.stored;
                    let sop = member.name.strip_suffix(".dcm");
                    let number = self.instances.iter().position(|instance| Some(instance.sop.as_str()) == sop);
                    let all = || (0..self.instances.len()).collect();
                    let hit = number.map_or_else(
                        || if member.name.starts_with("vellum/") { all() } else { BTreeSet::new() },
                        |number| BTreeSet::from([number]),
                    );
                    (range, hit)
                };
                pack::inspect(file).expect("a pack").members.into_iter().map(of).collect()
            }
            Kind::Ledger | Kind::LedgerWithoutCatalog | Kind::Catalog | Kind::RedbCatalog => Vec::new(),
        }
    }
}

/// A file with so many frames that a pack has a table of them; smooth, so that it is compressed.
fn frames(study: &str) -> Vec<u8> {
    const CLASS: &str = "1.2.840.10008.5.1.4.1.1.7.2";
    let (series, sop) = (format!("{study}.9"), format!("{study}.9.1"));
    let mut file = prefix(CLASS, &sop, EXPLICIT);
    text(&mut file, 0x0008, 0x0016, b"UI", CLASS);
    text(&mut file, 0x0008, 0x0018, b"UI", &sop);
    text(&mut file, 0x0010, 0x0010, b"PN", "TEST^FRAMES");
    text(&mut file, 0x0010, 0x0020, b"LO", "FRAMES");
    text(&mut file, 0x0020, 0x000D, b"UI", study);
    text(&mut file, 0x0020, 0x000E, b"UI", &series);
    short(&mut file, 0x0028, 0x0002, 1);
    text(&mut file, 0x0028, 0x0004, b"CS", "MONOCHROME2");
    text(&mut file, 0x0028, 0x0008, b"IS", &FRAMES.to_string());
    for (number, value) in [(0x0010, 2), (0x0011, 4), (0x0100, 8), (0x0101, 8), (0x0102, 7), (0x0103, 0)] {
        short(&mut file, 0x0028, number, value);
    }
    let pixels: Vec<u8> = (0..FRAMES * 8).map(|at| (at / 64) as u8).collect();
    element(&mut file, 0x7FE0, 0x0010, b"OB", &pixels);
    file
}
