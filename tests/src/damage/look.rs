//! Everything that an archive says of what it holds.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use archive_core::archive::{Archive, ArchiveError, OpenVersion, Selection, VerifyEvent};
use archive_core::caller::Caller;
use archive_core::identifiers::{SopUid, StudyUid};
use archive_core::query::{Query, QueryLevel};
use futures::{StreamExt as _, TryStreamExt as _};

use super::kind::Kind;
use super::specimen::{Instance, Specimen};

/// Modalities and SOP classes in the study, numbers of related series and instances: where an instance is missing, they
/// are others.
const OF_ALL: [&str; 5] = ["00080061", "00080062", "00201206", "00201208", "00201209"];

/// What came of a flip.
#[derive(Clone, Debug, Default)]
pub struct Looked {
    /// What is not what was sent, in words.
    pub wrong: Vec<String>,
    /// Instances that were not given back, by their number, and why.
    pub missing: BTreeMap<usize, String>,
    /// What the archive says is damaged.
    pub named: Vec<String>,
    /// Why it did not open.
    pub refused: Option<String>,
    /// Searches answer other than before the flip.
    pub answers_differ: bool,
}

/// Opens the archive and asks it for everything.
pub(super) async fn look(specimen: &Specimen, data: &Path, kind: Kind) -> Looked {
    let archive = match super::archive::open(data, kind).await {
        Ok(archive) => archive,
        Err(error) => return Looked { refused: Some(error.to_string()), ..Looked::default() },
    };
    let mut looked = Looked::default();
    for (number, instance) in specimen.instances.iter().enumerate() {
        match give_back(&archive, instance).await {
            Ok(Given { file, frame, header }) => {
                let differs = [("file", file == instance.file), ("frame", frame == instance.frame)];
                let header = [("header", instance.header.is_empty() || header == instance.header)];
                let differs = differs.into_iter().chain(header).filter(|(_, same)| !same);
                looked.wrong.extend(differs.map(|(what, _)| format!("{what} of instance {number}")));
            }
            Err(error) => {
                looked.missing.insert(number, error.to_string());
            }
        }
    }
    let answers = answers(&archive).await;
    looked.answers_differ = answers != specimen.answers;
    for (level, record) in &answers {
        // What counts or sums up others may say less where something is missing.
        if *level == QueryLevel::Instance && !specimen.answers.contains(&(*level, record.clone())) {
            looked.wrong.push(format!("an answer: {record}"));
        }
    }
    looked.named = named(&archive).await;
    archive.close().await;
    looked
}

/// What an instance gives.
pub(super) struct Given {
    pub file: Vec<u8>,
    pub frame: Vec<u8>,
    pub header: Vec<u8>,
}

pub(super) async fn give_back(archive: &Arc<Archive>, instance: &Instance) -> Result<Given, ArchiveError> {
    let selection = Selection {
        study: StudyUid::parse(&instance.study).expect("a UID"),
        series: None,
        sop: Some(SopUid::parse(&instance.sop).expect("a UID")),
        all_versions: true,
    };
    let (held, _) = archive.select(&Caller::local(), &selection, None).await?;
    let [held] = &held[..] else { return Err(ArchiveError::NotFound(format!("{} versions", held.len()))) };
    let open = archive.open_version(&Caller::local(), held).await?;
    let file: Vec<_> = Arc::clone(&open).file().try_collect().await?;
    let frame = last_frame(&open, held.frame_count).await?;
    let header = open.header_json().await?.to_vec();
    Ok(Given { file: file.concat(), frame, header })
}

async fn last_frame(open: &Arc<OpenVersion>, count: u64) -> Result<Vec<u8>, ArchiveError> {
    let Some(last) = count.checked_sub(1) else { return Ok(Vec::new()) };
    let Some((_, bytes)) = Arc::clone(open).frame(last).await? else { return Ok(Vec::new()) };
    let bytes: Vec<_> = bytes.try_collect().await?;
    Ok(bytes.concat())
}

/// Every answer to every search, level by level.
pub(super) async fn answers(archive: &Arc<Archive>) -> Vec<(QueryLevel, String)> {
    let mut answers = Vec::new();
    for level in [QueryLevel::Patient, QueryLevel::Study, QueryLevel::Series, QueryLevel::Instance] {
        let mut query = Query::all(level);
        query.include.all = true;
        match archive.find(&Caller::local(), &query).await {
            Ok(page) => {
                let records = page.records.iter().map(|record| {
                    let mut record = record.attributes.to_json();
                    if let Some(members) = record.as_object_mut().filter(|_| level == QueryLevel::Instance) {
                        members.retain(|tag, _| !OF_ALL.contains(&tag.as_str()));
                    }
                    (level, record.to_string())
                });
                let mut records: Vec<_> = records.collect();
                records.sort();
                answers.extend(records);
            }
            Err(error) => answers.push((QueryLevel::Patient, error.to_string())),
        }
    }
    answers
}

/// Everything that the archive says is damaged: by itself at start, by verifying, and of its ledger.
async fn named(archive: &Arc<Archive>) -> Vec<String> {
    let mut named = archive.status().await.findings;
    let events: Vec<VerifyEvent> = archive.verify(&Caller::local(), None).collect().await;
    named.extend(events.into_iter().filter_map(|event| match event {
        VerifyEvent::Damage { store, object, what } => Some(format!("{store}: {object}: {what}")),
        _ => None,
    }));
    match archive.verify_ledger(&Caller::local()).await {
        Ok(reports) => named.extend(reports.into_iter().flat_map(|report| report.findings)),
        Err(error) => named.push(error.to_string()),
    }
    named
}
