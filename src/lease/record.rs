//! What a Lease says, and what is written into it: as client-go does, so that `kubectl get lease` reads as usual.

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{ResourceExt as _, api::ObjectMeta};
use serde_json::{Value, json};

/// A Lease, as far as the election is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its resourceVersion.
    pub version: String,
    /// Who holds it.
    pub holder: Option<String>,
    /// For how long after a renewal, as its holder says.
    pub duration: Option<Duration>,
    /// Since when.
    pub acquired: Option<Timestamp>,
    /// How often it went from one holder to another.
    pub transitions: i32,
}

impl Record {
    /// What this Lease says.
    #[must_use]
    pub fn of(lease: &Lease) -> Self {
        let spec = lease.spec.clone().unwrap_or_default();
        let seconds = spec
            .lease_duration_seconds
            .and_then(|it| u64::try_from(it).ok());
        Self {
            version: lease.resource_version().unwrap_or_default(),
            holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
            duration: seconds.map(Duration::from_secs),
            acquired: spec.acquire_time.map(|time| time.0),
            transitions: spec.lease_transitions.unwrap_or_default(),
        }
    }
}

/// What to write.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The holder; none gives the lease back.
    pub holder: Option<&'a str>,
    /// For how long after each renewal.
    pub duration: Duration,
    /// Now, by the wall clock. For readers only: nobody decides by it.
    pub now: Timestamp,
}

impl Entry<'_> {
    /// A new Lease.
    #[must_use]
    pub fn lease(&self, name: &str) -> Lease {
        let now = Some(MicroTime(self.now));
        Lease {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: self.holder.map(str::to_owned),
                lease_duration_seconds: Some(self.seconds()),
                acquire_time: now.clone(),
                renew_time: now,
                lease_transitions: Some(0),
                ..LeaseSpec::default()
            }),
        }
    }

    /// The merge patch over `before`, refused (409) if the Lease has changed since.
    #[must_use]
    pub fn over(&self, before: &Record) -> Value {
        let same = self.holder == before.holder.as_deref();
        let acquired = before.acquired.filter(|_| same).unwrap_or(self.now);
        let new_holder = self.holder.is_some() && !same;
        json!({
            "metadata": {"resourceVersion": before.version},
            "spec": {
                "holderIdentity": self.holder,
                "leaseDurationSeconds": self.seconds(),
                "acquireTime": MicroTime(acquired),
                "renewTime": MicroTime(self.now),
                "leaseTransitions": before.transitions.saturating_add(i32::from(new_holder)),
            },
        })
    }

    /// The API server takes no duration below a second.
    fn seconds(&self) -> i32 {
        i32::try_from(self.duration.as_secs())
            .unwrap_or(i32::MAX)
            .max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn entry(holder: Option<&str>, now: i64) -> Entry<'_> {
        Entry {
            holder,
            duration: Duration::from_secs(15),
            now: at(now),
        }
    }

    fn written(entry: Entry<'_>, before: &Record) -> Record {
        let patch = entry.over(before);
        assert_eq!(patch["metadata"]["resourceVersion"], *before.version);
        let lease = json!({"metadata": {"resourceVersion": "next"}, "spec": patch["spec"]});
        Record::of(&serde_json::from_value(lease).expect("a Lease"))
    }

    #[test]
    fn a_term_of_office() {
        let mut lease = entry(Some("a"), 100).lease("it");
        lease.metadata.resource_version = Some("1".to_owned());
        let made = Record::of(&lease);
        let record = |holder: Option<&str>, acquired, transitions| Record {
            version: "next".to_owned(),
            holder: holder.map(str::to_owned),
            duration: Some(Duration::from_secs(15)),
            acquired: Some(at(acquired)),
            transitions,
        };
        let version = "1".to_owned();
        assert_eq!(
            made,
            Record {
                version,
                ..record(Some("a"), 100, 0)
            }
        );
        let renewed = written(entry(Some("a"), 102), &made);
        assert_eq!(renewed, record(Some("a"), 100, 0));
        let returned = written(entry(None, 104), &renewed);
        assert_eq!(returned, record(None, 104, 0));
        let taken = written(entry(Some("b"), 105), &returned);
        assert_eq!(taken, record(Some("b"), 105, 1));
        assert_eq!(written(entry(Some("a"), 130), &taken).transitions, 2);
    }

    #[test]
    fn an_empty_name_is_nobody() {
        let lease = json!({"spec": {"holderIdentity": "", "leaseDurationSeconds": -1}});
        let record = Record::of(&serde_json::from_value(lease).expect("a Lease"));
        assert_eq!((record.holder, record.duration), (None, None));
    }
}
