//! Words: the only text of ours that an entry may hold besides names of users and sources.
//!
//! The ledger can never be erased, so nothing that somebody typed or sent may get into it. A word is chosen by the
//! program from a fixed vocabulary ("patient-id-clash", "ok", "vellum-0.1.0"): the type leaves no room for a sentence
//! or a name with a space in it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest word, in characters.
pub const MAX_WORD: usize = 64;

/// 1 to 64 characters of `[a-z0-9._+-]`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Word(String);

/// Text that is no word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a word of the ledger has 1 to 64 characters of a-z, 0-9, '.', '_', '+' and '-'; text of people belongs into a document"
)]
pub struct WordError;

impl Word {
    /// Reads a word.
    ///
    /// # Errors
    /// [`WordError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._+-".contains(&byte);
        let good = (1..=MAX_WORD).contains(&text.len()) && text.bytes().all(allowed);
        good.then(|| Self(text.to_owned())).ok_or(WordError)
    }

    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Word {
    type Error = WordError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Word> for String {
    fn from(word: Word) -> Self {
        word.0
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Word({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sentence_and_no_name_fits_into_a_word() {
        for good in ["ok", "vellum-0.1.0", "patient-id-clash"] {
            assert_eq!(Word::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "Doe^Jane", "Jane Doe", "jane doe", "a/b", "ä", &"a".repeat(65)] {
            assert_eq!(Word::parse(bad), Err(WordError), "{bad:?}");
        }
    }
}
