//! `ledger`: show and verify.

use axum::body::Body;
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::find::form;
use super::ndjson;
use crate::cli::args::Ledger;
use crate::cli::connection::{Connection, request};
use crate::cli::exit::Exit;
use crate::cli::table;

/// Shows entries, or checks all of them.
///
/// # Errors
/// [`Exit`]; code 4 where the ledger is damaged.
pub async fn run(archive: &Connection, what: &Ledger, json: bool) -> Result<(), Exit> {
    match what {
        Ledger::Show { from, limit, kind } => show(archive, *from, *limit, kind.as_deref(), json).await,
        Ledger::Verify => verify(archive, json).await,
    }
}

async fn show(archive: &Connection, from: u64, limit: u64, kind: Option<&str>, json: bool) -> Result<(), Exit> {
    let query = form(&[("from", &from.to_string()), ("limit", &limit.to_string()), ("kind", kind.unwrap_or_default())]);
    let response = archive.send(request("GET", &format!("/api/v1/ledger?{query}"), Body::empty())?).await?;
    ndjson::for_each(response, |line| {
        if json {
            ndjson::print(&line);
        } else {
            println!("{}", in_words(&line));
        }
        Ok(())
    })
    .await
}

/// An entry on one line: number, time, kind, and its members.
fn in_words(entry: &Value) -> String {
    let member =
        |key: &str| entry.get(key).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    let rest = entry.as_object().into_iter().flatten();
    let rest = rest.filter(|(key, _)| !matches!(key.as_str(), "n" | "time" | "vouched" | "kind"));
    let rest: Vec<String> = rest
        .map(|(key, value)| format!("{key}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect();
    let start = ["n", "time", "kind"].map(|key| member(key).unwrap_or_default());
    table::printable(&format!("{:>6}  {}  {:<16} {}", start[0], start[1], start[2], rest.join(" ")))
}

async fn verify(archive: &Connection, json: bool) -> Result<(), Exit> {
    let response = archive.send(request("POST", "/api/v1/ledger/verify", Body::empty())?).await?;
    let body = response.into_body().collect().await.map_err(Exit::failed)?.to_bytes();
    let stores: Vec<Value> = serde_json::from_slice(&body).map_err(Exit::failed)?;
    let mut findings_total = 0;
    for store in &stores {
        let number = |key: &str| store.get(key).and_then(Value::as_u64).unwrap_or_default();
        let text = |key: &str| store.get(key).and_then(Value::as_str).unwrap_or_default();
        let findings = store.get("findings").and_then(Value::as_array).cloned().unwrap_or_default();
        findings_total += findings.len();
        if json {
            println!("{store}");
            continue;
        }
        println!(
            "store {}: {} segments, {} entries, root {}; {} findings; {}",
            text("store"),
            number("segments"),
            number("entries"),
            text("root"),
            findings.len(),
            if store.get("signed").and_then(Value::as_bool) == Some(true) {
                "signed"
            } else {
                "checkpoints are unsigned"
            },
        );
        if let Some(behind) = store.get("behind").and_then(Value::as_u64).filter(|behind| *behind > 0) {
            println!("  {behind} segments behind the home: they are on their way");
        }
        for finding in &findings {
            println!("  {}", table::printable(finding.as_str().unwrap_or_default()));
        }
    }
    if findings_total == 0 { Ok(()) } else { Err(Exit::damage()) }
}
