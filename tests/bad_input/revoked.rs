//! A key that the API refuses.

use std::{collections::BTreeMap, time::Instant};

use super::*;

const LIMIT: usize = 4;
const MANY: usize = 40;

fn refused(world: &World) -> Trouble {
    let name = &world.connection.name;
    let message = format!(
        "Nairi refuses the API key of VaultConnection {name:?} (HTTP 401): put a valid key into the connection's Secret."
    );
    retried("Unauthorized", message)
}

fn connection_refused() -> Trouble {
    retried(
        "Unauthorized",
        "The API refuses the key (HTTP 401): put a valid one into the Secret. It is tried again every minute.",
    )
}

/// Anybody can have any number of those.
fn connection_never_accepted() -> Trouble {
    retried(
        "Unauthorized",
        "The API refuses the key (HTTP 401), and never accepted it: put a valid one into the Secret. It is tried again less and less often.",
    )
}

/// Ten thousand objects never hammer a revoked key: what was on its way, and one probe a minute.
#[tokio::test]
async fn a_revoked_key_is_left_alone_until_it_is_replaced() {
    let flag = format!("--api-concurrency={LIMIT}");
    let world = Setup::new().flag(&flag).start().await;
    let (secret, key) = API_KEY_SECRET;
    let many: Vec<_> = (0..MANY).map(|n| format!("many-{n}")).collect();
    let mut ids = Vec::new();
    for name in &many {
        fill(&world.secrets(), name, &[("key", b"first")]).await;
        ids.push(declare(&world, name).await);
    }
    for name in &many {
        world.synced(name).await;
    }
    in_sync(&world, "steady", "first").await;

    let mark = world.mark().await;
    world.sim.revoke_key(world.sim.api_key());
    for name in &many {
        world.set_secret(name, "key", "second").await;
    }
    fill(&world.secrets(), "new", &[("key", b"first")]).await;
    let new = declare(&world, "new").await;
    for name in &many {
        let object = says(&world, name, &refused(&world)).await;
        let pending = object.status.expect("it has one").pending_fields;
        assert_eq!(json!(pending), json!(["value"]));
    }
    says(&world, "new", &refused(&world)).await;
    connection_says(&world, &connection_refused()).await;
    let seen = world.since(&mark).await;
    let within = |seen: &Seen| {
        let probes = seen.requests.method("GET").len();
        let writes = seen.requests.method("PATCH").len();
        assert!(
            (1..=LIMIT).contains(&writes) && probes <= 1,
            "{:?}",
            seen.requests
        );
        assert_eq!(writes + probes, seen.requests.len());
        let all_refused = seen
            .requests
            .iter()
            .all(|entry| entry.status() == Some(401));
        assert!(all_refused, "{:?}", seen.requests);
    };
    within(&seen);
    let mut expected = vec![
        format!("patch vaultconnections/status {}", world.connection.name),
        "create events".to_owned(),
    ];
    for name in many.iter().map(String::as_str).chain(["new"]) {
        expected.push(format!("patch vaultsecrets/status {name}"));
        expected.push("create events".to_owned());
    }
    let expected: Vec<_> = expected.iter().map(String::as_str).collect();
    seen.wrote_exactly(&expected);
    assert_eq!(events(&world, "steady").await, [SYNCED], "it is in sync");
    world.synced("steady").await;
    for name in &many {
        let said = events(&world, name).await;
        assert_eq!(said, [SYNCED.to_owned(), refused(&world).event()], "{name}");
    }

    // More changes change nothing.
    for name in &many[..10] {
        world.set_secret(name, "key", "third").await;
    }
    within(&world.since(&mark).await);

    let mark = world.mark().await;
    let key_now = nairi_sim::api_key();
    world.sim.add_key(&key_now);
    let began = Instant::now();
    fill(&world.secrets(), secret, &[(key, key_now.as_bytes())]).await;
    for name in many.iter().map(String::as_str).chain(["new"]) {
        cured(&world, name, began).await;
    }
    world.connected("Verified").await;
    let seen = world.since(&mark).await;
    assert_eq!(seen.sent().first(), Some(&list_vaults()), "the key first");
    let mut sent = BTreeMap::new();
    for request in without_lists(&seen) {
        *sent.entry(format!("{request:?}")).or_insert(0) += 1;
    }
    let mut expected = BTreeMap::from([
        (format!("{:?}", list_vaults()), 1),
        (format!("{:?}", patch(&new, json!({"value": "first"}))), 1),
    ]);
    for (n, id) in ids.iter().enumerate() {
        let value = if n < 10 { "third" } else { "second" };
        expected.insert(format!("{:?}", patch(id, json!({ "value": value }))), 1);
    }
    assert_eq!(sent, expected);
    nowhere(&world, &[&key_now, world.sim.api_key()]).await;
}

/// A key that was never valid is tried once, and nothing else is sent with it.
#[tokio::test]
async fn a_wrong_key_is_tried_once() {
    let world = World::start().await;
    let (secret, key) = API_KEY_SECRET;
    let id = in_sync(&world, "token", "first").await;
    let mark = world.mark().await;
    fill(&world.secrets(), secret, &[(key, b"nr_canary")]).await;
    connection_says(&world, &connection_never_accepted()).await;
    world.set_secret("token", "key", "second").await;
    says(&world, "token", &refused(&world)).await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list_vaults()]);
    let connection = format!("patch vaultconnections/status {}", world.connection.name);
    seen.wrote_exactly(&[
        &connection,
        "create events",
        "patch vaultsecrets/status token",
        "create events",
    ]);

    let mark = world.mark().await;
    let began = Instant::now();
    let good = world.sim.api_key().as_bytes();
    fill(&world.secrets(), secret, &[(key, good)]).await;
    cured(&world, "token", began).await;
    world.connected("Verified").await;
    // This key is known to be good.
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[patch(&id, json!({"value": "second"}))]);
    let said = events(&world, "token").await;
    assert_eq!(said, [SYNCED.to_owned(), refused(&world).event()]);
    nowhere(&world, &["canary", world.sim.api_key()]).await;
}
