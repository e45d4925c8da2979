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
/// Stands between the values of a field.
const DIVIDER: char = '\u{2}';
/// Ends a field.
const FIELD_END: u8 = 3;

/// What is searched in, in the order in which a line has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TextField {
    /// Patient's Name, each of its groups.
    Name,
    /// Patient ID.
    PatientId,
    /// Accession Number.
    Accession,
    /// Study Description.
    Description,
}

/// The line of a study: its folded values, field by field in the order of [`TextField`].
#[must_use]
pub fn line_of(fields: [Vec<String>; 4]) -> String {
    let mut line = String::new();
    for values in fields {
        for value in values {
            line.push_str(&without_marks(&value));
            line.push(DIVIDER);
        }
        line.push(char::from(FIELD_END));
    }
    line
}

/// Text without the characters that mean something between texts, which no name has; done to both sides of a comparison.
fn without_marks(text: &str) -> String {
    text.replace(['\n', DIVIDER, char::from(FIELD_END)], " ")
}

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
    /// Sets the line of a study; replaces what was there.
    pub fn set(&mut self, study: &StudyUid, order: StudyOrder, line: &str) {
        self.forget(study);
        if line.len() > STUDY_TEXT_MAX {
            self.oversized.insert(study.clone(), order);
            return;
        }
        if self.segments.last().is_none_or(|segment| segment.text.len() >= SEGMENT_BYTES) {
            self.segments.push(Segment::default());
        }
        let at = self.segments.len() - 1;
        if let Some(segment) = self.segments.last_mut() {
            self.places.insert(study.clone(), (at, segment.lines.len()));
            segment.push(study.clone(), order, line.as_bytes());
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

    /// Studies whose field holds one of these folded texts; `None` if there are more than `limit`.
    #[must_use]
    pub fn find(&self, field: TextField, literals: &[String], limit: usize) -> Option<ListedStudies> {
        let mut found: ListedStudies =
            self.oversized.iter().map(|(study, order)| (order.clone(), study.clone())).collect();
        for literal in literals {
            let literal = without_marks(literal);
            let finder = memmem::Finder::new(literal.as_bytes());
            for segment in &self.segments {
                segment.find(field, &finder, &mut found, limit)?;
            }
        }
        (found.len() <= limit).then_some(found)
    }
}

impl Segment {
    fn push(&mut self, study: StudyUid, order: StudyOrder, line: &[u8]) {
        self.lines.push((self.text.len(), Some((order, study))));
        self.text.extend_from_slice(line);
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

    fn find(
        &self,
        field: TextField,
        finder: &memmem::Finder<'_>,
        found: &mut ListedStudies,
        limit: usize,
    ) -> Option<()> {
        let mut from = 0;
        while let Some(hit) = self.text.get(from..).and_then(|text| finder.find(text)) {
            let at = from + hit;
            let line = self.lines.partition_point(|(start, _)| *start <= at).saturating_sub(1);
            let start = self.lines.get(line).map_or(at, |(start, _)| *start);
            let before = self.text.get(start..at).unwrap_or_default();
            let ends = memchr::memchr_iter(FIELD_END, before).count();
            if ends < field as usize {
                // The field is still to come: the next end of one is not before this hit.
                from = at + 1;
                continue;
            }
            let is_meant = ends == field as usize;
            if let Some((_, Some(listed))) = self.lines.get(line).filter(|_| is_meant) {
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
            index.set(&study(n), order(n), &line("doe^jane", &format!("id{n}x")));
        }
        let find = |index: &TextIndex, field, text: &str, limit| index.find(field, &[text.to_owned()], limit);
        assert_eq!(find(&index, TextField::PatientId, "id77x", 10), Some(vec![(order(77), study(77))]));
        assert_eq!(find(&index, TextField::Name, "jane", 10), None, "too many to list");
        for n in 0..900 {
            index.set(&study(n), order(n), &line("roe^richard", "r"));
        }
        assert_eq!(find(&index, TextField::PatientId, "id77x", 10), Some(Vec::new()));
        assert_eq!(find(&index, TextField::Name, "jane", 100).map(|found| found.len()), Some(100));
        assert_eq!(find(&index, TextField::Name, "richard", 1000).map(|found| found.len()), Some(900));
    }

    fn line(name: &str, id: &str) -> String {
        line_of([vec![name.to_owned()], vec![id.to_owned()], Vec::new(), vec!["head".to_owned()]])
    }

    #[test]
    fn text_is_found_in_the_field_that_is_asked_and_in_no_other() {
        let study = StudyUid::parse("1.7").unwrap();
        let order = StudyOrder::new(None, None, &study);
        let mut index = TextIndex::default();
        index.set(&study, order, &line("r7^x\ny\u{3}r8", "r7 r9"));
        let found = |field, text: &str| index.find(field, &[text.to_owned()], 10).map_or(0, |found| found.len());
        let fields = [TextField::Name, TextField::PatientId, TextField::Accession, TextField::Description];
        let of = |text| fields.map(|field| found(field, text));
        assert_eq!(of("r7"), [1, 1, 0, 0]);
        assert_eq!(of("r9"), [0, 1, 0, 0]);
        assert_eq!(of("head"), [0, 0, 0, 1]);
        assert_eq!(of("y\u{3}r8"), [1, 0, 0, 0], "a mark in a value is no mark");
        assert_eq!(of("x\ny"), [1, 0, 0, 0]);
        assert_eq!(of("r10"), [0, 0, 0, 0]);
    }
}
