//! What a namespace may use.

use std::time::Instant;

use k8s_openapi::api::core::v1::Namespace;

use super::*;

async fn grant(world: &World, grants: Value) {
    let connections = world.cluster_vault_connections();
    let change = json!({"spec": {"grants": grants}});
    objects::merge(&connections, &world.connection.name, change).await;
}

async fn label(world: &World, team: Value) {
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let change = json!({"metadata": {"labels": {"team": team}}});
    objects::merge(&namespaces, &world.namespace, change).await;
}

fn not_permitted(world: &World, vault: &str) -> Trouble {
    let (name, namespace) = (&world.connection.name, &world.namespace);
    stalled(
        "NotPermitted",
        format!(
            "ClusterVaultConnection \"{name}\" does not grant namespace {namespace} the vault {vault}: ask whoever manages the connection for a grant, or use another."
        ),
    )
}

/// Nobody writes where they were not allowed to: not before the grant, not after it.
#[tokio::test]
async fn nothing_is_sent_without_a_grant() {
    let world = Setup::new().cluster_connection().start().await;
    let (namespace, vault) = (&world.namespace, &world.vault);
    fill(&world.secrets(), "token", &[("key", b"first")]).await;
    let elsewhere = world.sim.add_vault(NewVault::default());
    let outside = NewSecret::new("OUTSIDE", "old", &["old.example.com"]);
    let outside = world.sim.add_secret(&elsewhere, outside);
    // Others' grants are none of ours.
    let to_others = json!({"namespaces": ["another"], "vaultIds": ["*"]});
    grant(&world, json!([to_others])).await;
    let mark = world.mark().await;
    let id = declare(&world, "token").await;
    let denied = not_permitted(&world, vault);
    says(&world, "token", &denied).await;
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    seen.wrote_exactly(&["patch vaultsecrets/status token", "create events"]);
    assert_eq!(events(&world, "token").await, [denied.event()]);

    // By name.
    let mark = world.mark().await;
    let began = Instant::now();
    let by_name = json!({"namespaces": [namespace], "vaultIds": [vault]});
    grant(&world, json!([to_others, by_name])).await;
    cured(&world, "token", began).await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list(vault), patch(&id, json!({"value": "first"}))]);

    // The other vault stays closed to it.
    let mark = world.mark().await;
    let declared = world.vault_secret("outside").vault(&elsewhere);
    let declared = declared.secret_id(&outside).value_from("token", "key");
    world.create(declared).await;
    says(&world, "outside", &not_permitted(&world, &elsewhere)).await;
    world.since(&mark).await.sent_nothing();

    // By a selector, which does not fit so far.
    let by_label =
        json!({"namespaceSelector": {"matchLabels": {"team": "payments"}}, "vaultIds": [vault]});
    grant(&world, json!([to_others, by_label])).await;
    says(&world, "token", &denied).await;
    let mark = world.mark().await;
    world.set_secret("token", "key", "second").await;
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    seen.wrote_nothing();
    label(&world, json!("search")).await;
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    seen.wrote_nothing();
    let began = Instant::now();
    label(&world, json!("payments")).await;
    cured(&world, "token", began).await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[patch(&id, json!({"value": "second"}))]);

    let mark = world.mark().await;
    label(&world, Value::Null).await;
    says(&world, "token", &denied).await;
    world.set_secret("token", "key", "third").await;
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    assert_eq!(world.sim.value(&id).as_deref(), Some("second"));
    assert_eq!(world.sim.value(&outside).as_deref(), Some("old"));
}
