//! `config`: check and show.

use std::path::Path;

use crate::cli::args::Config;
use crate::cli::exit::Exit;

/// Checks the configuration, or prints it whole.
///
/// # Errors
/// [`Exit`] with code 2 where it cannot be used.
pub fn run(what: &Config, data: &Path, file: Option<&Path>, json: bool) -> Result<(), Exit> {
    let config = super::configuration(data, file)?;
    match what {
        Config::Check if json => println!("{{\"ok\":true}}"),
        Config::Check => println!("the configuration can be used"),
        Config::Show if json => println!("{}", serde_json::to_string(&config).map_err(Exit::failed)?),
        Config::Show => print!("{}", toml::to_string(&config).map_err(Exit::failed)?),
    }
    Ok(())
}
