//! What an object that is deleted leaves behind: nothing under `deletionPolicy: Delete`, everything under `Retain`,
//! and no namespace that hangs.
//!
//! | file | what happens |
//! |---|---|
//! | `main` | nothing out of the ordinary, and what must not be deleted |
//! | `answers` | what the API answers, the operator killed or away |
//! | `credentials` | the key or the connection is refused, or gone |
//! | `handover` | several objects for one secret, an object renamed in Git |
//! | `crowds` | a whole namespace, or the CustomResourceDefinitions, deleted at once |

mod answers;
mod credentials;
mod crowds;
mod handover;

use std::time::Duration;

use crate::aftermath::*;
use crate::support::*;
use nairi_sim::Entries;
use vaultsecret_operator::api::VaultSecret;

/// The finalizer of objects whose secret is to be deleted with them.
const FINALIZER: &str = "nairi.ai/remote-secret";

/// The write that sets or removes the finalizer of `token`.
const MARKED: &str = "patch vaultsecrets token";

/// `token`, whose secret is deleted with it: its value is key `key` of Secret `source`.
fn declared(world: &World) -> VaultSecretBuilder {
    named(world, "token").delete_remote()
}

/// An object of this name that declares the same, and leaves the secret alone when it is deleted.
fn named(world: &World, name: &str) -> VaultSecretBuilder {
    let declared = world.vault_secret(name).env_key("TOKEN");
    declared.value_from("source", "key").domains(DOMAINS)
}

/// A world with `token` in sync. Returns the id of the secret too.
async fn in_sync(setup: Setup) -> (World, String) {
    let world = setup.start().await;
    let id = world.remote("TOKEN", "old", &DOMAINS);
    world.create_secret("source", &[("key", "first")]).await;
    world.create(declared(&world)).await;
    world.synced("token").await;
    (world, id)
}

fn finalizers(object: &VaultSecret) -> &[String] {
    object.metadata.finalizers.as_deref().unwrap_or_default()
}

/// Waits until `token` has no finalizer any more.
async fn freed(world: &World) {
    world
        .until("token", "freed", |object| finalizers(object).is_empty())
        .await;
}

/// Waits until so many deletions have come to an end since the mark.
async fn tried(world: &World, mark: &Mark, count: usize) {
    let ended = |log: &Entries| log.since(mark.sim).method("DELETE").ended().len() >= count;
    let waited = world.sim.log().wait_for(ended, SOON).await;
    waited.expect("they end");
}

/// Nothing is in the vault.
#[track_caller]
fn nothing_is_left(world: &World) {
    let left = world.sim.secrets(&world.vault);
    assert!(left.is_empty(), "{left:#?}");
}

/// The reasons of the events about an object, and how often each was published.
async fn reasons(world: &World, name: &str) -> Vec<String> {
    let events = world.events(name).await;
    events.into_iter().map(|(reason, _)| reason).collect()
}

/// Before anything is written to Nairi the object can't disappear without us.
#[tokio::test]
async fn the_finalizer_comes_before_the_first_write() {
    for creates in [false, true] {
        let world = World::start().await;
        world.create_secret("source", &[("key", "first")]).await;
        let mut object = declared(&world);
        if creates {
            object = object.create_if_missing();
        } else {
            world.remote("TOKEN", "old", &DOMAINS);
        }
        let mark = world.mark().await;
        let fault = world.sim.fault(Fault::stall().writes().vault(&world.vault));
        world.create(object).await;
        held(&fault).await;
        let held = world.get("token").await;
        assert_eq!(finalizers(&held), [FINALIZER]);
        assert_eq!(
            held.status.and_then(|status| status.secret_id),
            None,
            "nothing is known of it so far"
        );
        fault.remove();
        world.synced("token").await;
        let seen = world.since(&mark).await;
        let events = if creates { 2 } else { 1 };
        let mut expected = vec![MARKED, STATUS];
        expected.extend(vec!["create events"; events]);
        seen.wrote_exactly(&expected);
    }
}

#[tokio::test]
async fn a_deleted_object_takes_its_secret_with_it() {
    let (world, id) = in_sync(Setup::new()).await;
    let mark = world.mark().await;
    world.delete("token").await;
    world.gone("token").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[delete(&id)]);
    seen.wrote_exactly(&[MARKED, "create events"]);
    nothing_is_left(&world);
    assert_eq!(reasons(&world, "token").await, ["Synced", "Deleted"]);
}

#[tokio::test]
async fn what_was_created_is_deleted_and_created_anew() {
    let world = World::start().await;
    world.create_secret("source", &[("key", "first")]).await;
    for _ in 0..2 {
        let mark = world.mark().await;
        world.create(declared(&world).create_if_missing()).await;
        let object = world.synced("token").await;
        let id = object.status.and_then(|status| status.secret_id);
        let id = id.expect("it is bound");
        world.delete("token").await;
        world.gone("token").await;
        let seen = world.since(&mark).await;
        let body = json!({"env_key": "TOKEN", "value": "first", "allowed_domains": DOMAINS});
        seen.sent_exactly(&[list(&world.vault), post(&world.vault, body), delete(&id)]);
        nothing_is_left(&world);
    }
}

#[tokio::test]
async fn without_the_policy_nothing_is_deleted() {
    let world = World::start().await;
    let id = world.remote("TOKEN", "old", &DOMAINS);
    world.create_secret("source", &[("key", "first")]).await;
    world.create(named(&world, "token")).await;
    let object = world.synced("token").await;
    assert_eq!(finalizers(&object), [""; 0]);
    let mark = world.mark().await;
    world.delete("token").await;
    world.gone("token").await;
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    seen.wrote_nothing();
    assert_eq!(world.sim.value(&id).as_deref(), Some("first"));
}

#[tokio::test]
async fn the_policy_counts_that_holds_when_it_is_deleted() {
    let (world, id) = in_sync(Setup::new()).await;
    let mark = world.mark().await;
    let retain = json!({"deletionPolicy": "Retain"});
    world.edit_spec("token", retain.clone()).await;
    freed(&world).await;
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    seen.wrote_exactly(&[MARKED, STATUS]);

    let mark = world.mark().await;
    let delete = json!({"deletionPolicy": "Delete"});
    world.edit_spec("token", delete).await;
    let marked = |object: &VaultSecret| finalizers(object) == [FINALIZER];
    world.until("token", "marked", marked).await;
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    seen.wrote_exactly(&[MARKED, STATUS]);

    let mark = world.mark().await;
    world.edit_spec("token", retain).await;
    world.delete("token").await;
    world.gone("token").await;
    world.since(&mark).await.sent_nothing();
    assert_eq!(world.sim.value(&id).as_deref(), Some("first"));
}

/// Kubernetes keeps an object for as long as anybody wants: we are done once.
#[tokio::test]
async fn the_finalizers_of_others_are_left_alone() {
    const THEIRS: &str = "example.com/theirs";
    let (world, id) = in_sync(Setup::new()).await;
    let both = json!({"metadata": {"finalizers": [THEIRS, FINALIZER]}});
    world.edit("token", both).await;
    let mark = world.mark().await;
    world.delete("token").await;
    world
        .until("token", "theirs alone", |object| {
            finalizers(object) == [THEIRS]
        })
        .await;
    let note = json!({"metadata": {"annotations": {"note": "still here"}}});
    world.edit("token", note).await;
    rotate(&world, "second").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[delete(&id)]);
    seen.wrote_exactly(&[MARKED, "create events"]);
    world
        .edit("token", json!({"metadata": {"finalizers": null}}))
        .await;
    world.gone("token").await;
    world.since(&mark).await.sent_exactly(&[delete(&id)]);
}

/// What was never shown to be ours is not deleted.
#[tokio::test]
async fn an_object_that_was_never_bound_deletes_nothing() {
    let world = World::start().await;
    world.create_secret("source", &[("key", "first")]).await;
    let other = world.remote("OTHER", "theirs", &DOMAINS);
    for (object, reason) in [
        (declared(&world), "RemoteNotFound"),
        (declared(&world).secret_id(&other), "EnvKeyMismatch"),
        (
            declared(&world).env_key("OTHER").value_from("source", "no"),
            "SourceKeyNotFound",
        ),
    ] {
        world.create(object).await;
        world.reason("token", reason).await;
        let mark = world.mark().await;
        world.delete("token").await;
        world.gone("token").await;
        assert_eq!(writes(&world.since(&mark).await), [], "{reason}");
    }
    assert_eq!(world.sim.value(&other).as_deref(), Some("theirs"));
}

#[tokio::test]
async fn a_suspended_object_deletes_nothing() {
    let (world, id) = in_sync(Setup::new()).await;
    world.edit_spec("token", json!({"suspend": true})).await;
    let mark = world.mark().await;
    world.delete("token").await;
    world.gone("token").await;
    world.since(&mark).await.sent_nothing();
    assert_eq!(world.sim.value(&id).as_deref(), Some("first"));
}

/// A deletion that waits is freed by a suspension as well.
#[tokio::test]
async fn a_suspension_frees_what_is_being_deleted() {
    let (world, id) = in_sync(Setup::new()).await;
    let mark = world.mark().await;
    world.sim.fault(Fault::status(500).method("DELETE"));
    world.delete("token").await;
    tried(&world, &mark, 1).await;
    world.edit_spec("token", json!({"suspend": true})).await;
    world.gone("token").await;
    assert_eq!(world.sim.value(&id).as_deref(), Some("first"));
}

#[tokio::test]
async fn an_object_that_is_no_longer_permitted_deletes_nothing() {
    let (world, id) = in_sync(Setup::new().cluster_connection()).await;
    let none = json!({"spec": {"grants": []}});
    let connections = world.cluster_vault_connections();
    objects::merge(&connections, &world.connection.name, none).await;
    world.reason("token", "NotPermitted").await;
    let mark = world.mark().await;
    world.delete("token").await;
    world.gone("token").await;
    world.since(&mark).await.sent_nothing();
    assert_eq!(world.sim.value(&id).as_deref(), Some("first"));
}

#[tokio::test]
async fn an_object_that_was_never_permitted_is_not_held() {
    let world = Setup::new().cluster_connection().start().await;
    world.create_secret("source", &[("key", "first")]).await;
    let theirs = world.sim.add_vault(NewVault::default());
    let mark = world.mark().await;
    world.create(declared(&world).vault(&theirs)).await;
    let object = world.reason("token", "NotPermitted").await;
    assert_eq!(finalizers(&object), [""; 0]);
    world.delete("token").await;
    world.gone("token").await;
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    seen.wrote_exactly(&[STATUS, "create events"]);
}

/// The value is on its way when the object is deleted.
#[tokio::test]
async fn a_patch_under_way_ends_first() {
    let (world, id) = in_sync(Setup::new()).await;
    let mark = world.mark().await;
    let fault = hold(&world, &id, true);
    rotate(&world, "second").await;
    held(&fault).await;
    world.delete("token").await;
    noticed(&world).await;
    fault.release();
    world.gone("token").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[patch(&id, json!({"value": "second"})), delete(&id)]);
    nothing_is_left(&world);
}
