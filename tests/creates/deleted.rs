//! Somebody else deletes the secret in Nairi.

use super::*;

/// How soon a sweep each two seconds has to see it, on a busy machine.
const SWEPT: Duration = Duration::from_secs(8);

fn sweeping() -> Setup {
    Setup::new().flag("--resync-interval=2s")
}

#[tokio::test]
async fn what_somebody_deleted_is_created_again() {
    let mut world = empty(sweeping()).await;
    world.create(declared(&world)).await;
    let old = is_created(&world).await;
    let mark = world.mark().await;
    let began = std::time::Instant::now();
    world.sim.outsider().delete(&old).expect("it exists");
    posted(&world, &mark, 1).await;
    assert!(began.elapsed() < SWEPT, "after {:?}", began.elapsed());
    let new = is_created(&world).await;
    assert_ne!(new, old);
    let created = [&old, &new].map(|id| format!("Created the secret in Nairi: {id}."));
    eventually("each is told with its own id", SOON, || async {
        let events = world.events("token").await.into_iter();
        let told = events.filter_map(|(reason, note)| (reason == "Created").then_some(note));
        (told.collect::<Vec<_>>() == created).then_some(())
    })
    .await;
    let seen = world.seen(&mark);
    assert_eq!(writes(&seen), [creation(&world)]);
    // The old one was asked for itself: a list alone proves nothing.
    let asked = reads(&seen);
    let asked = asked.iter().filter(|sent| **sent == patch(&old, json!({})));
    assert_eq!(asked.count(), 1, "{seen:#?}");
    world.operator.restart().await;
    assert_eq!(is_created(&world).await, new);
    assert_eq!(posts(&world, &mark).len(), 1);
}

/// A rotation finds it out before any sweep.
#[tokio::test]
async fn a_rotation_finds_out_that_somebody_deleted_it() {
    let world = empty(Setup::new()).await;
    world.create(declared(&world)).await;
    let old = is_created(&world).await;
    let mark = world.mark().await;
    world.sim.outsider().delete(&old).expect("it exists");
    rotate(&world, "second").await;
    posted(&world, &mark, 1).await;
    world.synced("token").await;
    let new = only(&world).id;
    is_true(&world, &new, "second").await;
    let seen = world.since(&mark).await;
    let body = json!({"env_key": "TOKEN", "value": "second", "allowed_domains": DOMAINS});
    let again = post(&world.vault, body);
    assert_eq!(
        writes(&seen),
        [patch(&old, json!({"value": "second"})), again]
    );
}

#[tokio::test]
async fn without_the_policy_it_is_missed() {
    let world = empty(sweeping()).await;
    let id = world.remote("TOKEN", "old", &DOMAINS);
    world.create(named(&world, "token")).await;
    is_created(&world).await;
    let mark = world.mark().await;
    let began = std::time::Instant::now();
    world.sim.outsider().delete(&id).expect("it exists");
    world.reason("token", "RemoteNotFound").await;
    assert!(began.elapsed() < SWEPT, "after {:?}", began.elapsed());
    listed(&world, &mark, 3).await;
    assert_eq!(writes(&world.seen(&mark)), []);
    assert_eq!(world.sim.secrets(&world.vault), []);
    let asked = world.requests().since(mark.sim).secret(&id).len();
    assert_eq!(asked, 1, "asked once for itself");
}

/// A 404 of something in between does not make us create a second one.
#[tokio::test]
async fn a_page_that_is_not_found_is_no_proof() {
    let world = empty(sweeping()).await;
    world.create(declared(&world)).await;
    let id = is_created(&world).await;
    let mark = world.mark().await;
    let page = nairi_sim::Answer::new(404, "<html>").header("content-type", "text/html");
    let fault = world.sim.fault(Fault::answer(page).secret(&id));
    // It is out of the lists, too, so that the operator has a reason to ask.
    world.sim.behave(|it| it.list_omits = vec![id.clone()]);
    let asked = fault.wait_fired(2, SOON).await;
    asked.expect("it is asked for itself");
    assert_eq!(posts(&world, &mark).len(), 0);
    fault.remove();
    world.sim.behave(|it| it.list_omits = Vec::new());
    assert_eq!(is_created(&world).await, id);
    assert_eq!(posts(&world, &mark).len(), 0);
}
