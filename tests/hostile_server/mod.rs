//! A hostile or broken server can keep what it is asked for from being done. It can't take memory or time that is
//! needed for anything else, nor have more sent than was to be sent, nor say anything that is taken for true where it
//! is not: each case ends in one clear sentence, others go on meanwhile, and all is well once it is over.
//!
//! | file | what is wrong |
//! |---|---|
//! | `answers` | what requests are answered, and what memory that takes |
//! | `torn` | a list with elements that can't be read |
//! | `tls` | the server's certificate, and the CA file |
//! | `proxy` | the proxy on the way |
//!
//! What a single request makes of each answer is tested beside the client, in src/nairi/wire_tests.

mod answers;
mod proxy;
mod tls;
mod torn;

use std::time::Duration;

use crate::support::*;

/// The message of `Ready`, once it has this reason.
async fn message(world: &World, name: &str, reason: &str) -> String {
    let object = world.reason(name, reason).await;
    let ready = objects::condition(&object, "Ready").expect("it has one");
    ready.message.clone()
}

/// Waits until `Ready` says this with the reason `ApiUnavailable`.
async fn unavailable(world: &World, name: &str, what: &str) {
    let expected = format!("Nairi: {what}. It is tried again.");
    world
        .until(name, &expected, |object| {
            objects::current_reason(object) == Some("ApiUnavailable")
                && objects::condition(object, "Ready").is_some_and(|it| it.message == expected)
        })
        .await;
}

/// Declares an object by its environment key, the upper-case form of its name, with the value `first`.
async fn declare(world: &World, name: &str, vault: &str) {
    world.create_secret(name, &[("key", "first")]).await;
    let object = world.vault_secret(name).vault(vault);
    let object = object.env_key(&env_key(name)).value_from(name, "key");
    world.create(object).await;
}

fn env_key(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

/// The same, with the secret in the vault, and in sync. Returns its id.
async fn in_sync(world: &World, name: &str, vault: &str) -> String {
    let secret = NewSecret::new(&env_key(name), "old", &["api.example.com"]);
    let id = world.sim.add_secret(vault, secret);
    declare(world, name, vault).await;
    world.synced(name).await;
    id
}

/// Waits until the vault holds that value.
async fn stored(world: &World, id: &str, value: &str) {
    eventually("the value reaches the vault", SOON, || async {
        (world.sim.value(id)? == value).then_some(())
    })
    .await;
}
