//! Takes index attributes out of their DICOM JSON, within bounds: an index line is read far more often than an image.

use dicom_core::Tag;
use serde_json::Value;

use super::warnings::{self, Warnings};
use crate::dicom::attributes::Attributes;

/// Bytes of UTF-8 of one indexed text.
pub(super) const INDEX_TEXT_MAX: usize = 1024;

/// Bytes of JSON of one indexed attribute.
pub(super) const INDEX_ELEMENT_MAX: usize = 8 * 1024;

/// How deep objects and arrays of one indexed attribute nest: whoever reads it back has it inside of records and lines, and
/// reads 127 levels at most. A sequence within a sequence is three levels.
pub(super) const INDEX_DEPTH_MAX: usize = 96;

/// Adds the element whose JSON (`{"vr":…}`) this is.
pub(super) fn take(attributes: &mut Attributes, tag: Tag, offset: u64, json: &[u8], warnings: &mut Warnings) {
    let parsed = serde_json::from_slice::<Value>(json).ok();
    let fits = |element: &Value| element.get("BulkDataURI").is_none() && depth_of(element) <= INDEX_DEPTH_MAX;
    let Some(mut element) = parsed.filter(fits) else {
        return warnings.note(warnings::INDEX_VALUE_OMITTED, tag, offset);
    };
    let mut is_cut = cut_texts(&mut element);
    if element.get("vr").and_then(Value::as_str) != Some("SQ") {
        is_cut |= cut_values(&mut element);
    } else if length_of(&element) > INDEX_ELEMENT_MAX {
        return warnings.note(warnings::INDEX_VALUE_OMITTED, tag, offset);
    }
    if is_cut {
        warnings.note(warnings::INDEX_VALUE_CUT, tag, offset);
    }
    attributes.insert(tag, &element);
}

/// Cuts every text to [`INDEX_TEXT_MAX`], at the border of a character; says whether one was longer. The depth is bounded
/// by the reader of JSON.
fn cut_texts(value: &mut Value) -> bool {
    match value {
        Value::String(text) if text.len() > INDEX_TEXT_MAX => {
            text.truncate(text.floor_char_boundary(INDEX_TEXT_MAX));
            true
        }
        // Every one is cut, so no short-circuit.
        Value::Array(values) => values.iter_mut().fold(false, |is_cut, value| cut_texts(value) | is_cut),
        Value::Object(members) => members.values_mut().fold(false, |is_cut, value| cut_texts(value) | is_cut),
        _ => false,
    }
}

/// Leaves out the last values until the element is no longer than [`INDEX_ELEMENT_MAX`].
fn cut_values(element: &mut Value) -> bool {
    let Some(values) = element.get_mut("Value").and_then(Value::as_array_mut) else { return false };
    let mut length = 0;
    let fit = values.iter().take_while(|value| {
        length += length_of(value) + 1;
        length <= INDEX_ELEMENT_MAX
    });
    let fit = fit.count();
    let is_cut = fit < values.len();
    values.truncate(fit);
    is_cut
}

/// How deep a value nests; bounded by the reader of JSON.
fn depth_of(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(depth_of).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth_of).max().unwrap_or(0),
        _ => 0,
    }
}

fn length_of(value: &Value) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX, |bytes| bytes.len())
}
