//! Receiving: the one way into the archive, for every door.
//!
//! Bytes stream through the scanner and into the journal's intake at once; the answer is given when the instance and
//! its receipt are durable (promise I1) and in the overlay, so that a query after the answer finds it.

use std::sync::Arc;

use bytes::Bytes;
use dicom_dictionary_std::tags;

use super::Archive;
use super::error::ArchiveError;
use super::unsealed::{Claim, VersionOfInstance, Writing};
use crate::caller::{Caller, Door, SourceKey};
use crate::dicom::scan::{Input, InstanceKeys, ScanLimits, ScanOptions, ScanWarning, Scanner};
use crate::identifiers::{AeTitle, ContentId, ReceiptNumber, SopClassUid, SopUid, StudyUid, TransferSyntaxUid};
use crate::instance::VersionFacts;
use crate::journal::{Intake, JournalEntry, JournalError, PendingReceipt};
use crate::overlay::UnsealedEntry;
use crate::receipt::Resolved;

/// What a door knows before the bytes come.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The door.
    pub door: Door,
    /// Calling AE title, HTTP user or token, label of an import.
    pub source: SourceKey,
    /// A file, or a bare data set.
    pub form: Input,
    /// The AE title that was called.
    pub local_ae: Option<AeTitle>,
    /// Affected SOP Instance UID of the C-STORE-RQ; another one in the data set is [`ArchiveError::Mismatch`].
    pub expected_sop: Option<SopUid>,
    /// Affected SOP Class UID; another one in the data set is kept and said in [`Received::class_differs`].
    pub expected_class: Option<SopClassUid>,
    /// The study that STOW-RS names; another one in the data set is [`ArchiveError::Mismatch`].
    pub expected_study: Option<StudyUid>,
}

/// An instance that is durable.
#[derive(Clone, Debug)]
#[must_use = "the door answers success with this in hand"]
pub struct Received {
    /// The number of this act of receiving.
    pub receipt: ReceiptNumber,
    /// Where the instance belongs.
    pub keys: InstanceKeys,
    /// The syntax it is in.
    pub transfer_syntax: TransferSyntaxUid,
    /// SHA-256 over its data set.
    pub content: ContentId,
    /// The same version was in the journal already; a receipt was added.
    pub duplicate: bool,
    /// The class announced is another than the data set's.
    pub class_differs: bool,
    /// What was odd.
    pub warnings: Vec<ScanWarning>,
}

/// An instance on its way in; dropping it forgets it.
#[derive(Debug)]
#[must_use = "nothing is stored before `finish`"]
pub struct Receiving {
    archive: Arc<Archive>,
    incoming: Incoming,
    resolved: Resolved,
    scanner: Scanner,
    intake: Intake,
    /// Input that came before it was known where the content begins; at most a prefix and one chunk.
    early: Vec<Bytes>,
    content_begun: bool,
}

impl Archive {
    /// Begins to receive an instance.
    ///
    /// # Errors
    /// [`ArchiveError::Full`] and [`ArchiveError::NotReceiving`].
    pub async fn receive(self: &Arc<Self>, caller: &Caller, incoming: Incoming) -> Result<Receiving, ArchiveError> {
        tracing::trace!(door = %incoming.door, source = %incoming.source, origin = caller.origin, "receiving");
        self.check_receiving()?;
        let resolved = Resolved { local_ae: incoming.local_ae.clone(), ..self.options.resolved.clone() };
        let options = ScanOptions {
            input: incoming.form.clone(),
            scratch: self.scratch().to_owned(),
            limits: ScanLimits::default(),
            assumed_charset: resolved.assumed_charset.clone(),
            header_json: false,
        };
        let scanner = Scanner::new(options).map_err(|error| ArchiveError::internal("scratch space", error))?;
        let intake = self.journal.intake().await.map_err(|error| self.journal_failed(error))?;
        let archive = Arc::clone(self);
        Ok(Receiving { archive, incoming, resolved, scanner, intake, early: Vec::new(), content_begun: false })
    }
}

impl Receiving {
    /// Hands over the next bytes; waits where memory or disk is short.
    ///
    /// # Errors
    /// [`ArchiveError::Refused`] as soon as the input cannot be kept; [`ArchiveError::Full`], [`ArchiveError::NotReceiving`].
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), ArchiveError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.scanner.push(&bytes)?;
        if self.content_begun {
            return self.keep(bytes).await;
        }
        self.early.push(bytes);
        self.begin_content().await
    }

    /// Passes on what lies behind the prefix, once it is known where that ends.
    async fn begin_content(&mut self) -> Result<(), ArchiveError> {
        let Some(mut skip) = self.scanner.content_offset() else { return Ok(()) };
        self.content_begun = true;
        for bytes in std::mem::take(&mut self.early) {
            let here = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
            skip -= here as u64;
            if here < bytes.len() {
                self.keep(bytes.slice(here..)).await?;
            }
        }
        Ok(())
    }

    async fn keep(&mut self, bytes: Bytes) -> Result<(), ArchiveError> {
        self.intake.write(bytes).await.map_err(|error| self.archive.journal_failed(error))
    }

    /// Ends the instance; answers when it is durable (promise I1).
    ///
    /// # Errors
    /// [`ArchiveError`]; nothing partial becomes visible (promise I14).
    pub async fn finish(mut self) -> Result<Received, ArchiveError> {
        self.archive.check_receiving()?;
        let mut scan = self.scanner.finish()?;
        let facts = VersionFacts::of(&scan);
        if !self.content_begun {
            // The input was so short that the scanner found its prefix only at the end.
            let mut skip = scan.prefix.len();
            for bytes in std::mem::take(&mut self.early) {
                let here = skip.min(bytes.len());
                skip -= here;
                self.intake.write(bytes.slice(here..)).await?;
            }
        }
        let class_differs = check_announced(&self.incoming, &scan.keys)?;
        let warnings = scan.warnings.clone();
        let prefix = match self.incoming.form {
            Input::File => Some(std::mem::take(&mut scan.prefix)),
            Input::DataSet(_) => None,
        };
        let pending = PendingReceipt {
            time: self.archive.clock.now(),
            door: self.incoming.door,
            source: self.incoming.source,
            file: scan.file,
            resolved: self.resolved,
            prefix,
            facts,
            cut: scan.cut,
            shares: None,
        };
        // A task of its own: a caller that hangs up meanwhile must not leave a durable receipt outside the overlay.
        let archive = self.archive;
        let made = tokio::spawn(async move { archive.make_durable(self.intake, pending).await }).await;
        let (entry, duplicate) =
            made.map_err(|error| ArchiveError::internal("making an instance durable", error))??;
        Ok(Received {
            receipt: entry.number(),
            keys: entry.facts.keys,
            transfer_syntax: entry.facts.version.transfer_syntax,
            content: entry.facts.version.content,
            duplicate,
            class_differs,
            warnings,
        })
    }
}

/// What the door announced against what the data set says; the data set decides (DESIGN §3.6). Gives whether the class
/// differs, which is kept.
fn check_announced(incoming: &Incoming, keys: &InstanceKeys) -> Result<bool, ArchiveError> {
    if let Some(announced) = incoming.expected_sop.as_ref().filter(|announced| **announced != keys.sop) {
        return Err(ArchiveError::Mismatch {
            what: "SOP Instance UID",
            tag: tags::SOP_INSTANCE_UID,
            announced: announced.to_string(),
            found: keys.sop.to_string(),
        });
    }
    if let Some(announced) = incoming.expected_study.as_ref().filter(|announced| **announced != keys.study) {
        return Err(ArchiveError::Mismatch {
            what: "Study Instance UID",
            tag: tags::STUDY_INSTANCE_UID,
            announced: announced.to_string(),
            found: keys.study.to_string(),
        });
    }
    Ok(incoming.expected_class.as_ref().is_some_and(|announced| *announced != keys.sop_class))
}

impl Archive {
    /// Commits an instance, sharing the bytes of a durable record of the same version where there is one.
    async fn make_durable(
        self: &Arc<Self>,
        intake: Intake,
        mut pending: PendingReceipt,
    ) -> Result<(JournalEntry, bool), ArchiveError> {
        let study = pending.facts.keys.study.clone();
        let version: VersionOfInstance = (pending.facts.keys.sop.clone(), pending.facts.version.clone());
        let writing = self.claim(&study, &version, &mut pending).await;
        let duplicate = writing.is_none();
        let committed = intake.commit(pending).await;
        match (committed, writing) {
            (Ok(entry), writing) => {
                // The overlay comes before the answer: whoever asks afterwards finds it.
                self.take_into_overlay(&entry, false);
                if let Some(writing) = writing {
                    self.unsealed.written(writing, entry.number());
                }
                metrics::counter!("vellum_received_instances_total").increment(1);
                metrics::counter!("vellum_received_bytes_total").increment(entry.facts.content_length);
                Ok((entry, duplicate))
            }
            (Err(error), writing) => {
                if let Some(writing) = writing {
                    self.unsealed.abandoned(writing);
                }
                Err(self.journal_failed(error))
            }
        }
    }

    /// A journal that has stopped ends the process, at once: its successor recovers.
    fn journal_failed(&self, error: JournalError) -> ArchiveError {
        if let JournalError::Stopped { reason } = &error
            && !self.is_closed()
        {
            self.stop(reason.clone());
        }
        error.into()
    }

    /// What is durable in the journal becomes visible.
    pub(super) fn take_into_overlay(&self, entry: &JournalEntry, told: bool) {
        let unsealed = UnsealedEntry {
            facts: entry.facts.clone(),
            receipt: entry.held.receipt.clone(),
            has_content: entry.shares.is_none(),
        };
        let found = self.holdings.overlay().apply(&unsealed);
        self.note_cases(found);
        self.unsealed.received(entry, told, self.clock.monotonic());
        self.history.lock().saw(entry.number());
    }

    /// Waits until it is decided whether this version is written or shared; gives the right to write.
    async fn claim(
        &self,
        study: &StudyUid,
        version: &VersionOfInstance,
        pending: &mut PendingReceipt,
    ) -> Option<Writing> {
        loop {
            match self.unsealed.claim(study, version) {
                Claim::Write(writing) => return Some(writing),
                Claim::Share(number) => {
                    pending.shares = Some(number);
                    return None;
                }
                Claim::Wait(mut decided) => {
                    // It closes when the writer is through, well or not.
                    let _closed = decided.changed().await;
                }
            }
        }
    }
}
