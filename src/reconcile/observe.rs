//! What is known before a plan is made: our own record, the source's version, the declared value against the
//! recorded fingerprint. Pure.

use secrecy::SecretString;

use crate::{
    api::{CreationPolicy, Status, VaultSecret, VaultSecretStatus},
    fingerprint::{Binding, FingerprintKey},
    ledger::Entry,
    reconcile::{
        compare,
        desired::{Desired, Target},
        plan::{Claim, Evidence, Observed, Remote},
        record::Confirmed,
        status::ready_reason,
    },
    sync_request,
};

/// The record in `status` of the secret that `target` names, if the object is bound to that.
#[must_use]
pub fn binding(target: &Target, status: &VaultSecretStatus, entry: &Entry) -> Option<Confirmed> {
    let Target {
        vault_id: _,
        secret_id,
        env_key,
    } = target;
    Confirmed::from_status(status).filter(|confirmed| {
        !entry.unbound
            && secret_id
                .as_ref()
                .is_none_or(|id| *id == confirmed.secret_id)
            && env_key.as_ref().is_none_or(|key| *key == confirmed.env_key)
    })
}

/// The record of `object` from `status`, nothing asked so far but what its vault's list showed. `source` is the version of the Secret that the
/// value comes from, where that is known.
#[must_use]
pub fn recorded(
    object: &VaultSecret,
    desired: &Desired,
    status: &VaultSecretStatus,
    entry: &Entry,
    source: Option<&str>,
) -> Observed {
    let confirmed = binding(&desired.target, status, entry);
    let known = entry
        .checked_source
        .as_ref()
        .or(status.source_version.as_ref());
    let moved =
        desired.value.is_managed() && (source.is_none() || source != known.map(String::as_str));
    let settled = ready_reason(status).is_some_and(|reason| reason.status() == Status::True);
    let respecified = status.observed_generation != object.metadata.generation;
    let changed = moved || respecified || !settled;
    let shown = compare::believed(entry, object.metadata.generation, confirmed.as_ref());
    // What is to be created has to be looked for in a list that began after whoever else may have created it.
    let creates = desired.creation_policy == CreationPolicy::IfMissing && confirmed.is_none();
    let remote = if shown == Remote::Absent && creates {
        Remote::Unasked
    } else {
        shown
    };
    Observed {
        remote,
        evidence: Evidence::NotRead,
        stale: changed || entry.uncertain.value || status.value_fingerprint.is_none(),
        unwatched: changed && !entry.watched,
        uncertain: entry.uncertain,
        forced: sync_request::is_pending(object, status),
        // The registry of claims says where it stands.
        claim: Claim::Unproven,
        held: entry.holds(object),
        refused_creation: (entry.refused_creation.as_ref())
            .filter(|refused| !refused.told)
            .map(|refused| refused.refusal.clone()),
        confirmed,
    }
}

/// `value` against what was last sent, for the secret that is bound or was found.
#[must_use]
pub fn evidence(
    fingerprints: &FingerprintKey,
    object: &VaultSecret,
    observed: &Observed,
    value: &SecretString,
) -> Evidence {
    let recorded = observed.confirmed.as_ref().and_then(|confirmed| {
        Some((
            confirmed.secret_id.as_str(),
            confirmed.value_fingerprint.as_ref()?,
        ))
    });
    match recorded {
        Some((secret_id, recorded))
            if fingerprint(fingerprints, object, secret_id, value) == *recorded =>
        {
            Evidence::Same
        }
        _ => Evidence::Changed,
    }
}

/// The fingerprint of `value` for `object` and that remote secret.
#[must_use]
pub fn fingerprint(
    fingerprints: &FingerprintKey,
    object: &VaultSecret,
    secret_id: &str,
    value: &SecretString,
) -> String {
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    fingerprints.of(
        Binding {
            uid,
            vault_id: &object.spec.vault_id,
            secret_id,
        },
        value,
    )
}
