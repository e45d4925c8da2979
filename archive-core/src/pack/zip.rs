//! The few ZIP structures that a pack has (PKWARE APPNOTE.TXT 6.3.10, §4.3), written exactly one way.
//!
//! No data descriptors, no encryption, no comment, no extra field but Zip64's, and that one if and only if a field
//! overflows: so sizes are known when a local header is written, and the members can be walked from the first byte.

use super::codec::Method;

/// What a 32-bit field says when its value lies in the Zip64 extra field.
const OVERFLOW_32: u32 = u32::MAX;
/// What a 16-bit field says when its value lies in the Zip64 end record.
const OVERFLOW_16: u16 = u16::MAX;
/// More entries than this need a Zip64 end record.
const ENTRIES_MAX: u64 = 65_534;
/// Bit 11: names are UTF-8.
const FLAGS: u16 = 1 << 11;
/// 1980-01-01, the first day that ZIP knows; the time is midnight.
const DATE: u16 = 0x0021;
/// Made by: specification 6.3 on Unix, so that the mode below is understood.
const MADE_BY: u16 = 0x033F;
/// A regular file, readable by all, writable by its owner.
const MODE: u32 = 0o100_644 << 16;

const LOCAL_SIGNATURE: u32 = 0x0403_4B50;
const CENTRAL_SIGNATURE: u32 = 0x0201_4B50;
const END_SIGNATURE: u32 = 0x0605_4B50;
const END64_SIGNATURE: u32 = 0x0606_4B50;
const END64_LOCATOR_SIGNATURE: u32 = 0x0706_4B50;
/// Bytes of a local header before the name.
pub(crate) const LOCAL_HEADER_BYTES: usize = 30;
/// Bytes of the end record, which has no comment.
pub(crate) const END_BYTES: u64 = 22;

/// One member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) method: Method,
    /// CRC-32 over the original bytes.
    pub(crate) crc32: u32,
    pub(crate) stored: u64,
    pub(crate) original: u64,
    /// Where its local header begins.
    pub(crate) header_offset: u64,
}

/// A value as its 32-bit field says it.
fn field_32(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(OVERFLOW_32)
}

/// Whether a value needs Zip64: all ones is the mark of overflow and can be no value.
fn overflows(value: u64) -> bool {
    field_32(value) == OVERFLOW_32
}

fn put_16(into: &mut Vec<u8>, value: u16) {
    into.extend_from_slice(&value.to_le_bytes());
}

fn put_32(into: &mut Vec<u8>, value: u32) {
    into.extend_from_slice(&value.to_le_bytes());
}

fn put_64(into: &mut Vec<u8>, value: u64) {
    into.extend_from_slice(&value.to_le_bytes());
}

impl Entry {
    /// 63 where zstd must be understood, 45 where Zip64 must, 20 otherwise.
    fn version_needed(&self, zip64: bool) -> u16 {
        match (self.method, zip64) {
            (Method::Zstd, _) => 63,
            (Method::Stored, true) => 45,
            (Method::Stored, false) => 20,
        }
    }

    fn put_common(&self, into: &mut Vec<u8>, version_needed: u16, stored: u32, original: u32, extra: usize) {
        put_16(into, version_needed);
        put_16(into, FLAGS);
        put_16(into, self.method.into());
        put_16(into, 0);
        put_16(into, DATE);
        put_32(into, self.crc32);
        put_32(into, stored);
        put_32(into, original);
        put_16(into, u16::try_from(self.name.len()).unwrap_or(u16::MAX));
        put_16(into, u16::try_from(extra).unwrap_or(u16::MAX));
    }

    /// The local header. Its length depends on nothing but the name and on whether a size overflows.
    pub(crate) fn local_header(&self) -> Vec<u8> {
        let zip64 = overflows(self.original) || overflows(self.stored);
        let mut extra = Vec::new();
        if zip64 {
            put_16(&mut extra, 1);
            put_16(&mut extra, 16);
            put_64(&mut extra, self.original);
            put_64(&mut extra, self.stored);
        }
        let shown = |value: u64| if zip64 { OVERFLOW_32 } else { field_32(value) };
        let mut header = Vec::with_capacity(LOCAL_HEADER_BYTES + self.name.len() + extra.len());
        put_32(&mut header, LOCAL_SIGNATURE);
        let version = self.version_needed(zip64);
        self.put_common(&mut header, version, shown(self.stored), shown(self.original), extra.len());
        header.extend_from_slice(self.name.as_bytes());
        header.extend_from_slice(&extra);
        header
    }

    /// The entry of the central directory.
    pub(crate) fn central_header(&self) -> Vec<u8> {
        let mut values = Vec::new();
        for value in [self.original, self.stored, self.header_offset] {
            if overflows(value) {
                put_64(&mut values, value);
            }
        }
        let mut extra = Vec::new();
        if !values.is_empty() {
            put_16(&mut extra, 1);
            put_16(&mut extra, u16::try_from(values.len()).unwrap_or(u16::MAX));
            extra.append(&mut values);
        }
        let mut header = Vec::with_capacity(46 + self.name.len() + extra.len());
        put_32(&mut header, CENTRAL_SIGNATURE);
        put_16(&mut header, MADE_BY);
        let version = self.version_needed(!extra.is_empty());
        self.put_common(&mut header, version, field_32(self.stored), field_32(self.original), extra.len());
        put_16(&mut header, 0);
        put_16(&mut header, 0);
        put_16(&mut header, 0);
        put_32(&mut header, MODE);
        put_32(&mut header, field_32(self.header_offset));
        header.extend_from_slice(self.name.as_bytes());
        header.extend_from_slice(&extra);
        header
    }
}

/// What follows the central directory: the end record, before it Zip64's where a field of it overflows.
pub(crate) fn end_records(entries: u64, directory_offset: u64, directory_length: u64) -> Vec<u8> {
    let mut end = Vec::with_capacity(98);
    if entries > ENTRIES_MAX || overflows(directory_offset) || overflows(directory_length) {
        put_32(&mut end, END64_SIGNATURE);
        put_64(&mut end, 44);
        put_16(&mut end, MADE_BY);
        put_16(&mut end, 45);
        put_32(&mut end, 0);
        put_32(&mut end, 0);
        put_64(&mut end, entries);
        put_64(&mut end, entries);
        put_64(&mut end, directory_length);
        put_64(&mut end, directory_offset);
        put_32(&mut end, END64_LOCATOR_SIGNATURE);
        put_32(&mut end, 0);
        put_64(&mut end, directory_offset + directory_length);
        put_32(&mut end, 1);
    }
    let shown = if entries > ENTRIES_MAX { OVERFLOW_16 } else { u16::try_from(entries).unwrap_or(OVERFLOW_16) };
    put_32(&mut end, END_SIGNATURE);
    put_16(&mut end, 0);
    put_16(&mut end, 0);
    put_16(&mut end, shown);
    put_16(&mut end, shown);
    put_32(&mut end, field_32(directory_length));
    put_32(&mut end, field_32(directory_offset));
    put_16(&mut end, 0);
    end
}

/// Bytes at the end of a pack that hold the end records and before them an entry of a short name.
pub(crate) const DIRECTORY_TAIL_BYTES: u64 = 256;

/// The last entry of the central directory of a file that ends with these bytes; `None` unless it is written as here,
/// of a member that is stored and has this name.
pub(crate) fn last_entry(tail: &[u8], name: &str) -> Option<Entry> {
    let double = |bytes: &[u8], at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let before_end = |length: usize| tail.len().checked_sub(length);
    let plain_end = before_end(22).filter(|&at| double(tail, at) == Some(END_SIGNATURE))?;
    let wide_end = before_end(98).filter(|&at| double(tail, at) == Some(END64_SIGNATURE));
    let directory = tail.get(..wide_end.unwrap_or(plain_end))?;
    // The place of its local header may need Zip64's extra field; the sizes of a member that is looked for here do not.
    let short = 46 + name.len();
    [short, short + 12].into_iter().find_map(|length| {
        let bytes = directory.get(directory.len().checked_sub(length)?..)?;
        let header_offset = match double(bytes, 42)? {
            OVERFLOW_32 => u64::from_le_bytes(bytes.get(short + 4..short + 12)?.try_into().ok()?),
            offset => offset.into(),
        };
        let entry = Entry {
            name: name.to_owned(),
            method: Method::Stored,
            crc32: double(bytes, 16)?,
            stored: double(bytes, 20)?.into(),
            original: double(bytes, 24)?.into(),
            header_offset,
        };
        (entry.central_header() == bytes).then_some(entry)
    })
}

/// A local header as `inspect` finds it: name and extra field follow its 30 bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct FoundHeader {
    pub(crate) method: u16,
    pub(crate) stored: u32,
    pub(crate) original: u32,
    pub(crate) name_length: u16,
    pub(crate) extra_length: u16,
}

impl FoundHeader {
    /// Reads the first 30 bytes of a local header; `None` where the signature is another.
    pub(crate) fn parse(bytes: &[u8; LOCAL_HEADER_BYTES]) -> Option<Self> {
        let word = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let double = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        if double(0)? != LOCAL_SIGNATURE {
            return None;
        }
        Some(Self {
            method: word(8)?,
            stored: double(18)?,
            original: double(22)?,
            name_length: word(26)?,
            extra_length: word(28)?,
        })
    }

    /// Stored and original size, from the header or from its Zip64 extra field.
    pub(crate) fn sizes(&self, extra: &[u8]) -> (u64, u64) {
        let wide = |at: usize| -> Option<u64> { Some(u64::from_le_bytes(extra.get(at..at + 8)?.try_into().ok()?)) };
        let has_zip64 = self.stored == OVERFLOW_32 && self.original == OVERFLOW_32 && extra.starts_with(&[1, 0, 16, 0]);
        match (has_zip64, wide(4), wide(12)) {
            (true, Some(original), Some(stored)) => (stored, original),
            _ => (self.stored.into(), self.original.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(stored: u64, original: u64, header_offset: u64) -> Entry {
        Entry { name: "1.2.3.dcm".to_owned(), method: Method::Stored, crc32: 7, stored, original, header_offset }
    }

    #[test]
    fn zip64_is_there_if_and_only_if_a_field_overflows() {
        let limit = u64::from(u32::MAX);
        for (size, offset, local_extra, central_extra) in [
            (limit - 1, 0, 0, 0),
            (limit, 0, 20, 20),
            (limit + 1, limit, 20, 28),
            (9, limit, 0, 12),
            (9, limit - 1, 0, 0),
        ] {
            let entry = entry(size, size, offset);
            let (local, central) = (entry.local_header(), entry.central_header());
            assert_eq!(local.len(), 30 + 9 + local_extra, "{size} at {offset}");
            assert_eq!(central.len(), 46 + 9 + central_extra, "{size} at {offset}");
            assert_eq!(local[4], if local_extra > 0 { 45 } else { 20 });
            assert_eq!(central[6], if central_extra > 0 { 45 } else { 20 });
            let found = FoundHeader::parse(local[..30].try_into().unwrap()).unwrap();
            assert_eq!(found.sizes(&local[39..]), (size, size));
        }
        assert_eq!(end_records(65_534, 100, 100).len(), 22);
        assert_eq!(end_records(65_535, 100, 100).len(), 98);
        assert_eq!(end_records(1, limit, 100).len(), 98);
        assert_eq!(end_records(1, limit - 1, 100).len(), 22);
    }

    #[test]
    fn the_last_entry_is_found_by_the_end_of_the_file_and_no_other_is_taken_for_it() {
        let limit = u64::from(u32::MAX);
        for (offset, directory_offset) in [(77, 100), (77, limit), (limit - 1, limit + 9), (limit + 7, limit + 99)] {
            let (first, last) = (entry(3, 9, 0), Entry { name: "last".to_owned(), ..entry(5, 5, offset) });
            let directory = [first.central_header(), last.central_header()].concat();
            let end = end_records(2, directory_offset, directory.len() as u64);
            let file = [directory, end].concat();
            let tail = &file[file.len().saturating_sub(DIRECTORY_TAIL_BYTES as usize)..];
            assert_eq!(last_entry(tail, "last"), Some(last), "{offset}");
            assert_eq!(last_entry(tail, "first"), None);
            for at in 0..tail.len() {
                assert_eq!(last_entry(&tail[..at], "last"), None, "cut at {at}");
            }
        }
    }

    #[test]
    fn a_member_over_four_gib_has_its_sizes_in_the_extra_field() {
        let entry = Entry { method: Method::Zstd, ..entry(3 << 30, 5 << 30, 6 << 30) };
        let central = entry.central_header();
        assert_eq!(&central[20..24], &(3_u32 << 30).to_le_bytes(), "the stored size fits and stays in its field");
        assert_eq!(&central[24..28], &[0xFF; 4]);
        assert_eq!(&central[42..46], &[0xFF; 4]);
        let extra = &central[46 + 9..];
        assert_eq!(&extra[..4], &[1, 0, 16, 0]);
        assert_eq!(&extra[4..12], &(5_u64 << 30).to_le_bytes());
        assert_eq!(&extra[12..20], &(6_u64 << 30).to_le_bytes());
        assert_eq!(central[6], 63);
    }
}
