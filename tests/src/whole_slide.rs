//! A whole-slide image as a stream: tiles in encapsulated fragments, found by an Extended Offset Table (PS3.3 §C.7.6.3,
//! PS3.5 §A.4), as large as is asked for and never in memory as a whole. Its tiles do not shrink, as those of JPEG do not.

use std::io::Read;

use crate::generate::{Numbers, element, prefix, short, text};

/// SOP class: VL Whole Slide Microscopy Image Storage.
pub const CLASS: &str = "1.2.840.10008.5.1.4.1.1.77.1.6";
/// Transfer syntax: JPEG Baseline.
pub const JPEG: &str = "1.2.840.10008.1.2.4.50";

/// What follows the last fragment.
const SEQUENCE_DELIMITER: &[u8] = &[0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0];
/// Tag and length before each fragment.
const ITEM_HEADER_BYTES: usize = 8;

/// A whole-slide image.
#[derive(Debug)]
pub struct WholeSlide {
    /// Study Instance UID.
    pub study: String,
    /// Series Instance UID.
    pub series: String,
    /// SOP Instance UID.
    pub sop: String,
    frames: usize,
    /// A frame but for its number.
    tile: Vec<u8>,
    prefix: Vec<u8>,
    /// The data set up to the first fragment.
    header: Vec<u8>,
}

impl WholeSlide {
    /// An image of so many frames of so many bytes each, which are even.
    ///
    /// # Panics
    /// When the offset tables would be longer than 4 GiB.
    #[must_use]
    pub fn new(study: &str, frames: usize, frame_bytes: usize, numbers: &mut Numbers) -> Self {
        let (series, sop) = (format!("{study}.1"), format!("{study}.1.1"));
        let mut tile: Vec<u8> =
            std::iter::repeat_with(|| numbers.draw().to_le_bytes()).take(frame_bytes / 8 + 1).flatten().collect();
        tile.truncate(frame_bytes);
        tile[..2].copy_from_slice(&[0xFF, 0xD8]);
        tile[frame_bytes - 2..].copy_from_slice(&[0xFF, 0xD9]);
        let mut header = Vec::new();
        text(&mut header, 0x0008, 0x0016, b"UI", CLASS);
        text(&mut header, 0x0008, 0x0018, b"UI", &sop);
        text(&mut header, 0x0008, 0x0020, b"DA", "20260401");
        text(&mut header, 0x0008, 0x0060, b"CS", "SM");
        text(&mut header, 0x0010, 0x0010, b"PN", "TEST^SLIDE");
        text(&mut header, 0x0010, 0x0020, b"LO", "SLIDE-1");
        text(&mut header, 0x0020, 0x000D, b"UI", study);
        text(&mut header, 0x0020, 0x000E, b"UI", &series);
        text(&mut header, 0x0020, 0x0013, b"IS", "1");
        short(&mut header, 0x0028, 0x0002, 3);
        text(&mut header, 0x0028, 0x0004, b"CS", "YBR_FULL_422");
        short(&mut header, 0x0028, 0x0006, 0);
        text(&mut header, 0x0028, 0x0008, b"IS", &frames.to_string());
        short(&mut header, 0x0028, 0x0010, 256);
        short(&mut header, 0x0028, 0x0011, 256);
        short(&mut header, 0x0028, 0x0100, 8);
        short(&mut header, 0x0028, 0x0101, 8);
        short(&mut header, 0x0028, 0x0102, 7);
        short(&mut header, 0x0028, 0x0103, 0);
        let item = (ITEM_HEADER_BYTES + frame_bytes) as u64;
        let offsets: Vec<u8> = (0..frames as u64).flat_map(|frame| (frame * item).to_le_bytes()).collect();
        let lengths: Vec<u8> = (0..frames).flat_map(|_| (frame_bytes as u64).to_le_bytes()).collect();
        element(&mut header, 0x7FE0, 0x0001, b"OV", &offsets);
        element(&mut header, 0x7FE0, 0x0002, b"OV", &lengths);
        header.extend([0xE0, 0x7F, 0x10, 0, b'O', b'B', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
        // The Basic Offset Table is empty where there is an extended one.
        header.extend([0xFE, 0xFF, 0x00, 0xE0, 0, 0, 0, 0]);
        let prefix = prefix(CLASS, &sop, JPEG);
        Self { study: study.to_owned(), series, sop, frames, tile, prefix, header }
    }

    /// How many frames it has.
    #[must_use]
    pub const fn frames(&self) -> usize {
        self.frames
    }

    /// Preamble and file meta group.
    #[must_use]
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Bytes of the data set.
    #[must_use]
    pub const fn data_set_bytes(&self) -> u64 {
        let item = (ITEM_HEADER_BYTES + self.tile.len()) as u64;
        (self.header.len() + SEQUENCE_DELIMITER.len()) as u64 + self.frames as u64 * item
    }

    /// The data set, from its first byte to its last.
    pub fn data_set(&self) -> impl Read + '_ {
        self.header.chain(Fragments { slide: self, next: 0, item: Vec::new(), given: 0 }).chain(SEQUENCE_DELIMITER)
    }

    /// Bytes of the file.
    #[must_use]
    pub const fn file_bytes(&self) -> u64 {
        self.prefix.len() as u64 + self.data_set_bytes()
    }

    /// The file, from its first byte to its last.
    pub fn file(&self) -> impl Read + '_ {
        self.prefix.chain(self.data_set())
    }

    /// A frame, counted from 0: no two are alike.
    #[must_use]
    pub fn frame(&self, number: usize) -> Vec<u8> {
        let mut frame = self.tile.clone();
        frame[2..10].copy_from_slice(&(number as u64).to_le_bytes());
        frame
    }
}

/// The fragments of an image, one after the other.
struct Fragments<'a> {
    slide: &'a WholeSlide,
    next: usize,
    item: Vec<u8>,
    given: usize,
}

impl Read for Fragments<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.given == self.item.len() {
            if self.next == self.slide.frames {
                return Ok(0);
            }
            self.item.clear();
            self.item.extend([0xFE, 0xFF, 0x00, 0xE0]);
            self.item.extend(u32::try_from(self.slide.tile.len()).unwrap().to_le_bytes());
            self.item.extend(self.slide.frame(self.next));
            (self.next, self.given) = (self.next + 1, 0);
        }
        let rest = &self.item[self.given..];
        let here = rest.len().min(into.len());
        into[..here].copy_from_slice(&rest[..here]);
        self.given += here;
        Ok(here)
    }
}
