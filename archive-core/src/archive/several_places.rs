//! A version whose bytes lie in several places: a copy that turns out damaged while it is read is made good by the next.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::dicom::cut::Fragment;
use crate::reading::{ReadError, VersionReader};

/// The places, the one to be tried first first; never empty.
#[derive(Debug)]
pub(super) struct SeveralPlaces {
    first: Arc<dyn VersionReader>,
    others: Vec<Arc<dyn VersionReader>>,
}

impl SeveralPlaces {
    /// Reads from `first`, and from the others where it fails.
    pub(super) fn new(first: Arc<dyn VersionReader>, others: Vec<Arc<dyn VersionReader>>) -> Self {
        Self { first, others }
    }
}

#[async_trait]
impl VersionReader for SeveralPlaces {
    async fn read(&self, want: Range<u64>) -> Result<Bytes, ReadError> {
        let mut outcome = self.first.read(want.clone()).await;
        for other in &self.others {
            let Err(error) = &outcome else { break };
            tracing::warn!(%error, "a copy of a version could not be read; another one is tried");
            outcome = other.read(want.clone()).await;
        }
        outcome
    }

    async fn frame(&self, index: u64) -> Result<Option<Vec<Fragment>>, ReadError> {
        let mut outcome = self.first.frame(index).await;
        for other in &self.others {
            if outcome.is_ok() {
                break;
            }
            outcome = other.frame(index).await;
        }
        outcome
    }
}
