//! Data sets in Explicit VR Little Endian (PS3.5 §7.1.2), written element by element in the order of their tags.

/// A tag: group, element.
pub type Tag = (u16, u16);

/// A data set that grows.
#[derive(Clone, Default, Debug)]
pub struct DataSet {
    bytes: Vec<u8>,
}

impl DataSet {
    /// The bytes so far.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Bytes so far.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// A text of at most 65,534 bytes; UIDs are padded with NUL, everything else with a space.
    pub fn text(&mut self, tag: Tag, vr: &[u8; 2], value: &str) -> &mut Self {
        let mut value = value.as_bytes().to_vec();
        if value.len() % 2 == 1 {
            value.push(if vr == b"UI" { 0 } else { b' ' });
        }
        self.head(tag, vr, value.len());
        self.bytes.extend(value);
        self
    }

    /// Unsigned 16-bit numbers.
    pub fn shorts(&mut self, tag: Tag, values: &[u16]) -> &mut Self {
        self.head(tag, b"US", values.len() * 2);
        values.iter().for_each(|value| self.bytes.extend(value.to_le_bytes()));
        self
    }

    /// Tags as values.
    pub fn tags(&mut self, tag: Tag, values: &[Tag]) -> &mut Self {
        self.head(tag, b"AT", values.len() * 4);
        for (group, element) in values {
            self.bytes.extend(group.to_le_bytes());
            self.bytes.extend(element.to_le_bytes());
        }
        self
    }

    /// Bytes as they are, of even length.
    pub fn value(&mut self, tag: Tag, vr: &[u8; 2], value: &[u8]) -> &mut Self {
        self.head(tag, vr, value.len());
        self.bytes.extend(value);
        self
    }

    /// A sequence of items, all of defined length.
    pub fn sequence(&mut self, tag: Tag, items: Vec<Self>) -> &mut Self {
        let length = items.iter().map(|item| item.len() + 8).sum();
        self.head(tag, b"SQ", length);
        for item in items {
            self.bytes.extend([0xFE, 0xFF, 0x00, 0xE0]);
            self.bytes.extend(length_of(item.len()));
            self.bytes.extend(item.bytes);
        }
        self
    }

    /// The head of an element whose value of so many bytes follows.
    pub fn head(&mut self, (group, element): Tag, vr: &[u8; 2], length: usize) {
        self.head_of_any_length((group, element), vr, length_of(length));
    }

    /// The head of an element of undefined length.
    pub fn open_head(&mut self, tag: Tag, vr: &[u8; 2]) {
        self.head_of_any_length(tag, vr, [0xFF; 4]);
    }

    fn head_of_any_length(&mut self, (group, element): Tag, vr: &[u8; 2], length: [u8; 4]) {
        self.bytes.extend(group.to_le_bytes());
        self.bytes.extend(element.to_le_bytes());
        self.bytes.extend(vr);
        if matches!(vr, b"OB" | b"OV" | b"OW" | b"SQ" | b"UN" | b"UT") {
            self.bytes.extend([0, 0]);
            self.bytes.extend(length);
        } else {
            self.bytes.extend(&length[..2]);
        }
    }
}

/// Lengths of this crate's own making; one over 4 GiB would be a mistake in it, and readers would find it at once.
fn length_of(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}
