//! A pack that an earlier build wrote stays readable for ever (promise I15).
//!
//! `VELLUM_WRITE_GOLDEN=1 cargo test -p archive-core golden` writes one where none is; an existing one is never replaced.

use std::path::PathBuf;

use super::round_trip::gives_back;
use super::*;

fn path(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")).join(name)
}

/// A data set in Explicit VR Little Endian that any DICOM program opens: 2 × 2 pixels a frame.
fn data_set(sop: &str, frames: u16) -> Vec<Piece> {
    let mut header = Vec::new();
    let mut element = |group: u16, number: u16, vr: &[u8; 2], value: &[u8], pad: u8| {
        header.extend_from_slice(&group.to_le_bytes());
        header.extend_from_slice(&number.to_le_bytes());
        header.extend_from_slice(vr);
        header.extend_from_slice(&((value.len() + value.len() % 2) as u16).to_le_bytes());
        header.extend_from_slice(value);
        header.extend(std::iter::repeat_n(pad, value.len() % 2));
    };
    element(0x0008, 0x0016, b"UI", b"1.2.840.10008.5.1.4.1.1.7.2", 0);
    element(0x0008, 0x0018, b"UI", sop.as_bytes(), 0);
    element(0x0010, 0x0010, b"PN", b"Golden^Pack", b' ');
    element(0x0020, 0x000D, b"UI", STUDY.as_bytes(), 0);
    element(0x0020, 0x000E, b"UI", b"1.1", 0);
    element(0x0028, 0x0002, b"US", &1_u16.to_le_bytes(), 0);
    element(0x0028, 0x0004, b"CS", b"MONOCHROME2", b' ');
    element(0x0028, 0x0008, b"IS", frames.to_string().as_bytes(), b' ');
    for (number, value) in [(0x10, 2_u16), (0x11, 2), (0x100, 8), (0x101, 8), (0x102, 7), (0x103, 0)] {
        element(0x0028, number, b"US", &value.to_le_bytes(), 0);
    }
    header.extend_from_slice(b"\xE0\x7F\x10\x00OB\x00\x00");
    header.extend_from_slice(&(u32::from(frames) * 4).to_le_bytes());
    let mut pieces = vec![Piece::Header(header)];
    pieces.extend((0..frames).map(|frame| Piece::Frame(vec![frame as u8, 1, 2, 3])));
    pieces
}

/// What the golden pack holds: inline tables and tables in frames.bin, both methods, several versions and syntaxes of an
/// instance, several prefixes, a header left out, receipts only, references into inflated space.
fn versions() -> Vec<TestVersion> {
    let mut first = TestVersion::new("1.1", "1.2.1", 1, &data_set("1.2.1", 1));
    first.receive(2, Some(&prefix("another prefix")));
    first.receive(3, Some(b""));
    let many = TestVersion::new("1.1", "1.2.2", 4, &data_set("1.2.2", 300)).with_prefix(&prefix("many"));
    let again = TestVersion::new("1.1", "1.2.1", 5, &[Piece::Header(noise(1, 3000))]);
    let mut syntax = TestVersion::new("1.1", "1.2.1", 6, &data_set("1.2.1", 1));
    syntax.facts.version.transfer_syntax = TransferSyntaxUid::parse("1.2.840.10008.1.2").unwrap();
    syntax.receipts.clear();
    syntax.receive(6, None);
    let mut inflated = TestVersion::new("1.2", "hostile/../name", 1, &[Piece::Header(noise(2, 1500))]);
    inflated.facts.inflated = true;
    inflated.header = None;
    inflated.fragments = vec![Fragment { offset: 5000, length: 10_000 }];
    inflated.frames = vec![Frame { first_fragment: 0, fragment_count: 1 }];
    inflated.facts.frame_count = 1;
    let mut elsewhere = TestVersion::new("1.2", "1.2.4", 7, &data_set("1.2.4", 1)).with_prefix(&prefix("elsewhere"));
    elsewhere.has_content = false;
    vec![first, many, again, syntax, inflated, elsewhere]
}

#[tokio::test]
async fn i15_the_golden_pack_of_format_1_stays_readable() {
    if std::env::var_os("VELLUM_WRITE_GOLDEN").is_some() && !path("pack-1.zip").exists() {
        let folder = tempfile::tempdir().unwrap();
        let built = build(folder.path(), &versions());
        std::fs::create_dir_all(path("")).unwrap();
        std::fs::copy(built.path(), path("pack-1.zip")).unwrap();
        std::fs::write(path("pack-1.json"), serde_json::to_vec_pretty(&built.pack).unwrap()).unwrap();
    }
    let bytes = std::fs::read(path("pack-1.zip")).unwrap();
    let pack: PackRef = serde_json::from_slice(&std::fs::read(path("pack-1.json")).unwrap()).unwrap();
    assert_eq!(crate::identifiers::PackId::of(&bytes), pack.pack, "a golden file is never changed");
    let store = MemoryStore::named("golden");
    store.create(&pack.key().unwrap(), bytes.into()).await.unwrap();
    let reader = open(&[store], &pack).await.unwrap();
    let mut wanted = versions();
    let inflated = reader.version(4).await.unwrap().unwrap();
    assert_eq!(inflated.frame(0).await.unwrap().unwrap(), wanted[4].fragments);
    assert!(read_all(&inflated, 0..1500).await.unwrap() == wanted[4].content);
    assert_eq!(inflated.indexed().facts, wanted[4].facts);
    assert_eq!(reader.header_json(4).await.unwrap(), None);
    // What lies before it is compared whole; references into inflated space are no places in the content.
    wanted.truncate(4);
    let lines = gives_back_first(&reader, &wanted).await;
    assert_eq!(lines, 6);
}

/// Compares the first lines of a pack, through a pack that holds the same; gives how many lines there are.
async fn gives_back_first(reader: &PackReader, wanted: &[TestVersion]) -> u32 {
    for (line, wanted) in wanted.iter().enumerate() {
        let version = reader.version(line as u32).await.unwrap().unwrap();
        assert_eq!(version.indexed().receipts, wanted.receipts);
        assert_eq!(version.facts(), &wanted.facts);
        assert_eq!(version.prefix(), wanted.prefix());
        assert!(read_all(&version, 0..wanted.content.len() as u64).await.unwrap() == wanted.content);
        for (index, frame) in wanted.frames.iter().enumerate() {
            let fragment = wanted.fragments[frame.first_fragment as usize];
            assert_eq!(version.frame(index as u64).await.unwrap().unwrap(), [fragment]);
        }
        let header = reader.header_json(line as u32).await.unwrap();
        assert_eq!(header, wanted.header.clone().map(Bytes::from));
    }
    reader.lines().end
}

#[tokio::test]
async fn what_is_built_today_reads_like_the_golden_pack() {
    let folder = tempfile::tempdir().unwrap();
    let wanted: Vec<TestVersion> = versions().into_iter().filter(|version| !version.facts.inflated).collect();
    let built = build(folder.path(), &wanted);
    let store = stored("today", &built).await;
    gives_back(&open(&[store], &built.pack).await.unwrap(), &wanted).await;
}
