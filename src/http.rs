//! `/livez`, `/readyz` and `/metrics` on one port.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Router,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::metrics;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves as long as the process lives, its end included: probes go on until the last request is finished.
/// `ready` is what `/readyz` says: 503 until every store was filled.
///
/// # Errors
/// When the socket fails.
pub async fn serve(
    listener: TcpListener,
    registry: Registry,
    ready: Arc<AtomicBool>,
) -> io::Result<()> {
    let registry = Arc::new(registry);
    let readyz = move || async move {
        if ready.load(Ordering::Relaxed) {
            (StatusCode::OK, "ok\n")
        } else {
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "waiting for the first list of every watched kind\n",
            )
        }
    };
    let metrics = move || async move {
        match metrics::text(&registry) {
            Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    };
    let routes = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics));
    axum::serve(listener, routes).await
}
