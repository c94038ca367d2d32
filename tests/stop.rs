//! SIGTERM: no new work is begun, what is under way is finished, and the process ends well and in time.

use std::time::{Duration, Instant};

use crate::support::*;

#[tokio::test]
async fn what_is_under_way_is_finished() {
    let mut world = World::start().await;
    let id = world.remote("TOKEN", "old", &["api.example.com"]);
    world.create_secret("source", &[("key", "first")]).await;
    let declared = world.vault_secret("token").env_key("TOKEN");
    world.create(declared.value_from("source", "key")).await;
    world.synced("token").await;

    let mark = world.mark().await;
    let slow = world
        .sim
        .fault(Fault::delay(Duration::from_secs(2)).secret(&id).once());
    world.set_secret("source", "key", "second").await;
    world
        .sim
        .log()
        .wait_for(|log| log.since(mark.sim).secret(&id).len() == 1, SOON)
        .await
        .expect("the PATCH is under way");
    world.operator.stop().await;
    assert_eq!(slow.fired(), 1);
    let seen = world.seen(&mark);
    seen.sent_exactly(&[patch(&id, json!({"value": "second"}))]);
    seen.wrote_exactly(&["patch vaultsecrets/status token"]);
    let status = world.get("token").await.status.expect("it is synced");
    assert_eq!(status.updated_at, world.sim.updated_at(&id));
}

/// The next process takes up what waits for its next try.
#[tokio::test]
async fn what_waits_for_another_try_is_not_waited_for() {
    let mut world = World::start().await;
    let id = world.remote("TOKEN", "old", &["api.example.com"]);
    world.create_secret("source", &[("key", "first")]).await;
    world.sim.fault(Fault::status(500).secret(&id));
    let declared = world.vault_secret("token").env_key("TOKEN");
    world.create(declared.value_from("source", "key")).await;
    world.reason("token", "ApiUnavailable").await;
    let asked = Instant::now();
    world.operator.stop().await;
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}
