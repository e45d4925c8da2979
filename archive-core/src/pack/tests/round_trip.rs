//! What goes in comes out.

use futures::TryStreamExt as _;
use proptest::prelude::*;

use super::*;

/// Everything a reader gives of a pack is what went in.
pub(super) async fn gives_back(reader: &PackReader, versions: &[TestVersion]) {
    let lines: Vec<IndexedVersion> = reader.index(reader.lines()).try_collect().await.unwrap();
    let headers: Vec<(u32, Option<Bytes>)> = reader.headers(reader.lines()).try_collect().await.unwrap();
    assert_eq!((lines.len(), headers.len()), (versions.len(), versions.len()));
    for (number, wanted) in versions.iter().enumerate() {
        let line = number as u32;
        assert_eq!(lines[number].facts, wanted.facts);
        assert_eq!(lines[number].receipts, wanted.receipts);
        assert_eq!((lines[number].line, lines[number].has_content), (line, wanted.has_content));
        assert_eq!(reader.line(line).await.unwrap(), lines[number]);
        let header = if wanted.has_content { wanted.header.clone().map(Bytes::from) } else { None };
        assert_eq!(headers[number], (line, header.clone()));
        assert_eq!(reader.header_json(line).await.unwrap(), header);
        assert!(reader.series_lines(&wanted.facts.keys.series).contains(&line));
        let Some(version) = reader.version(line).await.unwrap() else {
            assert!(!wanted.has_content);
            continue;
        };
        assert_eq!(version.prefix(), wanted.prefix());
        let length = wanted.content.len() as u64;
        assert!(read_all(&version, 0..length).await.unwrap() == wanted.content);
        assert!(version.read(length..length + 1).await.unwrap().is_empty());
        for (index, frame) in wanted.frames.iter().enumerate() {
            let first = frame.first_fragment as usize;
            let fragments = &wanted.fragments[first..first + frame.fragment_count as usize];
            assert_eq!(version.frame(index as u64).await.unwrap().unwrap(), fragments);
            for fragment in fragments {
                let (from, to) = (fragment.offset as usize, (fragment.offset + fragment.length) as usize);
                let bytes = read_all(&version, from as u64..to as u64).await.unwrap();
                assert!(bytes == wanted.content[from..to]);
            }
        }
        assert_eq!(version.frame(wanted.frames.len() as u64).await.unwrap(), None);
    }
}

fn piece() -> impl Strategy<Value = Piece> {
    let length = prop_oneof![1..50_usize, 1000..1100_usize, 4000..9000_usize, 60_000..70_000_usize];
    (length, any::<u64>(), any::<bool>(), any::<bool>()).prop_map(|(length, seed, is_noise, is_frame)| {
        let bytes = if is_noise { noise(seed, length) } else { smooth(seed, length) };
        if is_frame { Piece::Frame(bytes) } else { Piece::Header(bytes) }
    })
}

/// Versions of few series and instances, so that names and series meet; in the order of a pack.
fn versions() -> impl Strategy<Value = Vec<TestVersion>> {
    let version =
        (0..3_u8, 0..4_u8, prop::collection::vec(piece(), 1..6), prop::collection::vec(0..4_u8, 1..4), 0..6_u8);
    prop::collection::vec(version, 0..8).prop_map(|drafts| {
        let mut versions: Vec<TestVersion> = Vec::new();
        for (number, (series, sop, pieces, receipts, kind)) in drafts.into_iter().enumerate() {
            let base = number as u64 * 10 + 1;
            let mut version = TestVersion::new(&format!("1.2.{series}"), &format!("1.2.3.{sop}"), base, &pieces);
            version.receipts.clear();
            for (index, from) in receipts.into_iter().enumerate() {
                let own = prefix(&from.to_string());
                let came = match from {
                    0 => None,
                    1 => Some(&b""[..]),
                    _ => Some(own.as_slice()),
                };
                version.receive(base + index as u64, came);
            }
            match kind {
                0 => version.has_content = false,
                1 => version.header = None,
                2 => {
                    version.facts.inflated = true;
                    version.fragments.iter_mut().for_each(|fragment| fragment.offset += 1_000_000);
                }
                _ => {}
            }
            versions.push(version);
        }
        versions.sort_by_key(|version| (version.facts.keys.series.clone(), version.receipts[0].receipt.number));
        let mut seen = std::collections::HashSet::new();
        versions.retain(|version| seen.insert((version.facts.keys.sop.clone(), version.facts.version.clone())));
        versions
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn i2_what_goes_into_a_pack_comes_out_byte_for_byte(mut versions in versions()) {
        let folder = tempfile::tempdir().unwrap();
        let built = build(folder.path(), &versions);
        // Fragments in inflated space say nothing about the bytes of the content.
        versions.iter_mut().filter(|version| version.facts.inflated).for_each(|version| version.frames.clear());
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            let store = stored("only", &built).await;
            let reader = open(&[store], &built.pack).await.unwrap();
            for (line, version) in versions.iter_mut().enumerate() {
                if version.facts.inflated && version.has_content {
                    let packed = reader.version(line as u32).await.unwrap().unwrap();
                    for (index, fragment) in version.fragments.iter().enumerate() {
                        assert_eq!(packed.frame(index as u64).await.unwrap().unwrap(), [*fragment]);
                    }
                }
            }
            let without_inflated: Vec<_> = versions.clone();
            if without_inflated.iter().all(|version| !version.facts.inflated) {
                gives_back(&reader, &without_inflated).await;
            }
        });
        drop(built);
        prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "scratch is empty again");
    }
}

#[tokio::test]
async fn i2_large_and_many_frames_come_out_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let large = [Piece::Header(smooth(1, 900)), Piece::Frame(noise(2, 9_000_001)), Piece::Header(vec![0; 8])];
    let mut many = vec![Piece::Header(smooth(3, 700))];
    for frame in 0..3000 {
        many.push(Piece::Header(vec![0xFE, 0xFF, 0, 0xE0, 1, 2, 3, 4]));
        many.push(Piece::Frame(smooth(frame, 5000)));
    }
    let versions = [
        TestVersion::new("1.1", "1.2.1", 1, &large).with_prefix(&prefix("large")),
        TestVersion::new("1.2", "1.2.2", 2, &many),
        TestVersion::new("1.3", "1.2.3", 3, &[Piece::Header(smooth(9, 5_000_000))]),
    ];
    let built = build(folder.path(), &versions);
    let store = stored("only", &built).await;
    let reader = open(&[store], &built.pack).await.unwrap();
    gives_back(&reader, &versions).await;
    assert_eq!(reader.summary().contents, 3);
}

#[tokio::test]
async fn i2_every_prefix_of_every_receipt_comes_out_as_it_went_in() {
    let folder = tempfile::tempdir().unwrap();
    let mut version = TestVersion::new("1.1", "1.2.1", 1, &[Piece::Header(smooth(1, 900))]);
    let composed = version.prefix();
    version.receive(2, Some(&prefix("other")));
    version.receive(3, Some(&composed));
    version.receive(4, Some(b""));
    version.receive(5, None);
    let mut elsewhere =
        TestVersion::new("1.1", "1.2.2", 6, &[Piece::Header(smooth(2, 900))]).with_prefix(&prefix("its own"));
    elsewhere.receive(7, None);
    elsewhere.has_content = false;
    let versions = [version, elsewhere];
    let built = build(folder.path(), &versions);
    let store = stored("only", &built).await;
    gives_back(&open(&[store], &built.pack).await.unwrap(), &versions).await;
}

#[tokio::test]
async fn a_pack_of_nothing_is_a_pack() {
    let folder = tempfile::tempdir().unwrap();
    let built = build(folder.path(), &[]);
    let store = stored("only", &built).await;
    let reader = open(&[store], &built.pack).await.unwrap();
    assert_eq!(reader.lines(), 0..0);
    assert!(reader.line(0).await.is_err());
}
