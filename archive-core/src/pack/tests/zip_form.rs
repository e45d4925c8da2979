//! The outer form: names, order, methods, Zip64.

use super::*;
use crate::dicom::cut::Unit;

/// Two bytes of a little-endian field.
fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

fn double(bytes: &[u8], at: usize) -> u64 {
    word(bytes, at) | word(bytes, at + 2) << 16
}

#[test]
fn members_are_named_ordered_and_stored_as_the_format_says() {
    let folder = tempfile::tempdir().unwrap();
    let text = [Piece::Header(smooth(1, 900))];
    let first = TestVersion::new("1.1", "1.2.1", 1, &text);
    let second = TestVersion::new("1.1", "1.2.1", 2, &[Piece::Header(noise(2, 9000))]);
    let mut other_syntax = TestVersion::new("1.1", "1.2.1", 3, &text);
    other_syntax.facts.version.transfer_syntax = TransferSyntaxUid::parse("1.2.840.10008.1.2").unwrap();
    other_syntax.receipts.clear();
    other_syntax.receive(3, None);
    let hostile = TestVersion::new("1.2", "../../etc/passwd", 1, &text);
    let mut elsewhere = TestVersion::new("1.2", "1.2.9", 2, &text);
    elsewhere.has_content = false;
    let contents = [&first, &second].map(|version| version.facts.version.content.to_hex());
    let built = build(folder.path(), &[first, second, other_syntax, hostile, elsewhere]);
    let found = inspect(built.path()).unwrap();
    assert!(found.findings.is_empty(), "{found}");
    let names: Vec<&str> = found.members.iter().map(|member| member.name.as_str()).collect();
    let further = format!("1.2.1~{}.dcm", contents[1]);
    let syntax = format!("1.2.1~{}~1.2.840.10008.1.2.dcm", contents[0]);
    let hashed = format!("x-{}.dcm", &ContentId::of(b"../../etc/passwd").to_hex()[..32]);
    let tail = ["vellum/metadata.jsonl", "vellum/index.jsonl", "vellum/root.json"];
    let expected = [["README.txt", "1.2.1.dcm", &further, &syntax, &hashed].as_slice(), &tail].concat();
    assert_eq!(names, expected);
    let methods: Vec<u16> = found.members.iter().map(|member| member.method).collect();
    assert_eq!(methods, [0, 93, 0, 93, 93, 93, 93, 0], "noise does not shrink by 3 % and is stored as it is");
    assert_eq!(found.root.unwrap().0, built.pack.root);
    assert_eq!(found.pack, built.pack.pack);
}

#[test]
fn headers_say_what_every_program_can_read() {
    let folder = tempfile::tempdir().unwrap();
    let built = build(folder.path(), &[TestVersion::new("1.1", "1.2.1", 1, &[Piece::Header(smooth(1, 900))])]);
    let bytes = std::fs::read(built.path()).unwrap();
    let end = bytes.len() - 22;
    assert_eq!(double(&bytes, end), 0x0605_4B50);
    let (entries, mut at) = (word(&bytes, end + 10), double(&bytes, end + 16) as usize);
    assert_eq!(entries, 5);
    for _ in 0..entries {
        assert_eq!(double(&bytes, at), 0x0201_4B50);
        let local = double(&bytes, at + 42) as usize;
        assert_eq!(double(&bytes, local), 0x0403_4B50);
        let method = word(&bytes, at + 10);
        assert_eq!(word(&bytes, at + 6), if method == 93 { 63 } else { 20 });
        assert_eq!(word(&bytes, at + 8), 0x0800, "UTF-8, no encryption, no data descriptor");
        assert_eq!((word(&bytes, at + 12), word(&bytes, at + 14)), (0, 0x21), "1980-01-01");
        assert_eq!((word(&bytes, at + 30), word(&bytes, at + 32)), (0, 0), "no extra field, no comment");
        assert_eq!(bytes[local + 4..local + 28], bytes[at + 6..at + 30], "the local header says the same");
        at += 46 + word(&bytes, at + 28) as usize;
    }
    assert_eq!(at, end);
    let root = built.pack.root;
    let text = &bytes[root.offset as usize..(root.offset + root.length) as usize];
    assert_eq!(Sha256Digest::of(text), root.sha256);
    assert_eq!(root.offset + root.length, double(&bytes, end + 16), "the root is the last member");
    assert!(String::from_utf8_lossy(text).contains(NONCE));
}

/// A version that is cheap to make many of.
fn tiny(number: u64) -> TestVersion {
    let mut version =
        TestVersion::new("1.1", &format!("1.2.{number}"), number + 1, &[Piece::Header(vec![number as u8])]);
    version.facts.warnings.clear();
    version.facts.attributes = Attributes::default();
    version
}

#[tokio::test]
async fn i12_a_pack_of_65_600_versions_has_a_zip64_end_and_reads() {
    let folder = tempfile::tempdir().unwrap();
    let study = StudyUid::parse(STUDY).unwrap();
    let mut builder = PackBuilder::create(folder.path(), &study, NONCE.to_owned(), PackOptions::default()).unwrap();
    for number in 0..65_600 {
        tiny(number).add_to(&mut builder).unwrap();
    }
    let built = builder.finish().unwrap();
    let store = stored("only", &built).await;
    let reader = open(&[store], &built.pack).await.unwrap();
    for line in [0, 499, 500, 65_599] {
        let wanted = tiny(line.into());
        let version = reader.version(line).await.unwrap().unwrap();
        assert_eq!(version.facts(), &wanted.facts);
        assert_eq!(version.read(0..10).await.unwrap(), wanted.content);
    }
    assert!(reader.version(65_600).await.is_err());
    let bytes = std::fs::read(built.path()).unwrap();
    let end = bytes.len() - 22;
    assert_eq!(word(&bytes, end + 10), 0xFFFF);
    assert_eq!(double(&bytes, end - 20), 0x0706_4B50);
    assert_eq!(double(&bytes, end - 76 + 32), 65_604, "entries in the Zip64 end record");
    if let Some(output) = super::tools::run("bsdtar", &["-tf", built.path().to_str().unwrap()]) {
        assert_eq!(output.lines().count(), 65_604);
    }
    if let Some(output) = super::tools::run("7zz", &["l", "-ba", built.path().to_str().unwrap()]) {
        assert_eq!(output.lines().count(), 65_604);
    }
}

#[test]
fn a_member_that_stops_shrinking_after_the_sample_is_stored_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    // The sample saves a tenth of 4 MiB; that is less than 3 % of 16 MiB more.
    let mut pieces = vec![Piece::Frame(smooth(1, 400 << 10)), Piece::Frame(noise(9, 3700 << 10))];
    pieces.extend((0..4).map(|seed| Piece::Frame(noise(seed, 4 << 20))));
    let version = TestVersion::new("1.1", "1.2.1", 1, &pieces);
    let built = build(folder.path(), std::slice::from_ref(&version));
    let found = inspect(built.path()).unwrap();
    let member = &found.members[1];
    assert_eq!((member.method, member.stored), (0, version.file().len() as u64));
    let bytes = std::fs::read(built.path()).unwrap();
    let (from, to) = (member.offset as usize, (member.offset + member.stored) as usize);
    assert!(bytes[from..to] == version.file());
}

#[test]
fn each_unit_of_a_compressed_member_is_a_frame_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let pieces = [Piece::Header(smooth(1, 900)), Piece::Frame(smooth(2, 5000)), Piece::Header(smooth(3, 40))];
    let version = TestVersion::new("1.1", "1.2.1", 1, &pieces).with_prefix(&prefix("x"));
    let built = build(folder.path(), std::slice::from_ref(&version));
    let found = inspect(built.path()).unwrap();
    let bytes = std::fs::read(built.path()).unwrap();
    let member = &found.members[1];
    let mut stored = &bytes[member.offset as usize..(member.offset + member.stored) as usize];
    let lengths: Vec<u32> = version.units.iter().map(|unit: &Unit| unit.length).collect();
    for length in [vec![version.prefix().len() as u32], lengths].concat() {
        let size = zstd::zstd_safe::find_frame_compressed_size(stored).unwrap();
        assert_eq!(zstd::zstd_safe::get_frame_content_size(stored).unwrap(), Some(length.into()), "pledged size");
        assert_ne!(stored[4] & 0b100, 0, "content checksum");
        stored = &stored[size..];
    }
    assert!(stored.is_empty());
}
