//! Who a patient is: Patient ID with its issuer. An id that is empty or a known placeholder names nobody.

use std::fmt;

use dicom_dictionary_std::tags;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::elements::Elements;

/// What devices write where an operator gave no Patient ID; compared without case. Such ids open no cases, for
/// different patients share them as a matter of course.
pub const PLACEHOLDER_IDS: &[&str] = &[
    "",
    "0",
    "00",
    "000",
    "0000",
    "00000000",
    "-",
    "--",
    "?",
    ".",
    "X",
    "XX",
    "XXX",
    "NA",
    "N/A",
    "NONE",
    "NULL",
    "NIL",
    "UNKNOWN",
    "UNK",
    "ANON",
    "ANONYMOUS",
    "ANONYMIZED",
    "ANONYMISED",
    "NO ID",
    "NOID",
    "NO_ID",
    "NOT AVAILABLE",
    "PATIENT",
    "PATIENTID",
    "PATIENT ID",
    "ID",
    "TEST",
    "EMERGENCY",
    "DUMMY",
    "DEFAULT",
];

/// Whether an id names nobody.
#[must_use]
pub fn is_placeholder(id: &str) -> bool {
    let id = id.trim_matches([' ', '\0']);
    PLACEHOLDER_IDS.iter().any(|placeholder| placeholder.eq_ignore_ascii_case(id))
}

/// A Patient ID and its issuer. Patient data: `Debug` does not print it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PatientKey {
    /// Patient ID (0010,0020), trimmed, not empty.
    pub id: String,
    /// Issuer of Patient ID (0010,0021), trimmed; empty where none is known.
    pub issuer: String,
}

/// A digest of (id, issuer): the order of patients in answers, and what stands for a patient in keys and cursors.
pub type PatientDigest = [u8; 16];

impl PatientKey {
    /// The patient that these elements name; `None` without a Patient ID.
    #[must_use]
    pub fn of(elements: &Elements) -> Option<Self> {
        let id = elements.text(tags::PATIENT_ID)?;
        Some(Self { id, issuer: elements.text(tags::ISSUER_OF_PATIENT_ID).unwrap_or_default() })
    }

    /// First 128 bits of SHA-256 over (length of the id, id, issuer).
    #[must_use]
    pub fn digest(&self) -> PatientDigest {
        let whole = Sha256::new()
            .chain_update((self.id.len() as u64).to_le_bytes())
            .chain_update(self.id.as_bytes())
            .chain_update(self.issuer.as_bytes())
            .finalize();
        let mut cut = [0_u8; 16];
        cut.copy_from_slice(&whole[..16]);
        cut
    }
}

impl fmt::Debug for PatientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PatientKey(…)")
    }
}
