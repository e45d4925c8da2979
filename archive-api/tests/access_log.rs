//! What the log may hold. A test program of its own: it listens to everything that the process logs.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so by failing")]
#![allow(dead_code, reason = "the client and the archive in memory are shared with the other tests")]

#[path = "dicomweb/client.rs"]
mod client;
#[path = "dicomweb/fake.rs"]
mod fake;

use std::io::Write;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::client::{Made, start};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_patient_data_and_no_path_reaches_the_log() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("archive_api=trace")
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let service = start().await;
    let mut made = Made::new("1.77.1", "1.77.2", "1.77.3");
    made.name = "SECRET^NAME".into();
    service.store(&[made.file(), b"SECRET".to_vec()]).await;
    for path in [
        "/dicom-web/studies/1.77.1/series/1.77.2/instances/1.77.3",
        "/dicom-web/studies?PatientName=SECRET*",
        "/dicom-web/studies?SECRET=1",
        "/dicom-web/studies/1.77.1",
        "/dicom-web/studies/1.77.9/metadata",
        "/SECRET",
    ] {
        service.get(path, "*/*").await;
    }
    let text = String::from_utf8(lines.0.lock().clone()).unwrap();
    assert!(text.contains("/dicom-web/studies/{study}/metadata"), "routes are logged: {text}");
    assert!(
        text.contains("instance refused") && text.contains("C000"),
        "refusals are logged with their reason: {text}"
    );
    let file =
        text.lines().find(|line| line.contains("instances/{instance}\" status=200")).expect("the file was given");
    assert!(file.contains("whole=true"), "{file}");
    assert!(!text.contains("SECRET") && !text.contains("1.77."), "{text}");
}
