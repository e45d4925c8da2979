//! Frames: plain pixels in little endian, or the codestream as stored (PS3.18 §10.4, §8.7.3.3).
//!
//! `application/octet-stream` without a `transfer-syntax` means plain pixels. A codestream goes under that name only
//! where the client said `transfer-syntax=*` or named the stored one, and then says which it is.

use std::sync::Arc;

use archive_core::archive::ArchiveError;
use axum::extract::{Request, State};
use axum::response::Response;
use futures::stream;
use http::StatusCode;
use serde_json::Value;

use super::byte_order::Width;
use super::selected::{Retrieve, multipart, single};
use crate::http::accept::{Offer, Packing};
use crate::http::address::Address;
use crate::http::doors::Doors;
use crate::http::media::{EXPLICIT_LITTLE_ENDIAN, OCTET_STREAM, PixelForm, pixel_form, with_transfer_syntax};
use crate::http::multipart::Part;
use crate::http::port::{CheckedBytes, OpenInstance, SelectedInstance};
use crate::http::problem::Problem;

/// Frames of one request, at most.
pub const FRAMES_MAX: usize = 10_000;

/// `GET …/instances/{instance}/frames/{frames}`.
///
/// # Errors
/// A [`Problem`].
pub async fn frames(State(doors): State<Doors>, address: Address, request: Request) -> Result<Response, Problem> {
    let numbers = frame_numbers(&address.rest)?;
    let retrieve = Retrieve::of(doors, &address, request)?;
    let (selected, _) = retrieve.first_of_instances().await?;
    let count = selected.frame_count();
    if let Some(beyond) = numbers.iter().find(|&&number| number > count) {
        let detail = format!("frame {beyond} is asked for, and frames 1 to {count} can be told apart");
        return Err(Problem::new(StatusCode::NOT_FOUND, "no-such-frame", detail));
    }
    let indexes = numbers.into_iter().map(|number| number - 1).collect();
    respond(&retrieve, selected, Indexes::Listed(indexes)).await
}

/// Which frames, counted from 0.
#[derive(Clone, Debug)]
pub enum Indexes {
    /// These.
    Listed(Vec<u64>),
    /// All up to this count.
    All(u64),
}

impl Indexes {
    fn is_one(&self) -> bool {
        match self {
            Self::Listed(list) => list.len() == 1,
            Self::All(count) => *count == 1,
        }
    }

    fn get(&self, at: u64) -> Option<u64> {
        match self {
            Self::Listed(list) => list.get(usize::try_from(at).ok()?).copied(),
            Self::All(count) => (at < *count).then_some(at),
        }
    }
}

/// The response with these frames of an instance.
///
/// # Errors
/// A [`Problem`].
pub async fn respond(
    retrieve: &Retrieve,
    selected: Arc<dyn SelectedInstance>,
    indexes: Indexes,
) -> Result<Response, Problem> {
    let stored = selected.transfer_syntax().as_str();
    let form = pixel_form(stored);
    let offers = offers(form, stored, indexes.is_one());
    let chosen = retrieve.accept.choose(&offers)?;
    let syntax = chosen.transfer_syntax.as_deref().unwrap_or(stored);
    let content_type = with_transfer_syntax(chosen.essence, syntax);
    let open = selected.open(&retrieve.caller).await?;
    let width = match form {
        PixelForm::PlainBigEndian => big_endian_width(&open).await?,
        PixelForm::Plain | PixelForm::Compressed(_) | PixelForm::Unknown => Width::NONE,
    };
    let first = indexes.get(0).ok_or_else(|| Problem::bad_request("no frame is asked for"))?;
    let (length, bytes) = frame(&open, first).await?;
    if !width.divides(length) {
        // Frames of odd length share words, and a word cannot be swapped by halves.
        let detail = "frames of this length cannot be told apart in big endian; retrieve the instance instead";
        return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, "not-acceptable", detail));
    }
    if chosen.packing == Packing::Single {
        return single(&content_type, Some(length), None, width.swapped(bytes)).await;
    }
    let url = retrieve.base.instance(&selected.keys().study, &selected.keys().series, &selected.keys().sop);
    let parts = stream::unfold(0, move |at| {
        let (open, index, content_type) = (Arc::clone(&open), indexes.get(at), content_type.clone());
        let location = index.map(|index| format!("{url}/frames/{}", index + 1));
        async move { Some((part_of(open, index?, width, content_type, location?).await, at + 1)) }
    });
    multipart(&retrieve.doors, StatusCode::OK, chosen.essence, parts).await
}

async fn part_of(
    open: Arc<dyn OpenInstance>,
    index: u64,
    width: Width,
    content_type: String,
    location: String,
) -> Result<Part, ArchiveError> {
    let (_, bytes) = frame(&open, index).await?;
    let fields = vec![("Content-Type", content_type), ("Content-Location", location)];
    Ok(Part { fields, body: width.swapped(bytes) })
}

async fn frame(open: &Arc<dyn OpenInstance>, index: u64) -> Result<(u64, CheckedBytes), ArchiveError> {
    let found = Arc::clone(open).frame(index).await?;
    found.ok_or_else(|| ArchiveError::Internal(format!("frame {} is counted but not there", index + 1)))
}

async fn big_endian_width(open: &Arc<dyn OpenInstance>) -> Result<Width, ArchiveError> {
    let header = Arc::clone(open).header_json().await?;
    let header: Value = serde_json::from_slice(&header)
        .map_err(|error| ArchiveError::Internal(format!("a header is no JSON: {}", error.classify_word())))?;
    Ok(Width::of_big_endian_pixels(&header))
}

/// What kind of error it is, without the text around it, which may be patient data.
trait ClassifyWord {
    fn classify_word(&self) -> &'static str;
}

impl ClassifyWord for serde_json::Error {
    fn classify_word(&self) -> &'static str {
        match self.classify() {
            serde_json::error::Category::Io => "io",
            serde_json::error::Category::Syntax => "syntax",
            serde_json::error::Category::Data => "data",
            serde_json::error::Category::Eof => "cut short",
        }
    }
}

fn offers(form: PixelForm, stored: &str, one: bool) -> Vec<Offer> {
    let packings = [Packing::Multipart, Packing::Single];
    let packings = packings.into_iter().filter(|packing| one || *packing == Packing::Multipart);
    let as_bytes = |packing| Offer::in_syntax(packing, OCTET_STREAM, stored).said_explicitly();
    match form {
        PixelForm::Plain | PixelForm::PlainBigEndian => {
            packings.map(|packing| Offer::in_syntax(packing, OCTET_STREAM, EXPLICIT_LITTLE_ENDIAN)).collect()
        }
        PixelForm::Compressed(essence) => {
            packings.flat_map(|packing| [Offer::in_syntax(packing, essence, stored), as_bytes(packing)]).collect()
        }
        PixelForm::Unknown => packings.map(as_bytes).collect(),
    }
}

/// `1,3,5`: counted from 1 (PS3.18 §10.1.2.1).
fn frame_numbers(list: &str) -> Result<Vec<u64>, Problem> {
    let wrong = || Problem::bad_request("frames are a list of numbers from 1 on, with commas between them");
    let number = |text: &str| -> Option<u64> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten().filter(|&number| number > 0)
    };
    let numbers: Vec<u64> =
        list.split(',').take(FRAMES_MAX + 1).map(number).collect::<Option<_>>().ok_or_else(wrong)?;
    if numbers.len() > FRAMES_MAX {
        return Err(Problem::bad_request(format!("more than {FRAMES_MAX} frames in one request")));
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_count_from_one() {
        assert_eq!(frame_numbers("1,3,2,3").unwrap(), [1, 3, 2, 3]);
        for wrong in ["", "0", "1,", "1-3", "a", "+1", "-1", "99999999999999999999999"] {
            assert_eq!(frame_numbers(wrong).unwrap_err().status(), 400, "{wrong}");
        }
    }

    #[test]
    fn several_frames_are_never_one_body() {
        let one = offers(PixelForm::Compressed("image/jls"), "1.2", true);
        let many = offers(PixelForm::Compressed("image/jls"), "1.2", false);
        assert!(one.iter().any(|offer| offer.packing == Packing::Single));
        assert!(many.iter().all(|offer| offer.packing == Packing::Multipart));
    }

    proptest! {
        #[test]
        fn no_list_makes_the_parser_panic(list in "[0-9,+-]{0,60}") {
            let _ = frame_numbers(&list);
        }
    }
}
