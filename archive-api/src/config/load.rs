//! Reading the file, then the environment, then checking what must fit together.

use std::path::{Path, PathBuf};

use archive_core::identifiers::AeTitle;
use archive_core::ledger::entry::StoreRole;
use toml::{Table, Value};

use super::{Config, StoreKind, keys};

/// Environment variables that configure begin with this; sections and keys are joined by two underscores.
const PREFIX: &str = "VELLUM_";

/// The configuration cannot be used; each says what to change.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{path} is not TOML: {what}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        what: String,
    },
    /// Keys that do not exist.
    #[error("{}", unknown_text(.0))]
    Unknown(
        /// The dotted paths, each with the nearest right one.
        Vec<(String, Option<String>)>,
    ),
    /// A value has the wrong form.
    #[error("the configuration cannot be used: {0}")]
    Value(
        /// What is wrong.
        String,
    ),
}

fn unknown_text(keys: &[(String, Option<String>)]) -> String {
    let lines: Vec<String> = keys
        .iter()
        .map(|(key, nearest)| match nearest {
            Some(nearest) => format!("there is no key `{key}`; did you mean `{nearest}`?"),
            None => format!("there is no key `{key}`; `vellum config show` lists all"),
        })
        .collect();
    lines.join("\n")
}

/// Reads a configuration: the file, if there is one, then the variables of the environment.
///
/// # Errors
/// [`ConfigError`], naming the key and what to change.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let mut table = file.map_or_else(|| Ok(Table::new()), read)?;
    for (variable, text) in environment {
        apply(&mut table, &variable, &text)?;
    }
    let unknown = keys::unknown(&table);
    if !unknown.is_empty() {
        return Err(ConfigError::Unknown(unknown));
    }
    let config: Config = table.try_into().map_err(|error: toml::de::Error| ConfigError::Value(error.to_string()))?;
    check(&config)?;
    Ok(config)
}

fn read(path: &Path) -> Result<Table, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    text.parse()
        .map_err(|error: toml::de::Error| ConfigError::Syntax { path: path.to_owned(), what: error.to_string() })
}

/// Sets what one variable says; variables that name no section (`VELLUM_DATA`) are not for us.
fn apply(table: &mut Table, variable: &str, text: &str) -> Result<(), ConfigError> {
    let Some(path) = variable.strip_prefix(PREFIX).filter(|path| path.contains("__")) else { return Ok(()) };
    let path = path.to_lowercase().replace("__", ".");
    let value = parse_like(keys::known().get(&keys::generic(&path)), text);
    let mut segments: Vec<&str> = path.split('.').collect();
    let Some(key) = segments.pop() else { return Ok(()) };
    let mut at = table;
    for segment in segments {
        let inner = at.entry(segment).or_insert_with(|| Value::Table(Table::new()));
        at = inner
            .as_table_mut()
            .ok_or_else(|| ConfigError::Value(format!("`{segment}` of {variable} is no section")))?;
    }
    at.insert(key.to_owned(), value);
    Ok(())
}

/// The text as a value of the kind that the default has.
fn parse_like(default: Option<&Value>, text: &str) -> Value {
    let parsed = match default {
        Some(Value::Integer(_)) => text.parse().ok().map(Value::Integer),
        Some(Value::Boolean(_)) => text.parse().ok().map(Value::Boolean),
        Some(Value::Array(_)) => {
            Some(Value::Array(text.split(',').map(|item| Value::String(item.trim().to_owned())).collect()))
        }
        _ => None,
    };
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Pairs of keys that cannot both hold; each message names both.
fn check_pairs(config: &Config) -> Result<(), ConfigError> {
    let (journal, seal) = (&config.journal, &config.seal);
    let (http, dimse) = (config.http.listen, config.dimse.listen);
    let pairs = [
        (
            journal.cap < journal.segment,
            format!(
                "journal.cap = {} is less than journal.segment = {}: not one segment would fit, and nothing could be received",
                journal.cap, journal.segment
            ),
        ),
        (
            journal.memory < journal.inline,
            format!(
                "journal.memory = {} is less than journal.inline = {}: an instance of that size could never be gathered in memory",
                journal.memory, journal.inline
            ),
        ),
        (
            seal.quiet > seal.max_age,
            format!(
                "seal.quiet = {} is more than seal.max_age = {}: studies would always be sealed by their age, never for being quiet",
                seal.quiet, seal.max_age
            ),
        ),
        (
            http == dimse && http.port() != 0,
            format!("http.listen and dimse.listen are both {http}: each needs a port of its own"),
        ),
    ];
    let wrong = pairs.into_iter().find(|(is_wrong, _)| *is_wrong);
    wrong.map_or(Ok(()), |(_, what)| Err(ConfigError::Value(what)))
}

fn check(config: &Config) -> Result<(), ConfigError> {
    check_pairs(config)?;
    let wrong = |what: String| Err(ConfigError::Value(what));
    if AeTitle::parse(&config.dimse.ae_title).is_err() {
        return wrong(
            "dimse.ae_title: an AE title has 1 to 16 characters, no backslash and no control character".into(),
        );
    }
    for (key, address) in [("http.listen", config.http.listen), ("dimse.listen", config.dimse.listen)] {
        if !address.ip().is_loopback() {
            return wrong(format!(
                "{key} = {address}: this version has no access control and listens on loopback only"
            ));
        }
    }
    if !config.stores.contains_key(&config.ledger.home) {
        let names: Vec<&str> = config.stores.keys().map(String::as_str).collect();
        return wrong(format!("ledger.home = {:?} is none of the stores: {}", config.ledger.home, names.join(", ")));
    }
    for (name, store) in &config.stores {
        if store.kind == StoreKind::S3 && store.bucket.is_empty() {
            return wrong(format!("stores.{name}.bucket is empty: an S3 store needs one"));
        }
        if store.access_key_file.as_os_str().is_empty() != store.secret_key_file.as_os_str().is_empty() {
            return wrong(format!(
                "stores.{name}.access_key_file and stores.{name}.secret_key_file go together: name both or neither"
            ));
        }
        if *name == config.ledger.home && store.role == StoreRole::Lagging {
            return wrong(format!("stores.{name} is the ledger's home and cannot be lagging"));
        }
    }
    Ok(())
}
