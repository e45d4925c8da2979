//! The life of a machine: a process starts, does what it is asked, ends in order or is killed, and the next one starts on
//! what is left. Everything is compared with the model after each step and after each start.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use archive_core::archive::{Archive, ArchiveError, Incoming, Input, Received};
use archive_core::caller::{Caller, Door, SourceKey};
use archive_core::store::StoreKey;
use archive_core::testing::data_set::explicit_little;
use archive_core::testing::{DiskFault, in_place};
use futures::future::join_all;
use rustix::io::Errno;

use crate::damage::{Damage, flip_in_journal};
use crate::looking::Looking;
use crate::model::{Counts, Model, STUDIES, Sending, source_key};
use crate::operation::{Action, Operation};
use crate::world::{Setup, World};

/// Nothing takes as long as this, unless it hangs.
const HANGS_AFTER: Duration = Duration::from_secs(60 * 24 * 3600);

/// A run of a sequence.
pub(crate) struct Run<'a> {
    pub(crate) world: World,
    pub(crate) model: RefCell<Model>,
    pub(crate) damage: RefCell<Damage>,
    operations: &'a [Operation],
    /// The operation that comes next.
    next: Cell<usize>,
    /// How the power goes when the process dies; `None`: it does not.
    pub(crate) cut: Cell<Option<u64>>,
    /// A disk fault was armed in this life: what is sent may fail.
    pub(crate) disk_may_fail: Cell<bool>,
    /// A byte of the journal was flipped, and nobody has looked yet what that took.
    flipped: Cell<bool>,
}

/// How a life ended.
enum Ended {
    /// The sequence is over, and all was well.
    Whole,
    /// In order; this happens before the next one.
    InOrder(Option<Operation>),
    /// It was killed.
    Killed,
}

/// Runs a sequence on a new archive; panics where the archive and the model disagree.
pub(crate) fn run(setup: Setup, seed: u64, operations: &[Operation]) -> Counts {
    let _in_place = in_place::begin(seed);
    let run = Run::new(setup, seed, operations);
    run.model.borrow_mut().counts.operations = operations.len() as u64;
    loop {
        let runtime = crate::world::runtime();
        let ended = runtime.block_on(run.live());
        // What the process had under way is gone with it.
        drop(runtime);
        run.disk_may_fail.set(false);
        match ended {
            Ended::Whole => break,
            Ended::InOrder(between) => {
                run.model.borrow_mut().counts.restarts += 1;
                run.world.disk.fail(None);
                if let Some(between) = between {
                    run.at_rest(&between);
                }
            }
            Ended::Killed => run.after_death(),
        }
    }
    run.model.into_inner().counts
}

impl<'a> Run<'a> {
    pub(crate) fn new(setup: Setup, seed: u64, operations: &'a [Operation]) -> Self {
        Self {
            world: World::new(setup, seed),
            model: RefCell::default(),
            damage: RefCell::default(),
            operations,
            next: Cell::new(0),
            cut: Cell::new(None),
            disk_may_fail: Cell::new(false),
            flipped: Cell::new(false),
        }
    }

    pub(crate) fn after_death(&self) {
        self.world.machine.start();
        self.world.disk.fail(None);
        self.world.look(false);
        let mut model = self.model.borrow_mut();
        match self.cut.take() {
            Some(pattern) => {
                self.world.power_cut(pattern);
                model.counts.power_cuts += 1;
            }
            None => model.counts.crashes += 1,
        }
    }

    /// What is done to the files of a process that has ended.
    fn at_rest(&self, operation: &Operation) {
        match operation {
            Operation::FlipJournal { file, at, bits } => {
                let flipped = flip_in_journal(&self.world, *file, *at, *bits);
                self.model.borrow_mut().counts.flips += u64::from(flipped);
                self.flipped.set(self.flipped.get() || flipped);
            }
            Operation::LoseCatalog => {
                self.world.catalog.lose();
                drop(std::fs::remove_dir_all(self.world.data().join("catalog")));
            }
            _ => {}
        }
    }

    /// One life.
    async fn live(&self) -> Ended {
        let machine = &self.world.machine;
        let archive = tokio::select! {
            biased;
            () = machine.died() => return Ended::Killed,
            archive = self.start() => archive,
        };
        let looking = Looking { world: &self.world, archive: &archive, model: &self.model, damage: &self.damage };
        let looked = async {
            looking.check_leftovers();
            looking.check_ledger().await;
            if self.flipped.get() {
                self.name_what_was_lost(&looking).await;
                self.flipped.set(false);
            }
            looking.check().await;
        };
        tokio::select! {
            biased;
            () = machine.died() => return Ended::Killed,
            () = looked => {}
        }
        while let Some(operation) = self.operations.get(self.next.get()) {
            self.next.set(self.next.get() + 1);
            match operation {
                Operation::Restart => return self.end(archive, None).await,
                Operation::LoseCatalog => return self.end(archive, Some(operation.clone())).await,
                Operation::FlipJournal { .. } => {
                    // What lies where must be known before.
                    tokio::select! {
                        biased;
                        () = machine.died() => return Ended::Killed,
                        () = looking.check() => {}
                    }
                    return self.end(archive, Some(operation.clone())).await;
                }
                _ => {}
            }
            let step = async {
                let done = tokio::time::timeout(HANGS_AFTER, self.perform(&looking, operation)).await;
                assert!(done.is_ok(), "it hangs: {operation:?}");
                // One study after the other; all of them at each start and at the end.
                looking.check_one(u8::try_from(self.next.get() % usize::from(STUDIES)).unwrap_or(0)).await;
            };
            tokio::select! {
                biased;
                () = machine.died() => return Ended::Killed,
                () = step => {}
            }
            if archive.obstacles().iter().any(|(part, _)| *part != "catalog") {
                // A process whose journal or ledger has stopped ends.
                return self.end(archive, None).await;
            }
        }
        if machine.is_doomed() {
            machine.die();
            return Ended::Killed;
        }
        tokio::select! {
            biased;
            () = machine.died() => Ended::Killed,
            () = self.finish(&looking) => Ended::Whole,
        }
    }

    /// Starts a process. Where a store does not answer that it needs, somebody puts that right.
    pub(crate) async fn start(&self) -> Arc<Archive> {
        if let Ok(archive) = self.world.open().await {
            return archive;
        }
        self.world.all_well();
        self.world.open().await.unwrap_or_else(|error| panic!("all is well, and it does not start: {error}"))
    }

    async fn end(&self, archive: Arc<Archive>, between: Option<Operation>) -> Ended {
        let closing = async {
            let closed = tokio::time::timeout(HANGS_AFTER, archive.close()).await;
            assert!(closed.is_ok(), "closing hangs");
        };
        tokio::select! {
            biased;
            () = self.world.machine.died() => Ended::Killed,
            () = closing => Ended::InOrder(between),
        }
    }

    /// After a byte of the journal was flipped: what is missing was hit by it, and is named. With a mirror nothing is.
    async fn name_what_was_lost(&self, looking: &Looking<'_>) {
        looking.world.look(true);
        looking.archive.rebuilt().await;
        let present = looking.present().await;
        looking.world.look(false);
        let expected = self.model.borrow().versions();
        let mut lost = BTreeSet::new();
        let mut versions = BTreeSet::new();
        for (version, receipts) in expected {
            let missing: Vec<_> = receipts.difference(&present).copied().collect();
            if missing.is_empty() {
                continue;
            }
            let places = self.model.borrow().places.get(&version).cloned().unwrap_or_default();
            if !places.contains("journal") {
                // A pack without a good copy is looked at elsewhere.
                continue;
            }
            versions.insert(version);
            lost.extend(missing);
        }
        if lost.is_empty() {
            return;
        }
        assert!(!self.world.setup.mirror, "{lost:?} are lost although there is a mirror");
        assert_eq!(versions.len(), 1, "one byte took several contents: {lost:?}");
        let findings = looking.archive.status().await.findings;
        // Of the last batch alone nobody can tell whether it was ever whole: it is kept, and said.
        let named = |finding: &String| finding.starts_with("lost: ") || finding.contains("kept as");
        assert!(findings.iter().any(named), "{lost:?} are not named: {findings:?}");
        self.model.borrow_mut().lost(&lost);
    }

    async fn perform(&self, looking: &Looking<'_>, operation: &Operation) {
        let world = &self.world;
        match operation {
            Operation::Do(action) => self.act(looking, *action).await,
            Operation::Together(actions) => {
                drop(join_all(actions.iter().map(|action| self.act(looking, *action))).await);
            }
            Operation::Wait(seconds) => tokio::time::sleep(Duration::from_secs((*seconds).into())).await,
            Operation::Die { calls, effect, cut } => {
                if world.machine.is_doomed() {
                    return world.machine.die();
                }
                self.cut.set(*cut);
                world.machine.dies_at((*calls).into(), *effect);
            }
            Operation::Away { home } => world.store(*home).set_away(true),
            Operation::Back => world.all_well(),
            Operation::StoreFails { home, op, fault } => {
                self.model.borrow_mut().counts.faults += 1;
                world.store(*home).fail(*op, "", *fault);
            }
            Operation::Arrives => {
                for store in world.stores() {
                    store.land().await;
                }
            }
            Operation::DiskFails { at, full, stays } => {
                self.model.borrow_mut().counts.faults += 1;
                self.disk_may_fail.set(true);
                let errno = if *full { Errno::NOSPC } else { Errno::IO };
                world.disk.fail(Some(DiskFault { at: (*at).into(), errno, stays: *stays }));
            }
            Operation::FlipPack { .. } | Operation::LosePack { .. } | Operation::PutBack => {
                looking.check().await;
                self.hurt(operation).await;
            }
            Operation::Rebuild => looking.rebuild().await,
            Operation::Verify => looking.verify().await,
            Operation::Restart | Operation::FlipJournal { .. } | Operation::LoseCatalog => {}
        }
    }

    #[expect(clippy::await_holding_refcell_ref, reason = "nothing else goes on meanwhile")]
    async fn hurt(&self, operation: &Operation) {
        let mut damage = self.damage.borrow_mut();
        let hit = match operation {
            Operation::FlipPack { home, pack, at, bits } => {
                damage.flip(self.world.store(*home), *pack, *at, *bits).await
            }
            Operation::LosePack { home, pack } => damage.lose(self.world.store(*home), *pack).await,
            _ => {
                let places: Vec<String> = self.model.borrow().places.values().cloned().collect();
                let is_wanted = |key: &StoreKey| {
                    let pack = key.as_str().rsplit('/').next().and_then(|name| name.strip_suffix(".zip"));
                    places.iter().any(|place| place.contains(pack.unwrap_or_default()))
                };
                damage.put_back(&self.world, is_wanted).await;
                false
            }
        };
        self.model.borrow_mut().counts.flips += u64::from(hit);
    }

    async fn act(&self, looking: &Looking<'_>, action: Action) {
        let archive = looking.archive;
        match action {
            Action::Send(sending) => self.send(archive, &sending).await,
            Action::HangUp(sending, after) => {
                let waiting = Duration::from_millis(after.into());
                drop(tokio::time::timeout(waiting, self.send(archive, &sending)).await);
            }
            Action::Seal => drop(archive.seal(&Caller::local(), true).await),
            Action::SealDue => drop(archive.seal_due().await),
            Action::Merge => drop(archive.merge_due().await),
            Action::DeleteReplaced => {
                // Longer than the grace of a small archive.
                tokio::time::sleep(Duration::from_secs(11)).await;
                drop(archive.delete_superseded().await);
            }
            Action::DeleteOrphans => drop(archive.delete_orphans().await),
            Action::CatchUp => drop(archive.catch_up_stores().await),
            Action::Compact => drop(archive.compact_journal().await),
            Action::Tell => drop(archive.record_received().await),
            Action::TakeIn => drop(archive.take_in_repaired().await),
            Action::Read(study) => looking.read(study).await,
        }
    }

    pub(crate) async fn send(&self, archive: &Arc<Archive>, sending: &Sending) {
        self.model.borrow_mut().sends(sending);
        match send(archive, sending).await {
            Ok(received) => {
                assert_eq!(received.content, sending.content());
                let (number, at) = (received.receipt, self.world.clock.elapsed());
                self.world.machine.note(format_args!("acknowledged {number} {} at {at:?}", received.content));
                self.model.borrow_mut().acknowledged(sending, received.receipt);
            }
            // Nothing of it was kept.
            Err(ArchiveError::Full(_)) => self.model.borrow_mut().refused(sending),
            Err(error) => {
                let may_fail = self.disk_may_fail.get() || self.world.machine.is_dead();
                assert!(may_fail, "receiving never waits for a store, and the disk is well: {error}");
            }
        }
    }

    /// All is well from here on: everything is sealed, every store has everything, nothing is damaged that was not.
    pub(crate) async fn finish(&self, looking: &Looking<'_>) {
        self.world.all_well();
        for store in self.world.stores() {
            store.land().await;
        }
        let archive = looking.archive;
        archive.rebuilt().await;
        archive.record_received().await.unwrap();
        archive.take_in_repaired().await.unwrap();
        let is_damaged = is_damaged(&self.world, &self.damage).await;
        let sealed = archive.seal(&Caller::local(), true).await.unwrap();
        if !is_damaged {
            assert!(sealed.failed.is_empty(), "{:?}", sealed.failed);
            assert_eq!(archive.status().await.journal.live_receipts, 0, "receipts that were sealed");
            archive.catch_up_stores().await.unwrap();
            archive.merge_due().await.unwrap();
            archive.catch_up_stores().await.unwrap();
            // Longer than a delete of which nobody knows the outcome counts as in flight.
            tokio::time::sleep(Duration::from_secs(3600)).await;
            archive.delete_superseded().await.unwrap();
        }
        looking.check().await;
        looking.check_ledger().await;
        looking.verify().await;
        looking.rebuild().await;
        looking.check().await;
        archive.close().await;
    }
}

#[expect(clippy::await_holding_refcell_ref, reason = "nothing else goes on meanwhile")]
async fn is_damaged(world: &World, damage: &RefCell<Damage>) -> bool {
    damage.borrow().any(world).await
}

/// Sends something to the archive, as a door would.
pub(crate) async fn send(archive: &Arc<Archive>, sending: &Sending) -> Result<Received, ArchiveError> {
    let prefix = sending.prefix();
    let incoming = Incoming {
        door: if prefix.is_some() { Door::Import } else { Door::CStore },
        source: SourceKey::new(&source_key(sending.source)),
        form: if prefix.is_some() { Input::File } else { Input::DataSet(explicit_little()) },
        local_ae: None,
        expected_sop: None,
        expected_class: None,
        expected_study: None,
    };
    let mut receiving = archive.receive(&Caller::local(), incoming).await?;
    if let Some(prefix) = prefix {
        receiving.write(prefix).await?;
    }
    let data_set = sending.data_set();
    let (first, second) = (data_set.slice(..data_set.len() / 2), data_set.slice(data_set.len() / 2..));
    receiving.write(first).await?;
    receiving.write(second).await?;
    receiving.finish().await
}
