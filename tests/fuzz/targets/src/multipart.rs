//! multipart/related: any chunking gives the same parts, parts that were put together come apart, memory is bounded.

use archive_api::http::multipart::{Event, MultipartError, MultipartLimits, MultipartReader, PartHeader};

use crate::memory;
use crate::pieces::{pieces, steer};

const BOUNDARIES: [&str; 4] =
    ["b", "--", "vellum'()+_,-./:=?", "0123456789012345678901234567890123456789012345678901234567890123456789"];

/// What a body is made of: each part's header and bytes, then how it ended.
#[derive(Debug, PartialEq)]
struct Body {
    parts: Vec<(PartHeader, Vec<u8>, Ending)>,
    closed: bool,
    error: Option<MultipartError>,
}

#[derive(Debug, PartialEq)]
enum Ending {
    Whole,
    Cut,
}

/// Two bytes steer: the boundary and the limits, how the body is cut.
pub fn run(data: &[u8]) {
    let Some(([form, split], rest)) = steer(data) else { return };
    let boundary = BOUNDARIES[usize::from(form % 4)];
    let limits = MultipartLimits { part_header_bytes: 64 << (form >> 2 & 3), parts: 1 + usize::from(form >> 4) };
    if form & 0x80 == 0 {
        let whole = memory::within(64 * 1024 + 8 * rest.len(), || read(boundary, limits, std::iter::once(rest)));
        let cut = read(boundary, limits, pieces(rest, split));
        assert_eq!(whole, cut, "the split {split} changes the parts");
        assert!(whole.parts.len() <= limits.parts);
        assert!(whole.parts.iter().map(|(_, bytes, _)| bytes.len()).sum::<usize>() <= rest.len());
    } else {
        put_together(boundary, rest, split);
    }
}

fn read<'a>(boundary: &str, limits: MultipartLimits, pieces: impl Iterator<Item = &'a [u8]>) -> Body {
    let mut reader = MultipartReader::new(boundary, limits).expect("a boundary");
    let mut body = Body { parts: Vec::new(), closed: false, error: None };
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.next_event() {
                Ok(None) => break,
                Ok(Some(event)) => body.take(event),
                Err(error) => {
                    body.error = Some(error);
                    assert_eq!(reader.next_event(), Ok(None), "after an error nothing more comes");
                    assert!(reader.finish().is_err());
                    return body;
                }
            }
        }
    }
    assert_eq!(reader.finish().is_ok(), body.closed, "only a closed body may end");
    body
}

impl Body {
    fn take(&mut self, event: Event) {
        assert!(!self.closed, "nothing comes after the end");
        match event {
            Event::PartBegins(header) => {
                assert!(self.parts.last().is_none_or(|(_, _, ending)| *ending == Ending::Whole));
                self.parts.push((header, Vec::new(), Ending::Cut));
            }
            Event::Data(bytes) => {
                assert!(!bytes.is_empty());
                let (_, part, ending) = self.parts.last_mut().expect("bytes belong to a part");
                assert_eq!(*ending, Ending::Cut);
                part.extend_from_slice(&bytes);
            }
            Event::PartEnds => self.parts.last_mut().expect("a part ends").2 = Ending::Whole,
            Event::End => self.closed = true,
        }
    }
}

/// Parts are what lies between bytes 0; put together as PS3.18 wants them they must come apart as they were.
fn put_together(boundary: &str, data: &[u8], split: u8) {
    let parts: Vec<&[u8]> = data.split(|&byte| byte == 0).take(8).collect();
    let delimiter = format!("\r\n--{boundary}");
    let mut body = Vec::new();
    for part in &parts {
        let followed = [part, delimiter.as_bytes()].concat();
        if memchr::memmem::find(&followed, delimiter.as_bytes()) != Some(part.len()) {
            return;
        }
        body.extend_from_slice(
            format!("{}\r\nContent-Type: application/dicom\r\n\r\n", &delimiter[2 * usize::from(body.is_empty())..])
                .as_bytes(),
        );
        body.extend_from_slice(part);
    }
    body.extend_from_slice(format!("{delimiter}--\r\nan epilogue").as_bytes());
    let limits = MultipartLimits::default();
    let read = read(boundary, limits, pieces(&body, split));
    assert!(read.closed && read.error.is_none(), "{read:?}");
    let found: Vec<&[u8]> = read.parts.iter().map(|(_, bytes, _)| bytes.as_slice()).collect();
    assert_eq!(found, parts);
    assert!(read.parts.iter().all(|(header, _, ending)| {
        *ending == Ending::Whole && header.content_type.as_deref() == Some("application/dicom")
    }));
}
