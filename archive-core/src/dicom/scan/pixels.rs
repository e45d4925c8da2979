//! Where the frames of one data set lie: fragments, and which of them make a frame.
//!
//! Only the first Pixel Data, Float Pixel Data or Double Float Pixel Data of the data set itself counts; pixels inside
//! sequences (icons) are values like any other. Frames are recorded as they stream past, so a header that claims millions
//! of frames costs nothing until their bytes come.
//!
//! Encapsulated: one frame takes all fragments; otherwise the Extended Offset Table, or the Basic one, decides if it
//! names as many frames as there are and each entry is the beginning of an item; otherwise each fragment is a frame if the
//! counts agree. Where none of this holds, or all fragments are one video stream, there are fragments but no frames.

use std::path::PathBuf;

use dicom_core::Tag;

use super::ScanError;
use super::cutter::Cutter;
use super::element::{ElementHeader, PIXEL_DATA};
use super::image::{FrameCount, ImageAttributes};
use super::offset_table::OffsetTable;
use super::warnings::{self, Warnings};
use crate::dicom::cut::{FRAGMENTS_MAX, Fragment, Frame};
use crate::dicom::transfer_syntaxes::{PixelForm, TransferSyntax};
use crate::rows::Table;

/// Extended Offset Table (7FE0,0001).
pub(super) const EXTENDED_OFFSET_TABLE: Tag = Tag(0x7FE0, 0x0001);

/// Whether this attribute of the data set holds its pixels: Pixel Data, Float and Double Float Pixel Data.
pub(super) const fn holds_pixels(tag: Tag) -> bool {
    matches!(tag, PIXEL_DATA | Tag(0x7FE0, 0x0008 | 0x0009))
}

/// The frames of a data set.
#[derive(Debug)]
pub(super) struct Pixels {
    scratch: PathBuf,
    fragments: Table<Fragment>,
    frames: Table<Frame>,
    extended: OffsetTable,
    basic: OffsetTable,
    expects: Expects,
    content_begins: u64,
    course: Course,
}

/// What the transfer syntax says of pixels.
#[derive(Clone, Copy, Debug)]
struct Expects {
    form: Option<PixelForm>,
    is_one_stream: bool,
}

#[derive(Debug)]
enum Course {
    NotSeen,
    Native(Native),
    Encapsulated(Encapsulated),
    Done,
}

/// Native pixels streaming past.
#[derive(Clone, Copy, Debug)]
struct Native {
    frame_offset: u64,
    frame_bytes: u64,
    /// Bytes until the next frame begins; the last frame takes what is left of the value.
    left_in_frame: u64,
    frames_left: u64,
    /// There are no borders: the value is one fragment, and a frame only if it is the one.
    is_frame: bool,
}

impl Native {
    /// Takes what is left of the frame at hand; gives it, the rest of the bytes, and whether the frame is complete.
    fn take<'a>(&mut self, bytes: &'a [u8]) -> (&'a [u8], &'a [u8], bool) {
        let here = usize::try_from(self.left_in_frame).unwrap_or(usize::MAX).min(bytes.len());
        let (piece, rest) = bytes.split_at(here);
        self.left_in_frame -= piece.len() as u64;
        (piece, rest, self.left_in_frame == 0)
    }
}

/// Encapsulated pixels streaming past.
#[derive(Clone, Copy, Debug)]
struct Encapsulated {
    offset: u64,
    frames: FrameCount,
    grouping: Option<Grouping>,
    first_item: u64,
    open_frame: Option<Frame>,
}

/// How fragments are put together.
#[derive(Clone, Copy, Debug)]
enum Grouping {
    /// All make one frame.
    One,
    /// A frame begins where the table says; which entry is next.
    Table { is_extended: bool, next: u64 },
    /// Each is one, as far as can be said.
    Each,
}

/// Where the frames of a data set were found.
pub(super) struct FoundFrames {
    pub fragments: Table<Fragment>,
    pub frames: Table<Frame>,
}

impl Pixels {
    pub(super) fn new(scratch: PathBuf, syntax: Option<&TransferSyntax>, content_begins: u64) -> Self {
        Self {
            fragments: Table::with_spill(&scratch),
            frames: Table::with_spill(&scratch),
            extended: OffsetTable::extended(&scratch),
            basic: OffsetTable::basic(&scratch),
            expects: Expects {
                form: syntax.map(TransferSyntax::pixels),
                is_one_stream: syntax.is_some_and(TransferSyntax::is_video),
            },
            scratch,
            content_begins,
            course: Course::NotSeen,
        }
    }

    pub(super) fn finish(self) -> FoundFrames {
        FoundFrames { fragments: self.fragments, frames: self.frames }
    }

    /// Whether pixels of the data set have been seen: further ones are no frames.
    pub(super) const fn are_seen(&self) -> bool {
        !matches!(self.course, Course::NotSeen)
    }

    /// Bytes of the Extended Offset Table.
    pub(super) fn extended_offsets(&mut self, bytes: &[u8]) -> Result<(), ScanError> {
        Ok(self.extended.push(bytes)?)
    }

    /// Bytes of the Basic Offset Table.
    pub(super) fn basic_offsets(&mut self, bytes: &[u8]) -> Result<(), ScanError> {
        Ok(self.basic.push(bytes)?)
    }

    /// Native pixels of `length` bytes begin.
    pub(super) fn begin_native(
        &mut self,
        header: &ElementHeader,
        length: u64,
        image: &ImageAttributes,
        warnings: &mut Warnings,
    ) -> Result<(), ScanError> {
        if header.tag == PIXEL_DATA && self.expects.form == Some(PixelForm::Encapsulated) {
            warnings.note(warnings::PIXEL_DATA_FORM, header.tag, header.offset);
        }
        let (frames_left, frame_bytes, is_frame) = native_frames(header, length, image, warnings);
        if frames_left > FRAGMENTS_MAX {
            return Err(self.too_many(header.tag, header.offset));
        }
        self.course = Course::Native(Native {
            frame_offset: header.value_offset,
            frame_bytes,
            left_in_frame: frame_bytes,
            frames_left,
            is_frame,
        });
        Ok(())
    }

    /// Native pixels pass; the cutter, where they are bulk, gets them frame by frame.
    pub(super) fn native(&mut self, mut bytes: &[u8], mut cutter: Option<&mut Cutter>) -> Result<(), ScanError> {
        while !bytes.is_empty() {
            let (piece, rest, frame_ends) = match &mut self.course {
                Course::Native(native) if native.frames_left > 1 => native.take(bytes),
                _ => (bytes, &[][..], false),
            };
            if let Some(cutter) = &mut cutter {
                cutter.bulk(piece)?;
                if frame_ends {
                    cutter.begin_piece()?;
                }
            }
            if frame_ends {
                self.record_native_frame()?;
            }
            bytes = rest;
        }
        Ok(())
    }

    /// The native frame at hand is complete: records it and goes on to the next.
    fn record_native_frame(&mut self) -> Result<(), ScanError> {
        let Course::Native(native) = &mut self.course else { return Ok(()) };
        if native.is_frame {
            self.frames.push(Frame { first_fragment: low_32(self.fragments.len()), fragment_count: 1 })?;
        }
        self.fragments.push(Fragment { offset: native.frame_offset, length: native.frame_bytes })?;
        native.frame_offset += native.frame_bytes;
        native.left_in_frame = native.frame_bytes;
        native.frames_left -= 1;
        Ok(())
    }

    /// Native pixels end.
    pub(super) fn end_native(&mut self) -> Result<(), ScanError> {
        if matches!(&self.course, Course::Native(native) if native.frame_bytes > 0) {
            self.record_native_frame()?;
        }
        self.course = Course::Done;
        Ok(())
    }

    /// Encapsulated pixels begin.
    pub(super) fn begin_encapsulated(
        &mut self,
        header: &ElementHeader,
        image: &ImageAttributes,
        warnings: &mut Warnings,
    ) {
        if matches!(self.expects.form, Some(PixelForm::Native | PixelForm::Referenced)) {
            warnings.note(warnings::PIXEL_DATA_FORM, header.tag, header.offset);
        }
        self.course = Course::Encapsulated(Encapsulated {
            offset: header.offset,
            frames: image.frames,
            grouping: None,
            first_item: 0,
            open_frame: None,
        });
    }

    /// An item of pixels begins; says whether a frame begins with it.
    pub(super) fn begin_fragment(&mut self, item: &ElementHeader, length: u64) -> Result<bool, ScanError> {
        let index = self.fragments.len();
        if index >= FRAGMENTS_MAX {
            return Err(self.too_many(PIXEL_DATA, item.offset));
        }
        let Course::Encapsulated(mut at) = std::mem::replace(&mut self.course, Course::Done) else { return Ok(true) };
        self.fragments.push(Fragment { offset: item.value_offset, length })?;
        let first_item = if index == 0 { item.offset } else { at.first_item };
        at.first_item = first_item;
        let mut grouping = at.grouping.unwrap_or_else(|| self.grouping(at.frames));
        let begins = self.begins_frame(&mut grouping, index, item.offset - first_item)?;
        if begins && let Some(frame) = at.open_frame.take() {
            self.frames.push(frame)?;
        }
        let frame = at.open_frame.get_or_insert(Frame { first_fragment: low_32(index), fragment_count: 0 });
        frame.fragment_count += 1;
        at.grouping = Some(grouping);
        self.course = Course::Encapsulated(at);
        Ok(begins)
    }

    /// Encapsulated pixels end: what was put together is compared with what was announced.
    pub(super) fn end_encapsulated(&mut self, warnings: &mut Warnings) -> Result<(), ScanError> {
        let Course::Encapsulated(mut at) = std::mem::replace(&mut self.course, Course::Done) else { return Ok(()) };
        if let Some(frame) = at.open_frame.take() {
            self.frames.push(frame)?;
        }
        let fragment_count = self.fragments.len();
        let are_known = match at.grouping {
            None => false,
            Some(Grouping::One) => true,
            Some(Grouping::Table { is_extended, next }) => {
                let entries = self.table(is_extended).len();
                next == entries && self.frames.len() == entries
            }
            Some(Grouping::Each) => !self.expects.is_one_stream && self.each_is_a_frame(at.frames),
        };
        let tables_agree = match at.grouping {
            Some(Grouping::Each) if !self.expects.is_one_stream => self.basic.is_empty() && self.extended.is_empty(),
            Some(Grouping::Table { .. }) => are_known,
            _ => true,
        };
        if !tables_agree {
            warnings.note(warnings::OFFSET_TABLE_WRONG, PIXEL_DATA, at.offset);
        }
        if are_known {
            return Ok(());
        }
        self.frames = Table::with_spill(&self.scratch);
        if self.expects.is_one_stream && fragment_count > 0 {
            return Ok(());
        }
        if !self.each_is_a_frame(at.frames) {
            warnings.note(warnings::FRAMES_UNKNOWN, PIXEL_DATA, at.offset);
            return Ok(());
        }
        for index in 0..fragment_count {
            self.frames.push(Frame { first_fragment: low_32(index), fragment_count: 1 })?;
        }
        Ok(())
    }

    fn each_is_a_frame(&self, frames: FrameCount) -> bool {
        let count = self.fragments.len();
        count > 0 && frames.known().unwrap_or(1) == count
    }

    fn grouping(&self, frames: FrameCount) -> Grouping {
        let count = frames.known();
        if count == Some(1) {
            Grouping::One
        } else if self.expects.is_one_stream {
            Grouping::Each
        } else if self.extended.fits(count) {
            Grouping::Table { is_extended: true, next: 0 }
        } else if self.basic.fits(count) {
            Grouping::Table { is_extended: false, next: 0 }
        } else {
            Grouping::Each
        }
    }

    /// Whether a frame begins with the fragment whose item is `distance` bytes after the first one.
    fn begins_frame(&self, grouping: &mut Grouping, index: u64, distance: u64) -> Result<bool, ScanError> {
        match grouping {
            Grouping::One => Ok(index == 0),
            Grouping::Each => Ok(true),
            Grouping::Table { is_extended, next } => {
                let begins = self.table(*is_extended).get(*next)? == Some(distance);
                *next += u64::from(begins);
                // A table that does not begin at 0 never comes back to an item: its first entry stays unused.
                Ok(begins || index == 0)
            }
        }
    }

    const fn table(&self, is_extended: bool) -> &OffsetTable {
        if is_extended { &self.extended } else { &self.basic }
    }

    fn too_many(&self, tag: Tag, offset: u64) -> ScanError {
        let offset = offset.saturating_add(self.content_begins);
        ScanError::Limit { what: "fragments", limit: FRAGMENTS_MAX, tag: Some(tag), offset }
    }
}

/// How a native value of `length` bytes is divided: how many parts, the bytes of each, and whether they are frames.
fn native_frames(
    header: &ElementHeader,
    length: u64,
    image: &ImageAttributes,
    warnings: &mut Warnings,
) -> (u64, u64, bool) {
    let count = image.frames.known().unwrap_or(1);
    let frame_bytes = image.native_frame_bytes(count, length);
    let described = frame_bytes.and_then(|bytes| bytes.checked_mul(count));
    let fits = frame_bytes.zip(described).filter(|(_, all)| *all <= length);
    let is_longer = fits.is_some_and(|(_, all)| length - all > 1);
    // Number of Frames is there but cannot be read, and there is room for more than one.
    let is_uncountable = image.frames.known().is_none() && is_longer;
    let odd = [
        (frame_bytes.is_some() && fits.is_none() && length > 0, warnings::PIXEL_DATA_SHORT),
        (is_longer && !is_uncountable, warnings::PIXEL_DATA_LONG),
        (is_uncountable || (frame_bytes.is_none() && count > 1), warnings::FRAMES_UNKNOWN),
    ];
    for (_, code) in odd.into_iter().filter(|(is_so, _)| *is_so) {
        warnings.note(code, header.tag, header.offset);
    }
    match fits.filter(|_| !is_uncountable) {
        Some((bytes, _)) => (count, bytes, true),
        None => (1, length, count == 1 && !is_uncountable),
    }
}

/// An index of a fragment: there are at most [`FRAGMENTS_MAX`] of them.
fn low_32(index: u64) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
