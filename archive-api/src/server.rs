//! The doors of a running archive: TCP for HTTP and DIMSE, the Unix socket for the verbs on this machine.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use archive_core::identifiers::AeTitle;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, DimseSection};
use crate::dimse::{AssociationLimits, BindError, DimseConfig, DimseServer, Peer, Timeouts};
use crate::http::HttpServer;
use crate::measures;
use crate::running::Running;

/// How often the figures of the archive become metrics.
const MEASURE_EVERY: Duration = Duration::from_secs(5);
/// How long verbs that are under way may take to end.
const SOCKET_GRACE: Duration = Duration::from_secs(30);

/// Why the doors could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The HTTP port cannot be had.
    #[error("http.listen = {address}: {source}; another program may have the port")]
    Http {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The DIMSE port cannot be had, or its configuration is wrong.
    #[error("dimse: {0}")]
    Dimse(#[from] BindError),
    /// An AE title of the configuration is none.
    #[error("dimse: {title:?} is no AE title")]
    AeTitle {
        /// The text.
        title: String,
    },
    /// The socket for the verbs cannot be made.
    #[error("{path}: {source}")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// The open doors.
#[derive(Debug)]
pub struct Server {
    http_address: SocketAddr,
    dimse_address: SocketAddr,
    socket: PathBuf,
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Server {
    /// Opens all doors.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn start(running: &Running, config: &Config, socket: &Path) -> Result<Self, ServeError> {
        let shutdown = CancellationToken::new();
        let http = HttpServer::bind(Arc::clone(running.http()), running.router(), shutdown.clone());
        let failed = |source| ServeError::Http { address: config.http.listen, source };
        let http = http.await.map_err(failed)?;
        let http_address = http.local_addr().map_err(failed)?;
        let archive = Arc::clone(running.archive());
        let (dimse_address, dimse) = DimseServer::bind(dimse(&config.dimse)?, archive, shutdown.clone()).await?;
        let listener = listen(socket)?;
        let router = running.router();
        let tasks = vec![
            tokio::spawn(http.run()),
            tokio::spawn(dimse),
            tokio::spawn(serve_socket(listener, router, shutdown.clone())),
            tokio::spawn(measures::follow(Arc::clone(running.archive()), MEASURE_EVERY, shutdown.clone())),
        ];
        Ok(Self { http_address, dimse_address, socket: socket.to_owned(), shutdown, tasks })
    }

    /// Where HTTP listens.
    #[must_use]
    pub const fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// Where DIMSE listens.
    #[must_use]
    pub const fn dimse_address(&self) -> SocketAddr {
        self.dimse_address
    }

    /// Closes all doors; what is under way is finished within each door's grace.
    pub async fn stop(self) {
        self.shutdown.cancel();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a door ended badly");
            }
        }
        if let Err(error) = std::fs::remove_file(&self.socket) {
            tracing::debug!(%error, "the socket stays; the next start replaces it");
        }
    }
}

/// Listens on the Unix socket; one that an ended process left is replaced, for the data folder's lock is ours.
fn listen(socket: &Path) -> Result<UnixListener, ServeError> {
    let failed = |source| ServeError::Socket { path: socket.to_owned(), source };
    match std::fs::remove_file(socket) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => return Err(failed(source)),
        _ => {}
    }
    let listener = UnixListener::bind(socket).map_err(failed)?;
    let only_us = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(socket, only_us).map_err(failed)?;
    Ok(listener)
}

async fn serve_socket(listener: UnixListener, router: axum::Router, shutdown: CancellationToken) {
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: others will end.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        tasks.spawn(async move {
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(%error, "a connection of a verb ended early");
            }
        });
    }
    tasks.close();
    if tokio::time::timeout(SOCKET_GRACE, tasks.wait()).await.is_err() {
        tracing::warn!("a verb that was under way is cut off");
    }
}

fn dimse(section: &DimseSection) -> Result<DimseConfig, ServeError> {
    let title = |text: &str| AeTitle::parse(text).map_err(|_| ServeError::AeTitle { title: text.to_owned() });
    let peers = section.peers.iter().map(|(name, peer)| {
        let called = if peer.ae_title.is_empty() { name } else { &peer.ae_title };
        Ok(Peer {
            addresses: peer.addresses.clone(),
            accept_unknown_classes: peer.accept_unknown_classes,
            accept_unknown_syntaxes: peer.accept_unknown_syntaxes,
            ..Peer::new(title(called)?)
        })
    });
    let peers = peers.collect::<Result<Vec<_>, ServeError>>()?;
    let defaults = DimseConfig::default();
    Ok(DimseConfig {
        listen: section.listen,
        titles: vec![title(&section.ae_title)?],
        peers,
        max_pdu: u32::try_from(section.max_pdu.0).unwrap_or(u32::MAX),
        limits: AssociationLimits {
            total: section.associations_max,
            per_address: section.associations_per_address_max,
            per_title: section.associations_per_peer_max,
        },
        timeouts: Timeouts { idle: section.idle.0, ..defaults.timeouts },
        ..defaults
    })
}
