//! Work that stays on the one thread of a simulation.
//!
//! A runtime of one thread, with time that is paused, is repeatable as long as nothing runs beside it. So what leaves the
//! runtime elsewhere (disks, the catalog, the journal's writer) becomes a task of it while [`begin`] is in force on a thread.
//! Each such task first lets others go on for a while, how long follows from the seed: that is how one seed after the other
//! tries other orders.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::time::Duration;

use tokio::task::JoinError;

use crate::entropy::{SeededEntropy, SharedEntropy};

thread_local! {
    static SCHEDULE: RefCell<Option<SharedEntropy>> = const { RefCell::new(None) };
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, blocking work of this thread stays on it.
#[derive(Debug)]
#[must_use = "it ends when this is dropped"]
pub struct InPlace(PhantomData<*const ()>);

/// Keeps blocking work on this thread, in an order that follows from the seed.
pub fn begin(seed: u64) -> InPlace {
    SCHEDULE.set(Some(SeededEntropy::from_seed(seed)));
    InPlace(PhantomData)
}

impl Drop for InPlace {
    fn drop(&mut self) {
        SCHEDULE.set(None);
    }
}

pub(crate) fn is_on() -> bool {
    SCHEDULE.with_borrow(Option::is_some)
}

/// Whether blocking work is being done: then nothing may wait for the runtime, which it holds up.
pub(crate) fn is_inside() -> bool {
    INSIDE.get()
}

/// Does blocking work as a task: it goes on to its end even if nobody waits for it, as it does on a thread of its own.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    if is_inside() {
        return Ok(work());
    }
    let task = tokio::spawn(async move {
        turn().await;
        let _inside = Inside::enter();
        work()
    });
    task.await
}

/// Waits within blocking work for what does not need the runtime.
pub(crate) fn wait_for<T>(what: impl Future<Output = T>) -> T {
    futures::executor::block_on(tokio::task::unconstrained(what))
}

/// Lets others go on: often not at all, mostly for some turns, sometimes for milliseconds.
pub(crate) async fn turn() {
    let drawn = SCHEDULE.with_borrow(|schedule| {
        let mut drawn = [0_u8; 2];
        schedule.as_ref().map(|schedule| schedule.fill(&mut drawn).map(|()| drawn))
    });
    let Some(Ok([what, how_long])) = drawn else { return };
    match what {
        0..96 => {}
        96..224 => {
            for _ in 0..how_long % 6 {
                tokio::task::yield_now().await;
            }
        }
        224.. => tokio::time::sleep(Duration::from_micros(u64::from(how_long) * 50)).await,
    }
}

struct Inside;

impl Inside {
    fn enter() -> Self {
        INSIDE.set(true);
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(false);
    }
}
