//! Which SOP classes have instances that can be stored, and what they are called.
//!
//! The table is what an association negotiates by itself; it is not what the archive can keep: data sets of any
//! other class are kept too when a peer brings them by another way (PS3.7 D.3.3.6, a peer's entry, import). So
//! nothing but negotiation and names may depend on it. UIDs are compared exactly.

mod table;

use crate::identifiers::SopClassUid;

/// A storage SOP class of the standard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StorageSopClass {
    uid: &'static str,
    name: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// In the current standard, with a patient.
    Current,
    /// In the current standard, without a patient (PS3.4 Annex GG).
    NonPatient,
    /// No longer in the standard, but in archives.
    Retired,
}

impl StorageSopClass {
    /// The UID.
    #[must_use]
    pub const fn uid(&self) -> &'static str {
        self.uid
    }

    /// The name as PS3.6 Table A-1 has it, without "(Retired)".
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The standard no longer has it; instances from before are stored as any other.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.kind == Kind::Retired
    }

    /// Its instances belong to no patient, study or series: hanging protocols, palettes, templates (PS3.4 GG.3).
    #[must_use]
    pub fn is_non_patient(&self) -> bool {
        self.kind == Kind::NonPatient
    }
}

/// All storage SOP classes, retired ones included, for negotiation.
pub fn storage_sop_classes() -> impl ExactSizeIterator<Item = &'static StorageSopClass> {
    table::CLASSES.iter()
}

/// The storage SOP class with this UID.
#[must_use]
pub fn find(uid: &SopClassUid) -> Option<&'static StorageSopClass> {
    let at = table::CLASSES.binary_search_by(|class| class.uid.cmp(uid.as_str())).ok()?;
    table::CLASSES.get(at)
}

/// Whether the standard has, or had, this class as a storage SOP class.
#[must_use]
pub fn is_storage(uid: &SopClassUid) -> bool {
    find(uid).is_some()
}

/// Whether instances of this class belong to no patient (PS3.4 GG.3).
#[must_use]
pub fn is_non_patient(uid: &SopClassUid) -> bool {
    find(uid).is_some_and(StorageSopClass::is_non_patient)
}

/// The name of a storage SOP class.
#[must_use]
pub fn name(uid: &SopClassUid) -> Option<&'static str> {
    find(uid).map(|class| class.name)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn uid(text: &str) -> SopClassUid {
        SopClassUid::parse(text).expect("a UID")
    }

    #[test]
    fn the_table_is_sorted_and_names_each_class_once() {
        let uids: Vec<_> = storage_sop_classes().map(StorageSopClass::uid).collect();
        assert!(uids.is_sorted() && uids.windows(2).all(|pair| pair[0] != pair[1]));
        let mut names: Vec<_> =
            storage_sop_classes().filter(|class| !class.is_retired()).map(StorageSopClass::name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(uids.iter().all(|text| text.starts_with("1.2.840.10008.5.1.")));
    }

    #[test]
    fn the_table_is_complete() {
        let count = |keep: fn(&StorageSopClass) -> bool| storage_sop_classes().filter(|class| keep(class)).count();
        assert_eq!(storage_sop_classes().len(), 214);
        assert_eq!(count(StorageSopClass::is_retired), 20);
        assert_eq!(count(StorageSopClass::is_non_patient), 9);
    }

    #[test]
    fn classes_are_found_by_uid() {
        assert_eq!(name(&uid("1.2.840.10008.5.1.4.1.1.2")), Some("CT Image Storage"));
        assert_eq!(name(&uid("1.2.840.10008.5.1.4.1.1.88.67\0")), Some("X-Ray Radiation Dose SR Storage"));
        assert_eq!(name(&uid("1.2.840.10008.5.1.4.1.1.1.1.1")), Some("Digital X-Ray Image Storage - For Processing"));
        assert!(find(&uid("1.2.840.10008.5.1.4.1.1.6")).is_some_and(StorageSopClass::is_retired));
        assert!(is_non_patient(&uid("1.2.840.10008.5.1.4.39.1")));
        assert!(!is_non_patient(&uid("1.2.840.10008.5.1.4.1.1.2")));
        for other in [
            "1.2.840.10008.1.1",
            "1.2.840.10008.1.20.1",
            "1.2.840.10008.1.3.10",
            "1.2.3",
            "1.2.840.10008.5.1.4.1.1.2.99",
        ] {
            assert!(!is_storage(&uid(other)), "{other}");
        }
    }

    #[test]
    fn every_standard_class_of_the_corpus_is_in_the_table() {
        let folder = std::env::var_os("VELLUM_CORPUS")
            .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpus")), PathBuf::from);
        let path = folder.join("manifest.tsv");
        let Ok(manifest) = std::fs::read_to_string(&path) else {
            eprintln!("skipped: {} is not there", path.display());
            return;
        };
        let mut seen = 0;
        for line in manifest.lines().skip(1) {
            let column = line.split('\t').nth(5).unwrap_or_default();
            let Some((_, text)) = column.trim_end_matches(')').rsplit_once('(') else { continue };
            if text.starts_with("1.2.840.10008.") && text != "1.2.840.10008.1.3.10" {
                assert!(is_storage(&uid(text)), "{column}");
                seen += 1;
            }
        }
        assert!(seen > 100, "the manifest was read");
    }
}
