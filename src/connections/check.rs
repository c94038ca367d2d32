//! Keeps a connection's key at hand and its status true: one `GET /vaults` per new key, and one now and
//! then while the API refuses the key.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use kube_runtime::{events::EventType, reflector::ObjectRef};
use tracing::{info, warn};
use zeroize::Zeroizing;

use super::{Connection, ConnectionId, Credential, Known};
use crate::{
    api::{ConditionType, ConnectionReason, ConnectionStatus, Grant, Status, condition},
    backoff,
    context::Context,
    grants,
    nairi::{ApiKey, Class},
    queue::Action,
    reconcile::status,
    source,
};

/// What a check found, for the status.
struct Finding {
    reason: ConnectionReason,
    message: String,
    again: Option<Duration>,
}

/// Checks one connection and writes its status.
pub async fn check<C: Connection>(connection: Arc<C>, ctx: Arc<Context>) -> Action {
    let id = connection.id();
    if !concerns(&*connection, &ctx) {
        ctx.connections.forget(&id);
        return Action::await_change();
    }
    let finding = match read_key(&*connection, &ctx).await {
        Ok(Ok(key)) => Ok(verify(&*connection, key, &ctx).await),
        Ok(Err(finding)) => {
            let unusable = Known::Unusable(finding.reason);
            let there = || is_there(&*connection, &ctx);
            if ctx.connections.set(id.clone(), unusable, there) {
                ctx.wake_users(&id);
            }
            Ok(finding)
        }
        Err(error) => Err(error),
    };
    if !is_there(&*connection, &ctx) {
        // Another one of that name has its own check.
        ctx.connections.succeeded(&id);
        return Action::await_change();
    }
    let finding = match finding {
        Ok(finding) => finding,
        // What was known stays: the API server being away makes no key worse.
        Err(error) => {
            warn!(namespace = id.namespace(), connection = %id, %error, "could not read the API key; trying again");
            return Action::requeue(backoff::jittered(backoff::delay(
                ctx.connections.failed(&id),
            )));
        }
    };
    if finding.again.is_none() {
        ctx.connections.succeeded(&id);
    }
    if let Err(error) = write(&*connection, &ctx, &finding).await {
        warn!(namespace = id.namespace(), connection = %id, error = source::brief(&error), "could not write the connection's status; trying again");
        return Action::requeue(backoff::jittered(backoff::delay(2)));
    }
    finding
        .again
        .map_or_else(Action::await_change, Action::requeue)
}

/// Whether the connection is still there, with its key in the same place.
fn is_there<C: Connection>(connection: &C, ctx: &Context) -> bool {
    let now = C::store(&ctx.stores).get(&ObjectRef::from_obj(connection));
    now.is_some_and(|now| now.uid() == connection.uid() && now.key() == connection.key())
}

/// Whether an object that we watch could use the connection: an operator for some namespaces leaves those of
/// others, and their keys, to whoever watches them.
fn concerns(connection: &impl Connection, ctx: &Context) -> bool {
    let granted = |grants: &[Grant]| {
        let grant = |namespace: &String| {
            grants::concern(grants, namespace, ctx.stores.labels(namespace).as_ref())
        };
        ctx.watch_namespaces.iter().any(grant)
    };
    ctx.watch_namespaces.is_empty() || connection.grants().is_none_or(granted)
}

/// Reads the key, or says why it is unusable; the error is one of asking at all.
async fn read_key<C: Connection>(
    connection: &C,
    ctx: &Context,
) -> Result<Result<ApiKey, Finding>, source::Error> {
    let of = connection.key();
    let secret = match connection.meta().namespace {
        Some(_) => format!("Secret {:?}", of.name),
        // A cluster's connection has no namespace that would go without saying.
        None => format!("Secret {:?} in namespace {}", of.name, of.namespace),
    };
    let unusable = |reason, message: String| {
        Ok(Err(Finding {
            reason,
            message,
            again: None,
        }))
    };
    let content = match source::read(&ctx.client, of, ctx.settings.kube_timeout).await {
        Ok(content) => content,
        Err(error @ source::Error::NotFound) => {
            let message = format!(
                "{secret} can't be used: {error}. Create it, with the API key at {:?}.",
                of.key
            );
            return unusable(ConnectionReason::SecretNotFound, message);
        }
        Err(error @ source::Error::Forbidden) => {
            let cure = if connection.meta().namespace.is_some() {
                "Allow it to get Secrets".to_owned()
            } else {
                // One that acts in some namespaces only may not read those of others.
                format!(
                    "Keep the key in the operator's own namespace, {}, or allow it to get Secrets there",
                    ctx.namespace
                )
            };
            let message = format!("{secret} can't be used: {error}. {cure}; it is tried again.");
            // Nothing tells of the cure, and an API server that has just begun refuses what it grants later.
            let again = backoff::delay(ctx.connections.failed(&connection.id()));
            return Ok(Err(Finding {
                reason: ConnectionReason::SecretNotFound,
                message,
                again: Some(backoff::jittered(again)),
            }));
        }
        Err(error @ (source::Error::Undecodable | source::Error::Unavailable(_))) => {
            return Err(error);
        }
    };
    let Some(bytes) = content.bytes.map(Zeroizing::new) else {
        let message = format!(
            "{secret} has no key {:?}: add it, or correct apiKeySecretRef.key.",
            of.key
        );
        return unusable(ConnectionReason::KeyNotFound, message);
    };
    match ApiKey::parse(bytes.as_slice()) {
        Ok(key) => Ok(Ok(key)),
        Err(error) => {
            let message = format!(
                "Key {:?} of {secret} holds no API key ({error}): put a valid one there.",
                of.key
            );
            unusable(ConnectionReason::InvalidKey, message)
        }
    }
}

/// Makes the key known, asks the API about it if that is due, and wakes those who can go on by it.
async fn verify<C: Connection>(connection: &C, key: ApiKey, ctx: &Context) -> Finding {
    let id = &connection.id();
    let credential = ctx.connections.credential(key);
    let key_id = credential.gate.key_id();
    let finding = |reason, message: &str, again| Finding {
        reason,
        message: message.to_owned(),
        again,
    };
    let refused = credential.gate.is_refused();
    let outcome = if ctx.connections.is_verified(key_id) && !refused {
        Ok(())
    } else if let Err(left) = ctx.connections.may_ask(key_id, refused) {
        let (_, was_accepted) = ctx.connections.probes(key_id);
        let message = refusal(was_accepted);
        Err(finding(ConnectionReason::Unauthorized, message, Some(left)))
    } else {
        ask(id, &credential, ctx).await
    };
    let opened = outcome.is_ok() && credential.gate.open();
    let (usable, there) = (Known::Usable(credential), || is_there(connection, ctx));
    let news = ctx.connections.set(id.clone(), usable, there);
    if opened {
        // Their statuses say Unauthorized still, and their objects wait.
        for sharing in ctx.connections.sharing(key_id) {
            ctx.wake_users(&sharing);
            if sharing != *id {
                ctx.queues.wake_connection(&sharing);
            }
        }
    } else if news {
        ctx.wake_users(id);
    }
    match outcome {
        Ok(()) => finding(ConnectionReason::Verified, "The API accepts the key.", None),
        Err(finding) => finding,
    }
}

/// The same at each try: a status that said when the next one is would be written each time.
const fn refusal(was_accepted: bool) -> &'static str {
    if was_accepted {
        "The API refuses the key (HTTP 401): put a valid one into the Secret. It is tried again every minute."
    } else {
        "The API refuses the key (HTTP 401), and never accepted it: put a valid one into the Secret. It is tried again less and less often."
    }
}

/// One `GET /vaults`.
async fn ask(id: &ConnectionId, credential: &Credential, ctx: &Context) -> Result<(), Finding> {
    let key_id = credential.gate.key_id();
    match ctx.nairi.list_vaults(&credential.key).await {
        Ok(vaults) => {
            info!(namespace = id.namespace(), connection = %id, vaults, "the API accepts the key");
            ctx.connections.accepted(key_id);
            Ok(())
        }
        Err(error) => {
            ctx.connections.heed(credential, None, &error);
            let refused = error.class() == Class::Unauthorized;
            ctx.connections.unverified(key_id, refused);
            let (reason, message, again) = match error.class() {
                Class::Unauthorized => {
                    let (pause, was_accepted) = ctx.connections.probes(key_id);
                    let message = refusal(was_accepted).to_owned();
                    (ConnectionReason::Unauthorized, message, pause)
                }
                Class::Throttled { retry_after } => (
                    ConnectionReason::Unreachable,
                    format!("Nairi: {error}. It is tried again."),
                    retry_after,
                ),
                Class::Transient | Class::Rejected | Class::NotFound | Class::InvalidResponse => {
                    let again = backoff::delay(ctx.connections.failed(id));
                    (
                        ConnectionReason::Unreachable,
                        format!("Nairi: {error}. It is tried again."),
                        backoff::jittered(again),
                    )
                }
            };
            Err(Finding {
                reason,
                message,
                again: Some(again),
            })
        }
    }
}

/// Writes the status if it says anything new, and an event and a log line if `Ready` changed.
async fn write<C: Connection>(
    connection: &C,
    ctx: &Context,
    finding: &Finding,
) -> Result<(), kube::Error> {
    let shown = connection.status().cloned().unwrap_or_default();
    let generation = connection.meta().generation;
    let mut next = ConnectionStatus {
        observed_generation: generation,
        ..shown.clone()
    };
    let Finding {
        reason,
        message,
        again,
    } = finding;
    let beside = match (reason.status(), again) {
        (Status::True, _) => None,
        (_, Some(_)) => Some(ConditionType::Reconciling),
        (_, None) => Some(ConditionType::Stalled),
    };
    condition::set_ready(
        &mut next.conditions,
        reason.status(),
        beside,
        reason.as_str(),
        message,
        generation,
        Timestamp::now(),
    );
    if next == shown {
        return Ok(());
    }
    let before =
        condition::find(&shown.conditions, ConditionType::Ready).map(|ready| ready.reason.clone());
    let api = C::api(&ctx.client, connection.meta().namespace.as_deref());
    let name = connection.name_any();
    let resource_version = connection.resource_version().unwrap_or_default();
    let target = status::Write {
        name: &name,
        resource_version: &resource_version,
    };
    let within = (&ctx.fence, ctx.settings.kube_timeout);
    status::write(&api, target, &shown, &next, within).await?;
    if before.as_deref() != Some(reason.as_str()) {
        // That the API accepts a key is logged where it is asked.
        let type_ = if reason.status() == Status::True {
            EventType::Normal
        } else {
            let (id, namespace) = (connection.id(), connection.namespace());
            warn!(namespace, connection = %id, %reason, detail = message, "the connection is not ready");
            EventType::Warning
        };
        ctx.events
            .publish(
                connection.object_ref(&()),
                type_,
                reason.as_str(),
                "Check",
                message,
            )
            .await;
    }
    Ok(())
}
