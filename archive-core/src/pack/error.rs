//! What can go wrong while a pack is built or verified, and the one distinction that reading needs.

use crate::reading::ReadError;

/// Why a pack could not be built or did not verify. Nothing of it may be used: the scratch file is removed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The scratch file could not be read or written.
    #[error("pack in scratch: {doing}: {source}")]
    Scratch {
        /// What was being done.
        doing: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The caller's order or facts are not those of a pack; a defect of the caller.
    #[error("version {line} cannot be added to this pack: {why}")]
    Refused {
        /// Which line of the index it would have become, from 0.
        line: u32,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The bytes to be sealed are not those that were received. They must be read from elsewhere (the journal's
    /// mirror); the study must not be sealed from these.
    #[error(
        "version {line}: {what} does not have its recorded digest: what was to be sealed is damaged, read it from another copy"
    )]
    ContentDamaged {
        /// Line of the index, from 0.
        line: u32,
        /// Which part.
        what: String,
    },
    /// The bytes to be sealed could not be read.
    #[error("version {line}: its bytes could not be read: {source}")]
    Content {
        /// Line of the index, from 0.
        line: u32,
        /// What the source said.
        source: std::io::Error,
    },
    /// A bound of the format was passed; fewer versions or receipts must go into one pack.
    #[error("{what} would have {size} bytes, at most {limit} are allowed: seal fewer versions or receipts in one pack")]
    TooLarge {
        /// Which part of the pack.
        what: &'static str,
        /// Its size.
        size: u64,
        /// The bound.
        limit: u64,
    },
    /// An earlier call failed; the pack is incomplete and cannot be finished.
    #[error("an earlier version could not be added: this pack cannot be finished, build it again")]
    Broken,
    /// The pack that was built does not give back what went into it.
    #[error("the pack in scratch does not verify: {what}; it is not used")]
    NotVerified {
        /// What differs.
        what: String,
    },
    /// The pack that was built cannot be read back.
    #[error("the pack in scratch cannot be read back: {0}")]
    ReadBack(#[from] ReadError),
}

impl PackError {
    /// For `map_err`: the scratch file failed while doing something.
    pub(crate) fn scratch(doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Scratch { doing, source }
    }
}

/// What is wrong with stored bytes: whether another copy may be better (`Damaged`) or cannot be (`NotUnderstood`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Flaw {
    /// The bytes do not have their recorded digest.
    Damaged(String),
    /// They have it, and still make no sense.
    NotUnderstood(String),
}

impl Flaw {
    /// As the error that callers see.
    pub(crate) fn in_object(self, object: String) -> ReadError {
        match self {
            Self::Damaged(what) => ReadError::Damaged { object, what },
            Self::NotUnderstood(what) => ReadError::NotUnderstood { object, what },
        }
    }
}
