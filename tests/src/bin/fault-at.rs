//! `fault-at --below FOLDER --plan JSON -- PROGRAM ARGUMENT…`: see [`system_tests::fault_at`]. Tests start it.

use std::ffi::OsString;
use std::process::ExitCode;

use system_tests::fault_at;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let outcome = match arguments.iter().map(|argument| argument.to_str()).collect::<Vec<_>>()[..] {
        [Some("traced"), Some("--"), ..] => fault_at::traced(arguments.get(2..).unwrap_or_default()),
        [Some("--below"), Some(below), Some("--plan"), Some(plan), Some("--"), ..] => serde_json::from_str(plan)
            .map_err(std::io::Error::other)
            .and_then(|plan| fault_at::run(arguments.get(5..).unwrap_or_default(), below.into(), plan)),
        _ => Err(std::io::Error::other("usage: fault-at --below FOLDER --plan JSON -- PROGRAM ARGUMENT…")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fault-at: {error}");
            ExitCode::FAILURE
        }
    }
}
