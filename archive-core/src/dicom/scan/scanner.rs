//! The scanner itself: digests, and the order in which the parts take their turns.

use std::io::{self, Read};
use std::mem;

use sha2::{Digest as _, Sha256};

use super::cutter::Cutter;
use super::facts::Facts;
use super::inflate::{AfterStream, Inflater};
use super::json::Space;
use super::keys::MediaStorage;
use super::pixels::{FoundFrames, Pixels};
use super::prefix_reader::{Prefix, PrefixReader};
use super::tokenizer::{Findings, Tokenizer};
use super::warnings::{self, Warnings};
use super::{Input, Scan, ScanError, ScanOptions};
use crate::dicom::cut::CutList;
use crate::dicom::transfer_syntaxes::{self, Encoding, TransferSyntax};
use crate::identifiers::{ContentId, Sha256Digest, TransferSyntaxUid};
use crate::receipt::FileDigest;

/// Bytes that [`scan_reader`] reads at a time.
const READ_BYTES: usize = 256 * 1024;

/// Scans everything that a reader gives.
///
/// # Errors
/// Why the input is refused; [`ScanError::Scratch`] also where the reader fails.
pub fn scan_reader(reader: &mut dyn Read, options: ScanOptions) -> Result<Scan, ScanError> {
    let mut scanner = Scanner::new(options)?;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return scanner.finish(),
            Ok(count) => scanner.push(buffer.get(..count).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Scans one input that is pushed into it, in constant memory.
#[derive(Debug)]
pub struct Scanner {
    file: Option<FileHasher>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// Before the content.
    Prefix(Box<BeforeContent>),
    /// In the content.
    Content(Box<Content>),
    /// After an error: what it was, and where the content begins if that was known.
    Refused { error: ScanError, content_begins: Option<u64> },
}

#[derive(Debug)]
struct BeforeContent {
    options: ScanOptions,
    reader: PrefixReader,
    warnings: Warnings,
}

impl Scanner {
    /// A scanner that waits for the first byte.
    ///
    /// # Errors
    /// When the scratch folder is not there.
    pub fn new(options: ScanOptions) -> io::Result<Self> {
        if !options.scratch.is_dir() {
            let what = format!("the scratch folder {} is not there: create it", options.scratch.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, what));
        }
        let mut warnings = Warnings::default();
        let Input::DataSet(syntax) = &options.input else {
            let reader = PrefixReader::new(options.limits.prefix_bytes);
            let before = BeforeContent { options, reader, warnings };
            return Ok(Self { file: Some(FileHasher::default()), phase: Phase::Prefix(Box::new(before)) });
        };
        let syntax = syntax.clone();
        let known = transfer_syntaxes::find(&syntax);
        if known.is_none() {
            warnings.note_input(warnings::UNKNOWN_TRANSFER_SYNTAX, 0);
        }
        let prefix = Prefix {
            bytes: Vec::new(),
            content: Vec::new(),
            transfer_syntax: syntax,
            encoding: known.map_or(Encoding::ExplicitLittle, TransferSyntax::encoding),
            media: MediaStorage::default(),
        };
        Ok(Self { file: None, phase: Phase::Content(Box::new(Content::new(prefix, &options, warnings))) })
    }

    /// Takes the next bytes. Any split of an input gives the same result.
    ///
    /// # Errors
    /// Why the input is refused, as early as it can be said; from then on every call gives the same error.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ScanError> {
        if let Some(file) = &mut self.file {
            file.update(bytes);
        }
        self.advance(bytes).map_err(|error| self.refuse(error))
    }

    /// The input has ended.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn finish(mut self) -> Result<Scan, ScanError> {
        if let Phase::Prefix(before) = &mut self.phase {
            let prefix = before.reader.finish(&mut before.warnings)?;
            self.phase = Phase::Content(before.end_with(prefix)?);
        }
        match self.phase {
            Phase::Content(content) => content.finish(self.file.map(FileHasher::finish)),
            Phase::Refused { error, .. } => Err(error),
            Phase::Prefix(_) => Err(ScanError::NotDicom { found: "there is no content" }),
        }
    }

    /// How many bytes of the input come before its content: known once they are over, 0 for a bare data set.
    #[must_use]
    pub fn content_offset(&self) -> Option<u64> {
        match &self.phase {
            Phase::Prefix(_) => None,
            Phase::Content(content) => Some(content.prefix.len() as u64),
            Phase::Refused { content_begins, .. } => *content_begins,
        }
    }

    fn advance(&mut self, mut bytes: &[u8]) -> Result<(), ScanError> {
        match &mut self.phase {
            Phase::Prefix(before) => {
                if let Some(prefix) = before.reader.push(&mut bytes, &mut before.warnings)? {
                    let mut content = before.end_with(prefix)?;
                    let pushed = content.push(bytes);
                    self.phase = Phase::Content(content);
                    pushed?;
                }
                Ok(())
            }
            Phase::Content(content) => content.push(bytes),
            Phase::Refused { error, .. } => Err(repeat(error)),
        }
    }

    /// Remembers an error, and lets go of everything else.
    fn refuse(&mut self, error: ScanError) -> ScanError {
        let content_begins = self.content_offset();
        self.phase = Phase::Refused { error: repeat(&error), content_begins };
        error
    }
}

/// The same error once more.
fn repeat(error: &ScanError) -> ScanError {
    match error {
        ScanError::NotDicom { found } => ScanError::NotDicom { found },
        &ScanError::Truncated { tag, offset, end } => ScanError::Truncated { tag, offset, end },
        &ScanError::Limit { what, limit, tag, offset } => ScanError::Limit { what, limit, tag, offset },
        &ScanError::Malformed { what, tag, offset } => ScanError::Malformed { what, tag, offset },
        &ScanError::MissingUid { name, tag, offset } => ScanError::MissingUid { name, tag, offset },
        ScanError::NotAnInstance { what } => ScanError::NotAnInstance { what },
        ScanError::Scratch(source) => ScanError::Scratch(io::Error::new(source.kind(), source.to_string())),
    }
}

/// Adds to an error of the deflated stream the element that was being inflated. Not where the stream is damaged: how much
/// of it is inflated before that is noticed hangs on how the input is split.
fn while_reading(tokenizer: &Tokenizer, error: ScanError) -> ScanError {
    let here = tokenizer.tag_at_hand();
    match error {
        ScanError::Limit { what, limit, tag, offset } => ScanError::Limit { what, limit, tag: tag.or(here), offset },
        ScanError::Truncated { tag, offset, end } => ScanError::Truncated { tag: tag.or(here), offset, end },
        other => other,
    }
}

/// Digest and size of a whole file.
#[derive(Debug, Default)]
struct FileHasher {
    sha256: Sha256,
    size: u64,
}

impl FileHasher {
    fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.size += bytes.len() as u64;
    }

    fn finish(self) -> FileDigest {
        FileDigest { sha256: Sha256Digest::from_raw(self.sha256.finalize().into()), size: self.size }
    }
}

/// The content while it streams by.
#[derive(Debug)]
struct Content {
    prefix: Vec<u8>,
    media: MediaStorage,
    transfer_syntax: TransferSyntaxUid,
    sha256: Sha256,
    length: u64,
    length_max: u64,
    tokenizer: Tokenizer,
    findings: Findings,
    deflated: Option<Deflated>,
}

/// A deflated data set is cut as it came: plain pieces, for no part of it can be read alone.
#[derive(Debug)]
struct Deflated {
    inflater: Inflater,
    cutter: Cutter,
}

impl BeforeContent {
    /// The content after the prefix; takes the first bytes, which were gathered with it.
    fn end_with(&mut self, mut prefix: Prefix) -> Result<Box<Content>, ScanError> {
        let first = mem::take(&mut prefix.content);
        let mut content = Box::new(Content::new(prefix, &self.options, mem::take(&mut self.warnings)));
        content.push(&first)?;
        Ok(content)
    }
}

impl Content {
    fn new(prefix: Prefix, options: &ScanOptions, mut warnings: Warnings) -> Self {
        let content_begins = prefix.bytes.len() as u64;
        warnings.content_begins_at(content_begins);
        let (limits, scratch) = (options.limits, &options.scratch);
        let syntax = transfer_syntaxes::find(&prefix.transfer_syntax);
        let is_deflated = syntax.is_some_and(TransferSyntax::is_deflated);
        let (space, bytes_max, cutter) = if is_deflated {
            (Space::Inflated, limits.inflated_bytes, Cutter::idle(scratch))
        } else {
            (Space::Content, limits.content_bytes, Cutter::new(scratch))
        };
        let facts = Facts::new(options, space, content_begins, &mut warnings);
        let pixels = Pixels::new(scratch.clone(), syntax, content_begins);
        Self {
            prefix: prefix.bytes,
            media: prefix.media,
            transfer_syntax: prefix.transfer_syntax,
            sha256: Sha256::new(),
            length: 0,
            length_max: limits.content_bytes,
            tokenizer: Tokenizer::new(prefix.encoding, limits, bytes_max, content_begins),
            findings: Findings { facts, pixels, cutter, warnings },
            deflated: is_deflated
                .then(|| Deflated { inflater: Inflater::new(limits, content_begins), cutter: Cutter::new(scratch) }),
        }
    }

    /// Takes the next bytes; those that still fit are looked at first, so that the error does not hang on the split.
    fn push(&mut self, bytes: &[u8]) -> Result<(), ScanError> {
        let room = usize::try_from(self.length_max - self.length).unwrap_or(usize::MAX);
        let (fits, excess) = bytes.split_at(room.min(bytes.len()));
        self.take(fits)?;
        if excess.is_empty() { Ok(()) } else { Err(self.tokenizer.past_content_limit(self.length_max)) }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), ScanError> {
        self.length += bytes.len() as u64;
        self.sha256.update(bytes);
        let Self { tokenizer, findings, deflated, .. } = self;
        match deflated {
            None => tokenizer.push(bytes, findings),
            Some(Deflated { inflater, cutter }) => {
                cutter.header(bytes)?;
                let inflated = inflater.push(bytes, |inflated| tokenizer.push(inflated, findings));
                inflated.map_err(|error| while_reading(tokenizer, error))
            }
        }
    }

    fn finish(mut self: Box<Self>, file: Option<FileDigest>) -> Result<Scan, ScanError> {
        if let Some(Deflated { inflater, .. }) = &self.deflated {
            let ended = inflater.finish().map_err(|error| while_reading(&self.tokenizer, error))?;
            let code = match ended {
                AfterStream::Nothing => None,
                AfterStream::GzipTrailer => Some(warnings::DEFLATE_TRAILER),
                AfterStream::Zeros => Some(warnings::TRAILING_BYTES),
            };
            if let Some(code) = code {
                self.findings.warnings.note_input(code, inflater.input_offset());
            }
        }
        self.tokenizer.finish(&mut self.findings)?;
        let ended_at = self.tokenizer.ended_at();
        let Findings { facts, pixels, cutter, mut warnings } = self.findings;
        let (keys, attributes, header_json) = facts.finish();
        let keys = keys.resolve(&self.media, ended_at, &mut warnings)?;
        let FoundFrames { fragments, frames } = pixels.finish();
        let inflated = self.deflated.is_some();
        let units = self.deflated.map_or(cutter, |deflated| deflated.cutter).finish()?;
        Ok(Scan {
            prefix: self.prefix,
            content: ContentId::from_raw(self.sha256.finalize().into()),
            content_length: self.length,
            file,
            transfer_syntax: self.transfer_syntax,
            keys,
            attributes,
            header_json,
            cut: CutList { units, fragments, frames, inflated },
            warnings: warnings.into_list(),
        })
    }
}
