//! Searching, for `vellum find`: the same query as QIDO-RS, with cursors and patients.

use std::sync::Arc;

use archive_core::archive::{Archive, ArchiveError};
use archive_core::dicom::attributes::parse_tag_key;
use archive_core::dicom::scan::index_attributes::INDEX_ATTRIBUTES;
use archive_core::phi::Phi;
use archive_core::query::{Cursor, MatchKey, PAGE_RECORDS_MAX, Query as Wanted, QueryError, QueryLevel};
use axum::Json;
use axum::extract::{Query, State};
use dicom_core::dictionary::{DataDictionary as _, DataDictionaryEntry as _};
use dicom_dictionary_std::StandardDataDictionary;
use serde_json::{Value, json};

use super::{Refusal, caller};
use crate::http::qido::attribute_path;

/// Characters of a wrong key that an answer repeats.
const SHOWN_CHARACTERS_MAX: usize = 64;
/// How like a keyword must be to be the one that was meant (Jaro-Winkler, 0 to 1).
const LIKENESS_MIN: f64 = 0.8;

/// `GET /find?level=study&limit=100&cursor=…&PatientID=…`
pub async fn find(
    State(archive): State<Arc<Archive>>,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Result<Json<Value>, Refusal> {
    let wanted = wanted(parameters)?;
    let page = archive.find(&caller(), &wanted).await?;
    let records: Vec<Value> = page.records.iter().map(|record| record.attributes.to_json()).collect();
    Ok(Json(json!({
        "records": records,
        "next": page.next.map(|cursor| cursor.0),
        "incomplete": page.incomplete,
        "unreadable": page.unreadable,
    })))
}

fn wanted(parameters: Vec<(String, String)>) -> Result<Wanted, ArchiveError> {
    let mut wanted = Wanted::all(QueryLevel::Study);
    wanted.include.all = true;
    for (name, value) in parameters {
        match name.as_str() {
            "level" => wanted.level = level(&value)?,
            "limit" => wanted.page.limit = value.parse().unwrap_or(PAGE_RECORDS_MAX).clamp(1, PAGE_RECORDS_MAX),
            "cursor" => wanted.page.cursor = Some(Cursor(value)),
            attribute => {
                let path = parse_tag_key(attribute).map(|tag| vec![tag]).or_else(|| attribute_path(attribute));
                let path = path.ok_or_else(|| QueryError::Unknown(unknown(attribute)))?;
                wanted.keys.push(MatchKey { path, value: Phi::new(value) });
            }
        }
    }
    Ok(wanted)
}

fn level(text: &str) -> Result<QueryLevel, ArchiveError> {
    match text {
        "patient" => Ok(QueryLevel::Patient),
        "study" => Ok(QueryLevel::Study),
        "series" => Ok(QueryLevel::Series),
        "instance" => Ok(QueryLevel::Instance),
        _ => Err(QueryError::Unknown("a level is one of patient, study, series, instance".to_owned()).into()),
    }
}

/// The keyword that was most likely meant, of the attributes that can be searched.
fn nearest_keyword(name: &str) -> Option<&'static str> {
    let wanted = name.to_lowercase();
    let keywords = INDEX_ATTRIBUTES.iter().filter_map(|attribute| StandardDataDictionary.by_tag(attribute.tag));
    let likeness = keywords.map(|entry| (strsim::jaro_winkler(&wanted, &entry.alias().to_lowercase()), entry.alias()));
    let best = likeness.max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness >= LIKENESS_MIN).map(|(_, keyword)| keyword)
}

/// What is said of a key that names no attribute.
fn unknown(name: &str) -> String {
    let shown: String = name.chars().take(SHOWN_CHARACTERS_MAX).collect();
    let nearest = nearest_keyword(name).map_or_else(
        || "write an attribute's keyword, as in PatientID, or its tag, as in 00100020".to_owned(),
        |keyword| format!("did you mean {keyword}?"),
    );
    format!("{shown:?} is no attribute of DICOM: {nearest}")
}
