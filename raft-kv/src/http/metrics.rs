//! `/metrics`: the process's metrics as Prometheus reads them.

use std::sync::OnceLock;
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Metrics are the process's, not a server's: several servers in one process share them.
static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// How often what was measured is folded into histograms. Left alone, it piles up.
const UPKEEP: Duration = Duration::from_secs(5);

/// Begins to record, unless the process records its metrics elsewhere.
pub(crate) fn record() {
    let handle = RECORDER.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).ok().map(|()| handle)
    });
    if handle.is_some() {
        metrics::gauge!("raft_kv_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    }
}

/// Folds what was measured, until it is dropped.
pub(crate) async fn upkeep() {
    while let Some(handle) = RECORDER.get().and_then(Option::as_ref) {
        handle.run_upkeep();
        tokio::time::sleep(UPKEEP).await;
    }
}

/// All metrics.
pub(super) async fn metrics() -> Response {
    match RECORDER.get().and_then(Option::as_ref) {
        Some(handle) => {
            let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
            (kind, handle.render()).into_response()
        }
        None => {
            let text = "this process records its metrics elsewhere\n";
            (StatusCode::NOT_FOUND, text).into_response()
        }
    }
}
