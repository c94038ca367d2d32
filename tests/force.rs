//! A sync on request: each new value of the annotation `nairi.ai/sync-requested-at` has everything that is managed
//! read and sent once, whatever happens meanwhile.

use crate::aftermath::*;
use crate::support::*;
use vaultsecret_operator::sync_request::ANNOTATION;

/// Asks for a sync of `token`, as users do.
async fn request(world: &World, value: &str) {
    let annotation = format!("{ANNOTATION}={value}");
    let annotate = ["annotate", "nvs", "token", &annotation, "--overwrite"];
    world.kubectl(&annotate).await.ok();
}

/// Waits until the request counts as carried out, and the object is in sync.
async fn handled(world: &World, value: &str) {
    world.synced("token").await;
    let done = |object: &vaultsecret_operator::api::VaultSecret| {
        let status = object.status.as_ref();
        status.and_then(|status| status.last_handled_sync_request.as_deref()) == Some(value)
    };
    let object = world.until("token", "synced on request", done).await;
    assert_eq!(objects::current_reason(&object), Some("Synced"));
}

/// What carries a request out: a look at what is there, and one PATCH of everything.
fn forced(id: &str, value: &str) -> [Sent; 2] {
    [patch(id, json!({})), all(id, value)]
}

fn all(id: &str, value: &str) -> Sent {
    patch(id, json!({"value": value, "allowed_domains": DOMAINS}))
}

async fn corrections(world: &World) -> f64 {
    let metrics = world.operator.metrics().await;
    metrics.sample("vaultsecret_drift_total{action=\"corrected\"}")
}

#[tokio::test]
async fn a_request_is_carried_out_once() {
    let (mut world, id) = token(Setup::new()).await;
    for value in ["1", "2"] {
        let mark = world.mark().await;
        request(&world, value).await;
        handled(&world, value).await;
        let seen = world.since(&mark).await;
        seen.sent_exactly(&forced(&id, "first"));
        seen.wrote_exactly(&[STATUS]);
        assert_eq!(world.secrets_read(&mark).await, ["source"]);
        is_true(&world, &id, "first").await;
    }
    assert!(corrections(&world).await < 1.0, "nobody else wrote");

    // The same value again, its removal and its return are no requests.
    let mark = world.mark().await;
    request(&world, "2").await;
    let annotate = ["annotate", "nvs", "token"];
    let removed = format!("{ANNOTATION}-");
    world
        .kubectl(&[&annotate[..], &[&removed]].concat())
        .await
        .ok();
    world
        .kubectl(&[&annotate[..], &["note=other"]].concat())
        .await
        .ok();
    world.mark().await;
    request(&world, "2").await;
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    seen.wrote_nothing();
    a_restart_does_nothing(&mut world).await;
}

#[tokio::test]
async fn a_request_while_the_operator_is_down_is_carried_out_at_its_start() {
    let (mut world, id) = token(Setup::new()).await;
    let mark = world.mark().await;
    world.operator.stop().await;
    request(&world, "1").await;
    start(&mut world).await;
    handled(&world, "1").await;
    let seen = world.since(&mark).await;
    assert_eq!(writes(&seen), [all(&id, "first")]);
    wrote(&seen, 1, 0);
    is_true(&world, &id, "first").await;
    a_restart_does_nothing(&mut world).await;
}

#[tokio::test]
async fn a_kill_does_not_forget_a_request() {
    let (mut world, id) = token(Setup::new()).await;
    let mark = world.mark().await;
    let fault = hold(&world, &id, false);
    request(&world, "1").await;
    held(&fault).await;
    world.operator.kill();
    ended(&world, &mark, &id, 2).await;
    fault.remove();
    start(&mut world).await;
    handled(&world, "1").await;
    let seen = world.since(&mark).await;
    assert_eq!(writes(&seen), [all(&id, "first"), all(&id, "first")]);
    wrote(&seen, 1, 0);
    a_restart_does_nothing(&mut world).await;
}

/// It is asked for, so it is sent under Report too; what was reported is put right by it.
#[tokio::test]
async fn under_report_a_request_puts_back_what_is_declared() {
    let (mut world, id) = token(Setup::new()).await;
    world
        .edit_spec("token", json!({"driftPolicy": "Report"}))
        .await;
    world.synced("token").await;
    world.operator.stop().await;
    let theirs = world.sim.outsider().set(
        &id,
        Some("theirs".to_owned()),
        Some(vec!["theirs.example.com".to_owned()]),
    );
    theirs.expect("it exists");
    // Something changed meanwhile, so the vault is looked at.
    world.set_secret("source", "other", "unused").await;
    start(&mut world).await;
    world.reason("token", "DriftDetected").await;

    let mark = world.mark().await;
    request(&world, "1").await;
    handled(&world, "1").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&forced(&id, "first"));
    assert_eq!(json!(world.sim.domains(&id)), json!(DOMAINS));
    is_true(&world, &id, "first").await;
    a_restart_does_nothing(&mut world).await;
}

/// What somebody else did is counted as corrected, since it was.
#[tokio::test]
async fn a_request_finds_what_somebody_else_did() {
    let (world, id) = token(Setup::new()).await;
    let mark = world.mark().await;
    let theirs = world.sim.outsider().set_value(&id, "theirs");
    theirs.expect("it exists");
    request(&world, "1").await;
    handled(&world, "1").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&forced(&id, "first"));
    wrote(&seen, 1, 1);
    assert!((corrections(&world).await - 1.0).abs() < 0.1);
    is_true(&world, &id, "first").await;
}

#[tokio::test]
async fn a_request_waits_for_a_valid_key() {
    let (mut world, id) = token(Setup::new()).await;
    let mark = world.mark().await;
    world.sim.revoke_key(world.sim.api_key());
    request(&world, "1").await;
    let refused = world.reason("token", "Unauthorized").await;
    let status = refused.status.expect("it has one");
    assert_eq!(
        json!(status.pending_fields),
        json!(["value", "allowedDomains"])
    );
    assert_eq!(status.last_handled_sync_request, None);

    let renewed = nairi_sim::api_key();
    world.sim.add_key(&renewed);
    let (secret, key) = API_KEY_SECRET;
    world.set_secret(secret, key, &renewed).await;
    handled(&world, "1").await;
    let seen = world.since(&mark).await;
    assert_eq!(writes(&seen), [all(&id, "first")]);
    is_true(&world, &id, "first").await;
    a_restart_does_nothing(&mut world).await;
}

#[tokio::test]
async fn a_request_waits_for_the_api() {
    // Where the question fails, and where only the PATCH after it does.
    for fault in [
        |id: &str| Fault::status(503).secret(id),
        |id: &str| Fault::status(503).secret(id).writes(),
    ] {
        let (world, id) = token(Setup::new()).await;
        let mark = world.mark().await;
        let fault = world.sim.fault(fault(&id));
        request(&world, "1").await;
        let blocked = world.reason("token", "ApiUnavailable").await;
        let status = blocked.status.expect("it has one");
        assert_eq!(
            json!(status.pending_fields),
            json!(["value", "allowedDomains"])
        );
        assert_eq!(status.last_handled_sync_request, None);
        fault.remove();
        handled(&world, "1").await;
        let seen = world.since(&mark).await;
        let ok = nairi_sim::Outcome::Answered(200);
        let taken = seen.requests.writes().only(|entry| entry.outcome == ok);
        assert_eq!(taken.len(), 1, "{taken:#?}");
        is_true(&world, &id, "first").await;
    }
}

#[tokio::test]
async fn a_request_waits_for_the_source() {
    let (world, id) = token(Setup::new()).await;
    world.delete_secret("source").await;
    world.reason("token", "SourceNotFound").await;
    let mark = world.mark().await;
    request(&world, "1").await;
    world.mark().await;
    world.create_secret("source", &[("key", "first")]).await;
    handled(&world, "1").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&forced(&id, "first"));
    wrote(&seen, 1, 1);
}

/// The annotation was there before the first sync, which sends everything: once.
#[tokio::test]
async fn the_first_sync_carries_a_request_out() {
    let mut world = World::start().await;
    let id = world.remote("TOKEN", "old", &DOMAINS);
    world.create_secret("source", &[("key", "first")]).await;
    let mark = world.mark().await;
    let declared = world.vault_secret("token").env_key("TOKEN");
    let declared = declared.value_from("source", "key").domains(DOMAINS);
    world.create(declared.annotation(ANNOTATION, "1")).await;
    handled(&world, "1").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list(&world.vault), all(&id, "first")]);
    wrote(&seen, 1, 1);
    a_restart_does_nothing(&mut world).await;
}

/// Only what is managed is sent.
#[tokio::test]
async fn a_request_sends_nothing_that_is_not_managed() {
    let (world, id) = token(Setup::new()).await;
    world
        .edit_spec("token", json!({"allowedDomains": null}))
        .await;
    world.synced("token").await;
    let mark = world.mark().await;
    request(&world, "1").await;
    handled(&world, "1").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[patch(&id, json!({})), patch(&id, json!({"value": "first"}))]);
}

/// The value may be anything; a long one is cut, and is one request all the same.
#[tokio::test]
async fn a_long_request_is_cut() {
    let (mut world, id) = token(Setup::new()).await;
    let mark = world.mark().await;
    let long = "x".repeat(10_000);
    let change = json!({"metadata": {"annotations": {ANNOTATION: long}}});
    world.edit("token", change).await;
    handled(&world, &long[..128]).await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&forced(&id, "first"));
    a_restart_does_nothing(&mut world).await;
}

#[tokio::test]
async fn a_request_while_suspended_waits_until_it_is_over() {
    let (world, id) = token(Setup::new()).await;
    world.edit_spec("token", json!({"suspend": true})).await;
    world
        .until("token", "suspended", |object| {
            objects::condition(object, "Suspended").is_some()
        })
        .await;
    let mark = world.mark().await;
    request(&world, "1").await;
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    seen.wrote_nothing();
    world.edit_spec("token", json!({"suspend": false})).await;
    handled(&world, "1").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&forced(&id, "first"));
    seen.wrote_exactly(&[STATUS]);
}
