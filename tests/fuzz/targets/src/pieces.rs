//! Cutting an input into pieces, as a network does.

/// The steering bytes at the front of an input, and the rest.
pub(crate) fn steer<const N: usize>(data: &[u8]) -> Option<([u8; N], &[u8])> {
    let (steering, rest) = data.split_first_chunk::<N>()?;
    Some((*steering, rest))
}

/// The bytes in pieces whose lengths follow from a seed: mostly short, some empty, now and then long.
pub(crate) fn pieces(bytes: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let mut state = u64::from(seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut left = bytes;
    std::iter::from_fn(move || {
        if left.is_empty() {
            return None;
        }
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let length = match seed {
            // Byte by byte.
            0 => 1,
            _ if state & 0xF00 == 0 => 997,
            _ => (state % 19) as usize,
        };
        let (piece, rest) = left.split_at(length.min(left.len()));
        left = rest;
        Some(piece)
    })
}
