//! The command line. Every verb speaks the archive's own HTTP API: to the server that holds the data folder, through
//! its Unix socket, or, when nobody holds it, to an archive opened in this process for as long as the verb takes.

mod args;
mod connection;
mod exit;
mod table;
mod verbs;

pub use args::Command;
pub use exit::Exit;

use std::process::ExitCode;

use clap::Parser as _;

/// Runs the program: reads the arguments, does what they say, gives the exit code.
#[must_use]
pub fn run() -> ExitCode {
    end_quietly_when_nobody_reads();
    let command = Command::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Exit::failed(format!("cannot start: {error}")).report(),
    };
    let outcome = runtime.block_on(verbs::run(command));
    runtime.shutdown_timeout(std::time::Duration::from_secs(10));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => exit.report(),
    }
}

/// `vellum … | head` closes the pipe early, and that is no error. Rust's print macros panic there, so that one panic ends
/// the process without a word; all others are reported as ever.
fn end_quietly_when_nobody_reads() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload_as_str().unwrap_or_default();
        if message.starts_with("failed printing to std") && message.contains("Broken pipe") {
            std::process::exit(0);
        }
        report(panic);
    }));
}
