//! Reads a pack from its copies: root, index, metadata. Frames and content: see `version.rs`.
//!
//! Nothing is handed out, and nothing parsed, before its digest was checked; the length of what is fetched comes from a
//! level whose digest was checked before. A copy that fails its check is reported, and the next one is tried.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};

use super::cache::{Cached, PackCache};
use super::codec::Method;
use super::error::Flaw;
use super::format::{ROOT_MAX, RUN_STORED_MAX};
use super::index_line::{Member, read_line};
use super::place::{IndexedVersion, PackRef};
use super::root::{Part, Root, TextMember};
use super::source::{DamageObserver, PackSource, StoredCopies};
use super::version::PackedVersion;
use crate::identifiers::{SeriesUid, Sha256Digest};
use crate::off_runtime;
use crate::reading::ReadError;
use crate::store::SharedStore;

/// A pack opened for reading. Cheap to clone; its streams and versions keep what they need of it.
#[derive(Clone, Debug)]
pub struct PackReader {
    inner: Arc<Inner>,
}

/// What a pack says of itself in its root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PackSummary {
    /// Random, drawn for this pack.
    pub nonce: String,
    /// Lines of its index.
    pub versions: u32,
    /// Lines whose bytes are in it.
    pub contents: u32,
    /// Receipts in it.
    pub receipts: u64,
    /// Bytes of content in it.
    pub content_bytes: u64,
}

/// What the parts of a reader share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) pack: PackRef,
    pub(crate) root: Arc<Root>,
    source: Box<dyn PackSource>,
    cache: Arc<PackCache>,
}

/// Which of the two text members.
#[derive(Clone, Copy, Debug)]
enum Text {
    Index,
    Metadata,
}

impl Text {
    const fn name(self) -> &'static str {
        match self {
            Self::Index => "the index",
            Self::Metadata => "the metadata",
        }
    }

    fn member(self, root: &Root) -> &TextMember {
        match self {
            Self::Index => &root.index,
            Self::Metadata => &root.metadata,
        }
    }
}

impl PackReader {
    /// Opens a pack of which these stores hold copies, the one to be tried first first: one request, none where the cache
    /// knows its root.
    ///
    /// # Errors
    /// [`ReadError`] where no copy gives a root of the recorded digest, or the root is of a newer format.
    pub async fn open(
        stores: &[SharedStore],
        pack: PackRef,
        cache: &Arc<PackCache>,
        observer: Arc<dyn DamageObserver>,
    ) -> Result<Self, ReadError> {
        let key = pack.key().map_err(|error| ReadError::NotUnderstood {
            object: format!("pack {}", pack.pack),
            what: error.to_string(),
        })?;
        let source = StoredCopies { stores: stores.to_vec(), pack: pack.clone(), key, observer };
        Self::open_source(Box::new(source), pack, cache).await
    }

    pub(crate) async fn open_source(
        source: Box<dyn PackSource>,
        pack: PackRef,
        cache: &Arc<PackCache>,
    ) -> Result<Self, ReadError> {
        let root = read_root(&*source, &pack, cache).await?;
        Ok(Self { inner: Arc::new(Inner { pack, root, source, cache: Arc::clone(cache) }) })
    }

    /// The pack.
    #[must_use]
    pub fn pack(&self) -> &PackRef {
        &self.inner.pack
    }

    /// What its root says.
    #[must_use]
    pub fn summary(&self) -> PackSummary {
        let root = &self.inner.root;
        PackSummary {
            nonce: root.nonce.clone(),
            versions: root.versions,
            contents: root.contents,
            receipts: root.receipts,
            content_bytes: root.content_bytes,
        }
    }

    /// Bytes of its index as text.
    #[must_use]
    pub fn index_bytes(&self) -> u64 {
        self.inner.root.index.units.iter().fold(0, |sum, unit| sum.saturating_add(unit.part.length))
    }

    /// All lines.
    #[must_use]
    pub fn lines(&self) -> Range<u32> {
        0..self.inner.root.versions
    }

    /// The lines of a series; they are consecutive. Empty where the pack holds none of it.
    #[must_use]
    pub fn series_lines(&self, series: &SeriesUid) -> Range<u32> {
        let units = self.inner.root.index.units.iter().filter(|unit| unit.series == series.as_str());
        units.fold(0..0, |lines, unit| {
            let start = if lines.is_empty() { unit.first } else { lines.start };
            start..unit.first.saturating_add(unit.count)
        })
    }

    /// One line of the index.
    ///
    /// # Errors
    /// [`ReadError`]; [`ReadError::NotUnderstood`] where there is no such line.
    pub async fn line(&self, line: u32) -> Result<IndexedVersion, ReadError> {
        let text = self.inner.text_line(Text::Index, line).await?;
        self.inner.understood(line, text, |pack, line, text| Ok(pack.parse_line(line, &text)?.0)).await
    }

    /// Lines of the index, in order, a few requests for all; ends at the first error.
    #[must_use]
    pub fn index(&self, lines: Range<u32>) -> BoxStream<'static, Result<IndexedVersion, ReadError>> {
        stream_lines(&self.inner, Text::Index, lines, |pack, line, text| Ok(pack.parse_line(line, &text)?.0))
    }

    /// A version to be read. `None` where only receipts of it are here.
    ///
    /// # Errors
    /// As [`PackReader::line`].
    pub async fn version(&self, line: u32) -> Result<Option<PackedVersion>, ReadError> {
        let text = self.inner.text_line(Text::Index, line).await?;
        let (indexed, member) =
            self.inner.understood(line, text, |pack, line, text| pack.parse_line(line, &text)).await?;
        Ok(member.map(|member| PackedVersion::new(Arc::clone(&self.inner), indexed, member)))
    }

    /// The header of a version as one DICOM JSON object; bulk values by reference, each URL beginning with
    /// [`crate::dicom::scan::BULK_URL_TOKEN`]. `None` where it was left out and is to be made from the content.
    ///
    /// # Errors
    /// As [`PackReader::line`].
    pub async fn header_json(&self, line: u32) -> Result<Option<Bytes>, ReadError> {
        Ok(header_of(self.inner.text_line(Text::Metadata, line).await?))
    }

    /// The headers of lines, in order, each as [`PackReader::header_json`] gives it; ends at the first error.
    #[must_use]
    pub fn headers(&self, lines: Range<u32>) -> BoxStream<'static, Result<(u32, Option<Bytes>), ReadError>> {
        stream_lines(&self.inner, Text::Metadata, lines, |_, line, text| Ok((line, header_of(text))))
    }

    /// Whether every block of tables has its digest; for verifying a whole pack.
    pub(crate) async fn check_blocks(&self) -> Result<(), ReadError> {
        for block in 0..self.inner.root.blocks().len() {
            self.inner.block(block, block..block + 1).await?;
        }
        Ok(())
    }
}

/// Set in the place of a unit, it is the key of where its lines end; no pack is that long.
const LINE_ENDS: u64 = 1 << 63;

/// What a stream of lines reads.
struct Lines {
    pack: Arc<Inner>,
    text: Text,
    lines: Range<u32>,
    /// The unit that was read last, so that a stream does not depend on what the cache keeps.
    unit: Option<(usize, Bytes)>,
}

impl Lines {
    async fn next(&mut self) -> Result<Option<(u32, Bytes)>, ReadError> {
        let Some(line) = self.lines.next() else { return Ok(None) };
        let unit = self.pack.unit_of(self.text, line)?;
        let held = self.unit.take().filter(|(held, _)| *held == unit);
        let bytes = match held {
            Some((_, bytes)) => bytes,
            None => self.pack.text_unit(self.text, unit, self.lines.end).await?,
        };
        self.unit = Some((unit, bytes.clone()));
        Ok(Some((line, self.pack.line_in(self.text, unit, &bytes, line)?)))
    }
}

/// One item a line, until the first error.
fn stream_lines<T: Send + 'static>(
    pack: &Arc<Inner>,
    text: Text,
    lines: Range<u32>,
    item: fn(&Inner, u32, Bytes) -> Result<T, ReadError>,
) -> BoxStream<'static, Result<T, ReadError>> {
    let lines = lines.start..lines.end.min(pack.root.versions);
    let state = Lines { pack: Arc::clone(pack), text, lines, unit: None };
    stream::try_unfold(state, move |mut state| async move {
        let Some((line, text)) = state.next().await? else { return Ok(None) };
        let item = state.pack.understood(line, text, item).await?;
        Ok(Some((item, state)))
    })
    .boxed()
}

async fn read_root(source: &dyn PackSource, pack: &PackRef, cache: &PackCache) -> Result<Arc<Root>, ReadError> {
    let place = pack.root;
    let key = (place.sha256, place.offset);
    if let Some(Cached::Root(root)) = cache.get(&key) {
        return Ok(root);
    }
    let end = place.offset.checked_add(place.length).filter(|&end| end <= pack.size && place.length <= ROOT_MAX);
    let what = "its recorded root lies outside it";
    let end = end.ok_or_else(|| Flaw::NotUnderstood(what.to_owned()).in_object(source.object(0)))?;
    let (study, size) = (pack.study.clone(), pack.size);
    let root = read_checked(source, place.offset..end, place.length, move |bytes| {
        if Sha256Digest::of(bytes) != place.sha256 {
            return Err(Flaw::Damaged("the root".to_owned()));
        }
        let root = Root::parse(bytes, size)?;
        if root.study == study { Ok(root) } else { Err(Flaw::NotUnderstood("the root names another study".to_owned())) }
    })
    .await?;
    let root = Arc::new(root);
    let weight = usize::try_from(place.length).unwrap_or(usize::MAX);
    cache.put(key, Cached::Root(Arc::clone(&root)), weight);
    Ok(root)
}

/// Reads a range from the first copy that passes the check. A failed check is reported, then the next copy is tried.
/// Checking handles about `bytes` bytes, which is what decides where it runs.
async fn read_checked<T: Send + 'static>(
    source: &dyn PackSource,
    range: Range<u64>,
    bytes: u64,
    check: impl Fn(&Bytes) -> Result<T, Flaw> + Send + Sync + 'static,
) -> Result<T, ReadError> {
    let check = Arc::new(check);
    let mut worst: Option<ReadError> = None;
    for copy in 0..source.copies() {
        let outcome = match source.read(copy, range.clone()).await {
            Ok(read) if read.len() as u64 == range.end.saturating_sub(range.start) => {
                if source.may_block() {
                    check(&read)
                } else {
                    let check = Arc::clone(&check);
                    let checked = off_runtime::compute(bytes, move || check(&read)).await;
                    checked.map_err(|error| ReadError::Local { object: source.object(copy), source: error })?
                }
            }
            Ok(_) => Err(Flaw::Damaged(format!("bytes {} to {}", range.start, range.end))),
            Err(error) => {
                // Damage that was seen says more than a store that is away.
                worst.get_or_insert(error);
                continue;
            }
        };
        match outcome {
            Ok(good) => return Ok(good),
            Err(Flaw::Damaged(what)) => {
                source.damaged(copy, &what);
                if !matches!(worst, Some(ReadError::Damaged { .. })) {
                    worst = Some(Flaw::Damaged(what).in_object(source.object(copy)));
                }
            }
            Err(flaw @ Flaw::NotUnderstood(_)) => return Err(flaw.in_object(source.object(copy))),
        }
    }
    let nowhere = || Flaw::NotUnderstood("no store is named that should hold it".to_owned());
    Err(worst.unwrap_or_else(|| nowhere().in_object(source.object(0))))
}

impl Inner {
    /// An error of this pack that no other copy could cure.
    pub(crate) fn not_understood(&self, what: impl Into<String>) -> ReadError {
        Flaw::NotUnderstood(what.into()).in_object(format!("pack {}", self.pack.pack))
    }

    /// Stored bytes that pass a check, from the first copy that has them; checking handles about `bytes` bytes.
    pub(crate) async fn checked<T: Send + 'static>(
        &self,
        range: Range<u64>,
        bytes: u64,
        check: impl Fn(&Bytes) -> Result<T, Flaw> + Send + Sync + 'static,
    ) -> Result<T, ReadError> {
        read_checked(&*self.source, range, bytes, check).await
    }

    /// The original of a part. Its neighbours up to `ahead` are fetched in the same request and remembered, as far as
    /// the run stays small; `part` gives them by index.
    async fn part(
        &self,
        index: usize,
        ahead: Range<usize>,
        part: impl Fn(usize) -> Option<(Part, Method)>,
        what: &'static str,
    ) -> Result<Bytes, ReadError> {
        let missing = || self.not_understood(format!("{what} is not listed in the root"));
        let (wanted, method) = part(index).ok_or_else(missing)?;
        if let Some(Cached::Part(bytes)) = self.cache.get(&self.cache_key(&wanted)) {
            return Ok(bytes);
        }
        let mut run = vec![wanted];
        let mut place = 0;
        for neighbour in (ahead.start..index).rev() {
            let Some((before, _)) = part(neighbour) else { break };
            let Some(first) = run.first().copied() else { break };
            if before.end() != first.offset || wanted.end() - before.offset > RUN_STORED_MAX {
                break;
            }
            run.insert(0, before);
            place += 1;
        }
        for neighbour in index + 1..ahead.end {
            let (Some((after, _)), Some(first), Some(last)) = (part(neighbour), run.first(), run.last()) else { break };
            if last.end() != after.offset || after.end() - first.offset > RUN_STORED_MAX {
                break;
            }
            run.push(after);
        }
        let opened = match self.open_run(&run, method, what).await {
            // Another part of the run may be what is damaged: this one is read alone.
            Err(ReadError::Damaged { .. }) if run.len() > 1 => {
                place = 0;
                self.open_run(&[wanted], method, what).await?
            }
            outcome => outcome?,
        };
        opened.into_iter().nth(place).ok_or_else(missing)
    }

    /// The originals of parts that follow each other.
    async fn open_run(&self, run: &[Part], method: Method, what: &'static str) -> Result<Vec<Bytes>, ReadError> {
        let (start, end) = (run.first().map_or(0, |part| part.offset), run.last().map_or(0, Part::end));
        let bytes = run.iter().fold(0_u64, |sum, part| sum.saturating_add(part.length));
        let parts = run.to_vec();
        let opened = self
            .checked(start..end, bytes, move |stored| {
                let open = |part: &Part| {
                    let from = usize::try_from(part.offset - start).unwrap_or(usize::MAX);
                    let to = usize::try_from(part.end() - start).unwrap_or(usize::MAX);
                    let stored = stored.get(from..to).ok_or_else(|| Flaw::Damaged(what.to_owned()))?;
                    part.open(method, stored, what).map(Bytes::from)
                };
                parts.iter().map(open).collect::<Result<Vec<_>, Flaw>>()
            })
            .await?;
        for (part, bytes) in run.iter().zip(&opened) {
            self.cache.put(self.cache_key(part), Cached::Part(bytes.clone()), bytes.len());
        }
        Ok(opened)
    }

    fn cache_key(&self, part: &Part) -> (Sha256Digest, u64) {
        (self.pack.root.sha256, part.offset)
    }

    /// A block of `frames.bin`; the blocks of `ahead` are fetched along as far as the run stays small.
    pub(crate) async fn block(&self, block: usize, ahead: Range<usize>) -> Result<Bytes, ReadError> {
        let method = self.root.frames.as_ref().map_or(Method::Stored, |frames| frames.method);
        let part = |index: usize| self.root.blocks().get(index).map(|block| (block.part, method));
        self.part(block, ahead, part, "a block of frames.bin").await
    }

    /// Which unit of a text member holds a line.
    fn unit_of(&self, text: Text, line: u32) -> Result<usize, ReadError> {
        let missing = || self.not_understood(format!("there is no line {line} in {}", text.name()));
        text.member(&self.root).unit_of(line).ok_or_else(missing)
    }

    /// A unit of a text member. Those that follow it up to the line `until` are fetched along.
    async fn text_unit(&self, text: Text, unit: usize, until: u32) -> Result<Bytes, ReadError> {
        let member = text.member(&self.root);
        let last = until.checked_sub(1).and_then(|last| member.unit_of(last)).map_or(unit, |last| last.max(unit));
        let part = |index: usize| member.units.get(index).map(|unit| (unit.part, member.method));
        self.part(unit, unit..last + 1, part, text.name()).await
    }

    /// A line in a unit.
    fn line_in(&self, text: Text, unit: usize, bytes: &Bytes, line: u32) -> Result<Bytes, ReadError> {
        let missing = || self.not_understood(format!("there is no line {line} in {}", text.name()));
        let unit = text.member(&self.root).units.get(unit).ok_or_else(missing)?;
        let ends = self.line_ends(&unit.part, bytes);
        let place = line.checked_sub(unit.first).and_then(|place| usize::try_from(place).ok()).ok_or_else(missing)?;
        let end = *ends.get(place).ok_or_else(missing)?;
        let start = place.checked_sub(1).and_then(|before| ends.get(before)).map_or(0, |before| before + 1);
        Ok(bytes.slice_ref(bytes.get(start..end).ok_or_else(missing)?))
    }

    /// Where the lines of a unit end. Looked for once: a series is read line by line, and would be searched from its
    /// beginning for each.
    fn line_ends(&self, unit: &Part, bytes: &Bytes) -> Arc<[usize]> {
        let (root, offset) = self.cache_key(unit);
        let key = (root, offset | LINE_ENDS);
        if let Some(Cached::LineEnds(ends)) = self.cache.get(&key) {
            return ends;
        }
        let ends: Arc<[usize]> = memchr::memchr_iter(b'\n', bytes).collect();
        self.cache.put(key, Cached::LineEnds(Arc::clone(&ends)), size_of_val(&*ends));
        ends
    }

    /// One line of a text member.
    async fn text_line(&self, text: Text, line: u32) -> Result<Bytes, ReadError> {
        let unit = self.unit_of(text, line)?;
        let bytes = self.text_unit(text, unit, line).await?;
        self.line_in(text, unit, &bytes, line)
    }

    /// What a line says; a long one takes long to read.
    async fn understood<T: Send + 'static>(
        self: &Arc<Self>,
        line: u32,
        text: Bytes,
        read: fn(&Self, u32, Bytes) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        if self.source.may_block() {
            return read(self, line, text);
        }
        let pack = Arc::clone(self);
        let done = off_runtime::compute(text.len() as u64, move || read(&pack, line, text)).await;
        let ended = |source| ReadError::Local { object: format!("pack {}", self.pack.pack), source };
        done.map_err(ended)?
    }

    /// A line of the index, with its member.
    fn parse_line(&self, line: u32, text: &Bytes) -> Result<(IndexedVersion, Option<Member>), ReadError> {
        let parsed = read_line(text, line, &self.root, self.pack.size);
        parsed.map_err(|flaw| flaw.in_object(format!("pack {}", self.pack.pack)))
    }
}

/// A header, where it was not left out.
fn header_of(text: Bytes) -> Option<Bytes> {
    (text.as_ref() != b"null").then_some(text)
}
