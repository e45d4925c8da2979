//! One file a verb.

mod case;
mod config;
mod debug;
mod export;
mod find;
mod import;
mod ledger;
mod ndjson;
mod seal;
mod serve;
mod show;
mod status;
mod verify;

use std::io::Write as _;
use std::path::PathBuf;

use clap::CommandFactory as _;

use super::args::{Command, Verb};
use super::connection::Connection;
use super::exit::Exit;
use crate::config::{Config, FILE_NAME, load};

/// Does what the command line says.
///
/// # Errors
/// [`Exit`], with the code and the words.
pub async fn run(command: Command) -> Result<(), Exit> {
    match command.verb {
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Command::command(), "vellum", &mut script);
            std::io::stdout().write_all(&script).map_err(Exit::failed)
        }
        Verb::Debug(what) => debug::run(&what, command.json),
        Verb::Config(what) => config::run(&what, &command.data, command.config.as_deref(), command.json),
        verb => {
            let config = configuration(&command.data, command.config.as_deref())?;
            let verbs = Verbs { data: command.data, config, json: command.json };
            verbs.run(verb).await
        }
    }
}

/// The configuration in force.
fn configuration(data: &std::path::Path, file: Option<&std::path::Path>) -> Result<Config, Exit> {
    let beside = data.join(FILE_NAME);
    let file = file.map_or_else(|| beside.exists().then_some(beside.as_path()), Some);
    load(file, std::env::vars()).map_err(Exit::usage)
}

/// What the verbs share.
struct Verbs {
    data: PathBuf,
    config: Config,
    json: bool,
}

impl Verbs {
    async fn run(&self, verb: Verb) -> Result<(), Exit> {
        if matches!(verb, Verb::Serve) {
            return serve::run(&self.data, &self.config).await;
        }
        if let Verb::Import(what) = &verb {
            import::check(what)?;
        }
        let archive = Connection::open(&self.data, &self.config).await?;
        if matches!(verb, Verb::Find(_) | Verb::Show(_) | Verb::Export(_) | Verb::Seal(_)) {
            archive.whole().await;
        }
        let outcome = self.ask(&archive, verb).await;
        archive.close().await;
        outcome
    }

    async fn ask(&self, archive: &Connection, verb: Verb) -> Result<(), Exit> {
        match verb {
            Verb::Import(what) => import::run(archive, &what, self.json).await,
            Verb::Find(what) => find::run(archive, &what, self.json).await,
            Verb::Show(what) => show::run(archive, &what, self.json).await,
            Verb::Export(what) => export::run(archive, &what, self.json).await,
            Verb::Seal(what) => seal::run(archive, &what, self.json).await,
            Verb::Verify(what) => verify::run(archive, &what, self.json).await,
            Verb::Rebuild => verify::rebuild(archive, self.json).await,
            Verb::Ledger(what) => ledger::run(archive, &what, self.json).await,
            Verb::Case(what) => case::run(archive, &what, self.json).await,
            Verb::Status => status::run(archive, self.json).await,
            Verb::Serve | Verb::Config(_) | Verb::Debug(_) | Verb::Completions { .. } => Ok(()),
        }
    }
}
