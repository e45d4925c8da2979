//! The names things go by: UIDs, digests, AE titles, receipt numbers.
//!
//! Each is a type of its own, so that a study UID can never be handed over where a series UID is meant, and a digest
//! of stored bytes never where a content id is. UIDs are kept as they came, trimmed of NUL and space (PS3.5 §9.1 pads
//! with NUL, senders pad with either): an archive that refused a malformed UID would lose the image that bears it.
//! Whether a UID may appear in an object's name is another question: [`uid_path_component`] answers it.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// An identifier could not be read from its text form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentifierError {
    /// A UID is empty once padding is trimmed.
    #[error("an empty UID names nothing: the attribute is there but has no value")]
    EmptyUid,
    /// A digest is not 64 lower-case hexadecimal digits.
    #[error("a SHA-256 digest is written as 64 hexadecimal digits, found {length} characters")]
    Digest {
        /// How many characters there were.
        length: usize,
    },
    /// An AE title is empty, over 16 characters, or holds a backslash or a control character (PS3.5 §6.2, VR AE).
    #[error("an AE title has 1 to 16 characters, no backslash and no control character")]
    AeTitle,
    /// A random id is not 32 lower-case hexadecimal digits.
    #[error("an id is written as 32 lower-case hexadecimal digits, found {length} characters")]
    RandomId {
        /// How many characters there were.
        length: usize,
    },
    /// A receipt number is not `<epoch>:<number>`.
    #[error("a receipt number is written as <epoch>:<number>")]
    ReceiptNumber,
}

macro_rules! uid_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Reads a UID, trimming NUL and space at both ends.
            ///
            /// # Errors
            /// [`IdentifierError::EmptyUid`] when nothing is left.
            pub fn parse(text: &str) -> Result<Self, IdentifierError> {
                let trimmed = text.trim_matches(|c| c == '\0' || c == ' ');
                if trimmed.is_empty() {
                    return Err(IdentifierError::EmptyUid);
                }
                Ok(Self(trimmed.to_owned()))
            }

            /// Reads a UID from the bytes of a data element. Each byte becomes the character of that number, so that
            /// two values that differ stay different whatever bytes they hold.
            ///
            /// # Errors
            /// [`IdentifierError::EmptyUid`] when nothing is left after trimming.
            pub fn from_bytes(bytes: &[u8]) -> Result<Self, IdentifierError> {
                let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
                Self::parse(&text)
            }

            /// The UID as it came, without padding.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0.escape_debug())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.escape_debug())
            }
        }
    };
}

uid_type!(
    /// Study Instance UID (0020,000D).
    StudyUid
);
uid_type!(
    /// Series Instance UID (0020,000E).
    SeriesUid
);
uid_type!(
    /// SOP Instance UID (0008,0018).
    SopUid
);
uid_type!(
    /// SOP Class UID (0008,0016).
    SopClassUid
);
uid_type!(
    /// Transfer Syntax UID (0002,0010), or the one a presentation context agreed on.
    TransferSyntaxUid
);

/// The form of a UID that may be part of an object's name: itself if it is `[0-9]+(\.[0-9]+)*` of at most 64
/// characters, otherwise `x-` and the first 32 hexadecimal digits of its SHA-256 (docs/FORMAT.md, "Names").
#[must_use]
pub fn uid_path_component(uid: &str) -> String {
    let plain = uid.len() <= 64
        && uid.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    if plain {
        return uid.to_owned();
    }
    let digest = hex::encode(Sha256::digest(uid.as_bytes()));
    format!("x-{}", &digest[..32])
}

/// The two hexadecimal digits that spread studies over folders: the first of SHA-256 of the UID.
#[must_use]
pub fn uid_fan_out(uid: &str) -> String {
    hex::encode(&Sha256::digest(uid.as_bytes())[..1])
}

macro_rules! digest_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 32]);

        impl $name {
            /// The digest of these bytes.
            #[must_use]
            pub fn of(bytes: &[u8]) -> Self {
                Self(Sha256::digest(bytes).into())
            }

            /// A digest that was computed elsewhere.
            #[must_use]
            pub const fn from_raw(raw: [u8; 32]) -> Self {
                Self(raw)
            }

            /// The 32 bytes.
            #[must_use]
            pub const fn as_raw(&self) -> &[u8; 32] {
                &self.0
            }

            /// Reads 64 hexadecimal digits.
            ///
            /// # Errors
            /// [`IdentifierError::Digest`] for anything else.
            pub fn parse(text: &str) -> Result<Self, IdentifierError> {
                let mut raw = [0_u8; 32];
                hex::decode_to_slice(text, &mut raw)
                    .map_err(|_| IdentifierError::Digest { length: text.len() })?;
                Ok(Self(raw))
            }

            /// All 64 hexadecimal digits.
            #[must_use]
            pub fn to_hex(&self) -> String {
                hex::encode(self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdentifierError;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(digest: $name) -> Self {
                digest.to_hex()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.to_hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), &self.to_hex()[..12])
            }
        }
    };
}

digest_type!(
    /// SHA-256 over a data set as it came: everything after the file meta group.
    ContentId
);
digest_type!(
    /// SHA-256 over the bytes of a pack; its name.
    PackId
);
digest_type!(
    /// SHA-256 over anything else: a file, a ledger segment, a part of a pack.
    Sha256Digest
);

macro_rules! random_id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Reads 32 lower-case hexadecimal digits, as [`crate::entropy::Entropy::nonce`] draws them.
            ///
            /// # Errors
            /// [`IdentifierError::RandomId`] for anything else.
            pub fn parse(text: &str) -> Result<Self, IdentifierError> {
                let good = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                if good { Ok(Self(text.to_owned())) } else { Err(IdentifierError::RandomId { length: text.len() }) }
            }

            /// The 32 digits.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdentifierError;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

random_id_type!(
    /// An archive, drawn once when it is created; every store of it and every ledger segment bears it.
    ArchiveId
);
random_id_type!(
    /// A store, drawn once when it joins an archive (its `archive.json`); the ledger names stores by it, so that a
    /// store may be renamed in the configuration.
    StoreId
);

/// The first 128 bits of a BLAKE3 digest: what a unit of a pack is checked against before its bytes are served.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UnitDigest([u8; 16]);

impl UnitDigest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_hasher(&blake3::Hash::from(*blake3::hash(bytes).as_bytes()))
    }

    /// Cuts a finished BLAKE3 digest to its first 128 bits.
    #[must_use]
    pub fn from_hasher(hash: &blake3::Hash) -> Self {
        let mut raw = [0_u8; 16];
        raw.copy_from_slice(&hash.as_bytes()[..16]);
        Self(raw)
    }

    /// A digest that was read from a table.
    #[must_use]
    pub const fn from_raw(raw: [u8; 16]) -> Self {
        Self(raw)
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_raw(&self) -> &[u8; 16] {
        &self.0
    }

    /// All 32 hexadecimal digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Debug for UnitDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnitDigest({})", self.to_hex())
    }
}

/// An application entity title (PS3.5 §6.2, VR AE): 1 to 16 characters, compared case-sensitively after trimming.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AeTitle(String);

impl AeTitle {
    /// Reads an AE title, trimming leading and trailing spaces, which are not significant.
    ///
    /// # Errors
    /// [`IdentifierError::AeTitle`] for what PS3.5 does not allow.
    pub fn parse(text: &str) -> Result<Self, IdentifierError> {
        let trimmed = text.trim_matches(|c| c == ' ' || c == '\0');
        let allowed = |c: char| (c.is_ascii_graphic() || c == ' ') && c != '\\';
        if trimmed.is_empty() || trimmed.len() > 16 || !trimmed.chars().all(allowed) {
            return Err(IdentifierError::AeTitle);
        }
        Ok(Self(trimmed.to_owned()))
    }

    /// The title without padding.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AeTitle {
    type Error = IdentifierError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<AeTitle> for String {
    fn from(title: AeTitle) -> Self {
        title.0
    }
}

impl fmt::Display for AeTitle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of a receipt: the epoch in which the journal's writer gave it, and its place in that epoch (from 1).
/// "Latest" always means the highest of these, never a clock.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReceiptNumber {
    /// The ledger epoch during which it was received.
    pub epoch: u32,
    /// Dense within the epoch, from 1.
    pub number: u64,
}

impl ReceiptNumber {
    /// Reads `<epoch>:<number>`.
    ///
    /// # Errors
    /// [`IdentifierError::ReceiptNumber`] for anything else.
    pub fn parse(text: &str) -> Result<Self, IdentifierError> {
        let (epoch, number) = text.split_once(':').ok_or(IdentifierError::ReceiptNumber)?;
        Ok(Self {
            epoch: epoch.parse().map_err(|_| IdentifierError::ReceiptNumber)?,
            number: number.parse().map_err(|_| IdentifierError::ReceiptNumber)?,
        })
    }
}

impl TryFrom<String> for ReceiptNumber {
    type Error = IdentifierError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<ReceiptNumber> for String {
    fn from(number: ReceiptNumber) -> Self {
        number.to_string()
    }
}

impl fmt::Display for ReceiptNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_reaches_a_name_only_if_it_is_digits_and_dots() {
        assert_eq!(uid_path_component("1.2.840.10008"), "1.2.840.10008");
        let long = "1.".repeat(32) + "1";
        for hostile in ["../../etc/passwd", "1..2", ".1", "1.", "", "1.2\\3", "1.2\u{0}3", "1.2 3", "١.٢", &long] {
            let component = uid_path_component(hostile);
            assert!(component.starts_with("x-") && component.len() == 34, "{hostile:?} became {component}");
        }
    }

    #[test]
    fn padding_is_no_part_of_a_uid() {
        assert_eq!(StudyUid::from_bytes(b"1.2.3\0").unwrap(), StudyUid::parse("1.2.3 ").unwrap());
        assert_eq!(StudyUid::from_bytes(b"\0 \0"), Err(IdentifierError::EmptyUid));
    }

    #[test]
    fn a_receipt_number_orders_by_epoch_first() {
        let older = ReceiptNumber::parse("1:900").unwrap();
        let newer = ReceiptNumber::parse("2:1").unwrap();
        assert!(older < newer);
        assert_eq!(ReceiptNumber::parse(&newer.to_string()), Ok(newer));
    }
}
