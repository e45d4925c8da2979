//! Stores that lose answers, deliver late or twice, and go away.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[tokio::test]
async fn a_lost_answer_is_no_failure_and_no_false_exists_error() {
    let (world, ledger) = World::with_appends(1).await;
    world.home.plan([StoreFault::AnswerLost]);
    world.required.plan([StoreFault::AnswerLost]);
    let appended = ledger.append(vec![job(10)]).await.unwrap();
    assert!(appended.is_in_all_required());
    world.home.plan([StoreFault::Twice]);
    assert_eq!(ledger.append(vec![job(11)]).await.unwrap().first, 4);
}

#[tokio::test]
async fn i10_a_store_that_says_stored_and_has_nothing_is_not_believed() {
    let (world, ledger) = World::with_appends(1).await;
    world.home.plan([StoreFault::Lies]);
    assert_eq!(ledger.append(vec![job(10)]).await.unwrap().first, 3, "the same bytes are tried once more");
    world.home.plan([StoreFault::Lies, StoreFault::Lies]);
    let error = ledger.append(vec![job(11)]).await.unwrap_err();
    assert!(matches!(error, LedgerError::Unsettled { first: 4, last: 4, .. }), "{error}");
    assert_eq!(ledger.append(vec![job(12)]).await.unwrap().first, 5, "what was open went first");
    assert_eq!(lines(&world.home).await.unwrap().len(), 6);
}

#[tokio::test]
async fn a_late_commit_never_becomes_a_fork() {
    let (world, ledger) = World::with_appends(1).await;
    world.home.plan([StoreFault::Late, StoreFault::Refused]);
    let error = ledger.append(vec![job(10)]).await.unwrap_err();
    assert!(matches!(error, LedgerError::Unsettled { first: 3, last: 3, .. }), "{error}");
    world.home.land().await;
    let appended = ledger.append(vec![job(11)]).await.unwrap();
    assert_eq!(appended.first, 4, "what was open went first");
    let lines = lines(&world.home).await.unwrap();
    assert!(lines[3].contains(&Sha256Digest::of(&10_u64.to_be_bytes()).to_hex()));
    assert!(lines[4].contains(&Sha256Digest::of(&11_u64.to_be_bytes()).to_hex()));
}

#[tokio::test]
async fn while_the_home_is_away_nothing_new_is_kept_and_the_same_bytes_go_first() {
    let (world, ledger) = World::with_appends(1).await;
    world.home.plan([StoreFault::Refused; 6]);
    assert!(matches!(ledger.append(vec![job(10)]).await, Err(LedgerError::Unsettled { .. })));
    assert!(matches!(ledger.append(vec![job(11)]).await, Err(LedgerError::Store(_))));
    assert!(matches!(ledger.settle().await, Err(LedgerError::Unsettled { .. })));
    let standing = ledger.settle().await.unwrap();
    assert_eq!(standing.head.size, 4);
    assert_eq!(ledger.append(vec![job(12)]).await.unwrap().first, 4);
    assert_eq!(lines(&world.home).await.unwrap().len(), 5);
}

#[tokio::test]
async fn a_required_store_that_is_away_is_named_and_fed_in_order_when_it_is_back() {
    let (world, ledger) = World::with_appends(1).await;
    world.required.plan([StoreFault::Refused; 4]);
    for number in 10..12 {
        let appended = ledger.append(vec![job(number)]).await.unwrap();
        assert!(!appended.is_in_all_required());
        assert_eq!(appended.standing.missing, [store_id('2')]);
        assert_eq!(appended.standing.stores, [store_id('1')]);
    }
    assert!(ledger.settle().await.unwrap().missing.is_empty());
    assert_eq!(lines(&world.home).await.unwrap(), lines(&world.required).await.unwrap());
}

#[tokio::test]
async fn i13_of_two_writers_one_stops_for_good() {
    let (mut world, first) = World::with_appends(2).await;
    let second = world.open().await.unwrap();
    let _ = second.append(vec![job(20)]).await.unwrap();
    let error = first.append(vec![job(10)]).await.unwrap_err();
    assert!(matches!(error, LedgerError::Fenced { .. }), "{error}");
    assert!(matches!(first.append(vec![job(11)]).await, Err(LedgerError::Fenced { .. })));
    assert!(matches!(first.settle().await, Err(LedgerError::Fenced { .. })));
    assert!(matches!(first.catch_up().await, Err(LedgerError::Fenced { .. })));
    assert!(first.stopped().is_some());
    let _ = second.append(vec![job(21)]).await.unwrap();
    let report = verify_store(&world.home, second.head()).await;
    assert!(report.is_good(), "{report}");
    assert_eq!(report.summary.entries, 6);
}

#[tokio::test]
async fn i13_two_writers_that_race_never_interleave_and_at_most_one_survives() {
    let (mut world, first) = World::with_appends(2).await;
    let second = world.open().await.unwrap();
    let race = |ledger: Ledger, base: u64| async move {
        let mut acknowledged = Vec::new();
        for number in base..base + 20 {
            match ledger.append(vec![job(number)]).await {
                Ok(appended) => acknowledged.push((appended.first, number)),
                Err(LedgerError::Fenced { .. }) => break,
                Err(other) => panic!("{other}"),
            }
        }
        acknowledged
    };
    let (a, b) = tokio::join!(tokio::spawn(race(first.clone(), 100)), tokio::spawn(race(second.clone(), 200)));
    let lines = lines(&world.home).await.unwrap();
    for (n, number) in a.unwrap().into_iter().chain(b.unwrap()) {
        let id = Sha256Digest::of(&number.to_be_bytes()).to_hex();
        assert!(lines[usize::try_from(n).unwrap()].contains(&id), "acknowledged {number} is not entry {n}");
    }
    assert!(first.stopped().is_some() || second.stopped().is_some());
}

#[tokio::test]
async fn i13_a_writer_stops_at_the_first_contact_with_any_store_that_another_wrote_to() {
    let (mut world, old) = World::with_appends(1).await;
    let _ = old.catch_up().await.unwrap();
    let lost_home = std::mem::replace(&mut world.home, FaultStore::of("home", world.machine.clone(), None));
    copy_all(&lost_home, &world.home).await;
    let new = world.open().await.unwrap(); // Another machine, with a copy of the home.
    let _ = new.append(vec![job(50)]).await.unwrap();
    let error = old.append(vec![job(51)]).await.unwrap_err();
    assert!(matches!(&error, LedgerError::Fenced { store, .. } if store == "required"), "{error}");
    assert!(old.stopped().is_some());
}

pub(super) async fn copy_all(from: &Arc<FaultStore>, to: &Arc<FaultStore>) {
    let ledger = StoreKey::parse("ledger").unwrap();
    for object in from.inner().list(&ledger, None, usize::MAX).await.unwrap() {
        let bytes = from.inner().read(&object.key).await.unwrap();
        to.inner().create(&object.key, bytes).await.unwrap();
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append { entries: u64, home: Vec<StoreFault>, required: Vec<StoreFault>, failing_reads: usize },
    LandHome,
    LandRequired,
    Settle,
    CatchUp,
    Restart,
}

fn fault() -> impl Strategy<Value = StoreFault> {
    prop_oneof![
        4 => Just(StoreFault::None),
        2 => Just(StoreFault::AnswerLost),
        2 => Just(StoreFault::Late),
        1 => Just(StoreFault::Refused),
        1 => Just(StoreFault::Twice),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let faults = || prop::collection::vec(fault(), 0..3);
    prop_oneof![
        8 => (1_u64..4, faults(), faults(), 0_usize..3)
            .prop_map(|(entries, home, required, failing_reads)| Step::Append { entries, home, required, failing_reads }),
        1 => Just(Step::LandHome),
        1 => Just(Step::LandRequired),
        1 => Just(Step::Settle),
        1 => Just(Step::CatchUp),
        2 => Just(Step::Restart),
    ]
}

/// What the archive was told, to be compared with what the stores hold.
#[derive(Default)]
struct Told {
    /// Index of an acknowledged entry → its number, and whether the required store was said to have it.
    acknowledged: BTreeMap<u64, (u64, bool)>,
}

async fn run(steps: Vec<Step>) {
    let mut world = World::new();
    let mut ledger = world.open().await.unwrap();
    let mut told = Told::default();
    let mut next = 0;
    for step in steps {
        match step {
            Step::Append { entries, home, required, failing_reads } => {
                world.home.plan(home);
                world.required.plan(required);
                world.home.fail_reads(failing_reads);
                let numbers: Vec<u64> = (next..next + entries).collect();
                next += entries;
                match ledger.append(numbers.iter().map(|number| job(*number)).collect()).await {
                    Ok(appended) => {
                        world.remembered = Some(appended.standing.head);
                        for (n, number) in (appended.first..=appended.last).zip(numbers) {
                            told.acknowledged.insert(n, (number, appended.is_in_all_required()));
                        }
                    }
                    Err(LedgerError::Unsettled { .. } | LedgerError::Store(_) | LedgerError::Fenced { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
            }
            Step::LandHome => world.home.land().await,
            Step::LandRequired => world.required.land().await,
            Step::Settle => drop(ledger.settle().await),
            Step::CatchUp => drop(ledger.catch_up().await),
            Step::Restart => {
                for store in [&world.home, &world.required, &world.lagging] {
                    store.forget_faults();
                }
                ledger = world.open().await.unwrap();
            }
        }
        world.home.fail_reads(0);
    }
    for store in [&world.home, &world.required, &world.lagging] {
        store.forget_faults();
        store.land().await;
    }
    let ledger = world.open().await.unwrap();
    let _ = ledger.catch_up().await.unwrap();
    check(&world, &told).await;
}

async fn check(world: &World, told: &Told) {
    let home = lines(&world.home).await.unwrap();
    for (n, (number, _)) in &told.acknowledged {
        let id = Sha256Digest::of(&number.to_be_bytes()).to_hex();
        assert!(home[usize::try_from(*n).unwrap()].contains(&id), "acknowledged {number} is not entry {n}");
    }
    let mut ids: Vec<&str> = home.iter().filter_map(|line| line.split_once(r#""id":"#)).map(|(_, id)| id).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "an entry is there twice");
    for store in [&world.home, &world.required, &world.lagging] {
        let report = verify_store(store, world.remembered).await;
        assert!(report.is_good() && report.summary.remembered, "{}: {report}", store.name());
        assert_eq!(lines(store).await.unwrap(), home);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn i10_i13_nothing_acknowledged_is_lost_nothing_is_doubled_and_no_store_forks(steps in prop::collection::vec(step(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps));
    }
}
