//! What `/metrics` shows. Labels are closed enums; none holds a name.

mod labels;
pub mod live;

use std::{hash::Hash, time::Duration};

pub use self::labels::Outcome;

use self::labels::{
    Action, ActionLabel, FieldLabel, MethodLabel, RequestLabels, ResultLabel, VersionLabel,
};
use crate::{
    nairi::Method,
    reconcile::{fields::Fields, verdict::Verdict},
};
use prometheus_client::{
    encoding::text::encode,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

/// The operator's metrics. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    reconciles: Family<ResultLabel, Counter>,
    reconcile_duration: Histogram,
    requests: Family<RequestLabels, Counter>,
    request_duration: Family<MethodLabel, Histogram, fn() -> Histogram>,
    patched_fields: Family<FieldLabel, Counter>,
    propagation: Histogram,
    drift: Family<ActionLabel, Counter>,
    released: Counter,
    leader: Gauge,
}

/// From 1 ms to about 30 s.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 16))
}

/// A counter for each value of a label, at 0.
fn counters<L: Clone + Eq + Hash>(all: impl Iterator<Item = L>) -> Family<L, Counter> {
    let family = Family::default();
    for labels in all {
        drop(family.get_or_create(&labels));
    }
    family
}

fn seconds_by_method() -> Family<MethodLabel, Histogram, fn() -> Histogram> {
    let family = Family::new_with_constructor(seconds as fn() -> Histogram);
    for method in MethodLabel::all() {
        drop(family.get_or_create(&method));
    }
    family
}

impl Metrics {
    /// The metrics, and the registry that shows them.
    #[must_use]
    pub fn new() -> (Self, Registry) {
        let metrics = Self {
            reconciles: counters(ResultLabel::all()),
            reconcile_duration: seconds(),
            requests: counters(RequestLabels::all()),
            request_duration: seconds_by_method(),
            patched_fields: counters(FieldLabel::all()),
            propagation: seconds(),
            drift: counters(ActionLabel::all()),
            released: Counter::default(),
            leader: Gauge::default(),
        };
        let mut registry = Registry::with_prefix("vaultsecret");
        let Self {
            reconciles,
            reconcile_duration,
            requests,
            request_duration,
            patched_fields,
            propagation,
            drift,
            released,
            leader,
        } = metrics.clone();
        registry.register("reconcile", "Reconciles, by how they ended", reconciles);
        registry.register(
            "reconcile_duration_seconds",
            "How long reconciles took",
            reconcile_duration,
        );
        registry.register(
            "api_requests",
            "Requests to the Nairi API, by method and status code",
            requests,
        );
        registry.register(
            "api_request_duration_seconds",
            "How long requests to the Nairi API took",
            request_duration,
        );
        registry.register(
            "patched_fields",
            "Fields sent to the Nairi API and confirmed",
            patched_fields,
        );
        registry.register(
            "propagation_seconds",
            "From a change being seen to the PATCH being confirmed",
            propagation,
        );
        registry.register(
            "drift",
            "Changes by somebody else, by what was done about them",
            drift,
        );
        registry.register(
            "released",
            "Objects that were released while their remote secrets stay behind",
            released,
        );
        registry.register("leader", "Whether this replica acts: 1, or 0", leader);
        // A gauge, as it is everywhere: the type `info` is unknown to who reads the older text format.
        let build = Family::<_, Gauge>::default();
        for version in VersionLabel::all() {
            build.get_or_create(&version).set(1);
        }
        registry.register("build_info", "The running version", build);
        (metrics, registry)
    }

    /// A reconcile ended.
    pub fn reconciled(&self, verdict: &Verdict, took: Duration) {
        self.ended(Outcome::from(verdict));
        self.reconcile_duration.observe(took.as_secs_f64());
    }

    /// A reconcile panicked.
    pub fn panicked(&self) {
        self.ended(Outcome::Panicked);
    }

    fn ended(&self, outcome: Outcome) {
        self.reconciles.get_or_create(&outcome.into()).inc();
    }

    /// A request to the Nairi API ended.
    pub fn requested(&self, method: Method, code: &'static str, took: Duration) {
        self.requests
            .get_or_create(&RequestLabels::new(method, code))
            .inc();
        self.request_duration
            .get_or_create(&method.into())
            .observe(took.as_secs_f64());
    }

    /// An object was released while its remote secret stays behind.
    pub fn released(&self) {
        self.released.inc();
    }

    /// This replica acts from here on, until its end.
    pub fn leads(&self) {
        self.leader.set(1);
    }

    /// A PATCH was confirmed, this long after its cause was seen.
    pub fn patched(&self, fields: Fields, after: Duration) {
        for field in fields.names() {
            self.patched_fields.get_or_create(&field.into()).inc();
        }
        self.propagation.observe(after.as_secs_f64());
    }

    /// Somebody else's change was found, and is left in place.
    pub fn drift_reported(&self) {
        self.drifted(Action::Reported);
    }

    /// Somebody else was found to keep writing.
    pub fn contended(&self) {
        self.drifted(Action::Contended);
    }

    /// Somebody else's change was put right.
    pub fn drift_corrected(&self) {
        self.drifted(Action::Corrected);
    }

    fn drifted(&self, action: Action) {
        self.drift.get_or_create(&action.into()).inc();
    }
}

/// The registry in the Prometheus text format.
///
/// # Errors
/// None in practice: writing to a `String` doesn't fail.
pub fn text(registry: &Registry) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    encode(&mut out, registry)?;
    Ok(out)
}
