//! What may happen, and how likely it is.

use archive_core::testing::{Effect, Op, StoreFault};
use proptest::prelude::*;

use crate::model::{STUDIES, Sending};

/// What the archive is asked to do. Several may go on at once.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Action {
    /// Somebody sends, and waits for the answer.
    Send(Sending),
    /// Somebody sends, and hangs up after so many milliseconds of waiting for the answer.
    HangUp(Sending, u8),
    Seal,
    SealDue,
    Merge,
    DeleteReplaced,
    DeleteOrphans,
    CatchUp,
    Compact,
    Tell,
    TakeIn,
    /// Everything that was acknowledged of a study is read.
    Read(u8),
}

/// One step of a sequence.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Operation {
    Do(Action),
    Together(Vec<Action>),
    /// Time passes (seconds).
    Wait(u32),
    /// The process is ended in order, and started again.
    Restart,
    /// The process is killed at the n-th input or output from here on. With a pattern the power is cut: what was not
    /// synced survives where the pattern has a one.
    Die {
        calls: u16,
        effect: Effect,
        cut: Option<u64>,
    },
    /// A store goes away; the home, or the other one.
    Away {
        home: bool,
    },
    /// All stores are back, and do what they are asked.
    Back,
    /// The next call of a kind to a store fails.
    StoreFails {
        home: bool,
        op: Op,
        fault: StoreFault,
    },
    /// What was late arrives.
    Arrives,
    /// The journal's disk fails at its n-th call from here on.
    DiskFails {
        at: u8,
        full: bool,
        stays: bool,
    },
    /// One byte of a pack is changed where it lies.
    FlipPack {
        home: bool,
        pack: u8,
        at: u16,
        bits: u8,
    },
    /// A pack vanishes.
    LosePack {
        home: bool,
        pack: u8,
    },
    /// Every pack that was damaged is put right by somebody.
    PutBack,
    /// The process is ended in order; one byte of a file of the journal is changed.
    FlipJournal {
        file: u8,
        at: u16,
        bits: u8,
    },
    /// The process is ended in order; the catalog is deleted.
    LoseCatalog,
    /// The catalog is made anew, and must answer as before.
    Rebuild,
    /// Everything is read again; what is damaged must be named, and nothing else.
    Verify,
}

fn sending() -> impl Strategy<Value = Sending> {
    let file = prop_oneof![3 => Just(None), 1 => (0_u8..2).prop_map(Some)];
    (0..STUDIES, 1_u8..4, 0_u8..3, 0_u8..2, file, prop::bool::weighted(0.15))
        .prop_map(|(study, n, text, source, file, large)| Sending { study, n, text, source, file, large })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => sending().prop_map(Action::Send),
        1 => (sending(), 0_u8..20).prop_map(|(sending, after)| Action::HangUp(sending, after)),
        4 => Just(Action::Seal),
        1 => Just(Action::SealDue),
        3 => Just(Action::Merge),
        2 => Just(Action::DeleteReplaced),
        1 => Just(Action::DeleteOrphans),
        2 => Just(Action::CatchUp),
        1 => Just(Action::Compact),
        1 => Just(Action::Tell),
        1 => Just(Action::TakeIn),
        2 => (0..STUDIES).prop_map(Action::Read),
    ]
}

fn die() -> impl Strategy<Value = Operation> {
    let effect = prop_oneof![Just(Effect::Before), Just(Effect::After)];
    (1_u16..60, effect, prop::option::of(any::<u64>())).prop_map(|(calls, effect, cut)| Operation::Die {
        calls,
        effect,
        cut,
    })
}

fn store_fails() -> impl Strategy<Value = Operation> {
    let of = |op: Op, faults: &'static [StoreFault]| {
        (any::<bool>(), prop::sample::select(faults)).prop_map(move |(home, fault)| Operation::StoreFails {
            home,
            op,
            fault,
        })
    };
    use StoreFault::{AnswerLost, Flipped, Late, Refused, Slow, Stale, Truncated, Twice};
    prop_oneof![
        3 => of(Op::Create, &[Refused, AnswerLost, Late, Twice, Slow]),
        2 => of(Op::Read, &[Refused, Truncated, Flipped, Slow]),
        1 => of(Op::List, &[Refused, Stale]),
        1 => of(Op::Delete, &[Refused, AnswerLost, Late, Slow]),
    ]
}

fn flip_pack() -> impl Strategy<Value = Operation> {
    (any::<bool>(), any::<u8>(), any::<u16>(), 1_u8..=255).prop_map(|(home, pack, at, bits)| Operation::FlipPack {
        home,
        pack,
        at,
        bits,
    })
}

/// A step of a sequence in which nothing is damaged for good: nothing may be missing, ever.
pub(crate) fn without_damage() -> impl Strategy<Value = Operation> {
    prop_oneof![
        24 => action().prop_map(Operation::Do),
        6 => prop::collection::vec(action(), 2..5).prop_map(Operation::Together),
        2 => prop_oneof![1_u32..120, Just(3600_u32), Just(8 * 24 * 3600)].prop_map(Operation::Wait),
        1 => Just(Operation::Restart),
        4 => die(),
        1 => any::<bool>().prop_map(|home| Operation::Away { home }),
        2 => Just(Operation::Back),
        4 => store_fails(),
        1 => Just(Operation::Arrives),
        1 => (1_u8..12, any::<bool>(), any::<bool>()).prop_map(|(at, full, stays)| Operation::DiskFails { at, full, stays }),
        1 => Just(Operation::LoseCatalog),
        1 => Just(Operation::Rebuild),
        1 => Just(Operation::Verify),
    ]
}

/// As [`without_damage`], with bytes that are flipped and packs that vanish.
pub(crate) fn with_damage() -> impl Strategy<Value = Operation> {
    prop_oneof![
        20 => without_damage(),
        2 => flip_pack(),
        1 => (any::<bool>(), any::<u8>()).prop_map(|(home, pack)| Operation::LosePack { home, pack }),
        1 => Just(Operation::PutBack),
        2 => (any::<u8>(), any::<u16>(), 1_u8..=255).prop_map(|(file, at, bits)| Operation::FlipJournal { file, at, bits }),
    ]
}
