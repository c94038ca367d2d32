//! A list with elements that can't be read: what the others show is used, and nothing is concluded from what is not
//! there.

use super::*;

const TORN: &str =
    "the vault's list has an element that can't be read, so it does not tell what the vault lacks";

/// Elements that may be any secret.
fn unreadable() -> Vec<Value> {
    vec![
        Value::Null,
        json!({"id": 7, "env_key": "FRESH", "updated_at": "u"}),
        json!("x".repeat(10 << 20)),
    ]
}

#[tokio::test]
async fn what_a_torn_list_lacks_may_be_there() {
    let world = Setup::new().flag("--resync-interval=1s").start().await;
    let vault = world.vault.as_str();
    let steady = in_sync(&world, "steady", vault).await;
    let taken = in_sync(&world, "taken", vault).await;
    declare(&world, "missing", vault).await;
    let missing = message(&world, "missing", "RemoteNotFound").await;
    let fresh = world.remote("FRESH", "old", &["api.example.com"]);
    let by_id = world.remote("BY_ID", "old", &["api.example.com"]);
    world.sim.behave(|how| how.list_adds = unreadable());

    let mark = world.mark().await;
    // What is in sync stays so, rotates, and what others do to it is found and put right.
    world.set_secret("steady", "key", "second").await;
    stored(&world, &steady, "second").await;
    world.synced("steady").await;
    let outsider = world.sim.outsider();
    outsider.set_value(&steady, "theirs").expect("it is there");
    stored(&world, &steady, "second").await;
    // What an id names is found; a key may be there twice; nothing is created that may be there.
    world.create_secret("by-id", &[("key", "first")]).await;
    let object = world.vault_secret("by-id").secret_id(&by_id);
    world.create(object.value_from("by-id", "key")).await;
    world.synced("by-id").await;
    declare(&world, "fresh", vault).await;
    unavailable(&world, "fresh", TORN).await;
    world.create_secret("absent", &[("key", "first")]).await;
    let object = world.vault_secret("absent").env_key("ABSENT");
    let object = object
        .value_from("absent", "key")
        .domains(["api.example.com"]);
    world.create(object.create_if_missing()).await;
    unavailable(&world, "absent", TORN).await;
    // A secret that is gone says so itself, and is not taken for one of that key that may be there.
    outsider.delete(&taken).expect("it is there");
    unavailable(&world, "taken", TORN).await;
    assert_eq!(message(&world, "missing", "RemoteNotFound").await, missing);
    let seen = world.since(&mark).await;
    assert_eq!(seen.requests.method("POST").len(), 0);
    assert_eq!(seen.requests.secret(&fresh).len(), 0);
    let second = || patch(&steady, json!({"value": "second"}));
    let mut written: Vec<_> = seen
        .requests
        .writes()
        .iter()
        .map(|it| Sent::from(&**it))
        .collect();
    written.retain(|sent| *sent != second());
    assert_eq!(written, [patch(&by_id, json!({"value": "first"}))]);
    let told = |line: &&Value| {
        let message = "the vault's list has elements that can't be read";
        line["message"] == message && line["vault"] == vault
    };
    assert_eq!(world.operator.log_lines().iter().filter(told).count(), 1);

    // What has a name leaves nothing else open.
    let mark = world.mark_now();
    let named = json!({"id": "sec_other", "env_key": "OTHER", "updated_at": null});
    world.sim.behave(|how| how.list_adds = vec![named]);
    world.synced("fresh").await;
    world.synced("absent").await;
    message(&world, "taken", "RemoteNotFound").await;
    let seen = world.since(&mark).await;
    assert_eq!(seen.requests.method("POST").len(), 1, "created once");
    assert_eq!(world.sim.value(&fresh).as_deref(), Some("first"));
}
