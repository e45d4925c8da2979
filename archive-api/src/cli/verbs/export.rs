//! `export`: original bytes to a folder or a zip file.

use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use archive_core::dicom::scan::pseudo_studies;
use axum::body::Body;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::Value;

use super::find::{form, values};
use crate::cli::args::Export;
use crate::cli::connection::{Connection, request};
use crate::cli::exit::Exit;
use crate::cli::table;

/// A file that the archive can give.
#[derive(Deserialize)]
struct File {
    /// Where to put it, safe on every file system.
    path: String,
    /// Where to get it.
    url: String,
    length: u64,
}

#[derive(Deserialize)]
struct Page {
    files: Vec<File>,
    next: Option<String>,
}

/// A page of records, of which only the UIDs matter here.
#[derive(Deserialize)]
struct Found {
    records: Vec<Value>,
    next: Option<String>,
    incomplete: bool,
    unreadable: bool,
}

/// Part of what was asked for: a study, or one series or instance of it.
#[derive(Default)]
struct Scope {
    study: String,
    series: Option<String>,
    sop: Option<String>,
}

/// What was written so far.
struct Sums {
    files: u64,
    bytes: u64,
    bar: indicatif::ProgressBar,
}

/// Writes what was asked for.
///
/// # Errors
/// [`Exit`]; code 3 where nothing was found.
pub async fn run(archive: &Connection, what: &Export, json: bool) -> Result<(), Exit> {
    let mut target = Target::at(&what.to)?;
    let mut sums = Sums { files: 0, bytes: 0, bar: indicatif::ProgressBar::new_spinner() };
    let mut unreadable = false;
    for searched in searches(what) {
        let mut cursor = None::<String>;
        loop {
            let found: Found = archive.get(&search(&searched, cursor.as_deref())).await?;
            if found.incomplete {
                return Err(Exit::failed(
                    "the catalog is being rebuilt, and not everything would be exported: try again later",
                ));
            }
            unreadable |= found.unreadable;
            for record in &found.records {
                let scope = scope(what, record);
                export_scope(archive, what, &scope, &mut target, &mut sums, json).await?;
            }
            cursor = found.next;
            if cursor.is_none() {
                break;
            }
        }
    }
    target.finish()?;
    sums.bar.finish_and_clear();
    if unreadable {
        return Err(Exit::failed(format!(
            "{} files were exported, and packs without a good copy may hold more: see `vellum case ls`",
            sums.files
        )));
    }
    if sums.files == 0 {
        eprintln!("nothing of that name is in this archive; nothing was written");
        return Err(Exit::incomplete());
    }
    if !json {
        println!("{} files, {} written to {}", sums.files, table::bytes(sums.bytes), what.to.display());
    }
    Ok(())
}

/// Level and keys of a search.
struct Search {
    level: &'static str,
    keys: Vec<(&'static str, String)>,
}

/// The searches that find the studies, or the one series or instance, that are meant. Objects without a patient are
/// listed only where their studies are named, so everything takes a second search.
fn searches(what: &Export) -> Vec<Search> {
    let level = match (&what.instance, &what.series) {
        (Some(_), _) => "instance",
        (None, Some(_)) => "series",
        (None, None) => "study",
    };
    let keys = [
        ("PatientID", &what.patient),
        ("StudyInstanceUID", &what.study),
        ("SeriesInstanceUID", &what.series),
        ("SOPInstanceUID", &what.instance),
    ];
    let keys = keys.into_iter().filter_map(|(key, value)| Some((key, value.clone()?)));
    let mut searches = vec![Search { level, keys: keys.collect() }];
    if what.all {
        let studies: Vec<String> = pseudo_studies().map(|study| study.as_str().to_owned()).collect();
        searches.push(Search { level, keys: vec![("StudyInstanceUID", studies.join("\\"))] });
    }
    searches
}

fn search(searched: &Search, cursor: Option<&str>) -> String {
    let mut pairs = vec![("level", searched.level), ("limit", "200")];
    pairs.extend(searched.keys.iter().map(|(key, value)| (*key, value.as_str())));
    pairs.extend(cursor.map(|cursor| ("cursor", cursor)));
    format!("/api/v1/find?{}", form(&pairs))
}

fn scope(what: &Export, record: &Value) -> Scope {
    Scope { study: values(record, "0020000D"), series: what.series.clone(), sop: what.instance.clone() }
}

async fn export_scope(
    archive: &Connection,
    what: &Export,
    scope: &Scope,
    target: &mut Target,
    sums: &mut Sums,
    json: bool,
) -> Result<(), Exit> {
    let mut cursor = None::<String>;
    loop {
        let page: Page = archive.get(&listing(what, scope, cursor.as_deref())).await?;
        for file in &page.files {
            fetch(archive, file, target).await?;
            sums.files += 1;
            sums.bytes += file.length;
            sums.bar.set_message(format!("{} files, {}", sums.files, table::bytes(sums.bytes)));
            sums.bar.tick();
            if json {
                println!("{}", serde_json::json!({"path": file.path, "bytes": file.length}));
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(());
        }
    }
}

fn listing(what: &Export, scope: &Scope, cursor: Option<&str>) -> String {
    let mut pairs = vec![("study", scope.study.as_str())];
    pairs.extend(scope.series.as_deref().map(|uid| ("series", uid)));
    pairs.extend(scope.sop.as_deref().map(|uid| ("sop", uid)));
    if what.versions {
        pairs.push(("versions", "true"));
    }
    pairs.extend(cursor.map(|cursor| ("after", cursor)));
    format!("/api/v1/files?{}", form(&pairs))
}

async fn fetch(archive: &Connection, file: &File, target: &mut Target) -> Result<(), Exit> {
    let response = archive.send(request("GET", &file.url, Body::empty())?).await?;
    let mut body = response.into_body();
    let mut length = 0_u64;
    target.begin(&file.path)?;
    while let Some(frame) = body.frame().await {
        let bytes = frame.map_err(|error| Exit::failed(format!("{}: {error}", file.path)))?.into_data();
        let bytes = bytes.unwrap_or_default();
        length += bytes.len() as u64;
        target.write(&bytes)?;
    }
    if length != file.length {
        return Err(Exit::failed(format!(
            "{}: {length} bytes came of {}; see the server's log",
            file.path, file.length
        )));
    }
    target.end()
}

/// A folder or a zip file being written. It is made with its first file: an export of nothing leaves nothing behind.
enum Target {
    /// Nothing was written yet.
    Awaiting(PathBuf),
    Folder {
        root: PathBuf,
        open: Option<std::fs::File>,
    },
    Zip(Box<zip::ZipWriter<std::fs::File>>),
}

impl Target {
    /// Looks whether something would be overwritten, before anything is searched; nothing is made.
    fn at(to: &Path) -> Result<Self, Exit> {
        if is_zip(to) && to.symlink_metadata().is_ok() {
            return Err(file_exists(to));
        }
        if !is_zip(to) && to.exists() && std::fs::read_dir(to).map_err(|error| cannot(to, &error))?.next().is_some() {
            return Err(Exit::usage(format!(
                "{} is not empty: name a new folder, nothing is overwritten",
                to.display()
            )));
        }
        Ok(Self::Awaiting(to.to_owned()))
    }

    fn create(to: PathBuf) -> Result<Self, Exit> {
        if !is_zip(&to) {
            std::fs::create_dir_all(&to).map_err(|error| cannot(&to, &error))?;
            return Ok(Self::Folder { root: to, open: None });
        }
        let file = std::fs::File::create_new(&to).map_err(|error| match error.kind() {
            // Somebody else was faster.
            std::io::ErrorKind::AlreadyExists => file_exists(&to),
            _ => cannot(&to, &error),
        })?;
        Ok(Self::Zip(Box::new(zip::ZipWriter::new(file))))
    }

    fn begin(&mut self, path: &str) -> Result<(), Exit> {
        if let Self::Awaiting(to) = self {
            *self = Self::create(std::mem::take(to))?;
        }
        match self {
            // It was made just now.
            Self::Awaiting(_) => Ok(()),
            Self::Folder { root, open } => {
                let full = root.join(path);
                if let Some(parent) = full.parent() {
                    std::fs::create_dir_all(parent).map_err(|error| cannot(&full, &error))?;
                }
                *open = Some(std::fs::File::create_new(&full).map_err(|error| cannot(&full, &error))?);
                Ok(())
            }
            Self::Zip(zip) => {
                let options = zip::write::SimpleFileOptions::default()
                    .compression_method(zip::CompressionMethod::Stored)
                    .large_file(true);
                zip.start_file(path, options).map_err(Exit::failed)
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Exit> {
        match self {
            Self::Folder { open: Some(file), .. } => file.write_all(bytes).map_err(Exit::failed),
            Self::Folder { open: None, .. } | Self::Awaiting(_) => Ok(()),
            Self::Zip(zip) => zip.write_all(bytes).map_err(Exit::failed),
        }
    }

    /// The file is whole: what is reported as written survives a power cut.
    fn end(&mut self) -> Result<(), Exit> {
        match self {
            Self::Folder { open, .. } => open.take().map_or(Ok(()), |file| file.sync_data().map_err(Exit::failed)),
            Self::Zip(_) | Self::Awaiting(_) => Ok(()),
        }
    }

    fn finish(self) -> Result<(), Exit> {
        match self {
            Self::Folder { .. } | Self::Awaiting(_) => Ok(()),
            Self::Zip(zip) => {
                let mut file = zip.finish().map_err(Exit::failed)?;
                file.seek(std::io::SeekFrom::End(0)).and_then(|_| file.sync_all()).map_err(Exit::failed)
            }
        }
    }
}

fn is_zip(to: &Path) -> bool {
    to.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip"))
}

fn file_exists(to: &Path) -> Exit {
    Exit::usage(format!("{} exists: name a new file, nothing is overwritten", to.display()))
}

fn cannot(to: &Path, error: &std::io::Error) -> Exit {
    Exit::failed(format!("cannot write {}: {error}", to.display()))
}
