//! Where files come from: the file system and zip files, found one after the other, never all at once in memory.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use axum::body::Body;
use bytes::Bytes;
use futures::stream::{self, Stream};
use tokio::sync::mpsc;
use tokio_util::io::ReaderStream;

use super::is_named;
use crate::cli::exit::Exit;

/// Entries of one zip file.
const ZIP_ENTRIES_MAX: usize = 100_000;
/// Bytes that one entry may have; archives limit instances likewise.
const ZIP_ENTRY_BYTES_MAX: u64 = 64 << 30;
/// Bytes read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// One file to be sent.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file of the file system.
    File { path: PathBuf, bytes: u64 },
    /// An entry of a zip file.
    ZipEntry { zip: PathBuf, index: usize, name: String, bytes: u64 },
}

impl Source {
    /// How the report calls it.
    pub fn name(&self) -> String {
        match self {
            Self::File { path, .. } => path.display().to_string(),
            Self::ZipEntry { zip, name, .. } => format!("{}!{name}", zip.display()),
        }
    }

    pub const fn bytes(&self) -> u64 {
        match self {
            Self::File { bytes, .. } | Self::ZipEntry { bytes, .. } => *bytes,
        }
    }

    pub fn is_media_directory(&self) -> bool {
        match self {
            Self::File { path, .. } => is_named(path, "DICOMDIR"),
            Self::ZipEntry { name, .. } => is_named(Path::new(name), "DICOMDIR"),
        }
    }

    /// Its bytes, streamed.
    pub async fn open(self) -> std::io::Result<Body> {
        match self {
            Self::File { path, .. } => {
                let file = tokio::fs::File::open(path).await?;
                Ok(Body::from_stream(ReaderStream::with_capacity(file, CHUNK_BYTES)))
            }
            Self::ZipEntry { zip, index, .. } => Ok(Body::from_stream(zip_entry(zip, index))),
        }
    }
}

/// Streams an entry from a thread of its own: unpacking blocks.
fn zip_entry(zip: PathBuf, index: usize) -> impl Stream<Item = std::io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        let outcome = unpack(&zip, index, &sender);
        if let Err(error) = outcome {
            let _receiver_gone = sender.blocking_send(Err(error));
        }
    });
    stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|chunk| (chunk, receiver)) })
}

fn unpack(zip: &Path, index: usize, to: &mpsc::Sender<std::io::Result<Bytes>>) -> std::io::Result<()> {
    let mut archive = zip::ZipArchive::new(std::io::BufReader::new(File::open(zip)?))?;
    let mut entry = archive.by_index(index)?.take(ZIP_ENTRY_BYTES_MAX);
    loop {
        let mut chunk = vec![0_u8; CHUNK_BYTES];
        let read = entry.read(&mut chunk)?;
        chunk.truncate(read);
        if read == 0 || to.blocking_send(Ok(chunk.into())).is_err() {
            return Ok(());
        }
    }
}

/// Checks that what was named is there.
///
/// # Errors
/// [`Exit`] with code 2 for the first path that is not.
pub fn are_there(paths: &[PathBuf]) -> Result<(), Exit> {
    for path in paths {
        if let Err(error) = std::fs::metadata(path) {
            return Err(Exit::usage(format!(
                "{}: {error}; nothing was imported. Name files, folders, zip files or the folder of a medium that are there",
                path.display()
            )));
        }
    }
    Ok(())
}

/// The bytes of all files below the paths, for the progress bar.
pub fn total_bytes(paths: &[PathBuf]) -> u64 {
    Walk::over(paths.to_vec()).map(|source| source.bytes()).sum()
}

/// All files below the paths, as they are found.
pub fn stream(paths: Vec<PathBuf>) -> impl Stream<Item = Source> {
    stream::iter(Walk::over(paths))
}

/// A walk through folders and zip files, names in order, links not followed.
struct Walk {
    waiting: VecDeque<PathBuf>,
    found: VecDeque<Source>,
}

impl Walk {
    fn over(paths: Vec<PathBuf>) -> Self {
        Self { waiting: paths.into(), found: VecDeque::new() }
    }

    fn visit(&mut self, path: PathBuf) {
        let Ok(metadata) = std::fs::symlink_metadata(&path) else {
            self.found.push_back(Source::File { path, bytes: 0 });
            return;
        };
        if metadata.is_dir() {
            let mut inner: Vec<PathBuf> =
                std::fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
            inner.sort();
            inner.into_iter().rev().for_each(|path| self.waiting.push_front(path));
        } else if metadata.is_file() {
            match zip_entries(&path) {
                Some(entries) => self.found.extend(entries),
                None => self.found.push_back(Source::File { path, bytes: metadata.len() }),
            }
        }
    }
}

impl Iterator for Walk {
    type Item = Source;

    fn next(&mut self) -> Option<Source> {
        loop {
            if let Some(source) = self.found.pop_front() {
                return Some(source);
            }
            let path = self.waiting.pop_front()?;
            self.visit(path);
        }
    }
}

/// The entries of a zip file; `None` for any other file. Names are for the report only, nothing is unpacked to disk.
fn zip_entries(path: &Path) -> Option<Vec<Source>> {
    let mut magic = [0_u8; 4];
    File::open(path).and_then(|mut file| file.read_exact(&mut magic)).ok()?;
    if &magic != b"PK\x03\x04" {
        return None;
    }
    let file = std::io::BufReader::new(File::open(path).ok()?);
    let mut archive = zip::ZipArchive::new(file).ok()?;
    let count = archive.len().min(ZIP_ENTRIES_MAX);
    let entry = |index: usize| {
        let entry = archive.by_index_raw(index).ok()?;
        let kept = entry.is_file() && !entry.is_symlink();
        kept.then(|| Source::ZipEntry {
            zip: path.to_owned(),
            index,
            name: entry.name().map_or_else(|_| format!("entry {index}"), |name| name.into_owned()),
            bytes: entry.size(),
        })
    };
    Some((0..count).filter_map(entry).collect())
}
