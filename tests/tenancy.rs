//! Whose keys an operator touches: one for some namespaces leaves the connections of others to those who
//! watch them, though it sees them all.

use crate::support::*;

/// Another operator of the same cluster, for another namespace and with another API, never sends our key there.
#[tokio::test]
async fn a_connection_without_a_grant_for_its_namespaces_is_left_alone() {
    let world = Setup::new().cluster_connection().start().await;
    let theirs = Sim::start(Options::default()).await;
    let mut other = world.replica("other");
    let launch = other.launch();
    launch
        .args
        .retain(|arg| !arg.starts_with("--watch-namespace="));
    launch
        .args
        .push(format!("--watch-namespace={}", world.system));
    launch.args.push(format!("--api-url={}", theirs.url()));
    launch
        .args
        .retain(|arg| !arg.starts_with(&format!("--api-url={}", world.sim.url())));

    let mark = world.mark().await;
    other.start().await;
    // The other operator reconciles every connection before it could have anything else to do.
    let id = world.remote("TOKEN", "old", &[]);
    world.create_secret("source", &[("key", "new")]).await;
    let declared = world.vault_secret("token").env_key("TOKEN");
    world.create(declared.value_from("source", "key")).await;
    world.synced("token").await;
    other.stop().await;

    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list(&world.vault), patch(&id, json!({"value": "new"}))]);
    assert_eq!(theirs.log().all().len(), 0, "our key stayed with us");
    world.connected("Verified").await;
}
