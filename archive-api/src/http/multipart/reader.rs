//! An incremental reader of multipart bodies: bytes go in, events come out, no I/O.
//!
//! What must always hold: any split of a body into chunks gives the same parts; the buffer never holds more than one
//! chunk, one delimiter and one part header; a body that ends before its closing delimiter is an error, so that a cut
//! connection is never taken for the end of an instance. Line ends are CR LF only (RFC 2046 §5.1.1).

use bytes::{Bytes, BytesMut};
use memchr::memmem;

use super::part_header::PartHeader;

/// A boundary has at most this many characters (RFC 2046 §5.1.1).
pub const BOUNDARY_CHARACTERS_MAX: usize = 70;
/// What comes before the first delimiter is thrown away, up to this many bytes.
pub const PREAMBLE_BYTES_MAX: usize = 64 * 1024;
/// White space after a delimiter, before its line ends, at most (bytes).
const PADDING_BYTES_MAX: usize = 1024;

/// Bounds; going past one ends the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MultipartLimits {
    /// Bytes of one part's header.
    pub part_header_bytes: usize,
    /// Parts of one body.
    pub parts: usize,
}

impl Default for MultipartLimits {
    fn default() -> Self {
        Self { part_header_bytes: 16 * 1024, parts: 10_000 }
    }
}

/// Why a body cannot be read further.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MultipartError {
    /// The boundary is not one.
    #[error("the boundary must have 1 to {BOUNDARY_CHARACTERS_MAX} characters of those that RFC 2046 allows")]
    Boundary,
    /// A part's header is none.
    #[error("the header of a part cannot be read: {0}")]
    Header(&'static str),
    /// A part's header does not end.
    #[error("the header of a part is longer than {0} bytes")]
    HeaderTooLong(usize),
    /// The body has more parts than allowed.
    #[error("more than {0} parts in one request: send them in several")]
    TooManyParts(usize),
    /// No delimiter came where one must be.
    #[error("the first delimiter did not come within {PREAMBLE_BYTES_MAX} bytes")]
    NoFirstDelimiter,
    /// A delimiter is followed by something else than a line end.
    #[error("a delimiter is followed by something else than CR LF")]
    Delimiter,
    /// The body ended before its closing delimiter.
    #[error("the body ends before its closing delimiter: it is not whole")]
    Truncated,
}

/// What the reader found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A part begins.
    PartBegins(PartHeader),
    /// The next bytes of the part.
    Data(Bytes),
    /// The part ended with a delimiter: it is whole.
    PartEnds,
    /// The closing delimiter came; what follows is thrown away.
    End,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Preamble { seen: usize },
    AfterDelimiter { in_part: bool },
    Header,
    Data,
    End,
    Failed,
}

/// The reader.
#[derive(Debug)]
pub struct MultipartReader {
    buffer: BytesMut,
    delimiter: memmem::Finder<'static>,
    state: State,
    parts: usize,
    limits: MultipartLimits,
}

impl MultipartReader {
    /// A reader for bodies with this boundary, as `Content-Type` gave it (unquoted).
    ///
    /// # Errors
    /// [`MultipartError::Boundary`].
    pub fn new(boundary: &str, limits: MultipartLimits) -> Result<Self, MultipartError> {
        if !is_boundary(boundary) {
            return Err(MultipartError::Boundary);
        }
        let delimiter = format!("\r\n--{boundary}");
        Ok(Self {
            // A body may begin with its first delimiter: the line end before it is supplied.
            buffer: BytesMut::from(&b"\r\n"[..]),
            delimiter: memmem::Finder::new(&delimiter).into_owned(),
            state: State::Preamble { seen: 0 },
            parts: 0,
            limits,
        })
    }

    /// Hands over the next bytes of the body. Take all events before the next call, and the buffer stays small.
    pub fn push(&mut self, chunk: &[u8]) {
        if !matches!(self.state, State::End | State::Failed) {
            self.buffer.extend_from_slice(chunk);
        }
    }

    /// The next event; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`MultipartError`]; the reader gives nothing more afterwards.
    pub fn next_event(&mut self) -> Result<Option<Event>, MultipartError> {
        loop {
            let step = match self.state {
                State::Preamble { seen } => self.skip_preamble(seen),
                State::AfterDelimiter { in_part } => self.read_delimiter_end(in_part),
                State::Header => self.read_header(),
                State::Data => Ok(self.read_data()),
                State::End | State::Failed => return Ok(None),
            };
            match step {
                Ok(Step::Event(event)) => return Ok(Some(event)),
                Ok(Step::Again) => {}
                Ok(Step::NeedMore) => return Ok(None),
                Err(error) => {
                    self.state = State::Failed;
                    return Err(error);
                }
            }
        }
    }

    /// Says whether the body may end here.
    ///
    /// # Errors
    /// [`MultipartError::Truncated`] when the closing delimiter has not come.
    pub fn finish(&self) -> Result<(), MultipartError> {
        if self.state == State::End { Ok(()) } else { Err(MultipartError::Truncated) }
    }

    fn skip_preamble(&mut self, seen: usize) -> Result<Step, MultipartError> {
        if let Some(at) = self.delimiter.find(&self.buffer) {
            self.consume(at + self.delimiter.needle().len());
            self.state = State::AfterDelimiter { in_part: false };
            return Ok(Step::Again);
        }
        let skipped = self.consume(self.safe_length()).len();
        let seen = seen + skipped;
        if seen > PREAMBLE_BYTES_MAX {
            return Err(MultipartError::NoFirstDelimiter);
        }
        self.state = State::Preamble { seen };
        Ok(Step::NeedMore)
    }

    /// After `CR LF -- boundary`: `--` closes the body, white space and CR LF begin a part. The part before is whole
    /// only once that was seen: bytes that merely look like a delimiter must not end an instance early.
    fn read_delimiter_end(&mut self, in_part: bool) -> Result<Step, MultipartError> {
        let Some(end) = self.delimiter_end()? else { return Ok(Step::NeedMore) };
        if in_part {
            self.state = State::AfterDelimiter { in_part: false };
            return Ok(Step::Event(Event::PartEnds));
        }
        let DelimiterEnd::Part { padding } = end else {
            self.state = State::End;
            self.buffer = BytesMut::new();
            return Ok(Step::Event(Event::End));
        };
        if self.parts == self.limits.parts {
            return Err(MultipartError::TooManyParts(self.limits.parts));
        }
        self.parts += 1;
        // The line end stays: an empty header is that line end and the next one.
        self.consume(padding);
        self.state = State::Header;
        Ok(Step::Again)
    }

    fn delimiter_end(&self) -> Result<Option<DelimiterEnd>, MultipartError> {
        if self.buffer.starts_with(b"--") {
            return Ok(Some(DelimiterEnd::Closing));
        }
        let padding = self.buffer.iter().take_while(|&&byte| byte == b' ' || byte == b'\t').count();
        if padding > PADDING_BYTES_MAX {
            return Err(MultipartError::Delimiter);
        }
        match (self.buffer.get(padding), self.buffer.get(padding + 1)) {
            (Some(b'\r'), Some(b'\n')) => Ok(Some(DelimiterEnd::Part { padding })),
            (None, _) | (Some(b'\r'), None) => Ok(None),
            (Some(b'-'), None) if padding == 0 => Ok(None),
            _ => Err(MultipartError::Delimiter),
        }
    }

    fn read_header(&mut self) -> Result<Step, MultipartError> {
        let limit = self.limits.part_header_bytes;
        let window = self.buffer.get(..limit.saturating_add(4)).unwrap_or(&self.buffer);
        let Some(end) = memmem::find(window, b"\r\n\r\n") else {
            let too_long = self.buffer.len() >= limit.saturating_add(4);
            return if too_long { Err(MultipartError::HeaderTooLong(limit)) } else { Ok(Step::NeedMore) };
        };
        let block = self.consume(end);
        self.consume(b"\r\n\r\n".len());
        let header = PartHeader::parse(&block)?;
        self.state = State::Data;
        Ok(Step::Event(Event::PartBegins(header)))
    }

    fn read_data(&mut self) -> Step {
        if let Some(at) = self.delimiter.find(&self.buffer) {
            let data = self.consume(at);
            self.consume(self.delimiter.needle().len());
            self.state = State::AfterDelimiter { in_part: true };
            return if data.is_empty() { Step::Again } else { Step::Event(Event::Data(data)) };
        }
        let data = self.consume(self.safe_length());
        if data.is_empty() { Step::NeedMore } else { Step::Event(Event::Data(data)) }
    }

    /// Bytes of the buffer that cannot be the beginning of a delimiter.
    fn safe_length(&self) -> usize {
        let needle = self.delimiter.needle();
        let from = self.buffer.len().saturating_sub(needle.len() - 1);
        let tail = self.buffer.get(from..).unwrap_or_default();
        let held = memchr::memchr_iter(b'\r', tail).find(|&at| tail.get(at..).is_some_and(|t| needle.starts_with(t)));
        held.map_or(self.buffer.len(), |at| from + at)
    }

    fn consume(&mut self, length: usize) -> Bytes {
        self.buffer.split_to(length.min(self.buffer.len())).freeze()
    }
}

enum DelimiterEnd {
    Closing,
    Part { padding: usize },
}

enum Step {
    Event(Event),
    Again,
    NeedMore,
}

/// RFC 2046 §5.1.1: `bcharsnospace`, and spaces inside.
fn is_boundary(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    (1..=BOUNDARY_CHARACTERS_MAX).contains(&text.len()) && !text.ends_with(' ') && text.bytes().all(allowed)
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
