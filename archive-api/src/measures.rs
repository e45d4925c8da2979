//! Metrics: one recorder for the process, read by `/metrics`.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use archive_core::archive::{Archive, Status};
use jiff::Timestamp;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

/// Upper bounds of the latency buckets (seconds).
const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Installs the recorder, once; `None` where something else records already.
#[must_use]
pub fn install() -> Option<PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let install = || PrometheusBuilder::new().set_buckets(&SECONDS).ok()?.install_recorder().ok();
    HANDLE.get_or_init(install).clone()
}

/// Turns the archive's figures into gauges, until told to stop.
pub async fn follow(archive: Arc<Archive>, every: Duration, stop: CancellationToken) {
    let mut tick = tokio::time::interval(every);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = tick.tick() => record(&archive.status().await, archive.now()),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
fn record(status: &Status, now: Timestamp) {
    let journal = &status.journal;
    let age = journal.oldest_live.map_or(0.0, |oldest| now.duration_since(oldest).as_secs_f64().max(0.0));
    metrics::gauge!("vellum_journal_bytes").set(journal.bytes as f64);
    metrics::gauge!("vellum_journal_capacity_bytes").set(journal.cap_bytes as f64);
    metrics::gauge!("vellum_journal_kept_bytes").set(journal.kept_bytes as f64);
    metrics::gauge!("vellum_bytes_at_risk").set(journal.live_bytes as f64);
    metrics::gauge!("vellum_receipts_unsealed").set(journal.live_receipts as f64);
    metrics::gauge!("vellum_oldest_unsealed_seconds").set(age);
    metrics::gauge!("vellum_studies_unsealed").set(status.unsealed_studies as f64);
    metrics::gauge!("vellum_ledger_entries").set(status.ledger.entries as f64);
    metrics::gauge!("vellum_packs").set(status.packs as f64);
    metrics::gauge!("vellum_packs_unreadable").set(status.unreadable_packs as f64);
    metrics::gauge!("vellum_cases_open").set(status.open_cases as f64);
    metrics::gauge!("vellum_rebuilding").set(f64::from(u8::from(status.rebuilding.is_some())));
    metrics::gauge!("vellum_receiving").set(f64::from(u8::from(status.not_receiving.is_none())));
    for store in &status.stores {
        let lag = store.lag.map_or(f64::NAN, |segments| segments as f64);
        metrics::gauge!("vellum_store_lag_segments", "store" => store.name.clone()).set(lag);
    }
}
