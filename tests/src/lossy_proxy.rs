//! A TCP proxy that loses answers, or keeps them back: the server has done what it was asked, and the client never hears
//! of it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// A proxy that runs as long as this lives.
#[derive(Debug)]
pub struct LossyProxy {
    port: u16,
    to_lose: Arc<AtomicUsize>,
    stalled: watch::Sender<bool>,
    kept_back: Arc<AtomicUsize>,
    accepting: AbortHandle,
}

/// What happens to answers.
#[derive(Clone)]
struct Manners {
    to_lose: Arc<AtomicUsize>,
    stalled: watch::Receiver<bool>,
    kept_back: Arc<AtomicUsize>,
}

impl LossyProxy {
    /// Forwards connections to a port of this machine.
    pub async fn to(server_port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let to_lose = Arc::new(AtomicUsize::new(0));
        let (stalled, stalling) = watch::channel(false);
        let kept_back = Arc::new(AtomicUsize::new(0));
        let manners = Manners { to_lose: Arc::clone(&to_lose), stalled: stalling, kept_back: Arc::clone(&kept_back) };
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let manners = manners.clone();
                tokio::spawn(async move {
                    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server_port)).await.unwrap();
                    forward(client, server, manners).await;
                });
            }
        });
        Self { port, to_lose, stalled, kept_back, accepting: accepting.abort_handle() }
    }

    /// The port on 127.0.0.1 that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Loses the next answers: when the first byte of one comes from the server, the client's connection is cut.
    pub fn lose_answers(&self, count: usize) {
        self.to_lose.store(count, Ordering::SeqCst);
    }

    /// Keeps all answers back until it is told otherwise; connections stay open.
    pub fn stall(&self, stalled: bool) {
        self.stalled.send_replace(stalled);
    }

    /// How many answers were kept back so far.
    #[must_use]
    pub fn kept_back(&self) -> usize {
        self.kept_back.load(Ordering::SeqCst)
    }

    /// How many are still to be lost.
    #[must_use]
    pub fn left_to_lose(&self) -> usize {
        self.to_lose.load(Ordering::SeqCst)
    }
}

impl Drop for LossyProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn forward(client: TcpStream, server: TcpStream, mut manners: Manners) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = async {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
    };
    let answers = async {
        let mut piece = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from_server.read(&mut piece).await {
            if *manners.stalled.borrow() {
                manners.kept_back.fetch_add(1, Ordering::SeqCst);
                // An error means that the proxy is gone: then the rest goes through.
                let _going_on = manners.stalled.wait_for(|stalled| !stalled).await;
            }
            let lost =
                manners.to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
            if lost || to_client.write_all(&piece[..length]).await.is_err() {
                return;
            }
        }
    };
    // Whichever ends first cuts both connections.
    tokio::select! {
        () = requests => {}
        () = answers => {}
    }
}
