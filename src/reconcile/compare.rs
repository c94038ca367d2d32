//! A vault's list against what is recorded of an object: whether the object has to be looked after. Pure.
//!
//! A list is weak evidence. It may be older than our own last request, come from a replica that lags behind, or
//! lack entries: what explains itself that way is passed over here, and of what doesn't, `plan` asks the secret
//! itself before anything is done about it.

use std::{collections::HashMap, time::Instant};

use crate::{
    api::{ConditionType, CreationPolicy, Reason, VaultSecret, VaultSecretStatus, condition},
    ledger::{Entry, Hint},
    nairi::RemoteSecret,
    reconcile::{
        desired::Target,
        fields::Fields,
        observe,
        plan::{self, Remote},
        record::Confirmed,
        status::ready_reason,
        verdict::Refusal,
    },
    vaults::{self, Gaps},
};

/// A vault's list, in a form to find many secrets in.
pub struct Listing<'a> {
    began: Instant,
    by_id: HashMap<&'a str, Vec<&'a RemoteSecret>>,
    by_env_key: HashMap<&'a str, Vec<&'a RemoteSecret>>,
    gaps: &'a Gaps,
}

impl<'a> Listing<'a> {
    /// The list of these secrets that began then, with what it leaves open.
    #[must_use]
    pub fn new(began: Instant, secrets: &'a [RemoteSecret], gaps: &'a Gaps) -> Self {
        let mut listing = Self {
            began,
            by_id: HashMap::new(),
            by_env_key: HashMap::new(),
            gaps,
        };
        for secret in secrets {
            listing.by_id.entry(&secret.id).or_default().push(secret);
            let same_key = listing.by_env_key.entry(&secret.env_key);
            same_key.or_default().push(secret);
        }
        listing
    }

    /// None where the list does not tell, and nothing can be asked instead.
    fn find(&self, target: &Target, bound: Option<&str>) -> Option<Remote> {
        let id = bound.or(target.secret_id.as_deref());
        let named = match (id, target.env_key.as_deref()) {
            (Some(id), _) => self.by_id.get(id),
            (None, Some(key)) => self.by_env_key.get(key),
            (None, None) => None,
        };
        let secrets = named.map_or(&[][..], Vec::as_slice);
        // A secret that is bound is asked itself, whatever may hide it here.
        vaults::find(secrets, self.gaps, target, bound).or(bound.map(|_| Remote::Absent))
    }
}

/// What `list` shows of `object` otherwise than its `status` says, if anything that needs looking after.
#[must_use]
pub fn compare(
    object: &VaultSecret,
    status: &VaultSecretStatus,
    entry: &Entry,
    list: &Listing<'_>,
    now: Instant,
) -> Option<Hint> {
    let idle = object.spec.suspend || object.metadata.deletion_timestamp.is_some();
    let answered_since = entry.asked.is_some_and(|asked| asked > list.began);
    let target = Target::of(&object.spec);
    let bound = observe::binding(&target, status, entry);
    // What our own lost PATCH may have changed is sent again anyway.
    let in_doubt = bound.is_some() && !(entry.uncertain & managed(object)).is_empty();
    if idle || answered_since || in_doubt {
        return None;
    }
    let remote = list.find(
        &target,
        bound.as_ref().map(|bound| bound.secret_id.as_str()),
    )?;
    let news = match (&remote, &bound) {
        (Remote::Listed(secret), _) if entry.outdated.contains(&secret.updated_at, now) => false,
        (Remote::Listed(secret), Some(bound)) => {
            was_missing(status) || !plan::is_recorded(bound, secret)
        }
        // Also one that waits behind an older claimant of another secret, which had this environment key before.
        (Remote::Listed(_), None) => {
            was_missing(status)
                || ready_reason(status) == Some(Reason::Conflict)
                || entry.refused_creation.is_some()
        }
        (missing, bound) => {
            // One that was said to be gone is to be created, now that a list shows it no more.
            let creates = *missing == Remote::Absent
                && object.spec.creation_policy == CreationPolicy::IfMissing;
            (bound.is_some() || was_missing(status))
                && (creates || !says(status, &plan::not_found(&target, missing)))
        }
    };
    news.then_some(Hint {
        remote,
        began: list.began,
        generation: object.metadata.generation,
    })
}

/// What a pass goes by of `entry`'s hint, for the object at `generation` with this record: nothing where an answer
/// has come since, or where it is about another declaration or another secret.
#[must_use]
pub fn believed(entry: &Entry, generation: Option<i64>, bound: Option<&Confirmed>) -> Remote {
    let Some(hint) = &entry.hint else {
        return Remote::Unasked;
    };
    let Hint {
        remote,
        began,
        generation: then,
    } = hint;
    let same = match (remote, bound) {
        (Remote::Listed(secret), Some(bound)) => secret.id == bound.secret_id,
        // Before anything is created the vault is looked at once more.
        (Remote::Absent, None) => false,
        _ => true,
    };
    let answered_since = entry.asked.is_some_and(|asked| asked > *began);
    if same && !answered_since && *then == generation {
        remote.clone()
    } else {
        Remote::Unasked
    }
}

fn managed(object: &VaultSecret) -> Fields {
    Fields {
        value: object.spec.value_from.is_some(),
        allowed_domains: object.spec.allowed_domains.is_some(),
    }
}

/// Whether the object waits for the vault to show another secret than it did.
fn was_missing(status: &VaultSecretStatus) -> bool {
    matches!(
        ready_reason(status),
        Some(Reason::RemoteNotFound | Reason::EnvKeyMismatch | Reason::AmbiguousEnvKey)
    )
}

/// Whether `status` says this already.
fn says(status: &VaultSecretStatus, refusal: &Refusal) -> bool {
    let ready = condition::find(&status.conditions, ConditionType::Ready);
    ready.is_some_and(|ready| {
        ready.reason == refusal.reason.as_str() && ready.message == refusal.message
    })
}

#[cfg(test)]
mod tests;
