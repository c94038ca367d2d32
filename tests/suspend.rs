//! `suspend: true`: nothing is read or sent, and what is missed meanwhile is made up for once.

use crate::aftermath::*;
use crate::support::*;
use vaultsecret_operator::api::VaultSecret;

async fn suspend(world: &World) -> VaultSecret {
    world.edit_spec("token", json!({"suspend": true})).await;
    let suspended = |object: &VaultSecret| {
        let condition = objects::condition(object, "Suspended");
        condition.is_some_and(|it| it.observed_generation == object.metadata.generation)
    };
    world.until("token", "suspended", suspended).await
}

fn conditions(object: &VaultSecret) -> Vec<(&str, &str, &str)> {
    let status = object.status.as_ref().expect("it has one");
    let said = status.conditions.iter();
    said.map(|it| (&*it.type_, &*it.status, &*it.reason))
        .collect()
}

#[tokio::test]
async fn what_was_said_stays_and_nothing_is_read_or_sent() {
    let (mut world, id) = token(Setup::new()).await;
    let mark = world.mark().await;
    let object = suspend(&world).await;
    let said = [
        ("Ready", "True", "Synced"),
        ("Suspended", "True", "Suspended"),
    ];
    assert_eq!(conditions(&object), said);
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    seen.wrote_exactly(&[STATUS]);

    let mark = world.mark().await;
    rotate(&world, "second").await;
    world.mark().await;
    rotate(&world, "third").await;
    let read = world.secrets_read(&mark).await;
    assert_eq!(read, Vec::<String>::new());
    world.operator.stop().await;
    start(&mut world).await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list_vaults()]);
    seen.wrote_nothing();

    // What was missed is sent once: the last of it.
    let mark = world.mark().await;
    world.edit_spec("token", json!({"suspend": false})).await;
    let object = world.synced("token").await;
    assert_eq!(conditions(&object), [("Ready", "True", "Synced")]);
    let seen = world.since(&mark).await;
    assert_eq!(writes(&seen), [patch(&id, json!({"value": "third"}))]);
    seen.wrote_exactly(&[STATUS]);
    is_true(&world, &id, "third").await;
    a_restart_does_nothing(&mut world).await;
}

#[tokio::test]
async fn a_change_that_comes_along_with_the_resumption_is_sent_with_what_was_missed() {
    let (world, id) = token(Setup::new()).await;
    suspend(&world).await;
    rotate(&world, "second").await;
    world
        .edit_spec("token", json!({"allowedDomains": ["other.example.com"]}))
        .await;
    let mark = world.mark().await;
    let change = json!({"suspend": false, "allowedDomains": ["new.example.com"]});
    world.edit_spec("token", change).await;
    world.synced("token").await;
    let seen = world.since(&mark).await;
    let domains = ["new.example.com"];
    seen.sent_exactly(&[patch(
        &id,
        json!({"value": "second", "allowed_domains": domains}),
    )]);
    seen.wrote_exactly(&[STATUS]);
}

#[tokio::test]
async fn an_object_that_begins_suspended_is_not_looked_for() {
    let world = World::start().await;
    let id = world.remote("TOKEN", "old", &DOMAINS);
    world.create_secret("source", &[("key", "first")]).await;
    let mark = world.mark().await;
    let declared = world.vault_secret("token").env_key("TOKEN");
    let declared = declared.value_from("source", "key").domains(DOMAINS);
    world.create(declared.suspended()).await;
    let object = world.reason("token", "Suspended").await;
    let said = [
        ("Suspended", "True", "Suspended"),
        ("Ready", "Unknown", "Suspended"),
    ];
    assert_eq!(conditions(&object), said);
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    wrote(&seen, 1, 1);
    assert_eq!(world.secrets_read(&mark).await, Vec::<String>::new());

    world.edit_spec("token", json!({"suspend": false})).await;
    let object = world.synced("token").await;
    assert_eq!(conditions(&object), [("Ready", "True", "Synced")]);
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list(&world.vault), patch(&id, json!({"value": "first"}))]);
}
