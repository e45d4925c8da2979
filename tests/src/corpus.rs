//! The corpus of real files, where it is there: `VELLUM_CORPUS`, or beside the checkout.

use std::path::{Path, PathBuf};

/// One file of the corpus, as its manifest describes it.
#[derive(Clone, Debug)]
pub struct CorpusFile {
    /// The file.
    pub path: PathBuf,
    /// Its path in the manifest.
    pub name: String,
    /// What an archive is expected to do with it: `accepted…`, `refused: …`, `not stored…`.
    pub expected: String,
    /// Columns of the manifest, in its order.
    pub columns: Vec<String>,
}

impl CorpusFile {
    /// Whether the manifest expects it to be kept.
    #[must_use]
    pub fn is_expected(&self) -> bool {
        self.expected.starts_with("accepted")
    }
}

/// The corpus; `None`, and a line that says so, where it is not there.
#[must_use]
pub fn files() -> Option<Vec<CorpusFile>> {
    let folder = std::env::var_os("VELLUM_CORPUS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpus")), PathBuf::from);
    let Ok(manifest) = std::fs::read_to_string(folder.join("manifest.tsv")) else {
        eprintln!("skipped: no corpus at {}; set VELLUM_CORPUS", folder.display());
        return None;
    };
    Some(manifest.lines().skip(1).map(|line| parse(&folder, line)).collect())
}

fn parse(folder: &Path, line: &str) -> CorpusFile {
    let columns: Vec<String> = line.split('\t').map(str::to_owned).collect();
    let column = |index: usize| columns.get(index).cloned().unwrap_or_default();
    CorpusFile { path: folder.join(column(0)), name: column(0), expected: column(17), columns }
}
