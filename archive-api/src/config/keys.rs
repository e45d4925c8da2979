//! Which keys there are, and which one was meant.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::{Config, PeerSection, StoreSection};

/// Tables whose keys are names that people choose, and what each of them holds.
const NAMED: [&str; 2] = ["stores", "dimse.peers"];

/// All keys with their defaults, dotted; a name that people choose stands as `*`.
pub(super) fn known() -> BTreeMap<String, Value> {
    let mut keys = BTreeMap::new();
    let stores = BTreeMap::from([("*".to_owned(), StoreSection::default())]);
    let mut defaults = Config { stores, ..Config::default() };
    defaults.dimse.peers = BTreeMap::from([("*".to_owned(), PeerSection::default())]);
    if let Ok(table) = Table::try_from(&defaults) {
        collect("", &table, &mut keys);
    }
    keys
}

fn collect(prefix: &str, table: &Table, into: &mut BTreeMap<String, Value>) {
    for (key, value) in table {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(inner) => collect(&path, inner, into),
            other => {
                into.insert(path, other.clone());
            }
        }
    }
}

/// A dotted path with the names that people choose replaced by `*`.
pub(super) fn generic(path: &str) -> String {
    for named in NAMED {
        let rest = path.strip_prefix(named).and_then(|rest| rest.strip_prefix('.'));
        if let Some((_, key)) = rest.and_then(|rest| rest.split_once('.')) {
            return format!("{named}.*.{key}");
        }
    }
    path.to_owned()
}

/// The dotted paths of a file that are no keys, each with the nearest one that is.
pub(super) fn unknown(table: &Table) -> Vec<(String, Option<String>)> {
    let known = known();
    let mut found = BTreeMap::new();
    collect("", table, &mut found);
    let is_known = |path: &String| known.contains_key(&generic(path));
    found.into_keys().filter(|path| !is_known(path)).map(|path| (path.clone(), nearest(&path, &known))).collect()
}

fn nearest(path: &str, known: &BTreeMap<String, Value>) -> Option<String> {
    let wanted = generic(path);
    let leaf = |text: &str| text.rsplit('.').next().unwrap_or_default().to_owned();
    let close = |key: &String| {
        let whole = strsim::jaro_winkler(&wanted, key);
        let leaves = strsim::jaro_winkler(&leaf(&wanted), &leaf(key)) - 0.02;
        whole.max(leaves)
    };
    let best = known.keys().max_by(|a, b| close(a).total_cmp(&close(b)))?;
    (close(best) > 0.8).then(|| best.clone())
}
