//! The scanner: any split of an input gives the same; what it says lies within the input; memory stays bounded.

use std::io::Write as _;

use archive_core::dicom::cut::{FRAGMENTS_MAX, UNIT_MAX};
use archive_core::dicom::scan::{Input, Scan, ScanError, ScanLimits, ScanOptions, Scanner};
use archive_core::identifiers::{ContentId, Sha256Digest, TransferSyntaxUid, UnitDigest};

use crate::memory;
use crate::pieces::{pieces, steer};

/// What the transfer syntaxes of bare data sets are chosen from.
const SYNTAXES: [&str; 6] = [
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
    // [`DEFLATED`]
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.4.50",
    "1.3.6.1.4.1.5962.300.2",
];
const DEFLATED: usize = 3;
/// Character sets that are assumed.
const ASSUMED: [Option<&str>; 4] = [None, Some("ISO_IR 192"), Some("ISO 2022 IR 87"), Some("nonsense")];

/// Small enough that a fuzzer reaches each of them.
fn limits() -> ScanLimits {
    ScanLimits {
        prefix_bytes: 2048,
        content_bytes: 512 * 1024,
        depth: 20,
        elements: 500,
        inflated_bytes: 64 * 1024,
        inflate_ratio: 200,
        header_json_bytes: 16 * 1024,
    }
}

/// Three bytes steer: the form of the input, how it is cut, what is assumed.
pub fn run(data: &[u8]) {
    let Some(([form, split, assumed], rest)) = steer(data) else { return };
    let input = match form % 16 {
        form @ 8.. => Input::DataSet(syntax(usize::from(form - 8) % SYNTAXES.len())),
        _ => Input::File,
    };
    let deflated = if form & 32 != 0 && matches!(input, Input::DataSet(_)) { Some(deflate(rest)) } else { None };
    let (input, bytes) = match &deflated {
        Some(bytes) => (Input::DataSet(syntax(DEFLATED)), bytes.as_slice()),
        None => (input, rest),
    };
    let options = ScanOptions {
        input,
        scratch: std::env::temp_dir(),
        limits: limits(),
        assumed_charset: ASSUMED.get(usize::from(assumed % 4)).copied().flatten().map(str::to_owned),
        header_json: assumed & 4 == 0,
    };
    let whole = memory::within(4 * 1024 * 1024 + 64 * bytes.len(), || scan(std::iter::once(bytes), options.clone()));
    let cut = scan(pieces(bytes, split), options.clone());
    if stream_is_damaged(&whole) || stream_is_damaged(&cut) {
        // How much is inflated before damage is noticed hangs on the split, and something else may be wrong before that: the
        // refusal may name either. Known, see tests/fuzz/README.md.
        assert!(whole.is_err() && cut.is_err(), "the split {split} decides whether it is refused");
        return;
    }
    assert_eq!(said(&whole), said(&cut), "the split {split} changes what is said");
    match &whole {
        Ok(scan) => check_scan(scan, bytes, &options),
        Err(error) => check_error(error, bytes.len() as u64, &options.input),
    }
}

fn stream_is_damaged(result: &Result<Scan, ScanError>) -> bool {
    matches!(result, Err(ScanError::Malformed { what, .. }) if what.contains("deflated stream"))
}

fn syntax(index: usize) -> TransferSyntaxUid {
    TransferSyntaxUid::parse(SYNTAXES[index]).expect("a UID")
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// Scans pieces. After a refusal every call must give the same error.
fn scan<'a>(pieces: impl Iterator<Item = &'a [u8]>, options: ScanOptions) -> Result<Scan, ScanError> {
    let mut scanner = Scanner::new(options).expect("scratch");
    for piece in pieces {
        if let Err(error) = scanner.push(piece) {
            let again = scanner.finish().expect_err("it was refused");
            assert_eq!(error.to_string(), again.to_string());
            return Err(error);
        }
    }
    scanner.finish()
}

/// Everything that a scan says, in one text.
fn said(result: &Result<Scan, ScanError>) -> String {
    match result {
        Ok(scan) => format!(
            "{:?} {} {:?} {:?} {} {:?} {:?} {:?} {:?} {:?}",
            scan.keys,
            scan.content,
            scan.file,
            scan.transfer_syntax,
            scan.attributes.to_json(),
            scan.header_json,
            scan.cut.units.to_vec().expect("memory"),
            scan.cut.fragments.to_vec().expect("memory"),
            scan.cut.frames.to_vec().expect("memory"),
            scan.warnings,
        ),
        Err(error) => error.to_string(),
    }
}

fn check_scan(scan: &Scan, bytes: &[u8], options: &ScanOptions) {
    let (prefix, content) = bytes.split_at_checked(scan.prefix.len()).expect("the prefix lies within the input");
    assert_eq!(prefix, scan.prefix);
    assert_eq!(content.len() as u64, scan.content_length);
    assert_eq!(ContentId::of(content), scan.content);
    match &scan.file {
        Some(file) => assert_eq!((file.sha256, file.size), (Sha256Digest::of(bytes), bytes.len() as u64)),
        None => assert!(prefix.is_empty() && matches!(options.input, Input::DataSet(_))),
    }
    let mut at = 0;
    for unit in scan.cut.units.to_vec().expect("memory") {
        assert_eq!(unit.offset, at, "units have neither gap nor overlap");
        assert!(unit.length > 0 && u64::from(unit.length) <= UNIT_MAX);
        let end = at + u64::from(unit.length);
        assert_eq!(UnitDigest::of(&content[at as usize..end as usize]), unit.digest);
        at = end;
    }
    assert_eq!(at, scan.content_length, "units cover the content");
    let space = if scan.cut.inflated { options.limits.inflated_bytes } else { scan.content_length };
    let mut at = 0;
    for fragment in scan.cut.fragments.to_vec().expect("memory") {
        assert!(fragment.offset >= at, "fragments are in order");
        at = fragment.offset.checked_add(fragment.length).expect("an offset");
        assert!(at <= space, "fragments lie within the content");
    }
    let fragments = scan.cut.fragments.len();
    assert!(fragments <= FRAGMENTS_MAX);
    for frame in scan.cut.frames.to_vec().expect("memory") {
        let end = u64::from(frame.first_fragment) + u64::from(frame.fragment_count);
        assert!(frame.fragment_count > 0 && end <= fragments, "frames are made of fragments that are there");
    }
    assert!(scan.warnings.len() <= 64);
    for warning in &scan.warnings {
        assert!(scan.cut.inflated || warning.offset <= bytes.len() as u64, "{warning:?} lies outside the input");
    }
    assert!(scan.header_json.as_ref().is_none_or(|json| json.len() <= options.limits.header_json_bytes));
    for uid in
        [scan.keys.study.as_str(), scan.keys.series.as_str(), scan.keys.sop_class.as_str(), scan.keys.sop.as_str()]
    {
        assert!(!uid.is_empty());
    }
}

fn check_error(error: &ScanError, length: u64, input: &Input) {
    // What is said of a deflated data set is counted in inflated space.
    let may_be_deflated = *input == Input::DataSet(syntax(DEFLATED)) || *input == Input::File;
    match *error {
        ScanError::Truncated { offset, end, .. } => {
            assert!(offset <= end && (end <= length || may_be_deflated), "{error}");
        }
        ScanError::Scratch(_) => panic!("{error}"),
        _ => {}
    }
}
