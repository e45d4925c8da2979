//! What the HTTP server can be told, and the bounds that it keeps.

use std::net::SocketAddr;
use std::time::Duration;

use super::multipart::MultipartLimits;

/// Settings of the HTTP doors; each has a default.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpConfig {
    /// `http.listen`: where to listen. Default 127.0.0.1:8080.
    pub listen: SocketAddr,
    /// `http.public_url`: scheme, host and path prefix under which others reach us, without a slash at its end; what
    /// answers contain as addresses begins with it. Unset: `http://` and the request's own `Host`.
    pub public_url: Option<String>,
    /// Bounds of multipart requests. Default 16 KiB a part header, 10,000 parts.
    pub multipart: MultipartLimits,
    /// Records that one query answers at most, whatever `limit` says. Default 100,000.
    pub query_records_max: u64,
    /// Connections at once. Default 512: each may hold one response chunk (a few MiB) in memory.
    pub connections: usize,
    /// Connections at once from one address. Default 64; 0 means no such bound (behind a proxy, all come from one).
    pub connections_per_address: usize,
    /// Time for a request's head to come, idle time between requests included. Default 30 s.
    pub head_timeout: Duration,
    /// Time without one byte of a request body, or without one byte of a response being taken. Default 60 s.
    pub idle_timeout: Duration,
    /// Time that running requests have to end at shutdown. Default 30 s.
    pub shutdown_grace: Duration,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: None,
            multipart: MultipartLimits::default(),
            query_records_max: 100_000,
            connections: 512,
            connections_per_address: 64,
            head_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            shutdown_grace: Duration::from_secs(30),
        }
    }
}

/// Bytes of a request's head at most; a longer one is answered with 431.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Requests at once on one HTTP/2 connection.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 100;
