//! The sentences for what nothing can be done about.

use crate::{
    api::Reason,
    reconcile::{desired::Target, plan::Remote, verdict::Refusal},
};

/// The refusal of an object whose remote secret an older one has. Others are named in the same namespace only.
pub(super) fn conflict(target: &Target, to: Option<&str>) -> Refusal {
    let Target {
        vault_id,
        secret_id,
        env_key,
    } = target;
    let which = env_key.as_ref().or(secret_id.as_ref());
    let which = which.map_or("", String::as_str);
    let whose = to.map_or_else(
        || "An older VaultSecret in another namespace".to_owned(),
        |name| format!("The older VaultSecret {name:?}"),
    );
    let message = format!(
        "{whose} keeps the secret {which} of vault {vault_id}: delete one of the two, or correct what this one names; this one takes over as soon as the other gives the secret up."
    );
    Refusal::new(Reason::Conflict, message).unbound()
}

/// The refusal of a secret that is not to be found as `target` names it.
pub(in crate::reconcile) fn not_found(target: &Target, remote: &Remote) -> Refusal {
    let Target {
        vault_id,
        secret_id,
        env_key,
    } = target;
    let env_key = env_key.as_deref().unwrap_or_default();
    let (reason, message) = match (remote, secret_id) {
        (Remote::Ambiguous(count), _) => (
            Reason::AmbiguousEnvKey,
            format!(
                "Vault {vault_id} has {count} secrets with the key {env_key}: set spec.secretId to the one you mean."
            ),
        ),
        (Remote::Mismatch(actual), Some(id)) => (
            Reason::EnvKeyMismatch,
            format!(
                "Secret {id} in vault {vault_id} has the key {actual}, not {env_key}: correct spec.envKey or spec.secretId."
            ),
        ),
        (_, Some(id)) => (
            Reason::RemoteNotFound,
            format!(
                "Vault {vault_id} has no secret {id}: correct spec.secretId, or create the secret in Nairi."
            ),
        ),
        (_, None) => (
            Reason::RemoteNotFound,
            format!(
                "Vault {vault_id} has no secret with the key {env_key}: correct spec.envKey, create the secret in Nairi, or let it be created (creationPolicy: IfMissing)."
            ),
        ),
    };
    // What the object was bound to before is gone, or is not what it names now.
    Refusal::new(reason, message).unbound()
}
