//! The scanner against real files: what it accepts, and that what it says of them is so.

use std::path::PathBuf;

use super::{file_options, scan_in_pieces};
use crate::dicom::cut::{FRAME_ALONE_MIN, JOINED_UNIT_MAX, UNIT_MAX, Unit, UnitKind};
use crate::dicom::scan::{Scan, ScanError};
use crate::identifiers::{ContentId, Sha256Digest, UnitDigest};

/// A line of the corpus manifest.
pub(super) struct Case {
    pub path: String,
    pub bytes: Vec<u8>,
    pub sop: String,
    pub study: String,
    pub series: String,
    pub transfer_syntax: String,
    pub frames: Option<u64>,
    pub expected: String,
}

pub(super) fn corpus() -> Vec<Case> {
    let folder = std::env::var_os("VELLUM_CORPUS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpus")), PathBuf::from);
    let Ok(manifest) = std::fs::read_to_string(folder.join("manifest.tsv")) else {
        eprintln!("skipped: the corpus is not at {}", folder.display());
        return Vec::new();
    };
    let case = |line: &str| {
        let column = |index: usize| line.split('\t').nth(index).unwrap_or_default().to_owned();
        let syntax = column(6);
        Case {
            bytes: std::fs::read(folder.join(column(0))).expect("a file of the manifest"),
            path: column(0),
            transfer_syntax: syntax.rsplit_once('(').map_or("", |(_, uid)| uid.trim_end_matches(')')).to_owned(),
            frames: column(10).parse().ok(),
            study: column(11),
            series: column(12),
            sop: column(13),
            expected: column(17),
        }
    };
    manifest.lines().skip(1).map(case).collect()
}

/// Files that the manifest wants accepted with a warning and the scanner has none for, and why.
const NOTHING_TO_WARN_OF: [(&str, &str); 1] = [(
    "odd/GH177_D_CLUNIE_CT1_IVRLE_BigEndian_undefined_length.dcm",
    "a sequence in UN of undefined length is as PS3.5 §6.2.2 has it; one other reader stumbles over it",
)];

#[test]
fn i14_real_files_are_accepted_and_refused_as_expected() {
    let scratch = tempfile::tempdir().unwrap();
    let mut disagreements = Vec::new();
    for case in corpus() {
        let result = scan_in_pieces(&case.bytes, 64 * 1024, file_options(scratch.path()));
        let must_warn = case.expected.starts_with("accepted-with-warning")
            && !NOTHING_TO_WARN_OF.iter().any(|(path, _)| *path == case.path);
        let agrees = match &result {
            Err(ScanError::NotAnInstance { .. }) => case.expected.starts_with("not stored as an instance"),
            Err(_) => case.expected.starts_with("refused"),
            Ok(scan) => case.expected.starts_with("accepted") && !(must_warn && scan.warnings.is_empty()),
        };
        if !agrees {
            disagreements.push((case.path.clone(), result.as_ref().err().map(ToString::to_string)));
        }
        if let Ok(scan) = &result {
            check(&case, scan);
        }
    }
    assert!(disagreements.is_empty(), "{disagreements:#?}");
}

/// What a scan says of a file is so.
fn check(case: &Case, scan: &Scan) {
    let path = &case.path;
    let content = &case.bytes[scan.prefix.len()..];
    assert!(case.bytes.starts_with(&scan.prefix), "{path}");
    assert_eq!(scan.content, ContentId::of(content), "{path}");
    assert_eq!(scan.content_length, content.len() as u64, "{path}");
    let file = scan.file.expect("a file came");
    assert_eq!((file.sha256, file.size), (Sha256Digest::of(&case.bytes), case.bytes.len() as u64), "{path}");
    check_units(path, content, &scan.cut.units.to_vec().unwrap());
    // The manifest has no UIDs of files that its maker could not read.
    if !case.sop.is_empty() {
        check_keys(case, scan);
    }
    if !case.transfer_syntax.is_empty() {
        assert_eq!(scan.transfer_syntax.as_str(), case.transfer_syntax, "{path}");
    }
    let header: serde_json::Value = serde_json::from_slice(scan.header_json.as_deref().expect("asked for")).unwrap();
    assert!(header.as_object().is_some_and(|members| !members.is_empty()), "{path}");
    for (tag, element) in scan.attributes.iter() {
        let element: serde_json::Value = serde_json::from_str(element).unwrap();
        assert_eq!(header.get(crate::dicom::attributes::tag_key(tag)), Some(&element), "{path} {tag}");
    }
    let frames = scan.cut.frames.len();
    let has_value = |element: &serde_json::Value| element.get("BulkDataURI").or(element.get("InlineBinary")).is_some();
    let has_pixels = header.get("7FE00010").is_some_and(has_value);
    let expected = case.frames.unwrap_or(u64::from(has_pixels));
    let is_known = !scan.warnings.iter().any(|warning| {
        matches!(&*warning.code, super::super::warnings::FRAMES_UNKNOWN | super::super::warnings::PIXEL_DATA_SHORT)
    });
    if has_pixels && is_known {
        assert_eq!(frames, expected, "{path}");
    }
}

fn check_keys(case: &Case, scan: &Scan) {
    assert_eq!(scan.keys.sop.as_str(), case.sop, "{}", case.path);
    if case.study.is_empty() {
        assert!(scan.keys.study.as_str().starts_with("2.25."), "{}: a pseudo study", case.path);
    } else {
        assert_eq!(scan.keys.study.as_str(), case.study, "{}", case.path);
        assert_eq!(scan.keys.series.as_str(), case.series, "{}", case.path);
    }
}

/// Units cover the content, in order, within their bounds, with the right digests.
pub(super) fn check_units(path: &str, content: &[u8], units: &[Unit]) {
    let mut at = 0;
    for unit in units {
        assert_eq!(unit.offset, at, "{path}");
        let length = u64::from(unit.length);
        assert!(length > 0 && length <= UNIT_MAX, "{path}");
        let bytes = &content[usize::try_from(at).unwrap()..][..unit.length as usize];
        assert_eq!(unit.digest, UnitDigest::of(bytes), "{path}");
        at += length;
    }
    assert_eq!(at, content.len() as u64, "{path}");
    for pair in units.windows(2) {
        let both = |kind| pair[0].kind == kind && pair[1].kind == kind;
        let lengths = (u64::from(pair[0].length), u64::from(pair[1].length));
        assert!(!both(UnitKind::Header) || lengths.0 == UNIT_MAX, "{path}: header runs that touch");
        let could_join = lengths.0.max(lengths.1) <= FRAME_ALONE_MIN && lengths.0 + lengths.1 <= JOINED_UNIT_MAX;
        assert!(!(both(UnitKind::Bulk) && could_join), "{path}: short pieces that touch");
    }
}
