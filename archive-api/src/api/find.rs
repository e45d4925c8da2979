//! Searching, for `vellum find`: the same query as QIDO-RS, with cursors and patients.

use std::sync::Arc;

use archive_core::archive::{Archive, ArchiveError};
use archive_core::dicom::attributes::parse_tag_key;
use archive_core::phi::Phi;
use archive_core::query::{Cursor, MatchKey, PAGE_RECORDS_MAX, Query as Wanted, QueryLevel};
use axum::Json;
use axum::extract::{Query, State};
use serde_json::{Value, json};

use super::{Refusal, caller};
use crate::http::qido::attribute_path;

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
                let path = path.ok_or_else(|| {
                    ArchiveError::NotFound(format!("an attribute {:?}", attribute.chars().take(64).collect::<String>()))
                })?;
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
        _ => Err(ArchiveError::NotFound("a level other than patient, study, series, instance".to_owned())),
    }
}
