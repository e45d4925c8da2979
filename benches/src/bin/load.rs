//! Loads an archive over its protocols and tells, as one JSON line, how many operations a second it took, how long they
//! lasted, and what the server used meanwhile.
#![allow(clippy::print_stdout, reason = "a program for people and scripts")]

use std::process::ExitCode;

use benches::asking::{Asking, By, What, qido, wado};
use benches::sending::{Sending, store, stow};
use clap::{Parser, Subcommand};

/// Loads an archive with one kind of request over some connections. Exit code 1: something was refused.
#[derive(Parser, Debug)]
#[command(name = "load", version)]
struct Arguments {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Subcommand, Debug)]
enum Kind {
    /// C-STORE, one association for each connection.
    Store {
        /// host:port of the storage SCP.
        #[arg(long)]
        to: String,
        /// Called AE title.
        #[arg(long, default_value = "VELLUM")]
        called: String,
        #[command(flatten)]
        sending: Sending,
    },
    /// STOW-RS.
    Stow {
        /// URL that ends in /studies.
        #[arg(long)]
        url: String,
        /// Instances of each request.
        #[arg(long, default_value_t = 1)]
        per_request: u64,
        #[command(flatten)]
        sending: Sending,
    },
    /// QIDO-RS searches for studies.
    Qido {
        /// What is searched by.
        #[arg(long, value_enum)]
        by: By,
        /// Results of a page.
        #[arg(long, default_value_t = 101)]
        limit: u64,
        #[command(flatten)]
        asking: Asking,
    },
    /// WADO-RS retrievals.
    Wado {
        /// What is asked for.
        #[arg(long, value_enum)]
        what: What,
        #[command(flatten)]
        asking: Asking,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().kind {
        Kind::Store { to, called, sending } => store(&to, &called, &sending),
        Kind::Stow { url, per_request, sending } => stow(&url, per_request.max(1), &sending),
        Kind::Qido { by, limit, asking } => qido(by, limit, &asking),
        Kind::Wado { what, asking } => wado(what, &asking),
    };
    println!("{}", outcome.line);
    if outcome.well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
