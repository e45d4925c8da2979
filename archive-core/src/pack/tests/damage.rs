//! Damaged copies: nothing wrong is ever handed out, and the next copy is tried.

use futures::TryStreamExt as _;
use parking_lot::Mutex;

use super::*;
use crate::reading::ReadError;

/// Small versions that use every part of a pack: tables in frames.bin, both methods, two prefixes, receipts only.
fn small() -> Vec<TestVersion> {
    let mut frames = vec![Piece::Header(smooth(1, 30))];
    frames.extend((0..260).map(|seed| Piece::Frame(vec![seed as u8; 3])));
    let mut joined = TestVersion::new("1.1", "1.2.1", 1, &frames);
    // The frames are joined to one unit, so that the pack stays small.
    let (header, bulk) = joined.content.split_at(30);
    joined.units = vec![
        joined.units[0],
        Unit {
            offset: header.len() as u64,
            length: bulk.len() as u32,
            kind: UnitKind::Bulk,
            digest: UnitDigest::of(bulk),
        },
    ];
    let mut plain = TestVersion::new("1.1", "1.2.2", 2, &[Piece::Header(noise(3, 40)), Piece::Frame(noise(4, 40))])
        .with_prefix(&prefix("first"));
    plain.receive(3, Some(&prefix("second")));
    let mut elsewhere = TestVersion::new("1.2", "1.2.3", 4, &[Piece::Header(noise(3, 40))]);
    elsewhere.has_content = false;
    vec![joined, plain, elsewhere]
}

/// Reads everything of a pack; panics if anything that is handed out is wrong.
async fn nothing_wrong(stores: &[SharedStore], pack: &PackRef, wanted: &[TestVersion]) -> Result<(), ReadError> {
    let reader = open(stores, pack).await?;
    let mut outcome = Ok(());
    let mut note = |result: Result<(), ReadError>| {
        if let Err(error) = result {
            outcome = Err(error);
        }
    };
    let lines: Result<Vec<_>, _> = reader.index(reader.lines()).try_collect().await;
    note(lines.map(|lines| assert!(lines.iter().zip(wanted).all(|(line, wanted)| line.receipts == wanted.receipts))));
    for (line, wanted) in wanted.iter().enumerate() {
        let header = reader.header_json(line as u32).await;
        note(header.map(|header| {
            let expected = wanted.header.clone().filter(|_| wanted.has_content).map(Bytes::from);
            assert_eq!(header, expected);
        }));
        let version = match reader.version(line as u32).await {
            Ok(Some(version)) => version,
            Ok(None) => continue,
            Err(error) => {
                note(Err(error));
                continue;
            }
        };
        assert_eq!((version.facts(), version.prefix()), (&wanted.facts, wanted.prefix().as_slice()));
        for unit in &wanted.units {
            let (from, to) = (unit.offset as usize, unit.offset as usize + unit.length as usize);
            let read = read_all(&version, from as u64..to as u64).await;
            note(read.map(|bytes| assert!(bytes == wanted.content[from..to])));
        }
        for frame in [0, wanted.frames.len().saturating_sub(1)] {
            let found = version.frame(frame as u64).await;
            note(found.map(|found| {
                let expected =
                    wanted.frames.get(frame).map(|frame| vec![wanted.fragments[frame.first_fragment as usize]]);
                assert_eq!(found, expected);
            }));
        }
    }
    outcome
}

#[derive(Debug, Default)]
struct Seen(Mutex<Vec<String>>);

impl DamageObserver for Seen {
    fn damaged(&self, store: &str, _pack: &PackRef, what: &str) {
        self.0.lock().push(format!("{store} damaged {what}"));
    }
    fn missing(&self, store: &str, _pack: &PackRef) {
        self.0.lock().push(format!("{store} missing"));
    }
}

#[tokio::test]
async fn i9_no_flipped_byte_anywhere_in_a_pack_is_ever_served() {
    let folder = tempfile::tempdir().unwrap();
    let versions = small();
    let built = build(folder.path(), &versions);
    let (bad, good) = (stored("bad", &built).await, stored("good", &built).await);
    let key = built.pack.key().unwrap();
    let bytes = good.read(&key).await.unwrap().to_vec();
    let alone: [SharedStore; 1] = [bad.clone()];
    let both: [SharedStore; 2] = [bad.clone(), good];
    let mut noticed = 0;
    for position in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[position] ^= 1 << (position % 8);
        bad.damage(&key, damaged.into());
        match nothing_wrong(&alone, &built.pack, &versions).await {
            Ok(()) => {}
            Err(ReadError::Damaged { .. } | ReadError::NotUnderstood { .. }) => noticed += 1,
            Err(other) => panic!("byte {position}: {other}"),
        }
        nothing_wrong(&both, &built.pack, &versions).await.unwrap();
    }
    // Headers of the ZIP file are not what we read from; they are covered by the digest of the whole.
    assert!(noticed * 2 > bytes.len(), "{noticed} of {} flips were noticed", bytes.len());
}

#[tokio::test]
async fn i9_a_pack_cut_short_is_an_error_and_never_less_than_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let versions = small();
    let built = build(folder.path(), &versions);
    let store = stored("short", &built).await;
    let stores = [store.clone() as SharedStore];
    let key = built.pack.key().unwrap();
    let bytes = store.read(&key).await.unwrap();
    let root_end = (built.pack.root.offset + built.pack.root.length) as usize;
    for length in (0..root_end).step_by(7) {
        store.damage(&key, bytes.slice(..length));
        nothing_wrong(&stores, &built.pack, &versions).await.unwrap_err();
    }
}

#[tokio::test]
async fn damage_and_loss_are_reported_and_the_next_copy_serves() {
    let folder = tempfile::tempdir().unwrap();
    let versions = small();
    let built = build(folder.path(), &versions);
    let (lost, bad, good) = (stored("lost", &built).await, stored("bad", &built).await, stored("good", &built).await);
    let key = built.pack.key().unwrap();
    lost.lose(&key);
    let mut bytes = bad.read(&key).await.unwrap().to_vec();
    let member = inspect(built.path()).unwrap().members.into_iter().find(|member| member.name == "1.2.2.dcm").unwrap();
    let last = (member.offset + member.stored - 1) as usize;
    bytes[last] ^= 1;
    bad.damage(&key, bytes.into());
    let seen = Arc::new(Seen::default());
    let cache = PackCache::of_bytes(1 << 20);
    let stores: [SharedStore; 3] = [lost, bad, good];
    let reader = PackReader::open(&stores, built.pack.clone(), &cache, seen.clone()).await.unwrap();
    let version = reader.version(1).await.unwrap().unwrap();
    assert_eq!(read_all(&version, 0..80).await.unwrap(), versions[1].content);
    let seen: Vec<String> = seen.0.lock().clone();
    assert!(seen.iter().any(|line| line == "lost missing"), "{seen:?}");
    assert!(seen.iter().any(|line| line.starts_with("bad damaged the unit at byte")), "{seen:?}");
    let none = PackReader::open(&stores[..1], built.pack.clone(), &PackCache::of_bytes(0), Arc::new(LogDamage)).await;
    assert!(matches!(none, Err(ReadError::Store(crate::store::StoreError::NotFound { .. }))));
}

#[test]
fn inspect_says_what_is_left_of_any_damaged_pack_and_shows_no_patient() {
    let folder = tempfile::tempdir().unwrap();
    let built = build(folder.path(), &small());
    let bytes = std::fs::read(built.path()).unwrap();
    let path = folder.path().join("damaged");
    let whole = inspect(built.path()).unwrap().to_string();
    assert!(!whole.contains("ller") && whole.contains("line 2: series 1.2 instance 1.2.3"), "{whole}");
    for position in (0..bytes.len()).step_by(13) {
        let mut damaged = bytes.clone();
        damaged[position] ^= 0x10;
        std::fs::write(&path, &damaged).unwrap();
        let found = inspect(&path).unwrap();
        assert_ne!(found.pack, built.pack.pack);
        std::fs::write(&path, &damaged[..position]).unwrap();
        assert!(!inspect(&path).unwrap().findings.is_empty(), "cut at {position}");
    }
}
