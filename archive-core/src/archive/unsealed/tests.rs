use super::*;
use crate::archive::tests::samples::entry;

const NUMBER: ReceiptNumber = ReceiptNumber { epoch: 1, number: 7 };

fn names(entry: &JournalEntry) -> (StudyUid, VersionOfInstance) {
    (entry.facts.keys.study.clone(), (entry.facts.keys.sop.clone(), entry.facts.version.clone()))
}

#[test]
fn of_several_at_once_one_writes_and_the_others_wait_for_it() {
    let unsealed = Unsealed::default();
    let (study, version) = names(&entry(1));
    let Claim::Write(writing) = unsealed.claim(&study, &version) else { panic!("the first one writes") };
    let Claim::Wait(waiting) = unsealed.claim(&study, &version) else { panic!("the second one waits") };
    assert!(waiting.has_changed().is_ok(), "not decided yet");
    unsealed.written(writing, NUMBER);
    assert!(waiting.has_changed().is_err(), "the channel closes when it is decided");
    assert!(matches!(unsealed.claim(&study, &version), Claim::Share(NUMBER)));
}

#[test]
fn a_writer_that_failed_or_was_cut_off_lets_the_next_one_write() {
    let unsealed = Unsealed::default();
    let (study, version) = names(&entry(1));
    let Claim::Write(writing) = unsealed.claim(&study, &version) else { panic!("the first one writes") };
    unsealed.abandoned(writing);
    let claim = unsealed.claim(&study, &version);
    assert!(matches!(claim, Claim::Write(_)));
    drop(claim);
    assert!(matches!(unsealed.claim(&study, &version), Claim::Write(_)));
}

#[test]
fn against_frozen_or_sealed_content_bytes_are_written_anew() {
    let unsealed = Unsealed::default();
    let entry = entry(7);
    let (study, version) = names(&entry);
    unsealed.recovered(&entry, false, Duration::ZERO);
    assert!(matches!(unsealed.claim(&study, &version), Claim::Share(NUMBER)));
    unsealed.freeze(&study);
    for _ in 0..2 {
        assert!(matches!(unsealed.claim(&study, &version), Claim::Write(_)));
    }
    unsealed.sealed(&study, &[NUMBER]);
    unsealed.thaw(&study, Duration::ZERO);
    assert!(matches!(unsealed.claim(&study, &version), Claim::Write(_)), "sealed content is no ground to drop bytes");
}

#[test]
fn a_study_is_due_when_quiet_or_old_and_waits_after_a_failure() {
    let unsealed = Unsealed::default();
    let (study, _) = names(&entry(1));
    let (quiet, max_age) = (Duration::from_secs(120), Duration::from_secs(3600));
    let due = |at: u64| unsealed.due(Duration::from_secs(at), quiet, max_age, false).len();
    unsealed.received(&entry(1), false, Duration::ZERO);
    assert_eq!((due(119), due(120)), (0, 1));
    for at in (0..3600).step_by(60) {
        unsealed.received(&entry(at + 1), false, Duration::from_secs(at));
    }
    assert_eq!((due(3599), due(3600)), (0, 1), "it never was quiet, and is old now");
    assert_eq!(unsealed.failed(&study, Duration::from_secs(4000)), 1);
    assert_eq!((due(4005), due(4010)), (0, 1));
}

#[test]
fn i10_what_came_is_told_once_by_source_and_study() {
    let unsealed = Unsealed::default();
    unsealed.received(&entry(1), false, Duration::ZERO);
    unsealed.received(&entry(2), false, Duration::ZERO);
    unsealed.received(&entry(3), true, Duration::ZERO);
    let untold = unsealed.untold();
    assert_eq!(untold.len(), 1);
    assert_eq!((untold[0].numbers.len(), untold[0].bytes), (2, 20));
    unsealed.tell(&untold[0]);
    assert!(unsealed.untold().is_empty());
}

#[test]
fn what_came_in_a_long_outage_is_told_in_entries_that_fit() {
    let unsealed = Unsealed::default();
    // Two sources in turn: no two receipts of one source follow each other.
    for number in 0..100_000 {
        let mut entry = entry(number);
        entry.held.receipt.source = SourceKey::new(if number % 2 == 0 { "CT1" } else { "CT2" });
        unsealed.received(&entry, false, Duration::ZERO);
    }
    let untold = unsealed.untold();
    assert_eq!(untold.iter().map(|group| group.numbers.len()).sum::<usize>(), 100_000);
    assert_eq!(untold.iter().map(|group| group.bytes).sum::<u64>(), 1_000_000);
    assert!(untold.iter().all(|group| group.numbers.len() <= RUNS_MAX));
    assert_eq!(untold.len(), 6, "three of each source");
    untold.iter().for_each(|group| unsealed.tell(group));
    assert!(unsealed.untold().is_empty());
}
