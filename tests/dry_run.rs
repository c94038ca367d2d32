//! `--dry-run`: nothing is sent, the record stays, and status says what would be sent; without it that is done, once.

use crate::aftermath::*;
use crate::support::*;
use vaultsecret_operator::{
    api::{FINALIZER, VaultSecret, VaultSecretStatus},
    sync_request::ANNOTATION,
};

const FLAG: &str = "--dry-run";

/// The barrier would not come to its rest.
fn setup() -> Setup {
    Setup::new().without_barrier()
}

/// From now on a dry run, or not.
async fn run(world: &mut World, dry: bool) {
    if world.operator.is_running() {
        world.operator.stop().await;
    }
    let args = &mut world.operator.launch().args;
    args.retain(|arg| arg != FLAG);
    args.extend(dry.then(|| FLAG.to_owned()));
    start(world).await;
    let says = |line: &Value| line["message"].as_str().is_some_and(|it| it.contains(FLAG));
    assert_eq!(world.operator.log_lines().iter().any(says), dry);
}

/// `token` in sync, and then a dry run of the operator.
async fn dry_token() -> (World, String, VaultSecretStatus) {
    let (mut world, id) = token(setup()).await;
    let record = is_true(&world, &id, "first").await;
    run(&mut world, true).await;
    (world, id, record)
}

/// Waits until `token` says that this would be sent; the record is what it was.
async fn would(world: &World, what: &str, pending: Value, record: &VaultSecretStatus) {
    let message = format!("This is a dry run (--dry-run): {what}.");
    let says = |object: &VaultSecret| {
        let ready = objects::condition(object, "Ready");
        objects::current_reason(object) == Some("DryRun")
            && ready.is_some_and(|ready| ready.status == "Unknown" && ready.message == message)
    };
    let object = world.until("token", what, says).await;
    let status = object.status.expect("it has one");
    assert_eq!(json!(status.pending_fields), pending);
    let same = VaultSecretStatus {
        observed_generation: status.observed_generation,
        conditions: status.conditions.clone(),
        pending_fields: status.pending_fields.clone(),
        ..record.clone()
    };
    assert_eq!(status, same, "the record stays");
    let finalizers = object.metadata.finalizers.unwrap_or_default();
    assert!(!finalizers.iter().any(|name| name == FINALIZER));
}

/// Nothing but GETs was sent, and nothing but status and events was written.
#[track_caller]
fn looked_only(seen: &Seen) {
    let sent = seen.sent();
    let gets = |it: &Sent| matches!(it, Sent::List(_) | Sent::ListVaults);
    assert!(sent.iter().all(gets), "{sent:#?}");
    let written = seen.written();
    let tells = |it: &String| it == STATUS || it.contains(" events");
    assert!(written.iter().all(tells), "{written:#?}");
}

/// Ends the dry run: this one write is made, and then it is true that `token` is in sync with `value`.
async fn carried_out(world: &mut World, mark: &Mark, id: &str, body: Value, value: &str) {
    let seen = world.since(mark).await;
    looked_only(&seen);
    let mark = world.mark_now();
    run(world, false).await;
    world.synced("token").await;
    let seen = world.since(&mark).await;
    assert_eq!(writes(&seen), [patch(id, body)]);
    is_true(world, id, value).await;
    let seen = world.since(&mark).await;
    assert_eq!(writes(&seen).len(), 1);
}

#[tokio::test]
async fn what_is_in_sync_stays_so() {
    let (mut world, id, record) = dry_token().await;
    world.rest().await;
    let mark = world.mark().await;
    run(&mut world, true).await;
    // Another key of the source, and a setting that sends nothing.
    world.set_secret("source", "other", "unused").await;
    let seen = world.since(&mark).await;
    looked_only(&seen);
    seen.wrote_nothing();
    world
        .edit_spec("token", json!({"driftPolicy": "Report"}))
        .await;
    let object = world.synced("token").await;
    let status = object.status.expect("it has one");
    assert_eq!(status.source_version, record.source_version);
    assert_eq!(status.updated_at, world.sim.updated_at(&id));
    let seen = world.since(&mark).await;
    looked_only(&seen);
    seen.wrote_exactly(&[STATUS]);
}

#[tokio::test]
async fn a_first_sync() {
    let mut world = setup().start().await;
    run(&mut world, true).await;
    let id = world.remote("TOKEN", "old", &["old.example.com"]);
    world.create_secret("source", &[("key", "first")]).await;
    let mark = world.mark_now();
    let declared = world.vault_secret("token").env_key("TOKEN");
    let declared = declared.value_from("source", "key").domains(DOMAINS);
    world.create(declared).await;
    let both = json!(["value", "allowedDomains"]);
    let none = VaultSecretStatus::default();
    let what = "it would send value and allowedDomains";
    would(&world, what, both, &none).await;
    let body = json!({"value": "first", "allowed_domains": DOMAINS});
    carried_out(&mut world, &mark, &id, body, "first").await;
}

#[tokio::test]
async fn a_rotation() {
    let (mut world, id, record) = dry_token().await;
    let mark = world.mark_now();
    rotate(&world, "second").await;
    would(&world, "it would send value", json!(["value"]), &record).await;
    // Undone, nothing is pending.
    rotate(&world, "first").await;
    world.synced("token").await;
    rotate(&world, "third").await;
    would(&world, "it would send value", json!(["value"]), &record).await;
    carried_out(&mut world, &mark, &id, json!({"value": "third"}), "third").await;
}

#[tokio::test]
async fn a_change_of_domains() {
    let (mut world, id, record) = dry_token().await;
    let mark = world.mark_now();
    let domains = json!(["new.example.com"]);
    let change = json!({"allowedDomains": domains});
    world.edit_spec("token", change).await;
    let pending = json!(["allowedDomains"]);
    would(&world, "it would send allowedDomains", pending, &record).await;
    let body = json!({"allowed_domains": domains});
    carried_out(&mut world, &mark, &id, body, "first").await;
    assert_eq!(json!(world.sim.domains(&id)), domains);
}

/// A later pass, and a later process, does not forget what the vault's list showed.
#[tokio::test]
async fn drift() {
    let (mut world, id) = token(setup()).await;
    let record = is_true(&world, &id, "first").await;
    world.operator.stop().await;
    let mark = world.mark_now();
    let theirs = world
        .sim
        .outsider()
        .set_domains(&id, &["theirs.example.com"]);
    theirs.expect("it exists");
    world.set_secret("source", "other", "unused").await;
    run(&mut world, true).await;
    let both = json!(["value", "allowedDomains"]);
    let what = "it would send value and allowedDomains";
    would(&world, what, both.clone(), &record).await;
    world.set_secret("source", "other", "changed").await;
    world.rest().await;
    would(&world, what, both.clone(), &record).await;
    run(&mut world, true).await;
    world.rest().await;
    would(&world, what, both, &record).await;
    let body = json!({"value": "first", "allowed_domains": DOMAINS});
    carried_out(&mut world, &mark, &id, body, "first").await;
}

#[tokio::test]
async fn a_refusal_shows_as_it_would() {
    let (mut world, id, record) = dry_token().await;
    let mark = world.mark_now();
    world.delete_secret("source").await;
    let object = world.reason("token", "SourceNotFound").await;
    let status = object.status.expect("it has one");
    assert_eq!(status.value_fingerprint, record.value_fingerprint);
    world.create_secret("source", &[("key", "second")]).await;
    would(&world, "it would send value", json!(["value"]), &record).await;
    carried_out(&mut world, &mark, &id, json!({"value": "second"}), "second").await;
}

/// The binding is part of the record.
#[tokio::test]
async fn a_remote_secret_that_is_gone() {
    let (world, id, record) = dry_token().await;
    let mark = world.mark_now();
    world.sim.outsider().delete(&id).expect("it exists");
    let change = json!({"allowedDomains": ["new.example.com"]});
    world.edit_spec("token", change).await;
    let object = world.reason("token", "RemoteNotFound").await;
    let status = object.status.expect("it has one");
    assert_eq!(status.secret_id, record.secret_id);
    assert_eq!(status.value_fingerprint, record.value_fingerprint);
    let seen = world.since(&mark).await;
    looked_only(&seen);
}

#[tokio::test]
async fn a_request_for_a_sync() {
    let (mut world, id, record) = dry_token().await;
    let mark = world.mark_now();
    let annotation = json!({"metadata": {"annotations": {ANNOTATION: "1"}}});
    world.edit("token", annotation).await;
    let both = json!(["value", "allowedDomains"]);
    let what = "it would send value and allowedDomains";
    would(&world, what, both, &record).await;
    let body = json!({"value": "first", "allowed_domains": DOMAINS});
    carried_out(&mut world, &mark, &id, body, "first").await;
    let status = world.get("token").await.status.expect("it has one");
    assert_eq!(status.last_handled_sync_request.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_creation() {
    let mut world = setup().start().await;
    run(&mut world, true).await;
    world.create_secret("source", &[("key", "first")]).await;
    let mark = world.mark_now();
    let declared = world.vault_secret("token").env_key("TOKEN");
    let declared = declared.value_from("source", "key").domains(DOMAINS);
    let declared = declared.create_if_missing().delete_remote();
    world.create(declared).await;
    let both = json!(["value", "allowedDomains"]);
    let none = VaultSecretStatus::default();
    let what = "it would create the secret TOKEN";
    would(&world, what, both, &none).await;
    looked_only(&world.since(&mark).await);

    run(&mut world, false).await;
    let object = world.synced("token").await;
    let seen = world.since(&mark).await;
    let body = json!({"env_key": "TOKEN", "value": "first", "allowed_domains": DOMAINS});
    assert_eq!(writes(&seen), [post(&world.vault, body)]);
    let id = object.status.and_then(|status| status.secret_id);
    is_true(&world, &id.expect("it is bound"), "first").await;
}

/// What each sweep shows again is told once, and costs no list of its own.
#[tokio::test]
async fn a_secret_that_is_gone_and_would_be_created_anew() {
    let mut world = setup().flag("--resync-interval=2s").start().await;
    let id = world.remote("TOKEN", "old", &DOMAINS);
    world.create_secret("source", &[("key", "first")]).await;
    let declared = world.vault_secret("token").env_key("TOKEN");
    let declared = declared.value_from("source", "key").domains(DOMAINS);
    world.create(declared.create_if_missing()).await;
    world.synced("token").await;
    let record = is_true(&world, &id, "first").await;
    run(&mut world, true).await;
    world.sim.outsider().delete(&id).expect("it exists");
    let both = json!(["value", "allowedDomains"]);
    let what = "it would create the secret TOKEN";
    would(&world, what, both, &record).await;
    let mark = world.mark().await;
    let lists = |log: &nairi_sim::Entries| log.since(mark.sim).len();
    let began = std::time::Instant::now();
    let waited = world
        .sim
        .log()
        .wait_for(|log| lists(log) >= 6, 2 * SOON)
        .await;
    waited.expect("it is swept");
    assert!(began.elapsed().as_secs() >= 3, "in {:?}", began.elapsed());
    let seen = world.since(&mark).await;
    looked_only(&seen);
    seen.wrote_nothing();
}

#[tokio::test]
async fn a_deletion() {
    let (mut world, id) = token(setup()).await;
    world
        .edit_spec("token", json!({"deletionPolicy": "Delete"}))
        .await;
    let held = |object: &VaultSecret| object.metadata.finalizers.is_some();
    world.until("token", "held by the finalizer", held).await;
    run(&mut world, true).await;
    let mark = world.mark_now();
    world.delete("token").await;
    let object = world.reason("token", "DryRun").await;
    assert!(object.metadata.finalizers.is_some());
    looked_only(&world.since(&mark).await);
    assert!(world.sim.secret(&id).is_some());

    run(&mut world, false).await;
    world.gone("token").await;
    assert_eq!(writes(&world.since(&mark).await), [delete(&id)]);
}
