//! The watches: what is kept of each kind, and whom a change wakes.
//!
//! Secrets and Namespaces are watched by metadata only, and what could hold a value (client-side apply
//! keeps the whole Secret in an annotation) is dropped first of all.

pub(crate) mod changes;
pub mod feed;
mod index;
mod stores;

use std::{fmt::Debug, sync::Arc};

use futures::{future::BoxFuture, stream::BoxStream};
use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{Namespace, ObjectReference, Secret},
};
use kube::{
    Api, Client, Resource,
    core::{DeserializeGuard, ObjectMeta, PartialObjectMeta, error_boundary::InvalidObject},
};
use kube_runtime::{
    WatchStreamExt as _,
    events::EventType,
    watcher::{Config, watcher},
};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tracing::warn;

use self::{
    changes::{connection_changed, namespace_changed, object_changed, secret_changed},
    feed::{Change, Seen, Source},
};
pub use self::{
    index::{Index, SecretName},
    stores::{Stores, Writers},
};
use crate::{
    api::{ClusterVaultConnection, VaultConnection, VaultSecret},
    context::Context,
    sync_request,
};

/// The watches of all kinds, which end with the process; and a future that ends once all kinds were listed and everybody
/// was told of what is there: no decision is made before.
#[must_use]
pub fn watches(
    ctx: &Arc<Context>,
    writers: Writers,
) -> (Vec<BoxFuture<'static, ()>>, BoxFuture<'static, ()>) {
    let Writers {
        objects,
        secrets,
        connections,
        cluster_connections,
        namespaces: spaces,
    } = writers;
    let client = &ctx.client;
    let scopes: Vec<Option<String>> = if ctx.watch_namespaces.is_empty() {
        vec![None]
    } else {
        ctx.watch_namespaces.iter().cloned().map(Some).collect()
    };

    let object_sources = each(&scopes, |scope| {
        guarded(
            ctx,
            namespaced::<DeserializeGuard<VaultSecret>>(client, scope),
        )
    });
    let connection_sources = each(&scopes, |scope| {
        guarded(
            ctx,
            namespaced::<DeserializeGuard<VaultConnection>>(client, scope),
        )
    });
    let cluster_sources = each(&[None], |_| {
        guarded::<ClusterVaultConnection>(ctx, Api::all(client.clone()))
    });
    // The operator's own namespace holds its fingerprint key, and API keys as a rule.
    let own = Some(ctx.namespace.clone());
    let mut secret_scopes = scopes.clone();
    if !scopes.contains(&None) && !scopes.contains(&own) {
        secret_scopes.push(own);
    }
    let secret_sources = each(&secret_scopes, |scope| {
        let watch = watcher(
            namespaced::<PartialObjectMeta<Secret>>(client, scope),
            Config::default(),
        );
        feed::events(watch.modify(prune_secret))
    });
    let namespace_sources = each(&scopes, |scope| {
        let one = |name| Config::default().fields(&format!("metadata.name={name}"));
        let watch = watcher(
            Api::<PartialObjectMeta<Namespace>>::all(client.clone()),
            scope.map_or_else(Config::default, one),
        );
        feed::events(watch.modify(prune_namespace))
    });

    // Each feed drops its sender when it is done.
    let (unfilled, mut filled) = mpsc::channel(1);
    let watches: Vec<BoxFuture<'static, ()>> = vec![
        Box::pin(feed::feed(
            object_sources,
            objects,
            on(ctx, object_changed),
            unfilled.clone(),
        )),
        Box::pin(feed::feed(
            secret_sources,
            secrets,
            on(ctx, secret_changed),
            unfilled.clone(),
        )),
        Box::pin(feed::feed(
            connection_sources,
            connections,
            on(ctx, connection_changed),
            unfilled.clone(),
        )),
        Box::pin(feed::feed(
            cluster_sources,
            cluster_connections,
            on(ctx, connection_changed),
            unfilled.clone(),
        )),
        Box::pin(feed::feed(
            namespace_sources,
            spaces,
            on(ctx, namespace_changed),
            unfilled,
        )),
    ];
    let filled = Box::pin(async move {
        filled.recv().await;
    });
    (watches, filled)
}

fn each<K>(
    scopes: &[Option<String>],
    events: impl Fn(Option<&str>) -> BoxStream<'static, Seen<K>>,
) -> Vec<Source<K>>
where
    K: Resource<DynamicType = ()> + 'static,
{
    scopes
        .iter()
        .map(|scope| Source {
            scope: scope.clone(),
            events: events(scope.as_deref()),
        })
        .collect()
}

fn on<K>(
    ctx: &Arc<Context>,
    changed: fn(&Context, &Change<'_, K>),
) -> impl FnMut(&Change<'_, K>) + use<K> {
    let ctx = Arc::clone(ctx);
    move |change| changed(&ctx, change)
}

/// The API of a kind in one namespace, or in all.
pub(crate) fn namespaced<K>(client: &Client, scope: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match scope {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// The events of one of our own kinds; an object that doesn't parse is told of and passed over.
fn guarded<K>(ctx: &Arc<Context>, api: Api<DeserializeGuard<K>>) -> BoxStream<'static, Seen<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let ctx = Arc::clone(ctx);
    feed::guarded_events(
        watcher(api, Config::default()).modify(prune_own),
        move |object| invalid::<K>(&ctx, object),
    )
}

/// An object that doesn't parse (made under older rules, say) is left alone; the others go on.
fn invalid<K: Resource<DynamicType = ()>>(ctx: &Arc<Context>, object: &InvalidObject) {
    let kind = K::kind(&());
    let InvalidObject { error, metadata } = object;
    let error = unquoted(error);
    warn!(%kind, namespace = metadata.namespace, name = metadata.name, error, "an object does not parse; it is ignored");
    let reference = ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(kind.into_owned()),
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
        uid: metadata.uid.clone(),
        ..ObjectReference::default()
    };
    let note = format!(
        "This object does not parse and is ignored: {error}. Correct it and apply it again."
    );
    let events = ctx.events.clone();
    tokio::spawn(async move {
        events
            .publish(
                reference,
                EventType::Warning,
                "InvalidObject",
                "Watch",
                &note,
            )
            .await;
    });
}

/// A decoding error without what it quotes: somebody may have put a value where none belongs. Known are the forms
/// of serde's errors; what they quote stands in the middle, escaped, in backticks or bare.
fn unquoted(error: &str) -> String {
    const MISSING: [&str; 2] = ["missing field ", "duplicate field "];
    const QUOTING: [&str; 4] = [
        "invalid type: ",
        "invalid type ",
        "invalid value: ",
        "invalid value ",
    ];
    const VARIANT: &str = "unknown variant ";
    let folded = error.to_ascii_lowercase();
    let begins = |forms: &[&str]| forms.iter().any(|form| folded.starts_with(form));
    // Only our own types have a say in what is expected, and it comes last.
    let expected = [", expected ", ". expected "]
        .iter()
        .filter_map(|word| folded.rfind(word))
        .max()
        .map_or("", |at| &error[at..]);
    if begins(&MISSING) {
        error.to_owned()
    } else if begins(&QUOTING) {
        // Such as `string`: what is quoted begins after that.
        let kind = &error[..error.len() - expected.len()];
        let kind = kind.split(['"', '`']).next().unwrap_or_default();
        format!("{}{expected}", kind.trim_end())
    } else if begins(&[VARIANT]) {
        format!("{}{expected}", VARIANT.trim_end())
    } else {
        "a field has a form that this version can't read".to_owned()
    }
}

fn prune_own<K: Resource>(object: &mut K) {
    let meta = object.meta_mut();
    meta.managed_fields = None;
    meta.labels = None;
    sync_request::keep_only(meta);
}

fn prune_secret(secret: &mut PartialObjectMeta<Secret>) {
    let meta = &mut secret.metadata;
    *meta = ObjectMeta {
        name: meta.name.take(),
        namespace: meta.namespace.take(),
        uid: meta.uid.take(),
        resource_version: meta.resource_version.take(),
        ..ObjectMeta::default()
    };
}

fn prune_namespace(namespace: &mut PartialObjectMeta<Namespace>) {
    let meta = &mut namespace.metadata;
    *meta = ObjectMeta {
        name: meta.name.take(),
        labels: meta.labels.take(),
        ..ObjectMeta::default()
    };
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_decoding_error_says_what_is_expected() {
        for (error, said) in [
            (
                r#"invalid type: string "hunter2", expected a boolean"#,
                "invalid type: string, expected a boolean",
            ),
            (
                r#"Invalid type string "hunter2". Expected a boolean"#,
                "Invalid type string. Expected a boolean",
            ),
            (
                "Invalid type integer `12345678`. Expected a string",
                "Invalid type integer. Expected a string",
            ),
            (
                "Unknown variant hunter2. Expected one of Never, IfMissing",
                "unknown variant. Expected one of Never, IfMissing",
            ),
            ("Missing field vaultId", "Missing field vaultId"),
            ("missing field `vaultId`", "missing field `vaultId`"),
        ] {
            assert_eq!(unquoted(error), said);
        }
    }

    /// The errors of the real decoder, for values that try to look like the end of a quotation.
    #[test]
    fn a_decoding_error_quotes_nothing() {
        let values = [
            "hunter2",
            r#"a"hunter2"b"hunter2"#,
            "`hunter2`hunter2",
            "hunter2. Expected hunter2",
            "\n, expected hunter2 \\\" hunter2",
            "missing field hunter2",
        ];
        for value in values {
            for spec in [
                json!({"suspend": value}),
                json!({"creationPolicy": value}),
                json!({"allowedDomains": value}),
                json!({"connectionRef": {"kind": value}}),
                json!({"connectionRef": value}),
                json!({"valueFrom": [value]}),
                json!({"vaultId": {value: value}}),
            ] {
                let mut object = json!({"metadata": {"name": "a"}, "spec": {"vaultId": "v"}});
                let fields = spec.as_object().cloned().expect("an object");
                object["spec"]
                    .as_object_mut()
                    .expect("an object")
                    .extend(fields);
                let DeserializeGuard(read) =
                    serde_json::from_value::<DeserializeGuard<VaultSecret>>(object)
                        .expect("its metadata parse");
                let error = read.expect_err("it does not parse").error;
                let said = unquoted(&error);
                assert!(!said.contains("hunter2"), "{error}: {said}");
            }
        }
        assert!(!unquoted("failed to parse hunter2, expected hunter2").contains("hunter2"));
    }
}
