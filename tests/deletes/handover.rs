//! Several objects for one secret: it is deleted with the last of them, and an object that was renamed in Git
//! hands its secret over.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::*;

/// The value that the one who takes over can't know to be there already.
fn taken_over(id: &str) -> Sent {
    patch(id, json!({"value": "first"}))
}

/// A world with `token` in sync, that is older than whatever is created from now on: ages are counted in seconds.
async fn old(setup: Setup) -> (World, String) {
    let (world, id) = in_sync(setup).await;
    let created = world.get("token").await.metadata.creation_timestamp;
    let created = created.expect("it was created").0;
    eventually("another second", SOON, || async {
        let age = Timestamp::now().duration_since(created);
        (age >= SignedDuration::from_secs(1)).then_some(())
    })
    .await;
    (world, id)
}

/// The secret belongs to `renamed` now, and nothing was deleted.
async fn belongs_to_renamed(world: &World, mark: &Mark, id: &str) {
    world.gone("token").await;
    let object = world.synced("renamed").await;
    let status = object.status.expect("it is in sync");
    assert_eq!(status.secret_id.as_deref(), Some(id));
    let seen = world.since(mark).await;
    assert_eq!(writes(&seen), [taken_over(id)]);
    assert_eq!(world.sim.value(id).as_deref(), Some("first"));
    let said = reasons(world, "token").await;
    assert!(!said.contains(&"Deleted".to_owned()), "{said:?}");
    assert!(!said.contains(&"Released".to_owned()), "{said:?}");
}

/// As `kubectl apply --prune` and most GitOps tools do it.
#[tokio::test]
async fn a_new_name_and_then_the_old_one_goes() {
    let (world, id) = old(Setup::new()).await;
    let mark = world.mark().await;
    world.create(named(&world, "renamed").delete_remote()).await;
    world.reason("renamed", "Conflict").await;
    world.delete("token").await;
    belongs_to_renamed(&world, &mark, &id).await;

    // It is the new one's now, to be deleted with it.
    let mark = world.mark().await;
    world.delete("renamed").await;
    world.gone("renamed").await;
    assert_eq!(writes(&world.since(&mark).await), [delete(&id)]);
}

#[tokio::test]
async fn a_new_name_that_creates_what_is_missing() {
    let (world, id) = old(Setup::new()).await;
    let mark = world.mark().await;
    let renamed = named(&world, "renamed").delete_remote();
    world.create(renamed.create_if_missing()).await;
    world.reason("renamed", "Conflict").await;
    world.delete("token").await;
    belongs_to_renamed(&world, &mark, &id).await;
}

/// Under another policy, too: who takes over decides from then on.
#[tokio::test]
async fn a_new_name_that_retains() {
    let (world, id) = old(Setup::new()).await;
    let mark = world.mark().await;
    world.create(named(&world, "renamed").secret_id(&id)).await;
    world.reason("renamed", "Conflict").await;
    world.delete("token").await;
    belongs_to_renamed(&world, &mark, &id).await;
}

/// Both happen while no operator runs, in either order.
#[tokio::test]
async fn a_new_name_while_the_operator_was_down() {
    for new_first in [true, false] {
        let (mut world, id) = old(Setup::new()).await;
        let mark = world.mark().await;
        world.operator.stop().await;
        let renamed = named(&world, "renamed").delete_remote();
        if new_first {
            world.create(renamed).await;
            world.delete("token").await;
        } else {
            world.delete("token").await;
            world.create(renamed).await;
        }
        start(&mut world).await;
        belongs_to_renamed(&world, &mark, &id).await;
    }
}

/// The old one's deletion waits for the API, and the new one comes meanwhile.
#[tokio::test]
async fn a_new_name_while_the_old_one_can_not_be_deleted() {
    let (world, id) = old(Setup::new()).await;
    let mark = world.mark().await;
    let fault = world.sim.fault(Fault::status(500).method("DELETE"));
    world.delete("token").await;
    tried(&world, &mark, 1).await;
    world.create(named(&world, "renamed").delete_remote()).await;
    world.gone("token").await;
    fault.remove();
    world.synced("renamed").await;
    assert_eq!(world.sim.value(&id).as_deref(), Some("first"));
    let deleted = world.requests().since(mark.sim).method("DELETE");
    assert!(deleted.iter().all(|entry| !entry.applied), "{deleted:#?}");
}

#[tokio::test]
async fn the_loser_of_a_conflict_deletes_nothing() {
    let (world, id) = old(Setup::new()).await;
    world.create(named(&world, "loser").delete_remote()).await;
    world.reason("loser", "Conflict").await;
    let mark = world.mark().await;
    world.delete("loser").await;
    world.gone("loser").await;
    let seen = world.since(&mark).await;
    assert_eq!(writes(&seen), []);
    world.synced("token").await;
    is_true(&world, &id, "first").await;
}

/// Nobody is left who could take it over, so it goes.
#[tokio::test]
async fn the_last_ones_go_together() {
    let (world, id) = old(Setup::new()).await;
    world.create(named(&world, "loser").delete_remote()).await;
    world.reason("loser", "Conflict").await;
    let mark = world.mark().await;
    let all = ["delete", "--wait=false", "vaultsecret", "token", "loser"];
    world.kubectl(&all).await.ok();
    world.gone("token").await;
    world.gone("loser").await;
    nothing_is_left(&world);
    let seen = world.since(&mark).await;
    // kubectl deletes one after the other: the second may have taken over by then.
    let takeover = patch(&id, json!({"value": "first"}));
    let mut sent = writes(&seen);
    sent.retain(|sent| *sent != takeover);
    assert_eq!(sent, [delete(&id)]);
}

/// One that waits, and is not allowed to have it, can't take it over.
#[tokio::test]
async fn who_may_not_have_it_does_not_get_it() {
    let (world, id) = old(Setup::new()).await;
    let other = named(&world, "other").delete_remote();
    let nobody = vaultsecret_operator::api::ConnectionKind::VaultConnection;
    world.create(other.connection(nobody, "nobody")).await;
    world.reason("other", "ConnectionNotFound").await;
    let mark = world.mark().await;
    world.delete("token").await;
    world.gone("token").await;
    assert_eq!(writes(&world.since(&mark).await), [delete(&id)]);
    nothing_is_left(&world);
}

/// Kept by somebody else's finalizer, it has no say any more.
#[tokio::test]
async fn what_others_keep_gives_the_secret_up() {
    const THEIRS: &str = "example.com/theirs";
    let (world, id) = old(Setup::new()).await;
    let both = json!({"metadata": {"finalizers": [THEIRS, FINALIZER]}});
    world.edit("token", both).await;
    world.create(named(&world, "renamed")).await;
    world.reason("renamed", "Conflict").await;
    let mark = world.mark().await;
    // At once, as far as the operator can see.
    world.operator.signal("STOP");
    let retain = json!({"deletionPolicy": "Retain"});
    world.edit_spec("token", retain).await;
    world.delete("token").await;
    world.operator.signal("CONT");
    world.synced("renamed").await;
    assert_eq!(finalizers(&world.get("token").await), [THEIRS]);
    assert_eq!(writes(&world.since(&mark).await), [taken_over(&id)]);
    let none = json!({"metadata": {"finalizers": null}});
    world.edit("token", none).await;
    world.gone("token").await;
}
