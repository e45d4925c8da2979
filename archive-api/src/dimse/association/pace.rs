//! How slowly a peer may send a message: never silent for the idle time, never below the minimum rate over a window.
//!
//! Bytes of commands and data sets count, framing does not. Time that the archive itself takes to store what came is
//! not held against the peer: a window that ran out meanwhile begins anew.

use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Sleep, sleep};

use super::End;
use super::connection::Connection;
use crate::dimse::config::DimseConfig;
use crate::dimse::pdu::{Event, ProviderReason};

/// The pace of one message.
#[derive(Debug)]
pub(super) struct Pace {
    idle: Duration,
    window_length: Duration,
    bytes_min: u64,
    window: Option<Window>,
}

/// A stretch of time in which the peer must send enough.
#[derive(Debug)]
struct Window {
    end: Pin<Box<Sleep>>,
    bytes: u64,
}

impl Window {
    async fn open(length: Duration) -> Self {
        let mut end = Box::pin(sleep(length));
        // A timer runs from its first poll: without this it would not notice that it ends while the archive is at work.
        let _ = futures::poll!(end.as_mut());
        Self { end, bytes: 0 }
    }
}

impl Pace {
    /// A message begins.
    pub(super) fn begin(config: &DimseConfig) -> Self {
        let window_length = config.timeouts.rate_window;
        Self {
            idle: config.timeouts.idle,
            window_length,
            bytes_min: config.minimum_rate.saturating_mul(window_length.as_secs()),
            window: None,
        }
    }

    /// The next event of the message.
    pub(super) async fn next<S>(&mut self, connection: &mut Connection<S>) -> Result<Event, End>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut window = match self.window.take() {
            Some(window) if !window.end.is_elapsed() => window,
            _ => Window::open(self.window_length).await,
        };
        let mut idle = std::pin::pin!(sleep(self.idle));
        loop {
            tokio::select! {
                biased;
                event = connection.next() => {
                    let event = event?;
                    window.bytes = window.bytes.saturating_add(payload(&event));
                    self.window = Some(window);
                    return Ok(event);
                }
                () = &mut idle => return Err(slow("the peer was silent within a message")),
                () = window.end.as_mut() => {
                    if window.bytes < self.bytes_min {
                        return Err(slow("the peer sends below the minimum rate"));
                    }
                    window = Window::open(self.window_length).await;
                }
            }
        }
    }
}

fn payload(event: &Event) -> u64 {
    match event {
        Event::Fragment(fragment) => u64::try_from(fragment.bytes.len()).unwrap_or(u64::MAX),
        _ => 0,
    }
}

const fn slow(why: &'static str) -> End {
    End::provider(ProviderReason::NotSpecified, why)
}
