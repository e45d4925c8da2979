//! Reads what comes before the content of a file: preamble, `DICM`, file meta group (PS3.10 §7.1), or whatever of it a
//! sender wrote.
//!
//! The prefix is gathered, for it is kept as it came, and it is bounded. The meta group ends where the elements of
//! group 0002 end; its own length is believed only where both agree, or where a deflated data set follows, whose
//! first bytes may look like anything.

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

use super::ScanError;
use super::element::{ElementHeader, HeaderBytes};
use super::guess::{self, GUESS_BYTES};
use super::keys::{self, DIRECTORY_CLASS, MediaStorage};
use super::warnings::{self, Warnings};
use crate::dicom::transfer_syntaxes::{self, Encoding};
use crate::identifiers::{SopClassUid, SopUid, TransferSyntaxUid};

const PREAMBLE_BYTES: usize = 128;
const MAGIC: &[u8] = b"DICM";

/// Bytes that are looked at before it is decided where the meta group begins.
const LOOK_BYTES: usize = PREAMBLE_BYTES + MAGIC.len() + GUESS_BYTES;

/// Input is taken over in steps of this size, so that little content is copied.
const STEP_BYTES: usize = 4096;

/// The elements of the meta group that are read.
const NOTED: [Tag; 4] = [
    tags::FILE_META_INFORMATION_GROUP_LENGTH,
    tags::MEDIA_STORAGE_SOP_CLASS_UID,
    tags::MEDIA_STORAGE_SOP_INSTANCE_UID,
    tags::TRANSFER_SYNTAX_UID,
];

/// What came before the content.
#[derive(Debug)]
pub(super) struct Prefix {
    /// As it came.
    pub bytes: Vec<u8>,
    /// First bytes of content that were gathered with it.
    pub content: Vec<u8>,
    /// The syntax that is named, or the one that a guess amounts to.
    pub transfer_syntax: TransferSyntaxUid,
    /// How elements are encoded.
    pub encoding: Encoding,
    /// What the meta group says of the instance.
    pub media: MediaStorage,
}

/// The reader.
#[derive(Debug)]
pub(super) struct PrefixReader {
    gathered: Vec<u8>,
    limit: u64,
    /// Where the meta group begins, once decided.
    meta_begins: Option<usize>,
    /// Where the next element begins.
    at: usize,
    /// Where the meta group says that it ends.
    announced_end: Option<usize>,
    meta_encoding: Encoding,
    transfer_syntax: Option<TransferSyntaxUid>,
    media: MediaStorage,
    /// Elements that say something to us, as far as they came: the first of each counts, as in a data set.
    read: Vec<Tag>,
    /// One that came again, and where.
    repeated: Option<(Tag, u64)>,
}

impl PrefixReader {
    pub(super) const fn new(limit: u64) -> Self {
        Self {
            gathered: Vec::new(),
            limit,
            meta_begins: None,
            at: 0,
            announced_end: None,
            meta_encoding: Encoding::ExplicitLittle,
            transfer_syntax: None,
            media: MediaStorage { sop_class: None, sop: None },
            read: Vec::new(),
            repeated: None,
        }
    }

    /// Takes input from the front of `bytes` until the prefix is complete.
    pub(super) fn push(&mut self, bytes: &mut &[u8], warnings: &mut Warnings) -> Result<Option<Prefix>, ScanError> {
        while !bytes.is_empty() {
            let (step, rest) = bytes.split_at(STEP_BYTES.min(bytes.len()));
            self.gathered.extend_from_slice(step);
            *bytes = rest;
            if let Some(prefix) = self.advance(false, warnings)? {
                return Ok(Some(prefix));
            }
        }
        Ok(None)
    }

    /// The input ended within the prefix, or so soon after it that nothing was decided yet.
    pub(super) fn finish(&mut self, warnings: &mut Warnings) -> Result<Prefix, ScanError> {
        let prefix = self.advance(true, warnings)?;
        prefix.ok_or_else(|| self.truncated(self.at))
    }

    fn advance(&mut self, is_end: bool, warnings: &mut Warnings) -> Result<Option<Prefix>, ScanError> {
        if self.meta_begins.is_none() {
            if self.gathered.len() < LOOK_BYTES && !is_end {
                return Ok(None);
            }
            let begins = self.find_meta_group(warnings)?;
            self.meta_begins = Some(begins);
            self.at = begins;
        }
        while self.is_in_meta_group(is_end) {
            if !self.take_element(is_end)? {
                return Ok(None);
            }
        }
        let enough = self.gathered.len() >= self.at + GUESS_BYTES || is_end;
        if enough { self.complete(warnings).map(Some) } else { Ok(None) }
    }

    /// Decides where the meta group begins, or the content if there is none.
    fn find_meta_group(&self, warnings: &mut Warnings) -> Result<usize, ScanError> {
        let after_preamble = self.after(PREAMBLE_BYTES + MAGIC.len());
        if self.after(PREAMBLE_BYTES).starts_with(MAGIC) {
            // `DICM` may stand there by chance in a data set without preamble.
            let begins_here = begins_meta_group(after_preamble) || guess::encoding_of(after_preamble).is_some();
            if begins_here || guess::encoding_of(&self.gathered).is_none() {
                return Ok(PREAMBLE_BYTES + MAGIC.len());
            }
        }
        if self.gathered.starts_with(MAGIC) {
            warnings.note_input(warnings::NO_PREAMBLE, 0);
            return Ok(MAGIC.len());
        }
        if begins_meta_group(&self.gathered) || guess::encoding_of(&self.gathered).is_some() {
            warnings.note_input(warnings::NO_PREAMBLE, 0);
            return Ok(0);
        }
        Err(ScanError::NotDicom { found: guess::other_format(&self.gathered) })
    }

    /// Whether another element of the meta group is to be read, as far as can be seen.
    fn is_in_meta_group(&self, is_end: bool) -> bool {
        let Some(group) = self.after(self.at).first_chunk::<2>() else { return !is_end };
        let is_deflated = || {
            let syntax = self.transfer_syntax.as_ref().and_then(transfer_syntaxes::find);
            syntax.is_some_and(transfer_syntaxes::TransferSyntax::is_deflated)
        };
        u16::from_le_bytes(*group) == 0x0002 && !(self.announced_end == Some(self.at) && is_deflated())
    }

    /// Reads one element of the meta group; false if it is not all there yet.
    fn take_element(&mut self, is_end: bool) -> Result<bool, ScanError> {
        if Some(self.at) == self.meta_begins && self.after(self.at).get(4..6).is_some_and(is_no_vr) {
            self.meta_encoding = Encoding::ImplicitLittle;
        }
        let mut bytes = HeaderBytes::default();
        let (_, is_complete) = bytes.take(self.after(self.at), self.meta_encoding);
        if !is_complete {
            return if is_end { Err(self.truncated(self.at)) } else { Ok(false) };
        }
        let header = bytes.decode(self.at as u64, self.meta_encoding);
        let Some(length) = header.length else {
            let offset = header.offset;
            return Err(ScanError::Malformed {
                what: "undefined length in the meta group",
                tag: Some(header.tag),
                offset,
            });
        };
        let end = header.value_offset.saturating_add(length);
        if end > self.limit {
            let (tag, offset) = (Some(header.tag), header.offset);
            return Err(ScanError::Limit { what: "bytes before the data set", limit: self.limit, tag, offset });
        }
        let value_begins = usize::try_from(header.value_offset).unwrap_or(usize::MAX);
        let end = usize::try_from(end).unwrap_or(usize::MAX);
        let Some(value) = self.gathered.get(value_begins..end) else {
            return if is_end { Err(self.truncated(self.at)) } else { Ok(false) };
        };
        let value = value.to_vec();
        self.note(&header, &value, end);
        self.at = end;
        Ok(true)
    }

    fn note(&mut self, header: &ElementHeader, value: &[u8], end: usize) {
        if !NOTED.contains(&header.tag) {
            return;
        }
        if self.read.contains(&header.tag) {
            self.repeated.get_or_insert((header.tag, header.offset));
            return;
        }
        self.read.push(header.tag);
        match header.tag {
            tags::FILE_META_INFORMATION_GROUP_LENGTH => {
                let length = value.first_chunk().map(|&bytes| u32::from_le_bytes(bytes));
                let length = length.and_then(|length| usize::try_from(length).ok());
                self.announced_end = length.and_then(|length| end.checked_add(length));
            }
            tags::MEDIA_STORAGE_SOP_CLASS_UID => self.media.sop_class = SopClassUid::from_bytes(value).ok(),
            tags::MEDIA_STORAGE_SOP_INSTANCE_UID => self.media.sop = SopUid::from_bytes(value).ok(),
            tags::TRANSFER_SYNTAX_UID => self.transfer_syntax = TransferSyntaxUid::from_bytes(value).ok(),
            _ => {}
        }
    }

    /// The prefix ends at `self.at`; says how the content is encoded.
    fn complete(&mut self, warnings: &mut Warnings) -> Result<Prefix, ScanError> {
        let begins = self.meta_begins.unwrap_or(0);
        if self.at == begins {
            warnings.note_input(warnings::NO_META_GROUP, begins as u64);
        } else if self.announced_end != Some(self.at) {
            let tag = tags::FILE_META_INFORMATION_GROUP_LENGTH;
            warnings.note_prefix(warnings::META_GROUP_LENGTH, tag, begins as u64);
        }
        if let Some((tag, offset)) = self.repeated {
            warnings.note_prefix(warnings::DUPLICATE_ELEMENT, tag, offset);
        }
        if self.meta_encoding == Encoding::ImplicitLittle {
            warnings.note_input(warnings::META_IMPLICIT, begins as u64);
        }
        if self.media.sop_class.as_ref().is_some_and(|class| class.as_str() == DIRECTORY_CLASS) {
            return Err(keys::not_an_instance());
        }
        let content = self.gathered.split_off(self.at.min(self.gathered.len()));
        let (transfer_syntax, encoding) = self.syntax_of(&content, warnings)?;
        let media = std::mem::take(&mut self.media);
        Ok(Prefix { bytes: std::mem::take(&mut self.gathered), content, transfer_syntax, encoding, media })
    }

    fn syntax_of(&self, content: &[u8], warnings: &mut Warnings) -> Result<(TransferSyntaxUid, Encoding), ScanError> {
        let tag = tags::TRANSFER_SYNTAX_UID;
        if let Some(named) = &self.transfer_syntax {
            let encoding = transfer_syntaxes::find(named).map_or_else(
                || {
                    warnings.note_prefix(warnings::UNKNOWN_TRANSFER_SYNTAX, tag, self.at as u64);
                    guess::encoding_of(content).unwrap_or(Encoding::ExplicitLittle)
                },
                transfer_syntaxes::TransferSyntax::encoding,
            );
            return Ok((named.clone(), encoding));
        }
        let not_dicom = || ScanError::NotDicom { found: guess::other_format(content) };
        let guessed = guess::encoding_of(content);
        let encoding = if Some(self.at) == self.meta_begins {
            guessed.ok_or_else(not_dicom)?
        } else {
            warnings.note_prefix(warnings::NO_TRANSFER_SYNTAX, tag, self.at as u64);
            guessed.unwrap_or(Encoding::ExplicitLittle)
        };
        let uid = match encoding {
            Encoding::ImplicitLittle => "1.2.840.10008.1.2",
            Encoding::ExplicitLittle => "1.2.840.10008.1.2.1",
            Encoding::ExplicitBig => "1.2.840.10008.1.2.2",
        };
        Ok((TransferSyntaxUid::parse(uid).map_err(|_| not_dicom())?, encoding))
    }

    fn after(&self, offset: usize) -> &[u8] {
        self.gathered.get(offset..).unwrap_or_default()
    }

    fn truncated(&self, offset: usize) -> ScanError {
        let begun = self.after(offset).first_chunk();
        let tag = begun.map(|&[g0, g1, e0, e1]| Tag(u16::from_le_bytes([g0, g1]), u16::from_le_bytes([e0, e1])));
        ScanError::Truncated { tag, offset: offset as u64, end: self.gathered.len() as u64 }
    }
}

/// Whether these bytes begin an element of group 0002, of the numbers that the standard uses or keeps for private use.
fn begins_meta_group(bytes: &[u8]) -> bool {
    let Some(&[0x02, 0x00, e0, e1]) = bytes.first_chunk() else { return false };
    u16::from_le_bytes([e0, e1]) <= 0x0102
}

fn is_no_vr(bytes: &[u8]) -> bool {
    bytes.first_chunk().is_some_and(|&two| VR::from_binary(two).is_none())
}
