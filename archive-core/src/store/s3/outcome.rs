//! What an answer of an S3 server means, and what it does not mean.
//!
//! 403 is never "absent": it may hide an object. 404 is "absent" only if the bucket is there. "Exists already", 409, a
//! time-out and a 5xx after a write are questions: the object may be ours.

use object_store::Error;

use crate::store::{StoreError, StoreKey};

/// What a failed request to create something may have left behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Write {
    /// Something is there, or is being written: look.
    MayExist,
    /// The server said no before it wrote anything; looking is of no use.
    Refused,
}

/// Classes the failure of a write.
pub(super) fn after_write(error: &Error) -> Write {
    match error {
        Error::PermissionDenied { .. }
        | Error::Unauthenticated { .. }
        | Error::NotFound { .. }
        | Error::InvalidPath { .. }
        | Error::NotImplemented { .. }
        | Error::NotSupported { .. } => Write::Refused,
        _ => Write::MayExist,
    }
}

/// Whether a delete that failed with this certainly deleted nothing.
pub(super) fn certainly_not_deleted(error: &Error) -> bool {
    after_write(error) == Write::Refused && !matches!(error, Error::NotFound { .. })
}

/// Turns what the client says into what the archive says.
pub(super) fn store_error(store: &str, doing: &'static str, key: &StoreKey, error: Error) -> StoreError {
    match error {
        Error::NotFound { ref source, .. } if !speaks_of_bucket(source.as_ref()) => {
            StoreError::NotFound { store: store.to_owned(), key: key.clone() }
        }
        Error::NotFound { .. } => StoreError::unavailable(
            store,
            doing,
            key,
            format!("there is no such bucket, so nothing can be told: {error}"),
        ),
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            let advice = format!("the server refused the access key (this does not mean that there is none): {error}");
            StoreError::unavailable(store, doing, key, advice)
        }
        other => StoreError::unavailable(store, doing, key, other),
    }
}

/// Whether a 404 is about the bucket. The code stands in the body of the answer, which is in the error's text.
fn speaks_of_bucket(source: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(source);
    while let Some(error) = cause {
        if error.to_string().contains("NoSuchBucket") {
            return true;
        }
        cause = error.source();
    }
    false
}
