//! Cases: what a person should look at. They are found while receiving and sealing, written into the ledger once, and
//! never hold anything up.

use std::collections::BTreeMap;

use super::Archive;
use super::history::CaseRecord;
use crate::caller::Caller;
use crate::catalog::cases::CaseFinding;
use crate::identifiers::{Sha256Digest, SopUid, StudyUid};
use crate::ledger::entry::{CaseSubject, EntryBody};
use crate::ledger::{Word, in_batches};

/// Findings that wait to be written; beyond, they are found again when their study is sealed or the catalog rebuilt.
const WAITING_MAX: usize = 10_000;

impl Archive {
    /// The cases, the newest first.
    pub async fn cases(&self, caller: &Caller, closed_too: bool) -> Vec<CaseRecord> {
        tracing::trace!(by = %caller.name, "cases");
        self.history.lock().cases(closed_too)
    }

    /// Notes what was found; written into the ledger with the next tick.
    pub(super) fn note_cases(&self, found: Vec<CaseFinding>) {
        let mut waiting = self.found_cases.lock();
        for finding in found {
            if waiting.len() < WAITING_MAX {
                waiting.insert(finding.case_id, finding);
            }
        }
    }

    /// Writes the noted cases that are new.
    pub(super) async fn record_cases(&self) -> Result<(), super::ArchiveError> {
        let found = std::mem::take(&mut *self.found_cases.lock());
        let new: BTreeMap<Sha256Digest, CaseFinding> = {
            let mut history = self.history.lock();
            found.into_iter().filter(|(case, _)| !history.found_again(case)).collect()
        };
        if new.is_empty() {
            return Ok(());
        }
        let bodies = new.values().filter_map(|finding| {
            let uid = |name: &str| finding.keys.get(name);
            let subject = CaseSubject {
                studies: uid("study").and_then(|uid| StudyUid::parse(uid).ok()).into_iter().collect(),
                sop: uid("sop").and_then(|uid| SopUid::parse(uid).ok()),
                ..CaseSubject::default()
            };
            let about = Word::parse(finding.kind.word()).ok()?;
            Some(EntryBody::CaseOpened { case: finding.case_id, about, subject })
        });
        tracing::info!(count = new.len(), "cases opened: `vellum case ls` shows them");
        let batches = in_batches(bodies).map_err(|error| self.ledger_failed(error))?;
        for batch in batches {
            if let Err(error) = self.record(batch).await {
                // Those that are in the ledger already are found there again.
                self.note_cases(new.into_values().collect());
                return Err(error);
            }
        }
        Ok(())
    }

    /// A study that cannot be sealed again and again is a case.
    pub(super) async fn open_case_cannot_seal(&self, study: &StudyUid) {
        let case = Sha256Digest::of(format!("cannot-seal\0{study}").as_bytes());
        let subject = CaseSubject { studies: vec![study.clone()], ..CaseSubject::default() };
        if let Err(error) = self.open_case(case, "cannot-seal", subject).await {
            tracing::warn!(%study, %error, "the case of a study that cannot be sealed could not be written");
        }
    }

    /// Opens a case, unless it is known already; tells whether it is new.
    pub(super) async fn open_case(
        &self,
        case: Sha256Digest,
        about: &str,
        subject: CaseSubject,
    ) -> Result<bool, super::ArchiveError> {
        if self.history.lock().found_again(&case) {
            return Ok(false);
        }
        let about = Word::parse(about).map_err(|error| super::ArchiveError::internal("naming a case", error))?;
        self.record(vec![EntryBody::CaseOpened { case, about, subject }]).await.map(|_| true)
    }
}
