//! How often each job looks whether there is something to do.

use std::time::Duration;

/// Pauses between two looks; a look without anything to do costs next to nothing, but for the one for orphans.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// For studies that are due for sealing.
    pub seal: Duration,
    /// For receipts that the ledger does not know yet.
    pub received: Duration,
    /// For journal segments that one study pins.
    pub compact: Duration,
    /// For stores that lag behind.
    pub catch_up: Duration,
    /// For packs that were damaged when the catalog was made, and may be whole again.
    pub take_in: Duration,
    /// For studies with many small packs.
    pub merge: Duration,
    /// For replaced packs whose grace is over.
    pub delete: Duration,
    /// For packs that no ledger entry names. Unlike the others, it looks first when this has passed once: it reads long
    /// lists, and an archive that has just started has other things to do.
    pub orphans: Duration,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            seal: Duration::from_secs(1),
            received: Duration::from_secs(60),
            compact: Duration::from_secs(60),
            catch_up: Duration::from_secs(30),
            take_in: Duration::from_secs(60),
            merge: Duration::from_secs(600),
            delete: Duration::from_secs(60),
            orphans: Duration::from_secs(24 * 3600),
        }
    }
}
