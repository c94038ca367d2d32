//! What is counted when somebody looks, instead of being kept.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicI64},
    time::{Duration, Instant},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
};

use super::labels::ReadyLabels;
use crate::{
    api::Reason, connections::Connections, context::Queues, reconcile::status::ready_reason,
    sweep::Sweeps, watch::Stores,
};

/// The state behind the gauges.
pub struct Live {
    /// The objects.
    pub stores: Stores,
    /// The queues.
    pub queues: Queues,
    /// The gates.
    pub connections: Arc<Connections>,
    /// The sweeps.
    pub sweeps: Arc<Sweeps>,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Live")
    }
}

impl Collector for Live {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let objects = Family::<ReadyLabels, Gauge<i64, AtomicI64>>::default();
        for labels in ReadyLabels::all() {
            drop(objects.get_or_create(&labels));
        }
        for object in self.stores.objects.state() {
            let reason = object
                .status
                .as_ref()
                .and_then(ready_reason)
                .unwrap_or(Reason::Pending);
            objects.get_or_create(&reason.into()).inc();
        }
        let descriptor = encoder.encode_descriptor(
            "objects",
            "VaultSecrets, by their Ready condition",
            None,
            objects.metric_type(),
        )?;
        objects.encode(descriptor)?;
        let mut gauge = |name, help, value: usize| {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        gauge(
            "queue_depth",
            "VaultSecrets that are due",
            self.queues.objects.depth(),
        )?;
        gauge(
            "gates_closed",
            "API keys with which nothing may be sent now",
            self.connections.gates().closed_count(Instant::now()),
        )?;
        let mut gauge = |name, help, value: Duration| {
            let gauge = ConstGauge::new(value.as_secs_f64());
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        gauge(
            "sweep_age_seconds",
            "How long ago the vault that was listed longest ago was listed, of those that can be",
            self.sweeps.oldest(Instant::now()).unwrap_or_default(),
        )?;
        gauge(
            "sweep_interval_seconds",
            "About how often each vault is listed",
            self.sweeps.interval(),
        )
    }
}
