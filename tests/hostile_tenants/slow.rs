//! A tenant whose requests hang, or are refused, or draw a `Retry-After` each time.

use nairi_sim::Entries;

use super::*;

/// More than there are slots anywhere.
const MANY: usize = 40;

const TIMEOUT: Duration = Duration::from_secs(4);

/// A vault of the neighbour's own, filled.
async fn own_vault(mallory: &Neighbour<'_>) -> (String, Vec<String>) {
    let vault = mallory.world.sim.add_vault(NewVault::default());
    let ids = fill(mallory, &vault).await;
    (vault, ids)
}

/// Objects of the neighbour with a secret each in this vault, all from one Secret.
async fn fill(mallory: &Neighbour<'_>, vault: &str) -> Vec<String> {
    let world = mallory.world;
    mallory.create_secret("source", &[("key", "first")]).await;
    let mut ids = Vec::new();
    for number in 0..MANY {
        let secret = NewSecret::new(&format!("KEY_{number}"), "", &[]);
        ids.push(world.sim.add_secret(vault, secret));
    }
    let objects = (0..MANY).map(|number| {
        let object = mallory.object(&format!("object-{number}")).vault(vault);
        object
            .env_key(&format!("KEY_{number}"))
            .value_from("source", "key")
    });
    mallory.create_all(objects).await;
    for number in 0..MANY {
        mallory.reason(&format!("object-{number}"), "Synced").await;
    }
    ids
}

#[tokio::test]
async fn a_vault_that_hangs_holds_up_nobody_else() {
    let setup = Setup::new().also_watching(&[MALLORY]).log_filter("info");
    let flag = format!("--api-timeout={}s", TIMEOUT.as_secs());
    let world = setup.flag(&flag).without_barrier().start().await;
    let mut rotation = Rotation::begin(&world).await;
    let mallory = Neighbour::arrive(&world, MALLORY).await;
    let (vault, _) = own_vault(&mallory).await;

    let stalled = world.sim.fault(Fault::stall().vault(&vault));
    mallory.set_secret("source", "key", "second").await;
    stalled.wait_stalled(10, SOON).await.expect("they hang");
    rotation.during(tokio::time::sleep(2 * TIMEOUT)).await;
    rotation.was_prompt();
    assert!(
        stalled.stalled() < 16,
        "some of the key's slots are for others"
    );
    assert!(stalled.fired() > 16, "there was more than one wave");
    stalled.remove();
    stalled.release();
    for number in 0..MANY {
        mallory.reason(&format!("object-{number}"), "Synced").await;
    }
}

#[tokio::test]
async fn who_keeps_the_key_busy_keeps_no_shared_vault_from_being_swept() {
    let setup = Setup::new().also_watching(&[MALLORY]).log_filter("info");
    let setup = setup.flag("--resync-interval=1s").flag("--api-timeout=1m");
    let world = setup.without_barrier().start().await;
    let _alice = Rotation::begin(&world).await;
    let mallory = Neighbour::arrive(&world, MALLORY).await;
    fill(&mallory, &world.vault).await;

    let stalled = world.sim.fault(Fault::stall().vault(&world.vault).writes());
    mallory.set_secret("source", "key", "second").await;
    stalled.wait_stalled(10, SOON).await.expect("they hang");
    let mark = world.sim.mark();
    let listed = |log: &Entries| log.since(mark).method("GET").ended().len() >= 3;
    let waited = world.sim.log().wait_for(listed, SOON).await;
    waited.expect("in the name of the other tenant");
    stalled.remove();
    stalled.release();
}

#[tokio::test]
async fn answers_to_one_tenant_close_the_gate_for_no_other_over_and_over() {
    let setup = Setup::new().also_watching(&[MALLORY]).log_filter("info");
    let world = setup.start().await;
    let mut rotation = Rotation::begin(&world).await;
    let mallory = Neighbour::arrive(&world, MALLORY).await;
    let (vault, ids) = own_vault(&mallory).await;

    // What the API refuses of one says nothing of the others.
    let forbidden = world.sim.fault(Fault::status(403).secret(&ids[0]));
    mallory.set_secret("source", "key", "second").await;
    mallory.reason("object-0", "Rejected").await;
    rotation.once().await;
    forbidden.remove();

    // A limit that the neighbour runs into: at first nobody knows whose it is.
    let first = world
        .sim
        .fault(Fault::retry_after(429, "2").vault(&vault).writes());
    mallory.set_secret("source", "key", "third").await;
    first.wait_fired(1, SOON).await.expect("it is told");
    let told = Instant::now();
    eventually("the answer has arrived", SOON, || async {
        let closed = world.operator.metrics().await;
        (closed.sample("vaultsecret_gates_closed") >= 1.0).then_some(())
    })
    .await;
    rotation.once().await;
    let waited = told.elapsed();
    assert!(
        waited > Duration::from_millis(1500),
        "{waited:?}: Retry-After is kept"
    );
    rotation.took.clear();
    // From then on it is its own, however long it is to last.
    let fired = first.fired();
    first.wait_fired(fired + 1, SOON).await.expect("again");
    first.remove();
    let day = world
        .sim
        .fault(Fault::retry_after(429, "86400").vault(&vault).writes());
    let work = async { day.wait_fired(1, SOON).await.expect("once more") };
    rotation.during(work).await;
    let mark = world.mark_now();
    rotation
        .during(tokio::time::sleep(Duration::from_secs(3)))
        .await;
    rotation.was_prompt();
    let metrics = world.operator.metrics().await;
    assert!(metrics.sample("vaultsecret_gates_closed") < 1.0);
    let theirs = |seen: &Seen| {
        let patches = seen
            .requests
            .writes()
            .only(|it| ids.iter().any(|id| it.path.contains(id)));
        patches.len()
    };
    assert_eq!(theirs(&world.seen(&mark)), 0, "Retry-After is kept");
}
