//! The span of one request, for traces: what a log line may hold. Without a collector it is not made at all.
//!
//! Attributes follow OpenTelemetry's conventions for HTTP clients; `otel.…` is what its layer for `tracing` reads.

use http::StatusCode;
use tracing::{Span, field::Empty, info_span};

use super::client::Method;

/// A request that is about to be sent.
pub(super) fn begin(method: Method, host: &str, path: &str) -> Span {
    info_span!(
        "nairi",
        otel.name = method.as_str(),
        otel.kind = "client",
        otel.status_code = Empty,
        http.request.method = method.as_str(),
        http.response.status_code = Empty,
        server.address = host,
        url.path = path,
        error.type = Empty,
    )
}

/// How it ended, with the label of the metric.
pub(super) fn end(span: &Span, method: Method, status: Option<StatusCode>, code: &'static str) {
    if let Some(status) = status {
        span.record("http.response.status_code", status.as_u16());
    }
    if code != method.success().1 {
        span.record("error.type", code);
        span.record("otel.status_code", "ERROR");
    }
}
