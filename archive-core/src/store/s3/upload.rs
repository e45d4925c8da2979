//! Uploading files: small ones whole, large ones in parts, never more than a part in memory.

use std::io;
use std::path::Path;

use bytes::Bytes;
use object_store::{MultipartUpload, ObjectStoreExt as _};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::S3Store;
use super::outcome::{Write, after_write};
use super::write_refused;
use crate::identifiers::Sha256Digest;
use crate::off_runtime::PiecewiseSha256;
use crate::store::local::not_as_announced;
use crate::store::{Created, StoreError, StoreKey};

/// Bytes of a part: all but the last have exactly this many (some servers want equal parts).
const PART_BYTES: u64 = 16 * 1024 * 1024;
/// S3 takes at most this many parts.
const PARTS_MAX: u64 = 10_000;

/// Reads a file that is small enough for one request, and checks that it is what was announced.
pub(super) async fn read_small(
    key: &StoreKey,
    file: &Path,
    size: u64,
    sha256: Sha256Digest,
) -> Result<Bytes, StoreError> {
    let scratch = |source| StoreError::Scratch { key: key.clone(), source };
    let mut bytes = Vec::new();
    // One byte more than announced: a file that is longer is found out and not read to its end.
    File::open(file).await.map_err(scratch)?.take(size + 1).read_to_end(&mut bytes).await.map_err(scratch)?;
    if bytes.len() as u64 != size || Sha256Digest::of(&bytes) != sha256 {
        return Err(scratch(not_as_announced()));
    }
    Ok(bytes.into())
}

impl S3Store {
    /// Creates a large object. A multi-part upload cannot be told to create only, so the name must hold the digest:
    /// then whoever else uploads it uploads the same bytes, and an upload that repeats another changes nothing.
    /// A crash before the end leaves parts that nobody sees; a lifecycle rule of the bucket clears them away.
    pub(super) async fn upload(
        &self,
        key: &StoreKey,
        file: &Path,
        size: u64,
        sha256: Sha256Digest,
    ) -> Result<Created, StoreError> {
        if !key.as_str().contains(&sha256.to_hex()) {
            let found = "an object over 32 MiB must bear its SHA-256 in its name: it cannot be created conditionally";
            return Err(StoreError::unavailable(&self.name, "creating", key, found));
        }
        if let Some(created) = self.settle(key, size, sha256).await? {
            return Ok(created);
        }
        let mut source = open_sized(file, size).await.map_err(|source| scratch(key, source))?;
        let failure = match self.upload_parts(key, &mut source, size, sha256).await {
            Ok(()) => None,
            Err(UploadError::Scratch(source)) => return Err(scratch(key, source)),
            Err(UploadError::Server(error)) if after_write(&error) == Write::Refused => {
                return Err(write_refused(&self.name, key, error));
            }
            Err(UploadError::Server(error)) => Some(error),
        };
        match (self.settle(key, size, sha256).await?, failure) {
            (Some(_), None) => Ok(Created::New),
            (Some(created), Some(_)) => Ok(created),
            (None, Some(error)) => Err(self.error("creating", key, error)),
            (None, None) => {
                let found = "the upload was completed and there is nothing";
                Err(StoreError::unavailable(&self.name, "creating", key, found))
            }
        }
    }

    async fn upload_parts(
        &self,
        key: &StoreKey,
        source: &mut File,
        size: u64,
        sha256: Sha256Digest,
    ) -> Result<(), UploadError> {
        let path = self.path(key).map_err(|error| UploadError::Scratch(io::Error::other(error)))?;
        let mut upload = self.client.put_multipart(&path).await?;
        let sent = send_parts(&mut *upload, source, size, sha256).await;
        match sent {
            Ok(()) => upload.complete().await.map(|_| ()).map_err(UploadError::Server),
            Err(error) => {
                if let Err(error) = upload.abort().await {
                    tracing::debug!(%error, "parts of an upload that was given up stay behind");
                }
                Err(error)
            }
        }
    }
}

/// Which side of an upload failed.
enum UploadError {
    Scratch(io::Error),
    Server(object_store::Error),
}

impl From<object_store::Error> for UploadError {
    fn from(error: object_store::Error) -> Self {
        Self::Server(error)
    }
}

fn scratch(key: &StoreKey, source: io::Error) -> StoreError {
    StoreError::Scratch { key: key.clone(), source }
}

async fn send_parts(
    upload: &mut dyn MultipartUpload,
    source: &mut File,
    size: u64,
    sha256: Sha256Digest,
) -> Result<(), UploadError> {
    let part_bytes = PART_BYTES.max(size.div_ceil(PARTS_MAX));
    let mut digest = PiecewiseSha256::default();
    let mut left = size;
    while left > 0 {
        let part = read_exactly(source, left.min(part_bytes)).await.map_err(UploadError::Scratch)?;
        digest.update(&part).await.map_err(UploadError::Scratch)?;
        left -= part.len() as u64;
        upload.put_part(part.into()).await?;
    }
    // Looked at before the upload is completed: nothing ever appears under a name that says something else.
    if Sha256Digest::from_raw(digest.finish()) == sha256 {
        Ok(())
    } else {
        Err(UploadError::Scratch(not_as_announced()))
    }
}

async fn read_exactly(source: &mut File, length: u64) -> io::Result<Bytes> {
    let mut part = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    source.read_exact(&mut part).await?;
    Ok(part.into())
}

/// Opens a file that should have a size.
async fn open_sized(file: &Path, size: u64) -> io::Result<File> {
    let source = File::open(file).await?;
    if source.metadata().await?.len() == size { Ok(source) } else { Err(not_as_announced()) }
}
