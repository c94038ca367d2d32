//! The key is refused, or gone, or its connection is, when an object is deleted: what was used last is used once
//! more, and where nothing helps the object is released, and what stays behind is named.

use std::time::Instant;

use super::*;

/// How long a deletion waits for credentials, in these tests.
const GRACE: Duration = Duration::from_secs(3);

fn impatient() -> Setup {
    Setup::new().flag("--deletion-grace=3s")
}

/// The warning that a secret was left behind: its line in the log.
async fn left_behind(world: &World, id: &str) {
    let texts = [id, "TOKEN", &world.vault];
    world
        .operator
        .wait_log("a line that names what stays behind", |line| {
            let whole = line.to_string();
            line["level"] == "WARN" && texts.iter().all(|text| whole.contains(text))
        })
        .await;
    let events = world.events("token").await;
    let (_, note) = events
        .iter()
        .find(|(reason, _)| reason == "Released")
        .expect("an event");
    for text in texts {
        assert!(note.contains(text), "{text} in {note}");
    }
    let metrics = world.operator.metrics().await;
    assert!((metrics.sum("vaultsecret_released_total") - 1.0).abs() < f64::EPSILON);
    assert_eq!(world.sim.value(id).as_deref(), Some("first"));
}

#[tokio::test]
async fn a_revoked_key_blocks_for_a_while() {
    let (world, id) = in_sync(impatient()).await;
    let mark = world.mark().await;
    world.sim.revoke_key(world.sim.api_key());
    let began = Instant::now();
    world.delete("token").await;
    world.reason("token", "DeletionBlocked").await;
    world.gone("token").await;
    assert!(began.elapsed() >= GRACE, "too soon");
    let tried = world.requests().since(mark.sim).method("DELETE").len();
    assert!(tried <= 2, "{tried} deletions with a revoked key");
    left_behind(&world, &id).await;
}

/// The key was refused long before: nothing more is sent with it.
#[tokio::test]
async fn a_key_that_was_revoked_before() {
    let (world, id) = in_sync(impatient()).await;
    world.sim.revoke_key(world.sim.api_key());
    rotate(&world, "second").await;
    world.reason("token", "Unauthorized").await;
    let mark = world.mark_now();
    world.delete("token").await;
    world.gone("token").await;
    let tried = world.requests().since(mark.sim).method("DELETE").len();
    assert_eq!(tried, 0, "deletions with a key that is known to be refused");
    left_behind(&world, &id).await;
}

#[tokio::test]
async fn a_new_key_in_time_deletes_it() {
    let (world, _) = in_sync(Setup::new()).await;
    world.sim.revoke_key(world.sim.api_key());
    world.delete("token").await;
    world.reason("token", "DeletionBlocked").await;
    let key = nairi_sim::api_key();
    world.sim.add_key(&key);
    let (secret, field) = API_KEY_SECRET;
    world.set_secret(secret, field, &key).await;
    world.gone("token").await;
    nothing_is_left(&world);
}

#[tokio::test]
async fn retain_frees_a_deletion_that_is_blocked() {
    let (world, id) = in_sync(Setup::new()).await;
    world.sim.revoke_key(world.sim.api_key());
    world.delete("token").await;
    world.reason("token", "DeletionBlocked").await;
    let began = Instant::now();
    let retain = json!({"deletionPolicy": "Retain"});
    world.edit_spec("token", retain).await;
    world.gone("token").await;
    assert!(began.elapsed() < Duration::from_secs(6), "not at once");
    assert_eq!(world.sim.value(&id).as_deref(), Some("first"));
    let said = reasons(&world, "token").await;
    assert!(!said.contains(&"Released".to_owned()), "{said:?}");
}

/// A grace of zero waits for ever.
#[tokio::test]
async fn without_a_grace_it_is_never_released() {
    let (world, _) = in_sync(Setup::new().flag("--deletion-grace=0s")).await;
    world.sim.revoke_key(world.sim.api_key());
    world.delete("token").await;
    world.reason("token", "DeletionBlocked").await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(finalizers(&world.get("token").await), [FINALIZER]);
    let key = nairi_sim::api_key();
    world.sim.add_key(&key);
    let (secret, field) = API_KEY_SECRET;
    world.set_secret(secret, field, &key).await;
    world.gone("token").await;
    nothing_is_left(&world);
}

/// A new process does not begin to count anew for ever, nor does it release at once.
#[tokio::test]
async fn a_restart_while_it_is_blocked() {
    let (mut world, id) = in_sync(impatient()).await;
    world.sim.revoke_key(world.sim.api_key());
    world.delete("token").await;
    world.reason("token", "DeletionBlocked").await;
    world.operator.stop().await;
    world.operator.start().await;
    world.gone("token").await;
    left_behind(&world, &id).await;
}

/// A deletion that the API refused for a while had a key all that time.
#[tokio::test]
async fn a_key_that_is_revoked_after_a_refusal() {
    let (mut world, id) = in_sync(impatient()).await;
    let refused = world.sim.fault(Fault::status(403).method("DELETE"));
    world.delete("token").await;
    world.reason("token", "Rejected").await;
    // Longer than the grace: it has not begun.
    tokio::time::sleep(GRACE).await;
    refused.remove();
    world.operator.stop().await;
    world.sim.revoke_key(world.sim.api_key());
    let began = Instant::now();
    world.operator.start().await;
    world.reason("token", "DeletionBlocked").await;
    world.gone("token").await;
    assert!(began.elapsed() >= GRACE, "too soon");
    left_behind(&world, &id).await;
}

/// The Secret with the key is deleted first: the key is still in memory.
#[tokio::test]
async fn a_key_that_went_first() {
    let (world, id) = in_sync(Setup::new()).await;
    let mark = world.mark().await;
    world.delete_secret(API_KEY_SECRET.0).await;
    world.connected("SecretNotFound").await;
    world.delete("token").await;
    world.gone("token").await;
    assert_eq!(writes(&world.since(&mark).await), [delete(&id)]);
    nothing_is_left(&world);
}

async fn disconnect(world: &World) {
    let deleted = world
        .vault_connections()
        .delete(&world.connection.name, &kube::api::DeleteParams::default())
        .await;
    deleted.expect("it exists");
}

/// The connection is deleted first: where it was and with which key is still in memory.
#[tokio::test]
async fn a_connection_that_went_first() {
    let (world, id) = in_sync(Setup::new()).await;
    let mark = world.mark().await;
    disconnect(&world).await;
    world.delete("token").await;
    world.gone("token").await;
    assert_eq!(writes(&world.since(&mark).await), [delete(&id)]);
    nothing_is_left(&world);
}

#[tokio::test]
async fn a_connection_and_a_key_that_went_first() {
    let (world, id) = in_sync(Setup::new()).await;
    let mark = world.mark().await;
    disconnect(&world).await;
    world.delete_secret(API_KEY_SECRET.0).await;
    world.delete_secret("source").await;
    // Nothing of it is there any more, as far as the operator sees.
    world.mark().await;
    world.delete("token").await;
    world.gone("token").await;
    assert_eq!(writes(&world.since(&mark).await), [delete(&id)]);
    nothing_is_left(&world);
}

/// The one that remembers is gone as well: nobody can delete the secret, and it is named.
#[tokio::test]
async fn a_key_that_nobody_remembers() {
    let (mut world, id) = in_sync(impatient()).await;
    world.operator.stop().await;
    disconnect(&world).await;
    world.delete_secret(API_KEY_SECRET.0).await;
    world.delete("token").await;
    let began = Instant::now();
    world.operator.start().await;
    world.gone("token").await;
    assert!(began.elapsed() >= GRACE, "too soon");
    left_behind(&world, &id).await;
}

/// The connection comes back in time.
#[tokio::test]
async fn a_connection_that_comes_back_in_time() {
    let (mut world, _) = in_sync(Setup::new()).await;
    world.operator.stop().await;
    disconnect(&world).await;
    world.delete("token").await;
    world.operator.start().await;
    world.reason("token", "DeletionBlocked").await;
    world.connect().await;
    world.gone("token").await;
    nothing_is_left(&world);
}
