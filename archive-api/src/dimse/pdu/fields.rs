//! Reading and writing the big-endian fields and length-prefixed items that PDUs are made of.

use bytes::BufMut as _;

/// What is wrong inside a PDU; static words only, so that nothing a peer sent enters a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct MalformedError(pub &'static str);

/// A value does not fit into the field that the standard has for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{what} has {length} bytes and does not fit its length field")]
pub struct EncodeError {
    /// Which value.
    pub what: &'static str,
    /// How long it is.
    pub length: usize,
}

/// Bytes that are consumed from the front; never reads past their end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

/// One item: its type and its value (PS3.8 §9.3.2: type, reserved byte, 16-bit length, value).
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a> {
    pub(super) kind: u8,
    pub(super) value: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) const fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], MalformedError> {
        let (head, rest) =
            self.rest.split_at_checked(count).ok_or(MalformedError("a field or item ends past what holds it"))?;
        self.rest = rest;
        Ok(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], MalformedError> {
        let mut array = [0_u8; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn byte(&mut self) -> Result<u8, MalformedError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, MalformedError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, MalformedError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A value behind its 16-bit length.
    pub(super) fn counted(&mut self) -> Result<&'a [u8], MalformedError> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    /// The next item, or `None` at the end.
    pub(super) fn item(&mut self) -> Result<Option<Item<'a>>, MalformedError> {
        if self.is_empty() {
            return Ok(None);
        }
        let [kind, _reserved] = self.array()?;
        Ok(Some(Item { kind, value: self.counted()? }))
    }
}

/// Bytes as text, one character a byte, without the NUL and space that UIDs and names are padded with.
pub(super) fn text(bytes: &[u8]) -> String {
    let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
    text.trim_matches(|c| c == '\0' || c == ' ').to_owned()
}

/// The inverse of [`text`]: one byte a character; a character beyond U+00FF, which no peer can have sent, becomes `?`.
pub(super) fn text_bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
}

/// Appends a value behind its 16-bit length.
pub(super) fn put_counted(into: &mut Vec<u8>, what: &'static str, value: &[u8]) -> Result<(), EncodeError> {
    let length = u16::try_from(value.len()).map_err(|_| EncodeError { what, length: value.len() })?;
    into.put_u16(length);
    into.put_slice(value);
    Ok(())
}

/// Appends an item.
pub(super) fn put_item(into: &mut Vec<u8>, kind: u8, what: &'static str, value: &[u8]) -> Result<(), EncodeError> {
    into.put_slice(&[kind, 0]);
    put_counted(into, what, value)
}

/// Appends a whole PDU.
pub(super) fn put_pdu(into: &mut Vec<u8>, kind: u8, body: &[u8]) -> Result<(), EncodeError> {
    let length = u32::try_from(body.len()).map_err(|_| EncodeError { what: "a PDU", length: body.len() })?;
    into.put_slice(&[kind, 0]);
    into.put_u32(length);
    into.put_slice(body);
    Ok(())
}
