//! One remote secret, one writer: the oldest VaultSecret that means it; the others wait, and take over at once.

use crate::support::{
    objects::{VaultSecretBuilder, condition, current_reason, secret},
    wait::SOON,
    *,
};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use vaultsecret_operator::api::{
    ConnectionKind, SecretKeyRef, VaultConnection, VaultConnectionSpec, VaultSecret,
};

/// Another connection of that namespace, with the world's API key.
async fn connect(world: &World, namespace: &str, name: &str, key: &str) {
    let post = PostParams::default();
    let secrets: Api<k8s_openapi::api::core::v1::Secret> =
        Api::namespaced(world.client.clone(), namespace);
    let data = secret(&format!("{name}-key"), &[("apiKey", key)]);
    secrets.create(&post, &data).await.expect("a Secret");
    let spec = VaultConnectionSpec {
        api_key_secret_ref: SecretKeyRef {
            name: format!("{name}-key"),
            key: "apiKey".to_owned(),
        },
    };
    let api: Api<VaultConnection> = Api::namespaced(world.client.clone(), namespace);
    let connection = VaultConnection::new(name, spec);
    api.create(&post, &connection).await.expect("a connection");
}

fn message(object: &VaultSecret) -> &str {
    let ready = condition(object, "Ready").expect("a condition");
    &ready.message
}

/// What was sent beside lists: a fresh one is used again, so their number depends on the time that passed.
fn besides_lists(world: &World, seen: &Seen) -> Vec<Sent> {
    let mut sent = seen.sent();
    sent.retain(|sent| *sent != list(&world.vault));
    sent
}

async fn events(world: &World, name: &str) -> Vec<String> {
    let events = world.events(name).await.into_iter();
    events.map(|(reason, _)| reason).collect()
}

#[tokio::test]
async fn the_oldest_writes_and_the_other_takes_over_when_it_goes() {
    let world = World::start().await;
    let id = world.remote("TOKEN", "", &["a.example.com"]);
    world.create_secret("old", &[("key", "of the old")]).await;
    world
        .create_secret("young", &[("key", "of the young")])
        .await;
    let old = world.vault_secret("old").secret_id(&id);
    world.create(old.value_from("old", "key")).await;
    objects::older(&world.synced("old").await).await;
    let mark = world.mark().await;

    let young = world.vault_secret("young").env_key("TOKEN");
    let young = young.value_from("young", "key").domains(["b.example.com"]);
    world.create(young).await;
    let conflict = world.reason("young", "Conflict").await;
    assert!(
        message(&conflict).starts_with("The older VaultSecret \"old\" keeps the secret TOKEN"),
        "{}",
        message(&conflict)
    );
    assert!(condition(&conflict, "Stalled").is_some());
    world.set_secret("young", "key", "changed meanwhile").await;
    world.set_secret("old", "key", "changed by the old").await;
    let seen = world.since(&mark).await;
    assert_eq!(
        besides_lists(&world, &seen),
        [patch(&id, json!({"value": "changed by the old"}))]
    );

    let mark = world.mark().await;
    world.delete("old").await;
    world.synced("young").await;
    let seen = world.since(&mark).await;
    let taken_over = json!({"value": "changed meanwhile", "allowed_domains": ["b.example.com"]});
    assert_eq!(besides_lists(&world, &seen), [patch(&id, taken_over)]);
    assert_eq!(events(&world, "young").await, ["Conflict", "Synced"]);
}

#[tokio::test]
async fn nothing_is_told_of_a_claimant_in_another_namespace() {
    let world = World::start().await;
    let id = world.remote("TOKEN", "", &[]);
    connect(&world, &world.system, "theirs", world.sim.api_key()).await;
    let theirs: Api<VaultSecret> = Api::namespaced(world.client.clone(), &world.system);
    let secrets: Api<k8s_openapi::api::core::v1::Secret> =
        Api::namespaced(world.client.clone(), &world.system);
    let post = PostParams::default();
    secrets
        .create(&post, &secret("theirs", &[("key", "theirs")]))
        .await
        .expect("a Secret");
    let hidden = VaultSecretBuilder::new("hidden-name", &world.vault)
        .connection(ConnectionKind::VaultConnection, "theirs")
        .env_key("TOKEN")
        .value_from("theirs", "key")
        .build();
    theirs.create(&post, &hidden).await.expect("a VaultSecret");
    let synced = objects::wait_for(&theirs, "hidden-name", SOON, |object| {
        object.is_some_and(|object: &VaultSecret| current_reason(object) == Some("Synced"))
    });
    let synced = synced.await.flatten().expect("it is synced");
    objects::older(&synced).await;
    let mark = world.mark().await;

    world.create_secret("ours", &[("key", "ours")]).await;
    let ours = world.vault_secret("ours").secret_id(&id);
    world.create(ours.value_from("ours", "key")).await;
    let conflict = world.reason("ours", "Conflict").await;
    let status = serde_json::to_string(&conflict.status).expect("JSON");
    let told = format!("{status} {:?}", world.events("ours").await);
    assert!(!told.contains("hidden-name"), "{told}");
    assert!(!told.contains(&world.system), "{told}");
    assert!(told.contains("in another namespace"), "{told}");
    let seen = world.since(&mark).await;
    assert_eq!(besides_lists(&world, &seen), []);

    theirs
        .delete("hidden-name", &DeleteParams::default())
        .await
        .expect("deleted");
    world.synced("ours").await;
    assert_eq!(world.sim.value(&id).as_deref(), Some("ours"));
}

#[tokio::test]
async fn a_grant_that_ends_hands_the_secret_over() {
    let world = Setup::new().cluster_connection().start().await;
    let id = world.remote("TOKEN", "", &[]);
    connect(&world, &world.namespace, "own", world.sim.api_key()).await;
    world
        .create_secret("source", &[("a", "a"), ("b", "b")])
        .await;
    let granted = world.vault_secret("granted").env_key("TOKEN");
    world.create(granted.value_from("source", "a")).await;
    objects::older(&world.synced("granted").await).await;
    let other = world.vault_secret("other").env_key("TOKEN");
    let other = other.connection(ConnectionKind::VaultConnection, "own");
    world.create(other.value_from("source", "b")).await;
    world.reason("other", "Conflict").await;

    let grants = json!({"spec": {"grants": [{"namespaces": ["elsewhere"], "vaultIds": ["*"]}]}});
    let api = world.cluster_vault_connections();
    let before = api.get(&world.connection.name).await.expect("there").spec;
    objects::merge(&api, &world.connection.name, grants).await;
    world.synced("other").await;
    world.reason("granted", "NotPermitted").await;
    assert_eq!(world.sim.value(&id).as_deref(), Some("b"));

    // The grant comes back, and with it the older claim.
    let mark = world.mark().await;
    let grants = json!({"spec": {"grants": before.grants}});
    objects::merge(&api, &world.connection.name, grants).await;
    world.synced("granted").await;
    world.reason("other", "Conflict").await;
    assert_eq!(world.sim.value(&id).as_deref(), Some("a"));
    let seen = world.since(&mark).await;
    let (asks, writes) = (patch(&id, json!({})), patch(&id, json!({"value": "a"})));
    assert_eq!(besides_lists(&world, &seen), [asks, writes]);
}

#[tokio::test]
async fn an_older_object_that_was_never_shown_the_secret_keeps_nobody() {
    let world = World::start().await;
    let id = world.remote("TOKEN", "", &[]);
    connect(
        &world,
        &world.namespace,
        "useless",
        "nr_nobody-knows-this-key",
    )
    .await;
    world.create_secret("source", &[("key", "value")]).await;
    let claims = world.vault_secret("claims").secret_id(&id);
    let claims = claims.connection(ConnectionKind::VaultConnection, "useless");
    world.create(claims.value_from("source", "key")).await;
    objects::older(&world.reason("claims", "Unauthorized").await).await;

    let proves = world.vault_secret("proves").env_key("TOKEN");
    world.create(proves.value_from("source", "key")).await;
    world.synced("proves").await;
    assert_eq!(world.sim.value(&id).as_deref(), Some("value"));
}

#[tokio::test]
async fn an_older_object_that_comes_to_mean_the_secret_takes_it() {
    let world = World::start().await;
    let id = world.remote("TOKEN", "", &[]);
    world
        .create_secret("source", &[("a", "a"), ("b", "b")])
        .await;
    let old = world.vault_secret("old").env_key("TYPO");
    world.create(old.value_from("source", "a")).await;
    objects::older(&world.reason("old", "RemoteNotFound").await).await;
    let young = world.vault_secret("young").env_key("TOKEN");
    world.create(young.value_from("source", "b")).await;
    world.synced("young").await;

    world.edit_spec("old", json!({"envKey": "TOKEN"})).await;
    world.synced("old").await;
    world.reason("young", "Conflict").await;
    assert_eq!(world.sim.value(&id).as_deref(), Some("a"));
}

#[tokio::test]
async fn a_suspended_object_keeps_its_claim() {
    let world = World::start().await;
    let id = world.remote("TOKEN", "", &[]);
    world
        .create_secret("source", &[("a", "a"), ("b", "b")])
        .await;
    let old = world.vault_secret("old").env_key("TOKEN");
    world.create(old.value_from("source", "a")).await;
    objects::older(&world.synced("old").await).await;
    world.edit_spec("old", json!({"suspend": true})).await;
    world
        .until("old", "suspended", |object| {
            condition(object, "Suspended").is_some()
        })
        .await;
    let mark = world.mark().await;
    let young = world.vault_secret("young").env_key("TOKEN");
    world.create(young.value_from("source", "b")).await;
    world.reason("young", "Conflict").await;
    let seen = world.since(&mark).await;
    assert_eq!(besides_lists(&world, &seen), []);
    assert_eq!(world.sim.value(&id).as_deref(), Some("a"));
}

#[tokio::test]
async fn a_restart_changes_no_owner() {
    let mut world = World::start().await;
    let id = world.remote("TOKEN", "", &[]);
    world
        .create_secret("source", &[("a", "a"), ("b", "b")])
        .await;
    let old = world.vault_secret("old").env_key("TOKEN");
    world.create(old.value_from("source", "a")).await;
    objects::older(&world.synced("old").await).await;
    let young = world.vault_secret("young").env_key("TOKEN");
    world.create(young.value_from("source", "b")).await;
    world.reason("young", "Conflict").await;

    let mark = world.mark().await;
    world.operator.restart().await;
    let seen = world.since(&mark).await;
    assert_eq!(besides_lists(&world, &seen), [list_vaults()]);
    seen.wrote_nothing();
    world.delete("old").await;
    world.synced("young").await;
    assert_eq!(world.sim.value(&id).as_deref(), Some("b"));
}

/// What another connection has shown is no claim of the present one, to a new process either.
#[tokio::test]
async fn a_restart_makes_no_claim_of_what_was_not_shown() {
    let mut world = World::start().await;
    let id = world.remote("TOKEN", "", &[]);
    let nobodys = "nr_nobody-knows-this-key";
    connect(&world, &world.namespace, "useless", nobodys).await;
    world
        .create_secret("source", &[("a", "a"), ("b", "b")])
        .await;
    let old = world.vault_secret("old").env_key("TOKEN");
    world.create(old.value_from("source", "a")).await;
    objects::older(&world.synced("old").await).await;
    let young = world.vault_secret("young").env_key("TOKEN");
    world.create(young.value_from("source", "b")).await;
    world.reason("young", "Conflict").await;
    let useless = json!({"connectionRef": {"name": "useless"}, "suspend": true});
    world.edit_spec("old", useless).await;
    world.synced("young").await;

    world.operator.restart().await;
    world.set_secret("source", "b", "rotated").await;
    let value = || async { (world.sim.value(&id).as_deref() == Some("rotated")).then_some(()) };
    eventually("the rotation arrives", SOON, value).await;
    world.synced("young").await;

    // Back at the connection that shows it, the older one has it again.
    let shows = json!({"connectionRef": {"name": world.connection.name}, "suspend": false});
    world.edit_spec("old", shows).await;
    world.synced("old").await;
    world.reason("young", "Conflict").await;
}

#[tokio::test]
async fn another_connection_has_to_show_the_secret_first() {
    let world = World::start().await;
    let id = world.remote("TOKEN", "", &[]);
    connect(&world, &world.namespace, "second", world.sim.api_key()).await;
    world.create_secret("source", &[("key", "value")]).await;
    let token = world.vault_secret("token").env_key("TOKEN");
    world.create(token.value_from("source", "key")).await;
    world.synced("token").await;
    let mark = world.mark().await;
    world
        .edit_spec("token", json!({"connectionRef": {"name": "second"}}))
        .await;
    world.synced("token").await;
    let seen = world.since(&mark).await;
    assert_eq!(besides_lists(&world, &seen), []);
    world.set_secret("source", "key", "rotated").await;
    let value = || async { (world.sim.value(&id).as_deref() == Some("rotated")).then_some(()) };
    eventually("the rotation arrives", SOON, value).await;
}
