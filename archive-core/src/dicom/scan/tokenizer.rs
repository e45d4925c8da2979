//! Walks a data set as its bytes stream by: headers, values, sequences, items, fragments (PS3.5 §7, §A.4).
//!
//! This is the gate: what passes here can be delimited by anyone. It never allocates by a length that it read, never
//! recurses, and gives the same result however the input is split. Every byte goes to the cutter, in order; what
//! elements mean is for [`super::facts`], what pixels are for [`super::pixels`].

mod values;

use dicom_core::{Tag, VR};

use self::values::Passing;
use super::cutter::Cutter;
use super::element::{ElementHeader, HeaderBytes, ITEM, ITEM_DELIMITER, PIXEL_DATA, SEQUENCE_DELIMITER};
use super::facts::Facts;
use super::pixels::Pixels;
use super::stack::{Level, LevelKind, Stack};
use super::vr;
use super::warnings::{self, Warnings};
use super::{ScanError, ScanLimits};
use crate::dicom::transfer_syntaxes::Encoding;

/// Who gets what the tokenizer finds.
#[derive(Debug)]
pub(super) struct Findings {
    pub facts: Facts,
    pub pixels: Pixels,
    pub cutter: Cutter,
    pub warnings: Warnings,
}

/// The tokenizer.
#[derive(Debug)]
pub(super) struct Tokenizer {
    content_begins: u64,
    limits: ScanLimits,
    /// The longest data set that can be; nothing may claim to reach further.
    bytes_max: u64,
    /// Bytes walked.
    at: u64,
    elements: u64,
    /// The last element whose header was read.
    last: Option<Tag>,
    stack: Stack,
    header: HeaderBytes,
    kept: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Header,
    Value(Passing),
    /// Nothing but zeros may follow.
    Zeros,
}

impl Tokenizer {
    pub(super) fn new(encoding: Encoding, limits: ScanLimits, bytes_max: u64, content_begins: u64) -> Self {
        Self {
            content_begins,
            limits,
            bytes_max,
            at: 0,
            elements: 0,
            last: None,
            stack: Stack::new(encoding),
            header: HeaderBytes::default(),
            kept: Vec::new(),
            state: State::Header,
        }
    }

    /// Walks the next bytes.
    pub(super) fn push(&mut self, mut bytes: &[u8], findings: &mut Findings) -> Result<(), ScanError> {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Header => self.take_header(bytes, findings)?,
                State::Value(passing) => self.take_value(passing, bytes, findings)?,
                State::Zeros => self.take_zeros(bytes, findings)?,
            };
        }
        Ok(())
    }

    /// The data set ended.
    pub(super) fn finish(&mut self, findings: &mut Findings) -> Result<(), ScanError> {
        if matches!(self.state, State::Value(_)) {
            let (tag, offset) = self.at_hand();
            return Err(self.truncated(tag, offset));
        }
        if !self.header.is_empty() {
            let begun = self.header_offset();
            if !self.is_padding() {
                let tag = self.header.tag(self.stack.top().encoding);
                return Err(self.truncated(tag.or_else(|| self.at_hand().0), begun));
            }
            findings.warnings.note(warnings::TRAILING_BYTES, Tag(0, 0), begun);
            findings.cutter.header(self.header.as_slice())?;
        } else if !self.stack.is_at_top() {
            let open = self.innermost_element();
            return Err(self.truncated(Some(open.tag), open.offset));
        }
        Ok(())
    }

    /// The element that is at hand, for errors: the one whose value passes, else the innermost that is open, else the last
    /// one that was read; and where that, or what follows the last one, begins in the content.
    fn at_hand(&self) -> (Option<Tag>, u64) {
        match self.state {
            State::Value(passing) if self.is_in_fragments() => {
                (Some(self.stack.top().header.tag), passing.header.offset)
            }
            State::Value(passing) => (Some(passing.header.tag), passing.header.offset),
            _ if self.stack.is_at_top() => (self.last, self.header_offset()),
            _ => (Some(self.innermost_element().tag), self.innermost_element().offset),
        }
    }

    /// The tag of the element that is at hand; none before the first.
    pub(super) fn tag_at_hand(&self) -> Option<Tag> {
        self.at_hand().0
    }

    /// Where the data set ended, in bytes of the input.
    pub(super) fn ended_at(&self) -> u64 {
        self.in_input(self.at)
    }

    /// Whether the begun header is padding after the data set, and no element that was cut off: zeros, where no element
    /// begins with as many.
    fn is_padding(&self) -> bool {
        let begun = self.header.as_slice();
        let least = if self.stack.top().encoding == Encoding::ExplicitBig { 2 } else { 1 };
        self.stack.is_at_top() && begun.len() >= least && begun.iter().all(|&byte| byte == 0)
    }

    /// The refusal of more content than may come.
    pub(super) fn past_content_limit(&self, limit: u64) -> ScanError {
        let (tag, offset) = self.at_hand();
        ScanError::Limit { what: "bytes of content", limit, tag, offset: self.in_input(offset) }
    }

    // Headers.

    fn take_header<'a>(&mut self, bytes: &'a [u8], findings: &mut Findings) -> Result<&'a [u8], ScanError> {
        let top = *self.stack.top();
        if self.header.is_empty() && top.bound.is_some_and(|bound| bound.saturating_sub(self.at) < 8) {
            return Err(self.malformed("bytes that are no element at the end of an item", &top.header));
        }
        let (rest, is_complete) = self.header.take(bytes, top.encoding);
        self.at += (bytes.len() - rest.len()) as u64;
        if is_complete {
            let header = self.header.decode(self.header_offset(), top.encoding);
            self.elements += u64::from(!self.is_in_fragments());
            if self.elements > self.limits.elements {
                return Err(self.limit("elements", self.limits.elements, &header));
            }
            match top.kind {
                LevelKind::DataSet | LevelKind::Item => self.element(&header, findings)?,
                LevelKind::Sequence => self.in_sequence(&header, findings)?,
                LevelKind::Fragments { items } => self.in_fragments(&header, items, findings)?,
            }
            self.header.clear();
            self.close_ended(findings)?;
        }
        Ok(rest)
    }

    /// A header in the data set or in an item.
    fn element(&mut self, header: &ElementHeader, findings: &mut Findings) -> Result<(), ScanError> {
        if self.stack.is_at_top() && self.header.as_slice().iter().all(|&byte| byte == 0) {
            findings.warnings.note(warnings::TRAILING_BYTES, header.tag, header.offset);
            findings.cutter.header(self.header.as_slice())?;
            self.state = State::Zeros;
            return Ok(());
        }
        if header.tag.group() == 0xFFFE {
            return self.delimiter(header, findings);
        }
        self.last = Some(header.tag);
        if header.offset == 0 && header.tag.group() == 0x0002 {
            return Err(self.malformed("a file meta group where a data set should begin", header));
        }
        self.check_reach(header)?;
        self.note_oddities(header, &mut findings.warnings);
        let interest = findings.facts.arrive(header, &mut findings.warnings)?;
        match header.length {
            Some(length) if header.vr != VR::SQ => self.begin_value(header, length, interest, findings),
            Some(_) => self.open_sequence(*header, header.encoding, findings),
            None => self.undefined_length(header, findings),
        }
    }

    /// An item or delimiter among elements.
    fn delimiter(&mut self, header: &ElementHeader, findings: &mut Findings) -> Result<(), ScanError> {
        let top = *self.stack.top();
        let ends_item = top.kind == LevelKind::Item && top.end.is_none();
        match header.tag {
            ITEM_DELIMITER if ends_item => {
                self.pass_delimiter(header, findings)?;
                self.close(findings)
            }
            SEQUENCE_DELIMITER if ends_item && self.stack.below_top().end.is_none() => {
                findings.warnings.note(warnings::DELIMITER_MISSING, top.header.tag, top.header.offset);
                self.pass_delimiter(header, findings)?;
                self.close(findings)?;
                self.close(findings)
            }
            ITEM_DELIMITER | SEQUENCE_DELIMITER => self.stray_delimiter(header, findings),
            ITEM => Err(self.malformed("an item outside of a sequence", header)),
            _ => Err(self.malformed("an unknown delimiter", header)),
        }
    }

    /// A header directly in a sequence.
    fn in_sequence(&mut self, header: &ElementHeader, findings: &mut Findings) -> Result<(), ScanError> {
        let top = *self.stack.top();
        match header.tag {
            ITEM => {
                self.check_reach(header)?;
                findings.cutter.header(self.header.as_slice())?;
                self.stack.open(LevelKind::Item, *header, top.encoding);
                findings.facts.begin_item(&mut findings.warnings);
                Ok(())
            }
            SEQUENCE_DELIMITER if top.end.is_none() => {
                self.pass_delimiter(header, findings)?;
                self.close(findings)
            }
            ITEM_DELIMITER | SEQUENCE_DELIMITER => self.stray_delimiter(header, findings),
            _ => Err(self.no_item("something else than an item in a sequence", &top.header, header)),
        }
    }

    /// A header among fragments.
    fn in_fragments(&mut self, header: &ElementHeader, items: u64, findings: &mut Findings) -> Result<(), ScanError> {
        match (header.tag, header.length) {
            (SEQUENCE_DELIMITER, _) => {
                self.pass_delimiter(header, findings)?;
                self.close(findings)
            }
            (ITEM, Some(length)) => {
                self.check_reach(header)?;
                self.stack.top_mut().kind = LevelKind::Fragments { items: items + 1 };
                self.begin_fragment(header, length, items == 0, findings)
            }
            (ITEM, None) => Err(self.malformed("a fragment of undefined length", header)),
            _ => {
                let pixels = self.stack.top().header;
                Err(self.no_item("something else than an item among fragments", &pixels, header))
            }
        }
    }

    /// A length that is not defined: what follows are items.
    fn undefined_length(&mut self, header: &ElementHeader, findings: &mut Findings) -> Result<(), ScanError> {
        let is_implicit = header.encoding == Encoding::ImplicitLittle;
        match header.vr {
            VR::SQ => self.open_sequence(*header, header.encoding, findings),
            // PS3.5 §6.2.2 note 4 (CP-246): the items are in Implicit VR Little Endian, whatever is around them.
            VR::UN if header.tag != PIXEL_DATA => self.open_sequence(*header, Encoding::ImplicitLittle, findings),
            _ if vr::is_binary(header.vr) => self.open_fragments(header, findings),
            _ if is_implicit => {
                findings.warnings.note(warnings::UNDEFINED_LENGTH, header.tag, header.offset);
                self.open_sequence(*header, header.encoding, findings)
            }
            _ => Err(self.malformed("undefined length for a value that has no items", header)),
        }
    }

    fn open_sequence(
        &mut self,
        header: ElementHeader,
        encoding: Encoding,
        findings: &mut Findings,
    ) -> Result<(), ScanError> {
        if self.stack.depth() >= self.limits.depth {
            return Err(self.limit("sequences within sequences", self.limits.depth as u64, &header));
        }
        findings.cutter.header(self.header.as_slice())?;
        findings.facts.begin_sequence(&header);
        self.stack.open(LevelKind::Sequence, header, encoding);
        Ok(())
    }

    fn open_fragments(&mut self, header: &ElementHeader, findings: &mut Findings) -> Result<(), ScanError> {
        findings.cutter.header(self.header.as_slice())?;
        if header.tag != PIXEL_DATA {
            findings.warnings.note(warnings::UNDEFINED_LENGTH, header.tag, header.offset);
        } else if self.stack.is_at_top() && !findings.pixels.are_seen() {
            findings.pixels.begin_encapsulated(header, &findings.facts.image, &mut findings.warnings);
        }
        self.stack.open(LevelKind::Fragments { items: 0 }, *header, header.encoding);
        Ok(())
    }

    fn stray_delimiter(&self, header: &ElementHeader, findings: &mut Findings) -> Result<(), ScanError> {
        findings.warnings.note(warnings::DELIMITER_UNEXPECTED, header.tag, header.offset);
        self.pass_delimiter(header, findings)
    }

    fn pass_delimiter(&self, header: &ElementHeader, findings: &mut Findings) -> Result<(), ScanError> {
        if header.length != Some(0) {
            findings.warnings.note(warnings::DELIMITER_LENGTH, header.tag, header.offset);
        }
        Ok(findings.cutter.header(self.header.as_slice())?)
    }

    fn is_in_fragments(&self) -> bool {
        matches!(self.stack.top().kind, LevelKind::Fragments { .. })
    }

    fn take_zeros<'a>(&mut self, bytes: &'a [u8], findings: &mut Findings) -> Result<&'a [u8], ScanError> {
        if let Some(zeros) = bytes.iter().position(|&byte| byte != 0) {
            let what = "bytes after the padding that follows the data set";
            let offset = self.in_input(self.at.saturating_add(zeros as u64));
            return Err(ScanError::Malformed { what, tag: self.last, offset });
        }
        findings.cutter.header(bytes)?;
        self.at += bytes.len() as u64;
        Ok(&[])
    }

    // Levels.

    /// Closes what ends here.
    fn close_ended(&mut self, findings: &mut Findings) -> Result<(), ScanError> {
        loop {
            let top = self.stack.top();
            let ends_here = top.bound == Some(self.at) && matches!(self.state, State::Header);
            if !ends_here {
                return Ok(());
            }
            if top.end.is_none() {
                if self.is_in_fragments() {
                    return Err(self.malformed("fragments without their delimiter", &self.stack.top().header));
                }
                findings.warnings.note(warnings::DELIMITER_MISSING, top.header.tag, top.header.offset);
            }
            self.close(findings)?;
        }
    }

    /// Closes the innermost level.
    fn close(&mut self, findings: &mut Findings) -> Result<(), ScanError> {
        let Some(Level { kind, header, .. }) = self.stack.close() else { return Ok(()) };
        let Findings { facts, pixels, warnings, .. } = findings;
        match kind {
            LevelKind::DataSet => {}
            LevelKind::Item => facts.end_item(),
            LevelKind::Sequence => facts.end_sequence(warnings),
            LevelKind::Fragments { .. } => {
                if facts.is_top() && header.tag == PIXEL_DATA {
                    pixels.end_encapsulated(warnings)?;
                }
                facts.encapsulated(&header, self.at - header.value_offset, warnings);
            }
        }
        Ok(())
    }

    /// The innermost open element: of an item, its sequence.
    fn innermost_element(&self) -> ElementHeader {
        let top = self.stack.top();
        if top.kind == LevelKind::Item { self.stack.below_top().header } else { top.header }
    }

    // Checks.

    /// A defined length must stay within what encloses it, and within what may come at all.
    fn check_reach(&self, header: &ElementHeader) -> Result<(), ScanError> {
        let Some(length) = header.length else { return Ok(()) };
        let end = self.at.saturating_add(length);
        if self.stack.top().bound.is_some_and(|bound| end > bound) {
            return Err(self.malformed("a length that reaches past what encloses it", header));
        }
        if end > self.bytes_max {
            return Err(self.limit("bytes of content", self.bytes_max, header));
        }
        Ok(())
    }

    fn note_oddities(&self, header: &ElementHeader, warnings: &mut Warnings) {
        let is_odd = header.length.is_some_and(|length| length % 2 == 1);
        let found = [
            (is_odd, warnings::ODD_LENGTH),
            (header.vr_unknown, warnings::UNKNOWN_VR),
            (header.tag.group() == 0, warnings::COMMAND_ELEMENT),
        ];
        for (_, code) in found.into_iter().filter(|(is_so, _)| *is_so) {
            warnings.note(code, header.tag, header.offset);
        }
    }

    /// Where the header that is being gathered began.
    fn header_offset(&self) -> u64 {
        self.at - self.header.as_slice().len() as u64
    }

    fn malformed(&self, what: &'static str, header: &ElementHeader) -> ScanError {
        ScanError::Malformed { what, tag: Some(header.tag), offset: self.in_input(header.offset) }
    }

    /// The refusal of what stands where only items may: it names the element that holds it, for it may be no tag at all.
    fn no_item(&self, what: &'static str, within: &ElementHeader, header: &ElementHeader) -> ScanError {
        ScanError::Malformed { what, tag: Some(within.tag), offset: self.in_input(header.offset) }
    }

    fn limit(&self, what: &'static str, limit: u64, header: &ElementHeader) -> ScanError {
        ScanError::Limit { what, limit, tag: Some(header.tag), offset: self.in_input(header.offset) }
    }

    fn truncated(&self, tag: Option<Tag>, offset: u64) -> ScanError {
        ScanError::Truncated { tag, offset: self.in_input(offset), end: self.in_input(self.at) }
    }

    fn in_input(&self, content_offset: u64) -> u64 {
        content_offset.saturating_add(self.content_begins)
    }
}
