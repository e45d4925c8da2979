//! `find`: search, page by page.

use axum::body::Body;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::args::{Find, Level};
use crate::cli::connection::{Connection, request};
use crate::cli::exit::Exit;
use crate::cli::table;

/// A page of records.
#[derive(Deserialize)]
struct Page {
    records: Vec<Value>,
    next: Option<String>,
    incomplete: bool,
    unreadable: bool,
}

/// Columns of a level: heading and tag.
const fn columns(level: Level) -> &'static [(&'static str, &'static str)] {
    match level {
        Level::Patient => &[("Patient", "00100010"), ("ID", "00100020"), ("Born", "00100030"), ("Studies", "00201200")],
        Level::Study => &[
            ("Date", "00080020"),
            ("Patient", "00100010"),
            ("ID", "00100020"),
            ("Accession", "00080050"),
            ("Modalities", "00080061"),
            ("Description", "00081030"),
            ("Series", "00201206"),
            ("Instances", "00201208"),
            ("Study Instance UID", "0020000D"),
        ],
        Level::Series => &[
            ("No.", "00200011"),
            ("Modality", "00080060"),
            ("Description", "0008103E"),
            ("Instances", "00201209"),
            ("Series Instance UID", "0020000E"),
        ],
        Level::Instance => &[("No.", "00200013"), ("SOP Class UID", "00080016"), ("SOP Instance UID", "00080018")],
    }
}

/// Searches and prints.
///
/// # Errors
/// [`Exit`]; code 3 where nothing was found.
pub async fn run(archive: &Connection, what: &Find, json: bool) -> Result<(), Exit> {
    let level = format!("{:?}", what.level).to_lowercase();
    let mut left = what.limit;
    let mut cursor: Option<String> = None;
    let columns = columns(what.level);
    let mut shown = table::new(&columns.iter().map(|(heading, _)| *heading).collect::<Vec<_>>());
    let (mut count, mut incomplete, mut unreadable) = (0_u64, false, false);
    while left > 0 {
        let path = path(&level, &what.keys, left.min(500), cursor.as_deref())?;
        let response = archive.send(request("GET", &path, Body::empty())?).await?;
        let body = response.into_body().collect().await.map_err(Exit::failed)?.to_bytes();
        let page: Page = serde_json::from_slice(&body).map_err(Exit::failed)?;
        for record in &page.records {
            if json {
                println!("{record}");
            } else {
                shown.add_row(columns.iter().map(|(_, tag)| cell(record, tag)).collect::<Vec<_>>());
            }
        }
        count += page.records.len() as u64;
        left = left.saturating_sub(page.records.len() as u64);
        incomplete |= page.incomplete;
        unreadable |= page.unreadable;
        cursor = page.next;
        if cursor.is_none() || page.records.is_empty() {
            break;
        }
    }
    if unreadable {
        eprintln!(
            "packs without a good copy may hold more (`vellum case ls`): what is missing here may exist all the same"
        );
    }
    finish(json, count, incomplete, cursor.is_some(), &shown)
}

fn finish(json: bool, count: u64, incomplete: bool, more: bool, shown: &comfy_table::Table) -> Result<(), Exit> {
    if incomplete {
        eprintln!("the catalog is being rebuilt: what is missing here may exist all the same");
    }
    if count == 0 {
        if !json {
            println!("nothing found");
        }
        return Err(Exit::incomplete());
    }
    if !json {
        println!("{shown}");
        println!("{count} found{}", if more { "; there are more: --limit" } else { "" });
    }
    Ok(())
}

fn path(level: &str, keys: &[String], limit: u64, cursor: Option<&str>) -> Result<String, Exit> {
    let mut query = form(&[("level", level), ("limit", &limit.to_string())]);
    for key in keys {
        let (name, value) = key
            .split_once('=')
            .ok_or_else(|| Exit::usage(format!("{key:?} is no key: write KEY=VALUE, as in PatientID=4711")))?;
        query.push('&');
        query.push_str(&form(&[(name, value)]));
    }
    if let Some(cursor) = cursor {
        query.push('&');
        query.push_str(&form(&[("cursor", cursor)]));
    }
    Ok(format!("/api/v1/find?{query}"))
}

/// Parameters of a URL.
pub(super) fn form(pairs: &[(&str, &str)]) -> String {
    let escape =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    pairs.iter().map(|(key, value)| format!("{}={}", escape(key), escape(value))).collect::<Vec<_>>().join("&")
}

/// The values of an attribute in one cell, safe to print.
pub(super) fn cell(record: &Value, tag: &str) -> String {
    table::printable(&values(record, tag))
}

/// The values of an attribute as they are.
pub(super) fn values(record: &Value, tag: &str) -> String {
    let values = record.get(tag).and_then(|element| element.get("Value")).and_then(Value::as_array);
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Object(groups) => groups.get("Alphabetic").and_then(Value::as_str).unwrap_or_default().to_owned(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    values.into_iter().flatten().map(text).collect::<Vec<_>>().join("\\")
}
