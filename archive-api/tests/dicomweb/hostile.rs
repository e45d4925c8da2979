//! Bodies and heads that no honest client sends, written byte by byte.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{MULTIPART, Made, multipart_of, start};

/// Sends bytes, ends the sending side, and reads what comes back.
async fn raw(service: &crate::client::Service, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn post(content_type: &str, length: usize) -> Vec<u8> {
    let head = format!(
        "POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    );
    head.into_bytes()
}

#[tokio::test]
async fn a_body_cut_inside_a_part_stores_nothing_of_it() {
    let service = start().await;
    let body = multipart_of(&[Made::new("1.1", "1.1.1", "1.1.1.1").file()]);
    let mut bytes = post(MULTIPART, body.len());
    bytes.extend_from_slice(&body[..body.len() - 30]);
    raw(&service, &bytes).await;
    while service.archive.open.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(service.archive.count(), 0);
}

#[tokio::test]
async fn a_single_file_cut_short_stores_nothing() {
    let service = start().await;
    let file = Made::new("1.1", "1.1.1", "1.1.1.1").file();
    let mut bytes = post("application/dicom", file.len() + 1);
    bytes.extend_from_slice(&file);
    raw(&service, &bytes).await;
    while service.archive.open.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(service.archive.count(), 0);
}

#[tokio::test]
async fn a_body_without_closing_delimiter_keeps_what_was_whole_and_says_so() {
    let service = start().await;
    let mut body =
        multipart_of(&[Made::new("1.1", "1.1.1", "1.1.1.1").file(), Made::new("1.1", "1.1.1", "1.1.1.2").file()]);
    body.truncate(body.len() - 40);
    let answer = service.post("/dicom-web/studies", MULTIPART, body).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.json()["00081199"]["Value"].as_array().unwrap().len(), 1);
    assert_eq!(answer.json()["0008119A"]["Value"].as_array().unwrap().len(), 1);
    assert_eq!(service.archive.count(), 1);
}

#[tokio::test]
async fn hostile_multipart_is_refused_and_the_server_lives() {
    let service = start().await;
    let long = "x".repeat(71);
    let endless = format!("--x\r\nA: {}", "y".repeat(40_000));
    let cases: [(&str, &[u8], u16); 7] = [
        (&format!("multipart/related; type=\"application/dicom\"; boundary={long}"), b"", 400),
        ("multipart/related; type=\"application/dicom\"", b"", 400),
        ("multipart/related; type=\"application/dicom\"; boundary=x", b"--x\n\nabc\n--x--", 400),
        ("multipart/related; type=\"application/dicom\"; boundary=x", endless.as_bytes(), 400),
        (
            "multipart/related; type=\"application/dicom\"; boundary=x",
            b"--x\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--x--",
            400,
        ),
        (
            "multipart/related; type=\"application/dicom\"; boundary=x",
            b"--x\r\nContent-Type: a/b\r\nContent-Type: application/dicom\r\n\r\n\r\n--x--",
            400,
        ),
        ("multipart/related; type=\"application/dicom\"; boundary=x", &[b'z'; 100_000], 400),
    ];
    for (content_type, body, status) in cases {
        let answer = service.post("/dicom-web/studies", content_type, body.to_vec()).await;
        assert_eq!(answer.status, status, "{content_type}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    assert_eq!(service.archive.count(), 0);
    assert_eq!(service.get("/livez", "*/*").await.status, 200);
}

#[tokio::test]
async fn more_parts_than_allowed_are_413_or_a_part_answer() {
    let config = archive_api::http::HttpConfig {
        multipart: archive_api::http::multipart::MultipartLimits { parts: 1, ..Default::default() },
        ..Default::default()
    };
    let service = crate::client::start_with(config, std::sync::Arc::new(archive_api::http::doors::AlwaysReady)).await;
    let files = [Made::new("1.1", "1.1.1", "1.1.1.1").file(), Made::new("1.1", "1.1.1", "1.1.1.2").file()];
    let answer = service.store(&files).await;
    assert_eq!(answer.status, 202);
    assert!(answer.header("warning").contains("more than 1 parts"));
    assert_eq!(service.archive.count(), 1);
}

#[tokio::test]
async fn an_announced_length_of_exabytes_takes_no_memory() {
    let service = start().await;
    let answer = raw(&service, &post(MULTIPART, usize::MAX / 2)).await;
    assert!(!answer.contains("200 OK"), "{answer}");
    assert_eq!(service.get("/livez", "*/*").await.status, 200);
}

#[tokio::test]
async fn a_head_that_never_ends_is_431() {
    let service = start().await;
    let mut bytes = b"GET /livez HTTP/1.1\r\nHost: x\r\nA: ".to_vec();
    bytes.extend(std::iter::repeat_n(b'y', 200_000));
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    let _ = stream.write_all(&bytes).await;
    let mut answer = vec![0; 12];
    if stream.read_exact(&mut answer).await.is_ok() {
        assert_eq!(answer, b"HTTP/1.1 431");
    }
    assert_eq!(service.get("/livez", "*/*").await.status, 200);
}

#[tokio::test]
async fn a_body_that_stands_still_is_408() {
    let config = archive_api::http::HttpConfig { idle_timeout: Duration::from_millis(50), ..Default::default() };
    let service = crate::client::start_with(config, std::sync::Arc::new(archive_api::http::doors::AlwaysReady)).await;
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    stream.write_all(&post(MULTIPART, 1000)).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn paths_that_climb_find_nothing() {
    let service = start().await;
    for path in [
        "/dicom-web/studies/..%2f..%2fetc",
        "/dicom-web/studies/%00",
        "/dicom-web/studies/%ff",
        "/dicom-web/../etc/passwd",
        "/dicom-web/studies/1/series/2/instances/3/bulkdata/OW-0-99999999999",
        "/nowhere",
    ] {
        let answer =
            raw(&service, format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
}
