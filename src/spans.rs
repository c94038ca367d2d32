//! Spans for traces: each pass of an object, and each request to Kubernetes in it; `nairi` has those to Nairi. They are
//! made of what a log line may hold, and without a collector ([`crate::telemetry`]) not at all.
//!
//! Attributes follow OpenTelemetry's conventions where there is one; `otel.…` is what its layer for `tracing` reads.

use std::time::Instant;

use kube::ResourceExt as _;
use tracing::{Span, field::Empty, info_span};

use crate::{api::VaultSecret, metrics::Outcome, reconcile::verdict::Verdict};

/// One pass of `object`, due since `due`.
#[must_use]
pub fn pass(object: &VaultSecret, due: Instant) -> Span {
    info_span!(
        "reconcile",
        k8s.namespace.name = object.namespace(),
        vaultsecret.name = object.name_any(),
        vaultsecret.generation = object.metadata.generation,
        vaultsecret.waited_ms = u64::try_from(due.elapsed().as_millis()).unwrap_or(u64::MAX),
        vaultsecret.result = Empty,
        vaultsecret.reason = Empty,
        otel.status_code = Empty,
    )
}

/// How the pass under way ended.
pub fn ended(verdict: &Verdict) {
    let span = Span::current();
    span.record("vaultsecret.result", Outcome::from(verdict).as_str());
    if let Verdict::Blocked { refusal, .. } = verdict {
        span.record("vaultsecret.reason", refusal.reason.as_str());
        span.record("otel.status_code", "ERROR");
    }
}

/// One request to the Kubernetes API: what is done with which kind.
#[must_use]
pub fn kubernetes(method: &str, kind: &str, namespace: Option<&str>, name: &str) -> Span {
    info_span!(
        "kubernetes",
        otel.name = [method, kind].join(" "),
        otel.kind = "client",
        http.request.method = method,
        k8s.namespace.name = namespace,
        k8s.object.name = name,
    )
}
