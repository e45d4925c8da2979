//! The texts of a pack whose digests are right, whatever they say: a root, index lines and tables of a newer program, of a
//! defect, or of somebody who signs what he likes. Nothing panics, what is read stays within bounds.

use std::sync::Arc;

use archive_core::identifiers::{PackId, Sha256Digest, StudyUid, UnitDigest};
use archive_core::pack::{LogDamage, PackCache, PackReader, PackRef, RootPlace};
use archive_core::reading::VersionReader as _;
use archive_core::store::{MemoryStore, SharedStore};
use serde_json::{Value, json};

use crate::memory;
use crate::pieces::steer;

const STUDY: &str = "1.2.3";
/// Between the parts of an input; in no UTF-8.
const BORDER: u8 = 0xFF;
/// Reads of one version at most: tables may say that the same stored bytes are many.
const READS_MAX: usize = 8;

/// One byte steers: whether the first part is a whole root, and whether the digests of units are made good. Then three
/// parts: index lines (or the root), metadata lines, bytes that are content and a table at once.
pub fn run(data: &[u8]) {
    let Some(([form], rest)) = steer(data) else { return };
    let mut parts = rest.splitn(3, |&byte| byte == BORDER);
    let mut part = || parts.next().unwrap_or_default();
    let (index, metadata, binary) = (part(), part(), part());
    let (pack, place) = if form & 1 == 1 {
        let bytes = [binary, index].concat();
        let place = place_of(binary.len(), index);
        (bytes, place)
    } else {
        compose(index, metadata, binary, form & 2 == 0)
    };
    let room = 64 * 1024 * 1024 + 256 * pack.len();
    memory::within(room, || crate::on_a_runtime(ask(pack, place)));
}

fn place_of(offset: usize, root: &[u8]) -> RootPlace {
    RootPlace { offset: offset as u64, length: root.len() as u64, sha256: Sha256Digest::of(root) }
}

/// A pack that has these texts as its index and metadata, with the root that fits.
fn compose(index: &[u8], metadata: &[u8], binary: &[u8], make_good: bool) -> (Vec<u8>, RootPlace) {
    let lines: Vec<Vec<u8>> = index
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| if make_good { with_digests(line, binary) } else { line.to_vec() })
        .collect();
    let count = lines.len();
    let index: Vec<u8> = lines.into_iter().flat_map(|line| [line, b"\n".to_vec()].concat()).collect();
    let mut headers: Vec<&[u8]> = metadata.split(|&byte| byte == b'\n').collect();
    headers.resize(count, b"null");
    let metadata: Vec<u8> = headers.into_iter().flat_map(|line| [line, b"\n"].concat()).collect();
    let mut pack = binary.to_vec();
    let mut part = |bytes: &[u8], more: Value| {
        let mut part = json!({
            "offset": pack.len(), "stored": bytes.len(), "length": bytes.len(), "sha256": Sha256Digest::of(bytes),
        });
        part.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        pack.extend_from_slice(bytes);
        part
    };
    let unit = json!({ "series": "1.2.3.4", "first": 0, "count": count });
    let (index, metadata) = (part(&index, unit.clone()), part(&metadata, unit));
    let block = json!({
        "first": 0, "offset": 0, "stored": binary.len(), "length": binary.len(), "sha256": Sha256Digest::of(binary),
    });
    let units = |unit: Value| if count == 0 { json!([]) } else { json!([unit]) };
    let root = json!({
        "vellum": "pack", "format": 1, "features": [], "nonce": "000102030405060708090a0b0c0d0e0f", "study": STUDY,
        "versions": count, "contents": count, "receipts": count, "content_bytes": binary.len(),
        "index": { "method": 0, "units": units(index) },
        "metadata": { "method": 0, "units": units(metadata) },
        "frames": { "method": 0, "blocks": [block.clone(), block.clone(), block] },
    });
    let root = serde_json::to_vec(&root).expect("JSON");
    let place = place_of(pack.len(), &root);
    pack.extend_from_slice(&root);
    (pack, place)
}

/// A line with the digests that its units must have to be read: those of the bytes that they name.
fn with_digests(line: &[u8], binary: &[u8]) -> Vec<u8> {
    let Ok(mut value) = serde_json::from_slice::<Value>(line) else { return line.to_vec() };
    let Some(member) = value.get_mut("member") else { return line.to_vec() };
    let base = member.get("offset").and_then(Value::as_u64).unwrap_or(0);
    for unit in member.get_mut("units").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(fields) = unit.as_array_mut() else { continue };
        let number = |index: usize, fields: &[Value]| fields.get(index).and_then(Value::as_u64);
        let (Some(stored), Some(length)) = (number(2, fields), number(3, fields)) else { continue };
        let from = usize::try_from(base.saturating_add(stored)).unwrap_or(usize::MAX);
        let to = from.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        if let (Some(bytes), Some(digest)) = (binary.get(from..to), fields.get_mut(4)) {
            *digest = Value::String(UnitDigest::of(bytes).to_hex());
        }
    }
    serde_json::to_vec(&value).expect("JSON")
}

async fn ask(bytes: Vec<u8>, root: RootPlace) {
    let pack = PackRef {
        study: StudyUid::parse(STUDY).expect("a UID"),
        pack: PackId::of(b"any"),
        size: bytes.len() as u64,
        root,
    };
    let store = MemoryStore::named("fuzz");
    store.damage(&pack.key().expect("a name"), bytes.into());
    let stores: [SharedStore; 1] = [store];
    let Ok(reader) = PackReader::open(&stores, pack, &PackCache::of_bytes(1024 * 1024), Arc::new(LogDamage)).await
    else {
        return;
    };
    for line in reader.lines().take(4) {
        let indexed = reader.line(line).await;
        let _ = reader.header_json(line).await;
        let version = reader.version(line).await;
        assert_eq!(indexed.is_ok(), version.is_ok(), "both read the same line");
        let (Ok(indexed), Ok(Some(version))) = (indexed, version) else { continue };
        assert!(indexed.has_content);
        let length = indexed.facts.content_length;
        let mut at = 0;
        for _ in 0..READS_MAX {
            match version.read(at..length).await {
                Ok(read) if read.is_empty() => {
                    assert_eq!(at, length, "nothing is read only at the end");
                    break;
                }
                Ok(read) => {
                    assert!(read.len() <= 8 * 1024 * 1024 && read.len() as u64 <= length - at);
                    at += read.len() as u64;
                }
                Err(_) => break,
            }
        }
        let _ = version.read(length.saturating_sub(1)..u64::MAX).await;
        for frame in [0, 1, u64::from(u32::MAX), u64::MAX] {
            if let Ok(Some(fragments)) = version.frame(frame).await {
                for fragment in fragments {
                    let end = fragment.offset.checked_add(fragment.length).expect("an offset");
                    assert!(indexed.facts.inflated || end <= length, "fragments lie within the content");
                }
            }
        }
    }
}
