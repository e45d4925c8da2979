//! Creating an object in a local store: stage, sync, link, sync the folders; and settling what lies there already.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::fs::Advice;
use sha2::{Digest as _, Sha256};

use super::Folder;
use super::folders::{Absent, Chain, open_file};
use super::stage::Stage;
use super::steps::Step;
use crate::identifiers::Sha256Digest;
use crate::store::{Created, StoreError, StoreKey};

/// Bytes copied at once.
const PIECE_BYTES: usize = 1024 * 1024;

/// Where the bytes of an object come from.
pub(super) enum Source<'a> {
    /// Memory.
    Bytes(&'a [u8]),
    /// A local file that has this size and digest.
    File { path: &'a Path, size: u64, sha256: Sha256Digest },
}

/// Which side of a copy failed.
enum CopyError {
    Scratch(io::Error),
    Store(io::Error),
}

impl Source<'_> {
    fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
        }
    }

    fn sha256(&self) -> Sha256Digest {
        match self {
            Self::Bytes(bytes) => Sha256Digest::of(bytes),
            Self::File { sha256, .. } => *sha256,
        }
    }

    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Self::Bytes(bytes) => Box::new(*bytes),
            Self::File { path, .. } => Box::new(File::open(path)?),
        })
    }
}

impl Folder {
    /// Creates an object, durably.
    pub(super) fn create(&self, key: &StoreKey, source: &Source<'_>) -> Result<Created, StoreError> {
        if self.size(key)?.is_some() || !self.put_if_absent(key, source)? {
            return self.settle(key, source);
        }
        Ok(Created::New)
    }

    /// Creates an object if nothing bears its name; `false` when something does. When this says `true` the object is
    /// durable. A crash on the way leaves a staged file that the next to open the store sweeps, or, once linked, the
    /// whole object under its name, which is then found to be there already.
    pub(super) fn put_if_absent(&self, key: &StoreKey, source: &Source<'_>) -> Result<bool, StoreError> {
        let failed = |error| self.write_error("creating", key, error);
        let stage = self.stage().map_err(failed)?;
        let name = self.write_staged(&stage, key, source)?;
        let published = self.publish(&stage, &name, key);
        stage.forget(&name, &*self.steps);
        published.map_err(failed)
    }

    /// Writes the bytes to the staging area and syncs the file.
    fn write_staged(&self, stage: &Stage, key: &StoreKey, source: &Source<'_>) -> Result<String, StoreError> {
        let mut staged = stage.open(&*self.steps).map_err(|error| self.write_error("creating", key, error))?;
        let written = self.copy(source, &mut staged.file).and_then(|()| {
            self.steps.before(Step::SyncFile).and_then(|()| staged.file.sync_all()).map_err(CopyError::Store)
        });
        let error = match written {
            Ok(()) => return Ok(staged.name),
            Err(CopyError::Scratch(source)) => StoreError::Scratch { key: key.clone(), source },
            Err(CopyError::Store(error)) => self.write_error("creating", key, error),
        };
        // After a failed sync the file is given up: a second sync of it might succeed and mean nothing.
        stage.forget(&staged.name, &*self.steps);
        Err(error)
    }

    /// Copies in pieces and checks that the bytes are those announced.
    fn copy(&self, source: &Source<'_>, into: &mut File) -> Result<(), CopyError> {
        let mut from = source.open().map_err(CopyError::Scratch)?;
        let mut piece = vec![0; PIECE_BYTES.min(usize::try_from(source.size()).unwrap_or(PIECE_BYTES).max(1))];
        let (mut digest, mut size) = (Sha256::new(), 0);
        loop {
            let read = from.read(&mut piece).map_err(CopyError::Scratch)?;
            let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            digest.update(bytes);
            size += bytes.len() as u64;
            self.steps.before(Step::Write).and_then(|()| into.write_all(bytes)).map_err(CopyError::Store)?;
        }
        let right = size == source.size() && Sha256Digest::from_raw(digest.finalize().into()) == source.sha256();
        if right { Ok(()) } else { Err(CopyError::Scratch(not_as_announced())) }
    }

    fn publish(&self, stage: &Stage, staged: &str, key: &StoreKey) -> io::Result<bool> {
        let (chain, leaf) = Chain::to(self.root(), key, Absent::Make, &*self.steps)?;
        let published = stage.publish(staged, chain.innermost(), leaf, &*self.steps)?;
        if published {
            chain.sync(&*self.steps)?;
        }
        Ok(published)
    }

    /// Decides what an object that is there already means: the same bytes, made durable, or a conflict.
    fn settle(&self, key: &StoreKey, source: &Source<'_>) -> Result<Created, StoreError> {
        let failed = |error| self.write_error("comparing", key, error);
        let (chain, leaf) = Chain::to(self.root(), key, Absent::Fail, &*self.steps).map_err(failed)?;
        let (mut file, size) = open_file(chain.innermost(), leaf).map_err(failed)?;
        self.steps.before(Step::SyncFile).and_then(|()| file.sync_all()).map_err(failed)?;
        // Compare what the disk has, not what the page cache remembers of a write that failed.
        let _ = rustix::fs::fadvise(file.as_fd(), 0, None, Advice::DontNeed);
        if size != source.size() || digest_of(&mut file).map_err(failed)? != source.sha256() {
            return Err(StoreError::Conflict { store: self.name.clone(), key: key.clone() });
        }
        chain.sync(&*self.steps).map_err(failed)?;
        Ok(Created::AlreadyThere)
    }
}

fn digest_of(file: &mut File) -> io::Result<Sha256Digest> {
    let mut digest = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = file.read(&mut piece)?;
        let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        digest.update(bytes);
    }
    Ok(Sha256Digest::from_raw(digest.finalize().into()))
}

/// The error of a scratch file that is not what its writer said.
pub(crate) fn not_as_announced() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "its size or digest is not what was announced: nothing was created")
}
