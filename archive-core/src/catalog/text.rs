//! Text of all sealed studies in memory, folded, for `*x*` searches: name, Patient ID, accession number, description.
//!
//! About 100 bytes a study, so some 100 MB for a million; a search is one SIMD scan over it. It only says where to look:
//! whatever it finds is matched against the study's record. Loaded from one small row a study when first needed.

use std::collections::{BTreeMap, HashMap};

use memchr::memmem;

use super::ListedStudies;
use super::keys::StudyOrder;
use crate::identifiers::StudyUid;

/// Bytes after which a segment is closed and the next one begun.
const SEGMENT_BYTES: usize = 4 * 1024 * 1024;
/// Bytes that one study contributes at most; a study with more text is a candidate of every search.
pub const STUDY_TEXT_MAX: usize = 8 * 1024;
/// Stands between the values of a line; in no folded text.
pub const DIVIDER: char = '\u{2}';

#[derive(Default)]
struct Segment {
    text: Vec<u8>,
    /// First byte of each line, ascending, and whose it is; `None` once replaced.
    lines: Vec<(usize, Option<(StudyOrder, StudyUid)>)>,
    dead_bytes: usize,
}

/// The text.
#[derive(Default)]
pub struct TextIndex {
    segments: Vec<Segment>,
    places: HashMap<StudyUid, (usize, usize)>,
    oversized: BTreeMap<StudyUid, StudyOrder>,
}

impl std::fmt::Debug for TextIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TextIndex({} studies)", self.places.len() + self.oversized.len())
    }
}

impl TextIndex {
    /// Sets the text of a study, which must be folded; replaces what was there.
    pub fn set(&mut self, study: &StudyUid, order: StudyOrder, folded: &str) {
        self.forget(study);
        if folded.len() > STUDY_TEXT_MAX {
            self.oversized.insert(study.clone(), order);
            return;
        }
        if self.segments.last().is_none_or(|segment| segment.text.len() >= SEGMENT_BYTES) {
            self.segments.push(Segment::default());
        }
        let at = self.segments.len() - 1;
        if let Some(segment) = self.segments.last_mut() {
            self.places.insert(study.clone(), (at, segment.lines.len()));
            segment.push(study.clone(), order, folded.as_bytes());
        }
    }

    /// Takes a study out.
    pub fn forget(&mut self, study: &StudyUid) {
        self.oversized.remove(study);
        let Some((at, line)) = self.places.remove(study) else { return };
        let Some(segment) = self.segments.get_mut(at) else { return };
        let bytes = segment.line(line).len();
        if let Some((_, owner)) = segment.lines.get_mut(line) {
            *owner = None;
        }
        segment.dead_bytes += bytes + 1;
        if segment.dead_bytes * 2 > segment.text.len() {
            segment.compact();
            for (line, (_, owner)) in segment.lines.iter().enumerate() {
                if let Some((_, study)) = owner {
                    self.places.insert(study.clone(), (at, line));
                }
            }
        }
    }

    /// Studies whose text holds one of these; `None` if there are more than `limit`.
    #[must_use]
    pub fn find(&self, literals: &[String], limit: usize) -> Option<ListedStudies> {
        let mut found: ListedStudies =
            self.oversized.iter().map(|(study, order)| (order.clone(), study.clone())).collect();
        for literal in literals {
            let finder = memmem::Finder::new(literal.as_bytes());
            for segment in &self.segments {
                segment.find(&finder, &mut found, limit)?;
            }
        }
        (found.len() <= limit).then_some(found)
    }
}

impl Segment {
    fn push(&mut self, study: StudyUid, order: StudyOrder, folded: &[u8]) {
        self.lines.push((self.text.len(), Some((order, study))));
        self.text.extend(folded.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }));
        self.text.push(b'\n');
    }

    fn line(&self, line: usize) -> &[u8] {
        let start = self.lines.get(line).map_or(0, |(start, _)| *start);
        let end = self.lines.get(line + 1).map_or(self.text.len(), |(start, _)| *start);
        self.text.get(start..end.saturating_sub(1)).unwrap_or_default()
    }

    fn compact(&mut self) {
        let mut old = std::mem::take(self);
        for line in 0..old.lines.len() {
            if let Some((order, study)) = old.lines.get_mut(line).and_then(|(_, owner)| owner.take()) {
                self.push(study, order, old.line(line));
            }
        }
    }

    fn find(&self, finder: &memmem::Finder<'_>, found: &mut ListedStudies, limit: usize) -> Option<()> {
        let mut from = 0;
        while let Some(hit) = self.text.get(from..).and_then(|text| finder.find(text)) {
            let at = from + hit;
            let line = self.lines.partition_point(|(start, _)| *start <= at).saturating_sub(1);
            if let Some((_, Some(listed))) = self.lines.get(line) {
                found.push(listed.clone());
                if found.len() > limit {
                    return None;
                }
            }
            from = self.lines.get(line + 1).map_or(self.text.len(), |(start, _)| *start);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_found_until_it_is_replaced() {
        let study = |n: u32| StudyUid::parse(&format!("1.{n}")).unwrap();
        let order = |n: u32| StudyOrder::new(Some(i64::from(n)), None, &study(n));
        let mut index = TextIndex::default();
        for n in 0..1000 {
            index.set(&study(n), order(n), &format!("doe^jane\u{2}id{n}x"));
        }
        assert_eq!(index.find(&["id77x".to_owned()], 10), Some(vec![(order(77), study(77))]));
        assert_eq!(index.find(&["jane".to_owned()], 10), None, "too many to list");
        for n in 0..900 {
            index.set(&study(n), order(n), "roe^richard");
        }
        assert_eq!(index.find(&["id77x".to_owned()], 10), Some(Vec::new()));
        assert_eq!(index.find(&["jane".to_owned()], 100).map(|found| found.len()), Some(100));
        assert_eq!(index.find(&["richard".to_owned()], 1000).map(|found| found.len()), Some(900));
    }
}
