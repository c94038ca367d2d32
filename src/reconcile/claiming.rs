//! What an object may claim by what it declares and by what the API has shown, and whose claim counts. Pure.

use crate::{
    api::{CreationPolicy, Reason, VaultSecret, VaultSecretStatus},
    claims::{Claims, Subject},
    reconcile::{
        desired::{Desired, Target},
        finalizer,
        plan::{Observed, Remote},
        status::ready_reason,
    },
};

/// What becomes of an object's claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stake {
    /// It claims this, and nothing else.
    On(Subject),
    /// It claims nothing any more.
    Nothing,
    /// It claims what it claimed.
    AsBefore,
}

impl Stake {
    /// Enters it in `claims` for `object`.
    pub fn enter(self, claims: &Claims, object: &VaultSecret) {
        match self {
            Self::On(subject) => claims.stake(object, subject),
            Self::Nothing => claims.lapse(object.metadata.uid.as_deref().unwrap_or_default()),
            Self::AsBefore => {}
        }
    }
}

/// Whether `now` is the object that `then` was, and means the same secret, by the same connection.
#[must_use]
pub fn means_the_same(then: &VaultSecret, now: &VaultSecret) -> bool {
    let means = |object: &VaultSecret| Target::of(&object.spec);
    then.metadata.uid == now.metadata.uid
        && means(then) == means(now)
        && then.spec.connection_ref == now.spec.connection_ref
}

/// Says in `status` through which connection the API has shown the secret that `object` is bound to, where it did: a
/// process after this one goes by that. Otherwise it stays at the one that showed it before.
pub fn say_by_which_connection(
    object: &VaultSecret,
    claimed: Option<&Subject>,
    status: &mut VaultSecretStatus,
) {
    let bound = bound_to(&object.spec.vault_id, status);
    if bound.is_some() && bound.as_ref() == claimed {
        status.connection_ref = Some(object.spec.connection_ref.clone());
    }
}

/// The secret of this vault that an object with this status is bound to.
fn bound_to(vault_id: &str, status: &VaultSecretStatus) -> Option<Subject> {
    Some(Subject::Secret {
        vault_id: vault_id.to_owned(),
        secret_id: status.secret_id.clone()?,
    })
}

/// By what the watch shows: what is bound when it is first seen was shown to us before, through the connection that
/// the status names; what means another secret, or goes another way, has to be shown anew.
#[must_use]
pub fn by_declaration(old: Option<&VaultSecret>, new: &VaultSecret) -> Stake {
    match old.filter(|old| old.metadata.uid == new.metadata.uid) {
        Some(old) if means_the_same(old, new) => Stake::AsBefore,
        Some(_) => Stake::Nothing,
        None => {
            let through = |status: &&VaultSecretStatus| {
                status.connection_ref.as_ref() == Some(&new.spec.connection_ref)
            };
            let status = new.status.as_ref().filter(through);
            let bound = status.and_then(|status| bound_to(&new.spec.vault_id, status));
            bound.map_or(Stake::AsBefore, Stake::On)
        }
    }
}

/// By what the API showed through the object's connection.
#[must_use]
pub fn by_what_was_shown(desired: &Desired, observed: &Observed) -> Stake {
    let vault_id = desired.target.vault_id.clone();
    match (&observed.remote, &observed.confirmed) {
        (Remote::Listed(secret) | Remote::Seen(secret), _) => Stake::On(Subject::Secret {
            vault_id,
            secret_id: secret.id.clone(),
        }),
        (Remote::Absent, None) => creation(desired).map_or(Stake::Nothing, Stake::On),
        (Remote::Ambiguous(_) | Remote::Mismatch(_), None) => Stake::Nothing,
        // The secret itself is to be asked first.
        (_, Some(_)) | (Remote::Unasked, None) => Stake::AsBefore,
    }
}

/// What an object claims that is to create its secret, if it may.
#[must_use]
pub fn creation(desired: &Desired) -> Option<Subject> {
    let creates = desired.creation_policy == CreationPolicy::IfMissing;
    let env_key = desired.target.env_key.clone().filter(|_| creates)?;
    Some(Subject::EnvKey {
        vault_id: desired.target.vault_id.clone(),
        env_key,
    })
}

/// Whether the claim of `object` counts while it is permitted: one that is being deleted has a say only until our
/// finalizer is gone.
#[must_use]
pub fn stays(object: &VaultSecret) -> bool {
    object.metadata.deletion_timestamp.is_none() || finalizer::is_set(object)
}

/// The remote secret of `object`, as what is claimed.
#[must_use]
pub fn secret(object: &VaultSecret, secret_id: &str) -> Subject {
    Subject::Secret {
        vault_id: object.spec.vault_id.clone(),
        secret_id: secret_id.to_owned(),
    }
}

/// The `status` of an object that leaves, with the secret that is its own by now. What is `gone` is nobody's. One that
/// waited behind an older claimant, which left the secret to it, was only not bound so far.
#[must_use]
pub fn inherited(
    object: &VaultSecret,
    status: &VaultSecretStatus,
    gone: bool,
    claims: Option<Subject>,
) -> VaultSecretStatus {
    let mut status = status.clone();
    if gone {
        status.secret_id = None;
    } else if ready_reason(&status) == Some(Reason::Conflict)
        && status.secret_id.is_none()
        && let Some(Subject::Secret { secret_id, .. }) = claims
    {
        status.secret_id = Some(secret_id);
        status.env_key.clone_from(&object.spec.env_key);
    }
    status
}

/// Whether `other` is there to stay and names the secret that `object`, with this `status`, is bound to.
#[must_use]
pub fn names_the_same(
    other: &VaultSecret,
    object: &VaultSecret,
    status: &VaultSecretStatus,
) -> bool {
    let spec = &other.spec;
    let named = |named: &Option<String>, it: &Option<String>| named.is_none() || named == it;
    other.metadata.deletion_timestamp.is_none()
        && other.metadata.uid != object.metadata.uid
        && spec.vault_id == object.spec.vault_id
        && named(&spec.secret_id, &status.secret_id)
        && named(&spec.env_key, &status.env_key)
}

#[cfg(test)]
mod tests;
