//! What the tests of crashes and outages share: one object in sync, and whether what is left of it is true.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of this")]

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use nairi_sim::FaultHandle;
use secrecy::SecretString;
use vaultsecret_operator::{
    api::VaultSecretStatus,
    fingerprint::{Binding, FingerprintKey, keeper},
};

use crate::support::{Value, objects::current_reason, *};

/// The one write that says how `token` is.
pub const STATUS: &str = "patch vaultsecrets/status token";

/// The domains of `token`, and of its remote secret.
pub const DOMAINS: [&str; 1] = ["api.example.com"];

/// A world with VaultSecret `token` in sync: its value is key `key` of Secret `source`, namely `first`.
/// Returns the id of the remote secret too.
pub async fn token(setup: Setup) -> (World, String) {
    let world = setup.start().await;
    let id = world.remote("TOKEN", "old", &DOMAINS);
    world.create_secret("source", &[("key", "first")]).await;
    let declared = world.vault_secret("token").env_key("TOKEN");
    let declared = declared.value_from("source", "key").domains(DOMAINS);
    world.create(declared).await;
    world.synced("token").await;
    (world, id)
}

/// Sets the value that is declared.
pub async fn rotate(world: &World, value: &str) {
    world.set_secret("source", "key", value).await;
}

/// Tries to set the value that is declared, while Kubernetes may be away.
pub async fn try_to_rotate(world: &World, value: &str) -> bool {
    let change = kube::api::Patch::Merge(json!({"stringData": {"key": value}}));
    let (secrets, params) = (world.secrets(), kube::api::PatchParams::default());
    let patch = secrets.patch("source", &params, &change);
    let done = tokio::time::timeout(Duration::from_secs(1), patch).await;
    matches!(done, Ok(Ok(_)))
}

/// Holds up the next write of the secret: before it is applied, or its answer after that.
pub fn hold(world: &World, id: &str, after: bool) -> FaultHandle {
    let fault = Fault::stall().secret(id).writes().once();
    world.sim.fault(if after { fault.after() } else { fault })
}

/// Waits until a request is held up.
pub async fn held(fault: &FaultHandle) {
    let held = fault.wait_stalled(1, SOON).await;
    held.expect("a request is held up");
}

/// Waits until so many requests about the secret have come to an end since the mark.
pub async fn ended(world: &World, mark: &Mark, id: &str, count: usize) {
    let ended = |log: &nairi_sim::Entries| log.since(mark.sim).secret(id).ended().len() >= count;
    let waited = world.sim.log().wait_for(ended, SOON).await;
    waited.expect("they end");
}

/// Starts the operator anew.
pub async fn start(world: &mut World) {
    world.operator.start().await;
    world.connected("Verified").await;
}

/// The vault comes to hold `value`, and the status of `token` says the truth about it.
pub async fn is_true(world: &World, id: &str, value: &str) -> VaultSecretStatus {
    let stored = eventually("the value is stored", SOON, || async {
        world.sim.secret(id).filter(|stored| stored.value == value)
    })
    .await;
    let newest = stored.updated_at;
    let object = world
        .until("token", "true", |object| {
            let status = object.status.as_ref();
            current_reason(object) == Some("Synced")
                && status.and_then(|status| status.updated_at.as_ref()) == Some(&newest)
        })
        .await;
    assert_eq!(world.sim.updated_at(id), Some(newest), "nothing more came");
    let uid = object.metadata.uid.as_deref().expect("a uid");
    let status = object.status.expect("it is synced");
    let binding = Binding {
        uid,
        vault_id: &world.vault,
        secret_id: id,
    };
    let fingerprint = key(world).await.of(binding, &SecretString::from(value));
    assert_eq!(
        status.value_fingerprint,
        Some(fingerprint),
        "of what is stored"
    );
    assert_eq!(status.secret_id.as_deref(), Some(id));
    assert_eq!(status.allowed_domains, Some(stored.allowed_domains));
    assert_eq!(json!(status.pending_fields), json!([]));
    assert_eq!(status.drift, None);
    let conditions: Vec<_> = status
        .conditions
        .iter()
        .map(|it| it.type_.as_str())
        .collect();
    assert_eq!(conditions, ["Ready"]);
    status
}

/// A new process finds nothing to do, and reads no source for that.
pub async fn a_restart_does_nothing(world: &mut World) {
    let mark = world.mark().await;
    world.operator.stop().await;
    start(world).await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list_vaults()]);
    seen.wrote_nothing();
    assert_eq!(world.secrets_read(&mark).await, [API_KEY_SECRET.0]);
}

/// The operator has seen that an object it is working on changed: its status write won't meet a newer one.
pub async fn noticed(world: &World) {
    eventually("the change is noticed", SOON, || async {
        let due = world
            .operator
            .metrics()
            .await
            .sample("vaultsecret_queue_depth");
        (due > 0.0).then_some(())
    })
    .await;
}

/// The requests that ask for a write.
pub fn writes(seen: &Seen) -> Vec<Sent> {
    let writes = seen.requests.writes();
    writes.iter().map(|entry| Sent::from(&**entry)).collect()
}

/// The requests that only read, other than the try of the API key.
pub fn reads(seen: &Seen) -> Vec<Sent> {
    let reads = seen.requests.only(|entry| !entry.is_write());
    let mut reads: Vec<_> = reads.iter().map(|entry| Sent::from(&**entry)).collect();
    reads.retain(|read| *read != list_vaults());
    reads
}

/// So many writes of the status of `token` were made, and so many of events, and no others.
#[track_caller]
pub fn wrote(seen: &Seen, statuses: usize, events: usize) {
    let written = seen.written();
    let is_event =
        |write: &&String| write.starts_with("create events") || write.starts_with("patch events");
    let count = (
        written.iter().filter(|write| *write == STATUS).count(),
        written.iter().filter(is_event).count(),
    );
    assert_eq!(count, (statuses, events), "{written:?}");
    assert_eq!(written.len(), statuses + events, "{written:?}");
}

/// Exactly one write of the status of `token` was accepted since the mark, and nothing else was. An API server
/// that begins refuses what it does not know the rights for so far.
pub async fn one_status_was_accepted(world: &World, mark: &Mark) {
    let (audit, since) = (world.cluster.audit(), mark.audit.expect("the log"));
    // The last answer may be logged a moment late.
    let accepted = eventually("a status write is accepted", SOON, || async {
        let mut all = audit.answered(&world.user, since);
        all.retain(|request| request.code < 300 && request.name != "barrier");
        all.retain(|request| ["create", "update", "patch", "delete"].contains(&&*request.verb));
        all.retain(|request| request.resource != "leases");
        (!all.is_empty()).then_some(all)
    })
    .await;
    let accepted: Vec<_> = accepted.iter().map(|it| (it.what(), &*it.name)).collect();
    assert_eq!(accepted, [("vaultsecrets/status".to_owned(), "token")]);
}

/// The values that were sent, each as the only field of its PATCH.
pub fn values(seen: &Seen) -> Vec<String> {
    let alone = |sent: Sent| match sent {
        Sent::Patch(_, Value::Object(body)) if body.len() == 1 => {
            body["value"].as_str().expect("a text").to_owned()
        }
        other => panic!("not a value alone: {other:?}"),
    };
    writes(seen).into_iter().map(alone).collect()
}

/// The values are `value-N` with growing N, so that none was sent twice, and end with this one.
#[track_caller]
pub fn grow(values: &[String], last: usize) {
    let number = |value: &String| value.strip_prefix("value-")?.parse::<usize>().ok();
    let numbers: Option<Vec<_>> = values.iter().map(number).collect();
    let numbers = numbers.expect("values of rotations");
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    assert_eq!(numbers.last(), Some(&last));
}

/// The Secrets of the operator's own namespace.
pub fn own_secrets(world: &World) -> Api<Secret> {
    Api::namespaced(world.client.clone(), &world.system)
}

/// The bytes of the fingerprint key.
pub async fn key_bytes(world: &World) -> Vec<u8> {
    let secret = own_secrets(world).get(keeper::SECRET).await;
    let data = secret.expect("the key's Secret").data.expect("its data");
    data["key"].0.clone()
}

async fn key(world: &World) -> FingerprintKey {
    FingerprintKey::from_bytes(&key_bytes(world).await).expect("32 bytes")
}
