//! Whom a change concerns: the objects and connections it makes due.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{ResourceExt as _, core::PartialObjectMeta};
use kube_runtime::reflector::ObjectRef;

use super::feed::Change;
use crate::{
    api::{ConnectionKind, DeletionPolicy, VaultSecret},
    connections::{Connection, ConnectionId},
    context::Context,
    fingerprint::keeper,
    reconcile::{
        claiming::{self, Stake},
        finalizer,
    },
    sync_request,
};

pub(super) fn object_changed(ctx: &Context, change: &Change<'_, VaultSecret>) {
    match *change {
        Change::Applied { old, new } => {
            ctx.index.object(new);
            claim(ctx, old, new);
            if let Some(old) = old.filter(|old| old.metadata.uid != new.metadata.uid) {
                let uid = old.metadata.uid.as_deref().unwrap_or_default();
                ctx.ledger.forget(uid);
                ctx.claims.lapse(uid);
                used_no_more(ctx, old);
            }
            if let (Some(uid), Some(version)) = (&new.metadata.uid, &new.metadata.resource_version)
            {
                ctx.ledger.cached(uid, version);
            }
            if gives_work(old, new) {
                ctx.queues.objects.wake(ObjectRef::from_obj(new));
            }
        }
        Change::Deleted(object) => {
            let key = ObjectRef::from_obj(object);
            ctx.index.forget_object(&key);
            ctx.forget(&key, object.metadata.uid.as_deref().unwrap_or_default());
            used_no_more(ctx, object);
        }
    }
}

/// `object` does not use its connection any more: if nobody does, the last key of one that is gone is forgotten.
fn used_no_more(ctx: &Context, object: &VaultSecret) {
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let connection = ConnectionId::of(&object.spec.connection_ref, namespace);
    if ctx.index.users(&connection).is_empty() {
        ctx.connections.unused(&connection);
    }
}

fn claim(ctx: &Context, old: Option<&VaultSecret>, new: &VaultSecret) {
    let stake = claiming::by_declaration(old, new);
    let otherwise = stake == Stake::Nothing;
    stake.enter(&ctx.claims, new);
    if let Some(old) = old.filter(|_| otherwise) {
        used_no_more(ctx, old);
    }
}

/// Whether `new` says anything that a pass over `old` did not know.
pub(crate) fn gives_work(old: Option<&VaultSecret>, new: &VaultSecret) -> bool {
    // It is to be set again, or the object, that others keep, has no say in its secret any more.
    let lost_hold = |old| {
        let matters = new.spec.deletion_policy == DeletionPolicy::Delete
            || new.metadata.deletion_timestamp.is_some();
        matters && finalizer::is_set(old) && !finalizer::is_set(new)
    };
    old.is_none_or(|old| declared(old) != declared(new) || lost_hold(old))
}

/// What of an object only others than us change, and a decision depends on.
fn declared(object: &VaultSecret) -> impl PartialEq + '_ {
    let meta = &object.metadata;
    (
        &meta.uid,
        meta.generation,
        meta.deletion_timestamp.is_some(),
        sync_request::of(object),
    )
}

pub(super) fn secret_changed(ctx: &Context, change: &Change<'_, PartialObjectMeta<Secret>>) {
    let secret = match *change {
        Change::Applied {
            old: Some(old),
            new,
        } if old.metadata == new.metadata => return,
        Change::Applied { old: _, new } => new,
        Change::Deleted(secret) => {
            put_back_fingerprint_key(ctx, secret);
            secret
        }
    };
    let name = (secret.namespace().unwrap_or_default(), secret.name_any());
    for connection in ctx.index.keyed_by(&name) {
        ctx.queues.wake_connection(&connection);
    }
    for object in ctx.index.readers(&name) {
        ctx.queues.objects.wake(object);
    }
}

fn put_back_fingerprint_key(ctx: &Context, secret: &PartialObjectMeta<Secret>) {
    let meta = &secret.metadata;
    if meta.name.as_deref() == Some(keeper::SECRET)
        && meta.namespace.as_deref() == Some(&*ctx.namespace)
    {
        tokio::spawn(keeper::put_back(
            ctx.client.clone(),
            ctx.namespace.clone(),
            Arc::clone(&ctx.fingerprints),
            ctx.fence.clone(),
        ));
    }
}

pub(super) fn connection_changed<C: Connection>(ctx: &Context, change: &Change<'_, C>) {
    match *change {
        Change::Applied { old, new } => {
            let version = |connection: &C| (connection.uid(), connection.meta().generation);
            if old.is_some_and(|old| version(old) == version(new)) {
                return;
            }
            if old.is_none_or(|old| old.uid() != new.uid() || old.key() != new.key()) {
                // What is granted now is not granted with the key that it, or another of its name, had.
                ctx.connections.forget(&new.id());
            }
            ctx.index.connection(new);
            ctx.queues.wake_connection(&new.id());
            // What is granted may be another.
            ctx.wake_users(&new.id());
        }
        Change::Deleted(connection) => {
            let id = connection.id();
            ctx.index.forget_connection(&id);
            ctx.connections.retire(&id, connection.grants());
            if ctx.index.users(&id).is_empty() {
                ctx.connections.unused(&id);
            }
            ctx.wake_users(&id);
        }
    }
}

pub(super) fn namespace_changed(ctx: &Context, change: &Change<'_, PartialObjectMeta<Namespace>>) {
    let namespace = match *change {
        Change::Applied { old, new }
            if old.is_some_and(|old| old.metadata.labels == new.metadata.labels) =>
        {
            return;
        }
        Change::Applied { old: _, new } => new,
        Change::Deleted(namespace) => namespace,
    };
    let name = namespace.name_any();
    let concerned = |object: &VaultSecret| {
        object.spec.connection_ref.kind == ConnectionKind::ClusterVaultConnection
            && object.metadata.namespace.as_deref() == Some(&name)
    };
    for object in ctx.stores.objects.state_filter(concerned) {
        ctx.queues.objects.wake(ObjectRef::from_obj(&*object));
    }
    if !ctx.watch_namespaces.is_empty() {
        // A connection may concern us by this label only.
        for connection in ctx.stores.cluster_connections.state() {
            let connection = ObjectRef::from_obj(&*connection);
            ctx.queues.cluster_connections.wake(connection);
        }
    }
}
