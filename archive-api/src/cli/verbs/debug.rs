//! `debug`: single files, also damaged ones. Nothing is changed, and no patient data is shown.

use std::path::Path;

use archive_core::journal::{Inspected, InspectedWhat};
use archive_core::pack::Inspection;
use serde_json::{Value, json};

use crate::cli::args::Debug;
use crate::cli::exit::Exit;
use crate::cli::table;

/// Shows what is in a file.
///
/// # Errors
/// [`Exit`]; code 4 where the file is damaged.
pub fn run(what: &Debug, json: bool) -> Result<(), Exit> {
    match what {
        Debug::Journal { file } => journal(file, json),
        Debug::Pack { file } => pack(file, json),
    }
}

fn journal(file: &Path, json: bool) -> Result<(), Exit> {
    let found = archive_core::journal::inspect(file);
    let found = found.map_err(|error| Exit::failed(format!("{}: {error}", file.display())))?;
    let mut damaged = false;
    for inspected in found {
        let inspected = inspected.map_err(|error| Exit::failed(format!("{}: {error}", file.display())))?;
        damaged |=
            inspected.chain_broken || matches!(inspected.what, InspectedWhat::Bad | InspectedWhat::NotUnderstood);
        let line = in_json(&inspected);
        println!("{}", if json { line.to_string() } else { in_words(&line) });
    }
    if damaged { Err(Exit::damage()) } else { Ok(()) }
}

fn in_json(inspected: &Inspected) -> Value {
    let what = match &inspected.what {
        InspectedWhat::Head { archive, epoch, segment, first_receipt, created } => json!({
            "kind": "head", "archive": archive, "epoch": epoch, "segment": segment, "first_receipt": first_receipt,
            "created": created,
        }),
        InspectedWhat::Content => json!({"kind": "content"}),
        InspectedWhat::Tables => json!({"kind": "tables"}),
        InspectedWhat::Commit { time, door, source, content, content_length, held_in, shares } => json!({
            "kind": "commit", "time": time, "door": door, "source": source, "content": content,
            "length": content_length, "held_in": held_in, "shares": shares,
        }),
        InspectedWhat::NotUnderstood => json!({"kind": "not-understood"}),
        InspectedWhat::Bad => json!({"kind": "bad"}),
        InspectedWhat::Newer { version, kind } => json!({"kind": "newer", "version": version, "frame_kind": kind}),
    };
    json!({
        "from": inspected.range.start, "to": inspected.range.end, "sequence": inspected.sequence,
        "receipt": inspected.receipt, "chain_broken": inspected.chain_broken, "what": what,
    })
}

/// The same on one line: place, kind, and what is there.
fn in_words(line: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let members =
        line["what"].as_object().into_iter().flatten().filter(|(key, value)| *key != "kind" && !value.is_null());
    let members: Vec<String> = members.map(|(key, value)| format!("{key}={}", text(value))).collect();
    let receipt =
        if line["receipt"].is_null() { String::new() } else { format!("receipt {} ", text(&line["receipt"])) };
    let chain = if line["chain_broken"] == Value::Bool(true) { " (what is before it was altered)" } else { "" };
    let place = format!("{:>12}..{:<12}", text(&line["from"]), text(&line["to"]));
    table::printable(&format!("{place} {:<8} {receipt}{}{chain}", text(&line["what"]["kind"]), members.join(" ")))
}

fn pack(file: &Path, json: bool) -> Result<(), Exit> {
    let found = archive_core::pack::inspect(file);
    let found = found.map_err(|error| Exit::failed(format!("{}: {error}", file.display())))?;
    if json {
        println!("{}", pack_in_json(&found));
    } else {
        println!("{}", table::printable_lines(&found.to_string()));
    }
    if found.findings.is_empty() { Ok(()) } else { Err(Exit::damage()) }
}

fn pack_in_json(found: &Inspection) -> Value {
    let members = found.members.iter().map(|member| {
        json!({
            "name": member.name, "method": member.method, "offset": member.offset, "stored": member.stored,
            "original": member.original,
        })
    });
    let versions = found.versions.iter().map(|version| {
        json!({
            "line": version.line, "series": version.series, "sop": version.sop, "content": version.content,
            "length": version.content_length, "frames": version.frames, "receipts": version.receipts,
            "has_content": version.has_content,
        })
    });
    let root = found.root.as_ref().map(|(place, summary, study)| {
        json!({
            "offset": place.offset, "length": place.length, "sha256": place.sha256, "study": study,
            "nonce": summary.nonce, "versions": summary.versions, "receipts": summary.receipts,
        })
    });
    json!({
        "size": found.size, "pack": found.pack, "root": root, "members": members.collect::<Vec<_>>(),
        "versions": versions.collect::<Vec<_>>(), "findings": found.findings,
    })
}
