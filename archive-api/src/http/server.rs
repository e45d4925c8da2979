//! The listener: connections in, requests to the router, bounds kept, and an end in order.
//!
//! Own accept loop over hyper rather than `axum::serve`: a head must come in time, a response must be taken, one
//! address may not hold every connection, and at shutdown running requests are waited for (`docs/THREATS.md`,
//! 23, 24, 36).

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::config::{HEAD_BYTES_MAX, HttpConfig, STREAMS_PER_CONNECTION_MAX};
use super::doors::{Local, Peer};
use super::idle::IdleWrites;

/// Wait before the next accept after the system had no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server that listens and can be run.
#[derive(Debug)]
pub struct HttpServer {
    listener: TcpListener,
    config: Arc<HttpConfig>,
    router: Router,
    shutdown: CancellationToken,
}

impl HttpServer {
    /// Listens on `config.listen`. Nothing is served before [`HttpServer::run`].
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn bind(config: Arc<HttpConfig>, router: Router, shutdown: CancellationToken) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        Ok(Self { listener, config, router, shutdown })
    }

    /// Where it listens; tells the port where the configuration said 0.
    ///
    /// # Errors
    /// The operating system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until shutdown is asked for, then lets running requests end, for `config.shutdown_grace` at most.
    pub async fn run(self) {
        let graceful = GracefulShutdown::new();
        let places = Places::new(&self.config);
        let mut connections = tokio::task::JoinSet::new();
        while let Some((stream, peer, place)) = self.accept(&places).await {
            connections.spawn(self.connection(&graceful, stream, peer, place));
            while connections.try_join_next().is_some() {}
        }
        drop(self.listener);
        if tokio::time::timeout(self.config.shutdown_grace, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests were still running at the end of the shutdown grace; their connections are cut");
        }
        connections.shutdown().await;
    }

    /// The next connection that has a place; `None` at shutdown.
    async fn accept(&self, places: &Places) -> Option<(TcpStream, SocketAddr, Place)> {
        loop {
            let permit = tokio::select! {
                () = self.shutdown.cancelled() => return None,
                permit = Arc::clone(&places.all).acquire_owned() => permit.ok()?,
            };
            let accepted = tokio::select! {
                () = self.shutdown.cancelled() => return None,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => match places.take(peer.ip(), permit) {
                    Some(place) => return Some((stream, peer, place)),
                    None => metrics::counter!("vellum_http_connections_refused_total").increment(1),
                },
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn connection(
        &self,
        graceful: &GracefulShutdown,
        stream: TcpStream,
        peer: SocketAddr,
        place: Place,
    ) -> impl Future<Output = ()> + Send + use<> {
        // Small answers must not wait for the peer's acknowledgement; if it cannot be set, they do.
        let _ = stream.set_nodelay(true);
        let reached = stream.local_addr().map(Local).ok();
        let io = TokioIo::new(IdleWrites::new(stream, self.config.idle_timeout));
        let router = self.router.clone();
        let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            if let Some(reached) = reached {
                request.extensions_mut().insert(reached);
            }
            router.clone().oneshot(request.map(Body::new))
        });
        let connection = builder(&self.config).serve_connection(io, service).into_owned();
        let watched = graceful.watch(connection);
        async move {
            let _place = place;
            if let Err(error) = watched.await {
                // A peer that left, was too slow, or spoke something else; its address is enough to find it.
                tracing::debug!(%peer, error, "a connection ended");
            }
        }
    }
}

fn builder(config: &HttpConfig) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(config.head_timeout).max_buf_size(H1_BUFFER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .keep_alive_interval(config.head_timeout)
        .keep_alive_timeout(config.head_timeout);
    builder
}

/// hyper reads heads and bodies through one buffer: it bounds both the head and what is read ahead of a body.
const H1_BUFFER_BYTES: usize = 2 * HEAD_BYTES_MAX;

/// Places for connections: so many in all, so many an address.
#[derive(Debug)]
struct Places {
    all: Arc<Semaphore>,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    per_address: usize,
}

/// One place, given back when dropped.
#[derive(Debug)]
struct Place {
    _permit: OwnedSemaphorePermit,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl Places {
    fn new(config: &HttpConfig) -> Self {
        let per_address = if config.connections_per_address == 0 { usize::MAX } else { config.connections_per_address };
        Self { all: Arc::new(Semaphore::new(config.connections)), taken: Arc::default(), per_address }
    }

    fn take(&self, address: IpAddr, permit: OwnedSemaphorePermit) -> Option<Place> {
        let mut taken = self.taken.lock();
        let count = taken.entry(address).or_default();
        if *count >= self.per_address {
            return None;
        }
        *count += 1;
        Some(Place { _permit: permit, taken: Arc::clone(&self.taken), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_address_cannot_take_every_place() {
        let places = Places::new(&HttpConfig { connections: 3, connections_per_address: 2, ..HttpConfig::default() });
        let permit = || Arc::clone(&places.all).try_acquire_owned().unwrap();
        let (here, there) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let first = places.take(here, permit()).unwrap();
        let _second = places.take(here, permit()).unwrap();
        assert!(places.take(here, permit()).is_none());
        let _other = places.take(there, permit()).unwrap();
        drop(first);
        assert!(places.take(here, permit()).is_some());
    }
}
