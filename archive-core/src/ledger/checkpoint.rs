//! Checkpoints: what a ledger is at some size, in the text that witnesses and monitors of transparency logs read
//! (C2SP tlog-checkpoint over signed-note).
//!
//! Three lines, an empty line, then signature lines: none yet, for there are no keys yet. A reader accepts them, keeps
//! them, and never takes them for checked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::proof::TreeHead;
use crate::identifiers::{ArchiveId, Sha256Digest};

/// The first characters of a signature line: an em dash and a space.
const SIGNATURE_START: &str = "\u{2014} ";

/// A checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// Which log: `vellum/<archive id>`.
    pub origin: String,
    /// Size and root.
    pub tree: TreeHead,
    /// Signature lines as they came, unchecked.
    pub signatures: Vec<String>,
}

/// A note that is no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a checkpoint: {0}")]
pub struct CheckpointError(&'static str);

/// The origin line of an archive's checkpoints.
#[must_use]
pub fn origin(archive: &ArchiveId) -> String {
    format!("vellum/{archive}")
}

impl Checkpoint {
    /// An unsigned checkpoint.
    #[must_use]
    pub fn unsigned(archive: &ArchiveId, tree: TreeHead) -> Self {
        Self { origin: origin(archive), tree, signatures: Vec::new() }
    }

    /// The note: text, empty line, signatures.
    #[must_use]
    pub fn to_note(&self) -> String {
        let root = STANDARD.encode(self.tree.root.as_raw());
        let mut note = format!("{}\n{}\n{root}\n\n", self.origin, self.tree.size);
        for signature in &self.signatures {
            note.push_str(signature);
            note.push('\n');
        }
        note
    }

    /// Reads a note.
    ///
    /// # Errors
    /// [`CheckpointError`] for anything that [`Checkpoint::to_note`] would not have written.
    pub fn parse(note: &str) -> Result<Self, CheckpointError> {
        let (text, signatures) = note.split_once("\n\n").ok_or(CheckpointError("it has no empty line"))?;
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root), None) = (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError("its text has not three lines"));
        };
        if origin.is_empty() || origin.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+') {
            return Err(CheckpointError("its origin is no name"));
        }
        let parsed = Self {
            origin: origin.to_owned(),
            tree: TreeHead {
                size: size.parse().map_err(|_| CheckpointError("its size is no number"))?,
                root: parse_root(root)?,
            },
            signatures: parse_signatures(signatures)?,
        };
        if parsed.to_note() != note {
            return Err(CheckpointError("it is not written in the one right way"));
        }
        Ok(parsed)
    }
}

fn parse_root(text: &str) -> Result<Sha256Digest, CheckpointError> {
    let raw = STANDARD.decode(text).map_err(|_| CheckpointError("its root is not base64"))?;
    let raw: [u8; 32] = raw.try_into().map_err(|_| CheckpointError("its root has not 32 bytes"))?;
    Ok(Sha256Digest::from_raw(raw))
}

fn parse_signatures(text: &str) -> Result<Vec<String>, CheckpointError> {
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let good = lines.iter().all(|line| line.starts_with(SIGNATURE_START));
    good.then_some(lines).ok_or(CheckpointError("a signature line does not begin with an em dash"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unsigned() -> Checkpoint {
        let archive = ArchiveId::parse("000102030405060708090a0b0c0d0e0f").unwrap();
        Checkpoint::unsigned(&archive, TreeHead { size: 12, root: Sha256Digest::of(b"root") })
    }

    #[test]
    fn a_checkpoint_is_three_lines_and_an_empty_one() {
        let note = unsigned().to_note();
        assert_eq!(
            note,
            "vellum/000102030405060708090a0b0c0d0e0f\n12\nSBNJTRN+FjG7owHVrKtue7eqdM4RhdRWVl71HXN2d7I=\n\n"
        );
        assert_eq!(Checkpoint::parse(&note), Ok(unsigned()));
    }

    #[test]
    fn signature_lines_are_kept_unchecked() {
        let signed = format!("{}\u{2014} vellum/x AAAA\n\u{2014} witness.example/w BBBB\n", unsigned().to_note());
        let read = Checkpoint::parse(&signed).unwrap();
        assert_eq!(read.signatures.len(), 2);
        assert_eq!(read.to_note(), signed);
    }

    #[test]
    fn there_is_one_way_to_write_a_checkpoint() {
        let good = unsigned().to_note();
        let bad = [
            good.replace("12\n", "012\n"),
            good.replace("12\n", "+12\n"),
            good.replace("12\n", "12\r\n"),
            good.replace("12\n", "12\nextension\n"),
            good.replace("=\n", "\n"),
            good.replace("vellum/", "vellum /"),
            good.trim_end().to_owned(),
            format!("{good}no em dash\n"),
            format!("{good}\u{2014} no line feed"),
            String::new(),
        ];
        for note in bad {
            assert!(Checkpoint::parse(&note).is_err(), "{note:?}");
        }
    }
}
