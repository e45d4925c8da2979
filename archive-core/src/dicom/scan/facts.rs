//! What a data set says: keys, index attributes, image attributes, its header as DICOM JSON.
//!
//! The tokenizer delimits and calls here for each element, value, sequence and item, in the order in which they stand. One
//! writer of DICOM JSON serves the header and the index: an indexed attribute is read back from what was written. JSON
//! is written into one buffer; without a header to make it holds one attribute at a time.
//!
//! What must always hold: the buffer stays within its limit, the first of repeated elements counts, and only elements
//! of the data set itself are keys or indexed.

use std::mem;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

use super::element::{ElementHeader, PIXEL_DATA};
use super::image::ImageAttributes;
use super::index::{self, INDEX_ELEMENT_MAX};
use super::index_attributes::is_indexed;
use super::json::{self, KEY_BYTES, Space};
use super::json_values;
use super::keys::{KEY_UID_BYTES_MAX, KeyValues};
use super::order::{Arrival, ElementOrder};
use super::vr;
use super::warnings::{self, Warnings};
use super::{ScanError, ScanOptions};
use crate::dicom::attributes::Attributes;
use crate::dicom::charset::SpecificCharacterSet;
use crate::dicom::transfer_syntaxes::Encoding;

/// Bytes of JSON that are written of an attribute which only the index wants, before it is given up: its texts may shrink to
/// [`INDEX_ELEMENT_MAX`] yet.
const INDEX_ONLY_JSON_MAX: usize = 64 * INDEX_ELEMENT_MAX;

/// Whether the bytes of a value are needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Interest {
    /// All of them, in one piece.
    Keep,
    /// None.
    Pass,
}

/// A data set or an item that is being read.
#[derive(Debug, Default)]
struct Scope {
    order: ElementOrder,
    /// Its elements are written as JSON.
    is_written: bool,
    has_members: bool,
    json_start: usize,
    charset: Option<SpecificCharacterSet>,
    is_signed: Option<bool>,
}

/// A sequence that is being read.
#[derive(Debug)]
struct OpenSequence {
    header: ElementHeader,
    is_written: bool,
    has_items: bool,
    json_start: usize,
}

/// The element at hand.
#[derive(Clone, Copy, Debug, Default)]
struct AtHand {
    is_first: bool,
    is_written: bool,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Facts {
    pub keys: KeyValues,
    pub image: ImageAttributes,
    attributes: Attributes,
    json: Vec<u8>,
    is_header_wanted: bool,
    header_json_max: usize,
    space: Space,
    content_begins: u64,
    scopes: Vec<Scope>,
    sequences: Vec<OpenSequence>,
    at_hand: AtHand,
    assumed_charset: SpecificCharacterSet,
}

impl Facts {
    pub(super) fn new(options: &ScanOptions, space: Space, content_begins: u64, warnings: &mut Warnings) -> Self {
        let assumed = options.assumed_charset.as_deref().unwrap_or_default();
        let (assumed_charset, are_known) = SpecificCharacterSet::parse(assumed);
        if !are_known {
            warnings.note_input(warnings::UNKNOWN_CHARSET_TERM, 0);
        }
        let json = if options.header_json { vec![b'{'] } else { Vec::new() };
        let data_set = Scope { json_start: json.len(), ..Scope::default() };
        Self {
            keys: KeyValues::default(),
            image: ImageAttributes::default(),
            attributes: Attributes::default(),
            json,
            is_header_wanted: options.header_json,
            header_json_max: options.limits.header_json_bytes,
            space,
            content_begins,
            scopes: vec![data_set],
            sequences: Vec::new(),
            at_hand: AtHand::default(),
            assumed_charset,
        }
    }

    /// The index attributes, and the header if it was asked for and stayed within its limit.
    pub(super) fn finish(mut self) -> (KeyValues, Attributes, Option<Vec<u8>>) {
        let header_json = self.is_header_wanted.then(|| {
            if let Some(data_set) = self.scopes.pop() {
                data_set.order.put_in_order(&mut self.json, data_set.json_start);
            }
            self.json.push(b'}');
            self.json
        });
        (self.keys, self.attributes, header_json)
    }

    /// An element comes: says whether its value is needed.
    pub(super) fn arrive(&mut self, header: &ElementHeader, warnings: &mut Warnings) -> Result<Interest, ScanError> {
        let is_top = self.is_top();
        let is_header_wanted = self.is_header_wanted;
        let Some(scope) = self.scopes.last_mut() else { return Ok(Interest::Pass) };
        let arrival = scope.order.arrive(header.tag);
        match arrival {
            Arrival::InOrder => {}
            Arrival::Late => warnings.note(warnings::OUT_OF_ORDER, header.tag, header.offset),
            Arrival::Repeated => warnings.note(warnings::DUPLICATE_ELEMENT, header.tag, header.offset),
        }
        let is_first = arrival != Arrival::Repeated;
        let is_wanted = if is_top { is_header_wanted || is_indexed(header.tag) } else { scope.is_written };
        let is_written = is_first && is_wanted && header.tag.element() != 0 && header.tag.group() != 0x0002;
        self.at_hand = AtHand { is_first, is_written };
        let Some(length) = header.length.filter(|_| is_first) else { return Ok(Interest::Pass) };
        if is_top && KeyValues::wants(header.tag) && length > KEY_UID_BYTES_MAX {
            let (tag, offset) = (Some(header.tag), header.offset.saturating_add(self.content_begins));
            let what = "bytes of a UID that is part of a key";
            return Err(ScanError::Limit { what, limit: KEY_UID_BYTES_MAX, tag, offset });
        }
        let is_needed = is_written || self.is_for_reading(header.tag);
        Ok(if is_needed && length <= vr::inline_max(header.vr) { Interest::Keep } else { Interest::Pass })
    }

    /// A value that was kept.
    pub(super) fn value(&mut self, header: &ElementHeader, value: &[u8], warnings: &mut Warnings) {
        let header = &self.as_read(header);
        if self.at_hand.is_first {
            self.note_for_reading(header, value, warnings);
        }
        if !self.at_hand.is_written {
            return;
        }
        let start = self.begin_member(header, header.vr.to_string());
        let mut json = mem::take(&mut self.json);
        let oddities = json_values::write(&mut json, header, value, self.charset());
        self.json = json;
        self.end_member(header, start, warnings);
        let found = [
            (oddities.undecodable, warnings::UNDECODABLE_TEXT),
            (oddities.no_number, warnings::NOT_A_NUMBER),
            (oddities.odd_length, warnings::VALUE_LENGTH),
        ];
        for (_, code) in found.into_iter().filter(|(is_so, _)| *is_so) {
            warnings.note(code, header.tag, header.offset);
        }
    }

    /// A value that was not kept.
    pub(super) fn passed(&mut self, header: &ElementHeader, length: u64, warnings: &mut Warnings) {
        if !self.at_hand.is_written {
            return;
        }
        // Bulk in UN stays UN: whoever serves it must not take its bytes for words.
        let vr = if header.vr == VR::UN { VR::UN } else { self.as_read(header).vr }.to_string();
        let start = self.begin_member(header, vr);
        json::bulk_reference(&mut self.json, vr, header.value_offset, length, self.space);
        self.end_member(header, start, warnings);
    }

    /// Encapsulated pixels or other fragments that passed; `length` counts items and delimiter in.
    pub(super) fn encapsulated(&mut self, header: &ElementHeader, length: u64, warnings: &mut Warnings) {
        if !(self.is_top() && header.tag == PIXEL_DATA) {
            return self.passed(header, length, warnings);
        }
        if self.at_hand.is_written {
            let start = self.begin_member(header, header.vr.to_string());
            json::frames_reference(&mut self.json);
            self.end_member(header, start, warnings);
        }
    }

    /// The element at hand is a sequence.
    pub(super) fn begin_sequence(&mut self, header: &ElementHeader) {
        let is_written = self.at_hand.is_written;
        let json_start = if is_written { self.begin_member(header, "SQ") } else { 0 };
        self.sequences.push(OpenSequence { header: *header, is_written, has_items: false, json_start });
    }

    pub(super) fn begin_item(&mut self, warnings: &mut Warnings) {
        let Some(sequence) = self.sequences.last_mut() else { return };
        let mut item = Scope { is_written: sequence.is_written, ..Scope::default() };
        if item.is_written {
            self.json.extend_from_slice(if sequence.has_items { b",{" } else { b",\"Value\":[{" });
            item.json_start = self.json.len();
        }
        sequence.has_items = true;
        self.scopes.push(item);
        self.keep_within_limit(warnings);
    }

    pub(super) fn end_item(&mut self) {
        if self.is_top() {
            return;
        }
        let Some(item) = self.scopes.pop() else { return };
        if item.is_written {
            item.order.put_in_order(&mut self.json, item.json_start);
            self.json.push(b'}');
        }
    }

    pub(super) fn end_sequence(&mut self, warnings: &mut Warnings) {
        let Some(sequence) = self.sequences.pop() else { return };
        if !sequence.is_written {
            return;
        }
        if sequence.has_items {
            self.json.push(b']');
        }
        self.end_member(&sequence.header, sequence.json_start, warnings);
    }

    /// Whether what comes belongs to the data set itself.
    pub(super) fn is_top(&self) -> bool {
        self.scopes.len() == 1
    }

    /// Values that say how others are to be read, or where the instance belongs.
    fn is_for_reading(&self, tag: Tag) -> bool {
        matches!(tag, tags::SPECIFIC_CHARACTER_SET | tags::PIXEL_REPRESENTATION)
            || (self.is_top() && (KeyValues::wants(tag) || ImageAttributes::wants(tag)))
    }

    fn note_for_reading(&mut self, header: &ElementHeader, value: &[u8], warnings: &mut Warnings) {
        if self.is_top() {
            self.keys.note(header.tag, value, header.offset.saturating_add(self.content_begins));
            self.image.note(header, value);
        }
        let Some(scope) = self.scopes.last_mut() else { return };
        match header.tag {
            tags::PIXEL_REPRESENTATION => scope.is_signed = value.first().map(|_| value.contains(&1)),
            tags::SPECIFIC_CHARACTER_SET => {
                let terms: String = value.iter().map(|&byte| char::from(byte)).collect();
                if terms.trim_matches([' ', '\0']).is_empty() {
                    return;
                }
                let (charset, are_known) = SpecificCharacterSet::parse(&terms);
                scope.charset = Some(charset);
                if !are_known {
                    warnings.note(warnings::UNKNOWN_CHARSET_TERM, header.tag, header.offset);
                }
            }
            _ => {}
        }
    }

    /// The character set of the innermost item that names one (PS3.3 §C.12.1.1.2).
    fn charset(&self) -> &SpecificCharacterSet {
        self.scopes.iter().rev().find_map(|scope| scope.charset.as_ref()).unwrap_or(&self.assumed_charset)
    }

    /// How the value of an element is to be read. One of the standard whose value representation got lost on its way (UN)
    /// is read as the dictionary says, in Implicit VR Little Endian (PS3.5 §6.2.2); a sequence stays as it is.
    fn as_read(&self, header: &ElementHeader) -> ElementHeader {
        let mut read = *header;
        if header.vr == VR::UN && !header.vr_unknown && header.tag.group().is_multiple_of(2) {
            let (vr, sign_from_context) = vr::of_implicit(header.tag);
            if vr != VR::SQ {
                read = ElementHeader { vr, sign_from_context, encoding: Encoding::ImplicitLittle, ..*header };
            }
        }
        let is_signed = || self.scopes.iter().rev().find_map(|scope| scope.is_signed) == Some(true);
        if read.sign_from_context && is_signed() {
            read.vr = VR::SS;
        }
        read
    }

    /// Begins the element as a member of the innermost object; gives the place where its JSON begins.
    fn begin_member(&mut self, header: &ElementHeader, vr: &str) -> usize {
        if let Some(scope) = self.scopes.last_mut()
            && mem::replace(&mut scope.has_members, true)
        {
            self.json.push(b',');
        }
        let start = self.json.len();
        json::begin_element(&mut self.json, header, vr);
        start
    }

    fn end_member(&mut self, header: &ElementHeader, start: usize, warnings: &mut Warnings) {
        json::end_element(&mut self.json);
        if let Some(scope) = self.scopes.last_mut() {
            scope.order.written(header.tag, start..self.json.len());
        }
        if self.is_top() {
            if is_indexed(header.tag) {
                let element = self.json.get(start + KEY_BYTES..).unwrap_or_default();
                index::take(&mut self.attributes, header.tag, header.offset, element, warnings);
            }
            if !self.is_header_wanted {
                self.forget_json();
            }
        }
        self.keep_within_limit(warnings);
    }

    /// Gives up the header, or an attribute that only the index wants, once its JSON is too long.
    fn keep_within_limit(&mut self, warnings: &mut Warnings) {
        // One byte closes the object.
        let limit = if self.is_header_wanted { self.header_json_max.saturating_sub(1) } else { INDEX_ONLY_JSON_MAX };
        if self.json.len() <= limit {
            return;
        }
        self.is_header_wanted = false;
        self.scopes.iter_mut().for_each(|scope| scope.is_written = false);
        self.sequences.iter_mut().for_each(|sequence| sequence.is_written = false);
        if let Some(outermost) = self.sequences.first()
            && is_indexed(outermost.header.tag)
        {
            warnings.note(warnings::INDEX_VALUE_OMITTED, outermost.header.tag, outermost.header.offset);
        }
        self.json = Vec::new();
        self.forget_json();
    }

    fn forget_json(&mut self) {
        self.json.clear();
        if let Some(data_set) = self.scopes.first_mut() {
            data_set.has_members = false;
        }
    }
}
