//! Damage as data: an input is a list of edits of bytes that were good.

/// Applies the edits that an input lists, five bytes each: which file, where (16 bits, scaled to its length), what, a value.
/// Changes bytes, cuts ends off, zeroes and repeats runs, swaps two runs.
pub(crate) fn apply(files: &mut [Vec<u8>], edits: &[u8]) {
    for edit in edits.chunks_exact(5).take(64) {
        let &[file, high, low, what, value] = edit else { continue };
        let index = usize::from(file) % files.len().max(1);
        let Some(bytes) = files.get_mut(index).filter(|bytes| !bytes.is_empty()) else { continue };
        let at = usize::from(u16::from_be_bytes([high, low])) * bytes.len() / 65_536;
        let run = (usize::from(value) * usize::from(value)).clamp(1, bytes.len() - at);
        match what % 8 {
            0 => bytes[at] ^= 1 << (value % 8),
            1 => bytes[at] = value,
            2 => bytes.truncate(at),
            3 => bytes[at..at + run].fill(0),
            4 => {
                let copy = bytes[at..at + run].to_vec();
                let to = usize::from(value) * 8 % (bytes.len() - run + 1);
                bytes[to..to + run].copy_from_slice(&copy);
            }
            5 => bytes.extend(std::iter::repeat_n(value, usize::from(low))),
            6 => drop(bytes.drain(at..at + run)),
            _ => {
                let to = usize::from(value) * bytes.len() / 256;
                bytes.swap(at, to);
            }
        }
    }
}
