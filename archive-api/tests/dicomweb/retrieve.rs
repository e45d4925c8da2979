//! WADO-RS.

use crate::client::{Made, Service, XML_ONLY, corpus, start};
use crate::fake::Trouble;

const FILES: &str = "multipart/related; type=\"application/dicom\"";
const INSTANCE: &str = "/dicom-web/studies/1.1/series/1.1.1/instances/1.1.1.1";
const FRAMES: &str = "multipart/related; type=\"application/octet-stream\"";

async fn holding(made: &[Made]) -> Service {
    let service = start().await;
    let files: Vec<_> = made.iter().map(Made::file).collect();
    assert_eq!(service.store(&files).await.status, 200);
    service
}

fn two() -> [Made; 2] {
    [Made::new("1.1", "1.1.1", "1.1.1.1"), Made { big_endian: true, ..Made::new("1.1", "1.1.2", "1.1.2.1") }]
}

#[tokio::test]
async fn i2_what_was_stored_comes_back_byte_for_byte() {
    let service = holding(&two()).await;
    let answer = service.get("/dicom-web/studies/1.1", FILES).await;
    assert_eq!(answer.status, 200);
    let parts = answer.parts();
    assert_eq!(parts.len(), 2);
    for (made, (header, body)) in two().iter().zip(&parts) {
        assert_eq!(body[..], made.file()[..]);
        assert!(header.starts_with("Content-Type: application/dicom; transfer-syntax=1.2.840.10008.1.2."), "{header}");
    }
    assert_eq!(service.get("/dicom-web/studies/1.1/series/1.1.2", FILES).await.parts()[0].1[..], two()[1].file()[..]);
    assert_eq!(service.get(INSTANCE, FILES).await.parts()[0].1[..], two()[0].file()[..]);
    let single = service.get(INSTANCE, "application/dicom").await;
    assert_eq!(single.bytes()[..], two()[0].file()[..]);
    assert_eq!(single.header("content-length"), two()[0].file().len().to_string());
    assert_eq!(single.header("content-type"), "application/dicom; transfer-syntax=1.2.840.10008.1.2.1");
}

#[tokio::test]
async fn a_named_syntax_gets_what_is_stored_in_it_and_206_where_that_is_not_all() {
    let service = holding(&two()).await;
    let named = |uid: &str| format!("{FILES}; transfer-syntax={uid}");
    let answer = service.get("/dicom-web/studies/1.1", &named("1.2.840.10008.1.2.1")).await;
    assert_eq!((answer.status.as_u16(), answer.parts().len()), (206, 1));
    assert_eq!(service.get("/dicom-web/studies/1.1", &named("*")).await.status, 200);
    let answer = service.get("/dicom-web/studies/1.1/series/1.1.2", &named("1.2.840.10008.1.2.2")).await;
    assert_eq!(answer.status, 200);
    for path in ["/dicom-web/studies/1.1", INSTANCE] {
        let answer = service.get(path, &named("1.2.840.10008.1.2.4.90")).await;
        assert_eq!(answer.status, 406);
        assert!(answer.json()["supported"].to_string().contains("1.2.840.10008.1.2.1"), "it says what there is");
    }
}

#[tokio::test]
async fn what_is_not_there_is_404_everywhere_and_503_while_rebuilding() {
    let service = holding(&two()).await;
    let paths = [
        "/dicom-web/studies/9",
        "/dicom-web/studies/9/metadata",
        "/dicom-web/studies/1.1/series/9",
        "/dicom-web/studies/1.1/series/1.1.1/instances/9",
        "/dicom-web/studies/1.1/series/1.1.1/instances/9/frames/1",
    ];
    let mut bodies = Vec::new();
    for path in paths {
        let answer = service.get(path, "*/*").await;
        assert_eq!(answer.status, 404, "{path}");
        bodies.push(answer.bytes().clone());
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "all read the same");
    *service.archive.trouble.lock() = Trouble::Rebuilding;
    for path in paths {
        let answer = service.get(path, "*/*").await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "9"), "{path}");
    }
}

#[tokio::test]
async fn what_cannot_be_told_to_be_whole_is_500_and_single_instances_carry_a_warning() {
    let service = holding(&two()).await;
    assert!(service.get(INSTANCE, "*/*").await.header("warning").is_empty());
    for (trouble, word) in [(Trouble::Unreadable, "cannot be read"), (Trouble::Rebuilding, "rebuilt")] {
        *service.archive.trouble.lock() = trouble;
        for path in [INSTANCE.to_owned(), format!("{INSTANCE}/metadata"), format!("{INSTANCE}/frames/1")] {
            let answer = service.get(&path, "*/*").await;
            assert_eq!(answer.status, 200, "{path}");
            assert!(answer.header("warning").starts_with("299 vellum") && answer.header("warning").contains(word));
        }
    }
    *service.archive.trouble.lock() = Trouble::Unreadable;
    let answer = service.get("/dicom-web/studies/9", "*/*").await;
    assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), (500, Some("damaged")));
    assert!(answer.header("warning").is_empty());
}

#[tokio::test]
async fn i9_damage_is_500_or_a_cut_connection_and_never_a_whole_looking_body() {
    let service = holding(&two()).await;
    *service.archive.trouble.lock() = Trouble::DamagedAtOnce;
    for path in ["/dicom-web/studies/1.1", INSTANCE, "/dicom-web/studies/1.1/metadata"] {
        let answer = service.get(path, "*/*").await;
        assert_eq!(answer.status, 500, "{path}");
        assert!(!answer.json().to_string().contains("secret.zip"), "no inner name leaves");
    }
    *service.archive.trouble.lock() = Trouble::DamagedLater;
    let mut big = Made::new("1.7", "1.7.1", "1.7.1.1");
    big.frames = vec![[1, 2]; 4000];
    service.store(&[big.file()]).await;
    for accept in [FILES, "application/dicom"] {
        let request = http::Request::get(service.url("/dicom-web/studies/1.7/series/1.7.1/instances/1.7.1.1"));
        let request = request.header("accept", accept).body(Default::default()).unwrap();
        let answer = service.try_send(request).await;
        assert!(answer.is_none_or(|answer| answer.body.is_err()), "the connection was not cut");
    }
}

#[tokio::test]
async fn metadata_is_an_array_with_absolute_addresses() {
    let service = holding(&two()).await;
    for (path, count) in [
        ("/dicom-web/studies/1.1/metadata", 2),
        ("/dicom-web/studies/1.1/series/1.1.1/metadata", 1),
        (&format!("{INSTANCE}/metadata"), 1),
    ] {
        let answer = service.get(path, "application/dicom+json").await;
        let array = answer.json();
        assert_eq!(array.as_array().unwrap().len(), count, "{path}");
        let uri = array[0]["7FE00010"]["BulkDataURI"].as_str().unwrap().to_owned();
        assert!(uri.starts_with(&service.url(INSTANCE)), "{uri}");
        assert!(!answer.bytes().windows(7).any(|w| w == b"@vellum"));
    }
    assert_eq!(service.get(&format!("{INSTANCE}/metadata"), XML_ONLY).await.status, 406);
}

#[tokio::test]
async fn plain_frames_are_little_endian_whatever_they_are_stored_in() {
    let service = holding(&two()).await;
    for instance in [INSTANCE, "/dicom-web/studies/1.1/series/1.1.2/instances/1.1.2.1"] {
        let answer = service.get(&format!("{instance}/frames/3,2"), FRAMES).await;
        assert_eq!(answer.status, 200);
        let parts = answer.parts();
        assert_eq!(parts[0].1[..], [0xFE, 0xFF, 7, 0]);
        assert_eq!(parts[1].1[..], [0x04, 0x03, 0x06, 0x05]);
        assert!(parts[0].0.contains("transfer-syntax=1.2.840.10008.1.2.1"));
        let single = service.get(&format!("{instance}/frames/2"), "application/octet-stream").await;
        assert_eq!(single.bytes()[..], [0x04, 0x03, 0x06, 0x05]);
        let metadata = service.get(&format!("{instance}/metadata"), "*/*").await.json();
        let uri = metadata[0]["7FE00010"]["BulkDataURI"].as_str().unwrap();
        let bulk = service.get(uri.strip_prefix(&service.url("")).unwrap(), "*/*").await;
        assert_eq!(bulk.bytes()[..], [1, 0, 2, 0, 4, 3, 6, 5, 0xFE, 0xFF, 7, 0]);
    }
}

#[tokio::test]
async fn frames_that_are_not_there_are_404_and_lists_that_are_none_400() {
    let service = holding(&two()).await;
    for (list, status) in [("4", 404), ("1,4", 404), ("0", 400), ("x", 400), ("1-2", 400), ("1,,2", 400)] {
        let answer = service.get(&format!("{INSTANCE}/frames/{list}"), FRAMES).await;
        assert_eq!(answer.status, status, "{list}");
    }
    let several = service.get(&format!("{INSTANCE}/frames/1,2"), "application/octet-stream").await;
    assert_eq!(several.status, 406, "several frames are no single body");
}

#[tokio::test]
async fn compressed_frames_go_under_their_own_media_type() {
    let Some(corpus) = corpus() else { return };
    let service = start().await;
    let file = std::fs::read(corpus.join("transfer-syntax/MR_small_jpeg_ls_lossless.dcm")).unwrap();
    let module = service.store(&[file]).await.json();
    let url = module["00081199"]["Value"][0]["00081190"]["Value"][0].as_str().unwrap().to_owned();
    let instance = url.strip_prefix(&service.url("")).unwrap();
    let frame = format!("{instance}/frames/1");
    let by_type = service.get(&frame, "multipart/related; type=\"image/jls\"").await;
    assert!(by_type.parts()[0].0.contains("image/jls; transfer-syntax=1.2.840.10008.1.2.4.80"));
    let as_stored = service.get(&frame, "multipart/related; type=application/octet-stream; transfer-syntax=*").await;
    assert_eq!(as_stored.parts()[0].1, by_type.parts()[0].1);
    assert!(as_stored.parts()[0].0.contains("application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.80"));
    assert_eq!(service.get(&frame, FRAMES).await.status, 406, "a codestream is no plain frame");
    assert_eq!(service.get(&frame, "image/jls").await.bytes(), &by_type.parts()[0].1);
    let bulk = service.get(&format!("{instance}/bulkdata/frames"), "multipart/related; type=\"image/*\"").await;
    assert_eq!(bulk.parts()[0].1, by_type.parts()[0].1);
}

#[tokio::test]
async fn head_says_what_get_would() {
    let service = holding(&two()).await;
    let request = http::Request::head(service.url(INSTANCE)).header("accept", "application/dicom");
    let answer = service.send(request.body(Default::default()).unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.bytes().len()), (200, 0));
    assert_eq!(answer.header("content-length"), two()[0].file().len().to_string());
}
