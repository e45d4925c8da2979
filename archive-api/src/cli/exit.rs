//! How the program ends: one table of exit codes for all verbs.

use std::fmt;
use std::process::ExitCode;

/// The table as `--help` shows it.
pub const HELP: &str = "\
Exit codes:
  0  done
  1  failed; the message says what and what to do
  2  the command line or the configuration is wrong
  3  done, but some inputs were refused (import) or nothing was found (find, show, export)
  4  damage was found (verify, ledger verify, debug)
  5  the archive cannot be reached, or another process holds the data folder

Every verb works while the server runs and while it does not. Set VELLUM_DATA or --data to name the data folder.";

/// An end other than success.
#[derive(Debug)]
pub struct Exit {
    code: u8,
    message: Option<String>,
}

impl Exit {
    /// Something could not be done.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self { code: 1, message: Some(message.to_string()) }
    }

    /// The command line or the configuration is wrong.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self { code: 2, message: Some(message.to_string()) }
    }

    /// Some inputs were refused, or nothing was found; what to say has been said.
    #[must_use]
    pub const fn incomplete() -> Self {
        Self { code: 3, message: None }
    }

    /// What was asked for is not there.
    pub fn nothing(message: impl fmt::Display) -> Self {
        Self { code: 3, message: Some(message.to_string()) }
    }

    /// Damage was found; what to say has been said.
    #[must_use]
    pub const fn damage() -> Self {
        Self { code: 4, message: None }
    }

    /// The archive cannot be reached.
    pub fn unreachable(message: impl fmt::Display) -> Self {
        Self { code: 5, message: Some(message.to_string()) }
    }

    /// Says on standard error what there is to say.
    #[must_use]
    pub fn report(self) -> ExitCode {
        if let Some(message) = &self.message {
            eprintln!("vellum: {message}");
        }
        ExitCode::from(self.code)
    }
}
