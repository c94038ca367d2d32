//! What is declared reaches the vault, by whichever name and connection, and the status tells the truth.

use crate::support::*;
use nairi_sim::TimeFormat;
use vaultsecret_operator::api::ConnectionKind;

/// The status as the API server has it.
async fn status(world: &World, name: &str) -> Value {
    let get = ["get", "vaultsecret", name, "-o", "json"];
    let output = world.kubectl(&get).await.ok();
    let object: Value = serde_json::from_str(&output).expect("JSON");
    object["status"].clone()
}

/// `uid/resourceVersion` of a Secret.
async fn version(world: &World, name: &str) -> String {
    let secret = world.secrets().get(name).await.expect("it exists").metadata;
    let (uid, version) = (secret.uid.expect("stored"), secret.resource_version);
    format!("{uid}/{}", version.expect("stored"))
}

/// The whole status of an object after its first sync. What can't be foretold is taken from `actual`.
async fn synced(world: &World, actual: &Value, id: &str, applied: Option<Value>) -> Value {
    let stored = world.sim.secret(id).expect("it exists");
    let mut expected = json!({
        "observedGeneration": 1,
        "connectionRef": world.connection,
        "secretId": id,
        "envKey": stored.env_key,
        "allowedDomains": stored.allowed_domains,
        "createdAt": stored.created_at,
        "updatedAt": stored.updated_at,
        "lastPatch": {"time": actual["lastPatch"]["time"], "fields": ["value"]},
        "valueFingerprint": actual["valueFingerprint"],
        "sourceVersion": version(world, "source").await,
        "conditions": [{
            "type": "Ready",
            "status": "True",
            "reason": "Synced",
            "message": "The vault holds what is declared.",
            "observedGeneration": 1,
            "lastTransitionTime": actual["conditions"][0]["lastTransitionTime"],
        }],
    });
    if let Some(applied) = applied {
        expected["appliedDomains"] = applied;
        expected["lastPatch"]["fields"] = json!(["value", "allowedDomains"]);
    }
    expected
}

#[tokio::test]
async fn a_secret_is_found_by_its_id_by_its_key_and_by_both() {
    let world = World::start().await;
    world.create_secret("source", &[("key", "new")]).await;
    let [by_id, by_key, by_both] =
        ["BY_ID", "BY_KEY", "BY_BOTH"].map(|key| world.remote(key, "old", &["old.example.com"]));
    let mark = world.mark().await;

    let declared = |name: &str| world.vault_secret(name).value_from("source", "key");
    world.create(declared("by-id").secret_id(&by_id)).await;
    world.synced("by-id").await;
    world.create(declared("by-key").env_key("BY_KEY")).await;
    world.synced("by-key").await;
    let both = declared("by-both").secret_id(&by_both).env_key("BY_BOTH");
    world.create(both.domains(["*.new.example.com"])).await;
    world.synced("by-both").await;

    let seen = world.since(&mark).await;
    seen.sent_exactly(&[
        list(&world.vault),
        patch(&by_id, json!({"value": "new"})),
        list(&world.vault),
        patch(&by_key, json!({"value": "new"})),
        list(&world.vault),
        patch(
            &by_both,
            json!({"value": "new", "allowed_domains": ["*.new.example.com"]}),
        ),
    ]);
    seen.wrote_exactly(&[
        "patch vaultsecrets/status by-id",
        "create events",
        "patch vaultsecrets/status by-key",
        "create events",
        "patch vaultsecrets/status by-both",
        "create events",
    ]);

    let domains = json!(["*.new.example.com"]);
    for (name, id, applied) in [
        ("by-id", by_id, None),
        ("by-key", by_key, None),
        ("by-both", by_both, Some(domains)),
    ] {
        assert_eq!(world.sim.value(&id).as_deref(), Some("new"), "{name}");
        let actual = status(&world, name).await;
        assert_eq!(
            actual,
            synced(&world, &actual, &id, applied).await,
            "{name}"
        );
        let fingerprint = actual["valueFingerprint"].as_str().expect("a fingerprint");
        assert!(fingerprint.starts_with("v1:"), "{fingerprint}");
        let events = world.events(name).await;
        let reasons: Vec<_> = events.iter().map(|(reason, _)| reason.as_str()).collect();
        assert_eq!(reasons, ["Synced"], "{name}");
    }
}

#[tokio::test]
async fn domains_go_along_only_where_they_differ_from_the_vaults() {
    let world = World::start().await;
    world.create_secret("source", &[("key", "new")]).await;
    let id = world.remote("TOKEN", "old", &["b.example.com", "a.example.com"]);
    let mark = world.mark().await;
    let declared = world
        .vault_secret("token")
        .env_key("TOKEN")
        .value_from("source", "key");
    world
        .create(declared.domains(["A.example.com", "b.example.com"]))
        .await;
    let object = world.synced("token").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list(&world.vault), patch(&id, json!({"value": "new"}))]);
    let status = object.status.expect("it is synced");
    assert_eq!(
        status.allowed_domains,
        Some(vec!["b.example.com".into(), "a.example.com".into()])
    );
    assert_eq!(
        status.applied_domains,
        Some(vec!["A.example.com".into(), "b.example.com".into()])
    );
}

#[tokio::test]
async fn domains_alone_need_no_value() {
    let world = World::start().await;
    let same = world.remote("SAME", "old", &["a.example.com"]);
    let other = world.remote("OTHER", "old", &["a.example.com"]);
    let mark = world.mark().await;
    let declared = |name: &str| world.vault_secret(name).domains(["a.example.com"]);
    world.create(declared("same").env_key("SAME")).await;
    world.synced("same").await;
    let declared = world.vault_secret("other").domains(["b.example.com"]);
    world.create(declared.env_key("OTHER")).await;
    world.synced("other").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[
        list(&world.vault),
        list(&world.vault),
        patch(&other, json!({"allowed_domains": ["b.example.com"]})),
    ]);
    let bound = status(&world, "same").await;
    assert_eq!(bound["secretId"], same.as_str());
    assert_eq!(bound["lastPatch"], Value::Null, "nothing was sent");
    assert_eq!(
        world.sim.value(&same).as_deref(),
        Some("old"),
        "not managed"
    );
}

/// `updatedAt` is what the API returned, character by character, whatever it looks like: earlier than `createdAt`,
/// with an offset, and spelled differently by lists.
#[tokio::test]
async fn updated_at_is_shown_verbatim() {
    let setup = Setup::new().behave(|behaviour| {
        behaviour.updated_before_created = true;
        behaviour.object_time = TimeFormat::MillisOffset;
        behaviour.list_time = TimeFormat::Micros;
    });
    let world = setup.start().await;
    world.create_secret("source", &[("key", "new")]).await;
    let id = world.remote("TOKEN", "old", &["api.example.com"]);
    let declared = world.vault_secret("token").env_key("TOKEN");
    world
        .create(
            declared
                .value_from("source", "key")
                .domains(["api.example.com"]),
        )
        .await;
    world.synced("token").await;
    let first = status(&world, "token").await["updatedAt"].clone();
    assert_eq!(
        Some(first.clone()),
        world.sim.updated_at(&id).map(Value::from)
    );
    assert!(first.as_str().is_some_and(|at| at.contains("+00:00")));

    world.set_secret("source", "key", "newer").await;
    world
        .until("token", "patched again", |object| {
            let status = object.status.as_ref();
            status.and_then(|status| status.updated_at.as_deref()) != first.as_str()
        })
        .await;
    let mark = world.mark().await;
    let second = status(&world, "token").await["updatedAt"].clone();
    assert_eq!(Some(second), world.sim.updated_at(&id).map(Value::from));

    // Another spelling of the same instant is no change: the next process starts from the status alone.
    let mut world = world;
    world.operator.restart().await;
    world.connected("Verified").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list_vaults()]);
    seen.wrote_nothing();
}

#[tokio::test]
async fn kubectl_shows_the_columns() {
    let world = World::start().await;
    world.create_secret("source", &[("key", "new")]).await;
    let id = world.remote("TOKEN", "old", &["old.example.com"]);
    let declared = world.vault_secret("token").env_key("TOKEN");
    world
        .create(
            declared
                .value_from("source", "key")
                .domains(["api.example.com"]),
        )
        .await;
    world.synced("token").await;
    let get = ["get", "nvs", "token", "-o", "wide"];
    let table = world.kubectl(&get).await.ok();
    let lines: Vec<Vec<&str>> = table
        .lines()
        .map(|line| {
            let cells = line.split("  ").map(str::trim);
            cells.filter(|cell| !cell.is_empty()).collect()
        })
        .collect();
    let updated_at = world.sim.updated_at(&id).expect("it exists");
    let [header, row] = lines.as_slice() else {
        panic!("{table}")
    };
    assert_eq!(
        *header,
        [
            "NAME",
            "ENV KEY",
            "READY",
            "REASON",
            "UPDATED AT",
            "AGE",
            "VAULT",
            "SECRET",
            "DOMAINS",
            "LAST PATCH"
        ]
    );
    assert_eq!(
        row[..5],
        ["token", "TOKEN", "True", "Synced", updated_at.as_str()]
    );
    assert_eq!(
        row[6..9],
        [world.vault.as_str(), id.as_str(), r#"["api.example.com"]"#]
    );
    for age in [row[5], row[9]] {
        assert!(age.ends_with('s'), "an age: {age}");
    }
    let by_category = world.kubectl(&["get", "nairi", "-o", "name"]).await.ok();
    assert!(by_category.contains("vaultsecret.nairi.ai/token"));
}

/// A ClusterVaultConnection lets a namespace use the vaults it grants, and nothing else.
#[tokio::test]
async fn a_cluster_connection_grants_vaults_to_namespaces() {
    let world = Setup::new().cluster_connection().start().await;
    assert_eq!(
        world.connection.kind,
        ConnectionKind::ClusterVaultConnection
    );
    world.create_secret("source", &[("key", "new")]).await;
    let id = world.remote("TOKEN", "old", &["api.example.com"]);
    let elsewhere = world.sim.add_vault(NewVault::default());
    let closed = world.sim.add_secret(
        &elsewhere,
        NewSecret::new("CLOSED", "old", &["a.example.com"]),
    );
    let mark = world.mark().await;

    let declared = |name: &str| world.vault_secret(name).value_from("source", "key");
    world.create(declared("token").env_key("TOKEN")).await;
    world.synced("token").await;
    world
        .create(declared("closed").vault(&elsewhere).secret_id(&closed))
        .await;
    world.reason("closed", "NotPermitted").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list(&world.vault), patch(&id, json!({"value": "new"}))]);
    seen.wrote_exactly(&[
        "patch vaultsecrets/status token",
        "create events",
        "patch vaultsecrets/status closed",
        "create events",
    ]);

    // The grant is what it waits for.
    let mark = world.mark().await;
    let grant = json!([{"namespaces": [world.namespace], "vaultIds": [world.vault, elsewhere]}]);
    objects::merge(
        &world.cluster_vault_connections(),
        &world.connection.name,
        json!({"spec": {"grants": grant}}),
    )
    .await;
    world.synced("closed").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list(&elsewhere), patch(&closed, json!({"value": "new"}))]);
    seen.wrote_exactly(&[
        &format!(
            "patch clustervaultconnections/status {}",
            world.connection.name
        ),
        "patch vaultsecrets/status closed",
        "create events",
    ]);

    // And without it nothing more is sent, though all else is in place.
    let grant = json!([{"namespaces": [world.namespace], "vaultIds": [world.vault]}]);
    objects::merge(
        &world.cluster_vault_connections(),
        &world.connection.name,
        json!({"spec": {"grants": grant}}),
    )
    .await;
    world.reason("closed", "NotPermitted").await;
    let mark = world.mark().await;
    world.set_secret("source", "key", "newer").await;
    world
        .sim
        .log()
        .wait_for(|log| log.since(mark.sim).secret(&id).len() == 1, SOON)
        .await
        .expect("the other is rotated");
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[patch(&id, json!({"value": "newer"}))]);
    assert_eq!(world.sim.value(&closed).as_deref(), Some("new"));
}
