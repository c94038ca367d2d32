//! Several who create the same secret: objects, and somebody else.

use super::*;

/// Somebody else creates it between our look and our creation, which is refused with this status.
async fn somebody_was_faster(duplicate: u16) {
    let setup = Setup::new().behave(|behaviour| {
        behaviour.duplicate_env_key = Duplicate::Refused(duplicate);
    });
    let mut world = empty(setup).await;
    let mark = world.mark().await;
    let fault = world.sim.fault(Fault::stall().method("POST").once());
    world.create(declared(&world)).await;
    held(&fault).await;
    let id = world.remote("TOKEN", "theirs", &["theirs.example.com"]);
    fault.release();
    assert_eq!(is_created(&world).await, id);
    let seen = world.since(&mark).await;
    let look = list(&world.vault);
    let whole = json!({"value": "first", "allowed_domains": DOMAINS});
    let adopted = patch(&id, whole);
    seen.sent_exactly(&[look.clone(), creation(&world), look, adopted]);
    assert_eq!(reasons(&world, "token").await, ["Synced"]);
    a_restart_does_nothing(&mut world).await;
}

#[tokio::test]
async fn somebody_was_faster_and_that_is_a_bad_request() {
    somebody_was_faster(400).await;
}

#[tokio::test]
async fn somebody_was_faster_and_that_is_a_conflict() {
    somebody_was_faster(409).await;
}

/// Our answer is lost, and when it is looked for there are two.
#[tokio::test]
async fn two_of_one_key_are_for_a_human() {
    let setup = Setup::new().behave(|it| it.duplicate_env_key = Duplicate::Allowed);
    let world = empty(setup).await;
    let mark = world.mark().await;
    let fault = world
        .sim
        .fault(Fault::stall().method("POST").after().once());
    world.create(declared(&world)).await;
    held(&fault).await;
    world.remote("TOKEN", "theirs", &DOMAINS);
    world.sim.cut_connections().await;
    world.reason("token", "AmbiguousEnvKey").await;
    let seen = world.since(&mark).await;
    assert_eq!(writes(&seen), [creation(&world)]);
    assert_eq!(world.sim.secrets(&world.vault).len(), 2);
}

/// The names of two objects, that of the older one (then of the lower uid) first.
async fn by_age(world: &World, names: [&'static str; 2]) -> [&'static str; 2] {
    let mut ages = Vec::new();
    for name in names {
        let object = world.get(name).await.metadata;
        let created = object.creation_timestamp.expect("it was created");
        ages.push((created, object.uid.expect("it has one"), name));
    }
    ages.sort();
    [ages[0].2, ages[1].2]
}

#[tokio::test]
async fn two_objects_of_one_key_create_one_secret() {
    let mut world = empty(Setup::new().unstarted()).await;
    let mark = world.mark_now();
    for name in ["one", "two"] {
        world.create(named(&world, name).create_if_missing()).await;
    }
    let [winner, loser] = by_age(&world, ["one", "two"]).await;
    world.start_operator().await;
    world.synced(winner).await;
    let conflict = world.reason(loser, "Conflict").await;
    let ready = objects::condition(&conflict, "Ready").expect("a condition");
    assert!(ready.message.contains(winner), "{}", ready.message);
    let seen = world.since(&mark).await;
    assert_eq!(writes(&seen), [creation(&world)]);
    let id = only(&world).id;

    // A rotation of the common source is sent once.
    let mark = world.mark().await;
    rotate(&world, "second").await;
    let seen = world.since(&mark).await;
    assert_eq!(writes(&seen), [patch(&id, json!({"value": "second"}))]);

    // The other one takes over; what it finds is what it declares, except for the value it can't read.
    let mark = world.mark().await;
    world.delete(winner).await;
    world.synced(loser).await;
    let seen = world.since(&mark).await;
    assert_eq!(writes(&seen), [patch(&id, json!({"value": "second"}))]);
    assert_eq!(only(&world).id, id);
}

/// The second object comes while the creation for the first is under way.
#[tokio::test]
async fn a_second_object_while_the_first_creates() {
    let world = empty(Setup::new()).await;
    let mark = world.mark().await;
    let fault = world.sim.fault(Fault::stall().method("POST").once());
    world.create(named(&world, "one").create_if_missing()).await;
    held(&fault).await;
    world.create(named(&world, "two").create_if_missing()).await;
    let one = |log: &Entries| log.since(mark.sim).writes().len() == 1;
    let stays = world.sim.log().stays(one, QUIET).await;
    stays.expect("one creation alone");
    fault.release();
    let [winner, loser] = by_age(&world, ["one", "two"]).await;
    world.synced(winner).await;
    world.reason(loser, "Conflict").await;
    only(&world);
    assert_eq!(posts(&world, &mark).len(), 1);
}

/// One of them creates, the other wants to find it: whoever is older wins.
#[tokio::test]
async fn one_that_waits_for_the_secret_finds_what_another_object_created() {
    let world = empty(Setup::new().flag("--resync-interval=1s")).await;
    let mark = world.mark().await;
    world.create(named(&world, "finds")).await;
    world.reason("finds", "RemoteNotFound").await;
    world
        .create(named(&world, "makes").create_if_missing())
        .await;
    let [winner, loser] = by_age(&world, ["finds", "makes"]).await;
    world.synced(winner).await;
    world.reason(loser, "Conflict").await;
    only(&world);
    assert_eq!(posts(&world, &mark).len(), 1);
}

/// An object is deleted and made again under its name while the creation is under way: the new one takes over what
/// comes of that, and does not wait for the one that is gone.
#[tokio::test]
async fn an_object_that_is_made_again_while_it_creates() {
    let world = empty(Setup::new()).await;
    let mark = world.mark().await;
    let fault = world.sim.fault(Fault::stall().method("POST").once());
    objects::older(&world.create(declared(&world)).await).await;
    held(&fault).await;
    world.delete("token").await;
    world.gone("token").await;
    world.create(declared(&world)).await;
    noticed(&world).await;
    fault.release();
    is_created(&world).await;
    assert_eq!(posts(&world, &mark).len(), 1);
}
