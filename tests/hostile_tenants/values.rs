//! A value as large as Kubernetes allows, and one that changes all the time.

use super::*;

/// The limit of a Secret.
const LARGEST: usize = 1 << 20;

/// How often a second the Secret changes.
const A_SECOND: u32 = 50;

/// For how long: `TENANT_SECONDS`, or 4 s.
fn seconds() -> u64 {
    std::env::var("TENANT_SECONDS").map_or(4, |text| text.parse().expect("a number"))
}

#[tokio::test]
async fn a_large_value_and_a_restless_one_are_nobody_elses_business() {
    let setup = Setup::new().also_watching(&[MALLORY]).log_filter("info");
    let world = setup.without_barrier().start().await;
    let mut rotation = Rotation::begin(&world).await;
    let mallory = Neighbour::arrive(&world, MALLORY).await;
    let ids = ["LARGE", "RESTLESS"].map(|key| world.remote(key, "", &[]));
    let [large, restless] = &ids;

    let before = world.operator.rss_kib();
    let value = "x".repeat(LARGEST);
    mallory.create_secret("large", &[("key", &value)]).await;
    let object = mallory.object("large").env_key("LARGE");
    let object = object.value_from("large", "key");
    rotation.during(mallory.create_all([object])).await;
    mallory.reason("large", "Synced").await;
    assert!(world.sim.value(large).expect("stored") == value);
    for round in 0..5 {
        let value = format!("{round}{}", &value[1..]);
        mallory.set_secret("large", "key", &value).await;
        let arrives = eventually("the large value", SOON, || async {
            (world.sim.value(large).as_ref() == Some(&value)).then_some(())
        });
        rotation.during(arrives).await;
    }

    mallory.create_secret("restless", &[("key", "0")]).await;
    let object = mallory.object("restless").env_key("RESTLESS");
    mallory
        .create_all([object.value_from("restless", "key")])
        .await;
    mallory.reason("restless", "Synced").await;
    let changes = u64::from(A_SECOND) * seconds();
    let change = async {
        let mut pace = tokio::time::interval(Duration::from_secs(1) / A_SECOND);
        for round in 1..=changes {
            pace.tick().await;
            mallory
                .set_secret("restless", "key", &round.to_string())
                .await;
        }
    };
    rotation.during(change).await;
    eventually("the last value", SOON, || async {
        (world.sim.value(restless) == Some(changes.to_string())).then_some(())
    })
    .await;
    rotation.was_prompt();
    let requests = world.requests().secret(restless).writes();
    let spans = requests.iter().map(|it| (it.arrived, it.ended));
    let spans: Vec<_> = spans.collect();
    for pair in spans.windows(2) {
        assert!(
            pair[0].1.is_some_and(|ended| ended <= pair[1].0),
            "two at a time"
        );
    }
    mallory.reason("restless", "Synced").await;
    let grown = world.operator.rss_kib().saturating_sub(before);
    assert!(grown < 32 << 10, "{grown} KiB");
}
