//! Creations that the API refuses: said once, with what to do about it, and nothing is hammered.

use super::*;

/// Longer than it takes to look at the vault a few times at this interval.
const SWEEPS: &str = "--resync-interval=1s";

#[tokio::test]
async fn a_creation_that_is_refused_is_not_tried_again_and_again() {
    let world = empty(Setup::new().flag(SWEEPS)).await;
    let mark = world.mark().await;
    // The service keeps these names for itself.
    world.create(declared(&world).env_key("NAIRI_TOKEN")).await;
    let object = world.reason("token", "Rejected").await;
    let ready = objects::condition(&object, "Ready").expect("a condition");
    assert!(ready.message.contains("400"), "{}", ready.message);
    // No text of the server is relayed: the request carried a value.
    assert!(!ready.message.contains("reserved"), "{}", ready.message);
    let stalled = objects::condition(&object, "Stalled").expect("it waits for a human");
    assert_eq!(stalled.status, "True");
    listed(&world, &mark, 5).await;
    let one = |log: &Entries| log.since(mark.sim).method("POST").len() == 1;
    let stays = world.sim.log().stays(one, Duration::from_secs(2)).await;
    stays.expect("it is tried once");
    assert_eq!(reasons(&world, "token").await, ["Rejected"]);
    assert_eq!(world.sim.secrets(&world.vault), []);

    world.edit_spec("token", json!({"envKey": "TOKEN"})).await;
    is_created(&world).await;
    assert_eq!(posts(&world, &mark).len(), 2);
}

#[tokio::test]
async fn a_vault_that_is_gone_when_it_comes_to_it() {
    let world = empty(Setup::new()).await;
    let mark = world.mark().await;
    world.sim.fault(Fault::status(404).method("POST").once());
    world.create(declared(&world)).await;
    world.reason("token", "RemoteNotFound").await;
    let seen = world.since(&mark).await;
    assert_eq!(writes(&seen), [creation(&world)]);
}

/// Something in between, as it may be in between for a while.
#[tokio::test]
async fn a_page_of_something_in_between_says_nothing() {
    let world = empty(Setup::new()).await;
    let mark = world.mark().await;
    let page = nairi_sim::Answer::new(404, "<html>").header("content-type", "text/html");
    let fault = world.sim.fault(Fault::answer(page).method("POST").once());
    world.create(declared(&world)).await;
    is_created(&world).await;
    assert_eq!(fault.fired(), 1);
    assert_eq!(posts(&world, &mark).len(), 2);
}

#[tokio::test]
async fn a_pause_that_the_server_asks_for_is_kept() {
    let world = empty(Setup::new()).await;
    let mark = world.mark().await;
    let pause = Fault::retry_after(429, "3").method("POST").once();
    world.sim.fault(pause);
    world.create(declared(&world)).await;
    world.reason("token", "RateLimited").await;
    is_created(&world).await;
    let tried = posts(&world, &mark);
    assert_eq!(tried.len(), 2);
    let paused = tried[1].arrived - tried[0].arrived;
    assert!(paused >= Duration::from_millis(2900), "{paused:?}");
}

#[tokio::test]
async fn a_key_that_is_revoked_when_it_comes_to_it() {
    let world = empty(Setup::new()).await;
    let mark = world.mark().await;
    let fault = world.sim.fault(Fault::stall().method("POST").once());
    world.create(declared(&world)).await;
    held(&fault).await;
    world.sim.revoke_key(world.sim.api_key());
    fault.release();
    world.reason("token", "Unauthorized").await;
    assert_eq!(posts(&world, &mark).len(), 1);
    assert_eq!(world.sim.secrets(&world.vault), []);

    let key = nairi_sim::api_key();
    world.sim.add_key(&key);
    world
        .set_secret(API_KEY_SECRET.0, API_KEY_SECRET.1, &key)
        .await;
    is_created(&world).await;
    assert_eq!(posts(&world, &mark).len(), 2);
}
