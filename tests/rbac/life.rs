//! Everything an operator does, once; what it tells of by events, twice.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use vaultsecret_operator::{
    api::{ConnectionKind, SecretKeyRef, VaultConnection, VaultConnectionSpec},
    fingerprint::keeper,
};

use super::*;

/// Sets or takes away the label that lets the world's namespace in.
async fn label(world: &World, team: Value) {
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let change = json!({"metadata": {"labels": {"team": team}}});
    objects::merge(&namespaces, &world.namespace, change).await;
}

/// From the operator's start to its successor's.
pub(super) async fn live(world: &mut World) {
    world.operator.start().await;
    world.connected("Verified").await;
    let grants = json!([{"namespaceSelector": {"matchLabels": {"team": world.namespace}}, "vaultIds": [world.vault]}]);
    let connections = world.cluster_vault_connections();
    let change = json!({"spec": {"grants": grants}});
    objects::merge(&connections, &world.connection.name, change).await;
    label(world, json!(world.namespace)).await;

    let id = syncs(world).await;
    creates_and_deletes(world).await;
    loses_its_grant(world, &id).await;
    loses_its_keys(world).await;
    is_succeeded(world, &id).await;
}

/// A first sync and a rotation, through either kind of connection.
async fn syncs(world: &World) -> String {
    world.create_secret("source", &[("key", "first")]).await;
    let key = [("apiKey", world.sim.api_key())];
    world.create_secret("own-key", &key).await;
    let own = VaultConnectionSpec {
        api_key_secret_ref: SecretKeyRef {
            name: "own-key".to_owned(),
            key: "apiKey".to_owned(),
        },
    };
    let (post, own) = (PostParams::default(), VaultConnection::new("own", own));
    let created = world.vault_connections().create(&post, &own).await;
    created.expect("a connection");
    let ids = ["TOKEN", "OTHER"].map(|key| world.remote(key, "old", &[]));
    let token = world.vault_secret("token").env_key("TOKEN");
    world.create(token.value_from("source", "key")).await;
    let other = world.vault_secret("other").env_key("OTHER");
    let other = other.connection(ConnectionKind::VaultConnection, "own");
    world.create(other.value_from("source", "key")).await;
    for name in ["token", "other"] {
        world.synced(name).await;
    }
    world.set_secret("source", "key", "second").await;
    for id in &ids {
        holds(world, id, "second").await;
    }
    let [id, _] = ids;
    id
}

async fn holds(world: &World, id: &str, value: &str) {
    eventually("the vault holds the value", SOON, || async {
        (world.sim.value(id).as_deref() == Some(value)).then_some(())
    })
    .await;
}

/// With the finalizer on it.
async fn creates_and_deletes(world: &World) {
    let made = world.vault_secret("made").env_key("MADE");
    let made = made
        .value_from("source", "key")
        .domains(["api.example.com"]);
    world.create(made.create_if_missing().delete_remote()).await;
    let made = world.synced("made").await;
    assert!(made.metadata.finalizers.is_some());
    world.delete("made").await;
    world.gone("made").await;
    assert_eq!(world.sim.secrets(&world.vault).len(), 2);
}

/// How soon a label that goes is noticed: within a second, and on a machine with much else to do within two.
const NOTICED: Duration = Duration::from_secs(2);

/// The namespace loses its label, and gets it back.
async fn loses_its_grant(world: &World, id: &str) {
    let began = Instant::now();
    label(world, Value::Null).await;
    world.reason("token", "NotPermitted").await;
    assert!(began.elapsed() < NOTICED, "{:?}", began.elapsed());
    world.set_secret("source", "key", "third").await;
    label(world, json!(world.namespace)).await;
    world.synced("token").await;
    holds(world, id, "third").await;
}

/// The key of the API is broken and mended, that of the fingerprints deleted and put back.
async fn loses_its_keys(world: &World) {
    let (name, key) = API_KEY_SECRET;
    let secrets = world.key_secrets();
    for (api_key, reason) in [("", "InvalidKey"), (world.sim.api_key(), "Verified")] {
        let change = json!({"stringData": {key: api_key}});
        objects::merge(&secrets, name, change).await;
        world.connected(reason).await;
    }
    let own: Api<Secret> = Api::namespaced(world.client.clone(), &world.system);
    let deleted = own.delete(keeper::SECRET, &DeleteParams::default()).await;
    deleted.expect("it is there");
    eventually("it is put back", SOON, || async {
        own.get_opt(keeper::SECRET).await.expect("an answer")
    })
    .await;
}

/// Another replica stands by, and takes over.
async fn is_succeeded(world: &mut World, id: &str) {
    let mut second = world.replica("second");
    second.start().await;
    let stands_by = |line: &Value| line["message"] == "standing by";
    second.wait_log("it stands by", stands_by).await;
    world.operator.stop().await;
    std::mem::swap(&mut world.operator, &mut second);
    world.set_secret("source", "key", "fourth").await;
    holds(world, id, "fourth").await;
    world.synced("token").await;
}
