//! The listening socket: a task for each connection, and a way to stop.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::admission::Admission;
use super::association::{self, Shared};
use super::config::DimseConfig;
use super::measures;
use super::target::StoreTarget;

/// Pause after the operating system had no connection to give (no more file descriptors): others may end meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The configuration contradicts itself or is unsafe.
    #[error("DIMSE configuration: {0}")]
    Config(String),
    /// The address cannot be listened on.
    #[error(
        "cannot listen for DIMSE on {address}: {source}; choose another address with dimse.listen, or stop what holds it"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: std::io::Error,
    },
}

/// The DIMSE door.
#[derive(Debug)]
pub struct DimseServer;

impl DimseServer {
    /// Opens the door. Returns the address listened on (its port chosen by the system where 0 was asked for) and the
    /// future that serves: it must be polled, and ends after `shutdown` is cancelled and every association has ended:
    /// idle ones are released at once, the others after the message at hand; what is left after
    /// `timeouts.shutdown` is aborted.
    ///
    /// # Errors
    /// [`BindError`].
    pub async fn bind<T: StoreTarget>(
        config: DimseConfig,
        target: T,
        shutdown: CancellationToken,
    ) -> Result<(SocketAddr, impl Future<Output = ()> + Send), BindError> {
        if let Some(fault) = config.fault() {
            return Err(BindError::Config(fault));
        }
        let listen = |source| BindError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let shared = Arc::new(Shared { config, target, leaving: shutdown, stopping: CancellationToken::new() });
        Ok((address, serve(listener, shared)))
    }
}

async fn serve<T: StoreTarget>(listener: TcpListener, shared: Arc<Shared<T>>) {
    let admission = Admission::new(shared.config.limits);
    let tasks = TaskTracker::new();
    let mut number = 0_u64;
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.leaving.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                number += 1;
                welcome(stream, peer, number, &admission, &tasks, &shared);
            }
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    if timeout(shared.config.timeouts.shutdown, tasks.wait()).await.is_err() {
        shared.stopping.cancel();
        tasks.wait().await;
    }
}

/// Gives a connection its task, or closes it where there is no room even to hear it out.
fn welcome<T: StoreTarget>(
    stream: TcpStream,
    peer: SocketAddr,
    number: u64,
    admission: &Arc<Admission>,
    tasks: &TaskTracker,
    shared: &Arc<Shared<T>>,
) {
    let Some(seat) = admission.enter(peer.ip()) else {
        measures::turned_away();
        return;
    };
    // Responses are small and waited for: they must not wait for more bytes. A failure costs speed alone.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY is not to be had");
    }
    let span = tracing::info_span!(
        "association",
        number,
        %peer,
        calling = tracing::field::Empty,
        called = tracing::field::Empty
    );
    let shared = Arc::clone(shared);
    tasks.spawn(async move { association::serve(stream, peer, seat, shared).await }.instrument(span));
}
