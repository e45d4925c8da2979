//! How many entries fit into one segment: what is appended together is recorded together, and has to fit.

use super::entry::EntryBody;
use super::error::LedgerError;
use super::segment::MAX_ENTRIES;

/// Bytes that index, times and line feed add to an entry's line, at most.
const ENTRY_OVERHEAD: usize = 128;

/// Divides entries into lists that fit a segment each, in their order. For entries that need not be recorded together.
///
/// # Errors
/// [`LedgerError::TooLarge`] where one entry alone does not fit.
pub fn in_batches(bodies: impl IntoIterator<Item = EntryBody>) -> Result<Vec<Vec<EntryBody>>, LedgerError> {
    let mut batches: Vec<Vec<EntryBody>> = Vec::new();
    let mut filled = 0_usize;
    for body in bodies {
        let bytes = line_bytes(&body)?;
        if bytes > MAX_ENTRIES {
            return Err(LedgerError::TooLarge { bytes, limit: MAX_ENTRIES });
        }
        match batches.last_mut().filter(|_| filled + bytes <= MAX_ENTRIES) {
            Some(batch) => {
                filled += bytes;
                batch.push(body);
            }
            None => {
                filled = bytes;
                batches.push(vec![body]);
            }
        }
    }
    Ok(batches)
}

/// Whether entries may be appended together; gives the bytes of their lines.
pub(super) fn check_appendable(bodies: &[EntryBody]) -> Result<usize, LedgerError> {
    if bodies.is_empty() {
        return Err(LedgerError::NotAppendable("an empty list of entries".to_owned()));
    }
    let mut bytes = 0_usize;
    for body in bodies {
        if body.is_of_an_epoch() || matches!(body, EntryBody::Unknown(_)) {
            return Err(LedgerError::NotAppendable(format!("an entry of kind {}", body.kind())));
        }
        bytes = bytes.saturating_add(line_bytes(body)?);
    }
    if bytes > MAX_ENTRIES {
        return Err(LedgerError::TooLarge { bytes, limit: MAX_ENTRIES });
    }
    Ok(bytes)
}

/// Bytes of an entry's line, at most.
fn line_bytes(body: &EntryBody) -> Result<usize, LedgerError> {
    let line = serde_json::to_string(body).map_err(|error| LedgerError::Encoding(error.to_string()))?;
    Ok(line.len().saturating_add(ENTRY_OVERHEAD))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::{Door, SourceKey};
    use crate::identifiers::{ContentId, PackId, Sha256Digest, StoreId, StudyUid};
    use crate::ledger::entry::{After, ReceiptRange, ReceiptRanges};
    use crate::ledger::ranges::RUNS_MAX;
    use crate::pack::{PackRef, RootPlace};

    /// The longest UID that an instance may have, of characters that JSON escapes.
    fn study() -> StudyUid {
        StudyUid::from_bytes(&[1; 1024]).unwrap()
    }

    /// As many runs as an entry may hold, of the largest numbers.
    fn runs() -> ReceiptRanges {
        let run = |n: u64| ReceiptRange { epoch: u32::MAX, first: u64::MAX - 2 * n, last: u64::MAX - 2 * n };
        ReceiptRanges((0..RUNS_MAX as u64).rev().map(run).collect())
    }

    fn received() -> EntryBody {
        let source = SourceKey::new(&"\"".repeat(64));
        EntryBody::Received { source, door: Door::Import, study: study(), receipts: runs(), bytes: u64::MAX }
    }

    fn pack() -> PackRef {
        let digest = *ContentId::of(b"pack").as_raw();
        let root = RootPlace { offset: u64::MAX, length: u64::MAX, sha256: Sha256Digest::from_raw(digest) };
        PackRef { study: study(), pack: PackId::from_raw(digest), size: u64::MAX, root }
    }

    #[test]
    fn an_entry_of_the_most_receipts_fits_a_segment() {
        let stores = vec![StoreId::parse(&"a".repeat(32)).unwrap(); 100];
        let after: After = (1..=1000).map(|epoch| (epoch, u64::MAX)).collect();
        let sealed = EntryBody::Sealed { pack: pack(), receipts: runs(), versions: u64::MAX, after, stores };
        for body in [sealed, received()] {
            assert!(check_appendable(&[body]).is_ok_and(|bytes| bytes > MAX_ENTRIES / 2));
        }
    }

    #[test]
    fn entries_are_divided_so_that_each_list_fits_and_none_is_left_out() {
        let small =
            EntryBody::Copied { pack: pack().pack, study: study(), store: StoreId::parse(&"a".repeat(32)).unwrap() };
        let mut bodies = vec![small.clone(); 10_000];
        bodies.extend([received(), small, received()]);
        let batches = in_batches(bodies.clone()).unwrap();
        assert!(batches.iter().all(|batch| check_appendable(batch).is_ok()));
        assert!(batches.len() < 100, "as few as possible: {}", batches.len());
        assert_eq!(batches.concat(), bodies);
        assert!(in_batches([]).unwrap().is_empty());
    }
}
