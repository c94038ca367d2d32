//! `/livez`, `/readyz` and `/metrics` on one port, which any pod of the cluster may reach: see `door.rs`.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue},
};
use prometheus_client::registry::Registry;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
};

use crate::metrics;

mod door;
#[cfg(test)]
mod tests;

use door::Door;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

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
pub async fn serve(
    listener: TcpListener,
    registry: Registry,
    readiness: watch::Receiver<Readiness>,
) -> Infallible {
    let pages = Arc::new(Pages::new(registry, readiness));
    let answer = move |request: Request<()>| {
        let pages = Arc::clone(&pages);
        async move { pages.answer(&request).await }
    };
    Door::default().open(listener, answer).await
}

/// What is shown.
struct Pages {
    registry: Registry,
    readiness: watch::Receiver<Readiness>,
    /// One text of metrics is made at a time: whoever asks for many takes one core at most.
    making: Semaphore,
}

impl Pages {
    fn new(registry: Registry, readiness: watch::Receiver<Readiness>) -> Self {
        Self {
            registry,
            readiness,
            making: Semaphore::new(1),
        }
    }

    async fn answer(&self, request: &Request<()>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        if !matches!(path, "/livez" | "/readyz" | "/metrics") {
            return page(StatusCode::NOT_FOUND, PLAIN, "not found\n");
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refusal = page(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET and HEAD\n");
            set(&mut refusal, ALLOW, "GET, HEAD");
            return refusal;
        }
        match path {
            "/livez" => page(StatusCode::OK, PLAIN, "ok\n"),
            "/readyz" => {
                let (status, text) = self.readiness.borrow().answer();
                page(status, PLAIN, text)
            }
            _ => self.metrics().await,
        }
    }

    async fn metrics(&self) -> Response<Full<Bytes>> {
        let _making = self.making.acquire().await;
        match metrics::text(&self.registry) {
            Ok(text) => page(StatusCode::OK, OPEN_METRICS, text),
            Err(_) => page(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, ""),
        }
    }
}

fn page(
    status: StatusCode,
    content_type: &'static str,
    text: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut page = Response::new(Full::new(text.into()));
    *page.status_mut() = status;
    set(&mut page, CONTENT_TYPE, content_type);
    page
}

fn set(page: &mut Response<Full<Bytes>>, name: HeaderName, value: &'static str) {
    page.headers_mut()
        .insert(name, HeaderValue::from_static(value));
}
