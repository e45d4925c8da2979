//! `case`: what a person should look at.

use serde_json::Value;

use crate::cli::args::Case;
use crate::cli::connection::Connection;
use crate::cli::exit::Exit;
use crate::cli::table;

/// Lists cases, or shows one.
///
/// # Errors
/// [`Exit`]; code 3 where there is no such case.
pub async fn run(archive: &Connection, what: &Case, json: bool) -> Result<(), Exit> {
    match what {
        Case::Ls { all } => list(archive, *all, json).await,
        Case::Show { id } => show(archive, id, json).await,
    }
}

async fn list(archive: &Connection, all: bool, json: bool) -> Result<(), Exit> {
    let cases: Vec<Value> = archive.get(&format!("/api/v1/cases?all={all}")).await?;
    if json {
        cases.iter().for_each(|case| println!("{case}"));
        return Ok(());
    }
    let mut shown = table::new(&["Case", "State", "About", "Keys", "Times"]);
    for case in &cases {
        let text = |key: &str| table::printable(case.get(key).and_then(Value::as_str).unwrap_or_default());
        let id: String = text("case").chars().take(12).collect();
        shown.add_row(vec![id, text("state"), text("about"), keys(case), times(case)]);
    }
    println!("{shown}");
    println!("{} cases", cases.len());
    Ok(())
}

fn keys(case: &Value) -> String {
    let pairs = case.get("keys").and_then(Value::as_object).into_iter().flatten();
    let pairs = pairs.map(|(key, value)| format!("{key} {}", value.as_str().unwrap_or_default()));
    table::printable_lines(&pairs.collect::<Vec<_>>().join("\n"))
}

fn times(case: &Value) -> String {
    case.get("count").map(ToString::to_string).unwrap_or_default()
}

async fn show(archive: &Connection, id: &str, json: bool) -> Result<(), Exit> {
    let cases: Vec<Value> = archive.get("/api/v1/cases?all=true").await?;
    let of_that_id = |case: &&Value| case.get("case").and_then(Value::as_str).is_some_and(|full| full.starts_with(id));
    let found: Vec<&Value> = cases.iter().filter(of_that_id).collect();
    match found.as_slice() {
        [] => {
            eprintln!("there is no case {}", table::printable(id));
            Err(Exit::incomplete())
        }
        [case] if json => {
            println!("{case}");
            Ok(())
        }
        [case] => {
            println!("{}", table::printable_lines(&serde_json::to_string_pretty(case).unwrap_or_default()));
            Ok(())
        }
        several => Err(Exit::usage(format!("{} cases begin with {id}: give more digits", several.len()))),
    }
}
