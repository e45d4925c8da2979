//! Several epochs: how a takeover looks to readers, to the old machine, and to verification.
//!
//! The takeover itself is written elsewhere; these segments are made by hand as docs/FORMAT.md says.

use super::*;
use crate::caller::SourceKey;
use crate::ledger::entry::{Continues, Entry};
use crate::ledger::segment::Header;

/// A segment that follows another one.
pub(super) fn following(last: &Segment, position: Position, bodies: Vec<EntryBody>) -> (Segment, Bytes) {
    let header = Header {
        epoch: position.epoch,
        sequence: position.sequence,
        writer: "0123456789abcdef0123456789abcdef".to_owned(),
        first: last.tree().size,
        previous: Some(last.sha256),
        frontier: last.frontier.subtrees().to_vec(),
        ..last.header.clone()
    };
    let time = last.entries.last().unwrap().entry.vouched;
    let record = |(n, body)| Recorded::of(Entry { n, time, vouched: time, body }).unwrap();
    let entries = (header.first..).zip(bodies).map(record).collect();
    Segment::encode(header, entries).unwrap()
}

pub(super) fn opening_of(last: &Segment, epoch: u32) -> EntryBody {
    let Head { epoch: before, sequence, sha256, size, root } = Head::of(last);
    EntryBody::EpochOpened {
        epoch,
        continues: Some(Continues { epoch: before, sequence, sha256, size, root }),
        program: Word::parse("vellum-0.1.0").unwrap(),
    }
}

async fn last_segment(store: &Arc<FaultStore>) -> Segment {
    let LedgerState::EndsAt(end) = find_end(&**store.inner()).await.unwrap() else { panic!("no end") };
    Segment::decode(end, &store.inner().read(&end.key().unwrap()).await.unwrap()).unwrap()
}

async fn put(world: &World, (segment, bytes): (Segment, Bytes)) -> Segment {
    for store in [&world.home, &world.required] {
        store.inner().create(&segment.position.key().unwrap(), bytes.clone()).await.unwrap();
    }
    segment
}

async fn close(world: &World) -> Segment {
    let last = last_segment(&world.home).await;
    let closed = EntryBody::EpochClosed { epoch: 1, by: SourceKey::new("operator") };
    put(world, following(&last, last.position.next(), vec![closed])).await
}

async fn take_over(world: &World) -> Segment {
    let closed = close(world).await;
    let position = Position { epoch: 2, sequence: 0 };
    put(world, following(&closed, position, vec![opening_of(&closed, 2), job(500)])).await
}

#[tokio::test]
async fn i13_the_old_machines_next_append_loses_and_it_stops_for_good() {
    let (world, old) = World::with_appends(3).await;
    take_over(&world).await;
    assert!(matches!(old.append(vec![job(10)]).await, Err(LedgerError::Fenced { .. })));
    assert!(matches!(old.append(vec![job(11)]).await, Err(LedgerError::Fenced { .. })));
}

#[tokio::test]
async fn i13_an_old_machine_that_is_started_again_is_told_that_its_epoch_is_over() {
    let (mut world, ledger) = World::with_appends(3).await;
    drop(ledger);
    close(&world).await;
    assert!(matches!(world.open().await, Err(LedgerError::EpochOver { epoch: 1 })));
    let (mut world, ledger) = World::with_appends(3).await;
    drop(ledger);
    take_over(&world).await;
    assert!(matches!(world.open().await, Err(LedgerError::EpochOver { epoch: 1 })));
}

#[tokio::test]
async fn the_new_epoch_goes_on_and_is_read_as_one_ledger() {
    let (mut world, ledger) = World::with_appends(3).await;
    drop(ledger);
    let opening = take_over(&world).await;
    world.remembered = Some(Head::of(&opening));
    let ledger = world.open().await.unwrap();
    let appended = ledger.append(vec![job(501)]).await.unwrap();
    assert_eq!(appended.standing.head.position(), Position { epoch: 2, sequence: 1 });
    let _ = ledger.catch_up().await.unwrap();
    for store in [&world.home, &world.required, &world.lagging] {
        let report = verify_store(store, ledger.head()).await;
        assert!(report.is_good() && report.summary.epochs == 2, "{report}");
        assert_eq!(lines(store).await.unwrap().len(), 9);
    }
    for n in 0..9 {
        let end = ledger.head().unwrap().position();
        let filter = Filter { from: n, ..Filter::default() };
        let mut entries = Entries::begin(world.home.clone(), archive(), filter, end).await.unwrap();
        assert_eq!(entries.next().await.unwrap().unwrap().entry.n, n);
    }
}

#[tokio::test]
async fn segments_beyond_the_point_that_the_next_epoch_names_are_counted_and_never_folded() {
    let (world, old) = World::with_appends(3).await;
    let named = last_segment(&world.home).await;
    let position = Position { epoch: 2, sequence: 0 };
    let _ = old.append(vec![job(66)]).await.unwrap();
    put(&world, following(&named, position, vec![opening_of(&named, 2), job(500)])).await;
    let report = verify_store(&world.home, None).await;
    assert!(report.is_good() && report.summary.abandoned == 1, "{report}");
    let abandoned = Sha256Digest::of(&66_u64.to_be_bytes()).to_hex();
    let lines = lines(&world.home).await.unwrap();
    assert_eq!(lines.len(), 7);
    assert!(!lines.iter().any(|line| line.contains(&abandoned)));
}

#[tokio::test]
async fn i13_a_machine_whose_branch_was_abandoned_is_refused() {
    let (mut world, old) = World::with_appends(3).await;
    let named = last_segment(&world.home).await;
    world.remembered = Some(old.append(vec![job(66)]).await.unwrap().standing.head);
    drop(old);
    put(&world, following(&named, Position { epoch: 2, sequence: 0 }, vec![opening_of(&named, 2)])).await;
    assert!(matches!(world.open().await, Err(LedgerError::Forked { .. })));
}

#[tokio::test]
async fn nothing_follows_the_end_of_an_epoch_and_no_epoch_begins_without_saying_what_it_continues() {
    let (world, ledger) = World::with_appends(3).await;
    drop(ledger);
    let last = last_segment(&world.home).await;
    let closed = EntryBody::EpochClosed { epoch: 1, by: SourceKey::new("operator") };
    let at = last.position.next();
    let second = Position { epoch: 2, sequence: 0 };
    let wrong = match opening_of(&last, 2) {
        EntryBody::EpochOpened { epoch, continues: Some(from), program } => {
            let continues = Some(Continues { size: from.size + 1, ..from });
            EntryBody::EpochOpened { epoch, continues, program }
        }
        other => other,
    };
    let cases = [
        (following(&last, at, vec![closed.clone(), job(9)]), Some(3), Fault::AfterClose),
        (following(&last, at, vec![job(9), opening_of(&last, 1)]), Some(3), Fault::Opening),
        (following(&last, second, vec![job(9)]), Some(2), Fault::Opening),
        (following(&last, second, vec![wrong]), Some(2), Fault::Opening),
        (following(&last, second, vec![opening_of(&last, 3)]), Some(2), Fault::Opening),
    ];
    for ((segment, bytes), line, fault) in cases {
        let key = segment.position.key().unwrap();
        world.home.inner().create(&key, bytes).await.unwrap();
        let report = verify_store(&world.home, None).await;
        assert_eq!(report.findings, [Damage { object: segment.position.name(), line, fault }], "{report}");
        world.home.inner().lose(&key);
    }
}

#[tokio::test]
async fn a_whole_epoch_above_a_missing_one_is_a_gap() {
    let (mut world, ledger) = World::with_appends(3).await;
    drop(ledger);
    let opening = take_over(&world).await;
    let third = following(&opening, Position { epoch: 3, sequence: 0 }, vec![opening_of(&opening, 3)]);
    put(&world, third).await;
    world.home.inner().lose(&opening.position.key().unwrap());
    assert!(
        matches!(world.open().await, Err(LedgerError::Damaged { damage, .. }) if damage.object == opening.position.name())
    );
    let report = verify_store(&world.home, None).await;
    assert_eq!(report.findings[0].object, opening.position.name(), "{report}");
}
