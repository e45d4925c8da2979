//! STOW-RS: store (PS3.18 §10.5).
//!
//! A body streams through: one part at a time goes to the archive, several may wait for their sync at once, and a
//! refused part harms no other. Nothing that a header claims about lengths is believed. The answer lists every part
//! (PS3.18 Annex I): what is in `ReferencedSOPSequence` is durable (promise I1), what is not there was not stored.
//!
//! Why a part was refused is said in the `FailureReason`, and in words in `Warning: 299` fields of the response: the
//! response module of Annex I has no place for text, and `ErrorComment` (0000,0902) belongs to DIMSE commands only.

mod announced;
mod body;
mod outcome;
mod report;

use std::sync::Arc;

use archive_core::archive::Incoming;
use archive_core::caller::Door;
use archive_core::dicom::scan::Input;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use http::request::Parts;

use self::body::Submission;
use super::accept::{Accept, Offer, Packing};
use super::address::Address;
use super::base_url::BaseUrl;
use super::doors::{Doors, caller_of};
use super::media::{DICOM, DICOM_JSON, MediaType};
use super::multipart::MultipartReader;
use super::problem::Problem;

/// Bytes of a refused body that are read and thrown away, so that its sender hears the refusal instead of a reset.
const REFUSED_BYTES_MAX: usize = 16 << 20;

/// `POST …/studies` and `POST …/studies/{study}`.
///
/// # Errors
/// A [`Problem`] where the request as a whole could not be taken; parts that were refused are in the answer instead.
pub async fn store(State(doors): State<Doors>, address: Address, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let mut stream = body.into_data_stream();
    let form = match form_of(&parts, &doors) {
        Ok(form) => form,
        Err(problem) => {
            // Who asked first whether to send (RFC 9110 §10.1.1) has sent nothing yet.
            if !parts.headers.contains_key(EXPECT) {
                body::skip(&mut stream, REFUSED_BYTES_MAX).await;
            }
            return Err(problem);
        }
    };
    let base = BaseUrl::of(&doors.config, &parts);
    let mut submission = submission(&doors, &parts, address);
    let broken = match form {
        BodyForm::Single => submission.take_single(&mut stream).await,
        BodyForm::Multipart(reader) => submission.take_multipart(*reader, &mut stream).await,
    }
    .err();
    if matches!(broken, Some(body::Broken::Multipart(_))) {
        body::skip(&mut stream, REFUSED_BYTES_MAX).await;
    }
    let outcomes = submission.outcomes().await;
    if outcomes.is_empty() {
        return Err(broken.map_or_else(|| Problem::bad_request("the request holds no parts"), Problem::from));
    }
    Ok(report::respond(&base, &outcomes, broken.as_ref()))
}

fn form_of(parts: &Parts, doors: &Doors) -> Result<BodyForm, Problem> {
    Accept::of(&parts.headers, parts.uri.query()).choose(&[Offer::plain(Packing::Single, DICOM_JSON)])?;
    BodyForm::of(parts, doors)
}

fn submission(doors: &Doors, parts: &Parts, address: Address) -> Submission {
    let caller = caller_of(&parts.extensions);
    let incoming = Incoming {
        door: Door::StowRs,
        source: caller.name.clone(),
        form: Input::File,
        local_ae: None,
        expected_sop: None,
        expected_class: None,
        expected_study: address.study,
    };
    Submission::new(Arc::clone(&doors.archive), caller, incoming)
}

enum BodyForm {
    Single,
    Multipart(Box<MultipartReader>),
}

impl BodyForm {
    fn of(parts: &Parts, doors: &Doors) -> Result<Self, Problem> {
        if parts.headers.contains_key(CONTENT_ENCODING) {
            return Err(unsupported("a request body must come without Content-Encoding"));
        }
        let mut values = parts.headers.get_all(CONTENT_TYPE).iter();
        let (value, further) = (values.next(), values.next());
        let text = value.and_then(|value| value.to_str().ok()).filter(|_| further.is_none());
        let media = text.and_then(MediaType::parse);
        let Some(media) = media else {
            return Err(unsupported("the request has no readable Content-Type"));
        };
        match media.essence.as_str() {
            DICOM => Ok(Self::Single),
            "multipart/related" => Self::multipart(&media, doors),
            _ => Err(unsupported("this archive stores DICOM files only")),
        }
    }

    fn multipart(media: &MediaType, doors: &Doors) -> Result<Self, Problem> {
        let inner = media.parameter("type").unwrap_or(DICOM);
        if !inner.eq_ignore_ascii_case(DICOM) {
            return Err(unsupported("this archive stores DICOM files only, not metadata with bulk data beside it"));
        }
        let Some(boundary) = media.parameter("boundary") else {
            return Err(Problem::bad_request("the Content-Type names no boundary"));
        };
        let reader = MultipartReader::new(boundary, doors.config.multipart);
        let reader = reader.map_err(|error| Problem::bad_request(error.to_string()))?;
        Ok(Self::Multipart(Box::new(reader)))
    }
}

fn unsupported(detail: &str) -> Problem {
    let supported = vec![format!("multipart/related; type=\"{DICOM}\""), DICOM.to_owned()];
    Problem::unsupported_media_type(detail, supported)
}

impl From<body::Broken> for Problem {
    fn from(broken: body::Broken) -> Self {
        match &broken {
            body::Broken::Multipart(super::multipart::MultipartError::TooManyParts(_)) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "past-a-limit", broken.to_string())
            }
            body::Broken::Idle => Self::new(StatusCode::REQUEST_TIMEOUT, "too-slow", broken.to_string()),
            body::Broken::Multipart(_) | body::Broken::Connection => Self::bad_request(broken.to_string()),
        }
    }
}
