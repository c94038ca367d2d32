//! Kubernetes itself, and an object that does not parse.

use std::time::Instant;

use k8s_openapi::api::rbac::v1::Role;

use super::*;

/// An object of an older version's rules, say: it is told of, and holds nobody up, not even at a start.
#[tokio::test]
async fn an_object_that_does_not_parse_is_told_of_and_passed_over() {
    let mut world = Setup::new().alone().start().await;
    let id = in_sync(&world, "token", "first").await;
    let crds = vaultsecret_operator::crds::yaml();
    let mut loose = serde_json::to_value(&vaultsecret_operator::crds::all()[0]).expect("JSON");
    let schema = &mut loose["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let suspend = &mut schema["properties"]["spec"]["properties"]["suspend"];
    assert_eq!(suspend["type"], "boolean");
    *suspend = json!({"x-kubernetes-preserve-unknown-fields": true});
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    world.kubectl_with(&apply, &loose.to_string()).await.ok();
    world.remote("BAD", "old", &["old.example.com"]);
    let bad = json!({
        "apiVersion": "nairi.ai/v1alpha1", "kind": "VaultSecret", "metadata": {"name": "bad"},
        "spec": {
            "connectionRef": {"kind": "VaultConnection", "name": world.connection.name}, "vaultId": world.vault,
            "envKey": "BAD", "valueFrom": {"secretKeyRef": {"name": "token", "key": "key"}}, "suspend": "canary",
        },
    });
    let mark = world.mark().await;
    // The new schema is in force a moment after it was stored.
    eventually("the loose schema is in force", SOON, || async {
        let output = world
            .kubectl_with(&["create", "-f", "-"], &bad.to_string())
            .await;
        output.success.then_some(())
    })
    .await;
    world.kubectl_with(&apply, &crds).await.ok();
    let told = "Warning InvalidObject: This object does not parse and is ignored: Invalid type string. Expected a boolean. Correct it and apply it again.";
    let is_told = || async {
        let said = events(&world, "bad").await;
        (!said.is_empty()).then_some(said)
    };
    let said = eventually("an event about it", SOON, is_told).await;
    assert_eq!(said, [told]);
    world.set_secret("token", "key", "second").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[patch(&id, json!({"value": "second"}))]);
    seen.wrote_exactly(&["create events", "patch vaultsecrets/status token"]);

    let mark = world.mark().await;
    world.operator.restart().await;
    world.set_secret("token", "key", "third").await;
    let seen = world.since(&mark).await;
    assert_eq!(seen.requests.writes().len(), 1, "{:?}", seen.sent());
    assert_eq!(world.sim.value(&id).as_deref(), Some("third"));
    nowhere_but_in_the_object(&world).await;

    let began = Instant::now();
    world.edit_spec("bad", json!({"suspend": false})).await;
    cured(&world, "bad", began).await;
}

async fn nowhere_but_in_the_object(world: &World) {
    let said = world.kubectl(&["get", "events", "-o", "json"]).await.ok();
    for text in [said, world.operator.log()] {
        assert!(!text.contains("canary"), "{text}");
    }
}

/// Without the right to read Secrets the operator says so, and goes on by itself once it has it again.
#[tokio::test]
async fn a_right_that_is_taken_away_is_named_and_its_return_noticed() {
    let world = World::start().await;
    let (secret, key) = API_KEY_SECRET;
    let id = in_sync(&world, "token", "first").await;
    in_sync(&world, "steady", "first").await;
    let name = format!("{}:vaultsecret-operator", world.system);
    let roles: Api<Role> = Api::namespaced(world.client.clone(), &world.namespace);
    let role = roles.get(&name).await.expect("the chart's");
    let all = role.rules.expect("it has some");
    let others: Vec<_> = all
        .iter()
        .filter(|rule| rule.resources.as_deref() != Some(&["secrets".to_owned()]))
        .collect();
    assert_eq!(others.len() + 1, all.len());
    let permitted = |wanted: bool| {
        let world = &world;
        async move {
            let (user, namespace) = (&world.user, &world.namespace);
            let ask = [
                "auth", "can-i", "get", "secrets", "--as", user, "-n", namespace,
            ];
            eventually("the right is as wanted", SOON, || async {
                (world.kubectl(&ask).await.success == wanted).then_some(())
            })
            .await;
        }
    };

    let mark = world.mark().await;
    objects::merge(&roles, &name, json!({ "rules": others })).await;
    permitted(false).await;
    world.set_secret("token", "key", "second").await;
    let denied = retried(
        "ApiUnavailable",
        "Secret \"token\" could not be read: the operator may not read it (RBAC). It is tried again.",
    );
    says(&world, "token", &denied).await;
    let new_key = nairi_sim::api_key();
    world.sim.add_key(&new_key);
    fill(&world.secrets(), secret, &[(key, new_key.as_bytes())]).await;
    connection_says(
        &world,
        &retried(
            "SecretNotFound",
            format!("Secret \"{secret}\" can't be used: the operator may not read it (RBAC). Allow it to get Secrets; it is tried again."),
        ),
    )
    .await;
    let seen = world.seen(&mark);
    seen.sent_nothing();
    assert_eq!(events(&world, "steady").await, [SYNCED]);

    // Nothing else changes: there is no watch of rights.
    objects::merge(&roles, &name, json!({ "rules": all })).await;
    world.connected("Verified").await;
    world.synced("token").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list_vaults(), patch(&id, json!({"value": "second"}))]);
    let said = events(&world, "token").await;
    assert_eq!(said[..2], [SYNCED.to_owned(), denied.event()]);
}
