//! How many requests reading costs: on object storage each is tens of milliseconds and money.

use futures::TryStreamExt as _;

use super::*;

async fn counting(versions: &[TestVersion]) -> (Arc<MemoryStore>, PackRef) {
    let folder = tempfile::tempdir().unwrap();
    let built = build(folder.path(), versions);
    (stored("counting", &built).await, built.pack.clone())
}

/// Reads one frame and gives the requests that it took.
async fn frame(store: &MemoryStore, version: &PackedVersion, wanted: &TestVersion, index: usize) -> usize {
    let fragments = version.frame(index as u64).await.unwrap().unwrap();
    for fragment in fragments {
        let bytes = read_all(version, fragment.offset..fragment.offset + fragment.length).await.unwrap();
        assert!(bytes == wanted.content[fragment.offset as usize..][..fragment.length as usize]);
    }
    store.take_ranges_read()
}

#[tokio::test]
async fn a_frame_of_many_costs_two_requests_at_first_and_one_afterwards() {
    let mut pieces = vec![Piece::Header(smooth(3, 700))];
    for frame in 0..6000 {
        pieces.push(Piece::Header(vec![0xFE, 0xFF, 0, 0xE0, 1, 2, 3, 4]));
        pieces.push(Piece::Frame(smooth(frame, 4200)));
    }
    let wanted = TestVersion::new("1.2", "1.2.2", 2, &pieces);
    let (store, pack) = counting(std::slice::from_ref(&wanted)).await;
    let reader = open(&[store.clone() as SharedStore], &pack).await.unwrap();
    assert_eq!(store.take_ranges_read(), 1, "the root");
    let version = reader.version(0).await.unwrap().unwrap();
    assert_eq!(store.take_ranges_read(), 1, "the index");
    assert_eq!(frame(&store, &version, &wanted, 3210).await, 2, "its tables, itself");
    assert_eq!(frame(&store, &version, &wanted, 5999).await, 1, "itself");
    assert_eq!(frame(&store, &version, &wanted, 0).await, 1, "itself");
}

#[tokio::test]
async fn a_ct_slice_costs_one_request_and_a_rebuild_a_few_for_thousands() {
    let slice = |number: u64| {
        let pieces =
            [Piece::Header(smooth(number, 900)), Piece::Frame(noise(number, 20_000)), Piece::Header(vec![7; 20])];
        TestVersion::new(&format!("1.{}", 1 + number / 700), &format!("1.2.{number}"), number + 1, &pieces)
    };
    let versions: Vec<TestVersion> = (0..2000).map(slice).collect();
    let (store, pack) = counting(&versions).await;
    let reader = open(&[store.clone() as SharedStore], &pack).await.unwrap();
    store.take_ranges_read();
    let lines: Vec<IndexedVersion> = reader.index(reader.lines()).try_collect().await.unwrap();
    assert_eq!((lines.len(), store.take_ranges_read()), (2000, 1));
    let headers: Vec<_> =
        reader.headers(reader.series_lines(&lines[900].facts.keys.series)).try_collect().await.unwrap();
    assert_eq!((headers.len(), store.take_ranges_read()), (700, 1));
    let version = reader.version(1234).await.unwrap().unwrap();
    let length = versions[1234].content.len() as u64;
    assert!(read_all(&version, 0..length).await.unwrap() == versions[1234].content);
    assert_eq!(store.take_ranges_read(), 1, "its units lie side by side");
}

#[tokio::test]
async fn a_small_cache_costs_no_more_than_a_request_a_unit_when_streaming() {
    let versions: Vec<TestVersion> = (0..1200)
        .map(|number| {
            TestVersion::new("1.1", &format!("1.2.{number}"), number + 1, &[Piece::Header(noise(number, 20))])
        })
        .collect();
    let (store, pack) = counting(&versions).await;
    let stores = [store.clone() as SharedStore];
    let reader = PackReader::open(&stores, pack, &PackCache::of_bytes(0), Arc::new(LogDamage)).await.unwrap();
    store.take_ranges_read();
    let lines: Vec<IndexedVersion> = reader.index(reader.lines()).try_collect().await.unwrap();
    assert_eq!((lines.len(), store.take_ranges_read()), (1200, 3));
}
