//! `serve`: the archive with all its doors, until it is told to stop.

use std::io::IsTerminal as _;
use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::connection::SOCKET;
use crate::cli::exit::Exit;
use crate::config::{Config, LogFormat};
use crate::running::Running;
use crate::server::Server;

/// Runs until SIGTERM or SIGINT, or until the archive cannot go on.
///
/// # Errors
/// [`Exit`]: code 5 where the data folder or a port is in use, 1 where the archive stopped by itself.
pub async fn run(data: &Path, config: &Config) -> Result<(), Exit> {
    start_log(config)?;
    let (mut terminate, mut interrupt) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => return Err(Exit::failed(format!("cannot listen for signals: {error}"))),
    };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), data = %data.display(), "starting");
    let running = Running::open(data, config).await.map_err(Exit::unreachable)?;
    let server = Server::start(&running, config, &data.join(SOCKET)).await.map_err(Exit::unreachable)?;
    tracing::info!(http = %server.http_address(), dimse = %server.dimse_address(), ae_title = config.dimse.ae_title, "ready");
    notify(sd_notify::NotifyState::Ready);
    let stopped = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        why = running.archive().stopped() => Some(why),
    };
    notify(sd_notify::NotifyState::Stopping);
    match &stopped {
        None => tracing::info!("stopping: finishing what is under way"),
        Some(why) => tracing::error!(why, "the archive cannot go on; the next start recovers"),
    }
    server.stop().await;
    running.close().await;
    tracing::info!("stopped");
    stopped.map_or(Ok(()), |why| Err(Exit::failed(why)))
}

/// Tells the service manager, where there is one.
fn notify(state: sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}

/// Log lines go to standard error; standard output is for answers.
fn start_log(config: &Config) -> Result<(), Exit> {
    let filter = tracing_subscriber::EnvFilter::try_new(&config.log.level)
        .map_err(|error| Exit::usage(format!("log.level = {:?}: {error}", config.log.level)))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match config.log.format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
