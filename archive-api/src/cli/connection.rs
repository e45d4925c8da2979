//! Reaching the archive: the server's Unix socket, or an archive opened in this process.

use std::path::{Path, PathBuf};

use axum::Router;
use axum::body::Body;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tower::ServiceExt as _;

use super::exit::Exit;
use crate::config::Config;
use crate::running::Running;

/// The socket's name in the data folder.
pub const SOCKET: &str = "control.sock";

/// Where requests go.
pub enum Connection {
    /// A server holds the data folder.
    Server(PathBuf),
    /// Nobody does: the archive is open here.
    Own(Box<Own>),
}

/// An archive opened for one verb.
pub struct Own {
    running: Running,
    router: Router,
}

impl Connection {
    /// Reaches the archive of a data folder.
    ///
    /// # Errors
    /// When it can neither be reached nor opened.
    pub async fn open(data: &Path, config: &Config) -> Result<Self, Exit> {
        let socket = data.join(SOCKET);
        if UnixStream::connect(&socket).await.is_ok() {
            return Ok(Self::Server(socket));
        }
        let running = Running::open(data, config).await.map_err(Exit::unreachable)?;
        let router = running.router();
        Ok(Self::Own(Box::new(Own { running, router })))
    }

    /// Sends a request; an answer that is no success becomes an error with the server's words.
    ///
    /// # Errors
    /// When the connection breaks, or the answer is no success.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Exit> {
        let response = self.send_raw(request).await.map_err(Exit::unreachable)?;
        if response.status().is_success() { Ok(response) } else { Err(refusal(response).await) }
    }

    /// Sends a request and gives the answer, whatever it is.
    ///
    /// # Errors
    /// When the connection breaks, in words.
    pub async fn send_raw(&self, request: Request<Body>) -> Result<Response<Body>, String> {
        match self {
            Self::Server(socket) => send_by_socket(socket, request).await,
            Self::Own(own) => match own.router.clone().oneshot(request).await {
                Ok(response) => Ok(response),
                Err(never) => match never {},
            },
        }
    }

    /// Gets a JSON answer.
    ///
    /// # Errors
    /// As [`Connection::send`], or when the answer has another shape.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Exit> {
        let response = self.send(request("GET", path, Body::empty())?).await?;
        let body = response.into_body().collect().await.map_err(|error| Exit::unreachable(broken(error)))?;
        serde_json::from_slice(&body.to_bytes()).map_err(|error| Exit::failed(format!("{path}: {error}")))
    }

    /// Waits until an archive opened here has a whole catalog; a server says itself that it rebuilds.
    pub async fn whole(&self) {
        if let Self::Own(own) = self {
            own.running.archive().rebuilt().await;
        }
    }

    /// Ends the use of the archive; what was opened here is closed cleanly.
    pub async fn close(self) {
        if let Self::Own(own) = self {
            drop(own.router);
            own.running.close().await;
        }
    }
}

/// A request for a path.
///
/// # Errors
/// When the path is none.
pub fn request(method: &str, path: &str, body: Body) -> Result<Request<Body>, Exit> {
    Request::builder().method(method).uri(path).header("host", "vellum").body(body).map_err(Exit::failed)
}

async fn send_by_socket(socket: &Path, request: Request<Body>) -> Result<Response<Body>, String> {
    let stream = UnixStream::connect(socket).await.map_err(broken)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await.map_err(broken)?.map(Body::new))
}

fn broken(error: impl std::fmt::Display) -> String {
    format!("the connection to the archive broke: {error}; see its log")
}

/// The words of a problem document.
async fn refusal(response: Response<Body>) -> Exit {
    let status = response.status();
    let body = response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let detail = problem.get("detail").or_else(|| problem.get("title")).and_then(serde_json::Value::as_str);
    let message = detail.map_or_else(|| status.to_string(), str::to_owned);
    match status {
        StatusCode::BAD_REQUEST => Exit::usage(message),
        StatusCode::NOT_FOUND => Exit::nothing(message),
        _ => Exit::failed(message),
    }
}
