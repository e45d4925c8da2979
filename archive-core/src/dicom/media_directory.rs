//! The directory of a medium (DICOMDIR, PS3.3 Annex F, PS3.10 §8.6): which files it names.
//!
//! The scanner goes over it first: only what it could delimit, within its limits, is handed to the library that
//! interprets it.

use dicom_core::Tag;
use dicom_object::{DefaultDicomObject, InMemDicomObject, OpenFileOptions};

use super::scan::{Input, ScanError, ScanLimits, ScanOptions, scan_reader};

/// Directory Record Sequence.
const DIRECTORY_RECORDS: Tag = Tag(0x0004, 0x1220);
/// Referenced File ID: the components of a path.
const REFERENCED_FILE: Tag = Tag(0x0004, 0x1500);
/// Components of a path (PS3.10 §8.2).
const COMPONENTS_MAX: usize = 8;

/// Why a directory could not be read.
#[derive(Debug, thiserror::Error)]
pub enum MediaDirectoryError {
    /// The bytes are no data set, or past a limit.
    #[error("no directory of a medium: {0}")]
    Refused(#[from] ScanError),
    /// It is an instance.
    #[error("an instance, not the directory of a medium")]
    Instance,
    /// It cannot be interpreted.
    #[error("the directory cannot be interpreted: {0}")]
    NotUnderstood(
        /// What the library said; it quotes no values.
        String,
    ),
}

/// The files that a directory names, each as the components of its path below the directory's folder. Components that
/// would lead out of it are left out.
///
/// # Errors
/// [`MediaDirectoryError`].
pub fn referenced_files(bytes: &[u8]) -> Result<Vec<Vec<String>>, MediaDirectoryError> {
    let options = ScanOptions {
        input: Input::File,
        scratch: std::env::temp_dir(),
        limits: ScanLimits::default(),
        assumed_charset: None,
        header_json: false,
    };
    match scan_reader(&mut &*bytes, options) {
        Err(ScanError::NotAnInstance { .. }) => {}
        Err(error) => return Err(error.into()),
        Ok(_) => return Err(MediaDirectoryError::Instance),
    }
    let directory: DefaultDicomObject = OpenFileOptions::new()
        .from_reader(bytes)
        .map_err(|error| MediaDirectoryError::NotUnderstood(error.to_string()))?;
    let records = directory.element_opt(DIRECTORY_RECORDS).ok().flatten();
    let items = records.and_then(|records| records.items()).unwrap_or_default();
    Ok(items.iter().filter_map(file_of).collect())
}

fn file_of(record: &InMemDicomObject) -> Option<Vec<String>> {
    let file = record.element_opt(REFERENCED_FILE).ok().flatten()?;
    let components = file.to_multi_str().ok()?;
    let components: Vec<String> =
        components.iter().map(|component| component.trim_matches([' ', '\0']).to_owned()).collect();
    let leads_out = |component: &String| {
        component.is_empty() || component == "." || component == ".." || component.contains(['/', '\\', '\0'])
    };
    let good = !components.is_empty() && components.len() <= COMPONENTS_MAX && !components.iter().any(leads_out);
    good.then_some(components)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_directory_names_its_files() {
        let folder = std::env::var_os("VELLUM_CORPUS").map_or_else(
            || std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpus")),
            std::path::PathBuf::from,
        );
        let Ok(bytes) = std::fs::read(folder.join("dicomdir/pydicom-tree/DICOMDIR")) else {
            eprintln!("skipped: no corpus at {}", folder.display());
            return;
        };
        let files = referenced_files(&bytes).unwrap();
        assert_eq!(files.len(), 31);
        assert!(files.iter().all(|components| !components.is_empty()));
    }

    #[test]
    fn what_is_no_directory_is_refused() {
        assert!(matches!(referenced_files(b"hello"), Err(MediaDirectoryError::Refused(_))));
    }
}
