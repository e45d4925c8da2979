//! An HTTP server that says what a test tells it to: error pages, refusals, rubbish.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// One answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header lines beyond the length.
    pub headers: Vec<(&'static str, String)>,
    /// Body; not sent in answer to HEAD.
    pub body: Vec<u8>,
    /// What `Content-Length` says, where that is not the truth.
    pub announced: Option<usize>,
}

impl Answer {
    /// A status with a body.
    #[must_use]
    pub fn new(status: u16, body: &str) -> Self {
        Self { status, headers: vec![], body: body.into(), announced: None }
    }

    /// An S3 error document.
    #[must_use]
    pub fn error(status: u16, code: &str) -> Self {
        Self::new(status, &format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>said</Message></Error>"))
    }

    /// An S3 object, as GET and HEAD give it.
    #[must_use]
    pub fn object(body: &str) -> Self {
        let headers =
            vec![("ETag", "\"tag\"".to_owned()), ("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT".to_owned())];
        Self { headers, ..Self::new(200, body) }
    }
}

type Script = dyn Fn(&str, &str) -> Answer + Send + Sync;

/// A server that runs as long as this lives.
#[derive(Debug)]
pub struct ScriptedServer {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
    accepting: AbortHandle,
}

impl ScriptedServer {
    /// Answers every request by what the function makes of method and path.
    pub async fn start(script: impl Fn(&str, &str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script: Arc<Script> = Arc::new(script);
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
                tokio::spawn(async move {
                    let _ = serve(client, &*script, &seen).await;
                });
            }
        });
        Self { port, requests, accepting: accepting.abort_handle() }
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Methods and paths of the requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One request a connection: read it to its end, answer, close.
async fn serve(client: TcpStream, script: &Script, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let mut line = String::new();
    client.read_line(&mut line).await?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let mut length = 0_u64;
    loop {
        let mut header = String::new();
        client.read_line(&mut header).await?;
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    tokio::io::copy(&mut (&mut client).take(length), &mut tokio::io::sink()).await?;
    seen.lock().unwrap().push(format!("{method} {path}"));
    let answer = script(&method, &path);
    let announced = answer.announced.unwrap_or(answer.body.len());
    let mut head = format!("HTTP/1.1 {} Said\r\nContent-Length: {announced}\r\nConnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    client.write_all(head.as_bytes()).await?;
    if method != "HEAD" {
        client.write_all(&answer.body).await?;
    }
    client.shutdown().await
}
