//! A server on loopback, and a client that says exactly what it is told to.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use archive_api::http::doors::AlwaysReady;
use archive_api::http::{Doors, HttpConfig, HttpServer, Readiness, router};
use archive_core::clock::SystemClock;
use archive_core::entropy::SeededEntropy;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::fake::{FakeArchive, Shared};

pub const XML_ONLY: &str = "multipart/related; type=\"application/dicom+xml\"";

/// A running server.
pub struct Service {
    pub archive: Arc<FakeArchive>,
    pub address: SocketAddr,
    pub shutdown: CancellationToken,
    pub running: tokio::task::JoinHandle<()>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub async fn start() -> Service {
    start_with(HttpConfig::default(), Arc::new(AlwaysReady)).await
}

pub async fn start_with(config: HttpConfig, readiness: Arc<dyn Readiness>) -> Service {
    let archive = FakeArchive::new();
    let config = Arc::new(HttpConfig { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..config });
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let doors = Doors {
        archive: Arc::new(Shared(Arc::clone(&archive))),
        config: Arc::clone(&config),
        clock: SystemClock::start(),
        entropy: SeededEntropy::from_seed(7),
        readiness,
        metrics: Some(recorder.handle()),
    };
    let shutdown = CancellationToken::new();
    let server = HttpServer::bind(config, router(doors, axum::Router::new()), shutdown.clone()).await.unwrap();
    let address = server.local_addr().unwrap();
    let running = tokio::spawn(server.run());
    Service { archive, address, shutdown, running }
}

/// A response read to its end; `body` is an error where the connection was cut.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Result<Bytes, hyper::Error>,
}

impl Answer {
    pub fn bytes(&self) -> &Bytes {
        self.body.as_ref().expect("a whole body")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(self.bytes()).expect("JSON")
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The parts of a multipart body, each header block and data.
    pub fn parts(&self) -> Vec<(String, Bytes)> {
        let content_type = self.header("content-type");
        let boundary = content_type.rsplit_once("boundary=").expect("a boundary").1;
        let body = self.bytes();
        let delimiter = format!("--{boundary}\r\n");
        assert!(body.ends_with(format!("--{boundary}--\r\n").as_bytes()), "the closing delimiter");
        let starts: Vec<usize> = memchr::memmem::find_iter(body, &delimiter).collect();
        let ends = starts.iter().skip(1).copied().chain([body.len() - boundary.len() - 6]);
        let pieces = starts.iter().zip(ends).map(|(&from, to)| body.slice(from + delimiter.len()..to - 2));
        pieces
            .map(|piece| {
                let at = memchr::memmem::find(&piece, b"\r\n\r\n").expect("a part header");
                (String::from_utf8(piece[..at].to_vec()).unwrap(), piece.slice(at + 4..))
            })
            .collect()
    }
}

impl Service {
    pub async fn get(&self, path: &str, accept: &str) -> Answer {
        self.send(Request::get(self.url(path)).header("accept", accept).body(Full::default()).unwrap()).await
    }

    pub async fn post(&self, path: &str, content_type: &str, body: Vec<u8>) -> Answer {
        let request = Request::post(self.url(path)).header("content-type", content_type);
        self.send(request.body(Full::from(body)).unwrap()).await
    }

    pub async fn store(&self, files: &[Vec<u8>]) -> Answer {
        self.post("/dicom-web/studies", MULTIPART, multipart_of(files)).await
    }

    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        self.try_send(request).await.expect("an answer")
    }

    /// `None` where the connection was cut before the head of an answer came.
    pub async fn try_send(&self, request: Request<Full<Bytes>>) -> Option<Answer> {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let response: Response<hyper::body::Incoming> = client.request(request).await.ok()?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map(|collected| collected.to_bytes());
        Some(Answer { status: parts.status, headers: parts.headers, body })
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

pub const MULTIPART: &str = "multipart/related; type=\"application/dicom\"; boundary=\"a b0undary\"";

pub fn multipart_of(files: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    for file in files {
        body.extend_from_slice(b"--a b0undary\r\nContent-Type: application/dicom\r\n\r\n");
        body.extend_from_slice(file);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--a b0undary--\r\n");
    body
}

pub fn corpus() -> Option<PathBuf> {
    let folder = std::env::var_os("VELLUM_CORPUS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpus")), PathBuf::from);
    if folder.join("manifest.tsv").exists() {
        return Some(folder);
    }
    eprintln!("skipped: there is no corpus at {}; set VELLUM_CORPUS", folder.display());
    None
}

/// One element in Explicit VR, in the byte order given.
fn element(big: bool, (group, number): (u16, u16), vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
    let short = |n: u16| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let long = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let mut value = value.to_vec();
    if value.len() % 2 == 1 {
        value.push(if vr == b"UI" || vr == b"OB" { 0 } else { b' ' });
    }
    let mut bytes = [short(group), short(number)].concat();
    bytes.extend_from_slice(vr);
    if matches!(vr, b"OB" | b"OW") {
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&long(u32::try_from(value.len()).unwrap()));
    } else {
        bytes.extend_from_slice(&short(u16::try_from(value.len()).unwrap()));
    }
    bytes.extend_from_slice(&value);
    bytes
}

/// What a made-up file is like.
#[derive(Clone)]
pub struct Made {
    pub study: String,
    pub series: String,
    pub sop: String,
    pub name: String,
    pub big_endian: bool,
    /// Each frame has two pixels of 16 bits.
    pub frames: Vec<[u16; 2]>,
}

impl Made {
    pub fn new(study: &str, series: &str, sop: &str) -> Self {
        let text = str::to_owned;
        Self {
            study: text(study),
            series: text(series),
            sop: text(sop),
            name: text("DOE^JANE"),
            big_endian: false,
            frames: vec![[1, 2], [0x0304, 0x0506], [0xFFFE, 7]],
        }
    }

    pub fn file(&self) -> Vec<u8> {
        let class = b"1.2.840.10008.5.1.4.1.1.7";
        let syntax: &[u8] = if self.big_endian { b"1.2.840.10008.1.2.2" } else { b"1.2.840.10008.1.2.1" };
        let meta = [
            element(false, (2, 1), b"OB", &[0, 1]),
            element(false, (2, 2), b"UI", class),
            element(false, (2, 3), b"UI", self.sop.as_bytes()),
            element(false, (2, 0x10), b"UI", syntax),
            element(false, (2, 0x12), b"UI", b"1.2.3"),
        ]
        .concat();
        let big = self.big_endian;
        let short = |n: u16| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let pixels: Vec<u8> = self.frames.iter().flatten().flat_map(|&pixel| short(pixel)).collect();
        let mut file = vec![0; 128];
        file.extend_from_slice(b"DICM");
        file.extend(element(false, (2, 0), b"UL", &u32::try_from(meta.len()).unwrap().to_le_bytes()));
        file.extend(meta);
        for (tag, vr, value) in [
            ((8, 0x16), b"UI", &class[..]),
            ((8, 0x18), b"UI", self.sop.as_bytes()),
            ((0x10, 0x10), b"PN", self.name.as_bytes()),
            ((0x10, 0x20), b"LO", b"P1"),
            ((0x20, 0xD), b"UI", self.study.as_bytes()),
            ((0x20, 0xE), b"UI", self.series.as_bytes()),
            ((0x28, 8), b"IS", self.frames.len().to_string().as_bytes()),
            ((0x28, 0x10), b"US", &short(1)),
            ((0x28, 0x11), b"US", &short(2)),
            ((0x28, 0x100), b"US", &short(16)),
            ((0x7FE0, 0x10), b"OW", &pixels),
        ] {
            file.extend(element(big, tag, vr, value));
        }
        file
    }
}
