//! A store in an S3-compatible bucket.
//!
//! What must always hold: nothing is overwritten (up to 32 MiB by a conditional write; larger objects only under a
//! name that holds their digest, so that whoever writes them writes the same bytes), and no answer of the server is
//! taken for more than it says. After every unclear end of a write the object is read back and compared before
//! anything is said.

mod listing;
mod options;
mod outcome;
mod upload;

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use object_store::aws::AmazonS3;
use object_store::path::Path as ObjectPath;
use object_store::{Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions};
use tokio::sync::Semaphore;

pub use self::options::{S3Credentials, S3Options};
use self::outcome::{Write, after_write, certainly_not_deleted, store_error};
use super::gate::{DeleteOutcome, DeletingStore, Permit};
use super::verify::digest_in_store;
use super::{
    ConditionalStore, Created, ProbeKey, READ_WHOLE_BYTES_MAX, Store, StoreAdmin, StoreError, StoreKey, StoredObject,
};
use crate::identifiers::Sha256Digest;

/// The largest object that is written by one conditional request.
pub const SINGLE_PUT_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// How many files are uploaded at once; each holds at most [`SINGLE_PUT_BYTES_MAX`] in memory.
const UPLOADS_AT_ONCE: usize = 4;
/// How often a create whose outcome was unclear, and that left nothing, is tried in all.
const CREATE_TRIES: u32 = 3;
/// The wait before the second try; it doubles with each.
const CREATE_PAUSE: Duration = Duration::from_millis(200);

/// A store in an S3-compatible bucket.
pub struct S3Store {
    name: String,
    bucket: String,
    prefix: Option<StoreKey>,
    /// Repeats what may be repeated.
    client: AmazonS3,
    /// Repeats nothing: for deletes, whose repetition could hit what came later, and for the probe.
    once: AmazonS3,
    uploads: Semaphore,
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The clients know the secret key: they are left out.
        f.debug_struct("S3Store").field("name", &self.name).field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

impl S3Store {
    /// A store in a bucket. Nothing is sent yet: the first request is the check of its identity.
    ///
    /// # Errors
    /// [`StoreError::Identity`] when the settings make no client or a key file cannot be read.
    pub fn open(name: &str, options: &S3Options) -> Result<Self, StoreError> {
        Ok(Self {
            name: name.to_owned(),
            bucket: options.bucket.clone(),
            prefix: options.prefix.clone(),
            client: options.client(name, options.retries)?,
            once: options.client(name, 0)?,
            uploads: Semaphore::new(UPLOADS_AT_ONCE),
        })
    }

    /// Where an object lies in the bucket.
    fn path(&self, key: &StoreKey) -> Result<ObjectPath, StoreError> {
        let full = match &self.prefix {
            Some(prefix) => format!("{prefix}/{key}"),
            None => key.to_string(),
        };
        ObjectPath::parse(full).map_err(|error| StoreError::unavailable(&self.name, "naming", key, error))
    }

    fn error(&self, doing: &'static str, key: &StoreKey, error: Error) -> StoreError {
        store_error(&self.name, doing, key, error)
    }

    /// One conditional write: `false` when the server refuses because something is there.
    async fn put_once(&self, client: &AmazonS3, key: &StoreKey, bytes: Bytes) -> Result<bool, PutFailure> {
        let path = self.path(key).map_err(PutFailure::Named)?;
        let options = PutOptions::from(PutMode::Create);
        match client.put_opts(&path, bytes.into(), options).await {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(PutFailure::Server(error)),
        }
    }

    /// Decides what an object under a name means: ours, another's, or `None` when there is none.
    async fn settle(&self, key: &StoreKey, size: u64, sha256: Sha256Digest) -> Result<Option<Created>, StoreError> {
        let Some(there) = self.size(key).await? else { return Ok(None) };
        if there == size && digest_in_store(self, key, size).await? == sha256 {
            return Ok(Some(Created::AlreadyThere));
        }
        Err(StoreError::Conflict { store: self.name.clone(), key: key.clone() })
    }
}

/// How a conditional write failed.
enum PutFailure {
    Named(StoreError),
    Server(Error),
}

#[async_trait]
impl Store for S3Store {
    fn name(&self) -> &str {
        &self.name
    }

    async fn create(&self, key: &StoreKey, bytes: Bytes) -> Result<Created, StoreError> {
        let (size, sha256) = (bytes.len() as u64, Sha256Digest::of(&bytes));
        let mut tries = 1;
        loop {
            let failure = match self.put_once(&self.client, key, bytes.clone()).await {
                Ok(true) => return Ok(Created::New),
                // It exists, or somebody writes it at this moment (409): look.
                Ok(false) => None,
                Err(PutFailure::Named(error)) => return Err(error),
                Err(PutFailure::Server(error)) if after_write(&error) == Write::Refused => {
                    return Err(write_refused(&self.name, key, error));
                }
                Err(PutFailure::Server(error)) => Some(error),
            };
            if let Some(created) = self.settle(key, size, sha256).await? {
                return Ok(created);
            }
            if tries == CREATE_TRIES {
                let unclear = "the outcome is not known: nothing is there yet, it may still come";
                return Err(failure.map_or_else(
                    || StoreError::unavailable(&self.name, "creating", key, unclear),
                    |error| self.error("creating", key, error),
                ));
            }
            tokio::time::sleep(CREATE_PAUSE * 2_u32.pow(tries - 1)).await;
            tries += 1;
        }
    }

    async fn create_from_file(
        &self,
        key: &StoreKey,
        file: &Path,
        size: u64,
        sha256: Sha256Digest,
    ) -> Result<Created, StoreError> {
        let _slot = self
            .uploads
            .acquire()
            .await
            .map_err(|closed| StoreError::unavailable(&self.name, "creating", key, closed))?;
        if size > SINGLE_PUT_BYTES_MAX {
            return self.upload(key, file, size, sha256).await;
        }
        let bytes = upload::read_small(key, file, size, sha256).await?;
        self.create(key, bytes).await
    }

    async fn read(&self, key: &StoreKey) -> Result<Bytes, StoreError> {
        let failed = |error| self.error("reading", key, error);
        let found = self.client.get(&self.path(key)?).await.map_err(failed)?;
        let size = found.meta.size;
        if size > READ_WHOLE_BYTES_MAX {
            return Err(StoreError::too_large(&self.name, key, size));
        }
        let bytes = found.bytes().await.map_err(failed)?;
        if bytes.len() as u64 != size {
            return Err(cut_short(&self.name, key, size, bytes.len()));
        }
        Ok(bytes)
    }

    async fn read_range(&self, key: &StoreKey, range: Range<u64>) -> Result<Bytes, StoreError> {
        if range.start >= range.end {
            let size = self.size(key).await?;
            let size = size.ok_or_else(|| StoreError::NotFound { store: self.name.clone(), key: key.clone() })?;
            let inside = range.start == range.end && range.end <= size;
            return if inside {
                Ok(Bytes::new())
            } else {
                Err(StoreError::past_the_end(&self.name, key, &range, size))
            };
        }
        let failed = |error| self.error("reading a range of", key, error);
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
        let found = self.client.get_opts(&self.path(key)?, options).await.map_err(failed)?;
        if found.meta.size < range.end {
            return Err(StoreError::past_the_end(&self.name, key, &range, found.meta.size));
        }
        let bytes = found.bytes().await.map_err(failed)?;
        if bytes.len() as u64 != range.end - range.start {
            return Err(cut_short(&self.name, key, range.end - range.start, bytes.len()));
        }
        Ok(bytes)
    }

    async fn size(&self, key: &StoreKey) -> Result<Option<u64>, StoreError> {
        let path = self.path(key)?;
        match self.client.head(&path).await {
            Ok(found) => Ok(Some(found.size)),
            // The answer to a HEAD has no body, which alone tells "no such object" from "no such bucket".
            Err(Error::NotFound { .. }) => {
                let options = GetOptions { range: Some(GetRange::Bounded(0..1)), ..GetOptions::default() };
                match self.client.get_opts(&path, options).await {
                    Ok(found) => Ok(Some(found.meta.size)),
                    Err(error) => match self.error("looking for", key, error) {
                        StoreError::NotFound { .. } => Ok(None),
                        other => Err(other),
                    },
                }
            }
            Err(error) => Err(self.error("looking for", key, error)),
        }
    }

    async fn list(
        &self,
        folder: &StoreKey,
        after: Option<&StoreKey>,
        limit: usize,
    ) -> Result<Vec<StoredObject>, StoreError> {
        self.list_ordered(folder, after, limit).await
    }
}

#[async_trait]
impl ConditionalStore for S3Store {
    async fn put_if_absent(&self, key: &ProbeKey, bytes: Bytes) -> Result<bool, StoreError> {
        self.put_once(&self.once, key.key(), bytes).await.map_err(|failure| match failure {
            PutFailure::Named(error) => error,
            PutFailure::Server(error) => write_refused(&self.name, key.key(), error),
        })
    }

    async fn remove_probe(&self, key: &ProbeKey) -> Result<(), StoreError> {
        let path = self.path(key.key())?;
        self.once.delete(&path).await.map_err(|error| self.error("deleting the probe", key.key(), error))
    }
}

#[async_trait]
impl DeletingStore for S3Store {
    async fn delete(&self, permit: Permit) -> DeleteOutcome {
        let key = match permit.spend(&self.name) {
            Ok(key) => key,
            Err(error) => return DeleteOutcome::NotPermitted(error),
        };
        let path = match self.path(&key) {
            Ok(path) => path,
            Err(error) => return DeleteOutcome::Refused(error),
        };
        let mut outcomes = self.once.delete_stream(futures::stream::iter([Ok(path)]).boxed());
        match outcomes.next().await {
            // S3 says the same of what was not there.
            Some(Ok(_)) => DeleteOutcome::Gone,
            Some(Err(error)) if certainly_not_deleted(&error) => {
                DeleteOutcome::Refused(self.error("deleting", &key, error))
            }
            Some(Err(error @ Error::NotFound { .. })) => match self.error("deleting", &key, error) {
                StoreError::NotFound { .. } => DeleteOutcome::WasAbsent,
                other => DeleteOutcome::Refused(other),
            },
            Some(Err(error)) => DeleteOutcome::Unknown(self.error("deleting", &key, error)),
            None => DeleteOutcome::Unknown(StoreError::unavailable(&self.name, "deleting", &key, "no answer came")),
        }
    }
}

#[async_trait]
impl StoreAdmin for S3Store {}

/// The error of a write that wrote nothing. A 404 then speaks of the bucket, whatever its words.
fn write_refused(store: &str, key: &StoreKey, error: Error) -> StoreError {
    match error {
        Error::NotFound { .. } => {
            StoreError::unavailable(store, "creating", key, format!("there is no such bucket: {error}"))
        }
        other => store_error(store, "creating", key, other),
    }
}

fn cut_short(store: &str, key: &StoreKey, expected: u64, came: usize) -> StoreError {
    StoreError::unavailable(store, "reading", key, format!("{came} bytes came of {expected}"))
}
