//! The next status, and its write: only where it differs.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use tracing::Instrument as _;

use crate::{
    api::{Class, ConditionType, Reason, Status, VaultSecretStatus, condition},
    lease::Fence,
    reconcile::{
        fields::Fields,
        verdict::{Refusal, Verdict},
    },
    spans,
};

const SYNCED: &str = "The vault holds what is declared.";
const SUSPENDED: &str = "spec.suspend is true: nothing is read or sent until it is false again.";
const CONTENDED: &str = "Somebody else keeps changing this secret in Nairi, and it was put back three times within an hour: find who else writes it (another cluster, a script) and let one of you stop, or set driftPolicy: Report. This goes an hour after the last time.";

/// The status that follows from `previous` by `verdict`, for the object at `generation` that asks for the sync
/// `requested`.
///
/// `contended`: somebody else keeps writing. `None` where the verdict says nothing new about the object. Pure.
#[must_use]
pub fn next(
    previous: &VaultSecretStatus,
    generation: Option<i64>,
    requested: Option<&str>,
    verdict: &Verdict,
    contended: bool,
    now: Timestamp,
) -> Option<VaultSecretStatus> {
    let mut status = previous.clone();
    let mut say = Conditions {
        generation,
        now,
        all: std::mem::take(&mut status.conditions),
    };
    let mut pending_fields = Fields::NONE;
    if !matches!(verdict, Verdict::Suspended) {
        condition::remove(&mut say.all, ConditionType::Suspended);
    }
    if let (Verdict::Synced(_) | Verdict::Drifted { .. }, Some(requested)) = (verdict, requested) {
        status.last_handled_sync_request = Some(requested.to_owned());
    }
    match verdict {
        Verdict::Synced(confirmed) => {
            confirmed.write_to(&mut status);
            say.ready(Reason::Synced, SYNCED);
        }
        Verdict::Drifted {
            confirmed,
            drift,
            pending,
        } => {
            confirmed.write_to(&mut status);
            status.drift = Some(drift.clone());
            pending_fields = *pending;
            say.ready(Reason::DriftDetected, &drift_message(*pending));
        }
        Verdict::Blocked {
            refusal:
                Refusal {
                    reason,
                    message,
                    retry: _,
                    unbind,
                },
            pending,
            confirmed,
        } => {
            if let Some(confirmed) = confirmed {
                confirmed.write_to(&mut status);
            }
            if *unbind {
                status = VaultSecretStatus {
                    last_patch: status.last_patch,
                    last_handled_sync_request: status.last_handled_sync_request,
                    ..VaultSecretStatus::default()
                };
            }
            pending_fields = *pending;
            say.ready(*reason, message);
        }
        Verdict::Suspended => {
            // What was said stays, and with it what it is about.
            pending_fields = Fields::of(&status.pending_fields);
            say.set(
                ConditionType::Suspended,
                Status::True,
                Reason::Suspended.as_str(),
                SUSPENDED,
            );
            if condition::find(&say.all, ConditionType::Ready).is_none() {
                say.ready(Reason::Suspended, SUSPENDED);
            }
            condition::remove(&mut say.all, ConditionType::Reconciling);
            condition::remove(&mut say.all, ConditionType::Stalled);
        }
        Verdict::Waiting | Verdict::Unchecked(_) | Verdict::Outdated | Verdict::Released => {
            return None;
        }
    }
    if contended {
        let type_ = ConditionType::Contended;
        say.set(type_, Status::True, type_.as_str(), CONTENDED);
    } else {
        condition::remove(&mut say.all, ConditionType::Contended);
    }
    status.pending_fields = pending_fields.names();
    status.observed_generation = generation;
    status.conditions = say.all;
    Some(status)
}

/// The sentence for somebody else's change that is left in place.
fn drift_message(pending: Fields) -> String {
    let what = match (pending.value, pending.allowed_domains) {
        (true, true) => "secret (perhaps its value) and its domains",
        (false, true) => "secret's domains",
        _ => "secret (perhaps its value)",
    };
    format!(
        "Somebody else changed the {what} in Nairi: set driftPolicy: Correct to put the declared state back, or change the declaration."
    )
}

struct Conditions {
    generation: Option<i64>,
    now: Timestamp,
    all: Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>,
}

impl Conditions {
    fn set(&mut self, type_: ConditionType, status: Status, reason: &str, message: &str) {
        condition::set(
            &mut self.all,
            type_,
            status,
            reason,
            message,
            self.generation,
            self.now,
        );
    }

    /// `Ready` with `reason`, and beside it the one of `Stalled` and `Reconciling` that goes with it.
    fn ready(&mut self, reason: Reason, message: &str) {
        let beside = match reason.class() {
            Class::Waits => Some(ConditionType::Stalled),
            Class::Retried => Some(ConditionType::Reconciling),
            Class::Synced | Class::Unknown => None,
        };
        condition::set_ready(
            &mut self.all,
            reason.status(),
            beside,
            reason.as_str(),
            message,
            self.generation,
            self.now,
        );
    }
}

/// What `refusal`, of a question that could not be asked or answered, means for an object with this status: one
/// in sync is left alone.
#[must_use]
pub fn unanswered(
    status: &VaultSecretStatus,
    generation: Option<i64>,
    refusal: Refusal,
) -> Verdict {
    if !is_news(status, generation, Reason::Synced) {
        return Verdict::Unchecked(refusal.retry);
    }
    refusal.verdict()
}

/// What `verdict`, of a question that could not be asked or answered, means for an object with this status: it makes
/// nothing of one in sync, unless somebody waits for what was `requested`.
#[must_use]
pub fn unless_in_sync(
    status: &VaultSecretStatus,
    generation: Option<i64>,
    requested: Fields,
    verdict: Verdict,
) -> Verdict {
    match verdict {
        Verdict::Blocked {
            refusal,
            pending,
            confirmed,
        } if !requested.is_empty() => Verdict::Blocked {
            refusal,
            pending: pending | requested,
            confirmed,
        },
        Verdict::Blocked {
            refusal,
            pending: _,
            confirmed: None,
        } if !refusal.unbind => unanswered(status, generation, refusal),
        verdict => verdict,
    }
}

/// The reason on `Ready`, where there is one on the closed list.
#[must_use]
pub fn ready_reason(status: &VaultSecretStatus) -> Option<Reason> {
    condition::find(&status.conditions, ConditionType::Ready)?
        .reason
        .parse()
        .ok()
}

/// Whether `reason` for this generation is not what `status` says already.
#[must_use]
pub fn is_news(status: &VaultSecretStatus, generation: Option<i64>, reason: Reason) -> bool {
    status.observed_generation != generation || ready_reason(status) != Some(reason)
}

/// The object whose status is written.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// Its name.
    pub name: &'a str,
    /// The version the write is based on: the API server refuses it (409) if the object has moved on.
    pub resource_version: &'a str,
}

/// Writes `next` over `shown` as a merge patch of the status subresource; returns the new resourceVersion.
/// Never returns once the lease is lost.
///
/// # Errors
/// Whatever the API server answers; 409 where `resource_version` is no longer the object's.
pub async fn write<K, S>(
    api: &Api<K>,
    write: Write<'_>,
    shown: &S,
    next: &S,
    (fence, timeout): (&Fence, Duration),
) -> Result<Option<String>, kube::Error>
where
    K: Clone + std::fmt::Debug + DeserializeOwned + kube::Resource<DynamicType = ()>,
    S: Serialize,
{
    let changes = merge_patch(&to_value(shown)?, &to_value(next)?);
    let body = json!({
        "metadata": {"resourceVersion": write.resource_version},
        "status": changes,
    });
    let (params, patch) = (PatchParams::default(), Patch::Merge(body));
    let kind = K::kind(&());
    let span = spans::kubernetes("PATCH", &kind, api.namespace(), write.name);
    let request = api
        .patch_status(write.name, &params, &patch)
        .instrument(span);
    let written = fence
        .bounded(timeout, request)
        .await
        .map_err(|passed| kube::Error::Service(passed.into()))??;
    Ok(written.meta().resource_version.clone())
}

fn to_value(status: &impl Serialize) -> Result<Value, kube::Error> {
    serde_json::to_value(status).map_err(kube::Error::SerdeError)
}

/// The JSON merge patch (RFC 7386) that turns `from` into `to`.
fn merge_patch(from: &Value, to: &Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (from, to) else {
        return to.clone();
    };
    let removed = old
        .keys()
        .filter(|key| !new.contains_key(*key))
        .map(|key| (key.clone(), Value::Null));
    let changed = new.iter().filter_map(|(key, value)| match old.get(key) {
        Some(before) if before == value => None,
        Some(before) => Some((key.clone(), merge_patch(before, value))),
        None => Some((key.clone(), value.clone())),
    });
    Value::Object(removed.chain(changed).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests;
