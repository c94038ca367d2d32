//! What is counted when somebody looks, instead of being kept.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, atomic::AtomicI64},
    time::Instant,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _},
    metrics::{
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
};

use crate::{
    api::Reason, connections::Connections, context::Queues, reconcile::status::ready_reason,
    sweep::Sweeps, watch::Stores,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
struct ReadyLabels {
    ready: &'static str,
    reason: &'static str,
}

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
        let mut objects = BTreeMap::<ReadyLabels, i64>::new();
        for object in self.stores.objects.state() {
            let reason = object
                .status
                .as_ref()
                .and_then(ready_reason)
                .unwrap_or(Reason::Pending);
            *objects
                .entry(ReadyLabels {
                    ready: reason.status().as_str(),
                    reason: reason.as_str(),
                })
                .or_default() += 1;
        }
        let family = Family::<ReadyLabels, Gauge<i64, AtomicI64>>::default();
        for (labels, count) in objects {
            family.get_or_create(&labels).set(count);
        }
        let descriptor = encoder.encode_descriptor(
            "objects",
            "VaultSecrets, by their Ready condition",
            None,
            family.metric_type(),
        )?;
        family.encode(descriptor)?;
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
        let oldest = self.sweeps.oldest(Instant::now()).unwrap_or_default();
        let gauge = ConstGauge::new(oldest.as_secs_f64());
        gauge.encode(encoder.encode_descriptor(
            "sweep_age_seconds",
            "How long ago the vault that was listed longest ago was listed, of those that can be",
            None,
            gauge.metric_type(),
        )?)
    }
}
