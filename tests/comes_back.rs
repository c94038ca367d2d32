//! What goes and comes back, and what comes all at once: Secrets, objects, the fingerprint key, two hundred of them.

use std::{collections::BTreeSet, time::Duration};

use crate::aftermath::*;
use crate::support::*;
use futures::StreamExt as _;
use kube::api::DeleteParams;
use vaultsecret_operator::{api::VaultSecret, fingerprint::keeper};

/// How many objects come at once.
const MANY: usize = 200;

#[tokio::test]
async fn a_secret_that_is_made_again_with_the_same_content() {
    let (mut world, id) = token(Setup::new()).await;
    let mark = world.mark().await;
    world.delete_secret("source").await;
    world.reason("token", "SourceNotFound").await;
    world.create_secret("source", &[("key", "first")]).await;
    world.synced("token").await;
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    wrote(&seen, 2, 2);
    is_true(&world, &id, "first").await;
    a_restart_does_nothing(&mut world).await;

    // In one go, as far as the operator can see.
    let mark = world.mark().await;
    world.operator.signal("STOP");
    world.delete_secret("source").await;
    world.create_secret("source", &[("key", "first")]).await;
    world.operator.signal("CONT");
    let seen = world.since(&mark).await;
    world.synced("token").await;
    seen.sent_nothing();

    // While nobody watches: that nothing was sent meanwhile takes a look at the vault.
    let mark = world.mark().await;
    world.operator.stop().await;
    world.delete_secret("source").await;
    world.create_secret("source", &[("key", "first")]).await;
    start(&mut world).await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list_vaults(), list(&world.vault)]);
    seen.wrote_nothing();
    is_true(&world, &id, "first").await;
}

#[tokio::test]
async fn a_secret_that_is_made_again_with_other_content() {
    let (mut world, id) = token(Setup::new()).await;
    let mark = world.mark().await;
    world.delete_secret("source").await;
    world.reason("token", "SourceNotFound").await;
    assert_eq!(world.sim.value(&id).as_deref(), Some("first"), "it stays");
    world.create_secret("source", &[("key", "second")]).await;
    world.synced("token").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[patch(&id, json!({"value": "second"}))]);
    wrote(&seen, 2, 2);
    is_true(&world, &id, "second").await;
    a_restart_does_nothing(&mut world).await;
}

/// A new object knows nothing of the old one: its value is sent, its domains only if they differ.
#[tokio::test]
async fn an_object_that_is_made_again() {
    let (mut world, id) = token(Setup::new()).await;
    for domains in [DOMAINS, ["other.example.com"]] {
        let mark = world.mark().await;
        world.delete("token").await;
        world.gone("token").await;
        let declared = world.vault_secret("token").env_key("TOKEN");
        let declared = declared.value_from("source", "key").domains(domains);
        world.create(declared).await;
        world.synced("token").await;
        let seen = world.since(&mark).await;
        let body = if domains == DOMAINS {
            json!({"value": "first"})
        } else {
            json!({"value": "first", "allowed_domains": domains})
        };
        assert_eq!(writes(&seen), [patch(&id, body)]);
        let lists = reads(&seen);
        assert!(
            lists.is_empty() || lists == [list(&world.vault)],
            "{lists:?}"
        );
        wrote(&seen, 1, 1);
        is_true(&world, &id, "first").await;
    }
    a_restart_does_nothing(&mut world).await;
}

/// The same in one go, as far as the operator can see.
#[tokio::test]
async fn an_object_that_is_made_again_behind_the_operators_back() {
    let (mut world, id) = token(Setup::new()).await;
    for runs in [true, false] {
        let mark = world.mark().await;
        if runs {
            world.operator.signal("STOP");
        } else {
            world.operator.stop().await;
        }
        world.delete("token").await;
        world.gone("token").await;
        let declared = world.vault_secret("token").env_key("TOKEN");
        let declared = declared.value_from("source", "key").domains(DOMAINS);
        world.create(declared).await;
        if runs {
            world.operator.signal("CONT");
        } else {
            start(&mut world).await;
        }
        world.synced("token").await;
        let seen = world.since(&mark).await;
        assert_eq!(values(&seen), ["first"]);
        wrote(&seen, 1, 1);
        is_true(&world, &id, "first").await;
    }
}

async fn delete_the_key(world: &World) {
    let secrets = own_secrets(world);
    let deleted = secrets
        .delete(keeper::SECRET, &DeleteParams::default())
        .await;
    deleted.expect("the key's Secret is there");
}

#[tokio::test]
async fn a_fingerprint_key_that_is_deleted_is_put_back() {
    let (mut world, id) = token(Setup::new()).await;
    let bytes = key_bytes(&world).await;
    for _ in 0..2 {
        let mark = world.mark().await;
        delete_the_key(&world).await;
        let secrets = own_secrets(&world);
        eventually("the key is put back", SOON, || async {
            secrets.get_opt(keeper::SECRET).await.expect("an answer")
        })
        .await;
        let seen = world.since(&mark).await;
        seen.sent_nothing();
        seen.wrote_exactly(&["create secrets"]);
        assert!(key_bytes(&world).await == bytes, "the same bytes");
    }
    is_true(&world, &id, "first").await;
    a_restart_does_nothing(&mut world).await;
    assert!(key_bytes(&world).await == bytes, "the same bytes");
}

/// A lost key is noticed by an object when its value is read the next time: then the value is sent once more.
#[tokio::test]
async fn a_fingerprint_key_that_is_lost_costs_one_more_patch() {
    let (mut world, id) = token(Setup::new()).await;
    let domains_only = world.remote("DOMAINS", "theirs", &DOMAINS);
    let declared = world.vault_secret("domains").secret_id(&domains_only);
    world.create(declared.domains(DOMAINS)).await;
    world.synced("domains").await;
    let bytes = key_bytes(&world).await;
    let mark = world.mark().await;
    world.operator.stop().await;
    delete_the_key(&world).await;
    start(&mut world).await;
    // Another key of the Secret: the value is read, and is not known any more.
    world.set_secret("source", "other", "unused").await;
    ended(&world, &mark, &id, 1).await;
    let seen = world.since(&mark).await;
    assert!(key_bytes(&world).await != bytes, "a new key");
    assert_eq!(values(&seen), ["first"]);
    assert_eq!(seen.requests.secret(&domains_only).len(), 0);
    let write = "create secrets";
    let written = seen.written();
    assert_eq!(written.iter().filter(|it| *it == write).count(), 1);
    let statuses = written.iter().filter(|it| *it == STATUS).count();
    assert_eq!(statuses + 1, written.len(), "{written:?}");
    is_true(&world, &id, "first").await;
    a_restart_does_nothing(&mut world).await;
}

fn numbered(world: &World, number: usize) -> VaultSecret {
    let declared = world.vault_secret(&format!("many-{number}"));
    let declared = declared.env_key(&format!("MANY_{number}"));
    let declared = declared.value_from(&format!("many-{number}"), "key");
    declared.domains(DOMAINS).into()
}

/// Their remote secrets and their Secrets.
async fn prepare_many(world: &World) -> Vec<String> {
    let remote = |number| world.remote(&format!("MANY_{number}"), "old", &DOMAINS);
    let ids = (0..MANY).map(remote).collect();
    let secrets = futures::stream::iter(0..MANY).for_each_concurrent(32, |number| async move {
        let (name, value) = (format!("many-{number}"), format!("value-{number}"));
        world.create_secret(&name, &[("key", &value)]).await;
    });
    secrets.await;
    ids
}

async fn create_many(world: &World) {
    let objects = futures::stream::iter(0..MANY).for_each_concurrent(32, |number| async move {
        world.create(numbered(world, number)).await;
    });
    objects.await;
}

/// All are in sync, each by one PATCH of its value. Returns the lists that took.
async fn all_are_synced(world: &World, mark: &Mark, ids: &[String]) -> usize {
    let long = Duration::from_mins(2);
    let all = |log: &nairi_sim::Entries| log.since(mark.sim).writes().ended().len() >= MANY;
    world
        .sim
        .log()
        .wait_for(all, long)
        .await
        .expect("they are sent");
    let objects = world.vault_secrets();
    eventually("all are in sync", long, || async {
        let list = objects.list(&kube::api::ListParams::default()).await;
        let items = list.expect("a list").items;
        let synced = items
            .iter()
            .filter(|it| objects::current_reason(it) == Some("Synced"));
        // The barrier, too.
        (synced.count() == MANY + 1).then_some(())
    })
    .await;
    let seen = world.since(mark).await;
    let mut sent: Vec<_> = writes(&seen).iter().map(|it| format!("{it:?}")).collect();
    let body = |(number, id): (usize, &String)| {
        let sent = patch(id, json!({"value": format!("value-{number}")}));
        format!("{sent:?}")
    };
    let mut expected: Vec<_> = ids.iter().enumerate().map(body).collect();
    sent.sort_unstable();
    expected.sort_unstable();
    assert!(
        sent == expected,
        "{} PATCHes, each once: {}",
        MANY,
        sent.len()
    );
    let read = reads(&seen);
    assert!(
        read.iter().all(|read| *read == list(&world.vault)),
        "{read:?}"
    );
    let written = seen.written();
    let names: BTreeSet<_> = written
        .iter()
        .filter(|it| it.starts_with("patch vaultsecrets/status many-"))
        .collect();
    let events = written.iter().filter(|it| *it == "create events").count();
    assert_eq!((names.len(), events, written.len()), (MANY, MANY, 2 * MANY));
    read.len()
}

#[tokio::test]
async fn two_hundred_objects_that_are_there_at_the_start_take_one_list() {
    let mut world = World::start().await;
    world.operator.stop().await;
    let ids = prepare_many(&world).await;
    create_many(&world).await;
    let mark = world.mark_now();
    start(&mut world).await;
    let lists = all_are_synced(&world, &mark, &ids).await;
    assert_eq!(lists, 1);
    two_hundred_objects_restart(&mut world).await;
}

#[tokio::test]
async fn two_hundred_objects_that_are_made_at_once() {
    let mut world = World::start().await;
    let ids = prepare_many(&world).await;
    let mark = world.mark().await;
    create_many(&world).await;
    let lists = all_are_synced(&world, &mark, &ids).await;
    assert!(lists <= 20, "{lists} lists");
    two_hundred_objects_restart(&mut world).await;
}

/// No PATCH, no status write, no source is read.
async fn two_hundred_objects_restart(world: &mut World) {
    a_restart_does_nothing(world).await;
    world.operator.kill();
    start(world).await;
    a_restart_does_nothing(world).await;
}
