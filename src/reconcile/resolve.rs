//! What an object refers to: its connection, the grant, the key, the value. The only place where references
//! are followed, and none can name another namespace.

use kube::ResourceExt as _;
use kube_runtime::reflector::ObjectRef;
use secrecy::SecretString;

use crate::{
    api::{Reason, VaultSecret},
    connections::{ConnectionId, Credential, Known},
    context::Context,
    grants,
    reconcile::{
        desired,
        verdict::{Refusal, Retry, Verdict},
    },
    source::{self, KeyOf},
    watch::Stores,
};

/// The connection of `object`, if it exists and lets the object's namespace use the object's vault. Asks the
/// watched copies only, so it is asked again right before anything is sent.
///
/// # Errors
/// `ConnectionNotFound` or `NotPermitted`.
pub fn permitted(stores: &Stores, object: &VaultSecret) -> Result<ConnectionId, Refusal> {
    let namespace = object.namespace().unwrap_or_default();
    let id = ConnectionId::of(&object.spec.connection_ref, &namespace);
    let missing = || {
        let message = format!("{id} does not exist: create it, or correct spec.connectionRef.");
        Refusal::new(Reason::ConnectionNotFound, message)
    };
    match &id {
        ConnectionId::Namespaced { namespace, name } => {
            stores
                .connections
                .get(&ObjectRef::new(name).within(namespace))
                .ok_or_else(missing)?;
        }
        ConnectionId::Cluster { name } => {
            let connection = stores
                .cluster_connections
                .get(&ObjectRef::new(name))
                .ok_or_else(missing)?;
            let labels = stores.labels(&namespace);
            let vault_id = &object.spec.vault_id;
            if !grants::permit(&connection.spec.grants, &namespace, &labels, vault_id) {
                let message = format!(
                    "{id} does not grant namespace {namespace} the vault {vault_id}: ask whoever manages the connection for a grant, or use another."
                );
                return Err(Refusal::new(Reason::NotPermitted, message));
            }
        }
    }
    Ok(id)
}

/// The key of the connection.
///
/// # Errors
/// The verdict of an object whose connection has none at present: it waits for the connection's next check.
pub fn credential(ctx: &Context, id: &ConnectionId) -> Result<Credential, Verdict> {
    match ctx.connections.get(id) {
        Some(Known::Usable(credential)) => Ok(credential),
        Some(Known::Unusable(reason)) => {
            let message = format!("{id} has no usable API key ({reason}): see its status.");
            Err(Refusal::new(Reason::ConnectionNotReady, message).verdict())
        }
        // Its first check is on its way, and wakes the object.
        None => Err(Verdict::Waiting),
    }
}

/// Reads the value of `object` from its Secret: the value, and the Secret's version.
///
/// # Errors
/// A sentence that names the Secret and the key, never their content.
pub async fn value(ctx: &Context, object: &VaultSecret) -> Result<(SecretString, String), Refusal> {
    let namespace = object.namespace().unwrap_or_default();
    let Some(reference) = object
        .spec
        .value_from
        .as_ref()
        .and_then(|from| from.secret_key_ref.as_ref())
    else {
        return Err(Refusal::new(
            Reason::SourceNotFound,
            "spec.valueFrom names no Secret: set secretKeyRef.",
        ));
    };
    let (name, key) = (&reference.name, &reference.key);
    let of = KeyOf {
        namespace: &namespace,
        name,
        key,
    };
    let content = source::read(&ctx.client, of, ctx.settings.kube_timeout).await.map_err(|error| match error {
        source::Error::NotFound => Refusal::new(
            Reason::SourceNotFound,
            format!("Secret {name:?} does not exist in this namespace: create it, or correct spec.valueFrom."),
        ),
        error @ (source::Error::Forbidden | source::Error::Undecodable | source::Error::Unavailable(_)) => Refusal::new(
            Reason::ApiUnavailable,
            format!("Secret {name:?} could not be read: {error}. It is tried again."),
        )
        .retried(Retry::Backoff),
    })?;
    let bytes = content.bytes.ok_or_else(|| {
        let message =
            format!("Secret {name:?} has no key {key:?}: add it, or correct spec.valueFrom.");
        Refusal::new(Reason::SourceKeyNotFound, message)
    })?;
    Ok((desired::value(bytes, name, key)?, content.version))
}
