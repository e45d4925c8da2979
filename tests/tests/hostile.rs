//! Bad input over the wire, against one server: what cannot be delimited, passes a limit or cannot be placed is refused
//! with its tag and byte offset and leaves nothing behind; what is only odd is kept. The next good instance on the same
//! association or in the same request is stored, memory stays bounded, and no value of the inputs gets into the log.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use system_tests::oracle::seal_now;
use system_tests::peers;
use system_tests::vellum::DataFolder;

/// The most that the server may ever hold in memory. One of the inputs inflates to as much.
const PEAK_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Part of every patient name of the inputs, and of some of their text.
const SECRET: &str = "Secretname";

/// What an input must be answered, by whichever door it comes.
struct Answer {
    /// Name of the input in `tests/python/hostile.py`.
    name: &'static str,
    /// Status of the C-STORE response and Failure Reason of STOW-RS: `0000` is kept, `B007` is kept with a warning.
    code: &'static str,
    /// The element to blame: Offending Element of the C-STORE response, and named in words by STOW-RS. Empty: there is none.
    tag: &'static str,
    /// Part of what both doors say.
    says: &'static str,
}

const fn kept(name: &'static str) -> Answer {
    Answer { name, code: "0000", tag: "", says: "" }
}

const fn refused(name: &'static str, code: &'static str, tag: &'static str, says: &'static str) -> Answer {
    Answer { name, code, tag, says }
}

/// Stands for an element that hangs on how far a stream can be inflated.
const SOME: &str = "(";

/// The answers, derived from DESIGN §3 (accepted is what can be delimited; refused is what is not DICOM, truncated, past
/// a limit, or without a UID that its key needs) and from PS3.4 Table B.2-1: C000H for what cannot be understood and what
/// passes a limit, which no waiting mends; A900H for what does not match; A7xxH is for what may come again, so for none
/// of these.
const EXPECTED: &[Answer] = &[
    // PS3.5 §9.1 bounds a UID to 64 characters, digits and dots, no leading zeros. Odd, yet it can be delimited and tells
    // instances apart: kept (DESIGN §3.1); what it may not become is part of a path (DESIGN §4).
    kept("uid-over-64"),
    kept("uid-with-path"),
    kept("uid-with-control"),
    kept("uid-leading-zeros"),
    kept("sop-over-64"),
    kept("sop-with-path"),
    // Past the limit of nesting, 64 (DESIGN §3.1).
    refused("deep", "C000", "(0040,A730)", "sequences within sequences"),
    // Only FFFFFFFFH is an undefined length (PS3.5 §7.1.1); FFFFFFFEH is 4 GiB less 2, which are not there. In a sequence
    // it is noticed earlier: what stands there is no item (PS3.5 §7.5).
    refused("length-fffffffe-SQ", "C000", "(0040,0555)", "something else than an item"),
    refused("length-fffffffe-OB", "C000", "(7FE0,0010)", "truncated"),
    refused("length-fffffffe-UN", "C000", "(0042,0011)", "truncated"),
    refused("item-length-fffffffe", "C000", "(0040,0555)", "truncated"),
    refused("claims-4-gib", "C000", "(7FE0,0010)", "truncated"),
    refused("claims-4-gib-of-name", "C000", "(0010,4000)", "truncated"),
    // Past the limit of inflating, 200 times its size, within the element that is made of zeros.
    refused("deflate-bomb", "C000", "(7FE0,0010)", "inflated bytes per byte"),
    // Its first block is of type 3, which is an error (RFC 1951 §3.2.3): no element was ever there.
    refused("deflate-garbage", "C000", "", "the deflated stream is damaged"),
    refused("deflate-truncated", "C000", SOME, "truncated"),
    // 500,000 elements of the 16 million that may be.
    kept("many-elements"),
    // Value representations other than PS3.6 has, and values that are none of theirs: delimited, so kept (DESIGN §3.1).
    kept("wrong-vr"),
    // DESIGN §3.6: the data set decides. Another Affected SOP Instance UID could never be committed; another class is B007H.
    refused("command-other-instance", "A900", "(0008,0018)", "announced"),
    Answer { name: "command-other-class", code: "B007", tag: "(0008,0016)", says: "" },
    // DESIGN §3.6: a meta group that disagrees is kept and noted.
    kept("meta-other"),
    // Undecodable text is U+FFFD in answers (DESIGN §4), the bytes are kept (I2).
    kept("charset-unknown"),
    kept("charset-mixed"),
    // Type 1 (PS3.3 §C.7.2.1, §C.7.3.1), and needed by the key: A900H, "data set does not match SOP class".
    refused("no-study", "A900", "(0020,000D)", "StudyInstanceUID"),
    refused("empty-study", "A900", "(0020,000D)", "StudyInstanceUID"),
    refused("no-series", "A900", "(0020,000E)", "SeriesInstanceUID"),
    // What comes by C-STORE is a data set by agreement, so the first four bytes are a tag, the next a length that reaches
    // past the end. A file must look like one.
    Answer { name: "not-dicom-text", code: "C000", tag: "(6544,7261)", says: "" },
    Answer { name: "not-dicom-picture", code: "C000", tag: "(5089,474E)", says: "" },
    Answer { name: "not-dicom-empty", code: "C000", tag: "", says: "" },
    // Cut within the tag of the first element, within its value, within a name, within the header and the value of the
    // pixels.
    refused("truncated-tag", "C000", "", "truncated"),
    refused("truncated-first-value", "C000", "(0008,0005)", "truncated"),
    refused("truncated-name", "C000", "(0010,0010)", "truncated"),
    refused("truncated-pixel-head", "C000", "(7FE0,0010)", "truncated"),
    refused("truncated-pixels", "C000", "(7FE0,0010)", "truncated"),
];

/// Inputs that differ from others in their command only, and one that no command can announce.
const BY_ONE_DOOR: &[(&str, &str)] =
    &[("command-other-instance", "c-store"), ("command-other-class", "c-store"), ("not-dicom-empty", "stow")];

fn text<'a>(line: &'a Value, key: &str) -> &'a str {
    line[key].as_str().unwrap_or_default()
}

/// Asserts what C-STORE answered; whether it was to be kept.
fn assert_c_store(line: &Value, expected: &Answer) -> bool {
    assert_eq!(text(line, "status"), expected.code, "{line}");
    let kept = matches!(expected.code, "0000" | "B007");
    let (comment, offending) = (text(line, "comment"), text(line, "offending"));
    if expected.tag == SOME {
        assert!(offending.starts_with(SOME) && offending != "(0000,0000)", "{line}");
    } else {
        assert_eq!(offending, expected.tag, "{line}");
    }
    if !kept {
        assert!(comment.contains(expected.says) && !comment.is_empty(), "{line}");
        assert!(comment.contains("byte ") || expected.says == "announced", "no offset: {line}");
    }
    kept
}

/// Asserts what STOW-RS answered; whether it was to be kept.
fn assert_stow(line: &Value, expected: &Answer) -> bool {
    let codes = |key: &str| -> Vec<String> { serde_json::from_value(line[key].clone()).expect("codes") };
    if matches!(expected.code, "0000" | "B007") {
        assert_eq!((text(line, "status"), codes("reason").len(), codes("other").len()), ("200", 0, 0), "{line}");
        return true;
    }
    // PS3.18 Table 10.5.3-1: 202 beside one that is stored, 409 where none is, for the request itself was in order; and
    // HTTP's own 413 past a limit.
    let is_limit = matches!(expected.name, "deep" | "deflate-bomb");
    assert_eq!((text(line, "status"), text(line, "alone")), ("202", if is_limit { "413" } else { "409" }), "{line}");
    // PS3.18 Table I.2-1: what names no instance cannot stand in Failed SOP Sequence; it stands in Other Failures Sequence.
    let is_dicom = !expected.name.starts_with("not-dicom");
    let (named, nameless) = (codes("reason"), codes("other"));
    assert_eq!((named.len(), nameless.len()), (usize::from(is_dicom), usize::from(!is_dicom)), "{line}");
    assert!(named.iter().chain(&nameless).all(|code| code == expected.code), "{line}");
    let said = text(line, "comment");
    assert!(said.contains(expected.says) && said.contains("nothing was stored"), "{line}");
    assert!(!said.contains("(0000,0000)"), "{line}");
    if is_dicom {
        assert!(said.contains("byte ") && said.contains(expected.tag), "no tag and offset: {line}");
    } else {
        assert!(said.contains("not DICOM"), "{line}");
    }
    false
}

/// Asserts each answer; gives the SOP Instance UIDs of the inputs that are kept, and of those that are not.
fn assert_answers(lines: &[Value]) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut kept, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for expected in EXPECTED {
        let name = expected.name;
        for door in ["c-store", "stow"] {
            if BY_ONE_DOOR.iter().any(|(other, only)| *other == name && *only != door) {
                continue;
            }
            let line = lines.iter().find(|line| text(line, "name") == name && text(line, "door") == door);
            let line = line.unwrap_or_else(|| panic!("{name} was not sent by {door}"));
            let is_kept = if door == "stow" { assert_stow(line, expected) } else { assert_c_store(line, expected) };
            assert_eq!(text(line, "good"), "0000", "the next one was harmed: {line}");
            if is_kept { &mut kept } else { &mut refused }.insert(text(line, "sop").to_owned());
        }
    }
    (kept, refused)
}

/// Every path below a folder.
fn all_below(folder: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        if entry.file_type().expect("a type").is_dir() {
            paths.extend(all_below(&entry.path()));
        }
        paths.push(entry.path());
    }
    paths
}

/// Nothing that was received is part of a path, but for a UID that has the form of one.
fn assert_names(data: &DataFolder) {
    let around = data.path().parent().expect("a folder");
    let escaped: Vec<_> = all_below(around).into_iter().filter(|p| p.to_string_lossy().contains("escape")).collect();
    assert!(escaped.is_empty(), "{escaped:?}");
    let studies = data.store_folder().join("studies");
    let fans = std::fs::read_dir(&studies).expect("studies").flatten().map(|entry| entry.path());
    let folders = fans.flat_map(|fan| std::fs::read_dir(fan).expect("a folder").flatten());
    let names: BTreeSet<String> = folders.map(|folder| folder.file_name().into_string().expect("UTF-8")).collect();
    assert!(names.contains("1.02.003"), "leading zeros are kept: {names:?}");
    let hashed: Vec<&String> = names.iter().filter(|name| name.starts_with("x-")).collect();
    assert_eq!(hashed.len(), 3, "{names:?}");
    assert!(hashed.iter().all(|name| name.len() == 34), "{names:?}");
    let plain = |name: &&String| !name.starts_with("x-");
    let strange = |name: &&String| name.len() > 64 || !name.chars().all(|c| c.is_ascii_digit() || c == '.');
    assert_eq!(names.iter().filter(plain).find(strange), None);
}

/// The most memory that a process ever held, in bytes (`VmHWM` of proc(5)).
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the server is alive");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[test]
fn bad_input_is_answered_and_harms_nobody_else() {
    let Some(python) = peers::python() else { return };
    let data = DataFolder::fresh().with("VELLUM_SEAL__QUIET", "24h").with("VELLUM_SEAL__MAX_AGE", "24h");
    let mut server = data.serve();
    let arguments = [server.dicom_web(), server.dimse.port().to_string(), "VELLUM".to_owned()];
    let output = Command::new(&python).arg(peers::script("hostile.py")).args(arguments).output().expect("python");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();

    let (kept, refused) = assert_answers(&lines);
    for line in lines.iter().filter(|line| text(line, "door") == "multipart") {
        let expected = if text(line, "name") == "multipart-of-text" { "415" } else { "400" };
        assert_eq!(text(line, "status"), expected, "{line}");
        assert!(!text(line, "comment").contains(SECRET), "{line}");
    }
    assert!(lines.iter().all(|line| !text(line, "comment").contains(SECRET)));

    let found = lines.iter().find_map(|line| line["found"].as_array()).expect("what was found");
    let found: BTreeSet<String> = found.iter().map(|item| text(item, "sop").to_owned()).collect();
    assert_eq!(found.intersection(&refused).next(), None, "refused, and found");
    assert_eq!(kept.difference(&found).next(), None, "kept, and not found");
    let names = lines.iter().find_map(|line| line["names"].as_object()).expect("names");
    for line in lines.iter().filter(|line| text(line, "name").starts_with("charset-")) {
        let name = names[text(line, "sop")].as_str().expect("a name");
        assert!(name.starts_with(SECRET) && name.contains('\u{FFFD}'), "{name:?}: {line}");
    }

    seal_now(&data);
    assert_names(&data);
    let _verified = data.run(["verify"]).expect_code(0);
    let peak = peak(server.pid());
    assert!(peak < PEAK_BYTES_MAX, "{} MiB", peak / 1024 / 1024);
    let log = server.log();
    assert!(!log.contains(SECRET) && !log.contains("panicked"), "{log}");
    assert_eq!(server.stop(), 0);
}
