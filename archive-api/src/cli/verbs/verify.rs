//! `verify` and `rebuild`: long work, followed line by line.

use axum::body::Body;
use serde_json::Value;

use super::find::form;
use super::ndjson;
use crate::cli::args::Verify;
use crate::cli::connection::{Connection, request};
use crate::cli::exit::Exit;
use crate::cli::table;

/// Reads everything again and compares.
///
/// # Errors
/// [`Exit`]; code 4 where damage was found.
pub async fn run(archive: &Connection, what: &Verify, json: bool) -> Result<(), Exit> {
    let study = what.study.as_deref().map(|uid| format!("?{}", form(&[("study", uid)]))).unwrap_or_default();
    let response = archive.send(request("POST", &format!("/api/v1/verify{study}"), Body::empty())?).await?;
    let mut damaged = 0_u64;
    let bar = progress_bar();
    ndjson::for_each(response, |line| {
        match line.get("event").and_then(Value::as_str) {
            _ if json => ndjson::print(&line),
            Some("progress") => advance(&bar, &line),
            Some("damage") => bar.suspend(|| println!("damaged: {}", text(&line, "what"))),
            Some("finished") => bar.suspend(|| summary(&line)),
            _ => {}
        }
        damaged += u64::from(line.get("event").and_then(Value::as_str) == Some("damage"));
        Ok(())
    })
    .await?;
    bar.finish_and_clear();
    if damaged == 0 { Ok(()) } else { Err(Exit::damage()) }
}

/// Makes the catalog anew.
///
/// # Errors
/// [`Exit`].
pub async fn rebuild(archive: &Connection, json: bool) -> Result<(), Exit> {
    let response = archive.send(request("POST", "/api/v1/rebuild", Body::empty())?).await?;
    let bar = progress_bar();
    let mut failure = None;
    ndjson::for_each(response, |line| {
        match line.get("event").and_then(Value::as_str) {
            Some("failed") => failure = Some(text(&line, "what")),
            _ if json => ndjson::print(&line),
            Some("progress") => advance(&bar, &line),
            Some("finished") => bar.suspend(|| summary(&line)),
            _ => {}
        }
        Ok(())
    })
    .await?;
    bar.finish_and_clear();
    failure.map_or(Ok(()), |what| Err(Exit::failed(what)))
}

fn text(line: &Value, key: &str) -> String {
    table::printable(line.get(key).and_then(Value::as_str).unwrap_or_default())
}

fn number(line: &Value, key: &str) -> u64 {
    line.get(key).and_then(Value::as_u64).unwrap_or_default()
}

fn progress_bar() -> indicatif::ProgressBar {
    let style = indicatif::ProgressStyle::with_template("{bar:30} {pos}/{len} packs, {per_sec}, {eta} left");
    indicatif::ProgressBar::new(0).with_style(style.unwrap_or_else(|_| indicatif::ProgressStyle::default_bar()))
}

fn advance(bar: &indicatif::ProgressBar, line: &Value) {
    bar.set_length(number(line, "total"));
    bar.set_position(number(line, "done"));
}

fn summary(line: &Value) {
    println!(
        "{} packs, {} instances, {} read in {:.1} s; {} damaged",
        number(line, "packs"),
        number(line, "versions"),
        table::bytes(number(line, "bytes")),
        line.get("seconds").and_then(Value::as_f64).unwrap_or_default(),
        number(line, "damaged"),
    );
}
