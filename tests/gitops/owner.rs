//! What the operator writes to an object: its status and its finalizer, and nothing else.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use vaultsecret_operator::api::{FINALIZER, VaultSecret};

use super::*;

/// Who wrote to it, by the names that the API server keeps.
fn managers(object: &VaultSecret) -> &[ManagedFieldsEntry] {
    object
        .metadata
        .managed_fields
        .as_deref()
        .unwrap_or_default()
}

/// Everything outside of status that is the user's.
fn of_the_user(object: &VaultSecret) -> Value {
    let mut object = json!(object);
    let metadata = object["metadata"].as_object_mut().expect("it has one");
    for ours in ["managedFields", "resourceVersion", "finalizers"] {
        metadata.remove(ours);
    }
    object.as_object_mut().expect("an object").remove("status");
    object
}

/// The operator's own entries are about these fields only.
#[track_caller]
fn wrote_its_own(object: &VaultSecret) {
    let mut ours = 0;
    for entry in managers(object) {
        if entry.manager.as_deref() != Some("vaultsecret-operator") {
            continue;
        }
        ours += 1;
        let fields = json!(entry.fields_v1);
        let expected = if entry.subresource.as_deref() == Some("status") {
            let names: Vec<_> = fields.as_object().expect("fields").keys().collect();
            assert_eq!(names, ["f:status"], "{fields}");
            continue;
        } else {
            let finalizers = json!({".": {}, format!("v:\"{FINALIZER}\""): {}});
            json!({"f:metadata": {"f:finalizers": finalizers}})
        };
        assert_eq!(fields, expected);
    }
    assert!(ours > 0, "{:?}", managers(object));
}

/// A life of an object: created, rotated, changed, drifted, forced, suspended, freed, deleted.
#[tokio::test]
async fn it_writes_status_and_the_finalizer_and_nothing_else() {
    let world = Setup::new().flag("--resync-interval=1s").start().await;
    world.create_secret("source", &[("key", "first")]).await;
    let declared = world.vault_secret("token").env_key("TOKEN");
    let declared = declared
        .value_from("source", "key")
        .domains(["api.example.com"]);
    let declared = declared.create_if_missing().delete_remote();
    let declared = declared
        .label("team", "payments")
        .annotation("note", "ours");
    let mark = world.mark().await;
    let mut theirs = of_the_user(&world.create(declared).await);
    let check = async |theirs: &Value, step: &str| {
        let object = world.synced("token").await;
        assert_eq!(of_the_user(&object), *theirs, "{step}");
        wrote_its_own(&object);
        object
    };
    let object = check(&theirs, "created").await;
    assert_eq!(
        object.metadata.finalizers.as_deref(),
        Some(&[FINALIZER.to_owned()][..])
    );
    let id = object
        .status
        .and_then(|it| it.secret_id)
        .expect("it is bound");

    let stored = async |what: &str, value: &str| {
        eventually(what, SOON, || async {
            let stored = world.sim.secret(&id)?;
            (stored.value == value).then_some(())
        })
        .await;
    };
    world.set_secret("source", "key", "second").await;
    stored("rotated", "second").await;
    check(&theirs, "rotated").await;
    let theirs_there = world.sim.outsider().set_value(&id, "theirs");
    theirs_there.expect("it exists");
    stored("put back", "second").await;
    check(&theirs, "put back").await;
    let changes = [
        json!({"spec": {"allowedDomains": ["new.example.com"]}}),
        json!({"metadata": {"annotations": {"nairi.ai/sync-requested-at": "1"}}}),
        json!({"metadata": {"labels": {"team": "search"}}}),
        json!({"spec": {"suspend": true}}),
        json!({"spec": {"suspend": false, "deletionPolicy": "Retain"}}),
        json!({"spec": {"deletionPolicy": "Delete"}}),
    ];
    for change in changes {
        theirs = of_the_user(&world.edit("token", change.clone()).await);
        world.rest().await;
        check(&theirs, &change.to_string()).await;
    }
    world.delete("token").await;
    world.gone("token").await;
    assert_eq!(world.sim.secret(&id), None);

    let seen = world.since(&mark).await;
    let written = seen.written();
    let count = |line: &str| written.iter().filter(|write| *write == line).count();
    // Set, removed under Retain, set again, removed for good; once more where the watch lags behind the first.
    let finalizer = count("patch vaultsecrets token");
    assert!((4..=5).contains(&finalizer), "{written:?}");
    let own = finalizer + count("patch vaultsecrets/status token");
    let events = count("create events")
        + written
            .iter()
            .filter(|it| it.starts_with("patch events"))
            .count();
    let connection = count(&format!(
        "patch vaultconnections/status {}",
        world.connection.name
    ));
    assert_eq!(own + events + connection, written.len(), "{written:?}");
}
