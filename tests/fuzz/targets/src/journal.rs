//! A segment of the journal as a program finds it: nothing panics, nothing is taken in that was not there, memory is
//! bounded by the file.

use archive_core::journal::{Inspected, InspectedWhat, inspect};

use crate::files::MemoryFile;
use crate::memory;
use crate::pieces::steer;

const MAGIC: &[u8; 8] = b"VLMJOURN";
/// Bytes of a frame's header (docs/FORMAT.md, "Frame").
const HEADER: usize = 104;
const BORDER: usize = 8;

/// One byte steers: whether checksums are made good, so that what lies behind them is reached.
pub fn run(data: &[u8]) {
    let Some(([form], rest)) = steer(data) else { return };
    let mut bytes = rest.to_vec();
    if form & 1 == 1 {
        make_good(&mut bytes, form & 2 == 0);
    }
    let file = MemoryFile::of(&bytes);
    let path = file.path();
    let found = memory::within(1024 * 1024 + 8 * bytes.len(), || {
        let steps = inspect(&path).expect("a file");
        steps.collect::<Result<Vec<_>, _>>().expect("memory does not fail to be read")
    });
    check(&found, &bytes);
}

/// Makes the checksums of every frame good that a program could find, and its place what it is. The id of the segment is
/// that of the first frame, or left as it is.
pub(crate) fn make_good(bytes: &mut [u8], one_segment: bool) {
    let mut segment = None;
    let mut at = 0;
    while at + HEADER <= bytes.len() {
        if &bytes[at..at + 8] != MAGIC {
            at += BORDER;
            continue;
        }
        let (header, rest) = bytes[at..].split_at_mut(HEADER);
        let id: [u8; 16] = header[32..48].try_into().expect("16 bytes");
        if one_segment {
            header[32..48].copy_from_slice(segment.get_or_insert(id));
        }
        header[48..56].copy_from_slice(&(at as u64).to_le_bytes());
        let length = u64::from_le_bytes(header[16..24].try_into().expect("8 bytes"));
        let payload = usize::try_from(length).ok().and_then(|length| rest.get(..length));
        let mut check = [0; 16];
        if let Some(payload) = payload {
            if header[10..12] == [2, 0] {
                check[..4].copy_from_slice(&crc32c::crc32c(payload).to_le_bytes());
            } else {
                check.copy_from_slice(&blake3::hash(payload).as_bytes()[..16]);
            }
            header[64..80].copy_from_slice(&check);
        }
        let crc = crc32c::crc32c(&header[..96]);
        header[96..100].copy_from_slice(&crc.to_le_bytes());
        header[100..104].fill(0);
        at += HEADER + payload.map_or(0, |payload| payload.len().next_multiple_of(BORDER));
    }
}

fn check(found: &[Inspected], bytes: &[u8]) {
    let mut end = 0;
    for step in found {
        let newer = matches!(step.what, InspectedWhat::Newer { .. });
        assert!(newer || (step.range.start >= end && step.range.start <= step.range.end), "{step:?} after byte {end}");
        assert!(step.range.end <= bytes.len() as u64, "{step:?} lies outside the file");
        end = step.range.end;
        let is_frame = !matches!(step.what, InspectedWhat::Bad | InspectedWhat::Newer { .. });
        if is_frame {
            let at = usize::try_from(step.range.start).expect("short");
            let header = &bytes[at..at + HEADER];
            assert_eq!(&header[..8], MAGIC, "a frame begins with its magic");
            assert_eq!(header[48..56], step.range.start.to_le_bytes(), "and knows its place");
            assert_eq!(header[96..100], crc32c::crc32c(&header[..96]).to_le_bytes(), "and its checksum is right");
            assert!(step.sequence.is_some());
        }
    }
    assert!(
        !matches!(found.split_last(), Some((_, before)) if before.iter().any(|step| matches!(step.what, InspectedWhat::Newer { .. }))),
        "nothing is looked at behind a later program's frame"
    );
}
