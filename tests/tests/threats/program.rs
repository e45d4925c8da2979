//! What the program is made of.

use std::path::{Path, PathBuf};
use std::process::Command;

use system_tests::vellum::program;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Rust files of the product, tests left out.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> =
        ["archive-core", "archive-api", "lifecycle"].map(|name| root().join(name).join("src")).to_vec();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            if name == "tests" || name.ends_with("_tests") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                // Unit tests stand at the end of a file.
                let product = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default().to_owned();
                found.push((path, product));
            }
        }
    }
    assert!(found.len() > 150, "{} files", found.len());
    found
}

/// Class 6: no value that was received can become a command, for there are no commands.
#[test]
fn no_shell_anywhere() {
    for (path, text) in sources() {
        for word in ["process::Command", "Command::new", "/bin/sh", "sh -c", "libc::system", "execvp"] {
            assert!(!text.contains(word), "{}: {word}", path.display());
        }
    }
}

/// Classes 14 and 15: where pixels are looked at, nothing is computed of them but how long a frame is, and that checked.
#[test]
fn no_pixel_math_in_archive() {
    for (path, text) in sources() {
        for word in [
            "dicom_pixeldata",
            "dicom-pixeldata",
            "PhotometricInterpretation",
            "PHOTOMETRIC_INTERPRETATION",
            "HIGH_BIT",
            "LUT",
        ] {
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let found: Vec<_> = code.filter(|line| line.contains(word)).collect();
            // Index attributes and tables of names may list what they do not interpret; 4:2:2 halves a frame's length.
            let is_table =
                path.ends_with("index_attributes.rs") || path.ends_with("table.rs") || path.ends_with("image.rs");
            assert!(found.is_empty() || is_table, "{}: {found:?}", path.display());
        }
    }
}

/// Class 16: decoders of pictures are not even there.
#[test]
fn archive_binary_links_no_c_codec() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let names: Vec<&str> = lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).collect();
    assert!(names.contains(&"zstd-sys"), "the list is read as it is written");
    for codec in [
        "openjpeg-sys",
        "jpeg2k",
        "openjp2",
        "charls",
        "charls-sys",
        "mozjpeg",
        "mozjpeg-sys",
        "turbojpeg",
        "turbojpeg-sys",
        "jpeg-decoder",
        "zune-jpeg",
        "jxl-oxide",
        "jpegxl-sys",
        "libtiff-sys",
        "tiff",
        "png",
        "image",
        "gdcm-rs",
        "dicom-pixeldata",
        "libwebp-sys",
        "ffmpeg-sys-next",
        "dcmtk-sys",
    ] {
        assert!(!names.contains(&codec), "{codec} is linked");
    }
    let binary = std::fs::read(program()).unwrap();
    for symbol in
        ["opj_decode", "charls_jpegls", "jpeg_read_header", "tjDecompress", "TIFFOpen", "png_read_info", "avcodec_open"]
    {
        assert!(memchr::memmem::find(&binary, symbol.as_bytes()).is_none(), "{symbol} is in the program");
    }
    let Ok(ldd) = Command::new("ldd").arg(program()).output() else { return };
    let libraries = String::from_utf8_lossy(&ldd.stdout).into_owned();
    for line in libraries.lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        let known = ["linux-vdso", "libc.so", "libm.so", "libgcc_s.so", "ld-linux", "libpthread", "libdl", "librt"];
        assert!(known.iter().any(|known| name.contains(known)), "{name} is linked:\n{libraries}");
    }
}

/// Class 43: what is built is what was chosen, from a registry that keeps what it once gave.
#[test]
fn every_dependency_is_locked_to_a_registry_and_a_checksum() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let own = ["archive-core", "archive-api", "lifecycle", "benches", "system-tests", "fuzz-targets"];
    let packages: Vec<&str> = lock.split("[[package]]").skip(1).collect();
    assert!(packages.len() > 200);
    for package in packages {
        let field =
            |name: &str| package.lines().find_map(|line| line.strip_prefix(&format!("{name} = \""))?.strip_suffix('"'));
        let name = field("name").expect("a name");
        if own.contains(&name) {
            continue;
        }
        assert_eq!(field("source"), Some("registry+https://github.com/rust-lang/crates.io-index"), "{name}");
        assert!(field("checksum").is_some_and(|digest| digest.len() == 64), "{name}");
    }
    let checks = std::fs::read_to_string(root().join("scripts/test")).unwrap();
    assert!(checks.contains("cargo deny --log-level error check bans licenses sources"), "scripts/test checks them");
    let rules = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    assert!(rules.contains("unknown-registry = \"deny\"") && rules.contains("unknown-git = \"deny\""));
}

/// Class 30: nothing that is shipped holds a secret, and no key of the configuration has one as its default.
#[test]
fn no_shipped_secret() {
    let folder = tempfile::tempdir().unwrap();
    let shown = Command::new(program()).args(["config", "show", "--data"]).arg(folder.path()).output().unwrap();
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(text.contains("listen"), "the configuration is shown: {text}");
    for line in text.lines() {
        let lower = line.to_ascii_lowercase();
        let secret = ["password", "secret", "token", "passphrase", "private"].iter().any(|word| lower.contains(word));
        let is_empty = lower.split_once('=').is_none_or(|(_, value)| {
            let value = value.split('#').next().unwrap_or_default().trim();
            matches!(value, "" | "\"\"" | "''" | "none" | "[]")
        });
        assert!(!secret || is_empty || lower.trim_start().starts_with('#'), "{line}");
    }
    for folder in ["packaging", "docs/tour"] {
        let mut folders = vec![root().join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(text) = std::fs::read_to_string(&path) {
                    let lower = text.to_ascii_lowercase();
                    for word in ["password=", "passwd=", "secret_access_key=", "begin private key", "begin rsa private"]
                    {
                        assert!(!lower.contains(word), "{}: {word}", path.display());
                    }
                }
            }
        }
    }
}
