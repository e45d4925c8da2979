//! Foreign implementations as peers: DCMTK's tools and pynetdicom. Skipped, with a line, where they are not installed.
//!
//! `VELLUM_PYTHON` names a Python with `pydicom` and `pynetdicom`, `VELLUM_CORPUS` a folder of DICOM files.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use archive_core::identifiers::{AeTitle, ContentId};
use serde_json::Value;
use tokio::process::Command;

use super::fake::{FakeTarget, Stored};
use super::server::{Door, open_door};
use crate::dimse::{DimseConfig, Peer};

const MANIFEST: &str = env!("CARGO_MANIFEST_DIR");

/// A Python that has pynetdicom.
async fn python() -> Option<PathBuf> {
    let named = std::env::var_os("VELLUM_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|| Path::new(MANIFEST).join("../.venv/bin/python"));
    let tried = Command::new(&python).args(["-c", "import pydicom, pynetdicom"]).output().await;
    if tried.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    eprintln!("skipped: {} has no pydicom and pynetdicom; VELLUM_PYTHON may name one that has", python.display());
    None
}

fn script(name: &str) -> PathBuf {
    Path::new(MANIFEST).join("../tests/python").join(name)
}

/// Files of the corpus in these folders of it.
fn corpus(folders: &[&str]) -> Option<Vec<PathBuf>> {
    let root = std::env::var_os("VELLUM_CORPUS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpus")), PathBuf::from);
    let mut files = Vec::new();
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { open.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    if files.is_empty() {
        eprintln!("skipped: no files in {}; VELLUM_CORPUS may name another folder", root.display());
        return None;
    }
    Some(files)
}

/// Runs a program to its end; its output, both ways. `None` where it is not installed.
async fn run(program: impl AsRef<OsStr>, arguments: &[&OsStr]) -> Option<(bool, String, String)> {
    let output = match Command::new(&program).args(arguments).stdin(Stdio::null()).output().await {
        Ok(output) => output,
        Err(error) => {
            eprintln!("skipped: {}: {error}", program.as_ref().display());
            return None;
        }
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some((output.status.success(), text(&output.stdout), text(&output.stderr)))
}

async fn close(door: Door) {
    door.shutdown.cancel();
    door.task.await.expect("no panic");
}

#[tokio::test]
async fn echoscu_is_answered_and_a_wrong_title_rejected() {
    let door = open_door(DimseConfig::default(), &FakeTarget::default()).await;
    let port = door.address.port().to_string();
    let echo = |title: &'static str| {
        let port = port.clone();
        async move {
            let arguments = ["-v", "-aec", title, "127.0.0.1", &port].map(OsStr::new);
            run("echoscu", &arguments).await
        }
    };
    let Some((success, out, err)) = echo("VELLUM").await else { return };
    assert!(success, "{out}{err}");
    let Some((success, out, err)) = echo("NOBODY").await else { return };
    assert!(!success && format!("{out}{err}").contains("Called AE Title Not Recognized"), "{out}{err}");
    close(door).await;
}

#[tokio::test]
async fn pynetdicom_understands_what_is_negotiated() {
    let Some(python) = python().await else { return };
    let door = open_door(DimseConfig::default(), &FakeTarget::default()).await;
    let port = door.address.port().to_string();
    let script = script("negotiate.py");
    let arguments = [script.as_os_str(), OsStr::new(&port), OsStr::new("VELLUM")];
    let (success, out, err) = run(python, &arguments).await.expect("it ran before");
    assert!(success, "{out}{err}");
    let answer: Value = serde_json::from_str(&out).expect("JSON");
    let (ct, find) = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.2.1.1");
    assert_eq!(answer["contexts"][ct], "1.2.840.10008.1.2.1");
    assert_eq!(answer["contexts"]["1.3.12.2.1107.5.9.1"], "1.2.840.10008.1.2.1");
    assert_eq!(answer["rejected"][find], 3);
    assert_eq!(answer["window"], serde_json::json!([1, 1]));
    assert_eq!(answer["extended"][ct], "020003000000");
    assert_eq!(answer["roles"][ct], serde_json::json!([true, false]));
    assert_eq!(answer["maximum"], 128 * 1024);
    assert_eq!(answer["echo"], "0000");
    assert_eq!(answer["released"], true);
    close(door).await;
}

#[tokio::test]
async fn i2_every_data_set_of_the_corpus_arrives_as_pydicom_delimits_it() {
    let folders = ["charset", "modality", "object", "odd", "pixel", "same-uid", "studies", "transfer-syntax"];
    let (Some(python), Some(files)) = (python().await, corpus(&folders)) else { return };
    let title = AeTitle::parse("PYNETDICOM").expect("a title");
    let peer = Peer { accept_unknown_syntaxes: true, ..Peer::new(title) };
    let target = FakeTarget::default();
    let door = open_door(DimseConfig { peers: vec![peer], ..DimseConfig::default() }, &target).await;
    let (port, script) = (door.address.port().to_string(), script("store_files.py"));
    let mut arguments = vec![script.as_os_str(), OsStr::new(&port), OsStr::new("VELLUM")];
    arguments.extend(files.iter().map(|path| path.as_os_str()));
    let (success, out, err) = run(python, &arguments).await.expect("it ran before");
    assert!(success, "{err}");

    let stored = target.stored();
    let mut arrived = stored.iter();
    let mut refused: HashMap<String, usize> = HashMap::new();
    let mut count = 0;
    for line in out.lines() {
        let sent: Value = serde_json::from_str(line).expect("JSON");
        let field = |name: &str| sent[name].as_str().unwrap_or_default();
        if field("status") == "not accepted" {
            *refused.entry(field("syntax").to_owned()).or_default() += 1;
            continue;
        }
        if field("status") == "not sendable" {
            continue;
        }
        assert_eq!(field("status"), "0000", "{line}");
        let instance = arrived.next().expect("each success was stored");
        assert_eq!((instance.sop(), instance.syntax()), (field("sop"), field("syntax")), "{line}");
        assert_eq!(ContentId::of(&instance.bytes).to_hex(), field("sha256"), "{line}");
        count += 1;
    }
    assert!(arrived.next().is_none());
    eprintln!("{count} data sets arrived; contexts refused: {refused:?}");
    assert!(count >= 250, "only {count} of {} files were sent", files.len());
    let by_reference = ["1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.95"];
    assert!(refused.keys().all(|syntax| by_reference.contains(&syntax.as_str())), "{refused:?}");
    close(door).await;
}

/// Sends files with storescu; what arrived.
async fn storescu(options: &[&str], files: &[PathBuf]) -> Option<Vec<Stored>> {
    let target = FakeTarget::default();
    let door = open_door(DimseConfig::default(), &target).await;
    let port = door.address.port().to_string();
    let mut arguments: Vec<&OsStr> = options.iter().map(OsStr::new).collect();
    arguments.extend(["-aec", "VELLUM", "-nh", "127.0.0.1", &port].map(OsStr::new));
    arguments.extend(files.iter().map(|path| path.as_os_str()));
    let (success, out, err) = run("storescu", &arguments).await?;
    assert!(success, "storescu {options:?}: {out}{err}");
    close(door).await;
    Some(target.stored())
}

/// What pydicom says of each pair of file sent and data set received.
async fn compare(python: &Path, files: &[PathBuf], stored: &[Stored]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut pairs = String::new();
    for (index, (file, instance)) in files.iter().zip(stored).enumerate() {
        let received = folder.path().join(index.to_string());
        std::fs::write(&received, &instance.bytes).expect("written");
        pairs += &format!("{}\t{}\t{}\n", file.display(), received.display(), instance.syntax());
    }
    let list = folder.path().join("pairs");
    std::fs::write(&list, pairs).expect("written");
    let script = script("same_data_set.py");
    let (success, out, err) = run(python, &[script.as_os_str(), list.as_os_str()]).await.expect("it ran before");
    assert!(success, "{err}");
    out.lines().map(str::to_owned).collect()
}

/// Files that storescu can send in any uncompressed syntax, and in which pydicom finds the same before and after.
const PLAIN: [&str; 4] = ["charset/chrArab.dcm", "charset/chrFren.dcm", "charset/chrGreek.dcm", "charset/chrRuss.dcm"];

#[tokio::test]
async fn storescu_in_every_mode_brings_what_pydicom_reads_in_the_file() {
    let (Some(python), Some(all)) = (python().await, corpus(&["charset"])) else { return };
    let files: Vec<PathBuf> = all.into_iter().filter(|path| PLAIN.iter().any(|name| path.ends_with(name))).collect();
    assert_eq!(files.len(), PLAIN.len());
    for (options, syntax) in [
        (&["-x="][..], "1.2.840.10008.1.2.1"),
        (&["-xe"], "1.2.840.10008.1.2.1"),
        (&["-xe", "+C"], "1.2.840.10008.1.2.1"),
        (&["-xi"], "1.2.840.10008.1.2"),
        (&["-xb", "+C"], "1.2.840.10008.1.2.2"),
        (&["-xd", "+C"], "1.2.840.10008.1.2.1.99"),
        (&["-xs", "-R"], "1.2.840.10008.1.2.1"),
        (&["-xe", "--max-send-pdu", "4096", "-pdu", "4096"], "1.2.840.10008.1.2.1"),
        (&["-xe", "-usr", "somebody", "-pwd", "something"], "1.2.840.10008.1.2.1"),
    ] {
        let Some(stored) = storescu(options, &files).await else { return };
        assert_eq!(stored.len(), files.len(), "{options:?}");
        assert!(stored.iter().any(|instance| instance.syntax() == syntax), "{options:?}: {}", stored[0].syntax());
        let verdicts = compare(&python, &files, &stored).await;
        assert!(
            verdicts.len() == files.len() && verdicts.iter().all(|verdict| verdict == "same"),
            "{options:?}: {verdicts:?}"
        );
    }
}

#[tokio::test]
async fn storescu_brings_compressed_files_in_their_own_syntax() {
    let Some(all) = corpus(&["transfer-syntax", "pixel"]) else { return };
    let mut sent = 0;
    for (option, syntax) in [
        ("-xs", "1.2.840.10008.1.2.4.70"),
        ("-xy", "1.2.840.10008.1.2.4.50"),
        ("-xx", "1.2.840.10008.1.2.4.51"),
        ("-xv", "1.2.840.10008.1.2.4.90"),
        ("-xw", "1.2.840.10008.1.2.4.91"),
        ("-xt", "1.2.840.10008.1.2.4.80"),
        ("-xu", "1.2.840.10008.1.2.4.81"),
        ("-xr", "1.2.840.10008.1.2.5"),
    ] {
        let padded = [
            b"\x02\x00\x10\x00UI".as_slice(),
            &[u8::try_from(syntax.len().next_multiple_of(2)).expect("short"), 0],
            syntax.as_bytes(),
        ]
        .concat();
        let is_in = |path: &&PathBuf| {
            std::fs::read(path).is_ok_and(|bytes| {
                bytes.get(128..132) == Some(b"DICM".as_slice())
                    && memchr::memmem::find(&bytes[..bytes.len().min(2048)], &padded).is_some_and(|at| {
                        bytes.get(at + padded.len()).is_none_or(|next| !next.is_ascii_digit() && *next != b'.')
                    })
            })
        };
        let files: Vec<PathBuf> = all.iter().filter(is_in).take(3).cloned().collect();
        for file in files {
            let Some(stored) = storescu(&[option, "-R"], std::slice::from_ref(&file)).await else { return };
            assert!(stored.iter().all(|instance| instance.syntax() == syntax), "{option}: {}", file.display());
            sent += stored.len();
        }
    }
    assert!(sent >= 8, "only {sent} compressed files were sent");
}

#[tokio::test]
async fn storescu_that_aborts_leaves_the_door_open() {
    let Some(files) = corpus(&["charset"]) else { return };
    let target = FakeTarget::default();
    let door = open_door(DimseConfig::default(), &target).await;
    let port = door.address.port().to_string();
    let arguments = ["--abort", "-aec", "VELLUM", "127.0.0.1", &port].map(OsStr::new);
    let file = files.first().expect("some").as_os_str();
    let Some((success, out, err)) = run("storescu", &[&arguments[..], &[file]].concat()).await else { return };
    assert!(success, "{out}{err}");
    assert_eq!(target.stored().len(), 1);
    let arguments = ["-aec", "VELLUM", "127.0.0.1", &port].map(OsStr::new);
    assert!(run("echoscu", &arguments).await.is_some_and(|(success, ..)| success));
    close(door).await;
}
