//! A secret we know, three ways: what is declared, what we last applied, what the remote shows.

use super::{Change, Evidence, Observed, Plan, Remote, managed};
use crate::{
    api::{Drift, DriftPolicy},
    nairi::{RemoteSecret, same_domains, same_instant},
    reconcile::{desired::Desired, fields::Fields, record::Confirmed},
};

/// A secret we know: our own changes, somebody else's, and what to do about each.
pub(super) fn bound(
    desired: &Desired,
    observed: &Observed,
    confirmed: &Confirmed,
    seen: Option<&RemoteSecret>,
) -> Plan {
    let Desired {
        target: _,
        value: _,
        allowed_domains,
        drift_policy,
        creation_policy: _,
        deletion_policy: _,
    } = desired;
    let Observed {
        confirmed: _,
        remote,
        evidence,
        stale,
        unwatched,
        uncertain,
        forced,
        claim: _,
        held: _,
        refused_creation: _,
    } = observed;
    let managed = managed(desired);
    let read = *evidence != Evidence::NotRead;
    if managed.value && !read && (*stale || *forced) {
        return Plan::ReadSource;
    }
    // Domains that were not managed until now are compared with what is there, once that was seen.
    let applied =
        (confirmed.applied_domains.as_ref()).or(seen.map(|secret| &secret.allowed_domains));
    let own = Fields {
        value: *evidence == Evidence::Changed,
        allowed_domains: allowed_domains
            .as_ref()
            .is_some_and(|domains| applied.is_none_or(|applied| !same_domains(domains, applied))),
    } | (*uncertain & managed);
    let mut drift = drift(confirmed, seen);
    let answered = matches!(remote, Remote::Seen(_));
    let known = seen.is_none_or(|secret| is_recorded(confirmed, secret));
    if !answered && !known {
        // A list may be older than our own last PATCH: it alone changes nothing.
        return confirmed.ask();
    }
    if confirmed.applied_domains.is_none() {
        drift.allowed_domains = None;
    }
    let foreign = managed & drifted(&drift);
    let (send, left) = match drift_policy {
        DriftPolicy::Correct => (own | foreign, Fields::NONE),
        DriftPolicy::Report => (own, foreign - own),
    };
    // Under either policy: who asks for a sync wants the declared state put back.
    let requested = observed.requested(desired);
    let (send, left) = (send | requested, left - requested);
    let foreign_updated_at = drift.updated_at.clone();
    let leaves = keep(drift, left);
    if send.value && !read {
        return Plan::ReadSource;
    }
    if !send.is_empty() {
        let hides_a_foreign_write = managed.value && !send.value && !answered;
        if hides_a_foreign_write || (*forced && !answered) {
            return confirmed.ask();
        }
        return Plan::Patch(Change {
            secret_id: confirmed.secret_id.clone(),
            fields: send,
            // What moved may be the trace of our own PATCH, lost or cut off with the process that sent it.
            corrects: if uncertain.is_empty() && !*unwatched {
                send & foreign
            } else {
                Fields::NONE
            },
            foreign_updated_at,
            leaves,
            before: confirmed.clone(),
        });
    }
    if let Some(drift) = leaves {
        return Plan::Report {
            confirmed: settled(confirmed, seen, allowed_domains.as_ref(), managed),
            drift,
            pending: left,
        };
    }
    if *unwatched && seen.is_none() {
        return Plan::Look;
    }
    Plan::Settled(settled(confirmed, seen, allowed_domains.as_ref(), managed))
}

/// What of `drift` is about `fields`.
pub(super) fn keep(drift: Drift, fields: Fields) -> Option<Drift> {
    let kept = Drift {
        updated_at: drift.updated_at.filter(|_| fields.value),
        allowed_domains: drift.allowed_domains.filter(|_| fields.allowed_domains),
    };
    (kept != Drift::default()).then_some(kept)
}

pub(super) fn drifted(drift: &Drift) -> Fields {
    Fields {
        value: drift.updated_at.is_some(),
        allowed_domains: drift.allowed_domains.is_some(),
    }
}

/// Whether the record says what `seen` shows, drift included.
pub(in crate::reconcile) fn is_recorded(confirmed: &Confirmed, seen: &RemoteSecret) -> bool {
    drift(confirmed, Some(seen)) == confirmed.drift.clone().unwrap_or_default()
}

/// What somebody else changed: as seen now, or as recorded where the remote was not asked. What is recorded already
/// keeps its spelling.
pub(super) fn drift(confirmed: &Confirmed, seen: Option<&RemoteSecret>) -> Drift {
    let recorded = confirmed.drift.clone().unwrap_or_default();
    let Some(seen) = seen else { return recorded };
    let moved = !same_instant(&seen.updated_at, &confirmed.updated_at);
    let redomained = !same_domains(&seen.allowed_domains, &confirmed.allowed_domains);
    let respelled = |old: &String| !moved || same_instant(old, &seen.updated_at);
    let reordered = |old: &Vec<String>| same_domains(old, &seen.allowed_domains);
    Drift {
        // Our own domains-only PATCH moves updated_at without making the value ours again.
        updated_at: recorded
            .updated_at
            .filter(respelled)
            .or_else(|| moved.then(|| seen.updated_at.clone())),
        allowed_domains: redomained.then(|| {
            let recorded = recorded.allowed_domains.filter(reordered);
            recorded.unwrap_or_else(|| seen.allowed_domains.clone())
        }),
    }
}

/// The record of an object with nothing left to send: what is no longer managed is forgotten, what the remote
/// shows of unmanaged parts is taken over where it says anything new, `declared` domains that were there
/// already count as applied.
fn settled(
    confirmed: &Confirmed,
    seen: Option<&RemoteSecret>,
    declared: Option<&Vec<String>>,
    managed: Fields,
) -> Confirmed {
    let mut record = confirmed.clone();
    record.drift = None;
    if !managed.value {
        record.value_fingerprint = None;
        record.source_version = None;
        if let Some(seen) = seen
            && !same_instant(&seen.updated_at, &record.updated_at)
        {
            record.updated_at.clone_from(&seen.updated_at);
        }
    }
    if !managed.allowed_domains || record.applied_domains.is_none() {
        record.applied_domains = declared.cloned();
        if let Some(seen) = seen
            && !same_domains(&seen.allowed_domains, &record.allowed_domains)
        {
            record.allowed_domains.clone_from(&seen.allowed_domains);
        }
    }
    record
}
