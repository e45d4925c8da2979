//! An archive in memory, for tests of the doors: it keeps bytes, reads keys with dicom-object, and can be told to fail.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use archive_api::http::port::{ArchivePort, CheckedBytes, IncomingInstance, OpenInstance, SelectedInstance};
use archive_core::archive::{ArchiveError, Incoming, Lack, Received, SelectCursor, Selection};
use archive_core::caller::Caller;
use archive_core::dicom::attributes::{Attributes, tag_key};
use archive_core::dicom::scan::{BULK_URL_TOKEN, InstanceKeys, ScanError};
use archive_core::identifiers::*;
use archive_core::query::{Cursor as PageCursor, Page, Query, QueryLevel, Record};
use archive_core::reading::ReadError;
use async_trait::async_trait;
use bytes::Bytes;
use dicom_core::header::Header as _;
use dicom_core::value::Value as DicomValue;
use dicom_core::{Tag, VR};
use dicom_object::{FileDicomObject, InMemDicomObject};
use futures::stream::{self, StreamExt as _};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

/// What the fake was told to do wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Trouble {
    #[default]
    None,
    /// Nothing is received: no room.
    Full,
    /// Nothing is received: shutting down.
    NotReceiving,
    /// What is not found may exist; what is found may not be all.
    Rebuilding,
    /// Part of every study has no good copy.
    Unreadable,
    /// Every file is damaged from its first byte on.
    DamagedAtOnce,
    /// Every file is damaged after its first piece.
    DamagedLater,
}

#[derive(Debug)]
pub struct Stored {
    file: Bytes,
    keys: InstanceKeys,
    transfer_syntax: TransferSyntaxUid,
    attributes: Attributes,
    header: Bytes,
    content_at: usize,
    frames: Vec<Bytes>,
    trouble: Trouble,
}

#[derive(Debug, Default)]
pub struct FakeArchive {
    pub instances: Mutex<Vec<Arc<Stored>>>,
    pub trouble: Mutex<Trouble>,
    /// Parts that were begun and neither finished nor refused.
    pub open: Arc<AtomicUsize>,
    /// Records a page at most; small, so that pages are many.
    pub page_records: usize,
}

impl FakeArchive {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { page_records: 2, ..Self::default() })
    }

    pub fn count(&self) -> usize {
        self.instances.lock().len()
    }
}

/// The port is implemented for a shared fake, as it is for the shared archive.
#[derive(Clone, Debug)]
pub struct Shared(pub Arc<FakeArchive>);

#[derive(Debug)]
struct FakeIncoming {
    archive: Arc<FakeArchive>,
    incoming: Incoming,
    bytes: Vec<u8>,
    _open: Open,
}

#[derive(Debug)]
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl ArchivePort for Shared {
    async fn receive(&self, _: &Caller, incoming: Incoming) -> Result<Box<dyn IncomingInstance>, ArchiveError> {
        match *self.0.trouble.lock() {
            Trouble::Full => return Err(ArchiveError::Full("no room".into())),
            Trouble::NotReceiving => return Err(ArchiveError::NotReceiving("shutting down".into())),
            _ => {}
        }
        self.0.open.fetch_add(1, Ordering::SeqCst);
        let open = Open(Arc::clone(&self.0.open));
        Ok(Box::new(FakeIncoming { archive: Arc::clone(&self.0), incoming, bytes: Vec::new(), _open: open }))
    }

    async fn find(&self, _: &Caller, query: &Query) -> Result<Page, ArchiveError> {
        let matching = self.0.records(query);
        let begin = match &query.page.cursor {
            Some(PageCursor(text)) => text.parse().unwrap(),
            None => usize::try_from(query.page.offset).unwrap_or(usize::MAX),
        };
        let limit = query.page.limit.min(self.0.page_records);
        let records: Vec<Record> = matching.iter().skip(begin).take(limit).cloned().collect();
        let end = begin.saturating_add(records.len());
        let next = (end < matching.len()).then(|| PageCursor(end.to_string()));
        let trouble = *self.0.trouble.lock();
        let (incomplete, unreadable) = (trouble == Trouble::Rebuilding, trouble == Trouble::Unreadable);
        Ok(Page { records, next, incomplete, unreadable })
    }

    fn lacks(&self, _: &StudyUid) -> Option<Lack> {
        match *self.0.trouble.lock() {
            Trouble::Rebuilding => Some(Lack::Rebuilding),
            Trouble::Unreadable => Some(Lack::Damaged),
            _ => None,
        }
    }

    async fn select(
        &self,
        _: &Caller,
        selection: &Selection,
        after: Option<SelectCursor>,
    ) -> Result<(Vec<Arc<dyn SelectedInstance>>, Option<SelectCursor>), ArchiveError> {
        let begin: usize = after.map_or(0, |cursor| cursor.0.parse().unwrap());
        let trouble = *self.0.trouble.lock();
        let all: Vec<_> =
            self.0.instances.lock().iter().filter(|stored| is_selected(stored, selection)).cloned().collect();
        if all.is_empty() {
            return Err(match trouble {
                Trouble::Rebuilding => ArchiveError::Rebuilding { percent: 40, retry_after_seconds: 9 },
                Trouble::Unreadable => ArchiveError::Unreadable { study: selection.study.clone(), packs: Vec::new() },
                _ => ArchiveError::NotFound(format!("study {}", selection.study)),
            });
        }
        let page: Vec<Arc<dyn SelectedInstance>> = all
            .iter()
            .skip(begin)
            .take(self.0.page_records)
            .map(|stored| {
                let selected: Arc<dyn SelectedInstance> = Arc::new(Selected(Arc::new(stored.with_trouble(trouble))));
                selected
            })
            .collect();
        let end = begin + page.len();
        Ok((page, (end < all.len()).then(|| SelectCursor(end.to_string()))))
    }
}

fn is_selected(stored: &Stored, selection: &Selection) -> bool {
    stored.keys.study == selection.study
        && selection.series.as_ref().is_none_or(|series| *series == stored.keys.series)
        && selection.sop.as_ref().is_none_or(|sop| *sop == stored.keys.sop)
}

impl FakeArchive {
    fn records(&self, query: &Query) -> Vec<Record> {
        let mut seen = std::collections::BTreeSet::new();
        let instances = self.instances.lock();
        let in_scope = instances.iter().filter(|stored| {
            query.study.as_ref().is_none_or(|study| *study == stored.keys.study)
                && query.series.as_ref().is_none_or(|series| *series == stored.keys.series)
        });
        let matching = in_scope.filter(|stored| {
            query.keys.iter().all(|key| {
                let text = stored.attributes.text(key.path[0]).unwrap_or_default();
                key.value.expose().split('\\').any(|wanted| match wanted.strip_suffix('*') {
                    Some(prefix) => text.starts_with(prefix),
                    None => wanted.is_empty() || text == wanted,
                })
            })
        });
        let fresh = matching.filter(|stored| {
            seen.insert(match query.level {
                QueryLevel::Instance => stored.keys.sop.as_str().to_owned(),
                QueryLevel::Series => stored.keys.series.as_str().to_owned(),
                _ => stored.keys.study.as_str().to_owned(),
            })
        });
        fresh.map(|stored| Record { attributes: stored.attributes.clone() }).collect()
    }
}

#[async_trait]
impl IncomingInstance for FakeIncoming {
    async fn write(&mut self, bytes: Bytes) -> Result<(), ArchiveError> {
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<Received, ArchiveError> {
        let stored = Stored::read(Bytes::from(self.bytes))?;
        if let Some(expected) = &self.incoming.expected_study
            && *expected != stored.keys.study
        {
            let (announced, found) = (expected.to_string(), stored.keys.study.to_string());
            return Err(ArchiveError::Mismatch { what: "Study Instance UID", tag: Tag(0x20, 0xD), announced, found });
        }
        let mut instances = self.archive.instances.lock();
        let duplicate = instances.iter().any(|known| known.keys == stored.keys);
        let received = Received {
            receipt: ReceiptNumber { epoch: 1, number: instances.len() as u64 + 1 },
            keys: stored.keys.clone(),
            transfer_syntax: stored.transfer_syntax.clone(),
            content: ContentId::of(&stored.file[stored.content_at..]),
            duplicate,
            class_differs: false,
            warnings: vec![],
        };
        if !duplicate {
            instances.push(Arc::new(stored));
        }
        Ok(received)
    }
}

impl Stored {
    fn with_trouble(&self, trouble: Trouble) -> Self {
        Self {
            file: self.file.clone(),
            keys: self.keys.clone(),
            transfer_syntax: self.transfer_syntax.clone(),
            attributes: self.attributes.clone(),
            header: self.header.clone(),
            content_at: self.content_at,
            frames: self.frames.clone(),
            trouble,
        }
    }

    fn read(file: Bytes) -> Result<Self, ArchiveError> {
        let not_dicom = || ArchiveError::Refused(ScanError::NotDicom { found: "neither preamble nor elements" });
        let object: FileDicomObject<InMemDicomObject> =
            dicom_object::from_reader(Cursor::new(file.clone())).map_err(|_| not_dicom())?;
        let text = |tag: Tag| object.element(tag).ok().and_then(|e| e.to_str().ok().map(|t| t.into_owned()));
        let uid = |tag| {
            text(tag).filter(|t| !t.is_empty()).ok_or(ArchiveError::Refused(ScanError::MissingUid {
                name: "a UID",
                tag,
                offset: 0,
            }))
        };
        let keys = InstanceKeys {
            study: StudyUid::parse(&uid(Tag(0x20, 0xD))?).unwrap(),
            series: SeriesUid::parse(&uid(Tag(0x20, 0xE))?).unwrap(),
            sop_class: SopClassUid::parse(&uid(Tag(8, 0x16))?).unwrap(),
            sop: SopUid::parse(&uid(Tag(8, 0x18))?).unwrap(),
        };
        let content_at = 132 + 12 + usize::try_from(object.meta().information_group_length).unwrap();
        let transfer_syntax = TransferSyntaxUid::parse(object.meta().transfer_syntax()).unwrap();
        let (header, frames) = header_and_frames(&object, &file[content_at..]);
        let attributes = Attributes::from_json(&header);
        let header = Bytes::from(header.to_string());
        Ok(Self { file, keys, transfer_syntax, attributes, header, content_at, frames, trouble: Trouble::None })
    }
}

/// Enough of the DICOM JSON model for tests; pixel data by reference.
fn header_and_frames(object: &InMemDicomObject, content: &[u8]) -> (Value, Vec<Bytes>) {
    let mut header = Map::new();
    let mut frames = Vec::new();
    for element in object {
        let vr = element.vr();
        let key = tag_key(element.tag());
        let json = match element.value() {
            DicomValue::Primitive(value)
                if matches!(vr, VR::OB | VR::OW | VR::UN | VR::OF | VR::OD | VR::OL | VR::OV) =>
            {
                if element.tag() != Tag(0x7FE0, 0x0010) {
                    continue;
                }
                let offset = content.len() - pixel_length(content);
                let length = value.to_bytes().len();
                let count =
                    object.element(Tag(0x28, 8)).ok().and_then(|e| e.to_int::<usize>().ok()).unwrap_or(1).max(1);
                let pixels = Bytes::copy_from_slice(&content[offset..offset + length]);
                frames = (0..count).map(|n| pixels.slice(n * (length / count)..(n + 1) * (length / count))).collect();
                json!({"vr": vr.to_string(), "BulkDataURI": format!("{BULK_URL_TOKEN}/bulkdata/{vr}-{offset}-{length}")})
            }
            DicomValue::PixelSequence(fragments) => {
                frames = fragments.fragments().iter().map(|fragment| Bytes::from(fragment.clone())).collect();
                json!({"vr": "OB", "BulkDataURI": format!("{BULK_URL_TOKEN}/bulkdata/frames")})
            }
            DicomValue::Primitive(value) if vr == VR::PN => {
                json!({"vr": "PN", "Value": [{"Alphabetic": value.to_str().trim_end()}]})
            }
            DicomValue::Primitive(value) if matches!(vr, VR::US | VR::SS | VR::UL | VR::SL | VR::IS) => {
                let numbers = value.to_multi_int::<i64>().unwrap_or_default();
                json!({"vr": vr.to_string(), "Value": numbers})
            }
            DicomValue::Primitive(value) => {
                let texts: Vec<String> =
                    value.to_multi_str().iter().map(|t| t.trim_end_matches([' ', '\0']).to_owned()).collect();
                json!({"vr": vr.to_string(), "Value": texts})
            }
            DicomValue::Sequence(_) => continue,
        };
        header.insert(key, json);
    }
    (Value::Object(header), frames)
}

/// Pixel data is taken to be the last element: from its tag to the end, less its head.
fn pixel_length(content: &[u8]) -> usize {
    let little = content.windows(8).rposition(|w| w.starts_with(b"\xe0\x7f\x10\x00"));
    let big = content.windows(8).rposition(|w| w.starts_with(b"\x7f\xe0\x00\x10O"));
    let at = little.max(big).unwrap();
    let implicit = content[at + 4] != b'O';
    content.len() - at - if implicit { 8 } else { 12 }
}

#[derive(Debug)]
struct Selected(Arc<Stored>);

#[async_trait]
impl SelectedInstance for Selected {
    fn keys(&self) -> &InstanceKeys {
        &self.0.keys
    }
    fn transfer_syntax(&self) -> &TransferSyntaxUid {
        &self.0.transfer_syntax
    }
    fn frame_count(&self) -> u64 {
        self.0.frames.len() as u64
    }
    async fn header_json(&self, _: &Caller) -> Result<Bytes, ArchiveError> {
        Arc::clone(&self.0).header_json().await
    }
    async fn open(&self, _: &Caller) -> Result<Arc<dyn OpenInstance>, ArchiveError> {
        Ok(Arc::clone(&self.0) as Arc<dyn OpenInstance>)
    }
}

fn damaged() -> ArchiveError {
    ArchiveError::Read(ReadError::Damaged { object: "studies/secret.zip".into(), what: "unit 2".into() })
}

#[async_trait]
impl OpenInstance for Stored {
    fn file_length(&self) -> u64 {
        self.file.len() as u64
    }
    fn inflated(&self) -> bool {
        false
    }
    fn file(self: Arc<Self>) -> CheckedBytes {
        let pieces: Vec<_> = self.file.chunks(1000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        let sound = match self.trouble {
            Trouble::DamagedAtOnce => 0,
            Trouble::DamagedLater => 1,
            _ => return stream::iter(pieces).boxed(),
        };
        stream::iter(pieces).take(sound).chain(stream::iter([Err(damaged())])).boxed()
    }
    async fn frame(self: Arc<Self>, index: u64) -> Result<Option<(u64, CheckedBytes)>, ArchiveError> {
        let frame = usize::try_from(index).ok().and_then(|index| self.frames.get(index).cloned());
        Ok(frame.map(|frame| {
            let pieces: Vec<_> = frame.chunks(777).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
            (frame.len() as u64, stream::iter(pieces).boxed())
        }))
    }
    async fn bulk(self: Arc<Self>, offset: u64, length: u64) -> Result<Option<CheckedBytes>, ArchiveError> {
        let content = self.file.slice(self.content_at..);
        let range = usize::try_from(offset).unwrap()..usize::try_from(offset + length).unwrap();
        if range.end > content.len() {
            return Ok(None);
        }
        Ok(Some(stream::iter([Ok(content.slice(range))]).boxed()))
    }
    async fn header_json(self: Arc<Self>) -> Result<Bytes, ArchiveError> {
        match self.trouble {
            Trouble::DamagedAtOnce => Err(damaged()),
            _ => Ok(self.header.clone()),
        }
    }
}
