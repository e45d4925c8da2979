//! A pack whose bytes were damaged: what is served is what was packed, and a second copy that is whole serves everything.
//! Any other file is looked at without harm.

use std::sync::{Arc, OnceLock};

use archive_core::pack::{LogDamage, PackCache, PackReader, PackRef, inspect};
use archive_core::reading::{ReadError, VersionReader as _};
use archive_core::store::{MemoryStore, SharedStore};

use crate::edits;
use crate::files::MemoryFile;
use crate::memory;
use crate::pieces::steer;

/// `archive-core/tests/golden/pack-1.zip`: both methods, tables in the line and in `frames.bin`, receipts only.
const PACK: &[u8] = include_bytes!("../../../../archive-core/tests/golden/pack-1.zip");
const PLACE: &[u8] = include_bytes!("../../../../archive-core/tests/golden/pack-1.json");

/// One answer of a reader, as text, or that there is none.
type Answer = Result<String, String>;

/// One byte steers: what is done; the rest is a list of edits, or a file.
pub fn run(data: &[u8]) {
    let Some(([form], rest)) = steer(data) else { return };
    match form % 4 {
        0 => damaged_alone(rest),
        1 => damaged_beside_a_whole_one(rest),
        2 => look_at(&edited(rest)),
        _ => look_at(rest),
    }
}

fn edited(list: &[u8]) -> Vec<u8> {
    let mut files = [PACK.to_vec()];
    edits::apply(&mut files, list);
    let [bytes] = files;
    bytes
}

fn place() -> PackRef {
    serde_json::from_slice(PLACE).expect("the golden place")
}

fn store(bytes: Vec<u8>) -> SharedStore {
    let store = MemoryStore::named("fuzz");
    store.damage(&place().key().expect("a name"), bytes.into());
    store
}

fn whole() -> &'static [Answer] {
    static WHOLE: OnceLock<Vec<Answer>> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let answers = crate::on_a_runtime(ask(&[store(PACK.to_vec())]));
        assert!(answers.iter().all(Result::is_ok) && answers.len() > 20, "{answers:?}");
        answers
    })
}

fn damaged_alone(list: &[u8]) {
    let answers = crate::on_a_runtime(ask(&[store(edited(list))]));
    for (answer, right) in answers.iter().zip(whole()) {
        assert!(answer.is_err() || answer == right, "wrong bytes were served: {answer:?}");
    }
}

fn damaged_beside_a_whole_one(list: &[u8]) {
    let answers = crate::on_a_runtime(ask(&[store(edited(list)), store(PACK.to_vec())]));
    assert_eq!(answers, whole(), "the whole copy has everything");
}

/// Everything that a reader gives, always in the same order.
async fn ask(stores: &[SharedStore]) -> Vec<Answer> {
    let cache = PackCache::of_bytes(1024 * 1024);
    let reader = match PackReader::open(stores, place(), &cache, Arc::new(LogDamage)).await {
        Ok(reader) => reader,
        Err(error) => return vec![Err(said(error))],
    };
    let mut answers = vec![Ok(format!("{:?}", reader.summary()))];
    for line in reader.lines() {
        answers.push(reader.line(line).await.map(|line| format!("{line:?}")).map_err(said));
        answers.push(reader.header_json(line).await.map(|json| format!("{json:?}")).map_err(said));
        let version = match reader.version(line).await {
            Ok(Some(version)) => version,
            other => {
                // As many answers as a version that is there gives, so that answers stay comparable.
                let answer = other.map(|_| "no content".to_owned()).map_err(said);
                answers.extend(std::iter::repeat_n(answer, 4));
                continue;
            }
        };
        answers.push(Ok(format!("{:?} {:?}", version.facts(), version.prefix())));
        let mut bytes = Vec::new();
        let content = loop {
            match version.read(bytes.len() as u64..u64::MAX).await {
                Ok(more) if more.is_empty() => break Ok(format!("{bytes:?}")),
                Ok(more) => bytes.extend_from_slice(&more),
                Err(error) => break Err(said(error)),
            }
        };
        answers.push(content);
        for frame in [0, 299] {
            answers.push(version.frame(frame).await.map(|frame| format!("{frame:?}")).map_err(said));
        }
    }
    answers
}

/// An error that damage may cause.
fn said(error: ReadError) -> String {
    assert!(!matches!(error, ReadError::Local { .. }), "{error}");
    error.to_string()
}

/// `vellum debug pack` of a file that may be anything.
fn look_at(bytes: &[u8]) {
    let file = MemoryFile::of(bytes);
    let found = memory::within(16 * 1024 * 1024 + 64 * bytes.len(), || inspect(&file.path()).expect("a file"));
    assert_eq!(found.size, bytes.len() as u64);
    if bytes != PACK {
        assert_ne!(found.pack, place().pack);
    }
    for member in &found.members {
        assert!(member.name.chars().all(|c| c.is_ascii_graphic()), "names are safe to print");
    }
    assert!(found.to_string().chars().all(|c| c == '\n' || !c.is_control()), "it is safe to print");
}
