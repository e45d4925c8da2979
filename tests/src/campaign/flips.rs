//! Flipped bytes: in the journal, a pack and the ledger at every position, elsewhere at some drawn at random.

use crate::damage::{Kind, Specimen};

use super::part::{Ground, Part};

/// Flips where not every position is tried.
const SAMPLED: usize = 1000;
/// How often is said how far it is (flips).
const SAID_EVERY: usize = 2000;
/// A part ends when so many flips did not hold: the rest would say the same.
const BROKEN_MAX: usize = 20;

/// A part for each kind; at most so many flips each, or as many as there are positions.
pub(super) fn parts(most: Option<u64>) -> Vec<Part> {
    let most = most.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
    let part = |kind: Kind| {
        let is_whole = matches!(kind, Kind::Journal | Kind::Pack | Kind::Ledger | Kind::LedgerWithoutCatalog);
        let most = most.unwrap_or(if is_whole { usize::MAX } else { SAMPLED });
        Part { name: format!("flips in: {}", kind.name()), work: Box::new(move |ground| flips(ground, kind, most)) }
    };
    Kind::ALL.map(part).into()
}

fn flips(ground: &mut Ground, kind: Kind, most: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let specimen = runtime.block_on(Specimen::make(kind, &ground.folder, &mut ground.make));
    let mut flips = specimen.flips();
    let positions = flips.len();
    // The first of a shuffle (Fisher and Yates), where not all are wanted.
    let wanted = positions.min(most);
    if wanted < positions {
        for at in 0..wanted {
            let other = at + ground.make.numbers().below((positions - at) as u64) as usize;
            flips.swap(at, other);
        }
    }
    for (number, flip) in flips.into_iter().take(wanted).enumerate() {
        let outcome = runtime.block_on(specimen.flip(flip));
        ground.summary.flip(kind.name());
        if let Err((wrong, why)) = outcome {
            ground.summary.wrong += wrong;
            ground.summary.broken.push(why);
            if ground.summary.broken.len() == BROKEN_MAX {
                return;
            }
        }
        if (number + 1) % SAID_EVERY == 0 {
            println!("    flips in: {}: {} of {wanted}", kind.name(), number + 1);
        }
    }
}
