//! Reading a segment frame by frame, tolerant of damage: what is whole is found, what is not is named by its place.
//!
//! Recovery and `inspect` share it. It reads through a bounded buffer and never writes.

use std::borrow::Borrow;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use super::frame::{
    self, BATCH_ALIGN, COMMIT_BYTES_MAX, FRAME_ALIGN, HEADER_BYTES, Header, Kind, MAGIC, NotAHeader, align_up,
};

const READ_BYTES: usize = 256 * 1024;
const SECTOR_BYTES: usize = 4096;

/// One step through a segment.
#[derive(Debug)]
pub(super) enum Step {
    /// A frame whose header and payload are whole.
    Frame {
        header: Header,
        /// The payload of a head or a commit; empty for bulk.
        payload: Vec<u8>,
        /// The chain says that a frame before it is not the one that was written.
        chain_broken: bool,
    },
    /// Bytes that are no whole frame.
    Bad {
        range: Range<u64>,
        /// The header, where that is whole and only the payload is not.
        header: Option<Header>,
    },
    /// Bytes between whole frames that are not zero.
    Padding { range: Range<u64> },
    /// A frame of a later program; nothing behind it is looked at.
    Newer { version: u16, kind: u16 },
}

/// A walk through one segment.
#[derive(Debug)]
pub(super) struct Walk<F> {
    file: F,
    size: u64,
    at: u64,
    /// Where the last frame ended: from there to `at` is zero.
    frame_end: u64,
    segment: Option<[u8; 16]>,
    /// Sequence and chain that the next frame must have; unknown after a header that could not be read.
    expected: Option<(u64, [u8; 16])>,
    ended: bool,
}

impl<F: Borrow<File>> Walk<F> {
    pub(super) fn new(file: F) -> io::Result<Self> {
        let size = file.borrow().metadata()?.len();
        Ok(Self { file, size, at: 0, frame_end: 0, segment: None, expected: Some((0, [0; 16])), ended: false })
    }

    /// The segment's random id, once a frame was found.
    pub(super) const fn segment(&self) -> Option<[u8; 16]> {
        self.segment
    }

    /// How far it came.
    pub(super) const fn at(&self) -> u64 {
        self.at
    }

    /// Bytes of the file.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Nothing further is looked at.
    pub(super) const fn end(&mut self) {
        self.ended = true;
    }

    /// The next frame or bad range; `None` at the end.
    pub(super) fn step(&mut self) -> io::Result<Option<Step>> {
        if let Some(range) = self.padding_that_is_not_zero()? {
            return Ok(Some(Step::Padding { range }));
        }
        while !self.ended && self.at < self.size {
            match self.header_at(self.at)? {
                Ok(header) => return self.frame(header).map(Some),
                Err(NotAHeader::Newer { version, kind }) => {
                    self.ended = true;
                    return Ok(Some(Step::Newer { version, kind }));
                }
                Err(NotAHeader::Bad) => {}
            }
            let Some(data) = self.next_data(self.at)? else { break };
            let border = align_up(self.at, BATCH_ALIGN).unwrap_or(self.size);
            if self.at < border && data >= border {
                self.at = border;
                continue;
            }
            return self.bad_until_next_frame().map(Some);
        }
        self.ended = true;
        Ok(None)
    }

    /// A header at a place: one whose checksum, segment and place are right and whose payload fits into the file.
    fn header_at(&self, at: u64) -> io::Result<Result<Header, NotAHeader>> {
        let mut bytes = [0_u8; HEADER_BYTES];
        if at.checked_add(HEADER_BYTES as u64).is_none_or(|end| end > self.size) {
            return Ok(Err(NotAHeader::Bad));
        }
        read_tolerant(self.file.borrow(), &mut bytes, at)?;
        Ok(Header::decode(&bytes).and_then(|header| {
            let fits = header.end().is_some_and(|end| end <= self.size);
            let ours = self.segment.is_none_or(|segment| segment == header.segment);
            if header.offset == at && fits && ours { Ok(header) } else { Err(NotAHeader::Bad) }
        }))
    }

    fn frame(&mut self, header: Header) -> io::Result<Step> {
        let chain_broken = self.expected.is_some_and(|expected| expected != (header.sequence, header.chain));
        let end = header.end().unwrap_or(self.size);
        self.at = align_up(end, FRAME_ALIGN).unwrap_or(self.size);
        self.frame_end = end;
        self.segment = Some(header.segment);
        self.expected = Some((header.sequence.wrapping_add(1), frame::chain_of(&header.encode())));
        match self.payload(&header)? {
            Some(payload) => Ok(Step::Frame { header, payload, chain_broken }),
            None => Ok(Step::Bad { range: header.offset..end, header: Some(header) }),
        }
    }

    /// What lies between the last frame and the border behind it, where that is not zero: no checksum covers it, and a
    /// disk that changed it may have changed more.
    fn padding_that_is_not_zero(&mut self) -> io::Result<Option<Range<u64>>> {
        let range = self.frame_end..self.at.min(self.size);
        self.frame_end = self.at;
        let mut bytes = [0_u8; FRAME_ALIGN as usize];
        let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        let Some(padding) = bytes.get_mut(..length).filter(|padding| !padding.is_empty()) else { return Ok(None) };
        read_tolerant(self.file.borrow(), padding, range.start)?;
        Ok(padding.iter().any(|&byte| byte != 0).then_some(range))
    }

    /// The payload if its check is right (empty for bulk, which is only read through); `None` if it is not.
    fn payload(&self, header: &Header) -> io::Result<Option<Vec<u8>>> {
        let bulk = matches!(header.kind, Kind::Content | Kind::Tables);
        if !bulk && header.length > COMMIT_BYTES_MAX {
            return Ok(None);
        }
        let mut kept = Vec::new();
        let mut crc = 0;
        let mut hasher = blake3::Hasher::new();
        read_through(self.file.borrow(), header.payload_offset()..header.payload_offset() + header.length, |bytes| {
            match header.kind {
                Kind::Content => crc = crc32c::crc32c_append(crc, bytes),
                Kind::Tables => drop(hasher.update(bytes)),
                Kind::Head | Kind::Commit => {
                    hasher.update(bytes);
                    kept.extend_from_slice(bytes);
                }
            }
        })?;
        let check = match header.kind {
            Kind::Content => frame::content_check(crc),
            _ => *crate::identifiers::UnitDigest::from_hasher(&hasher.finalize()).as_raw(),
        };
        Ok((check == header.check).then_some(kept))
    }

    /// Skips to the next whole header, or to the end of what is not zero.
    fn bad_until_next_frame(&mut self) -> io::Result<Step> {
        let start = self.at;
        self.expected = None;
        let mut from = start + FRAME_ALIGN;
        while let Some(found) = self.find_magic(from)? {
            match self.header_at(found)? {
                Ok(_) => {
                    (self.at, self.frame_end) = (found, found);
                    return Ok(Step::Bad { range: start..found, header: None });
                }
                Err(NotAHeader::Newer { version, kind }) => {
                    self.ended = true;
                    return Ok(Step::Newer { version, kind });
                }
                Err(NotAHeader::Bad) => from = found + FRAME_ALIGN,
            }
        }
        self.ended = true;
        Ok(Step::Bad { range: start..self.last_data(start)?, header: None })
    }

    /// Where the next frame may begin: the magic on a frame border at or after `from`.
    fn find_magic(&self, from: u64) -> io::Result<Option<u64>> {
        let finder = memchr::memmem::Finder::new(&MAGIC);
        let mut window = vec![0_u8; READ_BYTES];
        let mut at = from;
        while let Some(data) = self.next_data(at)? {
            // Windows begin on frame borders and overlap by less than one magic, so that none is cut in two.
            at = at.max(data - data % FRAME_ALIGN);
            let length = usize::try_from(self.size - at).unwrap_or(READ_BYTES).min(READ_BYTES);
            let bytes = window.get_mut(..length).unwrap_or_default();
            read_tolerant(self.file.borrow(), bytes, at)?;
            let mut places = finder.find_iter(bytes).map(|place| at + place as u64);
            if let Some(place) = places.find(|place| place.is_multiple_of(FRAME_ALIGN)) {
                return Ok(Some(place));
            }
            at += length as u64;
        }
        Ok(None)
    }

    /// The first byte at or after `from` that is not zero. Holes and unwritten room are skipped, not read.
    fn next_data(&self, from: u64) -> io::Result<Option<u64>> {
        let mut window = vec![0_u8; READ_BYTES];
        let mut at = from;
        while at < self.size {
            at = match rustix::fs::seek(self.file.borrow(), rustix::fs::SeekFrom::Data(at)) {
                Ok(data) => data.max(at),
                Err(rustix::io::Errno::NXIO) => return Ok(None),
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => at,
                Err(error) => return Err(error.into()),
            };
            if at >= self.size {
                return Ok(None);
            }
            let length = usize::try_from(self.size - at).unwrap_or(READ_BYTES).min(READ_BYTES);
            let bytes = window.get_mut(..length).unwrap_or_default();
            read_tolerant(self.file.borrow(), bytes, at)?;
            if let Some(place) = bytes.iter().position(|&byte| byte != 0) {
                return Ok(Some(at + place as u64));
            }
            at += length as u64;
        }
        Ok(None)
    }

    /// One past the last byte that is not zero.
    fn last_data(&self, from: u64) -> io::Result<u64> {
        let mut last = from;
        let mut at = from;
        let mut window = vec![0_u8; READ_BYTES];
        while let Some(data) = self.next_data(at)? {
            let length = usize::try_from(self.size - data).unwrap_or(READ_BYTES).min(READ_BYTES);
            let bytes = window.get_mut(..length).unwrap_or_default();
            read_tolerant(self.file.borrow(), bytes, data)?;
            let place = bytes.iter().rposition(|&byte| byte != 0).unwrap_or(0);
            last = data + place as u64 + 1;
            at = data + length as u64;
        }
        Ok(last)
    }
}

/// Reads a range of a file through a bounded buffer.
pub(super) fn read_through(file: &File, range: Range<u64>, mut visit: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0_u8; READ_BYTES];
    let mut at = range.start;
    while at < range.end {
        let length = usize::try_from(range.end - at).unwrap_or(READ_BYTES).min(READ_BYTES);
        let bytes = buffer.get_mut(..length).unwrap_or_default();
        read_tolerant(file, bytes, at)?;
        visit(bytes);
        at += length as u64;
    }
    Ok(())
}

/// Reads there; sectors that the disk cannot read give `FF`, which is no part of any whole frame.
fn read_tolerant(file: &File, into: &mut [u8], at: u64) -> io::Result<()> {
    match file.read_exact_at(into, at) {
        Err(error) if is_unreadable(&error) => {}
        other => return other,
    }
    for (index, sector) in into.chunks_mut(SECTOR_BYTES).enumerate() {
        match file.read_exact_at(sector, at + (index * SECTOR_BYTES) as u64) {
            Err(error) if is_unreadable(&error) => sector.fill(0xFF),
            other => other?,
        }
    }
    Ok(())
}

/// Whether the disk said that it cannot read what lies there.
fn is_unreadable(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}
