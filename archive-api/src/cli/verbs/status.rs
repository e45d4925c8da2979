//! `status`: what a person on call wants to know first.

use serde_json::Value;

use crate::cli::connection::Connection;
use crate::cli::exit::Exit;
use crate::cli::table;

/// Prints the state of the archive.
///
/// # Errors
/// [`Exit`].
pub async fn run(archive: &Connection, json: bool) -> Result<(), Exit> {
    let status: Value = archive.get("/api/v1/status").await?;
    if json {
        println!("{status}");
        return Ok(());
    }
    let at = |path: &str| status.pointer(path).cloned().unwrap_or_default();
    let number = |path: &str| at(path).as_u64().unwrap_or_default();
    let text = |path: &str| table::printable(at(path).as_str().unwrap_or_default());
    println!("archive          {}", text("/archive"));
    println!("receiving        {}", at("/not_receiving").as_str().map_or("yes".to_owned(), |why| format!("no: {why}")));
    println!(
        "bytes at risk    {} in {} receipts, not sealed yet{}",
        table::bytes(number("/journal/live_bytes")),
        number("/journal/live_receipts"),
        at("/journal/oldest_live").as_str().map_or(String::new(), |oldest| format!("; the oldest of {oldest}")),
    );
    println!(
        "journal          {} of {} in {} segments{}",
        table::bytes(number("/journal/bytes")),
        table::bytes(number("/journal/cap_bytes")),
        number("/journal/segments"),
        if at("/journal/mirrored").as_bool() == Some(true) { ", mirrored" } else { ", no mirror" },
    );
    if let Some(trouble) = at("/seal_trouble").as_str() {
        println!("sealing          waits, and is tried again: {}", table::printable(trouble));
    }
    for (job, why) in at("/job_trouble").as_object().into_iter().flatten() {
        let why = table::printable(why.as_str().unwrap_or_default());
        println!("job in trouble   {}, tried again: {why}", table::printable(job));
    }
    println!("ledger           {} entries, epoch {}", number("/ledger/entries"), number("/ledger/epoch"));
    println!(
        "catalog          {}",
        at("/rebuilding").as_object().map_or_else(
            || "complete".to_owned(),
            |progress| format!(
                "being rebuilt: {} of {} packs",
                progress.get("done").cloned().unwrap_or_default(),
                progress.get("total").cloned().unwrap_or_default()
            )
        )
    );
    if number("/unreadable_packs") > 0 {
        println!("unreadable       {} packs have no good copy: `vellum case ls`", number("/unreadable_packs"));
    }
    println!("open cases       {}", number("/open_cases"));
    let mut stores = table::new(&["Store", "Role", "Kind", "State", "Lag (segments)"]);
    for store in at("/stores").as_array().into_iter().flatten() {
        let cell = |key: &str| {
            let value = store.get(key).cloned().unwrap_or_default();
            table::printable(&value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        };
        stores.add_row(vec![cell("name"), cell("role"), cell("kind"), cell("state"), cell("lag")]);
    }
    println!("{stores}");
    for finding in at("/findings").as_array().into_iter().flatten() {
        println!("note: {}", table::printable(finding.as_str().unwrap_or_default()));
    }
    Ok(())
}
