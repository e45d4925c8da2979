//! DICOMweb requests over kept connections, their answers counted and thrown away.

use std::io::Read as _;
use std::time::{Duration, Instant};

use crate::template::Template;

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The connection or the protocol.
    #[error("{url}: {source}")]
    Request {
        /// What was asked.
        url: String,
        /// What went wrong.
        source: Box<ureq::Error>,
    },
    /// The answer broke off.
    #[error("{url}: {source}")]
    Body {
        /// What was asked.
        url: String,
        /// What went wrong.
        source: std::io::Error,
    },
}

/// An answer.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Bytes of the body.
    pub bytes: u64,
    /// Until the first byte of the body.
    pub first_byte: Duration,
    /// Until the last one.
    pub whole: Duration,
}

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// What is read at once.
const READ_BYTES: usize = 256 * 1024;
/// What stands between the parts of a request.
const BOUNDARY: &str = "vellum-load-boundary";

/// One user agent; each has its own connections.
#[derive(Debug)]
pub struct Web {
    agent: ureq::Agent,
    buffer: Vec<u8>,
}

impl Default for Web {
    fn default() -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .input_buffer_size(READ_BYTES)
            .output_buffer_size(READ_BYTES)
            .build();
        Self { agent: config.new_agent(), buffer: vec![0; READ_BYTES] }
    }
}

impl Web {
    /// GET.
    ///
    /// # Errors
    /// [`WebError`].
    pub fn get(&mut self, url: &str, accept: &str) -> Result<Answer, WebError> {
        let begin = Instant::now();
        let answer = self.agent.get(url).header("Accept", accept).call();
        self.drain(url, begin, answer)
    }

    /// STOW-RS of a body that [`add_to_stow_body`] and [`end_stow_body`] made.
    ///
    /// # Errors
    /// [`WebError`].
    pub fn stow(&mut self, url: &str, body: &[u8]) -> Result<Answer, WebError> {
        let begin = Instant::now();
        let kind = format!("multipart/related; type=\"application/dicom\"; boundary={BOUNDARY}");
        let request = self.agent.post(url).header("Accept", "application/dicom+json").header("Content-Type", &kind);
        let answer = request.send(body);
        self.drain(url, begin, answer)
    }

    fn drain(
        &mut self,
        url: &str,
        begin: Instant,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Answer, WebError> {
        let answer = answer.map_err(|source| WebError::Request { url: url.to_owned(), source: Box::new(source) })?;
        let status = answer.status().as_u16();
        let mut body = answer.into_body().into_reader();
        let (mut bytes, mut first_byte) = (0, None);
        loop {
            let read = body.read(&mut self.buffer).map_err(|source| WebError::Body { url: url.to_owned(), source })?;
            first_byte.get_or_insert_with(|| begin.elapsed());
            if read == 0 {
                break;
            }
            bytes += read as u64;
        }
        let whole = begin.elapsed();
        Ok(Answer { status, bytes, first_byte: first_byte.unwrap_or(whole), whole })
    }
}

/// Appends a part with one instance; [`end_stow_body`] ends the body.
pub fn add_to_stow_body(instance: &Template, body: &mut Vec<u8>) {
    body.extend_from_slice(format!("--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n").as_bytes());
    body.extend(instance.file_head());
    body.extend_from_slice(&instance.data_set);
    body.extend_from_slice(b"\r\n");
}

/// Ends a body.
pub fn end_stow_body(body: &mut Vec<u8>) {
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
}
