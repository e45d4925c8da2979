use proptest::prelude::*;

use super::*;

/// All events of a body that comes in these chunks, with the data of each part joined.
fn read(
    boundary: &str,
    limits: MultipartLimits,
    chunks: &[&[u8]],
) -> Result<Vec<(PartHeader, Vec<u8>)>, MultipartError> {
    let mut reader = MultipartReader::new(boundary, limits)?;
    let mut parts = Vec::new();
    let mut open: Option<(PartHeader, Vec<u8>)> = None;
    for chunk in chunks {
        reader.push(chunk);
        while let Some(event) = reader.next_event()? {
            match event {
                Event::PartBegins(header) => assert!(open.replace((header, Vec::new())).is_none()),
                Event::Data(bytes) => open.as_mut().unwrap().1.extend_from_slice(&bytes),
                Event::PartEnds => parts.push(open.take().unwrap()),
                Event::End => assert!(open.is_none()),
            }
        }
    }
    reader.finish()?;
    Ok(parts)
}

fn whole(boundary: &str, body: &[u8]) -> Result<Vec<(PartHeader, Vec<u8>)>, MultipartError> {
    read(boundary, MultipartLimits::default(), &[body])
}

fn body_of(boundary: &str, parts: &[Vec<u8>]) -> Vec<u8> {
    let mut body = b"a preamble\r\n".to_vec();
    for part in parts {
        body.extend_from_slice(format!("--{boundary}  \r\nContent-Type: application/dicom\r\n\r\n").as_bytes());
        body.extend_from_slice(part);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\nan epilogue").as_bytes());
    body
}

/// Bytes that like to look like delimiters, and never are one.
fn part_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        Just(b"\r\n".to_vec()),
        Just(b"\r\n--".to_vec()),
        Just(b"\r\n--b0un".to_vec()),
        Just(b"\r\r\n-".to_vec()),
    ];
    proptest::collection::vec(piece, 0..8)
        .prop_map(|pieces| pieces.concat())
        .prop_filter("holds a delimiter", |bytes| memmem::find(bytes, b"\r\n--b0undary").is_none())
}

proptest! {
    #[test]
    fn any_split_of_a_body_gives_the_same_parts(
        parts in proptest::collection::vec(part_bytes(), 0..5),
        mut cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let body = body_of("b0undary", &parts);
        let mut at: Vec<usize> = cuts.drain(..).map(|cut| cut.index(body.len())).chain([0, body.len()]).collect();
        at.sort_unstable();
        let chunks: Vec<&[u8]> = at.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect();
        let found = read("b0undary", MultipartLimits::default(), &chunks).unwrap();
        let data: Vec<Vec<u8>> = found.iter().map(|(_, data)| data.clone()).collect();
        prop_assert_eq!(data, parts);
        prop_assert!(found.iter().all(|(header, _)| header.content_type.as_deref() == Some("application/dicom")));
    }

    #[test]
    fn a_body_cut_anywhere_before_its_closing_delimiter_is_truncated(
        parts in proptest::collection::vec(part_bytes(), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let body = body_of("b0undary", &parts);
        let closing = memmem::rfind(&body, b"--b0undary--").unwrap() + b"--b0undary--".len();
        let cut = cut.index(closing);
        prop_assert_eq!(whole("b0undary", &body[..cut]), Err(MultipartError::Truncated));
    }

    #[test]
    fn no_bytes_make_the_reader_panic_or_gather(
        chunks in proptest::collection::vec(proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), Just(b'x'), any::<u8>()], 0..200), 0..20),
    ) {
        let mut reader = MultipartReader::new("x", MultipartLimits::default()).unwrap();
        for chunk in &chunks {
            reader.push(chunk);
            while let Ok(Some(_)) = reader.next_event() {}
            prop_assert!(reader.buffer.len() <= 16 * 1024 + 200 + 8);
        }
    }
}

#[test]
fn a_body_may_begin_with_its_delimiter_and_have_no_parts() {
    assert_eq!(whole("b", b"--b--"), Ok(vec![]));
    let parts = whole("b", b"--b\r\n\r\nabc\r\n--b--\r\n").unwrap();
    assert_eq!(parts, vec![(PartHeader::default(), b"abc".to_vec())]);
}

#[test]
fn line_feeds_alone_end_nothing() {
    assert_eq!(whole("b", b"--b\n\nabc\n--b--\n"), Err(MultipartError::Delimiter));
    assert_eq!(whole("b", b"--b\r\nContent-Type: x\n\nabc\r\n--b--"), Err(MultipartError::Truncated));
}

#[test]
fn what_only_looks_like_a_delimiter_does_not_end_a_part_early() {
    let mut reader = MultipartReader::new("b", MultipartLimits::default()).unwrap();
    reader.push(b"--b\r\n\r\nabc\r\n--bcd");
    let mut ended = false;
    let error = loop {
        match reader.next_event() {
            Ok(Some(event)) => ended |= event == Event::PartEnds,
            Ok(None) => panic!("an error was expected"),
            Err(error) => break error,
        }
    };
    assert_eq!(error, MultipartError::Delimiter);
    assert!(!ended, "the part was called whole");
}

#[test]
fn a_header_without_end_is_refused_at_its_limit() {
    let mut body = b"--b\r\nX: ".to_vec();
    body.extend(std::iter::repeat_n(b'y', 20_000));
    assert_eq!(whole("b", &body), Err(MultipartError::HeaderTooLong(16 * 1024)));
}

#[test]
fn more_parts_than_allowed_are_refused() {
    let limits = MultipartLimits { parts: 3, ..MultipartLimits::default() };
    let body = b"--b\r\n\r\n\r\n".repeat(4);
    assert_eq!(read("b", limits, &[&body]), Err(MultipartError::TooManyParts(3)));
}

#[test]
fn an_endless_preamble_is_refused() {
    let preamble = vec![b'z'; PREAMBLE_BYTES_MAX + 1];
    assert_eq!(whole("b", &preamble), Err(MultipartError::NoFirstDelimiter));
}

#[test]
fn a_boundary_is_what_rfc_2046_allows() {
    for good in ["a", &"x".repeat(70), "a b", "=_'()+,-./:=?"] {
        assert!(MultipartReader::new(good, MultipartLimits::default()).is_ok(), "{good}");
    }
    for bad in ["", &"x".repeat(71), "a ", "a\r\n", "ü", "a\"b"] {
        let error = MultipartReader::new(bad, MultipartLimits::default()).err();
        assert_eq!(error, Some(MultipartError::Boundary), "{bad}");
    }
}
