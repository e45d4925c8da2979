//! Multipart bodies written as a stream: heads, part bodies, closing delimiter.
//!
//! What must always hold: the closing delimiter comes only after every part came whole. After an error nothing more
//! comes, so that the connection is cut and a short body can never pass for a whole one.

use archive_core::archive::ArchiveError;
use archive_core::entropy::Entropy;
use bytes::Bytes;
use futures::stream::{self, BoxStream, Stream, StreamExt as _, TryStreamExt as _};

/// One part of a response.
pub struct Part {
    /// Header fields: name and value. Values are media types and addresses made by us, never from
    /// what was received.
    pub fields: Vec<(&'static str, String)>,
    /// Its bytes.
    pub body: BoxStream<'static, Result<Bytes, ArchiveError>>,
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part").field("fields", &self.fields).finish_non_exhaustive()
    }
}

/// A boundary that no content holds: 128 random bits.
///
/// # Errors
/// When there is no randomness to be had.
pub fn boundary(entropy: &dyn Entropy) -> Result<String, ArchiveError> {
    let nonce = entropy.nonce().map_err(|error| ArchiveError::Internal(format!("no randomness: {error}")))?;
    Ok(format!("vellum-{nonce}"))
}

/// The body of a multipart response.
pub fn stream_parts<S>(boundary: &str, parts: S) -> BoxStream<'static, Result<Bytes, ArchiveError>>
where
    S: Stream<Item = Result<Part, ArchiveError>> + Send + 'static,
{
    let open = format!("--{boundary}\r\n");
    let closing = Bytes::from(format!("--{boundary}--\r\n"));
    let body = parts
        .map_ok(move |part| {
            let head = head(&open, &part.fields);
            let whole = stream::once(async { Ok(head) }).chain(part.body);
            whole.chain(stream::once(async { Ok(Bytes::from_static(b"\r\n")) }))
        })
        .try_flatten()
        .chain(stream::once(async move { Ok(closing) }));
    end_at_error(body).boxed()
}

/// Gives the error and then nothing more.
fn end_at_error<S>(body: S) -> impl Stream<Item = Result<Bytes, ArchiveError>>
where
    S: Stream<Item = Result<Bytes, ArchiveError>>,
{
    body.scan(false, |failed, item| {
        let over = std::mem::replace(failed, *failed || item.is_err());
        std::future::ready((!over).then_some(item))
    })
}

fn head(open: &str, fields: &[(&'static str, String)]) -> Bytes {
    let mut text = open.to_owned();
    for (name, value) in fields {
        text.push_str(name);
        text.push_str(": ");
        text.extend(value.chars().filter(|c| !c.is_control()));
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    Bytes::from(text)
}

#[cfg(test)]
mod tests {
    use super::super::reader::{Event, MultipartLimits, MultipartReader};
    use super::*;

    fn part(bytes: &'static [u8]) -> Result<Part, ArchiveError> {
        let fields = vec![("Content-Type", "application/dicom".to_owned())];
        Ok(Part { fields, body: stream::iter([Ok(Bytes::from_static(bytes))]).boxed() })
    }

    #[tokio::test]
    async fn what_is_written_can_be_read() {
        let parts = stream::iter([part(b"one\r\n--vellum"), part(b""), part(b"\r\n")]);
        let body: Vec<Bytes> = stream_parts("b", parts).try_collect().await.unwrap();
        let mut reader = MultipartReader::new("b", MultipartLimits::default()).unwrap();
        reader.push(&body.concat());
        let mut data = Vec::new();
        while let Some(event) = reader.next_event().unwrap() {
            match event {
                Event::PartBegins(_) => data.push(Vec::new()),
                Event::Data(bytes) => data.last_mut().unwrap().extend_from_slice(&bytes),
                Event::PartEnds | Event::End => {}
            }
        }
        reader.finish().unwrap();
        assert_eq!(data, [&b"one\r\n--vellum"[..], b"", b"\r\n"]);
    }

    #[tokio::test]
    async fn after_an_error_nothing_comes_not_even_the_closing_delimiter() {
        let broken = Part {
            fields: vec![],
            body: stream::iter([Ok(Bytes::from_static(b"half")), Err(ArchiveError::Internal("broken".into()))]).boxed(),
        };
        let items: Vec<_> = stream_parts("b", stream::iter([Ok(broken), part(b"never")])).collect().await;
        assert!(items.last().is_some_and(Result::is_err));
        assert!(items.iter().flatten().all(|bytes| !bytes.starts_with(b"--b--") && bytes.as_ref() != b"never"));
    }
}
