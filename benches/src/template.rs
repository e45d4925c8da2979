//! An instance in memory whose UIDs can be exchanged in place: a sender that prepares some hundred of them can send any
//! number without making new ones.

use std::ops::Range;

use crate::shapes::{patient_name, study_date};

/// UIDs of one width, so that one may take another's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// Which run; 0 to 899,999,999.
    pub run: u64,
    /// Which study; 0 to 89,999,999.
    pub study: u64,
    /// Which series of the study; 0 to 899.
    pub series: u64,
    /// Which instance of the study; 0 to 8,999,999.
    pub instance: u64,
}

impl Ids {
    /// Study Instance UID.
    #[must_use]
    pub fn study_uid(&self) -> String {
        format!("1.2.826.0.1.3680043.10.999.{}.{}", 100_000_000 + self.run, 10_000_000 + self.study)
    }

    /// Series Instance UID.
    #[must_use]
    pub fn series_uid(&self) -> String {
        format!("{}.{}", self.study_uid(), 100 + self.series)
    }

    /// SOP Instance UID.
    #[must_use]
    pub fn sop_uid(&self) -> String {
        format!("{}.{}", self.series_uid(), 1_000_000 + self.instance)
    }

    /// Patient ID.
    #[must_use]
    pub fn patient(&self) -> String {
        format!("P{:09}", self.study / 3)
    }

    /// Accession Number.
    #[must_use]
    pub fn accession(&self) -> String {
        format!("A{:09}", self.study)
    }
}

/// What ids say of one attribute.
type Said = fn(&Ids) -> String;

/// An instance: its data set, and what a file or a C-STORE needs beside it.
#[derive(Clone, Debug)]
pub struct Template {
    /// SOP Class UID.
    pub class: &'static str,
    /// Transfer Syntax UID of the data set.
    pub syntax: &'static str,
    /// Whose UIDs it has now.
    pub ids: Ids,
    /// The data set.
    pub data_set: Vec<u8>,
    places: Vec<(Range<usize>, Said)>,
}

impl Template {
    /// Of a data set that was made with these ids.
    #[must_use]
    pub fn new(class: &'static str, syntax: &'static str, ids: Ids, data_set: Vec<u8>) -> Self {
        let kinds: [Said; 7] =
            [Ids::sop_uid, Ids::series_uid, Ids::study_uid, Ids::patient, Ids::accession, patient_name, study_date];
        let mut places: Vec<(Range<usize>, Said)> = Vec::new();
        // All of them stand before the pixels. The longest first: a study's UID begins that of its series.
        let head = &data_set[..data_set.len().min(HEAD_BYTES)];
        for kind in kinds {
            let text = kind(&ids);
            let mut from = 0;
            while let Some(found) = find(&head[from..], text.as_bytes()) {
                let place = from + found..from + found + text.len();
                from = place.end;
                if places.iter().all(|(taken, _)| taken.end <= place.start || place.end <= taken.start) {
                    places.push((place, kind));
                }
            }
        }
        Self { class, syntax, ids, data_set, places }
    }

    /// Gives it other UIDs.
    pub fn become_instance(&mut self, ids: Ids) {
        for (place, kind) in &self.places {
            self.data_set[place.clone()].copy_from_slice(kind(&ids).as_bytes());
        }
        self.ids = ids;
    }

    /// Preamble, prefix and file meta information of a Part 10 file (PS3.10 §7.1); the data set follows.
    #[must_use]
    pub fn file_head(&self) -> Vec<u8> {
        use crate::data_set::DataSet;
        let mut meta = DataSet::default();
        meta.value((2, 1), b"OB", &[0, 1])
            .text((2, 2), b"UI", self.class)
            .text((2, 3), b"UI", &self.ids.sop_uid())
            .text((2, 0x10), b"UI", self.syntax)
            .text((2, 0x12), b"UI", "1.2.826.0.1.3680043.10.999.1");
        let meta = meta.into_bytes();
        let mut file = vec![0; 128];
        file.extend_from_slice(b"DICM");
        let mut length = DataSet::default();
        length.value((2, 0), b"UL", &u32::try_from(meta.len()).unwrap_or(u32::MAX).to_le_bytes());
        file.extend(length.into_bytes());
        file.extend(meta);
        file
    }
}

/// Where UIDs may stand; more than any head of this crate's making.
const HEAD_BYTES: usize = 64 * 1024;

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::Numbers;
    use crate::shapes::{Maker, Shape};

    #[test]
    fn a_template_becomes_what_would_have_been_made() {
        let one = Ids { run: 5, study: 1, series: 0, instance: 3 };
        let two = Ids { run: 5, study: 70_000, series: 2, instance: 4711 };
        let mut template = Maker::new(Numbers::of(1)).template(Shape::Small, one);
        let made = Maker::new(Numbers::of(1)).template(Shape::Small, two);
        template.become_instance(two);
        assert_eq!(template.data_set.len(), made.data_set.len());
        let different = template.data_set.iter().zip(&made.data_set).filter(|(a, b)| a != b).count();
        // The numbers of series and instance are not exchanged: at most ten digits, and the name of the series.
        assert!(different <= 13, "{different} bytes differ");
        assert_eq!(template.file_head(), made.file_head());
    }
}
