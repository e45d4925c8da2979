//! Instances of every shape that an archive meets, made from a seed.

use std::io::{self, Write};

use crate::data_set::DataSet;
use crate::numbers::Numbers;
use crate::pixels::Scanner;
use crate::template::{Ids, Template};

/// Explicit VR Little Endian.
pub const EXPLICIT: &str = "1.2.840.10008.1.2.1";
/// JPEG Baseline (Process 1).
pub const JPEG: &str = "1.2.840.10008.1.2.4.50";
/// Standard deviation of a CT's noise in units of a pixel: what brings zstd to 2 to 3 : 1.
pub const CT_NOISE: f64 = 18.0;

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const ENHANCED_MR: &str = "1.2.840.10008.5.1.4.1.1.4.1";
const TOMOSYNTHESIS: &str = "1.2.840.10008.5.1.4.1.1.13.1.3";
const MULTI_FRAME: &str = "1.2.840.10008.5.1.4.1.1.7.3";
const WHOLE_SLIDE: &str = "1.2.840.10008.5.1.4.1.1.77.1.6";
const STRUCTURED_REPORT: &str = "1.2.840.10008.5.1.4.1.1.88.11";
const KEY_OBJECTS: &str = "1.2.840.10008.5.1.4.1.1.88.59";
const PRESENTATION_STATE: &str = "1.2.840.10008.5.1.4.1.1.11.1";

/// What kind of instance.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Shape {
    /// CT image, 512 × 512, 526 KB.
    Ct,
    /// CT image, 64 × 56, 8 KB.
    Small,
    /// Enhanced MR, 200 frames of 256 × 256, 26 MB.
    EnhancedMr,
    /// Multi-frame image of 1,000 frames of 512 × 512, 524 MB.
    Thousand,
    /// Multi-frame image of 2 GiB: 4,096 frames of 512 × 512.
    TwoGib,
    /// Breast tomosynthesis, 1.5 GiB: 164 frames of 2,457 × 1,996.
    Tomosynthesis,
    /// Whole slide, over 4 GiB: 70,000 tiles in fragments, with an Extended Offset Table.
    WholeSlide,
    /// Structured report.
    Sr,
    /// Key object selection.
    Ko,
    /// Presentation state.
    Pr,
}

/// Rows, columns and frames.
#[derive(Clone, Copy)]
struct Grid {
    rows: u16,
    columns: u16,
    frames: u32,
}

impl Shape {
    const fn class(self) -> &'static str {
        match self {
            Self::Ct | Self::Small => CT,
            Self::EnhancedMr => ENHANCED_MR,
            Self::Thousand | Self::TwoGib => MULTI_FRAME,
            Self::Tomosynthesis => TOMOSYNTHESIS,
            Self::WholeSlide => WHOLE_SLIDE,
            Self::Sr => STRUCTURED_REPORT,
            Self::Ko => KEY_OBJECTS,
            Self::Pr => PRESENTATION_STATE,
        }
    }

    const fn modality(self) -> &'static str {
        match self {
            Self::Ct | Self::Small => "CT",
            Self::EnhancedMr => "MR",
            Self::Thousand | Self::TwoGib => "OT",
            Self::Tomosynthesis => "MG",
            Self::WholeSlide => "SM",
            Self::Sr => "SR",
            Self::Ko => "KO",
            Self::Pr => "PR",
        }
    }

    const fn syntax(self) -> &'static str {
        if matches!(self, Self::WholeSlide) { JPEG } else { EXPLICIT }
    }

    /// The pixels, where there are any.
    const fn grid(self) -> Option<Grid> {
        let (rows, columns, frames) = match self {
            Self::Ct => (512, 512, 1),
            Self::Small => (64, 56, 1),
            Self::EnhancedMr => (256, 256, 200),
            Self::Thousand => (512, 512, 1000),
            // A little less than 2 GiB of pixels, so that the whole file stays below what 32-bit readers can hold.
            Self::TwoGib => (512, 512, 4095),
            Self::Tomosynthesis => (2457, 1996, 164),
            Self::WholeSlide => (240, 240, 70_000),
            Self::Sr | Self::Ko | Self::Pr => return None,
        };
        Some(Grid { rows, columns, frames })
    }
}

/// Bytes of a whole slide's tile, before its header; 70,000 of them are over 4 GiB.
const TILE_BYTES: u64 = 61_000;
/// Bytes by which tiles differ in length.
const TILE_SPREAD: u64 = 1000;

/// Makes instances.
#[derive(Debug)]
pub struct Maker {
    numbers: Numbers,
    scanner: Scanner,
}

impl Maker {
    /// A maker whose instances follow from these numbers.
    #[must_use]
    pub fn new(mut numbers: Numbers) -> Self {
        let scanner = Scanner::new(Numbers::of(numbers.draw()), CT_NOISE);
        Self { numbers, scanner }
    }

    /// A whole instance in memory.
    #[must_use]
    pub fn template(&mut self, shape: Shape, ids: Ids) -> Template {
        let mut data_set = Vec::new();
        // A vector takes everything.
        let _never_fails = self.write(shape, &ids, &mut data_set);
        Template::new(shape.class(), shape.syntax(), ids, data_set)
    }

    /// Writes a Part 10 file, in bounded memory.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_file(&mut self, shape: Shape, ids: &Ids, to: &mut impl Write) -> io::Result<()> {
        to.write_all(&Template::new(shape.class(), shape.syntax(), *ids, Vec::new()).file_head())?;
        self.write(shape, ids, to)
    }

    fn write(&mut self, shape: Shape, ids: &Ids, to: &mut impl Write) -> io::Result<()> {
        let mut head = head(shape, ids);
        let Some(grid) = shape.grid() else {
            content(shape, ids, &mut head);
            return to.write_all(&head.into_bytes());
        };
        image(shape, grid, &mut head);
        if shape == Shape::WholeSlide { self.tiles(grid, head, to) } else { self.frames(grid, head, to) }
    }

    fn frames(&mut self, grid: Grid, mut head: DataSet, to: &mut impl Write) -> io::Result<()> {
        let frame_bytes = usize::from(grid.rows) * usize::from(grid.columns) * 2;
        head.head((0x7FE0, 0x0010), b"OW", frame_bytes * grid.frames as usize);
        to.write_all(&head.into_bytes())?;
        let mut frame = Vec::with_capacity(frame_bytes);
        for _ in 0..grid.frames {
            frame.clear();
            self.scanner.frame(grid.rows.into(), grid.columns.into(), &mut frame);
            to.write_all(&frame)?;
        }
        Ok(())
    }

    /// Fragments that look like JPEG from outside; nothing in this crate decodes them (PS3.5 A.4, PS3.3 C.7.6.3.1.8).
    fn tiles(&mut self, grid: Grid, mut head: DataSet, to: &mut impl Write) -> io::Result<()> {
        let lengths: Vec<u64> =
            (0..grid.frames).map(|_| (TILE_BYTES + self.numbers.below(TILE_SPREAD) + 4) & !1).collect();
        let (mut offsets, mut at) = (Vec::new(), 0_u64);
        for length in &lengths {
            offsets.extend(at.to_le_bytes());
            at += length + 8;
        }
        head.value((0x7FE0, 0x0001), b"OV", &offsets);
        head.value(
            (0x7FE0, 0x0002),
            b"OV",
            &lengths.iter().flat_map(|length| length.to_le_bytes()).collect::<Vec<_>>(),
        );
        head.open_head((0x7FE0, 0x0010), b"OB");
        to.write_all(&head.into_bytes())?;
        // The Basic Offset Table is empty where there is an extended one.
        to.write_all(&[0xFE, 0xFF, 0x00, 0xE0, 0, 0, 0, 0])?;
        let mut tile = Vec::new();
        for length in lengths {
            tile.clear();
            tile.extend([0xFE, 0xFF, 0x00, 0xE0]);
            tile.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
            tile.extend([0xFF, 0xD8]);
            self.scanner.noise_bytes(usize::try_from(length).unwrap_or(0) - 4, &mut tile);
            tile.extend([0xFF, 0xD9]);
            to.write_all(&tile)?;
        }
        to.write_all(&[0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0])
    }
}

/// Family names of one width, so that searches by name find some and not all.
const FAMILIES: [&str; 16] = [
    "ADAMS", "BAKER", "CLARK", "DAVIS", "EVANS", "FRANK", "GREEN", "HAYES", "IRWIN", "JONES", "KINGS", "LOPEZ",
    "MEYER", "OWENS", "PERRY", "QUINN",
];

/// The name of the patient of a study.
#[must_use]
pub fn patient_name(ids: &Ids) -> String {
    let patient = ids.study / 3;
    let family = FAMILIES[usize::try_from(patient).unwrap_or(0) % FAMILIES.len()];
    format!("{family}^P{patient:07}")
}

/// The date of a study: sixty years of them, so that a range of dates finds some.
#[must_use]
pub fn study_date(ids: &Ids) -> String {
    let (year, month, day) = (1966 + ids.study / 336 % 60, ids.study / 28 % 12 + 1, ids.study % 28 + 1);
    format!("{year}{month:02}{day:02}")
}

/// What every instance has: patient, study, series.
fn head(shape: Shape, ids: &Ids) -> DataSet {
    let date = study_date(ids);
    let mut set = DataSet::default();
    set.text((0x0008, 0x0005), b"CS", "ISO_IR 100")
        .text((0x0008, 0x0008), b"CS", "ORIGINAL\\PRIMARY\\AXIAL")
        .text((0x0008, 0x0016), b"UI", shape.class())
        .text((0x0008, 0x0018), b"UI", &ids.sop_uid())
        .text((0x0008, 0x0020), b"DA", &date)
        .text((0x0008, 0x0021), b"DA", &date)
        .text((0x0008, 0x0023), b"DA", &date)
        .text((0x0008, 0x0030), b"TM", "101500")
        .text((0x0008, 0x0033), b"TM", "101702")
        .text((0x0008, 0x0050), b"SH", &ids.accession())
        .text((0x0008, 0x0060), b"CS", shape.modality())
        .text((0x0008, 0x0070), b"LO", "Vellum benches")
        .text((0x0008, 0x0080), b"LO", "General Hospital")
        .text((0x0008, 0x0090), b"PN", "REFERRER^ONE")
        .text((0x0008, 0x1030), b"LO", "CHEST WITH CONTRAST")
        .text((0x0008, 0x103E), b"LO", &format!("SERIES {:03}", ids.series + 1))
        .text((0x0008, 0x1090), b"LO", "MODEL 1")
        .text((0x0010, 0x0010), b"PN", &patient_name(ids))
        .text((0x0010, 0x0020), b"LO", &ids.patient())
        .text((0x0010, 0x0030), b"DA", "19600401")
        .text((0x0010, 0x0040), b"CS", "O");
    if matches!(shape, Shape::Ct | Shape::Small) {
        set.text((0x0018, 0x0050), b"DS", "1.25").text((0x0018, 0x0060), b"DS", "120");
    }
    set.text((0x0020, 0x000D), b"UI", &ids.study_uid())
        .text((0x0020, 0x000E), b"UI", &ids.series_uid())
        .text((0x0020, 0x0010), b"SH", "1")
        .text((0x0020, 0x0011), b"IS", &format!("{:03}", ids.series + 1))
        .text((0x0020, 0x0013), b"IS", &format!("{:07}", ids.instance + 1));
    set
}

/// What describes pixels.
fn image(shape: Shape, grid: Grid, set: &mut DataSet) {
    if matches!(shape, Shape::Ct | Shape::Small) {
        set.text((0x0020, 0x0032), b"DS", "-250\\-250\\100").text((0x0020, 0x0037), b"DS", "1\\0\\0\\0\\1\\0");
        set.text((0x0020, 0x0052), b"UI", "1.2.826.0.1.3680043.10.999.2");
    }
    let colour = shape == Shape::WholeSlide;
    set.shorts((0x0028, 0x0002), &[if colour { 3 } else { 1 }]);
    set.text((0x0028, 0x0004), b"CS", if colour { "YBR_FULL_422" } else { "MONOCHROME2" });
    if colour {
        set.shorts((0x0028, 0x0006), &[0]);
    }
    if grid.frames > 1 {
        set.text((0x0028, 0x0008), b"IS", &grid.frames.to_string());
    }
    set.shorts((0x0028, 0x0010), &[grid.rows]).shorts((0x0028, 0x0011), &[grid.columns]);
    if matches!(shape, Shape::Ct | Shape::Small) {
        set.text((0x0028, 0x0030), b"DS", "0.9765625\\0.9765625");
    }
    let (allocated, stored) = if colour { (8, 8) } else { (16, 12) };
    set.shorts((0x0028, 0x0100), &[allocated])
        .shorts((0x0028, 0x0101), &[stored])
        .shorts((0x0028, 0x0102), &[stored - 1])
        .shorts((0x0028, 0x0103), &[0]);
    if !colour {
        set.text((0x0028, 0x1050), b"DS", "40").text((0x0028, 0x1051), b"DS", "400");
        set.text((0x0028, 0x1052), b"DS", "-1024").text((0x0028, 0x1053), b"DS", "1");
    }
    if shape == Shape::EnhancedMr {
        functional_groups(grid, set);
    }
}

/// Per-frame functional groups (PS3.3 C.7.6.16): what makes the header of an enhanced instance large.
fn functional_groups(grid: Grid, set: &mut DataSet) {
    let frame = |number: u32| {
        let mut content = DataSet::default();
        content.value((0x0020, 0x9057), b"UL", &1_u32.to_le_bytes());
        content.value((0x0020, 0x9157), b"UL", &number.to_le_bytes());
        let mut position = DataSet::default();
        position.text((0x0020, 0x0032), b"DS", &format!("-120\\-120\\{number}.5"));
        let mut item = DataSet::default();
        item.sequence((0x0020, 0x9111), vec![content]).sequence((0x0020, 0x9113), vec![position]);
        item
    };
    set.sequence((0x5200, 0x9230), (1..=grid.frames).map(frame).collect());
}

/// What stands in place of pixels.
fn content(shape: Shape, ids: &Ids, set: &mut DataSet) {
    if shape == Shape::Pr {
        set.text((0x0070, 0x0080), b"CS", "BENCH").text((0x0070, 0x0084), b"PN", "READER^ONE");
        return;
    }
    let mut name = DataSet::default();
    name.text((0x0008, 0x0100), b"SH", "113000").text((0x0008, 0x0102), b"SH", "DCM").text(
        (0x0008, 0x0104),
        b"LO",
        "Of Interest",
    );
    let finding = |number: u64| {
        let mut item = DataSet::default();
        item.text((0x0040, 0xA010), b"CS", "CONTAINS").text((0x0040, 0xA040), b"CS", "TEXT").value(
            (0x0040, 0xA160),
            b"UT",
            format!("Finding {:08}, unchanged. ", number).as_bytes(),
        );
        item
    };
    set.text((0x0040, 0xA040), b"CS", "CONTAINER")
        .sequence((0x0040, 0xA043), vec![name])
        .text((0x0040, 0xA050), b"CS", "SEPARATE")
        .text((0x0040, 0xA491), b"CS", "COMPLETE")
        .text((0x0040, 0xA493), b"CS", "UNVERIFIED")
        .sequence((0x0040, 0xA730), (0..12).map(|n| finding(ids.instance * 100 + n)).collect());
}
