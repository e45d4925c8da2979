//! Verifying: every byte of every pack is read again in every store, decoded, and compared with what hangs on the ledger.

use std::sync::Arc;

use futures::{Stream, StreamExt as _, stream};
use serde::Serialize;
use tokio::sync::mpsc;

use super::Archive;
use super::error::ArchiveError;
use crate::caller::Caller;
use crate::identifiers::{ContentId, Sha256Digest, StudyUid};
use crate::instance::VersionFacts;
use crate::off_runtime::PiecewiseSha256;
use crate::pack::{PackCache, PackReader, PackRef};
use crate::reading::{ReadError, VersionReader};
use crate::store::{Member, verify_object};

/// Events that wait for whoever follows.
const EVENTS: usize = 64;
/// Memory for the index of the pack that is being verified (bytes).
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// What verifying tells as it goes.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum VerifyEvent {
    /// It goes on.
    Progress {
        /// Copies of packs verified.
        done: u64,
        /// Copies of packs there are.
        total: u64,
    },
    /// Something is not what was recorded.
    Damage {
        /// The store, or `journal`.
        store: String,
        /// The object.
        object: String,
        /// What is wrong.
        what: String,
    },
    /// It is done.
    Finished {
        /// Copies of packs read.
        packs: u64,
        /// Versions read and compared.
        versions: u64,
        /// Bytes of objects and contents read.
        bytes: u64,
        /// Damages found.
        damaged: u64,
        /// Seconds it took.
        seconds: f64,
    },
}

#[derive(Default)]
struct Sums {
    packs: u64,
    versions: u64,
    bytes: u64,
    damaged: u64,
}

impl Archive {
    /// Reads everything again, or everything of one study: packs in every store, and what is in the journal. It goes on
    /// only as long as somebody follows.
    pub fn verify(
        self: &Arc<Self>,
        caller: &Caller,
        study: Option<StudyUid>,
    ) -> impl Stream<Item = VerifyEvent> + Send + 'static + use<> {
        tracing::info!(by = %caller.name, "verifying was asked for");
        let (sender, receiver) = mpsc::channel(EVENTS);
        let archive = Arc::clone(self);
        tokio::spawn(async move {
            // It ends early where nobody listens any more.
            let _ended = archive.verify_all(study, &sender).await;
        });
        stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|event| (event, receiver)) })
    }

    async fn verify_all(
        self: &Arc<Self>,
        study: Option<StudyUid>,
        tell: &mpsc::Sender<VerifyEvent>,
    ) -> Result<(), mpsc::error::SendError<VerifyEvent>> {
        let started = self.clock.monotonic();
        let mut sums = Sums::default();
        let wanted = |pack: &&PackRef| study.as_ref().is_none_or(|study| pack.study == *study);
        let mut packs: Vec<PackRef> = self.history.lock().packs().filter(wanted).cloned().collect();
        packs.sort_by(|a, b| (&a.study, a.pack).cmp(&(&b.study, b.pack)));
        let members: Vec<Member> = self.stores.read_order().cloned().collect();
        let total = (packs.len() * members.len()) as u64;
        tell.send(VerifyEvent::Progress { done: 0, total }).await?;
        for pack in &packs {
            for member in &members {
                if let Err(error) = self.verify_copy(pack, member, &mut sums).await {
                    sums.damaged += 1;
                    let object = pack.key().map(|key| key.to_string()).unwrap_or_default();
                    let store = member.store.name().to_owned();
                    tell.send(VerifyEvent::Damage { store, object, what: error.to_string() }).await?;
                }
                sums.packs += 1;
                tell.send(VerifyEvent::Progress { done: sums.packs, total }).await?;
            }
        }
        self.verify_journal(study.as_ref(), &mut sums, tell).await?;
        let seconds = self.clock.monotonic().saturating_sub(started).as_secs_f64();
        let Sums { packs, versions, bytes, damaged } = sums;
        tracing::info!(packs, versions, bytes, damaged, seconds, "verified");
        tell.send(VerifyEvent::Finished { packs, versions, bytes, damaged, seconds }).await
    }

    /// One copy: the object's digest, then every version decoded and compared with its content id.
    async fn verify_copy(&self, pack: &PackRef, member: &Member, sums: &mut Sums) -> Result<(), ArchiveError> {
        let key = pack.key().map_err(|error| ArchiveError::internal("naming a pack", error))?;
        verify_object(&*member.store, &key, pack.size, Sha256Digest::from_raw(*pack.pack.as_raw())).await?;
        sums.bytes += pack.size;
        let cache = PackCache::of_bytes(CACHE_BYTES);
        let stores = [member.store.clone()];
        let reader = PackReader::open(&stores, pack.clone(), &cache, self.damage_observer()).await?;
        let mut lines = reader.index(reader.lines());
        while let Some(indexed) = lines.next().await {
            let indexed = indexed?;
            if let Some(version) = reader.version(indexed.line).await? {
                sums.bytes += verify_content(&version, &indexed.facts).await?;
                sums.versions += 1;
            }
        }
        Ok(())
    }

    async fn verify_journal(
        &self,
        study: Option<&StudyUid>,
        sums: &mut Sums,
        tell: &mpsc::Sender<VerifyEvent>,
    ) -> Result<(), mpsc::error::SendError<VerifyEvent>> {
        for of in self.unsealed.studies().into_iter().filter(|of| study.is_none_or(|study| study == of)) {
            for number in self.unsealed.receipts_of(&of) {
                match self.verify_receipt(number).await {
                    Ok(bytes) => {
                        sums.bytes += bytes;
                        sums.versions += 1;
                    }
                    // Sealed meanwhile: it is in a pack now.
                    Err(_) if !self.unsealed.receipts_of(&of).contains(&number) => {}
                    Err(error) => {
                        sums.damaged += 1;
                        let event = VerifyEvent::Damage {
                            store: "journal".to_owned(),
                            object: format!("receipt {number}"),
                            what: error.to_string(),
                        };
                        tell.send(event).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn verify_receipt(&self, number: crate::identifiers::ReceiptNumber) -> Result<u64, ArchiveError> {
        let entry = self.journal.entry(number).await?;
        let reader = self.journal.reader(number).await?;
        Ok(verify_content(&reader, &entry.facts).await?)
    }
}

/// Reads a content to its end and compares its id; gives its length.
pub(super) async fn verify_content(version: &dyn VersionReader, facts: &VersionFacts) -> Result<u64, ReadError> {
    let object = || format!("instance {}", facts.keys.sop);
    let (mut digest, mut at) = (PiecewiseSha256::default(), 0);
    while at < facts.content_length {
        let bytes = version.read(at..facts.content_length).await?;
        if bytes.is_empty() {
            break;
        }
        at += bytes.len() as u64;
        digest.update(&bytes).await.map_err(|source| ReadError::Local { object: object(), source })?;
    }
    if at == facts.content_length && ContentId::from_raw(digest.finish()) == facts.version.content {
        return Ok(at);
    }
    Err(ReadError::Damaged { object: object(), what: format!("content {}", facts.version.content) })
}
