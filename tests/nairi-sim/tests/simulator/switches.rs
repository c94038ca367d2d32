//! Every switch of what the documentation leaves open.

use std::time::{Duration, Instant};

use nairi_sim::{DomainsOrder, Duplicate, Lag, ListOrder, NewSecret, TimeFormat};
use serde_json::{Value, json};

use crate::world::{World, new_secret};

fn ids(list: &[Value]) -> Vec<&str> {
    list.iter()
        .map(|secret| secret["id"].as_str().expect("an id"))
        .collect()
}

#[tokio::test]
async fn an_equal_value_is_a_change_or_not() {
    let world = World::new().await;
    let before = world.sim.updated_at(&world.secret);
    world.patch(json!({"value": "first"})).await;
    assert_eq!(world.sim.updated_at(&world.secret), before);
    world
        .sim
        .behave(|behaviour| behaviour.equal_value_is_change = true);
    world.patch(json!({"value": "first"})).await;
    assert_ne!(world.sim.updated_at(&world.secret), before);
    let applied: Vec<bool> = world
        .sim
        .log()
        .all()
        .iter()
        .map(|entry| entry.applied)
        .collect();
    assert_eq!(applied, [false, true]);
}

#[tokio::test]
async fn domains_are_folded_reordered_and_deduplicated() {
    let world = World::new().await;
    let sent = json!({"allowed_domains": ["B.com", "a.com", "b.com", "C.com"]});
    let stored = async || world.patch(sent.clone()).await.1["allowed_domains"].clone();
    assert_eq!(stored().await, sent["allowed_domains"]);
    world
        .sim
        .behave(|behaviour| behaviour.domains_folded = true);
    assert_eq!(stored().await, json!(["b.com", "a.com", "b.com", "c.com"]));
    world
        .sim
        .behave(|behaviour| behaviour.domains_deduplicated = true);
    assert_eq!(stored().await, json!(["b.com", "a.com", "c.com"]));
    world
        .sim
        .behave(|behaviour| behaviour.domains_order = DomainsOrder::Sorted);
    assert_eq!(stored().await, json!(["a.com", "b.com", "c.com"]));
    let before = world.sim.updated_at(&world.secret);
    assert_eq!(stored().await, json!(["a.com", "b.com", "c.com"]));
    assert_eq!(
        world.sim.updated_at(&world.secret),
        before,
        "equal once normalised: no change"
    );
    world
        .sim
        .behave(|behaviour| behaviour.domains_order = DomainsOrder::Reversed);
    assert_eq!(stored().await, json!(["c.com", "a.com", "b.com"]));
}

#[tokio::test]
async fn a_list_lags_by_writes() {
    let world = World::new().await;
    let original = world.list().await;
    let other = world.sim.add_secret(&world.vault, new_secret("OTHER"));
    world.patch(json!({"value": "second"})).await;
    world.patch(json!({"allowed_domains": []})).await;
    world.delete(&world.path()).await;
    let mut seen = Vec::new();
    for hidden in 0..=5 {
        world
            .sim
            .behave(|behaviour| behaviour.list_lag = Lag::Writes(hidden));
        seen.push(world.list().await);
    }
    assert_eq!(ids(&seen[0]), [&other]);
    assert_eq!(ids(&seen[1]), [&world.secret, &other]);
    assert_eq!(seen[1][0]["allowed_domains"], json!([]));
    assert_eq!(seen[2][0]["allowed_domains"], json!(["api.example.com"]));
    assert_ne!(seen[2][0]["updated_at"], seen[3][0]["updated_at"]);
    assert_eq!(ids(&seen[3]), [&world.secret, &other]);
    assert_eq!(seen[4], original);
    assert_eq!(seen[5], Vec::<Value>::new());
}

#[tokio::test]
async fn a_list_lags_by_time() {
    let world = World::new().await;
    world
        .sim
        .behave(|behaviour| behaviour.list_lag = Lag::Duration(Duration::from_hours(1)));
    assert_eq!(world.list().await, Vec::<Value>::new());
    world
        .sim
        .behave(|behaviour| behaviour.list_lag = Lag::Duration(Duration::ZERO));
    assert_eq!(world.list().await.len(), 1);
}

#[tokio::test]
async fn a_list_misses_entries_and_has_any_order() {
    let world = World::new().await;
    let second = world.sim.add_secret(&world.vault, new_secret("SECOND"));
    let third = world.sim.add_secret(&world.vault, new_secret("THIRD"));
    world
        .sim
        .behave(|behaviour| behaviour.list_omits = vec![second.clone()]);
    assert_eq!(ids(&world.list().await), [&world.secret, &third]);
    world
        .sim
        .behave(|behaviour| behaviour.list_truncated = Some(1));
    assert_eq!(ids(&world.list().await), [&world.secret]);
    world.sim.behave(|behaviour| {
        behaviour.list_omits.clear();
        behaviour.list_truncated = None;
        behaviour.list_order = ListOrder::Reversed;
    });
    assert_eq!(ids(&world.list().await), [&third, &second, &world.secret]);
    world
        .sim
        .behave(|behaviour| behaviour.list_order = ListOrder::Shuffled);
    let list = world.list().await;
    let mut shuffled = ids(&list);
    let mut all = [&*world.secret, &*second, &*third];
    shuffled.sort_unstable();
    all.sort_unstable();
    assert_eq!(shuffled, all);
}

#[tokio::test]
async fn fields_are_added_and_missing() {
    let world = World::new().await;
    world.sim.behave(|behaviour| {
        behaviour
            .extra_fields
            .insert(String::from("version"), json!(7));
        behaviour.missing_fields = vec![String::from("updated_at"), String::from("created_at")];
    });
    let object = json!({
        "id": world.secret,
        "env_key": "TOKEN",
        "allowed_domains": ["api.example.com"],
        "version": 7,
    });
    assert_eq!(world.patch(json!({})).await, (200, object.clone()));
    assert_eq!(world.list().await, [object]);
}

#[tokio::test]
async fn updated_at_is_shown_before_created_at() {
    let world = World::new().await;
    let before = world.sim.secret(&world.secret).expect("there");
    world
        .sim
        .behave(|behaviour| behaviour.updated_before_created = true);
    let (_, answer) = world.patch(json!({"value": "second"})).await;
    let stamp = |name: &str| answer[name].as_str().expect("a string").to_owned();
    assert!(stamp("updated_at") < stamp("created_at"), "{answer}");
    assert_ne!(stamp("updated_at"), before.updated_at);
    let (_, again) = world.patch(json!({"value": "third"})).await;
    assert_eq!(answer["created_at"], again["created_at"]);
    assert_ne!(answer["updated_at"], again["updated_at"]);
}

#[tokio::test]
async fn lists_and_answers_spell_one_instant_differently() {
    let world = World::new().await;
    world.sim.behave(|behaviour| {
        behaviour.whole_seconds = true;
        behaviour.list_time = TimeFormat::SecondsOffset;
    });
    let (_, answer) = world.patch(json!({"value": "second"})).await;
    let listed = world.list().await[0]["updated_at"].clone();
    let answered = answer["updated_at"].as_str().expect("a string");
    assert_eq!(answered.get(19..), Some(".000Z"), "{answered}");
    assert_eq!(listed, answered.replace(".000Z", "+00:00"));
    world
        .sim
        .behave(|behaviour| behaviour.object_time = TimeFormat::Seconds);
    let (_, next) = world.patch(json!({"value": "third"})).await;
    assert_ne!(
        next["updated_at"],
        json!(answered.replace(".000Z", "Z")),
        "still strictly monotone"
    );
}

#[tokio::test]
async fn an_env_key_is_unique_or_not() {
    let world = World::new().await;
    let post = async || {
        world
            .post(json!({"env_key": "TOKEN", "value": "v"}))
            .await
            .0
    };
    assert_eq!(post().await, 400);
    world
        .sim
        .behave(|behaviour| behaviour.duplicate_env_key = Duplicate::Refused(409));
    assert_eq!(post().await, 409);
    assert_eq!(world.list().await.len(), 1);
    world
        .sim
        .behave(|behaviour| behaviour.duplicate_env_key = Duplicate::Allowed);
    assert_eq!(post().await, 201);
    assert_eq!(world.list().await.len(), 2);
}

#[tokio::test]
async fn odd_bodies_are_refused_or_not() {
    let world = World::new().await;
    world
        .sim
        .behave(|behaviour| behaviour.empty_value_refused = false);
    assert_eq!(world.patch(json!({"value": ""})).await.0, 200);
    assert_eq!(world.sim.value(&world.secret).as_deref(), Some(""));
    world
        .sim
        .behave(|behaviour| behaviour.null_is_absent = true);
    assert_eq!(
        world
            .patch(json!({"value": null, "allowed_domains": null}))
            .await
            .0,
        200
    );
    assert_eq!(
        world.sim.domains(&world.secret).expect("there"),
        ["api.example.com"]
    );
    assert_eq!(world.patch(json!({"colour": "red"})).await.0, 200);
    world
        .sim
        .behave(|behaviour| behaviour.unknown_fields_refused = true);
    assert_eq!(world.patch(json!({"colour": "red"})).await.0, 400);
}

#[tokio::test]
async fn the_count_of_a_vault_has_any_name() {
    let world = World::new().await;
    world
        .sim
        .behave(|behaviour| behaviour.vault_count_field = String::from("secretsCount"));
    let (_, vaults) = world.get("/api/public/v1/vaults").await;
    assert_eq!(vaults[0]["secretsCount"], json!(1));
}

#[tokio::test]
async fn every_request_waits() {
    let world = World::new().await;
    let latency = Duration::from_millis(80);
    world.sim.behave(|behaviour| behaviour.latency = latency);
    let begun = Instant::now();
    world.patch(json!({})).await;
    assert!(begun.elapsed() >= latency);
    assert!(world.sim.log().all()[0].took().expect("ended") >= latency);
}

#[tokio::test]
async fn an_outsider_changes_what_is_stored_and_is_not_logged() {
    let world = World::new().await;
    let outsider = world.sim.outsider();
    let first = world.sim.updated_at(&world.secret);
    outsider.set_value(&world.secret, "theirs").expect("there");
    let second = world.sim.updated_at(&world.secret);
    outsider
        .set_domains(&world.secret, &["evil.com"])
        .expect("there");
    let third = world.sim.updated_at(&world.secret);
    outsider.touch(&world.secret).expect("there");
    let fourth = world.sim.updated_at(&world.secret);
    assert!(first < second && second < third && third < fourth);
    assert_eq!(
        world.list().await[0]["allowed_domains"],
        json!(["evil.com"])
    );
    let taken = outsider.create(&world.vault, new_secret("TOKEN"));
    assert_eq!(taken, Err(nairi_sim::Refused::Taken));
    let new = NewSecret {
        env_key: String::from("NEW"),
        ..NewSecret::default()
    };
    let new = outsider.create(&world.vault, new).expect("created");
    outsider.delete(&world.secret).expect("there");
    assert_eq!(
        outsider.touch(&world.secret),
        Err(nairi_sim::Refused::Absent)
    );
    assert_eq!(ids(&world.list().await), [&new.id]);
    assert_eq!(world.sim.secrets(&world.vault), [new]);
    assert_eq!(world.sim.log().all().len(), 2);
    assert_eq!(world.sim.log().writes().len(), 0);
}
