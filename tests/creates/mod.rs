//! What is missing in the vault is created where that is asked for: once, with every field, and never twice
//! whatever gets lost on the way.
//!
//! | file | what happens |
//! |---|---|
//! | `main` | nothing out of the ordinary |
//! | `refused` | the API refuses the creation |
//! | `lost` | answers get lost, and the operator is killed |
//! | `lists` | lists that lag behind |
//! | `rivals` | several objects, or somebody else, create the same secret |
//! | `deleted` | somebody else deletes what was created |

mod deleted;
mod lists;
mod lost;
mod refused;
mod rivals;

use std::time::Duration;

use crate::aftermath::*;
use crate::support::*;
use nairi_sim::{Duplicate, Entries, Lag, Stored};

/// `token`, whose secret is created if it is missing: its value is key `key` of Secret `source`.
fn declared(world: &World) -> VaultSecretBuilder {
    named(world, "token").create_if_missing()
}

/// An object of this name that declares the same, and creates nothing.
fn named(world: &World, name: &str) -> VaultSecretBuilder {
    let declared = world.vault_secret(name).env_key("TOKEN");
    declared.value_from("source", "key").domains(DOMAINS)
}

/// A world with an empty vault, and with Secret `source`, whose key `key` is `first`.
async fn empty(setup: Setup) -> World {
    let world = setup.start().await;
    world.create_secret("source", &[("key", "first")]).await;
    world
}

/// What creates the secret of `token`.
fn creation(world: &World) -> Sent {
    let body = json!({"env_key": "TOKEN", "value": "first", "allowed_domains": DOMAINS});
    post(&world.vault, body)
}

/// What the list's knowledge leaves to be sent to a secret as it was created: its value, that nobody can read.
fn adoption(id: &str) -> Sent {
    patch(id, json!({"value": "first"}))
}

/// The one secret of the vault.
#[track_caller]
fn only(world: &World) -> Stored {
    let mut all = world.sim.secrets(&world.vault);
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

/// The vault's one secret is what `token` declares, and the status of `token` says the truth about it.
async fn is_created(world: &World) -> String {
    world.synced("token").await;
    let stored = only(world);
    assert_eq!(stored.env_key, "TOKEN");
    assert_eq!(json!(stored.allowed_domains), json!(DOMAINS));
    let status = is_true(world, &stored.id, "first").await;
    assert_eq!(status.env_key.as_deref(), Some("TOKEN"));
    assert_eq!(status.created_at, Some(stored.created_at));
    stored.id
}

/// The creations that were tried since the mark.
fn posts(world: &World, mark: &Mark) -> Entries {
    world.requests().since(mark.sim).method("POST")
}

/// Waits until so many creations have come to an end since the mark.
async fn posted(world: &World, mark: &Mark, count: usize) {
    let ended = |log: &Entries| log.since(mark.sim).method("POST").ended().len() >= count;
    let waited = world.sim.log().wait_for(ended, SOON).await;
    waited.expect("they end");
}

/// Waits until the vault was listed so often since the mark.
async fn listed(world: &World, mark: &Mark, count: usize) {
    let path = format!("{}/vaults/{}/secrets", nairi_sim::BASE, world.vault);
    let lists = |log: &Entries| {
        let since = log.since(mark.sim).method("GET").ended();
        since.only(|entry| entry.path == path).len() >= count
    };
    let waited = world.sim.log().wait_for(lists, SOON).await;
    waited.expect("it is listed");
}

/// The sorted reasons of the events about an object.
async fn reasons(world: &World, name: &str) -> Vec<String> {
    let events = world.events(name).await;
    let mut reasons: Vec<_> = events.into_iter().map(|(reason, _)| reason).collect();
    reasons.sort();
    reasons
}

#[tokio::test]
async fn a_missing_secret_is_created_once() {
    let mut world = empty(Setup::new()).await;
    let mark = world.mark().await;
    world.create(declared(&world)).await;
    let id = is_created(&world).await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list(&world.vault), creation(&world)]);
    let body = r#"{"env_key":"TOKEN","value":"first","allowed_domains":["api.example.com"]}"#;
    assert_eq!(posts(&world, &mark)[0].body, body);
    seen.wrote_exactly(&[STATUS, "create events", "create events"]);
    assert_eq!(reasons(&world, "token").await, ["Created", "Synced"]);
    let status = world.get("token").await.status.expect("it is in sync");
    assert_eq!(json!(status.applied_domains), json!(DOMAINS));
    let last = status.last_patch.expect("something was sent");
    assert_eq!(json!(last.fields), json!(["value", "allowedDomains"]));
    assert!(status.source_version.is_some());
    a_restart_does_nothing(&mut world).await;

    let mark = world.mark().await;
    rotate(&world, "second").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[patch(&id, json!({"value": "second"}))]);
    is_true(&world, &id, "second").await;
}

#[tokio::test]
async fn a_secret_that_exists_is_adopted() {
    let world = empty(Setup::new()).await;
    let id = world.remote("TOKEN", "theirs", &["theirs.example.com"]);
    let mark = world.mark().await;
    world.create(declared(&world)).await;
    assert_eq!(is_created(&world).await, id);
    let seen = world.since(&mark).await;
    let whole = json!({"value": "first", "allowed_domains": DOMAINS});
    seen.sent_exactly(&[list(&world.vault), patch(&id, whole)]);
    seen.wrote_exactly(&[STATUS, "create events"]);
    assert_eq!(reasons(&world, "token").await, ["Synced"]);
}

#[tokio::test]
async fn without_the_policy_nothing_is_created() {
    let world = empty(Setup::new()).await;
    let mark = world.mark().await;
    world.create(named(&world, "token")).await;
    world.reason("token", "RemoteNotFound").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list(&world.vault)]);
    assert_eq!(world.sim.secrets(&world.vault), []);

    let mark = world.mark().await;
    world
        .edit_spec("token", json!({"creationPolicy": "IfMissing"}))
        .await;
    is_created(&world).await;
    let seen = world.since(&mark).await;
    assert_eq!(writes(&seen), [creation(&world)]);
}

/// A secret without its value would be of no use to anybody.
#[tokio::test]
async fn nothing_is_created_before_there_is_a_value() {
    let world = World::start().await;
    let mark = world.mark().await;
    world.create(declared(&world)).await;
    world.reason("token", "SourceNotFound").await;
    world.create_secret("source", &[("key", "")]).await;
    world.reason("token", "InvalidValue").await;
    assert_eq!(posts(&world, &mark).len(), 0);
    rotate(&world, "first").await;
    is_created(&world).await;
    let seen = world.since(&mark).await;
    assert_eq!(writes(&seen), [creation(&world)]);
}

#[tokio::test]
async fn a_secret_for_any_destination_needs_to_be_meant() {
    let world = empty(Setup::new()).await;
    let mark = world.mark().await;
    world.create_refused(declared(&world).domains([])).await;
    world.create_refused(declared(&world).domains(["*"])).await;
    world.since(&mark).await.sent_nothing();

    world
        .create(declared(&world).domains([]).allow_unrestricted())
        .await;
    world.synced("token").await;
    let seen = world.since(&mark).await;
    let body = json!({"env_key": "TOKEN", "value": "first", "allowed_domains": []});
    seen.sent_exactly(&[list(&world.vault), post(&world.vault, body)]);
    let status = world.get("token").await.status.expect("it is in sync");
    assert_eq!(status.allowed_domains, Some(vec![]));
    let created = only(&world).id;
    is_true(&world, &created, "first").await;
}

/// One look at the vault is enough for all, and each is created once.
#[tokio::test]
async fn many_are_created_side_by_side() {
    const MANY: usize = 20;
    let mut world = empty(Setup::new().unstarted()).await;
    let mark = world.mark_now();
    for n in 0..MANY {
        let name = format!("many-{n:02}");
        let key = format!("MANY_{n:02}");
        world
            .create(named(&world, &name).env_key(&key).create_if_missing())
            .await;
    }
    world.start_operator().await;
    for n in 0..MANY {
        world.synced(&format!("many-{n:02}")).await;
    }
    let seen = world.since(&mark).await;
    assert_eq!(reads(&seen), [list(&world.vault)]);
    let mut keys: Vec<_> = posts(&world, &mark)
        .iter()
        .map(|entry| entry.json().expect("JSON")["env_key"].to_string())
        .collect();
    keys.sort();
    let expected: Vec<_> = (0..MANY).map(|n| format!("\"MANY_{n:02}\"")).collect();
    assert_eq!(keys, expected);
    assert_eq!(writes(&seen).len(), MANY);
    assert_eq!(world.sim.secrets(&world.vault).len(), MANY);
}
