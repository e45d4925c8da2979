//! Finding and opening what is held, sealed or not: for doors and for jobs.

use std::sync::Arc;

use bytes::Bytes;
use memchr::memmem;

use super::Archive;
use super::error::ArchiveError;
use super::open_version::{Means, OpenVersion};
use super::rebuild::is_damage;
use super::verify::verify_content;
use crate::caller::Caller;
use crate::catalog::versions::{HeldVersion, Place};
use crate::dicom::scan::InstanceKeys;
use crate::holdings::{HoldingsError, Selected};
use crate::identifiers::{ContentId, ReceiptNumber, SeriesUid, SopUid, StudyUid, TransferSyntaxUid};
use crate::instance::{HeldReceipt, VersionFacts};
use crate::pack::{PackPlace, PackRef};
use crate::query::{Page, Query};
use crate::reading::{ReadError, VersionReader};

/// Which instances are meant.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Of this study.
    pub study: StudyUid,
    /// Only of this series.
    pub series: Option<SeriesUid>,
    /// Only this instance.
    pub sop: Option<SopUid>,
    /// Also versions that are not current.
    pub all_versions: bool,
}

/// Where a page of a selection ended; opaque.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SelectCursor(pub String);

/// A version that can be opened.
#[derive(Clone, Debug)]
pub struct Held {
    /// Where it belongs.
    pub keys: InstanceKeys,
    /// The syntax it is in.
    pub transfer_syntax: TransferSyntaxUid,
    /// SHA-256 over its data set.
    pub content: ContentId,
    /// Bytes of content.
    pub content_length: u64,
    /// Frames that can be told apart.
    pub frame_count: u64,
    /// Whether it is the current version of its instance.
    pub current: bool,
    places: Vec<Place>,
    receipts: Vec<ReceiptNumber>,
}

impl Held {
    fn of(version: HeldVersion) -> Self {
        Self {
            keys: version.facts.keys.clone(),
            transfer_syntax: version.facts.version.transfer_syntax.clone(),
            content: version.facts.version.content,
            content_length: version.facts.content_length,
            frame_count: version.facts.frame_count,
            current: version.current,
            receipts: version.receipts.iter().map(|receipt| receipt.number).collect(),
            places: version.places,
        }
    }

    /// Where its bytes lie, for people.
    #[must_use]
    pub fn place_in_words(&self) -> String {
        let words = self.places.iter().map(|place| match place {
            Place::Journal(number) => format!("journal {number}"),
            Place::Pack(place) => format!("pack {}", place.pack.pack),
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

impl From<HoldingsError> for ArchiveError {
    fn from(error: HoldingsError) -> Self {
        match error {
            HoldingsError::Query(error) => Self::Query(error),
            HoldingsError::Catalog(error) => Self::internal("the catalog", error),
        }
    }
}

impl Archive {
    /// Searches.
    ///
    /// # Errors
    /// [`ArchiveError::Query`]; while the catalog is being rebuilt the page says that it is incomplete, and where packs that
    /// cannot be read may hold more, it says that too.
    pub async fn find(&self, caller: &Caller, query: &Query) -> Result<Page, ArchiveError> {
        tracing::trace!(by = %caller.name, level = ?query.level, "search");
        let emptied = self.lacking.times_emptied();
        let (holdings, asked) = (Arc::clone(&self.holdings), query.clone());
        let found = crate::off_runtime::blocking(move || holdings.find(&asked)).await;
        let mut page = self.checked(found.map_err(|error| ArchiveError::internal("searching", error))?)?;
        page.incomplete |= emptied != self.lacking.times_emptied();
        page.unreadable = self.may_match_unreadable(query);
        Ok(page)
    }

    /// A damaged catalog is put aside and rebuilt; whoever asked is told to come back.
    fn checked<T>(&self, outcome: Result<T, HoldingsError>) -> Result<T, ArchiveError> {
        if let Err(HoldingsError::Catalog(error)) = &outcome {
            self.catalog_failed(error);
            if error.wants_rebuild() {
                return Err(ArchiveError::Rebuilding { percent: 0, retry_after_seconds: 30 });
            }
        }
        Ok(outcome?)
    }

    /// The versions selected, in the order (series UID, instance number, SOP UID), up to 500 a call; `after` is the cursor
    /// that the last call gave. Of a study or series all or nothing; a single instance is given as it is known, and
    /// [`Archive::lacks`] tells whether that is all.
    ///
    /// # Errors
    /// [`ArchiveError::NotFound`] where nothing of that name is held, [`ArchiveError::Rebuilding`] and
    /// [`ArchiveError::Unreadable`] where it, or more of it, may be.
    pub async fn select(
        &self,
        caller: &Caller,
        selection: &Selection,
        after: Option<SelectCursor>,
    ) -> Result<(Vec<Held>, Option<SelectCursor>), ArchiveError> {
        tracing::trace!(by = %caller.name, study = %selection.study, "select");
        let holdings = Arc::clone(&self.holdings);
        let selected = Selected {
            study: selection.study.clone(),
            series: selection.series.clone(),
            sop: selection.sop.clone(),
            all_versions: selection.all_versions,
        };
        let first_page = after.is_none();
        let emptied = self.lacking.times_emptied();
        let found = crate::off_runtime::blocking(move || {
            holdings.versions(&selected, after.as_ref().map(|cursor| cursor.0.as_str()))
        });
        let page = found.await.map_err(|error| ArchiveError::internal("selecting", error))?;
        let page = self.checked(page)?;
        // Asked after reading: what was read before a rebuild began is whole.
        if emptied != self.lacking.times_emptied() {
            return Err(self.rebuilding());
        }
        if selection.sop.is_none() {
            self.must_not_lack(&selection.study)?;
        }
        if first_page && page.versions.is_empty() {
            let what = match (&selection.sop, &selection.series) {
                (Some(sop), _) => format!("instance {sop} of study {}", selection.study),
                (None, Some(series)) => format!("series {series} of study {}", selection.study),
                (None, None) => format!("study {}", selection.study),
            };
            return Err(self.not_found_in(&selection.study, what));
        }
        let held = page.versions.into_iter().map(|at| Held::of(at.version)).collect();
        Ok((held, page.next.map(SelectCursor)))
    }

    /// Opens a version for reading, from the first of its places that can be read.
    ///
    /// # Errors
    /// [`ArchiveError::Read`] where none can.
    pub async fn open_version(&self, caller: &Caller, held: &Held) -> Result<Arc<OpenVersion>, ArchiveError> {
        tracing::trace!(by = %caller.name, content = %held.content, "open");
        let error = match self.open_at_any(held).await {
            Ok(open) => return Ok(open),
            Err(error) => error,
        };
        // Since it was selected it may have been sealed or merged, and lie elsewhere.
        match self.held_now(caller, held).await? {
            Some(now) if now.places != held.places => self.open_at_any(&now).await,
            _ => Err(error),
        }
    }

    /// The version as it is held at this moment.
    async fn held_now(&self, caller: &Caller, held: &Held) -> Result<Option<Held>, ArchiveError> {
        let selection = Selection {
            study: held.keys.study.clone(),
            series: None,
            sop: Some(held.keys.sop.clone()),
            all_versions: true,
        };
        let (versions, _) = self.select(caller, &selection, None).await?;
        let same = |now: &Held| now.content == held.content && now.transfer_syntax == held.transfer_syntax;
        Ok(versions.into_iter().find(same))
    }

    async fn open_at_any(&self, held: &Held) -> Result<Arc<OpenVersion>, ArchiveError> {
        let mut last = None;
        for (index, place) in held.places.iter().enumerate() {
            match self.open_at(held, place).await {
                Ok(open) => {
                    let others = held.places.get(index + 1..).unwrap_or_default();
                    return Ok(open.or_else_from(self.readers_at(others).await));
                }
                Err(error) => {
                    tracing::warn!(content = %held.content, ?place, %error, "a version could not be opened at one place");
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| self.not_found(format!("the bytes of instance {}", held.keys.sop))))
    }

    /// Readers of further places; one that cannot be opened is no help, and left out.
    async fn readers_at(&self, places: &[Place]) -> Vec<Arc<dyn VersionReader>> {
        let mut readers: Vec<Arc<dyn VersionReader>> = Vec::new();
        for place in places {
            match place {
                Place::Journal(number) => {
                    if let Ok(reader) = self.journal.reader(*number).await {
                        readers.push(Arc::new(reader));
                    }
                }
                Place::Pack(place) => {
                    let Ok(reader) = self.pack_reader(&place.pack).await else { continue };
                    if let Ok(Some(version)) = reader.version(place.line).await {
                        readers.push(Arc::new(version));
                    }
                }
            }
        }
        readers
    }

    async fn open_at(&self, held: &Held, place: &Place) -> Result<Arc<OpenVersion>, ArchiveError> {
        match place {
            Place::Journal(number) => self.open_in_journal(held, *number).await,
            Place::Pack(place) => self.open_in_pack(held, place).await,
        }
    }

    async fn open_in_journal(&self, held: &Held, number: ReceiptNumber) -> Result<Arc<OpenVersion>, ArchiveError> {
        let reader: Arc<dyn VersionReader> = Arc::new(self.journal.reader(number).await?);
        let mut facts: Option<VersionFacts> = None;
        let mut receipts = Vec::new();
        for number in &held.receipts {
            // Receipts that are in packs already are found there; what is left is enough to read and to export.
            if let Ok(entry) = self.journal.entry(*number).await {
                facts.get_or_insert_with(|| entry.facts.clone());
                receipts.push(entry.held);
            }
        }
        let facts = facts.ok_or_else(|| self.not_found(format!("receipt {number}")))?;
        Ok(OpenVersion::new(facts, receipts, reader, None, self.means()))
    }

    async fn open_in_pack(&self, held: &Held, place: &PackPlace) -> Result<Arc<OpenVersion>, ArchiveError> {
        let reader = self.pack_reader(&place.pack).await?;
        let version = reader.version(place.line).await?;
        let version = version.ok_or_else(|| self.not_found(format!("the bytes of instance {}", held.keys.sop)))?;
        let facts = version.facts().clone();
        if facts.version.content != held.content {
            return Err(ReadError::NotUnderstood {
                object: format!("pack {}", place.pack.pack),
                what: format!("line {} is not version {}", place.line, held.content),
            }
            .into());
        }
        let mut receipts = version.indexed().receipts.clone();
        receipts.extend(self.receipts_elsewhere(held, place, &receipts).await?);
        let header = Some((reader, place.line));
        Ok(OpenVersion::new(facts, receipts, Arc::new(version), header, self.means()))
    }

    /// The header of a version, as [`OpenVersion::header_json`] gives it; of a sealed one without opening it.
    ///
    /// # Errors
    /// As [`Archive::open_version`] and [`OpenVersion::header_json`].
    pub async fn header_json(&self, caller: &Caller, held: &Held) -> Result<Bytes, ArchiveError> {
        tracing::trace!(by = %caller.name, content = %held.content, "header");
        if let Some(Place::Pack(place)) = held.places.first()
            && let Ok(reader) = self.pack_reader(&place.pack).await
            && let Ok(Some(header)) = reader.header_json(place.line).await
            && names_instance(&header, &held.keys.sop)
        {
            return Ok(header);
        }
        self.open_version(caller, held).await?.header_json().await
    }

    fn means(&self) -> Means {
        Means { scratch: self.scratch().to_owned(), ahead: self.read_ahead.clone() }
    }

    /// Receipts of the version that lie in the journal or in other packs: each may have brought another prefix.
    async fn receipts_elsewhere(
        &self,
        held: &Held,
        place: &PackPlace,
        here: &[HeldReceipt],
    ) -> Result<Vec<HeldReceipt>, ArchiveError> {
        let mut missing: Vec<ReceiptNumber> = held.receipts.clone();
        missing.retain(|number| !here.iter().any(|held| held.receipt.number == *number));
        let mut found: Vec<HeldReceipt> = Vec::new();
        for number in &missing {
            if let Ok(entry) = self.journal.entry(*number).await {
                found.push(entry.held);
            }
        }
        missing.retain(|number| !found.iter().any(|held| held.receipt.number == *number));
        if missing.is_empty() {
            return Ok(found);
        }
        let packs = self.history.lock().packs_of(&held.keys.study);
        for pack in packs.into_iter().filter(|pack| *pack != place.pack) {
            match self.receipts_in(&pack, held, &missing).await {
                Ok(more) => found.extend(more),
                // The bytes are whole, and lie elsewhere: what is damaged here keeps nobody from them.
                Err(error) if is_damage(&error) => {
                    tracing::warn!(pack = %pack.pack, content = %held.content, %error, "receipts of a version cannot be read");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Of some receipts of a version those that a pack has.
    async fn receipts_in(
        &self,
        pack: &PackRef,
        held: &Held,
        wanted: &[ReceiptNumber],
    ) -> Result<Vec<HeldReceipt>, ArchiveError> {
        let mut found = Vec::new();
        let reader = self.pack_reader(pack).await?;
        let mut lines = reader.index(reader.series_lines(&held.keys.series));
        while let Some(indexed) = futures::StreamExt::next(&mut lines).await {
            let indexed = indexed?;
            let same = indexed.facts.version.content == held.content && indexed.facts.keys.sop == held.keys.sop;
            let of_it = indexed.receipts.into_iter().filter(|held| wanted.contains(&held.receipt.number));
            found.extend(of_it.filter(|_| same));
        }
        Ok(found)
    }

    /// Whether a pack has the bytes of an arriving version, read back whole just now.
    pub(super) async fn sealed_copy_is_whole(
        &self,
        entry: &crate::journal::JournalEntry,
    ) -> Result<bool, ArchiveError> {
        let holdings = Arc::clone(&self.holdings);
        let keys = entry.facts.keys.clone();
        let sealed = crate::off_runtime::blocking(move || holdings.catalog().instance(&keys.study, &keys.sop)).await;
        let sealed = sealed.map_err(|error| ArchiveError::internal("looking up an instance", error))?;
        let sealed = sealed.map_err(|error| ArchiveError::internal("the catalog", error))?;
        let Some((_, instance)) = sealed else { return Ok(false) };
        let same = instance
            .holdings
            .iter()
            .filter(|holding| holding.has_content && holding.facts.version == entry.facts.version);
        let places: Vec<PackPlace> = same
            .filter_map(|holding| match &holding.place {
                Place::Pack(place) => Some(place.clone()),
                Place::Journal(_) => None,
            })
            .collect();
        for place in places {
            match self.read_whole(&place, entry.facts.version.content).await {
                Ok(()) => return Ok(true),
                Err(error) => {
                    tracing::warn!(pack = %place.pack.pack, %error, "a sealed copy is not whole; its bytes are sealed again");
                }
            }
        }
        Ok(false)
    }

    /// Reads a sealed version to its last byte and compares its content id.
    async fn read_whole(&self, place: &PackPlace, content: ContentId) -> Result<(), ArchiveError> {
        let reader = self.pack_reader(&place.pack).await?;
        let facts = reader.line(place.line).await?.facts;
        let version = reader.version(place.line).await?;
        let version = version.ok_or_else(|| self.not_found(format!("the bytes of {content}")))?;
        verify_content(&version, &facts).await?;
        if facts.version.content == content {
            return Ok(());
        }
        let object = format!("pack {}", place.pack.pack);
        Err(ReadError::NotUnderstood { object, what: format!("line {} is not version {content}", place.line) }.into())
    }
}

/// Whether a header is that of an instance: what the catalog says of places is never believed unseen.
fn names_instance(header: &[u8], sop: &SopUid) -> bool {
    let element = format!("\"00080018\":{{\"vr\":\"UI\",\"Value\":[\"{sop}\"]}}");
    memmem::find(header, element.as_bytes()).is_some()
}
