//! Instances made from a seed: small CT-like images whose pixels do not compress. The same seed gives the same bytes, so
//! a run that failed can be repeated.

use archive_core::entropy::{Entropy as _, SystemEntropy};

/// SOP class of the images: CT Image Storage.
pub const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
/// Their transfer syntax: Explicit VR Little Endian.
pub const EXPLICIT: &str = "1.2.840.10008.1.2.1";

/// The data set of a Part 10 file whose file meta group begins with its length (PS3.10 §7.1).
///
/// # Panics
/// When it is no such file.
#[must_use]
pub fn data_set(file: &[u8]) -> &[u8] {
    assert_eq!(file.get(128..140), Some(b"DICM\x02\0\0\0UL\x04\0".as_slice()), "no length of the file meta group");
    let length = u32::from_le_bytes(*file[140..].first_chunk().unwrap());
    &file[144 + usize::try_from(length).unwrap()..]
}

/// The SOP Instance UID of a generated file.
///
/// # Panics
/// When it was not generated here.
#[must_use]
pub fn sop(file: &[u8]) -> &str {
    // The second element of the data set; before it stands the SOP class alone.
    let after_class = &data_set(file)[8 + CT.len().next_multiple_of(2)..];
    assert_eq!(after_class[..6], *b"\x08\0\x18\0UI");
    let length = usize::from(u16::from_le_bytes(*after_class[6..].first_chunk().unwrap()));
    std::str::from_utf8(&after_class[8..8 + length]).unwrap().trim_end_matches('\0')
}

/// Numbers that follow from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// From `VELLUM_SEED`, or from a seed of the system's; says which, so that the run can be repeated.
    ///
    /// # Panics
    /// When the system has no randomness.
    #[must_use]
    pub fn announced(test: &str) -> Self {
        let given = std::env::var("VELLUM_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let mut bytes = [0_u8; 8];
            SystemEntropy.fill(&mut bytes).expect("randomness");
            u64::from_le_bytes(bytes)
        });
        eprintln!("{test}: VELLUM_SEED={seed}");
        Self(seed)
    }

    /// From a seed.
    #[must_use]
    pub const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below a bound, which is at least 1.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }
}

/// Makes studies; no two of its instances are alike.
#[derive(Debug)]
pub struct Generator {
    numbers: Numbers,
    root: u64,
    studies: u64,
}

impl Generator {
    /// A generator whose UIDs and pixels follow from these numbers.
    #[must_use]
    pub const fn new(mut numbers: Numbers) -> Self {
        let root = numbers.below(1_000_000_000);
        Self { numbers, root, studies: 0 }
    }

    /// The numbers, for further decisions of the same run.
    pub const fn numbers(&mut self) -> &mut Numbers {
        &mut self.numbers
    }

    /// The UID of a study that nobody used yet.
    pub fn study(&mut self) -> String {
        self.studies += 1;
        format!("1.2.826.0.1.3680043.10.999.{}.{}", self.root, self.studies)
    }

    /// Part 10 files of one study in two series, each with so many bytes of pixels (rounded up to whole rows).
    pub fn files(&mut self, study: &str, first: usize, count: usize, pixel_bytes: usize) -> Vec<Vec<u8>> {
        (first..first + count).map(|number| self.file(study, number, pixel_bytes)).collect()
    }

    fn file(&mut self, study: &str, number: usize, pixel_bytes: usize) -> Vec<u8> {
        const COLUMNS: usize = 64;
        let rows = pixel_bytes.div_ceil(COLUMNS * 2).max(1);
        let pixels: Vec<u8> = (0..rows * COLUMNS / 4).flat_map(|_| self.numbers.draw().to_le_bytes()).collect();
        let series = format!("{study}.{}", number % 2 + 1);
        let sop = format!("{series}.{}", number + 1);
        let mut file = prefix(CT, &sop, EXPLICIT);
        text(&mut file, 0x0008, 0x0016, b"UI", CT);
        text(&mut file, 0x0008, 0x0018, b"UI", &sop);
        text(&mut file, 0x0008, 0x0020, b"DA", "20260401");
        text(&mut file, 0x0008, 0x0060, b"CS", "CT");
        text(&mut file, 0x0010, 0x0010, b"PN", "TEST^CRASH");
        text(&mut file, 0x0010, 0x0020, b"LO", &format!("CRASH-{}", self.studies % 7));
        text(&mut file, 0x0020, 0x000D, b"UI", study);
        text(&mut file, 0x0020, 0x000E, b"UI", &series);
        text(&mut file, 0x0020, 0x0013, b"IS", &number.to_string());
        short(&mut file, 0x0028, 0x0002, 1);
        text(&mut file, 0x0028, 0x0004, b"CS", "MONOCHROME2");
        short(&mut file, 0x0028, 0x0010, rows);
        short(&mut file, 0x0028, 0x0011, COLUMNS);
        short(&mut file, 0x0028, 0x0100, 16);
        short(&mut file, 0x0028, 0x0101, 16);
        short(&mut file, 0x0028, 0x0102, 15);
        short(&mut file, 0x0028, 0x0103, 0);
        element(&mut file, 0x7FE0, 0x0010, b"OW", &pixels);
        file
    }
}

pub(crate) fn short(into: &mut Vec<u8>, group: u16, number: u16, value: usize) {
    element(into, group, number, b"US", &u16::try_from(value).unwrap().to_le_bytes());
}

pub(crate) fn text(into: &mut Vec<u8>, group: u16, number: u16, vr: &[u8; 2], value: &str) {
    let mut bytes = value.as_bytes().to_vec();
    if bytes.len() % 2 == 1 {
        bytes.push(if vr == b"UI" { 0 } else { b' ' });
    }
    element(into, group, number, vr, &bytes);
}

/// A file meta group with its length (PS3.10 §7.1), preamble and prefix before it.
pub(crate) fn prefix(class: &str, sop: &str, syntax: &str) -> Vec<u8> {
    let mut meta = Vec::new();
    element(&mut meta, 0x0002, 0x0001, b"OB", &[0, 1]);
    text(&mut meta, 0x0002, 0x0002, b"UI", class);
    text(&mut meta, 0x0002, 0x0003, b"UI", sop);
    text(&mut meta, 0x0002, 0x0010, b"UI", syntax);
    text(&mut meta, 0x0002, 0x0012, b"UI", "1.2.826.0.1.3680043.10.999.1");
    let mut prefix = vec![0; 128];
    prefix.extend_from_slice(b"DICM");
    element(&mut prefix, 0x0002, 0x0000, b"UL", &u32::try_from(meta.len()).unwrap().to_le_bytes());
    prefix.extend(meta);
    prefix
}

/// An element in Explicit VR Little Endian (PS3.5 §7.1.2); `OB`, `OV` and `OW` have the long form.
pub(crate) fn element(into: &mut Vec<u8>, group: u16, number: u16, vr: &[u8; 2], value: &[u8]) {
    into.extend(group.to_le_bytes());
    into.extend(number.to_le_bytes());
    into.extend(vr);
    if matches!(vr, b"OB" | b"OV" | b"OW") {
        into.extend([0, 0]);
        into.extend(u32::try_from(value.len()).unwrap().to_le_bytes());
    } else {
        into.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
    }
    into.extend(value);
}
