//! Media with a DICOMDIR: whether everything that it names was there.

use std::path::{Path, PathBuf};

use archive_core::dicom::media_directory;

use super::is_named;
use super::report::{Line, Outcome};

/// A DICOMDIR is no larger (bytes); real ones have a few MiB.
const DIRECTORY_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The files that DICOMDIRs directly in the named folders refer to, and that are not there.
pub async fn missing(paths: &[PathBuf]) -> Vec<Line> {
    let paths = paths.to_vec();
    tokio::task::spawn_blocking(move || paths.iter().flat_map(|path| missing_of(path)).collect())
        .await
        .unwrap_or_default()
}

fn missing_of(path: &Path) -> Vec<Line> {
    let Some(directory) = directory_in(path) else { return Vec::new() };
    let root = directory.parent().map(Path::to_owned).unwrap_or_default();
    let refused = |reason: String| vec![Line::new(&directory.display().to_string(), 0, Outcome::Unreadable, reason)];
    if std::fs::metadata(&directory).is_ok_and(|metadata| metadata.len() > DIRECTORY_BYTES_MAX) {
        return refused("larger than any real DICOMDIR; what it names was not checked".to_owned());
    }
    let named = match std::fs::read(&directory) {
        Ok(bytes) => media_directory::referenced_files(&bytes),
        Err(error) => return refused(error.to_string()),
    };
    let named = match named {
        Ok(named) => named,
        Err(error) => return refused(error.to_string()),
    };
    let absent = named.iter().filter(|components| !is_there(&root, components));
    absent
        .map(|components| {
            let path = components.iter().fold(root.clone(), |path, component| path.join(component));
            Line::new(&path.display().to_string(), 0, Outcome::Missing, String::new())
        })
        .collect()
}

fn directory_in(path: &Path) -> Option<PathBuf> {
    if path.is_file() {
        return is_named(path, "DICOMDIR").then(|| path.to_owned());
    }
    let entries = std::fs::read_dir(path).ok()?.flatten();
    entries.map(|entry| entry.path()).find(|path| path.is_file() && is_named(path, "DICOMDIR"))
}

/// Whether a file is there by its components; media and file systems differ in case (PS3.10 §8.2, ISO 9660).
fn is_there(root: &Path, components: &[String]) -> bool {
    let mut at = root.to_owned();
    for component in components {
        let exact = at.join(component);
        let found = if exact.exists() { Some(exact) } else { by_any_case(&at, component) };
        match found {
            Some(path) => at = path,
            None => return false,
        }
    }
    at.is_file()
}

fn by_any_case(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let same = |entry: &std::fs::DirEntry| {
        let there = entry.file_name();
        let there = there.to_string_lossy();
        let there = there.split(';').next().unwrap_or_default().trim_end_matches('.').to_owned();
        there.eq_ignore_ascii_case(name.trim_end_matches('.'))
    };
    entries.filter(same).map(|entry| entry.path()).next()
}
