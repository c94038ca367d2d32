//! A whole namespace deleted at once, with the connection and the key in it; and the CustomResourceDefinitions.

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use nairi_sim::Stored;

use super::*;

const MANY: usize = 20;

/// How soon a namespace goes: Kubernetes looks again after some seconds, and after more the next time.
const NAMESPACE: Duration = Duration::from_mins(3);

fn name(n: usize) -> String {
    format!("many-{n:02}")
}

/// A world with 20 objects in sync. There is no barrier, which would hold nothing up but the test.
async fn many(setup: Setup) -> World {
    let world = setup.without_barrier().start().await;
    world.create_secret("source", &[("key", "first")]).await;
    for n in 0..MANY {
        let key = format!("MANY_{n:02}");
        let object = named(&world, &name(n)).env_key(&key).delete_remote();
        world.create(object.create_if_missing()).await;
    }
    for n in 0..MANY {
        world.synced(&name(n)).await;
    }
    assert_eq!(stored(&world).len(), MANY);
    world
}

fn stored(world: &World) -> Vec<Stored> {
    world.sim.secrets(&world.vault)
}

/// Deletes the world's namespace, without waiting for its end.
async fn delete_namespace(world: &World) {
    let api: Api<Namespace> = Api::all(world.client.clone());
    let deleted = api.delete(&world.namespace, &DeleteParams::default()).await;
    deleted.expect("it exists");
}

/// Waits until nothing of ours holds the namespace up, and it is gone.
async fn namespace_gone(world: &World) {
    eventually("the objects go", SOON, || async {
        let left = world.vault_secrets().list(&ListParams::default()).await;
        left.expect("an answer").items.is_empty().then_some(())
    })
    .await;
    let api: Api<Namespace> = Api::all(world.client.clone());
    eventually("the namespace goes", NAMESPACE, || async {
        let found = api.get_opt(&world.namespace).await.expect("an answer");
        found.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_namespace_goes_and_takes_its_secrets_with_it() {
    let world = many(Setup::new().rights_for_all()).await;
    let mark = world.mark_now();
    delete_namespace(&world).await;
    namespace_gone(&world).await;
    let log = world.operator.log();
    assert!(!log.contains("could not publish an event"), "{log}");
    let left = stored(&world);
    assert!(left.is_empty(), "{left:#?}");
    let deleted = world.requests().since(mark.sim).writes();
    assert_eq!(deleted.len(), MANY, "{deleted:#?}");
    assert!(deleted.iter().all(|entry| entry.method == "DELETE"));
}

/// Nobody can delete the secrets, and the namespace goes all the same.
#[tokio::test]
async fn a_namespace_goes_whose_key_was_revoked() {
    let world = many(Setup::new().rights_for_all().flag("--deletion-grace=3s")).await;
    world.sim.revoke_key(world.sim.api_key());
    let before = stored(&world);
    delete_namespace(&world).await;
    namespace_gone(&world).await;
    assert_eq!(stored(&world), before);
    for Stored { id, env_key, .. } in &before {
        world
            .operator
            .wait_log("each is named", |line| {
                let whole = line.to_string();
                let named = [id, env_key, &world.vault];
                line["level"] == "WARN" && named.iter().all(|text| whole.contains(*text))
            })
            .await;
    }
    let metrics = world.operator.metrics().await;
    let released = metrics.sum("vaultsecret_released_total");
    assert!((released - 20.0).abs() < f64::EPSILON, "{released}");
}

/// The API can't be reached while the namespace goes: that is waited for.
#[tokio::test]
async fn a_namespace_waits_for_an_api_that_is_away() {
    let world = many(Setup::new().rights_for_all().flag("--deletion-grace=1s")).await;
    world.sim.pause().await.expect("an outage");
    delete_namespace(&world).await;
    world
        .until(&name(0), "blocked", |object| {
            let ready = objects::condition(object, "Ready");
            ready.is_some_and(|ready| ready.status == "False")
        })
        .await;
    assert_eq!(stored(&world).len(), MANY);
    world.sim.resume().await.expect("the same port");
    namespace_gone(&world).await;
    let left = stored(&world);
    assert!(left.is_empty(), "{left:#?}");
}

/// Somebody deletes the definitions, and the objects with them; once they are back the operator goes on.
#[tokio::test]
async fn the_definitions_go_and_come_back() {
    let mut world = many(Setup::new().alone()).await;
    let crds = vaultsecret_operator::crds::yaml();
    let delete = ["delete", "--timeout=60s", "-f", "-"];
    world.cluster.kubectl_with(&delete, &crds).await.ok();
    let left = stored(&world);
    assert!(left.is_empty(), "{left:#?}");
    assert!(world.operator.ended().is_none(), "it runs on");

    let apply = ["apply", "--server-side", "-f", "-"];
    world.cluster.kubectl_with(&apply, &crds).await.ok();
    let established = [
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "-f",
        "-",
    ];
    world.cluster.kubectl_with(&established, &crds).await.ok();
    world.connect().await;
    world.create(declared(&world).create_if_missing()).await;
    world.synced("token").await;
    assert_eq!(stored(&world).len(), 1);
}
