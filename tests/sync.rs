//! First sync: what is declared reaches the vault, and the status says so.

mod support;

use support::*;

#[tokio::test]
async fn by_env_key() {
    let world = World::start().await;
    let id = world.remote("TOKEN", "old", &["api.example.com"]);
    world.create_secret("source", &[("key", "new")]).await;
    let mark = world.mark().await;
    world
        .create(
            world
                .vault_secret("token")
                .env_key("TOKEN")
                .value_from("source", "key"),
        )
        .await;
    world.synced("token").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list(&world.vault), patch(&id, json!({"value": "new"}))]);
    seen.wrote_exactly(&["patch vaultsecrets/status token", "create events"]);
}
