//! Who asks, by which door, from where.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The way by which something came in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Door {
    /// C-STORE over a DICOM association (PS3.4 Annex B).
    CStore,
    /// STOW-RS (PS3.18 §10.5).
    StowRs,
    /// `vellum import` of files, folders or media.
    Import,
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CStore => "c-store",
            Self::StowRs => "stow-rs",
            Self::Import => "import",
        })
    }
}

/// What identifies a source for the rules on duplicates: the calling AE title, the HTTP user or token, or the label
/// of an import. At most 64 characters; it is written into receipts and into the ledger, so it is never a patient's.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceKey(String);

impl SourceKey {
    /// A source key of these characters: control characters are dropped, what is beyond 64 characters is cut.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.chars().filter(|c| !c.is_control()).take(64).collect())
    }

    /// The key's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who calls the archive. Every call carries one: today "local", later an authenticated person or system.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// The name by which the caller is known.
    pub name: SourceKey,
    /// Where the call came from, as the door says it: an address, or `local`.
    pub origin: String,
}

impl Caller {
    /// A person or process on this machine.
    #[must_use]
    pub fn local() -> Self {
        Self { name: SourceKey::new("local"), origin: "local".to_owned() }
    }

    /// A caller known by name who reached us from an address.
    #[must_use]
    pub fn remote(name: &str, origin: impl fmt::Display) -> Self {
        Self { name: SourceKey::new(name), origin: origin.to_string() }
    }
}
