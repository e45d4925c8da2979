//! Packs and stores read by programs that know nothing of Vellum: 7-Zip, bsdtar, and extract.py with each of them.

use std::path::PathBuf;
use std::process::Command;

use super::*;

/// The output of a program; `None` where it is not installed, said loudly.
pub(super) fn run(program: &str, arguments: &[&str]) -> Option<String> {
    match Command::new(program).args(arguments).output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{program} {arguments:?}: {text}{error}");
            Some(text)
        }
        Err(_) => {
            eprintln!("SKIPPED: {program} is not installed, so nobody tried whether it reads a pack");
            None
        }
    }
}

/// Exit code and output of `extract.py`; `None` where Python or the unpacking program is not installed.
fn extract_py(store: &Path, program: &str, arguments: &[&str]) -> Option<(i32, String)> {
    run(program, &[if program == "7zz" { "i" } else { "--version" }])?;
    run("python3", &["--version"])?;
    let output = Command::new("python3")
        .arg(store.join("extract.py"))
        .args(["--program", program])
        .args(arguments)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    Some((output.status.code().unwrap(), String::from_utf8(text).unwrap()))
}

fn sample() -> Vec<TestVersion> {
    let mut frames = vec![Piece::Header(smooth(1, 900))];
    frames.extend((0..300).map(|seed| Piece::Frame(smooth(seed, 5000))));
    let mut several = TestVersion::new("1.1", "1.2.1", 1, &frames).with_prefix(&prefix("first"));
    several.receive(2, Some(&prefix("second")));
    several.receive(3, None);
    let later = TestVersion::new("1.1", "1.2.1", 4, &[Piece::Header(noise(5, 70_000))]);
    let hostile = TestVersion::new("1.2", "/../x", 5, &[Piece::Header(smooth(6, 70_000))]);
    vec![several, later, hostile]
}

/// A store in a folder, with one pack of the versions.
fn store_of(folder: &Path, built: &BuiltPack) -> PathBuf {
    std::fs::write(folder.join("README.txt"), crate::store_files::README).unwrap();
    std::fs::write(folder.join("extract.py"), crate::store_files::EXTRACT).unwrap();
    let pack = folder.join(built.pack.key().unwrap().as_str());
    std::fs::create_dir_all(pack.parent().unwrap()).unwrap();
    std::fs::copy(built.path(), &pack).unwrap();
    pack
}

#[test]
fn i2_seven_zip_and_bsdtar_give_every_file_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let versions = sample();
    let built = build(folder.path(), &versions);
    let pack = built.path().to_str().unwrap();
    let (seven, tar) = (folder.path().join("7zz"), folder.path().join("bsdtar"));
    std::fs::create_dir_all(&tar).unwrap();
    let out = format!("-o{}", seven.display());
    let ran = [
        (run("7zz", &["x", "-bd", &out, pack]), &seven),
        (run("bsdtar", &["-xf", pack, "-C", tar.to_str().unwrap()]), &tar),
    ];
    let names = [
        "1.2.1.dcm".to_owned(),
        format!("1.2.1~{}.dcm", versions[1].facts.version.content),
        format!("{}.dcm", crate::identifiers::uid_path_component("/../x")),
    ];
    for (_, to) in ran.iter().filter(|(output, _)| output.is_some()) {
        for (version, name) in versions.iter().zip(&names) {
            assert!(std::fs::read(to.join(name)).unwrap() == version.file(), "{name} in {}", to.display());
        }
        assert!(to.join("vellum/frames.bin").exists());
    }
    run("7zz", &["t", "-bd", pack]);
}

#[test]
fn i2_bsdtar_sees_the_end_of_a_member_that_fills_its_buffer() {
    let folder = tempfile::tempdir().unwrap();
    let slice = |sop: &str, number: u64, frame: usize| {
        TestVersion::new("1.1", sop, number, &[Piece::Header(smooth(1, 900)), Piece::Frame(smooth(number, frame))])
    };
    let versions = [slice("1.2.1", 1, 131_072), slice("1.2.2", 2, 524_288), slice("1.2.3", 3, 131_073)];
    let built = build(folder.path(), &versions);
    let to = folder.path().join("bsdtar");
    std::fs::create_dir_all(&to).unwrap();
    let pack = built.path().to_str().unwrap();
    if run("bsdtar", &["-xf", pack, "-C", to.to_str().unwrap()]).is_none() {
        return;
    }
    for (version, name) in versions.iter().zip(["1.2.1.dcm", "1.2.2.dcm", "1.2.3.dcm"]) {
        assert!(std::fs::read(to.join(name)).unwrap() == version.file(), "{name}");
    }
    run("7zz", &["t", "-bd", pack]);
}

#[test]
fn i2_extract_py_gives_every_file_byte_for_byte_with_each_program() {
    let folder = tempfile::tempdir().unwrap();
    let versions = sample();
    let built = build(folder.path(), &versions);
    store_of(folder.path(), &built);
    for program in ["zstd", "7zz", "bsdtar"] {
        let target = folder.path().join(format!("out-{program}"));
        let to = target.to_str().unwrap();
        let Some((code, text)) = extract_py(folder.path(), program, &["verify"]) else { continue };
        assert_eq!(code, 0, "{program}: {text}");
        let (code, text) = extract_py(folder.path(), program, &["extract", to, "--all-versions"]).unwrap();
        assert_eq!(code, 0, "{program}: {text}");
        let study = target.join(STUDY);
        let first = versions[0].facts.version.content;
        let second_file = [prefix("second"), versions[0].content.clone()].concat();
        let hostile = format!("1.2/{}.dcm", crate::identifiers::uid_path_component("/../x"));
        for (name, file) in [
            ("1.1/1.2.1.dcm".to_owned(), versions[1].file()),
            (format!("1.1/1.2.1~{first}.dcm"), versions[0].file()),
            (format!("1.1/1.2.1~{first}~r1-2.dcm"), second_file),
            (hostile, versions[2].file()),
        ] {
            assert!(std::fs::read(study.join(&name)).unwrap() == file, "{program}: {name}");
        }
        let count = |path: &str| std::fs::read_dir(study.join(path)).unwrap().count();
        assert_eq!((count("1.1"), count("1.2")), (3, 1), "{program}: nothing else is left behind");
        let (code, _) = extract_py(folder.path(), program, &["extract", to]).unwrap();
        assert_eq!(code, 1, "{program}: what exists is never overwritten");
        let (code, text) = extract_py(folder.path(), program, &["list", "--study", STUDY]).unwrap();
        assert_eq!((code, text.matches(STUDY).count()), (0, 3), "{program}: {text}");
        assert!(!text.contains("ller"), "no name of a patient is shown");
    }
}

#[test]
fn i2_extract_py_gives_a_healed_version_with_the_prefix_of_its_first_receipt() {
    let folder = tempfile::tempdir().unwrap();
    let pieces = [Piece::Header(noise(1, 900))];
    let first = TestVersion::new("1.1", "1.2.1", 1, &pieces).with_prefix(&prefix("first"));
    // It came again as a bare data set, and its bytes were sealed again, for the first copy is damaged.
    let again = TestVersion::new("1.1", "1.2.1", 2, &pieces);
    for version in [&first, &again] {
        let built = build(folder.path(), std::slice::from_ref(version));
        let pack = store_of(folder.path(), &built);
        if version.receipts == first.receipts {
            let mut bytes = std::fs::read(&pack).unwrap();
            let member = &inspect(&pack).unwrap().members[1];
            bytes[(member.offset + member.stored - 1) as usize] ^= 1;
            std::fs::write(&pack, bytes).unwrap();
        }
    }
    let target = folder.path().join("out");
    let to = target.to_str().unwrap();
    let Some((code, text)) = extract_py(folder.path(), "zstd", &["extract", to, "--all-versions"]) else { return };
    assert_eq!(code, 0, "{text}");
    let series = target.join(STUDY).join("1.1");
    assert!(std::fs::read(series.join("1.2.1.dcm")).unwrap() == first.file());
    assert_eq!(std::fs::read_dir(series).unwrap().count(), 1, "no file came with the second receipt");
}

#[test]
fn i9_extract_py_writes_no_damaged_file_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let versions = sample();
    let built = build(folder.path(), &versions);
    let pack = store_of(folder.path(), &built);
    let good = std::fs::read(&pack).unwrap();
    let found = inspect(&pack).unwrap();
    let member = &found.members[1];
    for program in ["zstd", "7zz", "bsdtar"] {
        let mut bytes = good.clone();
        bytes[(member.offset + member.stored / 2) as usize] ^= 1;
        std::fs::write(&pack, bytes).unwrap();
        let Some((code, text)) = extract_py(folder.path(), program, &["verify"]) else { continue };
        assert_eq!(code, 1, "{program}: {text}");
        assert!(text.contains("DAMAGED") && text.contains("name"), "{text}");
        let target = folder.path().join(format!("damaged-{program}"));
        let (code, _) =
            extract_py(folder.path(), program, &["extract", target.to_str().unwrap(), "--all-versions"]).unwrap();
        assert_eq!(code, 1);
        let names: Vec<_> = std::fs::read_dir(target.join(STUDY).join("1.1")).unwrap().collect();
        assert_eq!(names.len(), 1, "{program}: the other version is there, the damaged one is not: {names:?}");
    }
}

#[test]
fn extract_py_checks_units_where_blake3_is_installed() {
    let folder = tempfile::tempdir().unwrap();
    let built = build(folder.path(), &sample());
    store_of(folder.path(), &built);
    // A module that finds every digest wrong: so it is seen that it was asked.
    let module = "class blake3:\n def update(self, piece): pass\n def hexdigest(self): return 'no'\n";
    std::fs::write(folder.path().join("blake3.py"), module).unwrap();
    let Some((code, text)) = extract_py(folder.path(), "zstd", &["verify"]) else { return };
    assert_eq!((code, text.contains("has a unit without its digest")), (1, true), "{text}");
}

#[test]
fn extract_py_compares_with_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let built = build(folder.path(), &sample());
    let pack = store_of(folder.path(), &built);
    let ids = ["a".repeat(32), "b".repeat(32)];
    std::fs::write(folder.path().join("archive.json"), json!({"archive": ids[0], "store": ids[1]}).to_string())
        .unwrap();
    let segments = folder.path().join("ledger/000001/0000000");
    std::fs::create_dir_all(&segments).unwrap();
    let mut entry = serde_json::to_value(&built.pack).unwrap();
    entry["kind"] = json!("sealed");
    entry["stores"] = json!([ids[1]]);
    let write = |entry: &serde_json::Value| {
        let segment = zstd::encode_all(format!("{{\"archive\":1}}\n{entry}\n").as_bytes(), 1).unwrap();
        std::fs::write(segments.join("0000000000.jsonl.zst"), segment).unwrap();
    };
    write(&entry);
    let Some((code, text)) = extract_py(folder.path(), "zstd", &["verify"]) else { return };
    assert_eq!((code, text.contains("note")), (0, false), "{text}");
    let good = entry["root"]["sha256"].clone();
    entry["root"]["sha256"] = json!("0".repeat(64));
    write(&entry);
    assert_eq!(extract_py(folder.path(), "zstd", &["verify"]).unwrap().0, 1, "another root");
    entry["root"]["sha256"] = good;
    write(&entry);
    std::fs::remove_file(&pack).unwrap();
    assert_eq!(extract_py(folder.path(), "zstd", &["verify"]).unwrap().0, 1, "a missing pack");
}
