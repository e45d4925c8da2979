//! A client that we did not write: dicomweb-client (PyPI) through `tests/python/dicomweb_round_trip.py`.

use std::path::PathBuf;
use std::process::Stdio;

use crate::client::{corpus, start};

fn python() -> Option<PathBuf> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let python = std::env::var_os("VELLUM_PYTHON").map_or_else(|| root.join(".venv/bin/python"), PathBuf::from);
    let imports = std::process::Command::new(&python)
        .args(["-c", "import dicomweb_client, pydicom"])
        .stderr(Stdio::null())
        .status();
    if imports.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    eprintln!("skipped: {} has no dicomweb-client; set VELLUM_PYTHON", python.display());
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn dicomweb_client_stores_finds_and_retrieves() {
    let (Some(python), Some(corpus)) = (python(), corpus()) else { return };
    let service = start().await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/python/dicomweb_round_trip.py");
    let mut command = tokio::process::Command::new(python);
    command.arg(script).arg(service.url("/dicom-web")).arg(corpus);
    let output = command.output().await.unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
