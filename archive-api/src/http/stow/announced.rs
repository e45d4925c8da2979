//! Which instance a part says it is: the meta group of its file, read from its first bytes.
//!
//! Only for the answer: a refused part is listed under the UIDs that its sender knows it by. Nothing else hangs on it,
//! so whatever cannot be read is simply not known.

use bytes::Bytes;

/// Bytes of a file that are looked at.
pub const HEAD_BYTES: usize = 4096;

/// Media Storage SOP Class and Instance UID (PS3.10 §7.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Announced {
    /// (0002,0002).
    pub sop_class: String,
    /// (0002,0003).
    pub sop: String,
}

/// The first bytes of a part, gathered.
#[derive(Debug, Default)]
pub struct Head(Vec<u8>);

impl Head {
    /// Takes what is still wanted.
    pub fn take(&mut self, bytes: &Bytes) {
        let wanted = HEAD_BYTES.saturating_sub(self.0.len()).min(bytes.len());
        self.0.extend_from_slice(bytes.get(..wanted).unwrap_or_default());
    }

    /// What the meta group says, where there is one.
    #[must_use]
    pub fn announced(&self) -> Option<Announced> {
        let mut rest = self.0.get(128..)?.strip_prefix(b"DICM")?;
        let (mut sop_class, mut sop) = (None, None);
        while let Some((element, value, after)) = next_element(rest) {
            match element {
                0x0002 => sop_class = uid(value),
                0x0003 => sop = uid(value),
                _ => {}
            }
            rest = after;
        }
        Some(Announced { sop_class: sop_class?, sop: sop? })
    }
}

/// Element number, value and what follows, of an element of group 0002 in Explicit VR Little Endian (PS3.5 §7.1.2).
fn next_element(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (&[g0, g1, e0, e1, v0, v1], rest) = bytes.split_first_chunk::<6>()?;
    if u16::from_le_bytes([g0, g1]) != 0x0002 {
        return None;
    }
    let (length, rest) = if matches!(&[v0, v1], b"OB" | b"UN" | b"OW" | b"SQ" | b"UT" | b"UR" | b"UC") {
        let (&[_, _, l0, l1, l2, l3], rest) = rest.split_first_chunk::<6>()?;
        (u32::from_le_bytes([l0, l1, l2, l3]), rest)
    } else {
        let (&[l0, l1], rest) = rest.split_first_chunk::<2>()?;
        (u32::from(u16::from_le_bytes([l0, l1])), rest)
    };
    let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((u16::from_le_bytes([e0, e1]), value, rest))
}

/// A UID as an answer may show it: digits and dots.
fn uid(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?.trim_matches(['\0', ' ']);
    let plain = !text.is_empty() && text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    plain.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file() -> Vec<u8> {
        let mut file = vec![0; 128];
        file.extend_from_slice(b"DICM\x02\0\0\0UL\x04\0\x20\0\0\0\x02\0\x01\0OB\0\0\x02\0\0\0\0\x01");
        file.extend_from_slice(b"\x02\0\x02\0UI\x04\x001.2\0\x02\0\x03\0UI\x06\x001.2.3\0\x08\0\x05\0CS");
        file
    }

    fn announced(bytes: &[u8]) -> Option<Announced> {
        let mut head = Head::default();
        for chunk in bytes.chunks(7) {
            head.take(&Bytes::copy_from_slice(chunk));
        }
        head.announced()
    }

    #[test]
    fn the_meta_group_names_the_instance() {
        assert_eq!(announced(&file()), Some(Announced { sop_class: "1.2".into(), sop: "1.2.3".into() }));
    }

    #[test]
    fn what_is_no_file_names_nothing() {
        assert_eq!(announced(b"hello"), None);
        let cut = file().len() - 16;
        assert_eq!(announced(&file()[..cut]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), marked in any::<bool>()) {
            if marked && bytes.len() > 140 {
                bytes[128..136].copy_from_slice(b"DICM\x02\0\x02\0");
            }
            let _ = announced(&bytes);
        }
    }
}
