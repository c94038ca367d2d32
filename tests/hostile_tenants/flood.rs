//! Thousands of broken objects from one namespace.

use std::collections::BTreeMap;

use super::*;
use crate::support::objects::older;

/// Every way to be broken that costs something each time: a request to Kubernetes, a list, a place in a queue.
fn broken(mallory: &Neighbour<'_>, number: usize) -> VaultSecretBuilder {
    let object = mallory.object(&format!("broken-{number}"));
    let key = format!("KEY_{number}");
    match number % 6 {
        0 => object.env_key(&key).value_from("missing", "key"),
        1 => object
            .vault(&format!("vlt_garbage_{}", number % 50))
            .env_key(&key)
            .value_from("source", "key"),
        2 => object.env_key(&key).value_from("source", "key"),
        3 => object
            .env_key(&key)
            .template("{{ key | nothing }}", "source"),
        4 => object.env_key("REJECTED").value_from("source", "key"),
        _ => object.env_key(&key).value_from("source", "no-such-key"),
    }
}

/// Whether a write is about one of those that want the secret REJECTED.
fn claims_rejected(write: &str) -> bool {
    let number = write.rsplit_once("broken-").map(|(_, number)| number);
    number.is_some_and(|number| number.parse::<usize>().is_ok_and(|number| number % 6 == 4))
}

/// The secret that all other tests here rotate, claimed by a key that never showed it to anybody.
fn unproven(mallory: &Neighbour<'_>, number: usize) -> VaultSecretBuilder {
    mallory
        .object(&format!("unproven-{number}"))
        .connection(ConnectionKind::VaultConnection, "garbage")
        .env_key("ALICE")
        .value_from("source", "key")
}

/// Writes of the operator to Kubernetes, by object and kind: status, events.
fn writes(seen: &Seen) -> BTreeMap<String, usize> {
    let mut writes = BTreeMap::new();
    for line in seen.written() {
        *writes.entry(line).or_default() += 1;
    }
    writes
}

#[tokio::test]
async fn broken_objects_delay_nobody_else() {
    let many = many_objects(500);
    let setup = Setup::new().also_watching(&[MALLORY]).log_filter("info");
    let world = setup.start().await;
    let mallory = Neighbour::arrive(&world, MALLORY).await;
    mallory.create_secret("source", &[("key", "value")]).await;
    mallory.connect("garbage", "nr_garbage").await;
    let claims = (0..many / 10).map(|number| unproven(&mallory, number));
    mallory.create_all(claims).await;
    older(&mallory.reason("unproven-0", "Unauthorized").await).await;

    let mut rotation = Rotation::begin(&world).await;
    let rejected = world.remote("REJECTED", "", &[]);
    let fault = Fault::status(400).secret(&rejected).method("PATCH");
    world.sim.fault(fault);
    let mark = world.mark_now();
    let all = (0..many).map(|number| broken(&mallory, number));
    rotation.during(mallory.create_all(all)).await;

    // All of them at once, again and again.
    let other = nairi_sim::api_key();
    world.sim.add_key(&other);
    let keys = [&other, world.sim.api_key()].map(str::to_owned);
    let flips = async {
        for round in 0..4 {
            mallory.change_key(&keys[round % 2]).await;
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    };
    rotation.during(flips).await;
    rotation.was_prompt();

    // What it cost the API server: one event and one status for each, whatever was done to them since.
    let seen = world.since(&mark).await;
    for (write, count) in writes(&seen) {
        let expected = if write == "create events" {
            many..=many + many / 2
        } else if write.ends_with(" alice") {
            1..=rotation.rounds + 1
        } else if claims_rejected(&write) {
            // Of those made in one second the one with the least uid has the secret: another with each that comes.
            1..=10
        } else {
            1..=2
        };
        assert!(expected.contains(&count), "{write}: {count}");
    }
    let key = |key: &str| format!("Bearer {key}");
    let garbage = seen
        .requests
        .only(|it| it.header("authorization") == Some(&*key("nr_garbage")));
    assert!(garbage.len() < 4, "a refused key is left alone");
}
