//! What the archive does when it is killed.

use crate::vellum::DataFolder;

/// What the archive is doing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    /// It makes itself: nothing is there.
    Create,
    /// It receives by both doors: small instances, and one that has a file of its own.
    Receive,
    /// As before, with a mirror of the journal.
    ReceiveMirrored,
    /// It receives into segments that were made ahead, and makes further ones.
    ReceiveWithSpares,
    /// It seals a study.
    Seal,
    /// It seals a study in two stores that both must have it.
    SealInTwo,
    /// It seals, merges the packs of a study, and deletes by the gate what was replaced.
    MergeAndDelete,
    /// It copies packs and ledger to a store that lags.
    Copy,
    /// It makes the catalog anew.
    Rebuild,
    /// It starts on what a kill in the middle of a write left: recovery, compaction of the journal, catching up.
    Start,
    /// As before, with a mirror of the journal.
    StartMirrored,
    /// It starts without its catalog.
    StartWithoutCatalog,
    /// It ends in order.
    Stop,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Create,
        Self::Receive,
        Self::ReceiveMirrored,
        Self::ReceiveWithSpares,
        Self::Seal,
        Self::SealInTwo,
        Self::MergeAndDelete,
        Self::Copy,
        Self::Rebuild,
        Self::Start,
        Self::StartMirrored,
        Self::StartWithoutCatalog,
        Self::Stop,
    ];

    /// Its name, as it is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Receive => "receive",
            Self::ReceiveMirrored => "receive-mirrored",
            Self::ReceiveWithSpares => "receive-with-spares",
            Self::Seal => "seal",
            Self::SealInTwo => "seal-in-two",
            Self::MergeAndDelete => "merge-and-delete",
            Self::Copy => "copy",
            Self::Rebuild => "rebuild",
            Self::Start => "start",
            Self::StartMirrored => "start-mirrored",
            Self::StartWithoutCatalog => "start-without-catalog",
            Self::Stop => "stop",
        }
    }

    /// Whether the server is killed before it is ready.
    pub(super) const fn is_at_start(self) -> bool {
        matches!(self, Self::Create | Self::Start | Self::StartMirrored | Self::StartWithoutCatalog)
    }

    /// The configuration under which the phase is what it should be, and nothing else happens meanwhile.
    pub(super) fn configure(self, data: DataFolder) -> DataFolder {
        let data = data
            .with("VELLUM_SEAL__QUIET", "24h")
            .with("VELLUM_SEAL__MAX_AGE", "24h")
            .with("VELLUM_MERGE__EVERY", "24h")
            .with("VELLUM_MERGE__QUIET", "24h")
            .with("VELLUM_GATE__EVERY", "24h")
            .with("VELLUM_JOURNAL__SEGMENT", "256KiB")
            .with("VELLUM_JOURNAL__INLINE", "16KiB")
            .with("VELLUM_JOURNAL__RESERVE", "4KiB")
            .with("VELLUM_CATALOG__CACHE", "8MiB");
        let mirror = data.path().join("mirror").display().to_string();
        match self {
            // A segment is full after a few instances.
            Self::ReceiveWithSpares => {
                data.with("VELLUM_JOURNAL__SPARES", "2").with("VELLUM_JOURNAL__SEGMENT", "32KiB")
            }
            Self::ReceiveMirrored => data.with("VELLUM_JOURNAL__MIRROR", mirror),
            Self::StartMirrored => {
                data.with("VELLUM_JOURNAL__MIRROR", mirror).with("VELLUM_JOURNAL__COMPACT_AFTER", "1ms")
            }
            Self::Start | Self::StartWithoutCatalog => data.with("VELLUM_JOURNAL__COMPACT_AFTER", "1ms"),
            Self::SealInTwo => {
                data.with("VELLUM_STORES__MAIN__PATH", "store").with("VELLUM_STORES__SECOND__PATH", "second-store")
            }
            Self::Copy => data
                .with("VELLUM_STORES__MAIN__PATH", "store")
                .with("VELLUM_STORES__SECOND__PATH", "second-store")
                .with("VELLUM_STORES__SECOND__ROLE", "lagging")
                .with("VELLUM_COPIES__EVERY", "5ms"),
            Self::MergeAndDelete => data
                .with("VELLUM_MERGE__EVERY", "5ms")
                .with("VELLUM_MERGE__QUIET", "0s")
                .with("VELLUM_MERGE__PACKS_MIN", "2")
                .with("VELLUM_GATE__EVERY", "5ms")
                .with("VELLUM_GATE__GRACE", "0s"),
            _ => data,
        }
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str(self.name())
    }
}
