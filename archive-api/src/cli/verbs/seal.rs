//! `seal`: journal to packs.

use axum::body::Body;
use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::cli::args::Seal;
use crate::cli::connection::{Connection, request};
use crate::cli::exit::Exit;

/// Seals what is due, or everything.
///
/// # Errors
/// [`Exit`]; code 1 where a study could not be sealed.
pub async fn run(archive: &Connection, what: &Seal, json: bool) -> Result<(), Exit> {
    let response = archive.send(request("POST", &format!("/api/v1/seal?now={}", what.now), Body::empty())?).await?;
    let body = response.into_body().collect().await.map_err(Exit::failed)?.to_bytes();
    let summary: Value = serde_json::from_slice(&body).map_err(Exit::failed)?;
    let count = |key: &str| summary.get(key).and_then(Value::as_u64).unwrap_or_default();
    if json {
        println!("{summary}");
    } else {
        println!(
            "{} studies sealed into {} packs ({} instances); {} wait until they are quiet",
            count("studies"),
            count("packs"),
            count("versions"),
            count("waiting")
        );
    }
    let failed = summary.get("failed").and_then(Value::as_array).cloned().unwrap_or_default();
    for failure in &failed {
        eprintln!("not sealed: {}", failure.as_str().unwrap_or_default());
    }
    if failed.is_empty() { Ok(()) } else { Err(Exit::failed(format!("{} studies could not be sealed", failed.len()))) }
}
