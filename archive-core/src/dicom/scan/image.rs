//! The attributes that say how long a native frame is (PS3.3 §C.7.6.3, PS3.5 §8.1.1).
//!
//! They come before Pixel Data wherever tags are in order. One that has another value representation than the standard
//! says, or no single number in it, counts as not known: then frames cannot be told apart, and nothing is guessed.

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

use super::element::{ElementHeader, number_16};

/// Number of Frames (0028,0008).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum FrameCount {
    /// Absent: one frame.
    #[default]
    Single,
    /// As many as it says, at least 1.
    Number(u64),
    /// There, but no number above zero.
    Unreadable,
}

impl FrameCount {
    /// The number, where it is known.
    pub(super) const fn known(self) -> Option<u64> {
        match self {
            Self::Single => Some(1),
            Self::Number(count) => Some(count),
            Self::Unreadable => None,
        }
    }
}

/// Samples per Pixel (0028,0002).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Samples {
    /// Absent, as in objects from before DICOM: one.
    #[default]
    Single,
    Number(u16),
    Unreadable,
}

/// What describes native pixels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct ImageAttributes {
    pub frames: FrameCount,
    rows: Option<u16>,
    columns: Option<u16>,
    samples: Samples,
    bits_allocated: Option<u16>,
    is_422: bool,
}

impl ImageAttributes {
    /// Whether this attribute of the data set is needed.
    pub(super) const fn wants(tag: Tag) -> bool {
        matches!(
            tag,
            tags::SAMPLES_PER_PIXEL
                | tags::PHOTOMETRIC_INTERPRETATION
                | tags::NUMBER_OF_FRAMES
                | tags::ROWS
                | tags::COLUMNS
                | tags::BITS_ALLOCATED
        )
    }

    /// Takes the value of such an attribute.
    pub(super) fn note(&mut self, header: &ElementHeader, value: &[u8]) {
        match header.tag {
            tags::SAMPLES_PER_PIXEL => {
                self.samples = unsigned(header, value).map_or(Samples::Unreadable, Samples::Number);
            }
            tags::ROWS => self.rows = unsigned(header, value),
            tags::COLUMNS => self.columns = unsigned(header, value),
            tags::BITS_ALLOCATED => self.bits_allocated = unsigned(header, value),
            tags::NUMBER_OF_FRAMES => self.frames = frame_count(header, value),
            tags::PHOTOMETRIC_INTERPRETATION => {
                self.is_422 = matches!(value.trim_ascii(), b"YBR_FULL_422" | b"YBR_PARTIAL_422");
            }
            _ => {}
        }
    }

    /// Bytes of a native frame when `frame_count` of them are to be in `value_length` bytes; `None` where frames do not
    /// begin on byte borders or anything is missing.
    ///
    /// Native 4:2:2 has two samples a pixel (PS3.3 §C.7.6.3.1.2). Decompressing senders are known to leave the name
    /// behind on three: the length of the value tells.
    pub(super) fn native_frame_bytes(&self, frame_count: u64, value_length: u64) -> Option<u64> {
        let samples = match self.samples {
            Samples::Single => 1,
            Samples::Number(samples) => u64::from(samples),
            Samples::Unreadable => return None,
        };
        let whole = self.frame_bytes(samples)?;
        if !self.is_422 || samples != 3 {
            return Some(whole);
        }
        let subsampled = self.frame_bytes(2)?;
        let is_value = |frame: u64| {
            let all = frame.checked_mul(frame_count);
            all.is_some_and(|all| all == value_length || all.checked_add(1) == Some(value_length))
        };
        Some(if is_value(whole) && !is_value(subsampled) { whole } else { subsampled })
    }

    fn frame_bytes(&self, samples: u64) -> Option<u64> {
        let pixels = u64::from(self.rows?).checked_mul(u64::from(self.columns?))?;
        let bits = pixels.checked_mul(samples)?.checked_mul(u64::from(self.bits_allocated?))?;
        (bits > 0 && bits % 8 == 0).then_some(bits / 8)
    }
}

fn unsigned(header: &ElementHeader, value: &[u8]) -> Option<u16> {
    let bytes: [u8; 2] = value.try_into().ok()?;
    (header.vr == VR::US).then(|| number_16(bytes, header.encoding))
}

fn frame_count(header: &ElementHeader, value: &[u8]) -> FrameCount {
    let text = std::str::from_utf8(value).ok().map(|text| text.trim_matches([' ', '\0']));
    match text.filter(|_| header.vr == VR::IS) {
        Some("") => FrameCount::Single,
        Some(text) => text.parse().ok().filter(|&count| count > 0).map_or(FrameCount::Unreadable, FrameCount::Number),
        None => FrameCount::Unreadable,
    }
}
