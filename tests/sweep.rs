//! Each vault in use is listed once an interval, whatever the number of objects; where nothing differs nothing else
//! is sent, and nothing is written. A list stands in nobody's way, and one that fails changes no status.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::support::*;
use futures::future::join_all;
use nairi_sim::Entries;

const VAULTS: usize = 5;

/// For how long the steady state is watched: `SWEEP_SECONDS`, or 20 s.
fn watched() -> Duration {
    let seconds = std::env::var("SWEEP_SECONDS").map(|text| text.parse().expect("a number"));
    Duration::from_secs(seconds.unwrap_or(20))
}

/// Creates so many VaultSecrets, spread over the vaults, and waits until each is in sync. All have one source.
async fn fill(world: &World, vaults: &[String], count: usize) {
    world.create_secret("source", &[("key", "value")]).await;
    for number in 0..count {
        let (vault, key) = (&vaults[number % vaults.len()], format!("KEY_{number}"));
        let secret = NewSecret::new(&key, "old", &["api.example.com"]);
        world.sim.add_secret(vault, secret);
        let declared = world.vault_secret(&format!("object-{number}"));
        let declared = declared.vault(vault).env_key(&key);
        let declared = declared.value_from("source", "key");
        world.create(declared.domains(["api.example.com"])).await;
    }
    let in_sync = r#"vaultsecret_objects{ready="True",reason="Synced"}"#;
    eventually("all are in sync", 4 * SOON, || async {
        let objects = world.operator.metrics().await.sample(in_sync);
        (objects > f64::from(u32::try_from(count).expect("a few"))).then_some(())
    })
    .await;
}

/// How often each vault was listed.
fn lists(entries: &Entries) -> BTreeMap<String, usize> {
    let mut lists = BTreeMap::new();
    for entry in entries.iter() {
        if let Sent::List(vault) = Sent::from(&**entry) {
            *lists.entry(vault).or_default() += 1;
        }
    }
    lists
}

fn new_vaults(world: &World) -> Vec<String> {
    let new = |_| world.sim.add_vault(NewVault::default());
    (0..VAULTS).map(new).collect()
}

/// How old the list of the vault is that was listed longest ago.
async fn age(world: &World) -> f64 {
    let metrics = world.operator.metrics().await;
    metrics.sample("vaultsecret_sweep_age_seconds")
}

#[tokio::test]
async fn one_list_for_each_vault_and_interval_and_nothing_else() {
    let interval = Duration::from_secs(2);
    let world = Setup::new().flag("--resync-interval=2s").start().await;
    let vaults = new_vaults(&world);
    fill(&world, &vaults, 500).await;
    // The events about the first syncs, and lists that objects asked for.
    world.rest().await;

    let (mark, began) = (world.mark_now(), Instant::now());
    tokio::time::sleep(watched()).await;
    let (seen, took) = (world.seen(&mark), began.elapsed());
    seen.wrote_nothing();
    let lists = lists(&seen.requests);
    assert_eq!(
        seen.requests.len(),
        lists.values().sum::<usize>(),
        "nothing but lists"
    );
    assert_eq!(lists.len(), VAULTS);
    let rounds = took.as_secs_f64() / interval.as_secs_f64();
    for (vault, count) in &lists {
        let difference = f64::from(u32::try_from(*count).expect("a few")) - rounds;
        assert!(
            difference.abs() <= 2.0,
            "{vault}: {count} in {rounds} rounds"
        );
    }
    assert!(age(&world).await <= 2.0 * interval.as_secs_f64());
}

/// What is rotated is sent at once, once, and alone, whatever is listed meanwhile.
#[tokio::test]
async fn sweeps_and_rotations_do_not_meet() {
    const OBJECTS: usize = 50;
    const ROUNDS: usize = 4;
    let setup = Setup::new().flag("--resync-interval=1s");
    let world = setup
        .behave(|behaviour| behaviour.latency = Duration::from_millis(50))
        .start()
        .await;
    let mut ids = Vec::new();
    for number in 0..OBJECTS {
        let (name, key) = (format!("object-{number}"), format!("KEY_{number}"));
        ids.push(world.remote(&key, "old", &["api.example.com"]));
        world.create_secret(&name, &[("key", "first")]).await;
        let declared = world.vault_secret(&name).env_key(&key);
        let declared = declared.value_from(&name, "key");
        world.create(declared.domains(["api.example.com"])).await;
    }
    for number in 0..OBJECTS {
        world.synced(&format!("object-{number}")).await;
    }

    let mark = world.mark_now();
    let before = world.sim.mark();
    for round in 0..ROUNDS {
        let value = |number: usize| format!("value {number} of round {round}");
        join_all((0..OBJECTS).map(|number| {
            let (world, value) = (&world, value(number));
            async move {
                world
                    .set_secret(&format!("object-{number}"), "key", &value)
                    .await;
            }
        }))
        .await;
        eventually("the round is in the vault", SOON, || async {
            let arrived = |number: usize| world.sim.value(&ids[number]) == Some(value(number));
            (0..OBJECTS).all(arrived).then_some(())
        })
        .await;
    }
    // What the last rotations left for a sweep to stumble over.
    for _ in 0..2 {
        let lists = world.sim.mark();
        let listed = |log: &Entries| log.since(lists).method("GET").ended().len() >= 2;
        let waited = world.sim.log().wait_for(listed, SOON).await;
        waited.expect("sweeps go on");
    }

    let seen = world.seen(&mark);
    let patches = seen.requests.since(before).method("PATCH");
    assert_eq!(patches.len(), OBJECTS * ROUNDS);
    for patch in patches.iter() {
        assert_eq!(patch.fields(), ["value"]);
    }
    for (number, id) in ids.iter().enumerate() {
        let status = world.get(&format!("object-{number}")).await.status;
        let updated_at = status.and_then(|status| status.updated_at);
        assert_eq!(updated_at, world.sim.updated_at(id));
    }
    assert!(lists(&seen.requests)[&world.vault] >= 2);
}

/// A list that fails is the connection's business, and the metric's.
#[tokio::test]
async fn a_list_that_fails_changes_no_status_of_what_is_in_sync() {
    let world = Setup::new().flag("--resync-interval=1s").start().await;
    world.create_secret("source", &[("key", "value")]).await;
    world.remote("TOKEN", "old", &["api.example.com"]);
    let declared = world.vault_secret("token").env_key("TOKEN");
    world.create(declared.value_from("source", "key")).await;
    world.synced("token").await;
    world.rest().await;

    let mark = world.mark_now();
    let fault = world.sim.fault(Fault::status(500).vault(&world.vault));
    fault.wait_fired(3, SOON).await.expect("it is listed");
    let tried = |log: &Entries| {
        let requests = log.since(mark.sim).ended();
        let mut sent = requests.iter().map(|entry| Sent::from(&**entry));
        sent.any(|sent| sent == list_vaults())
    };
    let waited = world.sim.log().wait_for(tried, SOON).await;
    waited.expect("the key is tried again");
    assert!(age(&world).await > 1.5);
    fault.remove();
    eventually("it is listed again", SOON, || async {
        (age(&world).await < 1.5).then_some(())
    })
    .await;
    let seen = world.seen(&mark);
    assert_eq!(seen.requests.writes().len(), 0);
    seen.wrote_nothing();

    // The whole API.
    let fault = world.sim.fault(Fault::status(503).method("GET"));
    world.connected("Unreachable").await;
    fault.remove();
    world.connected("Verified").await;
    let seen = world.seen(&mark);
    assert_eq!(seen.requests.writes().len(), 0);
    let about_objects = |write: &String| write.contains("vaultsecrets/");
    let written = seen.written();
    assert!(!written.iter().any(about_objects), "{written:?}");
}

/// And what is declared in it is found once it is there.
#[tokio::test]
async fn a_vault_that_is_not_there_is_asked_for_less_and_less() {
    let world = Setup::new().flag("--resync-interval=1s").start().await;
    world.create_secret("source", &[("key", "value")]).await;
    let late = nairi_sim::vault_id();
    let mark = world.mark_now();
    let declared = world.vault_secret("token").vault(&late).env_key("TOKEN");
    world.create(declared.value_from("source", "key")).await;
    world.reason("token", "RemoteNotFound").await;
    let lists = || world.requests().since(mark.sim).method("GET");
    eventually("it is looked for", 2 * SOON, || async {
        (lists().len() >= 4).then_some(())
    })
    .await;
    let pauses: Vec<_> = lists()
        .windows(2)
        .map(|two| two[1].arrived - two[0].arrived)
        .collect();
    for (pause, least) in pauses.iter().zip([1.7, 3.5, 7.0]) {
        assert!(pause.as_secs_f64() >= least, "{pauses:?}");
    }
    world.sim.add_vault(NewVault::with_id(&late));
    let secret = NewSecret::new("TOKEN", "old", &["api.example.com"]);
    let id = world.sim.add_secret(&late, secret);
    world.synced("token").await;
    let seen = world.seen(&mark);
    let patches = seen.requests.method("PATCH");
    let patches: Vec<_> = patches.iter().map(|entry| Sent::from(&**entry)).collect();
    assert_eq!(patches, [patch(&id, json!({"value": "value"}))]);
}
