//! Sequences that found a defect once, and must not again.

use archive_core::testing::Effect;

use crate::life::run;
use crate::model::Sending;
use crate::operation::{Action, Operation};
use crate::properties::ALONE;

const SENDING: Sending = Sending { study: 1, n: 1, text: 2, source: 0, file: None, large: false };

/// Seed 12884902122: the bytes were sent again after their pack was damaged and lay whole in another one; the receipt in the
/// damaged pack kept everybody from them.
#[test]
fn a_resend_heals_although_the_damaged_pack_holds_an_earlier_receipt() {
    let other = Sending { text: 0, ..SENDING };
    let operations = [
        Operation::Together(vec![Action::Send(SENDING), Action::Send(other)]),
        Operation::Do(Action::Seal),
        Operation::FlipPack { home: false, pack: 0, at: 28936, bits: 1 },
        Operation::Do(Action::Send(SENDING)),
        Operation::FlipJournal { file: 0, at: 0, bits: 1 },
    ];
    for seed in 0..8 {
        let _counts = run(ALONE, seed, &operations);
    }
}

/// What made the model itself wrong: a byte was flipped, and the process that should have told what it took died first.
#[test]
fn what_a_flipped_byte_took_is_named_by_the_first_process_that_lives_long_enough() {
    let operations = [
        Operation::Do(Action::Send(SENDING)),
        Operation::Die { calls: 2, effect: Effect::Before, cut: None },
        Operation::FlipJournal { file: 0, at: 46139, bits: 1 },
    ];
    let _counts = run(ALONE, 1, &operations);
}
