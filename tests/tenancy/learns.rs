//! What a tenant sees of what is not its own: nothing, and the same whatever there is.

use super::*;

/// All that a tenant can see of an object: its status and its events, without what differs by itself.
async fn seen_of(tenant: &Tenant<'_>, name: &str, id: &str) -> String {
    let object = tenant.vault_secrets().get(name).await.expect("it is there");
    let mut status = serde_json::to_value(&object.status).expect("JSON");
    for condition in status["conditions"].as_array_mut().expect("some") {
        condition["lastTransitionTime"] = Value::Null;
    }
    let events = tenant.events(name).await;
    let finalizers = object.metadata.finalizers;
    let seen = format!("{status} {events:?} {finalizers:?}");
    seen.replace(id, "THE-VAULT").replace(name, "THE-OBJECT")
}

/// A vault of nobody's, one that is not there, and another tenant's with that very secret in use look alike, however
/// one looks; and none of it is asked of Nairi.
#[tokio::test]
async fn nothing_is_told_of_vaults_that_are_not_granted() {
    let world = Setup::new().cluster_connection().start().await;
    let (ours, theirs) = (Tenant::ours(&world), Tenant::theirs(&world));
    let [unused, used] = [(); 2].map(|()| world.sim.add_vault(NewVault::default()));
    let grants = json!([
        granted(ours.namespace, &[&world.vault]),
        granted(theirs.namespace, &[&used])
    ]);
    grant(&world, grants).await;
    let secret = theirs.in_sync("token", &used).await;
    world.create_secret("source", &[("key", "value")]).await;
    let mark = world.mark().await;
    let absent = nairi_sim::vault_id();
    let mut all = Vec::new();
    for (n, vault) in [&unused, &absent, &used].into_iter().enumerate() {
        let declare = |how: &str| {
            let declared = ours.declare(&format!("{how}-{n}"), vault);
            declared.value_from("source", "key").delete_remote()
        };
        ours.create(declare("by-key").env_key("TOKEN")).await;
        ours.create(declare("by-id").secret_id(&secret)).await;
        let creates = declare("creates").env_key("TOKEN").create_if_missing();
        ours.create(creates.domains(["a.example.com"])).await;
        let began = Instant::now();
        let mut seen = Vec::new();
        for how in ["by-key", "by-id", "creates"] {
            let name = format!("{how}-{n}");
            ours.reason(&name, "NotPermitted").await;
            seen.push(name);
        }
        prompt("said", began);
        let deleted = format!("creates-{n}");
        let request = json!({"metadata": {"annotations": {"nairi.ai/sync-requested-at": "1"}}});
        world.edit(&seen[0], request).await;
        all.push((vault, seen, deleted));
    }
    world.rest().await;
    let mut told = Vec::new();
    for (vault, names, deleted) in &all {
        let mut by_name = Vec::new();
        for name in names {
            by_name.push(seen_of(&ours, name, vault).await);
        }
        ours.delete(deleted).await;
        world.gone(deleted).await;
        by_name.push(format!("{:?}", ours.events(deleted).await.len()));
        told.push(by_name);
    }
    assert_eq!(told[0], told[1], "one that is not there is not told apart");
    assert_eq!(told[0], told[2], "nor one that others use");
    assert!(told[0][0].contains("NotPermitted"), "{told:?}");
    world.since(&mark).await.sent_nothing();
}

/// What is wrong with a cluster's connection is told to its users without where its key is kept; and metrics name
/// nothing and nobody.
#[tokio::test]
async fn nothing_is_told_of_where_a_key_is_kept() {
    let world = Setup::new().cluster_connection().start().await;
    let ours = Tenant::ours(&world);
    let (secret, field) = API_KEY_SECRET;
    ours.in_sync("steady", &world.vault).await;
    world.create_secret("source", &[("key", "value")]).await;
    let keys = world.key_secrets();
    for (n, (data, reason)) in [
        (json!({"other": "x"}), "KeyNotFound"),
        (json!({field: "not a key"}), "InvalidKey"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut cleared = json!({"data": {field: null, "other": null}});
        cleared["stringData"] = data;
        objects::merge(&keys, secret, cleared).await;
        world.connected(reason).await;
        let name = format!("token-{n}");
        let declared = ours.declare(&name, &world.vault).env_key("TOKEN");
        ours.create(declared.value_from("source", "key")).await;
        ours.reason(&name, "ConnectionNotReady").await;
        let told = seen_of(&ours, &name, &world.vault).await;
        for hidden in [&*world.system, secret, field] {
            assert!(!told.contains(hidden), "{hidden} is in {told}");
        }
        assert!(told.contains(reason), "{told}");
    }
    let metrics = world.operator.metrics().await.0;
    let names = [
        &*world.namespace,
        &world.connection.name,
        &world.vault,
        "steady",
        "token",
        secret,
        "STEADY",
    ];
    for name in names {
        assert!(!metrics.contains(name), "{name} is in {metrics}");
    }
}

/// Who waits behind an older object of another namespace is not told whose it is, also where one connection is granted
/// to both.
#[tokio::test]
async fn nothing_is_told_of_the_winner_in_another_namespace() {
    let world = Setup::new().cluster_connection().start().await;
    let (ours, theirs) = (Tenant::ours(&world), Tenant::theirs(&world));
    let vault = &*world.vault;
    let grants = json!([
        granted(ours.namespace, &[vault]),
        granted(theirs.namespace, &[vault])
    ]);
    grant(&world, grants).await;
    let id = theirs.in_sync("winner", vault).await;
    objects::older(&theirs.reason("winner", "Synced").await).await;
    world.create_secret("source", &[("key", "ours")]).await;
    let mark = world.mark().await;
    let named = ours.declare("named", vault).secret_id(&id).delete_remote();
    ours.create(named.value_from("source", "key")).await;
    let creates = ours.declare("creates", vault).env_key("WINNER");
    let creates = creates.create_if_missing().domains(["a.example.com"]);
    ours.create(creates.value_from("source", "key")).await;
    for name in ["named", "creates"] {
        ours.reason(name, "Conflict").await;
        let told = seen_of(&ours, name, vault).await;
        for hidden in [theirs.namespace, "winner", "\"first\""] {
            assert!(!told.contains(hidden), "{hidden} is in {told}");
        }
    }
    ours.delete("named").await;
    world.gone("named").await;
    assert_eq!(besides_lists(&world.since(&mark).await), [""; 0]);
    assert_eq!(world.sim.value(&id).as_deref(), Some("first"));
}
