//! STOW-RS.

use serde_json::Value;

use crate::client::{MULTIPART, Made, XML_ONLY, multipart_of, start};
use crate::fake::Trouble;

fn items<'a>(answer: &'a Value, tag: &str) -> &'a [Value] {
    answer[tag]["Value"].as_array().map_or(&[], Vec::as_slice)
}

#[tokio::test]
async fn everything_stored_is_200_with_addresses() {
    let service = start().await;
    let answer = service
        .store(&[Made::new("1.1", "1.1.1", "1.1.1.1").file(), Made::new("1.1", "1.1.1", "1.1.1.2").file()])
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/dicom+json");
    let module = answer.json();
    assert_eq!(module["00081190"]["Value"][0], service.url("/dicom-web/studies/1.1"));
    let stored = items(&module, "00081199");
    assert_eq!(stored.len(), 2);
    assert_eq!(stored[0]["00081155"]["Value"][0], "1.1.1.1");
    assert_eq!(stored[0]["00081190"]["Value"][0], service.url("/dicom-web/studies/1.1/series/1.1.1/instances/1.1.1.1"));
    assert_eq!(service.archive.count(), 2);
}

#[tokio::test]
async fn a_refused_part_harms_no_other_and_is_listed_with_its_reason() {
    let service = start().await;
    let good = Made::new("1.1", "1.1.1", "1.1.1.1").file();
    let nameless = Made::new("", "1.1.1", "1.9.9").file();
    let answer = service.store(&[b"not DICOM at all".to_vec(), nameless, good]).await;
    assert_eq!(answer.status, 202);
    let module = answer.json();
    assert_eq!(items(&module, "00081199").len(), 1);
    let failed = items(&module, "00081198");
    assert_eq!(failed.len(), 1, "named by its meta group");
    assert_eq!(failed[0]["00081155"]["Value"][0], "1.9.9");
    assert_eq!(failed[0]["00081197"]["Value"][0], 0xA900, "the code of C-STORE");
    let others = items(&module, "0008119A");
    assert_eq!(others.len(), 1, "what names no instance");
    assert_eq!(others[0]["00081197"]["Value"][0], 0xC000);
    assert!(
        answer.headers.get_all("warning").iter().any(|w| w.to_str().unwrap().contains("part 1: refused: not DICOM"))
    );
    assert_eq!(service.archive.count(), 1);
}

#[tokio::test]
async fn an_instance_of_another_study_is_a_conflict() {
    let service = start().await;
    let file = Made::new("1.1", "1.1.1", "1.1.1.1").file();
    let answer = service.post("/dicom-web/studies/1.2", MULTIPART, multipart_of(&[file])).await;
    assert_eq!(answer.status, 409);
    let module = answer.json();
    assert_eq!(items(&module, "00081198")[0]["00081197"]["Value"][0], 0xA900);
    assert_eq!(service.archive.count(), 0);
}

#[tokio::test]
async fn nothing_stored_has_the_status_of_its_reason() {
    let service = start().await;
    let file = Made::new("1.1", "1.1.1", "1.1.1.1").file();
    for (trouble, status, reason) in [(Trouble::Full, 507, 0xA700), (Trouble::NotReceiving, 503, 0xA700)] {
        *service.archive.trouble.lock() = trouble;
        let answer = service.store(std::slice::from_ref(&file)).await;
        assert_eq!(answer.status, status);
        assert!(!answer.header("retry-after").is_empty());
        assert_eq!(items(&answer.json(), "00081198")[0]["00081197"]["Value"][0], reason);
    }
    *service.archive.trouble.lock() = Trouble::None;
    // PS3.18 Table 10.5.3-1: the request is in order, its instances are not.
    let answer = service.store(&[b"nonsense".to_vec(), b"more of it".to_vec()]).await;
    assert_eq!(answer.status, 409);
    let others = answer.json();
    let others = items(&others, "0008119A");
    assert_eq!(others.len(), 2, "every part is listed");
    assert!(others.iter().all(|item| item["00081197"]["Value"][0] == 0xC000), "{others:?}");
    assert_eq!(service.post("/dicom-web/studies", "application/dicom", b"nonsense".to_vec()).await.status, 409);
    assert_eq!(service.store(&[file]).await.status, 200, "usable again");
}

#[tokio::test]
async fn a_single_file_is_a_body_too() {
    let service = start().await;
    let file = Made::new("1.1", "1.1.1", "1.1.1.1").file();
    assert_eq!(service.post("/dicom-web/studies", "application/dicom", file).await.status, 200);
    assert_eq!(service.archive.count(), 1);
}

#[tokio::test]
async fn other_forms_are_415_and_say_what_is_taken() {
    let service = start().await;
    for content_type in [
        "multipart/related; type=\"application/dicom+json\"; boundary=x",
        "multipart/related; type=\"application/dicom+xml\"; boundary=x",
        "application/dicom+json",
        "multipart/form-data; boundary=x",
        "nonsense",
    ] {
        let answer = service.post("/dicom-web/studies", content_type, b"--x--".to_vec()).await;
        assert_eq!(answer.status, 415, "{content_type}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert!(answer.json()["supported"].to_string().contains("application/dicom"));
    }
}

#[tokio::test]
async fn who_accepts_xml_only_learns_so_before_anything_is_stored() {
    let service = start().await;
    let body = multipart_of(&[Made::new("1.1", "1.1.1", "1.1.1.1").file()]);
    let request = http::Request::post(service.url("/dicom-web/studies")).header("content-type", MULTIPART);
    let request = request.header("accept", XML_ONLY).body(http_body_util::Full::from(body)).unwrap();
    assert_eq!(service.send(request).await.status, 406);
    assert_eq!(service.archive.count(), 0);
}

#[tokio::test]
async fn an_empty_body_is_a_bad_request() {
    let service = start().await;
    assert_eq!(service.post("/dicom-web/studies", MULTIPART, vec![]).await.status, 400);
    assert_eq!(service.store(&[]).await.status, 400);
}

#[tokio::test]
async fn many_parts_keep_their_order() {
    let service = start().await;
    let files: Vec<_> = (0..100).map(|n| Made::new("1.1", "1.1.1", &format!("1.1.1.{n}")).file()).collect();
    let module = service.store(&files).await.json();
    let stored: Vec<_> = items(&module, "00081199").iter().map(|item| item["00081155"]["Value"][0].clone()).collect();
    assert_eq!(stored, (0..100).map(|n| Value::from(format!("1.1.1.{n}"))).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_refusal_is_heard_however_large_the_body_is() {
    let service = start().await;
    let answer = service.post("/dicom-web/studies", "application/dicom+json", vec![b'x'; 8 << 20]).await;
    assert_eq!(answer.status, 415);
    let mut broken = b"--x\n".to_vec();
    broken.resize(8 << 20, b'x');
    let answer = service.post("/dicom-web/studies", "multipart/related; boundary=x", broken).await;
    assert_eq!(answer.status, 400);
}
