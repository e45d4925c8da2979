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

/// Where both doors keep the input.
const KEPT: Answers = Answers { c_store: "0000", stow: "", comment: "" };

struct Answers {
    /// Status of the C-STORE response; empty where the input is not sent that way.
    c_store: &'static str,
    /// `FailureReason` of STOW-RS; empty where it stores the input.
    stow: &'static str,
    /// Part of what both doors say.
    comment: &'static str,
}

const fn refused(comment: &'static str) -> Answers {
    Answers { c_store: "C000", stow: "C000", comment }
}

/// No Failed SOP Sequence can name what is not DICOM: it is told in words.
const fn not_dicom(c_store: &'static str) -> Answers {
    Answers { c_store, stow: "none", comment: "" }
}

/// The answer that each input gets (PS3.4 Table B.2-1, PS3.18 §10.5.3 and docs/ARCHITECTURE.md).
const EXPECTED: &[(&str, Answers)] = &[
    ("uid-over-64", KEPT),
    ("uid-with-path", KEPT),
    ("uid-with-control", KEPT),
    ("uid-leading-zeros", KEPT),
    ("sop-over-64", KEPT),
    ("sop-with-path", KEPT),
    ("deep", Answers { c_store: "C000", stow: "A700", comment: "sequences within sequences" }),
    ("length-fffffffe-SQ", refused("something else than an item")),
    ("length-fffffffe-OB", refused("truncated")),
    ("length-fffffffe-UN", refused("truncated")),
    ("item-length-fffffffe", refused("truncated")),
    ("claims-4-gib", refused("truncated")),
    ("claims-4-gib-of-name", refused("truncated")),
    ("deflate-bomb", Answers { c_store: "C000", stow: "A700", comment: "inflated bytes per byte" }),
    ("deflate-garbage", refused("the deflated stream is damaged")),
    ("deflate-truncated", refused("truncated")),
    ("many-elements", KEPT),
    ("wrong-vr", KEPT),
    ("command-other-instance", Answers { c_store: "A900", stow: "", comment: "" }),
    ("command-other-class", Answers { c_store: "B007", stow: "", comment: "" }),
    ("meta-other", KEPT),
    ("charset-unknown", KEPT),
    ("charset-mixed", KEPT),
    ("no-study", Answers { c_store: "A900", stow: "C000", comment: "StudyInstanceUID" }),
    ("empty-study", Answers { c_store: "A900", stow: "C000", comment: "StudyInstanceUID" }),
    ("no-series", Answers { c_store: "A900", stow: "C000", comment: "SeriesInstanceUID" }),
    ("not-dicom-text", not_dicom("C000")),
    ("not-dicom-picture", not_dicom("C000")),
    ("not-dicom-empty", not_dicom("")),
    ("truncated-tag", refused("truncated")),
    ("truncated-first-value", refused("truncated")),
    ("truncated-name", refused("truncated")),
    ("truncated-pixel-head", refused("truncated")),
    ("truncated-pixels", refused("truncated")),
];

/// Tags that a C-STORE response names as offending.
const OFFENDING: &[(&str, &str)] = &[
    ("deep", "(0040,A730)"),
    ("length-fffffffe-OB", "(7FE0,0010)"),
    ("claims-4-gib", "(7FE0,0010)"),
    ("no-study", "(0020,000D)"),
    ("no-series", "(0020,000E)"),
    ("truncated-name", "(0010,0010)"),
    ("truncated-pixels", "(7FE0,0010)"),
];

fn text<'a>(line: &'a Value, key: &str) -> &'a str {
    line[key].as_str().unwrap_or_default()
}

/// Asserts what C-STORE answered; whether it was to be kept.
fn assert_c_store(line: &Value, expected: &Answers) -> bool {
    assert_eq!(text(line, "status"), expected.c_store, "{line}");
    let kept = matches!(expected.c_store, "0000" | "B007");
    if !kept {
        assert!(text(line, "comment").contains(expected.comment), "{line}");
        assert!(!text(line, "comment").is_empty(), "{line}");
    }
    if let Some((_, tag)) = OFFENDING.iter().find(|(name, _)| *name == text(line, "name")) {
        assert_eq!(text(line, "offending"), *tag, "{line}");
    }
    kept
}

/// Asserts what STOW-RS answered; whether it was to be kept.
fn assert_stow(line: &Value, expected: &Answers) -> bool {
    let kept = expected.stow.is_empty();
    assert_eq!(text(line, "status"), if kept { "200" } else { "202" }, "{line}");
    let reasons: Vec<&str> = line["reason"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    match expected.stow {
        "" | "none" => assert!(reasons.is_empty(), "{line}"),
        reason => assert_eq!(reasons, [reason], "{line}"),
    }
    if !kept {
        let said = text(line, "comment");
        assert!(said.contains(expected.comment) && said.contains("nothing was stored"), "{line}");
        if matches!(expected.comment, "truncated" | "sequences within sequences") {
            assert!(said.contains("byte ") && said.contains(','), "no tag and offset: {line}");
        }
    }
    kept
}

/// Asserts each answer; gives the SOP Instance UIDs of the inputs that are kept, and of those that are not.
fn assert_answers(lines: &[Value]) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut kept, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for (name, expected) in EXPECTED {
        for door in ["c-store", "stow"] {
            let line = lines.iter().find(|line| text(line, "name") == *name && text(line, "door") == door);
            let Some(line) = line else {
                assert!(door == "c-store" && expected.c_store.is_empty(), "{name} was not sent by {door}");
                continue;
            };
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
    let studies = data.path().join("store/studies");
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
