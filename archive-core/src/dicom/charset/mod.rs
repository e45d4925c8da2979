//! Character sets of DICOM text: Specific Character Set (0008,0005) and what it makes of bytes.
//!
//! PS3.3 C.12.1.1.2 lists the terms, PS3.5 §6.1 and Annexes H to K say how code extensions work. The archive keeps the
//! bytes and only *reads* them here, for its index and for DICOM JSON: so nothing is ever refused. What cannot be
//! decoded becomes U+FFFD and is said (`replaced`), what senders commonly get wrong is read as they meant it
//! where only one reading makes sense. What must always hold: no input panics, and the cost is linear in its length.
//!
//! Text is patient data: [`Decoded`] shows nothing of it in `Debug`.

mod iso2022;
mod sets;
mod terms;
mod whole;

#[cfg(test)]
mod corpus_tests;
#[cfg(test)]
mod tests;

use std::fmt;

use iso2022::Repertoire;
use whole::WholeEncoding;

/// The kinds of text value that PS3.5 Table 6.2-1 pads and delimits differently.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TextKind {
    /// LO and SH: values between backslashes; spaces at both ends mean nothing.
    Text,
    /// UC: values between backslashes; only spaces at the end mean nothing.
    UnlimitedText,
    /// ST, LT and UT: one value that may hold backslashes; only spaces at the end mean nothing.
    LongText,
    /// PN: values between backslashes; code extensions end at `^` and `=` as well.
    PersonName,
}

impl TextKind {
    /// Whether a backslash separates values.
    const fn splits(self) -> bool {
        !matches!(self, Self::LongText)
    }

    /// Removes the padding that this kind allows, and NUL, which some senders pad with.
    fn trim(self, text: &str) -> &str {
        const PADDING: [char; 2] = [' ', '\0'];
        let text = text.trim_end_matches(PADDING);
        if self == Self::Text { text.trim_start_matches(' ') } else { text }
    }
}

/// What bytes mean as text.
#[derive(Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The text; patient data.
    pub text: String,
    /// Something could not be decoded and stands as U+FFFD in the text.
    pub replaced: bool,
}

impl fmt::Debug for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decoded({} bytes of text, replaced: {})", self.text.len(), self.replaced)
    }
}

/// How the text of a data set, or of one sequence item, is to be read.
#[derive(Clone, Debug, PartialEq)]
pub struct SpecificCharacterSet {
    reading: Reading,
}

#[derive(Clone, Debug, PartialEq)]
enum Reading {
    /// One encoding without code extensions: UTF-8, GB18030, GBK.
    Whole(WholeEncoding),
    /// ISO 2022: code elements G0 and G1, switched by escape sequences.
    Iso2022(Repertoire),
}

impl Default for SpecificCharacterSet {
    /// The default repertoire, ISO IR 6.
    fn default() -> Self {
        Self::parse("").0
    }
}

impl SpecificCharacterSet {
    /// Reads the value of Specific Character Set (0008,0005) with its backslashes; empty is the default repertoire.
    ///
    /// Spelling is taken loosely (`ISO-IR 100`, `iso_ir_192`, `UTF-8`). The flag says whether all terms are
    /// known; an unknown one counts as the default repertoire.
    #[must_use]
    pub fn parse(value: &str) -> (Self, bool) {
        let (reading, all_known) = terms::parse(value);
        (Self { reading }, all_known)
    }

    /// Decodes a whole element value as one text, padding and delimiters included.
    #[must_use]
    pub fn decode(&self, bytes: &[u8], kind: TextKind) -> Decoded {
        let mut sink = Sink::new(false);
        self.decode_into(bytes, kind, &mut sink);
        Decoded { text: sink.current, replaced: sink.replaced }
    }

    /// Decodes an element value into its values, without padding; an element without value gives none.
    ///
    /// A byte 5CH that is half of a character does not separate values. The flag is true where anything could not be
    /// decoded and was replaced by U+FFFD.
    #[must_use]
    pub fn decode_values(&self, bytes: &[u8], kind: TextKind) -> (Vec<String>, bool) {
        let mut sink = Sink::new(kind.splits());
        self.decode_into(bytes, kind, &mut sink);
        sink.end_value();
        let mut values = sink.values;
        for value in &mut values {
            let trimmed = kind.trim(value);
            if trimmed.len() != value.len() {
                *value = trimmed.to_owned();
            }
        }
        if values.len() == 1 && values.first().is_some_and(String::is_empty) {
            values.clear();
        }
        (values, sink.replaced)
    }

    fn decode_into(&self, bytes: &[u8], kind: TextKind, sink: &mut Sink) {
        match &self.reading {
            Reading::Whole(encoding) => encoding.decode(bytes, sink),
            Reading::Iso2022(repertoire) => repertoire.decode(bytes, kind, sink),
        }
    }
}

/// Where decoded characters go: one text, or one text per value.
struct Sink {
    splits: bool,
    current: String,
    values: Vec<String>,
    replaced: bool,
}

impl Sink {
    const fn new(splits: bool) -> Self {
        Self { splits, current: String::new(), values: Vec::new(), replaced: false }
    }

    fn push(&mut self, character: char) {
        self.current.push(character);
    }

    fn push_str(&mut self, text: &str) {
        self.current.push_str(text);
    }

    /// A character, or the mark of one that could not be decoded.
    fn push_or_replace(&mut self, character: Option<char>) {
        self.push(character.unwrap_or(char::REPLACEMENT_CHARACTER));
        self.replaced |= character.is_none();
    }

    /// The byte 5CH stood alone: a border between values, or a character.
    fn delimiter(&mut self, character: char) {
        if self.splits {
            self.end_value();
        } else {
            self.push(character);
        }
    }

    fn end_value(&mut self) {
        self.values.push(std::mem::take(&mut self.current));
    }
}
