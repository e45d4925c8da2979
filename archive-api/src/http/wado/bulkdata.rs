//! Bulk data: the values that metadata refers to (PS3.18 §10.4, §10.1.4).
//!
//! `{VR}-{offset}-{length}` is a range of the content, `{VR}-i{offset}-{length}` one of the inflated content,
//! `frames` all frames of encapsulated pixel data.

use std::sync::Arc;

use archive_core::dicom::scan::BULK_URL_TOKEN;
use axum::extract::{Request, State};
use axum::response::Response;
use futures::stream;
use http::StatusCode;
use serde_json::Value;

use super::byte_order::Width;
use super::frames::{self, Indexes};
use super::selected::{Retrieve, multipart, single};
use crate::http::accept::{Offer, Packing};
use crate::http::address::Address;
use crate::http::doors::Doors;
use crate::http::media::{EXPLICIT_BIG_ENDIAN, EXPLICIT_LITTLE_ENDIAN, OCTET_STREAM, with_transfer_syntax};
use crate::http::multipart::Part;
use crate::http::port::{OpenInstance, SelectedInstance};
use crate::http::problem::Problem;

/// One value: where it lies.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Reference {
    vr: String,
    inflated: bool,
    offset: u64,
    length: u64,
}

/// `GET …/instances/{instance}/bulkdata/{bulk}`.
///
/// # Errors
/// A [`Problem`].
pub async fn bulkdata(State(doors): State<Doors>, address: Address, request: Request) -> Result<Response, Problem> {
    let retrieve = Retrieve::of(doors, &address, request)?;
    let (selected, _) = retrieve.first_of_instances().await?;
    if address.rest == "frames" {
        let count = selected.frame_count();
        if count == 0 {
            let detail = "the frames of this instance cannot be told apart; retrieve the instance instead";
            return Err(Problem::new(StatusCode::NOT_FOUND, "no-such-frame", detail));
        }
        return frames::respond(&retrieve, selected, Indexes::All(count)).await;
    }
    let reference = Reference::parse(&address.rest).ok_or_else(Problem::not_found)?;
    value(&retrieve, selected, &address.rest, &reference).await
}

async fn value(
    retrieve: &Retrieve,
    selected: Arc<dyn SelectedInstance>,
    name: &str,
    reference: &Reference,
) -> Result<Response, Problem> {
    let packings = [Packing::Single, Packing::Multipart];
    let offers = packings.map(|packing| Offer::in_syntax(packing, OCTET_STREAM, EXPLICIT_LITTLE_ENDIAN));
    let chosen = retrieve.accept.choose(&offers)?;
    let stored = selected.transfer_syntax().as_str();
    let by_vr = Width::of_values(stored, &reference.vr).ok_or_else(Problem::not_found)?;
    let open = selected.open(&retrieve.caller).await?;
    if open.inflated() != reference.inflated {
        return Err(Problem::not_found());
    }
    let width = if stored == EXPLICIT_BIG_ENDIAN { width_of(&open, name, by_vr).await? } else { by_vr };
    let bytes = Arc::clone(&open).bulk(reference.offset, reference.length).await?.ok_or_else(Problem::not_found)?;
    let bytes = width.swapped(bytes);
    let content_type = with_transfer_syntax(OCTET_STREAM, EXPLICIT_LITTLE_ENDIAN);
    if chosen.packing == Packing::Single {
        return single(&content_type, Some(reference.length), None, bytes).await;
    }
    let url = retrieve.base.instance(&selected.keys().study, &selected.keys().series, &selected.keys().sop);
    let fields = vec![("Content-Type", content_type), ("Content-Location", format!("{url}/bulkdata/{name}"))];
    let part = stream::iter([Ok(Part { fields, body: bytes })]);
    multipart(&retrieve.doors, StatusCode::OK, OCTET_STREAM, part).await
}

/// Pixel data is swapped as frames are; its header tells which of the values it is.
async fn width_of(open: &Arc<dyn OpenInstance>, name: &str, by_vr: Width) -> Result<Width, Problem> {
    let header = Arc::clone(open).header_json().await?;
    let Ok(header) = serde_json::from_slice::<Value>(&header) else { return Ok(by_vr) };
    let pixels = header.get("7FE00010").and_then(|element| element.get("BulkDataURI")).and_then(Value::as_str);
    let is_pixels = pixels.and_then(|uri| uri.strip_prefix(BULK_URL_TOKEN)?.strip_prefix("/bulkdata/")) == Some(name);
    Ok(if is_pixels { Width::of_big_endian_pixels(&header) } else { by_vr })
}

impl Reference {
    fn parse(text: &str) -> Option<Self> {
        let (vr, rest) = text.split_once('-')?;
        let (offset, length) = rest.split_once('-')?;
        let (inflated, offset) = offset.strip_prefix('i').map_or((false, offset), |offset| (true, offset));
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let reference = Self { vr: vr.to_owned(), inflated, offset: number(offset)?, length: number(length)? };
        reference.offset.checked_add(reference.length)?;
        Some(reference)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_reference_names_a_range() {
        let reference = |inflated| Some(Reference { vr: "OW".into(), inflated, offset: 12, length: 34 });
        assert_eq!(Reference::parse("OW-12-34"), reference(false));
        assert_eq!(Reference::parse("OW-i12-34"), reference(true));
        for wrong in ["", "OW", "OW-1", "OW--1", "OW-1-", "OW-1-2-3", "OW-+1-2", "OW-1-18446744073709551615"] {
            assert_eq!(Reference::parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_reference_makes_the_parser_panic(text in "[A-Z]{0,2}-i?[0-9]{0,22}-[0-9]{0,22}") {
            let _ = Reference::parse(&text);
        }
    }
}
