//! The answer: the store instances response module (PS3.18 Annex I) as DICOM JSON, and its status (Table 10.5.3-1).

use std::collections::BTreeSet;

use archive_core::archive::Received;
use axum::response::{IntoResponse as _, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WARNING};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use super::body::Broken;
use super::outcome::{Failure, Outcome};
use crate::http::base_url::BaseUrl;
use crate::http::media::DICOM_JSON;
use crate::store_status::StoreStatus;

/// Failures that are told in words, at most; the codes of all are in the data set.
const WARNINGS_MAX: usize = 16;
/// Characters of one such text, at most.
const WARNING_CHARACTERS_MAX: usize = 300;

/// The response to a request of which at least one part came whole.
pub fn respond(base: &BaseUrl, outcomes: &[Outcome], broken: Option<&Broken>) -> Response {
    count(outcomes);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(DICOM_JSON));
    for text in texts(outcomes, broken).into_iter().take(WARNINGS_MAX) {
        headers.append(WARNING, text);
    }
    let status = status(outcomes, broken);
    let retry = failures(outcomes).filter_map(|failure| failure.retry_after_seconds).max();
    if let Some(seconds) = retry {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    let body = data_set(base, outcomes, broken).to_string();
    (status, headers, body).into_response()
}

fn count(outcomes: &[Outcome]) {
    for outcome in outcomes {
        let result = match outcome {
            Outcome::Stored(_) => "stored",
            Outcome::Failed(_) => "refused",
        };
        metrics::counter!("vellum_ingest_instances_total", "proto" => "stow-rs", "result" => result).increment(1);
    }
}

fn failures(outcomes: &[Outcome]) -> impl Iterator<Item = &Failure> {
    outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Stored(_) => None,
        Outcome::Failed(failure) => Some(failure),
    })
}

fn stored(outcomes: &[Outcome]) -> impl Iterator<Item = &Received> {
    outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Stored(received) => Some(received.as_ref()),
        Outcome::Failed(_) => None,
    })
}

/// 200: all stored. 202: some stored, or all with a warning. Nothing stored: the status that all failures share, which is
/// 409 unless the archive has no room or a limit was passed, and 409 where they are of several kinds.
fn status(outcomes: &[Outcome], broken: Option<&Broken>) -> StatusCode {
    let warned = stored(outcomes).any(|received| received.class_differs);
    let whole = broken.is_none() && failures(outcomes).next().is_none();
    if stored(outcomes).next().is_some() {
        return if whole && !warned { StatusCode::OK } else { StatusCode::ACCEPTED };
    }
    let kinds: BTreeSet<u16> = failures(outcomes).map(|failure| failure.status.as_u16()).collect();
    match (kinds.first(), kinds.len()) {
        (Some(&only), 1) => StatusCode::from_u16(only).unwrap_or(StatusCode::CONFLICT),
        _ => StatusCode::CONFLICT,
    }
}

fn data_set(base: &BaseUrl, outcomes: &[Outcome], broken: Option<&Broken>) -> Value {
    let referenced: Vec<Value> = stored(outcomes).map(|received| stored_item(base, received)).collect();
    let failed: Vec<Value> = failures(outcomes).filter_map(failed_item).collect();
    let mut others: Vec<Value> = failures(outcomes).filter(|f| f.announced.is_none()).map(other_item).collect();
    if broken.is_some() {
        others.push(json!({"00081197": code(StoreStatus::CANNOT_UNDERSTAND)}));
    }
    let studies: BTreeSet<&str> = stored(outcomes).map(|received| received.keys.study.as_str()).collect();
    let study = stored(outcomes).next().filter(|_| studies.len() == 1).map(|received| base.study(&received.keys.study));
    let mut module = Map::new();
    // Type 2: empty where the instances belong to several studies, or to none.
    module.insert(
        "00081190".into(),
        study.map_or_else(|| json!({"vr": "UR"}), |url| json!({"vr": "UR", "Value": [url]})),
    );
    for (tag, items) in [("00081198", failed), ("00081199", referenced), ("0008119A", others)] {
        if !items.is_empty() {
            module.insert(tag.into(), json!({"vr": "SQ", "Value": items}));
        }
    }
    Value::Object(module)
}

fn stored_item(base: &BaseUrl, received: &Received) -> Value {
    let keys = &received.keys;
    let url = base.instance(&keys.study, &keys.series, &keys.sop);
    let mut item = reference(keys.sop_class.as_str(), keys.sop.as_str());
    item.insert("00081190".into(), json!({"vr": "UR", "Value": [url]}));
    if received.class_differs {
        item.insert("00081196".into(), code(StoreStatus::CLASS_DIFFERS));
    }
    Value::Object(item)
}

fn failed_item(failure: &Failure) -> Option<Value> {
    let announced = failure.announced.as_ref()?;
    let mut item = reference(&announced.sop_class, &announced.sop);
    item.insert("00081197".into(), code(failure.reason));
    Some(Value::Object(item))
}

fn other_item(failure: &Failure) -> Value {
    json!({"00081197": code(failure.reason)})
}

fn reference(sop_class: &str, sop: &str) -> Map<String, Value> {
    let mut item = Map::new();
    item.insert("00081150".into(), json!({"vr": "UI", "Value": [sop_class]}));
    item.insert("00081155".into(), json!({"vr": "UI", "Value": [sop]}));
    item
}

fn code(status: StoreStatus) -> Value {
    json!({"vr": "US", "Value": [status.code()]})
}

fn texts(outcomes: &[Outcome], broken: Option<&Broken>) -> Vec<HeaderValue> {
    let of_body = broken.map(|broken| format!("{broken}; parts that are not listed were not stored"));
    let of_parts = outcomes.iter().enumerate().filter_map(|(index, outcome)| match outcome {
        Outcome::Stored(_) => None,
        Outcome::Failed(failure) => Some(format!("part {}: {}", index + 1, failure.text)),
    });
    of_body.into_iter().chain(of_parts).filter_map(|text| warning(&text)).collect()
}

/// `299 vellum "…"` (PS3.18 §8.4.3, RFC 7234 §5.5): ASCII, quotes and backslashes replaced.
fn warning(text: &str) -> Option<HeaderValue> {
    let plain = |c: char| match c {
        '"' | '\\' => '\'',
        ' '..='~' => c,
        _ => '?',
    };
    let text: String = text.chars().take(WARNING_CHARACTERS_MAX).map(plain).collect();
    HeaderValue::from_str(&format!("299 vellum \"{text}\"")).ok()
}
