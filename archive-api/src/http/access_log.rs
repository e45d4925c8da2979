//! One line and some numbers for every request: method, route, status, bytes, duration, and whether it ended well.
//!
//! The route is its template, never the path: a path holds UIDs, and a query string patient data.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use archive_core::clock::SharedClock;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::Method;
use http::header::CONTENT_LENGTH;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::doors::Doors;
use super::idle::IdleBody;

/// Lets the request pass, guards its body against standing still, and logs it when its response has ended.
pub async fn log_request(State(doors): State<Doors>, request: Request, next: Next) -> Response {
    let begun = doors.clock.monotonic();
    let route = request.extensions().get::<MatchedPath>().map_or("(none)", MatchedPath::as_str).to_owned();
    let method = method_word(request.method());
    let idle = doors.config.idle_timeout;
    let request = request.map(|body| Body::new(IdleBody::new(body, idle)));
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let announced = response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let expected = if method == "HEAD" { Some(0) } else { announced };
    let exchange = Exchange { clock: doors.clock, begun, method, route, status, bytes: 0, whole: false };
    response.map(|body| Body::new(CountedBody { whole_at_once: body.is_end_stream(), expected, inner: body, exchange }))
}

/// The method as a log or a label may hold it: a peer can invent any.
fn method_word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[derive(Debug)]
struct Exchange {
    clock: SharedClock,
    begun: Duration,
    method: &'static str,
    route: String,
    status: u16,
    bytes: u64,
    whole: bool,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let duration = self.clock.monotonic().saturating_sub(self.begun);
        let labels =
            [("method", self.method.to_owned()), ("route", self.route.clone()), ("status", self.status.to_string())];
        metrics::counter!("vellum_http_requests_total", &labels).increment(1);
        metrics::counter!("vellum_http_response_bytes_total", "route" => self.route.clone()).increment(self.bytes);
        metrics::histogram!("vellum_http_request_duration_seconds", "route" => self.route.clone()).record(duration);
        tracing::info!(
            method = self.method,
            route = self.route,
            status = self.status,
            bytes = self.bytes,
            milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            whole = self.whole,
            "request"
        );
    }
}

#[derive(Debug)]
struct CountedBody {
    inner: Body,
    whole_at_once: bool,
    /// The announced length: who writes the response asks for no more once it has so many bytes.
    expected: Option<u64>,
    exchange: Exchange,
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                self.exchange.bytes += u64::try_from(length).unwrap_or(u64::MAX);
                self.exchange.whole = self.inner.is_end_stream();
            }
            Poll::Ready(Some(Err(_))) => self.exchange.whole = false,
            Poll::Ready(None) => self.exchange.whole = true,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for CountedBody {
    fn drop(&mut self) {
        self.exchange.whole |= self.whole_at_once || self.expected == Some(self.exchange.bytes);
    }
}
