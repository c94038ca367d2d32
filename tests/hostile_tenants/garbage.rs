//! Vault ids and API keys that mean nothing.

use std::collections::BTreeMap;

use super::*;

const VAULTS: usize = 50;
const KEYS: usize = 20;
const INTERVAL: Duration = Duration::from_secs(1);

/// For how long the steady state is watched.
const WATCHED: Duration = Duration::from_secs(12);

fn garbage(number: usize) -> String {
    format!("vlt_garbage_{}", number % VAULTS)
}

/// How often each vault was listed.
fn lists(requests: &nairi_sim::Entries) -> BTreeMap<String, usize> {
    let mut lists = BTreeMap::new();
    for entry in requests.iter() {
        if let Sent::List(vault) = Sent::from(&**entry) {
            *lists.entry(vault).or_default() += 1;
        }
    }
    lists
}

async fn age(world: &World) -> f64 {
    let metrics = world.operator.metrics().await;
    metrics.sample("vaultsecret_sweep_age_seconds")
}

#[tokio::test]
async fn garbage_costs_ever_fewer_requests_and_raises_no_alarm() {
    let setup = Setup::new().also_watching(&[MALLORY]).log_filter("info");
    let world = setup.flag("--resync-interval=1s").start().await;
    let mut rotation = Rotation::begin(&world).await;
    let mallory = Neighbour::arrive(&world, MALLORY).await;
    mallory.create_secret("source", &[("key", "value")]).await;

    // Hundreds of objects in fifty vaults that are not there: a request for each vault, not for each object.
    let many = many_objects(300);
    let mark = world.sim.mark();
    let objects = (0..many).map(|number| {
        let object = mallory.object(&format!("nowhere-{number}"));
        object
            .vault(&garbage(number))
            .env_key("KEY")
            .value_from("source", "key")
    });
    rotation.during(mallory.create_all(objects)).await;
    mallory
        .reason(&format!("nowhere-{}", many - 1), "Rejected")
        .await;
    let since = Instant::now();

    // As many keys that are refused, each in a connection of its own.
    let tried = world.sim.mark();
    for number in 0..KEYS {
        let name = format!("garbage-{number}");
        mallory.connect(&name, &format!("nr_{name}")).await;
    }
    // And one that was good.
    let revoked = nairi_sim::api_key();
    world.sim.add_key(&revoked);
    mallory.connect("revoked", &revoked).await;
    let vault = world.sim.add_vault(NewVault::default());
    world.sim.add_secret(&vault, NewSecret::new("KEY", "", &[]));
    let object = mallory.object("revoked").vault(&vault).env_key("KEY");
    let object = object.connection(ConnectionKind::VaultConnection, "revoked");
    mallory
        .create_all([object.value_from("source", "key")])
        .await;
    mallory.reason("revoked", "Synced").await;
    world.sim.revoke_key(&revoked);

    let half = world.sim.mark();
    rotation
        .during(tokio::time::sleep(WATCHED.saturating_sub(since.elapsed())))
        .await;
    rotation.was_prompt();
    let all = lists(&world.requests().since(mark));
    // At once, and about 2, 4 and 8 intervals later each; those who waited for the first may have asked once more.
    for number in 0..VAULTS {
        let count = all[&garbage(number)];
        assert!((1..=6).contains(&count), "{}: {count}", garbage(number));
    }
    let sweeps = lists(&world.requests().since(half));
    assert!(sweeps[&world.vault] > 2, "the others are swept: {sweeps:?}");
    let oldest = age(&world).await;
    assert!(oldest < 5.0 * INTERVAL.as_secs_f64(), "{oldest}");

    let asked = |key: &str| {
        let header = format!("Bearer {key}");
        let requests = world.requests().since(tried);
        requests.only(|it| it.header("authorization") == Some(&*header))
    };
    for number in 0..KEYS {
        assert_eq!(asked(&format!("nr_garbage-{number}")).len(), 1);
    }
    // A changed Secret is tried at once.
    mallory
        .set_secret("garbage-0-key", "apiKey", "nr_another")
        .await;
    eventually("the new key is tried", SOON, || async {
        (asked("nr_another").len() == 1).then_some(())
    })
    .await;
}
