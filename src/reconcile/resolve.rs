//! What an object refers to: its connection, the grant, the key, the value. The only place where references
//! are followed, and none can name another namespace.

use kube::ResourceExt as _;
use kube_runtime::reflector::ObjectRef;
use secrecy::SecretString;

use crate::{
    api::{Reason, SecretKeyRef, Template, ValueFrom, VaultSecret},
    connections::{ConnectionId, Credential, KeySource, Known},
    context::Context,
    grants,
    nairi::KeyId,
    reconcile::{
        desired, templated,
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
            if !grants::permit(
                &connection.spec.grants,
                &namespace,
                labels.as_ref(),
                vault_id,
            ) {
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
    match known(ctx, id) {
        Some(Known::Usable(credential)) => Ok(credential),
        Some(Known::Unusable(reason)) => {
            let message = format!("{id} has no usable API key ({reason}): see its status.");
            Err(Refusal::new(Reason::ConnectionNotReady, message).verdict())
        }
        // Its check is on its way, and wakes the object.
        None => Err(Verdict::Waiting),
    }
}

/// What is known of the connection as it is now.
pub fn known(ctx: &Context, id: &ConnectionId) -> Option<Known> {
    let stores = &ctx.stores;
    let source = match id {
        ConnectionId::Cluster { name } => (stores.cluster_connections)
            .get(&ObjectRef::new(name))
            .map(|connection| KeySource::of(&*connection)),
        ConnectionId::Namespaced { namespace, name } => (stores.connections)
            .get(&ObjectRef::new(name).within(namespace))
            .map(|connection| KeySource::of(&*connection)),
    };
    ctx.connections.get(id)?.from(source.as_ref())
}

/// The key that `object` may use for its vault, if it may and has one. Whether the API accepts it is the gate's to say.
pub fn usable_key(ctx: &Context, object: &VaultSecret) -> Option<Credential> {
    let connection = permitted(&ctx.stores, object).ok()?;
    credential(ctx, &connection).ok()
}

/// Whether that is the key `key_id`: what the API tells one of its users it tells all.
pub fn may_use_key(ctx: &Context, object: &VaultSecret, key_id: KeyId) -> bool {
    usable_key(ctx, object).is_some_and(|theirs| theirs.gate.key_id() == key_id)
}

/// Reads the value of `object` from its Secret, or makes it of the Secret's keys: the value, and the Secret's version.
///
/// # Errors
/// A sentence that names the Secret and the key, never their content.
pub async fn value(ctx: &Context, object: &VaultSecret) -> Result<(SecretString, String), Refusal> {
    let namespace = object.namespace().unwrap_or_default();
    match &object.spec.value_from {
        Some(ValueFrom {
            template: Some(template),
            ..
        }) => by_template(ctx, &namespace, template).await,
        Some(ValueFrom {
            secret_key_ref: Some(reference),
            ..
        }) => by_key(ctx, &namespace, reference).await,
        _ => Err(Refusal::new(
            Reason::SourceNotFound,
            "spec.valueFrom names no Secret: set secretKeyRef or template.",
        )),
    }
}

async fn by_key(
    ctx: &Context,
    namespace: &str,
    SecretKeyRef { name, key }: &SecretKeyRef,
) -> Result<(SecretString, String), Refusal> {
    let of = KeyOf {
        namespace,
        name,
        key,
    };
    let content = source::read(&ctx.client, of, ctx.settings.kube_timeout)
        .await
        .map_err(|error| unread(name, &error))?;
    let bytes = content.bytes.ok_or_else(|| {
        let message =
            format!("Secret {name:?} has no key {key:?}: add it, or correct spec.valueFrom.");
        Refusal::new(Reason::SourceKeyNotFound, message)
    })?;
    let origin = format_args!("Key {key:?} of Secret {name:?}");
    Ok((desired::value(bytes, &origin)?, content.version))
}

async fn by_template(
    ctx: &Context,
    namespace: &str,
    template: &Template,
) -> Result<(SecretString, String), Refusal> {
    let name = &template.secret_ref.name;
    let template = templated::parse(template)?;
    let of = (namespace, name.as_str());
    let wanted = |key: &str| template.uses(key);
    let contents = source::read_keys(&ctx.client, of, wanted, ctx.settings.kube_timeout)
        .await
        .map_err(|error| unread(name, &error))?;
    let value = templated::value(&template, &contents.data, name)?;
    Ok((value, contents.version))
}

fn unread(name: &str, error: &source::Error) -> Refusal {
    match error {
        source::Error::NotFound => Refusal::new(
            Reason::SourceNotFound,
            format!(
                "Secret {name:?} does not exist in this namespace: create it, or correct spec.valueFrom."
            ),
        ),
        source::Error::Forbidden | source::Error::Undecodable | source::Error::Unavailable(_) => {
            Refusal::new(
                Reason::ApiUnavailable,
                format!("Secret {name:?} could not be read: {error}. It is tried again."),
            )
            .retried(Retry::Backoff)
        }
    }
}
