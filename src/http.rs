//! `/livez`, `/readyz` and `/metrics` on one port.

use std::{io, sync::Arc};

use axum::{
    Router,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use prometheus_client::registry::Registry;
use tokio::{net::TcpListener, sync::watch};

use crate::metrics;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How far the process has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It does not know yet whether it is to act.
    Starting,
    /// Another replica acts; this one is ready to take over.
    StandingBy,
    /// It acts once every store is filled.
    Filling,
    /// It acts.
    Ready,
}

impl Readiness {
    const fn answer(self) -> (StatusCode, &'static str) {
        const NOT_YET: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
        match self {
            Self::Starting => (NOT_YET, "waiting for the lease to be seen\n"),
            Self::StandingBy => (StatusCode::OK, "standing by\n"),
            Self::Filling => (
                NOT_YET,
                "waiting for the first list of every watched kind\n",
            ),
            Self::Ready => (StatusCode::OK, "ok\n"),
        }
    }
}

/// Serves as long as the process lives, its end included: probes go on until the last request is finished.
/// `readiness` is what `/readyz` says.
///
/// # Errors
/// When the socket fails.
pub async fn serve(
    listener: TcpListener,
    registry: Registry,
    readiness: watch::Receiver<Readiness>,
) -> io::Result<()> {
    let registry = Arc::new(registry);
    let readyz = move || async move { readiness.borrow().answer() };
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
