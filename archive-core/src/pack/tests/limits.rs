//! What a builder refuses, and what a reader makes of text that nobody vouches for.

use proptest::prelude::*;

use super::super::index_line::{read_line, write_line};
use super::super::root::Root;
use super::*;

fn builder(folder: &Path) -> PackBuilder {
    PackBuilder::create(folder, &StudyUid::parse(STUDY).unwrap(), NONCE.to_owned(), PackOptions::default()).unwrap()
}

fn plain(series: &str, sop: &str, number: u64) -> TestVersion {
    TestVersion::new(series, sop, number, &[Piece::Header(smooth(number, 500)), Piece::Frame(noise(number, 5000))])
}

#[test]
fn i9_bytes_that_are_not_those_of_the_scan_are_not_sealed() {
    for (what, damage) in [
        ("a flipped bit", (|version: &mut TestVersion| version.content[200] ^= 1) as fn(&mut TestVersion)),
        ("missing bytes", |version| version.content.truncate(5000)),
        ("further bytes", |version| version.content.push(0)),
        ("another content id", |version| {
            version.facts.version.content = ContentId::of(b"another");
            version.receipts[0].receipt.content = ContentId::of(b"another");
        }),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut builder = builder(folder.path());
        let mut version = plain("1.1", "1.2.1", 1);
        damage(&mut version);
        let error = version.add_to(&mut builder).unwrap_err();
        assert!(matches!(error, PackError::ContentDamaged { .. } | PackError::Content { .. }), "{what}: {error}");
        assert!(matches!(builder.finish(), Err(PackError::Broken)), "{what}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[test]
fn versions_out_of_order_or_out_of_place_are_refused() {
    let first = plain("1.2", "1.2.1", 5);
    let mut other_study = plain("1.3", "1.2.1", 6);
    other_study.facts.keys.study = StudyUid::parse("9.9").unwrap();
    let mut no_receipt = plain("1.3", "1.2.1", 6);
    no_receipt.receipts.clear();
    let mut receipts_back = plain("1.3", "1.2.1", 6);
    receipts_back.receive(4, None);
    let mut foreign = plain("1.3", "1.2.1", 6);
    foreign.receipts[0].receipt.content = ContentId::of(b"another");
    let mut long_prefix = plain("1.3", "1.2.1", 6);
    long_prefix.receipts.clear();
    long_prefix.receive(6, Some(&vec![0; PREFIX_MAX + 1]));
    let mut two_lines = plain("1.3", "1.2.1", 6);
    two_lines.header = Some(b"{\n}".to_vec());
    let mut frames = plain("1.3", "1.2.1", 6);
    frames.facts.frame_count = 7;
    let mut gap = plain("1.3", "1.2.1", 6);
    gap.units.remove(0);
    let refused = [
        ("an earlier series", plain("1.1", "1.2.2", 6)),
        ("an earlier receipt", plain("1.2", "1.2.2", 4)),
        ("the same version again", TestVersion { receipts: plain("1.2", "1.2.1", 5).receipts, ..first.clone() }),
        ("another study", other_study),
        ("no receipt", no_receipt),
        ("receipts out of order", receipts_back),
        ("a receipt of another version", foreign),
        ("a long prefix", long_prefix),
        ("a header of two lines", two_lines),
        ("frames of another cut list", frames),
        ("units with a gap", gap),
    ];
    for (what, version) in refused {
        let folder = tempfile::tempdir().unwrap();
        let mut builder = builder(folder.path());
        first.add_to(&mut builder).unwrap();
        let outcome = version.add_to(&mut builder);
        assert!(matches!(outcome, Err(PackError::Refused { line: 1, .. })), "{what}: {outcome:?}");
    }
}

#[test]
fn a_pack_that_does_not_give_back_what_went_in_does_not_verify() {
    let folder = tempfile::tempdir().unwrap();
    let version = plain("1.1", "1.2.1", 1).with_prefix(&prefix("file"));
    let mut builder = builder(folder.path());
    version.add_to(&mut builder).unwrap();
    let built = builder.finish().unwrap();
    let verify = |version: &TestVersion| verify_scratch(&built, [version.expected()]);
    verify(&version).unwrap();
    assert!(matches!(verify_scratch(&built, []), Err(PackError::NotVerified { .. })));
    assert!(matches!(verify_scratch(&built, [version.expected(); 2]), Err(PackError::NotVerified { .. })));
    let mut other = version.clone();
    other.receipts[0].receipt.resolved.default_issuer = Some("other".to_owned());
    assert!(matches!(verify(&other), Err(PackError::NotVerified { .. })));
    let mut other = version.clone();
    other.facts.scanner_revision += 1;
    assert!(matches!(verify(&other), Err(PackError::NotVerified { .. })));
    let mut bytes = std::fs::read(built.path()).unwrap();
    bytes[700] ^= 1;
    std::fs::write(built.path(), bytes).unwrap();
    assert!(matches!(verify(&version), Err(PackError::NotVerified { .. })));
}

#[test]
fn i2_a_file_whose_receipt_has_another_digest_does_not_verify() {
    let folder = tempfile::tempdir().unwrap();
    let mut version = plain("1.1", "1.2.1", 1).with_prefix(&prefix("file"));
    version.receipts[0].receipt.file = Some(FileDigest { sha256: Sha256Digest::of(b"another"), size: 9 });
    let mut builder = builder(folder.path());
    version.add_to(&mut builder).unwrap();
    let built = builder.finish().unwrap();
    let error = verify_scratch(&built, [version.expected()]).unwrap_err();
    assert!(error.to_string().contains("digest in its receipt"), "{error}");
}

#[test]
fn a_header_over_its_limit_is_left_out_and_one_below_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let json = |length: usize| Some(format!("{{\"a\":\"{}\"}}", "x".repeat(length - 8)).into_bytes());
    let versions = [
        TestVersion { header: json(METADATA_LINE_MAX), ..plain("1.1", "1.2.1", 1) },
        TestVersion { header: json(100), ..plain("1.1", "1.2.2", 2) },
        TestVersion { header: json(METADATA_LINE_MAX + 1), ..plain("1.1", "1.2.3", 3) },
    ];
    let built = build(folder.path(), &versions);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = stored("only", &built).await;
        let reader = open(&[store], &built.pack).await.unwrap();
        let length = async |line| reader.header_json(line).await.unwrap().map(|header| header.len());
        assert_eq!(length(0).await, Some(METADATA_LINE_MAX));
        assert_eq!(length(1).await, Some(100));
        assert_eq!(length(2).await, None);
    });
}

#[test]
fn a_newer_format_and_an_unknown_feature_are_refused_by_name() {
    let refused = |text: &str| match Root::parse(text.as_bytes(), 1000) {
        Err(super::super::error::Flaw::NotUnderstood(what)) => what,
        other => panic!("{other:?}"),
    };
    assert!(refused(r#"{"vellum":"pack","format":2,"whatever":[]}"#).contains("says pack format 2"));
    assert!(refused(r#"{"vellum":"pack","format":1,"features":["jpeg-xl"]}"#).contains("jpeg-xl"));
    assert!(refused(r#"{"vellum":"ledger","format":1}"#).contains("not that of a pack"));
}

/// The root and the lines of a real pack.
fn real() -> (Vec<u8>, Vec<u8>, u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut pieces = vec![Piece::Header(smooth(1, 30))];
    pieces.extend((0..300).map(|seed| Piece::Frame(vec![seed as u8; 3])));
    let versions = [plain("1.1", "1.2.1", 1).with_prefix(&prefix("x")), TestVersion::new("1.1", "1.2.2", 2, &pieces)];
    let built = build(folder.path(), &versions);
    let bytes = std::fs::read(built.path()).unwrap();
    let place = built.pack.root;
    let root = bytes[place.offset as usize..(place.offset + place.length) as usize].to_vec();
    let index = Root::parse(&root, built.pack.size).unwrap().index.units.remove(0).part;
    let stored = &bytes[index.offset as usize..index.end() as usize];
    let text = super::super::codec::open_frame(stored, index.length as usize).unwrap();
    (root, text, built.pack.size)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn untrusted_text_never_panics_and_never_names_a_place_outside(
        edits in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![
            Just("9"), Just("-"), Just("18446744073709551615"), Just("4294967295"), Just("\""), Just("null"), Just("0"), Just("[]"),
        ]), 1..4),
    ) {
        thread_local!(static REAL: (Vec<u8>, Vec<u8>, u64) = real());
        let (mut root, mut text, size) = REAL.with(Clone::clone);
        let good = Root::parse(&root, size).unwrap();
        for (place, value) in &edits {
            for target in [&mut root, &mut text] {
                let at = place.index(target.len());
                let end = (at + value.len().min(2)).min(target.len());
                target.splice(at..end, value.bytes());
            }
        }
        if let Ok(root) = Root::parse(&root, size) {
            for unit in root.index.units.iter().chain(&root.metadata.units) {
                prop_assert!(unit.part.end() <= size && unit.part.length <= 64 << 20);
            }
        }
        for (line, text) in text.split(|&byte| byte == b'\n').enumerate() {
            if let Ok((_, Some(member))) = read_line(text, line as u32, &good, size) {
                prop_assert!(member.offset + member.stored <= size);
            }
        }
    }
}

#[test]
fn every_number_of_an_attribute_reads_as_the_same_number() {
    let mut version = plain("1.1", "1.2.1", 1);
    let numbers =
        [0.1, 1.0 / 3.0, 2.225_073_858_507_201e-308, 1.797_693_134_862_315_7e308, 123_456.789_012_345_67, -0.0];
    version.facts.attributes.insert(Tag(0x0018, 0x0088), &json!({"vr": "DS", "Value": numbers}));
    version.has_content = false;
    let text = write_line(0, &version.facts, &version.receipts, None).unwrap();
    let (root, _, size) = real();
    let (found, _) = read_line(&text, 0, &Root::parse(&root, size).unwrap(), size).unwrap();
    assert_eq!(found.facts, version.facts);
    assert_eq!(found.receipts, version.receipts);
}

#[test]
fn text_is_cut_at_series_borders_at_500_lines_and_before_4_mib() {
    let folder = tempfile::tempdir().unwrap();
    let bare = |series: &str, number: u64| {
        let pieces = [Piece::Header(number.to_le_bytes().to_vec())];
        TestVersion::new(series, &format!("1.2.{number}"), number, &pieces)
    };
    let mut versions: Vec<TestVersion> = (1..=501).map(|number| bare("1.1", number)).collect();
    versions.extend((1001..=1002).map(|number| bare("1.2", number)));
    let header = format!("{{\"a\":\"{}\"}}", "x".repeat(3 << 20)).into_bytes();
    versions.extend((2001..=2002).map(|number| TestVersion { header: Some(header.clone()), ..bare("1.3", number) }));
    let built = build(folder.path(), &versions);
    let bytes = std::fs::read(built.path()).unwrap();
    let place = built.pack.root;
    let root = &bytes[place.offset as usize..(place.offset + place.length) as usize];
    let root = Root::parse(root, built.pack.size).unwrap();
    let cuts = |units: &[super::super::root::TextUnit]| -> Vec<(String, u32, u32)> {
        units.iter().map(|unit| (unit.series.clone(), unit.first, unit.count)).collect()
    };
    let cut = |series: &str, first, count| (series.to_owned(), first, count);
    let both = [cut("1.1", 0, 500), cut("1.1", 500, 1), cut("1.2", 501, 2)];
    assert_eq!(cuts(&root.index.units), [&both[..], &[cut("1.3", 503, 2)]].concat());
    assert_eq!(cuts(&root.metadata.units), [&both[..], &[cut("1.3", 503, 1), cut("1.3", 504, 1)]].concat());
}
