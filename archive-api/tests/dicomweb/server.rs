//! The server around the doors.

use std::sync::Arc;

use archive_api::http::{HttpConfig, Obstacle, Readiness};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{MULTIPART, Made, multipart_of, start, start_with};

#[derive(Debug)]
struct NotYet;

impl Readiness for NotYet {
    fn obstacles(&self) -> Vec<Obstacle> {
        vec![Obstacle { part: "catalog".into(), reason: "it is being rebuilt".into() }]
    }
}

#[tokio::test]
async fn alive_is_not_yet_ready() {
    let service = start_with(HttpConfig::default(), Arc::new(NotYet)).await;
    assert_eq!(service.get("/livez", "*/*").await.status, 200);
    let answer = service.get("/readyz", "*/*").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["obstacles"][0]["part"], "catalog");
    assert_eq!(start().await.get("/readyz", "*/*").await.status, 200);
}

#[tokio::test]
async fn every_answer_bears_the_security_fields() {
    let service = start().await;
    for path in ["/livez", "/metrics", "/dicom-web/studies", "/dicom-web/studies/9", "/nowhere"] {
        let answer = service.get(path, "*/*").await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(answer.header("access-control-allow-origin").is_empty());
    }
}

#[tokio::test]
async fn what_an_address_does_not_do_is_405() {
    let service = start().await;
    let request = http::Request::delete(service.url("/dicom-web/studies/1.1")).body(Default::default()).unwrap();
    let answer = service.send(request).await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.header("content-type"), "application/problem+json");
}

#[tokio::test]
async fn metrics_are_given_as_text() {
    let answer = start().await.get("/metrics", "*/*").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("text/plain"));
}

#[tokio::test]
async fn at_shutdown_a_running_request_ends_well_and_no_new_one_begins() {
    let mut service = start().await;
    let body = multipart_of(&[Made::new("1.1", "1.1.1", "1.1.1.1").file()]);
    let (first, rest) = body.split_at(body.len() / 2);
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    let head = format!(
        "POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nContent-Type: {MULTIPART}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(first).await.unwrap();
    while service.archive.open.load(std::sync::atomic::Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    service.shutdown.cancel();
    while TcpStream::connect(service.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    stream.write_all(rest).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    (&mut service.running).await.unwrap();
    assert_eq!(service.archive.count(), 1);
}

#[tokio::test]
async fn http_2_is_spoken_to_who_begins_with_it() {
    let service = start().await;
    assert_eq!(service.store(&[Made::new("1.1", "1.1.1", "1.1.1.1").file()]).await.status, 200);
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .http2_only(true)
        .build_http::<http_body_util::Full<bytes::Bytes>>();
    let answer = client.get(service.url("/dicom-web/studies").parse().unwrap()).await.unwrap();
    assert_eq!((answer.version(), answer.status().as_u16()), (http::Version::HTTP_2, 200));
    let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
    let records: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(records[0]["00081190"]["Value"][0], service.url("/dicom-web/studies/1.1"));
}

#[tokio::test]
async fn one_address_gets_no_more_connections_than_its_share() {
    let config = HttpConfig { connections_per_address: 1, ..HttpConfig::default() };
    let service = start_with(config, Arc::new(NotYet)).await;
    let ask = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut first = TcpStream::connect(service.address).await.unwrap();
    first.write_all(ask).await.unwrap();
    first.read_exact(&mut [0; 12]).await.unwrap();
    let mut second = TcpStream::connect(service.address).await.unwrap();
    let mut answer = Vec::new();
    let _ = second.read_to_end(&mut answer).await;
    assert!(answer.is_empty(), "the second connection is closed at once");
}
