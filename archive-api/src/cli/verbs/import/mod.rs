//! `import`: files, folders, zip files and media, each file through the same gate as everything else.
//!
//! A file counts as stored when the archive answered so, not before; the report is written line by line with that
//! answer, so an import that was broken off can be resumed.

mod media;
mod report;
mod sources;

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::find::form;
use crate::cli::args::Import;
use crate::cli::connection::{Connection, request};
use crate::cli::exit::Exit;
use report::{Line, Outcome, Report};
use sources::Source;

/// Looks whether what was named is there, before anything is made or sent.
///
/// # Errors
/// [`Exit`] with code 2, with the first that is not.
pub fn check(what: &Import) -> Result<(), Exit> {
    sources::are_there(&what.paths)
}

/// Imports what was named.
///
/// # Errors
/// [`Exit`]; code 3 where something was refused or missing.
pub async fn run(archive: &Connection, what: &Import, json: bool) -> Result<(), Exit> {
    let done = if what.resume { report::stored(what.report.as_deref()) } else { HashSet::new() };
    let mut report = Report::create(what.report.as_deref(), what.resume)?;
    let bar = progress_bar(sources::total_bytes(&what.paths));
    let send = |source: Source| {
        let done = &done;
        async move {
            let name = source.name();
            let bytes = source.bytes();
            let line = if done.contains(&name) { None } else { Some(send(archive, source, &what.source).await) };
            (bytes, line)
        }
    };
    let mut sent = sources::stream(what.paths.clone()).map(send).buffer_unordered(what.parallel.clamp(1, 256));
    while let Some((bytes, line)) = sent.next().await {
        bar.inc(bytes);
        let Some(line) = line else {
            report.skip();
            continue;
        };
        if !json && line.outcome.is_trouble() {
            bar.suspend(|| println!("{}", line.in_words()));
        }
        let stop = line.outcome == Outcome::Unreachable;
        report.add(&line)?;
        if stop {
            bar.finish_and_clear();
            return Err(Exit::unreachable(format!(
                "{}; what was stored stays stored: resume with --resume",
                line.reason
            )));
        }
    }
    for line in media::missing(&what.paths).await {
        if !json {
            bar.suspend(|| println!("{}", line.in_words()));
        }
        report.add(&line)?;
    }
    bar.finish_and_clear();
    report.finish(json)
}

fn progress_bar(total: u64) -> indicatif::ProgressBar {
    let template = "{bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
    let style = indicatif::ProgressStyle::with_template(template);
    let bar = indicatif::ProgressBar::new(total);
    bar.set_style(style.unwrap_or_else(|_| indicatif::ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Sends one file; whatever happens becomes a line of the report.
async fn send(archive: &Connection, source: Source, label: &str) -> Line {
    let name = source.name();
    let bytes = source.bytes();
    let line = |outcome, reason: String| Line::new(&name, bytes, outcome, reason);
    if source.is_media_directory() {
        return line(Outcome::NotInstance, "a DICOMDIR is the directory of a medium, not an instance".to_owned());
    }
    let body = match source.open().await {
        Ok(body) => body,
        Err(error) => return line(Outcome::Unreadable, format!("cannot be read: {error}")),
    };
    let path = format!("/api/v1/instances?{}", form(&[("source", label)]));
    let response = match request("POST", &path, body) {
        Ok(request) => archive.send_raw(request).await,
        Err(_) => return line(Outcome::Unreachable, "the request could not be made".to_owned()),
    };
    let response = match response {
        Ok(response) => response,
        Err(reason) => return line(Outcome::Unreachable, reason),
    };
    let status = response.status();
    let body = response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    if status.is_success() {
        let duplicate = answer.get("duplicate").and_then(Value::as_bool) == Some(true);
        let outcome = if duplicate { Outcome::Duplicate } else { Outcome::Stored };
        return line(outcome, String::new()).with_answer(&answer);
    }
    match (status.as_u16(), text("code").as_str()) {
        (_, "not-dicom") => line(Outcome::NotDicom, text("detail")),
        (400 | 409 | 413, _) => line(Outcome::Refused, text("detail")),
        _ => line(Outcome::Failed, text("detail")),
    }
}

/// Whether a path ends in a name, whatever its case.
fn is_named(path: &Path, name: &str) -> bool {
    path.file_name().is_some_and(|file| file.eq_ignore_ascii_case(name))
}
