//! What a tenant may try who writes VaultSecrets, VaultConnections and Secrets in its own namespace, and nothing else:
//! and what comes of a status that somebody put back.

use kube::api::{DeleteParams, Patch, PatchParams};
use vaultsecret_operator::api::{
    ApiKeySecretRef, ClusterVaultConnection, ConnectionKind, SecretKeyRef, VaultConnectionSpec,
};

use super::*;

/// A connection that names a Secret which is there in another namespace finds none.
#[tokio::test]
async fn a_key_in_another_namespace_is_out_of_reach() {
    let world = Setup::new().cluster_connection().start().await;
    let ours = Tenant::ours(&world);
    world.create_secret("source", &[("key", "value")]).await;
    let id = world.remote("TOKEN", "old", &[]);
    grant(&world, json!([granted("another", &["*"])])).await;
    let mark = world.mark().await;
    let (name, key) = API_KEY_SECRET;
    let api_key_secret_ref = SecretKeyRef {
        name: name.to_owned(),
        key: key.to_owned(),
    };
    // Of the name, also, of the connection that has the key.
    let of = &world.connection.name;
    let connection = VaultConnection::new(of, VaultConnectionSpec { api_key_secret_ref });
    let created = ours.connections();
    let created = created.create(&PostParams::default(), &connection).await;
    created.expect("a free name");
    let declared = ours.declare("token", &world.vault).secret_id(&id);
    let declared = declared.connection(ConnectionKind::VaultConnection, of);
    ours.create(declared.value_from("source", "key")).await;
    let told = ours.reason("token", "ConnectionNotReady").await;
    let told = format!("{:?}", told.status);
    assert!(told.contains("SecretNotFound"), "{told}");
    world.since(&mark).await.sent_nothing();
    assert_eq!(world.sim.value(&id).as_deref(), Some("old"));
}

/// Another tenant's secret, named as one of the own vault, is neither written nor deleted.
#[tokio::test]
async fn an_id_from_another_vault_is_not_written() {
    let world = Setup::new().cluster_connection().start().await;
    let (ours, theirs) = (Tenant::ours(&world), Tenant::theirs(&world));
    let vault = world.sim.add_vault(NewVault::default());
    let grants = json!([
        granted(ours.namespace, &[&world.vault]),
        granted(theirs.namespace, &[&vault])
    ]);
    grant(&world, grants).await;
    let id = theirs.in_sync("token", &vault).await;
    world.create_secret("source", &[("key", "ours")]).await;
    let mark = world.mark().await;
    let declared = ours.declare("token", &world.vault).secret_id(&id);
    let declared = declared.value_from("source", "key").delete_remote();
    ours.create(declared.domains(["a.example.com"])).await;
    ours.reason("token", "RemoteNotFound").await;
    ours.delete("token").await;
    world.gone("token").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list(&world.vault)]);
    assert_eq!(world.sim.value(&id).as_deref(), Some("first"));
    theirs.reason("token", "Synced").await;
}

/// A backup that puts statuses back may put any there. No status opens a vault that is not granted; and in one that
/// is, the secret of another vault is not to be had by it.
#[tokio::test]
async fn a_status_that_was_put_back_opens_no_vault() {
    let mut world = Setup::new().cluster_connection().start().await;
    let vault = world.sim.add_vault(NewVault::default());
    let grants = json!([
        granted(&world.namespace, &[&world.vault]),
        granted(&world.system, &[&vault])
    ]);
    grant(&world, grants).await;
    let id = Tenant::theirs(&world).in_sync("token", &vault).await;
    world.create_secret("source", &[("key", "ours")]).await;
    world.rest().await;
    world.operator.stop().await;
    for (name, of) in [("outside", &vault), ("inside", &world.vault)] {
        let ours = Tenant::ours(&world);
        let declared = ours.declare(name, of).secret_id(&id).delete_remote();
        let declared = declared.value_from("source", "key");
        ours.create(declared.with(|object| {
            object.metadata.finalizers = Some(vec!["nairi.ai/remote-secret".to_owned()]);
        }))
        .await;
        let status = json!({"status": {
            "observedGeneration": 1,
            "connectionRef": world.connection,
            "secretId": id,
            "envKey": "TOKEN",
            "allowedDomains": ["old.example.com"],
            "updatedAt": world.sim.updated_at(&id),
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "Synced", "message": "so it was",
                "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1,
            }],
        }});
        let put_back = ours.vault_secrets();
        let (params, status) = (PatchParams::default(), Patch::Merge(&status));
        let put_back = put_back.patch_status(name, &params, &status).await;
        put_back.expect("an administrator may");
    }
    let mark = world.mark_now();
    world.operator.start().await;
    world.reason("outside", "NotPermitted").await;
    world.reason("inside", "RemoteNotFound").await;
    for name in ["outside", "inside"] {
        world.delete(name).await;
        world.gone(name).await;
    }
    let seen = world.since(&mark).await;
    let elsewhere = |entry: &nairi_sim::Entry| entry.path.contains(&vault);
    assert_eq!(seen.requests.only(elsewhere).len(), 0, "{seen:?}");
    let stored = world.sim.secret(&id).expect("it is there still");
    assert_eq!(stored.value, "first");
    Tenant::theirs(&world).reason("token", "Synced").await;
}

/// What a connection of this name had is no business of the next one, not even for a deletion.
#[tokio::test]
async fn another_connection_of_the_same_name_does_not_have_the_old_ones_key() {
    let world = Setup::new().cluster_connection().start().await;
    let ours = Tenant::ours(&world);
    let id = world.remote("TOKEN", "old", &[]);
    world.create_secret("source", &[("key", "value")]).await;
    let declared = ours.declare("token", &world.vault).env_key("TOKEN");
    let declared = declared.value_from("source", "key").delete_remote();
    ours.create(declared).await;
    ours.reason("token", "Synced").await;
    let connections = world.cluster_vault_connections();
    let name = &world.connection.name;
    let mut spec = connections.get(name).await.expect("it is there").spec;
    let deleted = connections.delete(name, &DeleteParams::default()).await;
    deleted.expect("it is there");
    ours.reason("token", "ConnectionNotFound").await;
    spec.api_key_secret_ref = ApiKeySecretRef {
        namespace: world.system.clone(),
        name: "another-key".to_owned(),
        key: "apiKey".to_owned(),
    };
    let again = ClusterVaultConnection::new(name, spec);
    let created = connections.create(&PostParams::default(), &again).await;
    created.expect("a free name");
    world.connected("SecretNotFound").await;

    let mark = world.mark().await;
    ours.delete("token").await;
    ours.reason("token", "DeletionBlocked").await;
    world.since(&mark).await.sent_nothing();
    let key = nairi_sim::api_key();
    world.sim.add_key(&key);
    let theirs = Tenant::theirs(&world);
    theirs
        .create_secret("another-key", &[("apiKey", &key)])
        .await;
    world.gone("token").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list_vaults(), delete(&id)]);
    let own = format!("Bearer {key}");
    for request in seen.requests.iter() {
        assert!(
            request.header("authorization") == Some(&own),
            "with its own"
        );
    }
}
