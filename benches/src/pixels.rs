//! Pixels that look to a compressor like those of a scanner: smooth anatomy under noise, air around it, and never twice
//! the same. CT of this kind comes to 2 to 3 : 1 under zstd.

use crate::numbers::Numbers;

/// Entries of the table of noise; a power of two.
const NOISE_ENTRIES: usize = 4096;
/// Bits of a drawn number that pick one entry.
const NOISE_BITS: u32 = 12;

/// Draws frames of 12-bit pixels in 16-bit words.
#[derive(Debug)]
pub struct Scanner {
    numbers: Numbers,
    noise: Vec<i16>,
}

impl Scanner {
    /// A scanner whose noise follows from these numbers, with this standard deviation (in units of a pixel).
    #[must_use]
    pub fn new(mut numbers: Numbers, deviation: f64) -> Self {
        let noise = (0..NOISE_ENTRIES).map(|_| gaussian(&mut numbers, deviation)).collect();
        Self { numbers, noise }
    }

    /// Appends one frame, little endian: an ellipse of tissue in air.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "all values lie within 12 bits")]
    pub fn frame(&mut self, rows: usize, columns: usize, into: &mut Vec<u8>) {
        into.reserve(rows * columns * 2);
        let (shift_x, shift_y) = (self.numbers.below(40) as i64, self.numbers.below(40) as i64);
        let (mut drawn, mut bits) = (0_u64, 0_u32);
        for row in 0..rows as i64 {
            let y = (row * 2 - rows as i64 + shift_y) * 1024 / rows as i64;
            for column in 0..columns as i64 {
                let x = (column * 2 - columns as i64 + shift_x) * 1024 / columns as i64;
                let inside = x * x / 9 + y * y / 6 < 110_000;
                if bits < NOISE_BITS {
                    (drawn, bits) = (self.numbers.draw(), u64::BITS);
                }
                let noise = self.noise[(drawn as usize) & (NOISE_ENTRIES - 1)];
                (drawn, bits) = (drawn >> NOISE_BITS, bits - NOISE_BITS);
                let tissue =
                    if inside { 1040 + (x * y / 8192) as i16 + ((x ^ y) as i16 & 64) + noise } else { noise / 8 };
                into.extend((tissue.clamp(0, 4095) as u16).to_le_bytes());
            }
        }
    }

    /// Appends bytes that nothing compresses, as the inside of a compressed frame.
    pub fn noise_bytes(&mut self, count: usize, into: &mut Vec<u8>) {
        into.reserve(count + 8);
        let end = into.len() + count;
        while into.len() < end {
            into.extend(self.numbers.draw().to_le_bytes());
        }
        into.truncate(end);
    }
}

/// The sum of twelve even numbers, which is near enough to Gauss.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a few units of a pixel")]
fn gaussian(numbers: &mut Numbers, deviation: f64) -> i16 {
    let sum: f64 = (0..12).map(|_| numbers.below(1 << 20) as f64 / f64::from(1 << 20)).sum();
    ((sum - 6.0) * deviation).round() as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ct_frame_compresses_as_a_real_one_does() {
        let mut scanner = Scanner::new(Numbers::of(7), crate::shapes::CT_NOISE);
        let mut frame = Vec::new();
        scanner.frame(512, 512, &mut frame);
        let stored = zstd::bulk::compress(&frame, 3).unwrap().len();
        let (tenfold, whole) = (frame.len() * 10 / stored, frame.len());
        assert!((20..=30).contains(&tenfold), "{whole} bytes become {stored}");
    }

    #[test]
    fn no_frame_comes_twice() {
        let mut scanner = Scanner::new(Numbers::of(7), crate::shapes::CT_NOISE);
        let (mut one, mut two) = (Vec::new(), Vec::new());
        scanner.frame(64, 64, &mut one);
        scanner.frame(64, 64, &mut two);
        assert_ne!(one, two);
    }
}
