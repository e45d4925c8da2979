//! What every HTTP door shares: the archive, the clock, the settings, and who says whether we are ready.

use std::net::SocketAddr;
use std::sync::Arc;

use archive_core::caller::Caller;
use archive_core::clock::SharedClock;
use archive_core::entropy::SharedEntropy;
use http::Extensions;
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;

use super::config::HttpConfig;
use super::port::ArchivePort;

/// Says whether this process may take traffic. Answers from what is known already: a probe never waits for a store.
pub trait Readiness: std::fmt::Debug + Send + Sync {
    /// Why not, one reason an obstacle; empty when ready.
    fn obstacles(&self) -> Vec<Obstacle>;
}

/// One reason not to be ready.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Obstacle {
    /// The part that is not ready: `journal`, `catalog`, `store:<name>`, …
    pub part: String,
    /// What is wrong and what to do; no patient data, no secrets: anyone may ask.
    pub reason: String,
}

/// Always ready: for tests and tools.
#[derive(Debug)]
pub struct AlwaysReady;

impl Readiness for AlwaysReady {
    fn obstacles(&self) -> Vec<Obstacle> {
        Vec::new()
    }
}

/// The doors' shared state.
#[derive(Clone)]
pub struct Doors {
    /// The archive.
    pub archive: Arc<dyn ArchivePort>,
    /// Settings.
    pub config: Arc<HttpConfig>,
    /// For durations in the access log.
    pub clock: SharedClock,
    /// For multipart boundaries.
    pub entropy: SharedEntropy,
    /// For `/readyz`.
    pub readiness: Arc<dyn Readiness>,
    /// For `/metrics`; `None` where metrics are not recorded.
    pub metrics: Option<PrometheusHandle>,
}

impl std::fmt::Debug for Doors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Doors").field("archive", &self.archive).field("config", &self.config).finish_non_exhaustive()
    }
}

/// Where a connection came from; the server puts it into each request. Absent on the Unix socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer(pub SocketAddr);

/// The address of ours that a connection reached; the server puts it into each request. Absent on the Unix socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Local(pub SocketAddr);

/// Who sends this request: the [`Caller`] that a layer in front has established, else the address it came from, else
/// this machine.
#[must_use]
pub fn caller_of(extensions: &Extensions) -> Caller {
    if let Some(caller) = extensions.get::<Caller>() {
        return caller.clone();
    }
    match extensions.get::<Peer>() {
        Some(Peer(address)) if !address.ip().is_loopback() => Caller::remote(&address.ip().to_string(), address),
        Some(Peer(address)) => Caller::remote("local", address),
        None => Caller::local(),
    }
}
