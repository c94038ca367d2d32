//! Nothing is lost when the Nairi API is away or fails, or when the operator has to end meanwhile: each object
//! waits for itself, ever longer, and goes on by itself once the API is back.

use std::time::{Duration, Instant};

use crate::aftermath::*;
use crate::support::*;
use nairi_sim::{Entries, FaultHandle};

/// The delays after failures in a row, each shortened by up to half.
const DELAYS: [u64; 3] = [1, 2, 4];

/// How much longer than planned a retry may take on a busy machine.
const SLACK: Duration = Duration::from_millis(1500);

/// The failures, as `status.pendingFields` of `token` tells of them.
async fn unavailable(world: &World, pending: Value) {
    let object = world
        .until("token", "ApiUnavailable", |object| {
            let status = object.status.as_ref();
            objects::current_reason(object) == Some("ApiUnavailable")
                && status.is_some_and(|status| json!(status.pending_fields) == pending)
        })
        .await;
    let retried = objects::condition(&object, "Reconciling").expect("it is retried");
    assert_eq!(retried.status, "True");
}

/// Waits until the fault has fired so often.
async fn fired(fault: &FaultHandle, times: u64) {
    let fired = fault.wait_fired(times, SOON).await;
    fired.expect("it fires");
}

/// The reasons of the events about `token`, and how often each was published.
async fn reasons(world: &World) -> Vec<String> {
    let events = world.events("token").await;
    events.into_iter().map(|(reason, _)| reason).collect()
}

#[tokio::test]
async fn an_api_that_fails_is_asked_less_and_less() {
    let (mut world, id) = token(Setup::new()).await;
    // Beside it an object that does not fail.
    let other = world.remote("OTHER", "old", &DOMAINS);
    world.create_secret("beside", &[("key", "first")]).await;
    let declared = world.vault_secret("other").env_key("OTHER");
    let declared = declared.value_from("beside", "key").domains(DOMAINS);
    world.create(declared).await;
    world.synced("other").await;

    let mark = world.mark().await;
    let fault = world.sim.fault(Fault::status(500).secret(&id));
    rotate(&world, "second").await;
    unavailable(&world, json!(["value"])).await;
    fired(&fault, 4).await;
    world.set_secret("beside", "key", "second").await;
    let beside = |log: &Entries| log.since(mark.sim).secret(&other).ended().len() == 1;
    let waited = world
        .sim
        .log()
        .wait_for(beside, Duration::from_secs(3))
        .await;
    waited.expect("another object is not held up");

    // A change of the declaration is tried at once, and with everything that is due.
    let domains = json!(["new.example.com"]);
    world
        .edit_spec("token", json!({"allowedDomains": domains}))
        .await;
    unavailable(&world, json!(["value", "allowedDomains"])).await;
    fired(&fault, 5).await;
    fault.remove();
    let seen = world.synced("token").await;
    assert_eq!(
        seen.status
            .expect("it is synced")
            .last_patch
            .map(|it| it.fields.len()),
        Some(2)
    );

    let seen = world.since(&mark).await;
    let about = seen.requests.secret(&id);
    let second = patch(&id, json!({"value": "second"}));
    let both = patch(&id, json!({"value": "second", "allowed_domains": domains}));
    let sent: Vec<_> = about.iter().map(|entry| Sent::from(&**entry)).collect();
    let (value, rest): (Vec<_>, Vec<_>) = sent.into_iter().partition(|sent| *sent == second);
    assert_eq!((value.len(), rest), (4, vec![both.clone(), both]));
    let beside = seen.requests.secret(&other);
    let beside: Vec<_> = beside.iter().map(|entry| Sent::from(&**entry)).collect();
    assert_eq!(beside, [patch(&other, json!({"value": "second"}))]);
    assert_eq!(
        seen.requests.len(),
        7,
        "and nothing else: {:?}",
        seen.sent()
    );
    for (pair, delay) in about.windows(2).zip(DELAYS.map(Duration::from_secs)) {
        let gap = pair[1].arrived - pair[0].arrived;
        assert!(
            gap >= delay / 2 && gap <= delay + SLACK,
            "{gap:?} for {delay:?}"
        );
    }

    // Failing with the value, failing with both, in sync; the other object's rotation.
    let mut written = seen.written();
    written.retain(|write| write != "patch vaultsecrets/status other");
    assert_eq!(written.len() + 1, seen.written().len());
    let statuses = written.iter().filter(|write| *write == STATUS).count();
    assert_eq!((statuses, written.len()), (3, 3 + 2), "{written:?}");
    assert_eq!(
        reasons(&world).await,
        ["Synced", "ApiUnavailable"],
        "the third is in the first's series"
    );
    is_true(&world, &id, "second").await;
    world.operator.stop().await;
}

#[tokio::test]
async fn an_api_that_is_away_gets_the_change_once_it_is_back() {
    let (mut world, id) = token(Setup::new()).await;
    let mark = world.mark().await;
    world.sim.pause().await.expect("it goes away");
    rotate(&world, "second").await;
    unavailable(&world, json!(["value"])).await;
    let domains = json!(["new.example.com"]);
    world
        .edit_spec("token", json!({"allowedDomains": domains}))
        .await;
    unavailable(&world, json!(["value", "allowedDomains"])).await;
    world.sim.resume().await.expect("it comes back");
    world.synced("token").await;
    let seen = world.since(&mark).await;
    let both = json!({"value": "second", "allowed_domains": domains});
    seen.sent_exactly(&[patch(&id, both)]);
    wrote(&seen, 3, 2);
    world.connected("Verified").await;
    is_true(&world, &id, "second").await;
    a_restart_does_nothing(&mut world).await;
}

/// A value that was declared and withdrawn while every connection was refused was certainly never stored.
#[tokio::test]
async fn a_change_that_is_withdrawn_during_the_outage() {
    let (mut world, id) = token(Setup::new()).await;
    let mark = world.mark().await;
    world.sim.pause().await.expect("it goes away");
    rotate(&world, "second").await;
    unavailable(&world, json!(["value"])).await;
    rotate(&world, "first").await;
    world.sim.resume().await.expect("it comes back");
    world.synced("token").await;
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    wrote(&seen, 2, 2);
    is_true(&world, &id, "first").await;
    a_restart_does_nothing(&mut world).await;
}

/// A first sync that can't list its vault.
#[tokio::test]
async fn a_list_that_fails_is_tried_again() {
    let (world, id) = token(Setup::new()).await;
    let other = world.remote("OTHER", "old", &DOMAINS);
    let mark = world.mark().await;
    let path = format!("{}/vaults/{}/secrets", nairi_sim::BASE, world.vault);
    let fault = world.sim.fault(Fault::status(500).path(&path).times(3));
    let declared = world.vault_secret("other").env_key("OTHER");
    let declared = declared.value_from("source", "key").domains(DOMAINS);
    world.create(declared).await;
    world.reason("other", "ApiUnavailable").await;
    fired(&fault, 3).await;
    world.synced("other").await;
    let seen = world.since(&mark).await;
    let lists = list(&world.vault);
    seen.sent_exactly(&[
        lists.clone(),
        lists.clone(),
        lists.clone(),
        lists,
        patch(&other, json!({"value": "first"})),
    ]);
    let listed = seen.requests.method("GET");
    for (pair, delay) in listed.windows(2).zip(DELAYS.map(Duration::from_secs)) {
        let gap = pair[1].arrived - pair[0].arrived;
        assert!(
            gap >= delay / 2 && gap <= delay + SLACK,
            "{gap:?} for {delay:?}"
        );
    }
    let status = "patch vaultsecrets/status other";
    let create = "create events";
    seen.wrote_exactly(&[status, status, create, create]);
    is_true(&world, &id, "first").await;
}

#[tokio::test]
async fn sigterm_lets_the_patch_and_its_status_finish() {
    let (mut world, id) = token(Setup::new()).await;
    let mark = world.mark().await;
    let delay = Duration::from_secs(2);
    let fault = world
        .sim
        .fault(Fault::delay(delay).secret(&id).writes().once());
    rotate(&world, "second").await;
    fired(&fault, 1).await;
    let began = Instant::now();
    world.operator.stop().await;
    let took = began.elapsed();
    assert!(
        took > delay / 2 && took < delay + Duration::from_secs(3),
        "{took:?}"
    );
    let seen = world.seen(&mark);
    seen.sent_exactly(&[patch(&id, json!({"value": "second"}))]);
    wrote(&seen, 1, 0);
    is_true(&world, &id, "second").await;

    let mark = world.mark_now();
    start(&mut world).await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list_vaults()]);
    seen.wrote_nothing();
}

/// An answer that never comes can't hold the process longer than the API timeout.
#[tokio::test]
async fn sigterm_does_not_wait_for_an_api_that_hangs() {
    let (mut world, id) = token(Setup::new()).await;
    let mark = world.mark().await;
    let fault = hold(&world, &id, true);
    rotate(&world, "second").await;
    held(&fault).await;
    // It ends well, and within 20 s: see `stop`.
    world.operator.stop().await;
    let seen = world.seen(&mark);
    seen.sent_exactly(&[patch(&id, json!({"value": "second"}))]);
    unavailable(&world, json!(["value"])).await;
    rotate(&world, "first").await;

    start(&mut world).await;
    world.synced("token").await;
    let seen = world.since(&mark).await;
    assert_eq!(values(&seen), ["second", "first"]);
    is_true(&world, &id, "first").await;
}

/// Nothing is under way while an object waits for its next try.
#[tokio::test]
async fn sigterm_does_not_wait_for_a_retry() {
    let (mut world, id) = token(Setup::new()).await;
    let mark = world.mark().await;
    let fault = world.sim.fault(Fault::status(500).secret(&id));
    rotate(&world, "second").await;
    fired(&fault, 4).await;
    unavailable(&world, json!(["value"])).await;
    let began = Instant::now();
    world.operator.stop().await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    fault.remove();
    start(&mut world).await;
    let seen = world.since(&mark).await;
    let sent = patch(&id, json!({"value": "second"}));
    let mut expected = vec![sent.clone(); 4];
    expected.extend([list_vaults(), sent]);
    seen.sent_exactly(&expected);
    is_true(&world, &id, "second").await;
}
