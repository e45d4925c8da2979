//! Values that stream past: header bytes or bulk, kept or not, and what pixels need of them.

use dicom_core::VR;

use super::{Findings, State, Tokenizer};
use crate::dicom::cut::BULK_VALUE_MIN;
use crate::dicom::scan::ScanError;
use crate::dicom::scan::element::{ElementHeader, PIXEL_DATA};
use crate::dicom::scan::facts::Interest;
use crate::dicom::scan::pixels::{EXTENDED_OFFSET_TABLE, holds_pixels};
use crate::dicom::scan::vr;

/// A value that is streaming past.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passing {
    pub header: ElementHeader,
    length: u64,
    remaining: u64,
    interest: Interest,
    is_bulk: bool,
    kind: ValueKind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ValueKind {
    /// Of an element.
    Plain,
    /// Of the Extended Offset Table of the data set.
    ExtendedOffsets,
    /// Native pixels of the data set.
    NativePixels,
    /// The Basic Offset Table of the pixels of the data set.
    BasicOffsets,
    /// An item of encapsulated pixels, anywhere.
    Fragment,
}

impl Tokenizer {
    /// The value of an element begins.
    pub(super) fn begin_value(
        &mut self,
        header: &ElementHeader,
        length: u64,
        interest: Interest,
        findings: &mut Findings,
    ) -> Result<(), ScanError> {
        findings.cutter.header(self.header.as_slice())?;
        let is_top = self.stack.is_at_top();
        let kind = match header.tag {
            tag if is_top && holds_pixels(tag) && !findings.pixels.are_seen() => ValueKind::NativePixels,
            EXTENDED_OFFSET_TABLE if is_top && header.vr != VR::SQ => ValueKind::ExtendedOffsets,
            _ => ValueKind::Plain,
        };
        if kind == ValueKind::NativePixels {
            let Findings { facts, pixels, warnings, .. } = findings;
            pixels.begin_native(header, length, &facts.image, warnings)?;
        }
        let is_bulk = vr::is_binary(header.vr) && length > BULK_VALUE_MIN;
        if is_bulk {
            findings.cutter.begin_piece()?;
        }
        self.pass(Passing { header: *header, length, remaining: length, interest, is_bulk, kind }, findings)
    }

    /// An item among fragments begins: the Basic Offset Table first, then pixels.
    pub(super) fn begin_fragment(
        &mut self,
        item: &ElementHeader,
        length: u64,
        is_first: bool,
        findings: &mut Findings,
    ) -> Result<(), ScanError> {
        let is_of_data_set = findings.facts.is_top() && self.stack.top().header.tag == PIXEL_DATA;
        let is_bulk = !is_first || length > BULK_VALUE_MIN;
        if is_first {
            findings.cutter.header(self.header.as_slice())?;
        }
        let begins_frame = is_first || !is_of_data_set || findings.pixels.begin_fragment(item, length)?;
        if is_bulk && begins_frame {
            findings.cutter.begin_piece()?;
        }
        if !is_first {
            findings.cutter.bulk(self.header.as_slice())?;
        }
        let kind = if is_first && is_of_data_set { ValueKind::BasicOffsets } else { ValueKind::Fragment };
        let interest = Interest::Pass;
        self.pass(Passing { header: *item, length, remaining: length, interest, is_bulk, kind }, findings)
    }

    /// Lets a value pass; an empty one has passed.
    fn pass(&mut self, passing: Passing, findings: &mut Findings) -> Result<(), ScanError> {
        self.state = State::Value(passing);
        if passing.remaining == 0 { self.end_value(&passing, &[], findings) } else { Ok(()) }
    }

    /// Takes what these bytes have of the value; gives the rest.
    pub(super) fn take_value<'a>(
        &mut self,
        mut passing: Passing,
        bytes: &'a [u8],
        findings: &mut Findings,
    ) -> Result<&'a [u8], ScanError> {
        let here = usize::try_from(passing.remaining).unwrap_or(usize::MAX).min(bytes.len());
        let (value, rest) = bytes.split_at(here);
        let Findings { pixels, cutter, .. } = findings;
        match passing.kind {
            ValueKind::NativePixels if passing.is_bulk => pixels.native(value, Some(cutter))?,
            ValueKind::NativePixels => pixels.native(value, None)?,
            ValueKind::BasicOffsets => pixels.basic_offsets(value)?,
            ValueKind::ExtendedOffsets => pixels.extended_offsets(value)?,
            ValueKind::Plain | ValueKind::Fragment => {}
        }
        if !passing.is_bulk {
            cutter.header(value)?;
        } else if passing.kind != ValueKind::NativePixels {
            cutter.bulk(value)?;
        }
        self.at += value.len() as u64;
        passing.remaining -= value.len() as u64;
        if passing.remaining > 0 {
            if passing.interest == Interest::Keep {
                self.kept.extend_from_slice(value);
            }
            self.state = State::Value(passing);
        } else if self.kept.is_empty() {
            self.end_value(&passing, value, findings)?;
        } else {
            self.kept.extend_from_slice(value);
            let kept = std::mem::take(&mut self.kept);
            self.end_value(&passing, &kept, findings)?;
        }
        Ok(rest)
    }

    /// A value is complete; `value` is all of it where it was to be kept.
    fn end_value(&mut self, passing: &Passing, value: &[u8], findings: &mut Findings) -> Result<(), ScanError> {
        self.state = State::Header;
        let Findings { facts, pixels, warnings, .. } = findings;
        if passing.kind == ValueKind::NativePixels {
            pixels.end_native()?;
        }
        if self.is_in_fragments() {
            return Ok(());
        }
        match passing.interest {
            Interest::Keep => facts.value(&passing.header, value, warnings),
            Interest::Pass => facts.passed(&passing.header, passing.length, warnings),
        }
        self.close_ended(findings)
    }
}
