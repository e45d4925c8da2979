//! Looking at what the archive answers, and comparing it with the model.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use archive_core::archive::{Archive, ArchiveError, Held, Selection};
use archive_core::caller::Caller;
use archive_core::identifiers::{ReceiptNumber, SopUid, StudyUid};
use archive_core::query::{Include, Query, QueryLevel, Record};
use archive_core::store::Store as _;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};

use crate::damage::Damage;
use crate::model::{Instance, Model, STUDIES, Version, study_uid};
use crate::world::World;

/// Everything that looking needs.
pub(crate) struct Looking<'a> {
    pub(crate) world: &'a World,
    pub(crate) archive: &'a Arc<Archive>,
    pub(crate) model: &'a RefCell<Model>,
    pub(crate) damage: &'a RefCell<Damage>,
}

/// What was seen of some versions: their receipts, and which are current.
#[derive(Default)]
struct Seen {
    versions: BTreeMap<Version, BTreeSet<ReceiptNumber>>,
    current: BTreeSet<Version>,
    /// Versions whose bytes could not be read.
    unreadable: BTreeSet<Version>,
}

impl Looking<'_> {
    /// {acknowledged} ⊆ {readable and equal}, {readable} ⊆ {sent}, the right versions current; of what was damaged nothing
    /// wrong, and only what was hit missing.
    #[expect(clippy::await_holding_refcell_ref, reason = "damage is changed between looks only")]
    pub(crate) async fn check(&self) {
        self.world.look(true);
        for study in 0..STUDIES {
            self.check_one(study).await;
        }
        self.world.look(true);
        if self.archive.status().await.unreadable_packs == 0 && !self.damage.borrow().any(self.world).await {
            assert_eq!(self.found().await, self.model.borrow().found(), "studies, series, instances");
        }
        self.world.look(false);
    }

    /// As [`Looking::check`], of one study.
    pub(crate) async fn check_one(&self, study: u8) {
        self.world.look(true);
        self.model.borrow_mut().counts.checks += 1;
        self.archive.rebuilt().await;
        if self.archive.status().await.unreadable_packs > 0 {
            self.archive.take_in_repaired().await.unwrap();
        }
        let seen = self.study(study).await;
        self.compare(study, &seen).await;
        self.world.look(false);
    }

    /// The receipts that are there.
    pub(crate) async fn present(&self) -> BTreeSet<ReceiptNumber> {
        let mut present = BTreeSet::new();
        for study in 0..STUDIES {
            present.extend(self.study(study).await.versions.into_values().flatten());
        }
        present
    }

    async fn study(&self, study: u8) -> Seen {
        let mut seen = Seen::default();
        match self.select(study, None).await {
            Ok(held) => {
                for held in held {
                    self.version(study, &held, &mut seen).await;
                }
            }
            Err(ArchiveError::NotFound(_)) => {}
            Err(ArchiveError::Unreadable { .. }) => {
                // Not given in part; what is whole is found one by one.
                let instances: BTreeSet<Instance> =
                    self.model.borrow().versions().into_keys().map(|(instance, _)| instance).collect();
                for instance in instances.into_iter().filter(|instance| instance.study == study) {
                    match self.select(study, Some(instance)).await {
                        Ok(held) => {
                            for held in held {
                                self.version(study, &held, &mut seen).await;
                            }
                        }
                        Err(ArchiveError::Unreadable { .. }) => {}
                        Err(error) => panic!("{instance:?}: {error}"),
                    }
                }
            }
            Err(error) => panic!("study {study}: {error}"),
        }
        seen
    }

    async fn select(&self, study: u8, instance: Option<Instance>) -> Result<Vec<Held>, ArchiveError> {
        let uid = study_uid(study);
        let sop = instance.map(|instance| SopUid::parse(&format!("{uid}.1.{}", instance.n)).unwrap());
        let selection = Selection { study: StudyUid::parse(&uid).unwrap(), series: None, sop, all_versions: true };
        let (held, next) = self.archive.select(&Caller::local(), &selection, None).await?;
        assert!(next.is_none());
        Ok(held)
    }

    /// Opens and reads one version.
    async fn version(&self, study: u8, held: &Held, seen: &mut Seen) {
        let n = held.keys.sop.as_str().rsplit('.').next().unwrap().parse().unwrap();
        let version: Version = (Instance { study, n }, held.content);
        let places = held.place_in_words();
        let sent = self.model.borrow().bytes(&version).cloned();
        let sent = sent.unwrap_or_else(|| panic!("{version:?} was never sent"));
        self.model.borrow_mut().places.insert(version, places.clone());
        let receipts = seen.versions.entry(version).or_default();
        if held.current {
            seen.current.insert(version);
        }
        let open = match self.archive.open_version(&Caller::local(), held).await {
            Ok(open) => open,
            Err(error) => {
                self.must_be_excused(&version, &places, &error).await;
                seen.unreadable.insert(version);
                return;
            }
        };
        for held in open.receipts() {
            let (number, source) = (held.receipt.number, held.receipt.source.as_str());
            self.model.borrow_mut().must_have_sent(number, &version, source, held.prefix.as_deref());
            receipts.insert(number);
        }
        match open.content().try_collect::<Vec<Bytes>>().await {
            Ok(chunks) => {
                let bytes = chunks.concat();
                assert!(bytes == sent, "wrong bytes of {version:?} at {places}");
                self.model.borrow_mut().counts.bytes_compared += bytes.len() as u64;
            }
            Err(error) => {
                self.must_be_excused(&version, &places, &error).await;
                seen.unreadable.insert(version);
            }
        }
    }

    #[expect(clippy::await_holding_refcell_ref, reason = "damage is changed between looks only")]
    async fn must_be_excused(&self, version: &Version, places: &str, error: &ArchiveError) {
        // What a start found in the journal, and the ledger knows as sealed, may just have been released.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let now = self.select(version.0.study, Some(version.0)).await.unwrap_or_default();
        let now = now.iter().find(|held| held.content == version.1).map(Held::place_in_words);
        let places = now.as_deref().unwrap_or(places);
        let excused = self.damage.borrow().excuses(self.world, places).await;
        assert!(excused, "{version:?} at {places} cannot be read although that was not damaged: {error}");
    }

    /// What was acknowledged of a study is there, unless what was damaged held it.
    #[expect(clippy::await_holding_refcell_ref, reason = "damage is changed between looks only")]
    async fn compare(&self, study: u8, seen: &Seen) {
        let damage = self.damage.borrow();
        let is_damaged = damage.is_in(self.world, &study_uid(study)).await;
        let expected = self.model.borrow().versions();
        for (version, receipts) in expected.iter().filter(|((instance, _), _)| instance.study == study) {
            let Some(there) = seen.versions.get(version) else {
                let places = self.model.borrow().places.get(version).cloned().unwrap_or_default();
                let excused = is_damaged && damage.excuses(self.world, &places).await;
                assert!(
                    excused,
                    "{version:?} was acknowledged as {receipts:?}, seen last at {places:?}, and is missing"
                );
                continue;
            };
            let missing: Vec<_> = receipts.difference(there).collect();
            assert!(missing.is_empty() || is_damaged, "receipts {missing:?} of {version:?} are missing");
        }
        if is_damaged {
            return;
        }
        for (instance, content) in seen.versions.keys() {
            let current = self.model.borrow().current(*instance);
            let is_current = seen.current.contains(&(*instance, *content));
            assert_eq!(is_current, current == Some(*content), "{instance:?} {content}: current");
        }
    }

    /// Reads what was acknowledged of a study by now, while other things go on and stores may fail: an answer may be that it
    /// cannot be read now, never that it is not there, and never wrong.
    pub(crate) async fn read(&self, study: u8) {
        let expected = self.model.borrow().versions();
        for (version, _) in expected.into_iter().filter(|((instance, _), _)| instance.study == study) {
            let held = match self.select(study, Some(version.0)).await {
                Ok(held) => held,
                Err(ArchiveError::NotFound(what)) => panic!("{what}, and it was acknowledged"),
                Err(_) => continue,
            };
            let Some(held) = held.into_iter().find(|held| held.content == version.1) else {
                let damaged = self.damage_is_in(study).await;
                assert!(damaged || self.archive.must_be_whole().is_err(), "{version:?} is not among its instance's");
                continue;
            };
            let Ok(open) = self.archive.open_version(&Caller::local(), &held).await else { continue };
            let Ok(chunks) = open.content().try_collect::<Vec<Bytes>>().await else { continue };
            let sent = self.model.borrow().bytes(&version).cloned();
            assert!(sent.is_some_and(|sent| sent == chunks.concat()), "wrong bytes of {version:?}");
        }
    }

    #[expect(clippy::await_holding_refcell_ref, reason = "damage is changed between looks only")]
    async fn damage_is_in(&self, study: u8) -> bool {
        self.damage.borrow().is_in(self.world, &study_uid(study)).await
    }

    async fn records(&self, level: QueryLevel) -> Vec<Record> {
        let query = Query { include: Include { all: true, ..Include::default() }, ..Query::all(level) };
        let page = self.archive.find(&Caller::local(), &query).await.unwrap();
        assert!(!page.incomplete, "nothing is being rebuilt");
        page.records
    }

    /// Where what is known of a study was seen last.
    fn places_seen(&self, study: u8) -> Vec<String> {
        let model = self.model.borrow();
        let of_study = model.places.iter().filter(|(version, _)| version.0.study == study);
        of_study.map(|(_, places)| places.clone()).collect()
    }

    async fn found(&self) -> [usize; 3] {
        let mut found = [0; 3];
        for (found, level) in found.iter_mut().zip([QueryLevel::Study, QueryLevel::Series, QueryLevel::Instance]) {
            *found = self.records(level).await.len();
        }
        found
    }

    /// All that the archive answers.
    async fn answers(&self) -> (Vec<Vec<Record>>, Vec<String>) {
        let levels = [QueryLevel::Patient, QueryLevel::Study, QueryLevel::Series, QueryLevel::Instance];
        let mut records = Vec::new();
        for level in levels {
            records.push(self.records(level).await);
        }
        let mut held = Vec::new();
        for study in 0..STUDIES {
            held.push(format!("{:?}", self.select(study, None).await));
        }
        (records, held)
    }

    /// catalog == rebuild(catalog).
    #[expect(clippy::await_holding_refcell_ref, reason = "damage is changed between looks only")]
    pub(crate) async fn rebuild(&self) {
        self.world.look(true);
        self.archive.rebuilt().await;
        // What somebody sent who hung up comes to its end first.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let is_damaged = self.damage.borrow().any(self.world).await;
        let before = self.answers().await;
        let events = self.archive.rebuild(&Caller::local());
        let events = events.unwrap_or_else(|error| panic!("nothing was being rebuilt: {error}"));
        drop(events.collect::<Vec<_>>().await);
        self.archive.rebuilt().await;
        if !is_damaged {
            let after = self.answers().await;
            assert_eq!(before.1, after.1, "what is held, before and after a rebuild");
            assert!(before.0 == after.0, "records before and after a rebuild");
        }
        self.world.look(false);
    }

    /// Reads everything again: damage of what counts is named, and nothing else is called damaged.
    #[expect(clippy::await_holding_refcell_ref, reason = "damage is changed between looks only")]
    pub(crate) async fn verify(&self) {
        use archive_core::archive::VerifyEvent;
        self.world.look(true);
        self.archive.rebuilt().await;
        // A store that may lag lacks what it did not get yet.
        drop(self.archive.catch_up_stores().await);
        let events: Vec<VerifyEvent> = self.archive.verify(&Caller::local(), None).collect().await;
        let named: BTreeSet<(String, String)> = events
            .into_iter()
            .filter_map(|event| match event {
                VerifyEvent::Damage { store, object, .. } => Some((store, object)),
                _ => None,
            })
            .collect();
        let damaged = self.damage.borrow().damaged(self.world).await;
        let damaged: BTreeSet<(String, String)> =
            damaged.into_iter().map(|(store, key)| (store, key.to_string())).collect();
        let false_alarms: Vec<_> = named.difference(&damaged).filter(|(store, _)| self.is_complete(store)).collect();
        assert!(false_alarms.is_empty(), "called damaged and is not: {false_alarms:?}");
        let mut places: Vec<String> = Vec::new();
        for study in 0..STUDIES {
            match self.select(study, None).await {
                Ok(held) => places.extend(held.iter().map(Held::place_in_words)),
                // What cannot be given lies where it was seen last. What was replaced since then is nobody's loss.
                Err(_) => places.extend(self.places_seen(study)),
            }
        }
        let counts = |key: &str| {
            let pack = key.rsplit('/').next().and_then(|name| name.strip_suffix(".zip")).unwrap_or_default();
            places.iter().any(|place| place.contains(pack))
        };
        let unnamed: Vec<_> = damaged.difference(&named).filter(|(_, key)| counts(key)).collect();
        assert!(unnamed.is_empty(), "damaged and not named: {unnamed:?}");
        self.world.look(false);
    }

    /// Whether a store has got everything: what may lag has not while a pack cannot be copied, for no good copy is left.
    fn is_complete(&self, store: &str) -> bool {
        let lags = self.world.setup.second == Some(archive_core::ledger::entry::StoreRole::Lagging);
        store == self.world.home.name() || !lags
    }

    /// Every store's ledger is valid from its first entry on.
    pub(crate) async fn check_ledger(&self) {
        self.world.look(true);
        for report in self.archive.verify_ledger(&Caller::local()).await.unwrap() {
            assert!(report.findings.is_empty(), "the ledger of {}: {:?}", report.store, report.findings);
        }
        self.world.look(false);
    }

    /// A process that has started has left nothing of an earlier one.
    pub(crate) fn check_leftovers(&self) {
        let scratch = std::fs::read_dir(self.world.data().join("scratch")).unwrap();
        assert_eq!(scratch.count(), 0, "scratch files of an earlier process");
        let known = ["lock", "known.json", "journal", "catalog", "catalog.bad", "scratch", "grace.json"];
        for entry in std::fs::read_dir(self.world.data()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(known.contains(&name.as_str()), "{name} in the data folder");
        }
        for entry in std::fs::read_dir(self.world.data().join("journal")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let is_known = ["lock", "spill"].contains(&name.as_str())
                || ["segment-", "tail-"].iter().any(|beginning| name.starts_with(beginning));
            assert!(is_known, "{name} in the journal");
        }
    }
}
