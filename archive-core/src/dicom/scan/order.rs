//! The order of elements in one data set or item: notices repeated and late ones, and puts their JSON in order.
//!
//! PS3.5 §7.1 asks for ascending tags, PS3.18 §F.2.2 for ascending keys; not every sender does. Memory is bounded: past
//! [`TRACKED_MAX`] elements in one data set or item, a late element counts as a repeated one.

use std::collections::BTreeMap;
use std::ops::Range;

use dicom_core::Tag;

/// Elements of one data set or item that are remembered.
const TRACKED_MAX: usize = 8192;

/// How an element comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arrival {
    /// After all elements with lower tags.
    InOrder,
    /// After an element with a higher tag.
    Late,
    /// Not for the first time.
    Repeated,
}

/// The elements seen.
#[derive(Debug, Default)]
pub(super) struct ElementOrder {
    highest: Option<Tag>,
    /// Those in order, with the place of their JSON.
    ascending: Vec<(Tag, Range<usize>)>,
    late: BTreeMap<Tag, Range<usize>>,
    is_full: bool,
}

impl ElementOrder {
    /// Notes that an element with this tag comes.
    pub(super) fn arrive(&mut self, tag: Tag) -> Arrival {
        if self.highest.is_none_or(|highest| tag > highest) {
            self.highest = Some(tag);
            if self.ascending.len() < TRACKED_MAX {
                self.ascending.push((tag, 0..0));
            } else {
                self.is_full = true;
            }
            return Arrival::InOrder;
        }
        let is_known = || self.ascending.binary_search_by_key(&tag, |(seen, _)| *seen).is_ok();
        if self.is_full || self.late.len() >= TRACKED_MAX || self.late.contains_key(&tag) || is_known() {
            return Arrival::Repeated;
        }
        self.late.insert(tag, 0..0);
        Arrival::Late
    }

    /// Says where the JSON of an element that arrived lies.
    pub(super) fn written(&mut self, tag: Tag, place: Range<usize>) {
        if let Some(late) = self.late.get_mut(&tag) {
            *late = place;
        } else if let Ok(at) = self.ascending.binary_search_by_key(&tag, |(seen, _)| *seen)
            && let Some((_, seen)) = self.ascending.get_mut(at)
        {
            *seen = place;
        }
    }

    /// Puts the members of the JSON object that begins (after its brace) at `start` in order.
    pub(super) fn put_in_order(self, json: &mut Vec<u8>, start: usize) {
        if self.late.is_empty() || self.is_full {
            return;
        }
        let mut members: Vec<_> = self.ascending.into_iter().chain(self.late).collect();
        members.sort_unstable_by_key(|(tag, _)| *tag);
        let mut ordered = Vec::with_capacity(json.len() - start.min(json.len()));
        for member in members.into_iter().filter_map(|(_, place)| json.get(place)).filter(|bytes| !bytes.is_empty()) {
            if !ordered.is_empty() {
                ordered.push(b',');
            }
            ordered.extend_from_slice(member);
        }
        json.truncate(start);
        json.append(&mut ordered);
    }
}
