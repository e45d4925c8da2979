//! `show`: everything that is known of a study, a series or an instance.

use serde::Deserialize;
use serde_json::Value;

use super::find::{cell, form};
use crate::cli::args::Show;
use crate::cli::connection::Connection;
use crate::cli::exit::Exit;
use crate::cli::table;

#[derive(Deserialize)]
struct Page {
    versions: Vec<Value>,
    next: Option<String>,
}

/// Prints the versions that are held, with their receipts and places.
///
/// # Errors
/// [`Exit`]; code 3 where nothing was found.
pub async fn run(archive: &Connection, what: &Show, json: bool) -> Result<(), Exit> {
    let mut shown = table::new(&["No.", "SOP Instance UID", "Current", "Bytes", "Frames", "Place", "Receipts"]);
    let (mut cursor, mut count) = (None::<String>, 0_usize);
    loop {
        let page: Page = archive.get(&path(what, cursor.as_deref())).await?;
        for version in &page.versions {
            count += 1;
            if json {
                println!("{version}");
            } else {
                if count == 1 {
                    heading(version);
                }
                shown.add_row(row(version));
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    if count == 0 {
        eprintln!("nothing of that name is in this archive");
        return Err(Exit::incomplete());
    }
    if !json {
        println!("{shown}");
    }
    Ok(())
}

fn path(what: &Show, cursor: Option<&str>) -> String {
    let mut pairs = vec![("study", what.study.as_str())];
    pairs.extend(what.series.as_deref().map(|uid| ("series", uid)));
    pairs.extend(what.sop.as_deref().map(|uid| ("sop", uid)));
    pairs.extend(cursor.map(|cursor| ("after", cursor)));
    format!("/api/v1/versions?{}", form(&pairs))
}

fn heading(version: &Value) {
    let Some(attributes) = version.get("attributes") else { return };
    for (label, tag) in [
        ("Patient", "00100010"),
        ("Patient ID", "00100020"),
        ("Study date", "00080020"),
        ("Accession number", "00080050"),
        ("Description", "00081030"),
        ("Study", "0020000D"),
    ] {
        println!("{label:<17} {}", cell(attributes, tag));
    }
}

fn row(version: &Value) -> Vec<String> {
    let text = |key: &str| {
        let value = version.get(key).cloned().unwrap_or_default();
        table::printable(&value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    let receipts = version.get("receipts").and_then(Value::as_array).into_iter().flatten();
    let receipt = |receipt: &Value| {
        let part = |key: &str| receipt.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        table::printable(&format!("{} {} by {}", part("number"), part("source"), part("door")))
    };
    vec![
        version.get("attributes").map(|attributes| cell(attributes, "00200013")).unwrap_or_default(),
        text("sop"),
        if version.get("current").and_then(Value::as_bool) == Some(true) { "yes" } else { "no" }.to_owned(),
        table::bytes(version.get("length").and_then(Value::as_u64).unwrap_or_default()),
        text("frames"),
        text("place"),
        receipts.map(receipt).collect::<Vec<_>>().join("\n"),
    ]
}
