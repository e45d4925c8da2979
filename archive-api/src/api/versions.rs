//! What is held of a study, and its files, for `vellum show` and `vellum export`.

use std::sync::Arc;

use archive_core::archive::{Archive, ArchiveError, DistinctFile, Held, OpenVersion, SelectCursor, Selection};
use archive_core::identifiers::{ContentId, SeriesUid, SopUid, StudyUid, uid_path_component};
use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Refusal, caller};

/// Which versions.
#[derive(Deserialize)]
pub struct Parameters {
    study: String,
    series: Option<String>,
    sop: Option<String>,
    after: Option<String>,
    #[serde(default)]
    versions: bool,
}

impl Parameters {
    fn selection(&self, all_versions: bool) -> Result<Selection, ArchiveError> {
        let unknown = |_| ArchiveError::NotFound("an empty UID".to_owned());
        Ok(Selection {
            study: StudyUid::parse(&self.study).map_err(unknown)?,
            series: self.series.as_deref().map(SeriesUid::parse).transpose().map_err(unknown)?,
            sop: self.sop.as_deref().map(SopUid::parse).transpose().map_err(unknown)?,
            all_versions,
        })
    }
}

/// `GET /versions?study=…&series=…&sop=…&after=…`: all versions with their receipts and places.
pub async fn list(
    State(archive): State<Arc<Archive>>,
    Query(parameters): Query<Parameters>,
) -> Result<Json<Value>, Refusal> {
    archive.must_be_whole()?;
    let selection = parameters.selection(true)?;
    let (held, next) = archive.select(&caller(), &selection, parameters.after.map(SelectCursor)).await?;
    let mut versions = Vec::with_capacity(held.len());
    for held in &held {
        let open = archive.open_version(&caller(), held).await?;
        versions.push(in_json(held, &open));
    }
    Ok(Json(json!({ "versions": versions, "next": next.map(|cursor| cursor.0) })))
}

fn in_json(held: &Held, open: &OpenVersion) -> Value {
    let facts = open.facts();
    let receipts: Vec<Value> = open.receipts().iter().map(|held| json!(held.receipt)).collect();
    json!({
        "study": facts.keys.study,
        "series": facts.keys.series,
        "sop": facts.keys.sop,
        "class": facts.keys.sop_class,
        "transfer_syntax": facts.version.transfer_syntax,
        "content": facts.version.content,
        "length": facts.content_length,
        "frames": facts.frame_count,
        "current": held.current,
        "place": held.place_in_words(),
        "warnings": facts.warnings,
        "receipts": receipts,
        "attributes": facts.attributes,
    })
}

/// `GET /files?study=…&versions=true&after=…`: the files of current versions, or every distinct file of every version.
pub async fn files(
    State(archive): State<Arc<Archive>>,
    Query(parameters): Query<Parameters>,
) -> Result<Json<Value>, Refusal> {
    archive.must_be_whole()?;
    let selection = parameters.selection(parameters.versions)?;
    let (held, next) = archive.select(&caller(), &selection, parameters.after.clone().map(SelectCursor)).await?;
    let mut files = Vec::new();
    for held in &held {
        let open = archive.open_version(&caller(), held).await?;
        let distinct = open.distinct_files();
        let wanted = if parameters.versions { distinct.len() } else { 1 };
        files.extend(distinct.iter().take(wanted).enumerate().map(|(index, file)| file_entry(held, file, index)));
    }
    Ok(Json(json!({ "files": files, "next": next.map(|cursor| cursor.0) })))
}

/// Name and address of one file. A version that is not current has its content id in its name, a further file of a version
/// the receipt that brought it, so that no two collide.
fn file_entry(held: &Held, file: &DistinctFile, index: usize) -> Value {
    let keys = &held.keys;
    let mut name = uid_path_component(keys.sop.as_str());
    if !held.current {
        name.push_str(&format!("~{}~{}", held.content, uid_path_component(held.transfer_syntax.as_str())));
    }
    if index > 0 {
        name.push_str(&format!("~r{}-{}", file.receipt.epoch, file.receipt.number));
    }
    let folders = [keys.study.as_str(), keys.series.as_str()].map(uid_path_component);
    let prefix = file.prefix.len() as u64;
    let escape =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    json!({
        "path": format!("{}/{}/{name}.dcm", folders[0], folders[1]),
        "length": prefix + held.content_length,
        "url": format!(
            "/api/v1/file?study={}&sop={}&content={}&syntax={}&index={index}",
            escape(keys.study.as_str()), escape(keys.sop.as_str()), held.content, escape(held.transfer_syntax.as_str()),
        ),
    })
}

/// Which file.
#[derive(Deserialize)]
pub struct FileParameters {
    study: String,
    sop: String,
    content: String,
    syntax: String,
    index: usize,
}

/// `GET /file?study=…&sop=…&content=…&syntax=…&index=0`: the bytes.
pub async fn file(
    State(archive): State<Arc<Archive>>,
    Query(parameters): Query<FileParameters>,
) -> Result<Response, Refusal> {
    let unknown = || ArchiveError::NotFound(format!("a version {} of that instance", parameters.content));
    let selection = Selection {
        study: StudyUid::parse(&parameters.study).map_err(|_| unknown())?,
        series: None,
        sop: Some(SopUid::parse(&parameters.sop).map_err(|_| unknown())?),
        all_versions: true,
    };
    let content = ContentId::parse(&parameters.content).map_err(|_| unknown())?;
    let (held, _) = archive.select(&caller(), &selection, None).await?;
    let meant = |held: &&Held| held.content == content && held.transfer_syntax.as_str() == parameters.syntax;
    let open = archive.open_version(&caller(), held.iter().find(meant).ok_or_else(unknown)?).await?;
    let file = open.distinct_files().into_iter().nth(parameters.index).ok_or_else(unknown)?;
    let length = file.prefix.len() as u64 + open.facts().content_length;
    let body = Body::from_stream(open.file_with(file.prefix));
    Ok(([("content-type", "application/dicom".to_owned()), ("content-length", length.to_string())], body)
        .into_response())
}
