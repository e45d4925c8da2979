//! Peers that stop: a request body that stands still, a response that nobody takes (`docs/THREATS.md`, 24).
//!
//! The time runs only while we wait for the peer, and starts anew with every byte that moves.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Nothing came for too long.
#[derive(Debug, thiserror::Error)]
#[error("the request body stood still for {0:?}")]
pub struct IdleError(Duration);

/// A timer that runs while something is awaited.
#[derive(Debug)]
struct Patience {
    limit: Duration,
    running: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    const fn new(limit: Duration) -> Self {
        Self { limit, running: None }
    }

    /// Whether patience has ended; otherwise the task is woken when it does.
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        let limit = self.limit;
        let timer = self.running.get_or_insert_with(|| Box::pin(sleep(limit)));
        timer.as_mut().poll(context).is_ready()
    }

    fn renew(&mut self) {
        self.running = None;
    }
}

/// A request body that may not stand still.
#[derive(Debug)]
pub struct IdleBody<B> {
    inner: B,
    patience: Patience,
}

impl<B> IdleBody<B> {
    /// At most this long without a frame.
    pub const fn new(inner: B, limit: Duration) -> Self {
        Self { inner, patience: Patience::new(limit) }
    }
}

impl<B> Body for IdleBody<B>
where
    B: Body + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = B::Data;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Ready(frame) => {
                self.patience.renew();
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending if self.patience.is_over(context) => {
                Poll::Ready(Some(Err(Box::new(IdleError(self.patience.limit)))))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A connection whose peer must take what is written.
#[derive(Debug)]
pub struct IdleWrites<T> {
    inner: T,
    patience: Patience,
}

impl<T> IdleWrites<T> {
    /// At most this long without a byte being taken.
    pub const fn new(inner: T, limit: Duration) -> Self {
        Self { inner, patience: Patience::new(limit) }
    }

    fn judge<R>(&mut self, polled: Poll<io::Result<R>>, context: &mut Context<'_>) -> Poll<io::Result<R>> {
        match polled {
            Poll::Ready(result) => {
                self.patience.renew();
                Poll::Ready(result)
            }
            Poll::Pending if self.patience.is_over(context) => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not take the response")))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for IdleWrites<T> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, into)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for IdleWrites<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.judge(polled, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(context, buffers);
        self.judge(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(context);
        self.judge(polled, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_shutdown(context);
        self.judge(polled, context)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::stream::{self, StreamExt as _};
    use http_body_util::{BodyExt as _, StreamBody};
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stands_still_ends_in_an_error_and_a_slow_one_does_not() {
        let slow = stream::iter(0..5).then(|_| async {
            sleep(Duration::from_secs(9)).await;
            Ok::<_, io::Error>(Frame::data(Bytes::from_static(b"x")))
        });
        let body = IdleBody::new(StreamBody::new(Box::pin(slow)), Duration::from_secs(10));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "xxxxx");
        let still = stream::pending::<Result<Frame<Bytes>, io::Error>>();
        let body = IdleBody::new(StreamBody::new(still), Duration::from_secs(10));
        assert!(body.collect().await.unwrap_err().is::<IdleError>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_loses_its_connection() {
        let (ours, _theirs) = tokio::io::duplex(16);
        let mut ours = IdleWrites::new(ours, Duration::from_secs(10));
        let error = ours.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
