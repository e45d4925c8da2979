//! The steps by which a local store touches its disk, named so that tests can fail each of them in turn.
//!
//! In the program nobody stands in between ([`Undisturbed`]). A test hands in its own [`Steps`], which counts, records
//! the order (is the file synced before it is published?) or fails the nth step and all after it, as a crash would.

use std::io;

/// One thing that a local store does to its disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Opening a file of the staging area.
    OpenStage,
    /// Writing a piece of it.
    Write,
    /// `fsync` of a file.
    SyncFile,
    /// Making a folder.
    MakeFolder,
    /// Giving the staged file its name, create-only.
    Publish,
    /// `fsync` of a folder.
    SyncFolder,
    /// Taking a staged name away.
    DropStage,
    /// Taking an object's name away, with a permit of the gate.
    Unlink,
}

/// Who is asked before each step.
pub(super) trait Steps: Send + Sync + std::fmt::Debug {
    /// Called before a step; an error stands for the failure of that step.
    fn before(&self, step: Step) -> io::Result<()>;
}

/// Nobody stands in between.
#[derive(Debug)]
pub(super) struct Undisturbed;

impl Steps for Undisturbed {
    fn before(&self, _step: Step) -> io::Result<()> {
        Ok(())
    }
}
