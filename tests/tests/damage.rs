//! A byte is flipped in what the archive wrote; the whole archive is opened on it and asked for everything (promises I9,
//! I11): see `system_tests::damage`. Here at positions drawn at random (`VELLUM_SEED` repeats a run); `scripts/faults` takes
//! every one. The readers of each format have tests of their own, at every position.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use system_tests::damage::{Kind, Specimen};
use system_tests::generate::{Generator, Numbers};
use system_tests::vellum::in_memory;

/// Flips of each kind.
const FLIPS: usize = 120;

async fn flips(kind: Kind) {
    let mut make = Generator::new(Numbers::announced(kind.name()));
    let folder = tempfile::tempdir_in(in_memory()).unwrap();
    let specimen = Specimen::make(kind, folder.path(), &mut make).await;
    let all = specimen.flips();
    let mut broken = Vec::new();
    for _ in 0..FLIPS {
        let at = usize::try_from(make.numbers().below(all.len() as u64)).unwrap();
        if let Err((_, why)) = specimen.flip(all[at]).await {
            broken.push(why);
        }
    }
    eprintln!("{}: {FLIPS} of {} positions", kind.name(), all.len());
    assert!(broken.is_empty(), "{} of {FLIPS} do not hold:\n{}", broken.len(), broken.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn i9_a_flip_in_the_journal_is_named_and_only_the_receipt_that_it_hit_may_be_missing() {
    flips(Kind::Journal).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i9_a_flip_in_the_journal_is_made_good_from_the_mirror() {
    flips(Kind::JournalMirrored).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i9_a_flip_in_a_spill_file_is_named_and_only_its_instance_may_be_missing() {
    flips(Kind::Spill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i9_a_flip_in_the_only_copy_of_a_pack_is_named_and_only_what_it_hit_may_be_missing() {
    flips(Kind::Pack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i9_a_flip_in_one_of_two_copies_of_a_pack_is_named_and_nothing_is_missing() {
    flips(Kind::PackWithCopy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i9_a_catalog_rebuilt_from_a_flipped_pack_serves_nothing_wrong() {
    flips(Kind::PackWithoutCatalog).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i11_a_flip_in_the_only_copy_of_the_ledger_is_named_by_the_archive() {
    flips(Kind::Ledger).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i11_no_catalog_is_rebuilt_from_a_flipped_ledger_unnoticed() {
    flips(Kind::LedgerWithoutCatalog).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_a_flip_in_the_catalogs_files_is_found_or_changes_no_answer() {
    flips(Kind::Catalog).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_a_flip_in_the_other_catalogs_file_is_found_or_changes_no_answer() {
    flips(Kind::RedbCatalog).await;
}
