//! Nothing that is received becomes a path, a command, or an address that is called.

use std::net::TcpListener;
use std::path::Path;

use system_tests::vellum::DataFolder;

use crate::attacker::{ask, c_store, data_set, element, exchange, file, status, stow};
use crate::traced;

/// In every value that is sent here; in no path that anybody else uses.
const MARK: &str = "zz-escape-zz";

/// What has been used to get out of a folder.
fn hostile_uids() -> Vec<Vec<u8>> {
    let digits = "7".repeat(65);
    let texts = [
        format!("../../../../{MARK}"),
        format!("/tmp/{MARK}"),
        format!("C:\\{MARK}"),
        format!("..%2f..%2f{MARK}"),
        format!("%2e%2e/{MARK}"),
        format!("1.2.3/../../{MARK}"),
        format!("1.2.3\0../{MARK}"),
        format!("\u{2024}\u{2024}/{MARK}"),
        format!("$({MARK})"),
        format!("`{MARK}`;{MARK}|{MARK}"),
        format!("-{MARK}"),
        digits,
    ];
    texts.into_iter().map(String::into_bytes).collect()
}

fn assert_nothing_outside(changed: &[std::path::PathBuf], data: &Path) {
    let outside: Vec<_> =
        changed.iter().filter(|path| !path.starts_with(data) && !path.starts_with("/proc/self")).collect();
    assert!(outside.is_empty(), "changed outside of the data folder: {outside:?}");
}

/// Classes 1, 2, 4, 6 and 26 of `docs/THREATS.md`, watched from below.
#[test]
fn uid_never_reaches_a_path() {
    let data = DataFolder::fresh();
    let Some(traced) = traced::serve(&data) else { return };
    let (http, dimse) = (traced.server.http, traced.server.dimse);
    let caught = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let bait = format!("http://{}/{MARK}", caught.local_addr().unwrap());
    let retrieve = element(0x0008, 0x1190, "UR", bait.as_bytes());
    for uid in hostile_uids() {
        let bytes = file(&[], &data_set(&uid, &uid, &uid, &retrieve));
        let more =
            format!("Content-Location: ../{MARK}\r\nContent-Disposition: attachment; filename=\"/tmp/{MARK}\"\r\n");
        assert_eq!(status(&exchange(http, &stow(http, &more, &bytes))), 200, "{}", uid.escape_ascii());
    }
    // An AE title has at most 16 characters; backslash and control characters it may not have.
    for (number, title) in
        [b"../zz-escape-zz".as_slice(), b"/zz-escape-zz", b"..%2fzz-escape-z"].into_iter().enumerate()
    {
        let sop = format!("1.2.826.0.1.3680043.10.9999.{number}");
        let uid = b"1.2.826.0.1.3680043.10.9999";
        assert_eq!(c_store(dimse, title, &sop, &data_set(uid, uid, sop.as_bytes(), &[])), 0);
    }
    for path in [
        format!("/dicom-web/studies/..%2f..%2f{MARK}"),
        format!("/dicom-web/studies/../../../../{MARK}"),
        format!("/dicom-web/studies/%2ftmp%2f{MARK}/metadata"),
        format!("/dicom-web/studies/1.2/series/%00{MARK}/instances/..%5c{MARK}"),
        format!("//{MARK}/../{MARK}"),
        format!("/api/v1/file?path=../../{MARK}&name=/tmp/{MARK}"),
        format!("/api/v1/ledger?kind=../{MARK}"),
    ] {
        // A study of that very UID may be there by now: what was stored is found, and nothing else.
        let answer = status(&ask(http, "GET", &path, ""));
        assert!(answer == 200 || (400..500).contains(&answer), "{path}: {answer}");
        let answer = status(&ask(http, "PUT", &path, "Content-Length: 0\r\n"));
        assert!((400..500).contains(&answer), "PUT {path}: {answer}");
    }
    let _sealed = data.run(["seal", "--now"]).expect_code(0);
    let _verified = data.run(["verify"]).expect_code(0);
    let to = data.path().with_extension("export");
    let _exported = data.run(["export", "--all", "--to", &to.display().to_string()]).expect_code(0);
    let around = to.parent().unwrap();
    let calls = traced.stop();
    for wanted in [MARK, &"7".repeat(65)] {
        let found: Vec<_> = calls.0.lines().filter(|line| line.contains(wanted)).collect();
        assert!(found.is_empty(), "what was received reached the system: {found:#?}");
    }
    assert_nothing_outside(&calls.changed(), data.path());
    assert_eq!(calls.of(&["execve", "execveat"]).count(), 0, "no other program is started");
    let addresses: Vec<_> = calls.of(&["connect"]).filter(|line| line.contains("AF_INET")).collect();
    assert!(addresses.is_empty(), "nobody is called: {addresses:?}");
    drop(caught);
    assert_exported_inside(around, &to);
}

/// The names that `export` gives come from UIDs: all of them are below the folder that was named.
fn assert_exported_inside(around: &Path, to: &Path) {
    let mut files = Vec::new();
    let mut folders = vec![around.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    let exported: Vec<_> = files.iter().filter(|path| path.starts_with(to)).collect();
    assert_eq!(exported.len(), hostile_uids().len() + 3);
    let escaped: Vec<_> = files.iter().filter(|path| path.to_string_lossy().contains(MARK)).collect();
    assert!(escaped.is_empty(), "{escaped:?}");
    assert!(!Path::new("/tmp").join(MARK).exists());
}

/// Preambles that make a file a program, a script or a picture too are kept as evidence, byte for byte, and go out as nothing
/// that a browser or a shell would start (class 5).
#[test]
fn preamble_policy() {
    let data = DataFolder::fresh();
    let server = data.serve();
    let preambles = [
        b"MZ\x90\0".as_slice(),
        b"\x7FELF\x02\x01\x01",
        b"#!/bin/sh\nid #",
        b"{\"a\":1}",
        b"II*\0\x08\0\0\0",
        b"<script>",
    ];
    for (number, preamble) in preambles.into_iter().enumerate() {
        let uid = format!("1.2.826.0.1.3680043.10.9999.5.{number}");
        let bytes = file(preamble, &data_set(uid.as_bytes(), uid.as_bytes(), uid.as_bytes(), &[]));
        assert_eq!(status(&exchange(server.http, &stow(server.http, "", &bytes))), 200);
        let path = format!("/dicom-web/studies/{uid}/series/{uid}/instances/{uid}");
        let mut stream = std::net::TcpStream::connect(server.http).unwrap();
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\nAccept: application/dicom\r\n\r\n", server.http);
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        std::io::Read::read_to_end(&mut stream, &mut answer).unwrap();
        let at = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        let (head, body) = answer.split_at(at + 4);
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        assert!(body == bytes, "the file comes back byte for byte");
        for line in [
            "content-type: application/dicom",
            "x-content-type-options: nosniff",
            "content-security-policy: default-src 'none'",
        ] {
            assert!(head.contains(line), "{line} is missing:\n{head}");
        }
    }
    let _sealed = data.run(["seal", "--now"]).expect_code(0);
    let mut folders = vec![data.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = std::fs::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                folders.push(path);
            } else {
                let mode = std::os::unix::fs::MetadataExt::mode(&metadata);
                let is_script = path.extension().is_some_and(|extension| extension == "py");
                assert!(mode & 0o111 == 0 || is_script, "{} can be run: {mode:o}", path.display());
            }
        }
    }
    drop(server);
}
