//! The vault, and the secret in it, that are named. An id that no list has shown is never written to.

use std::time::Instant;

use nairi_sim::Duplicate;

use super::*;

/// An object that names something else than there is.
struct Wrong {
    name: &'static str,
    declared: VaultSecretBuilder,
    says: Trouble,
    correction: Value,
    /// The id of the secret that is named once it is corrected.
    meant: String,
}

/// One wrong name of each kind, and the secrets they will mean. The vault has two secrets `TWICE`.
fn all_wrong(world: &World, twice: &str) -> [Wrong; 7] {
    let vault = &world.vault;
    let wrong = |name: &'static str,
                 change: &dyn Fn(VaultSecretBuilder) -> VaultSecretBuilder,
                 says: Trouble| Wrong {
        name,
        declared: change(world.vault_secret(name).value_from("source", "key")),
        says,
        correction: json!({ "envKey": env_key(name) }),
        meant: world.remote(&env_key(name), "old", &["old.example.com"]),
    };
    let by_vault = |wrong: Wrong| Wrong {
        declared: wrong.declared.env_key(&env_key(wrong.name)),
        correction: json!({ "vaultId": vault }),
        ..wrong
    };
    let by_id = |wrong: Wrong| Wrong {
        correction: json!({ "secretId": wrong.meant }),
        ..wrong
    };
    let not_found = |message: String| stalled("RemoteNotFound", message);
    let no_secret = |id: &str| {
        not_found(format!(
            "Vault {vault} has no secret {id}: correct spec.secretId, or create the secret in Nairi."
        ))
    };
    let (unknown_vault, unknown) = (nairi_sim::vault_id(), nairi_sim::secret_id());
    let no_vault = not_found(format!(
        "Nairi knows no vault {unknown_vault}, or not this secret in it: correct spec.vaultId, or create what is missing."
    ));
    let malformed = stalled(
        "Rejected",
        format!(
            "Nairi: {} answered 400: it refuses the request (\"invalid vault id\"). Correct the declaration; it is tried again every hour.",
            world.sim.address()
        ),
    );
    let no_key = not_found(format!(
        "Vault {vault} has no secret with the key NOBODY: correct spec.envKey, create the secret in Nairi, or let it be created (creationPolicy: IfMissing)."
    ));
    let ambiguous = stalled(
        "AmbiguousEnvKey",
        format!(
            "Vault {vault} has 2 secrets with the key TWICE: set spec.secretId to the one you mean."
        ),
    );
    let nobody = stalled("EnvKeyMismatch", "");
    let mut all = [
        by_vault(wrong(
            "unknown-vault",
            &|it| it.vault(&unknown_vault),
            no_vault,
        )),
        by_vault(wrong(
            "malformed-vault",
            &|it| it.vault("nonsense"),
            malformed,
        )),
        by_id(wrong(
            "unknown-secret",
            &|it| it.secret_id(&unknown),
            no_secret(&unknown),
        )),
        by_id(wrong(
            "malformed-secret",
            &|it| it.secret_id("nonsense"),
            no_secret("nonsense"),
        )),
        wrong("unknown-key", &|it| it.env_key("NOBODY"), no_key),
        Wrong {
            correction: json!({ "secretId": twice }),
            meant: twice.to_owned(),
            ..wrong("key-of-two", &|it| it.env_key("TWICE"), ambiguous)
        },
        wrong("key-of-another", &|it| it.env_key("DISAGREED"), nobody),
    ];
    let another = &mut all[6];
    another.declared = another.declared.clone().secret_id(&another.meant);
    another.says.message = format!(
        "Secret {} in vault {vault} has the key KEY_OF_ANOTHER, not DISAGREED: correct spec.envKey or spec.secretId.",
        another.meant
    );
    all
}

#[tokio::test]
async fn a_name_that_fits_nothing_is_never_written_to() {
    let setup = Setup::new().behave(|behaviour| {
        behaviour.duplicate_env_key = Duplicate::Allowed;
    });
    let world = setup.start().await;
    fill(&world.secrets(), "source", &[("key", b"first")]).await;
    let [one, two] = ["TWICE", "TWICE"].map(|key| world.remote(key, "old", &["old.example.com"]));
    let all = all_wrong(&world, &two);
    let mark = world.mark().await;
    for wrong in &all {
        world.create(wrong.declared.clone()).await;
        says(&world, wrong.name, &wrong.says).await;
    }
    let seen = world.since(&mark).await;
    let lists = all
        .iter()
        .map(|wrong| list(&wrong.declared.clone().build().spec.vault_id));
    seen.sent_exactly(&lists.collect::<Vec<_>>());
    let mut written = Vec::new();
    for wrong in &all {
        written.push(format!("patch vaultsecrets/status {}", wrong.name));
        written.push("create events".to_owned());
        assert_eq!(events(&world, wrong.name).await, [wrong.says.event()]);
    }
    let written: Vec<_> = written.iter().map(String::as_str).collect();
    seen.wrote_exactly(&written);

    // A rotation is nothing new to them: once more a look, and nothing is sent.
    let mark = world.mark().await;
    world.set_secret("source", "key", "second").await;
    let seen = world.since(&mark).await;
    assert_eq!(without_lists(&seen), []);
    seen.wrote_nothing();

    let mark = world.mark().await;
    for wrong in &all {
        let began = Instant::now();
        world.edit_spec(wrong.name, wrong.correction.clone()).await;
        cured(&world, wrong.name, began).await;
    }
    let seen = world.since(&mark).await;
    let patches = all
        .iter()
        .map(|wrong| patch(&wrong.meant, json!({"value": "second"})));
    assert_eq!(without_lists(&seen), patches.collect::<Vec<_>>());
    assert_eq!(world.sim.value(&one).as_deref(), Some("old"));
    for wrong in &all {
        let said = events(&world, wrong.name).await;
        assert_eq!(said, [wrong.says.event(), SYNCED.to_owned()]);
    }
}

/// Nothing tells of what appears in Nairi, so it is looked for.
#[tokio::test]
async fn what_appears_in_the_vault_is_found() {
    let world = Setup::new().flag("--resync-interval=2s").start().await;
    fill(&world.secrets(), "late", &[("key", b"first")]).await;
    let mark = world.mark().await;
    world
        .create(
            world
                .vault_secret("late")
                .env_key("LATE")
                .value_from("late", "key"),
        )
        .await;
    let missing = format!(
        "Vault {} has no secret with the key LATE: correct spec.envKey, create the secret in Nairi, or let it be created (creationPolicy: IfMissing).",
        world.vault
    );
    let missing = stalled("RemoteNotFound", missing);
    says(&world, "late", &missing).await;
    let looks = |count: usize| {
        move |log: &nairi_sim::Entries| log.since(mark.sim).method("GET").len() >= count
    };
    let log = world.sim.log();
    log.wait_for(looks(3), SOON)
        .await
        .expect("it is looked for");
    let id = world.remote("LATE", "old", &["old.example.com"]);
    world.synced("late").await;
    let seen = world.seen(&mark);
    assert_eq!(
        without_lists(&seen),
        [patch(&id, json!({"value": "first"}))]
    );
    let looks = seen.requests.method("GET");
    let pauses = looks.windows(2).map(|two| two[1].arrived - two[0].arrived);
    for pause in pauses {
        assert!(
            pause > Duration::from_millis(900),
            "{pause:?} between two looks"
        );
    }
    assert_eq!(events(&world, "late").await[..1], [missing.event()]);
}

/// One that was named by its id has to be named anew.
#[tokio::test]
async fn a_secret_deleted_in_nairi_that_was_named_by_its_id() {
    let world = World::start().await;
    fill(&world.secrets(), "token", &[("key", b"first")]).await;
    let id = world.remote("TOKEN", "old", &["old.example.com"]);
    world
        .create(
            world
                .vault_secret("token")
                .secret_id(&id)
                .value_from("token", "key"),
        )
        .await;
    world.synced("token").await;
    let mark = world.mark().await;
    world.sim.outsider().delete(&id).expect("it exists");
    world.set_secret("token", "key", "second").await;
    let gone = format!(
        "Vault {} has no secret {id}: correct spec.secretId, or create the secret in Nairi.",
        world.vault
    );
    let gone = stalled("RemoteNotFound", gone);
    let object = says(&world, "token", &gone).await;
    let status = object.status.expect("it has one");
    assert_eq!(
        (status.secret_id, status.updated_at),
        (None, None),
        "unbound"
    );
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[patch(&id, json!({"value": "second"}))]);
    seen.wrote_exactly(&["patch vaultsecrets/status token", "create events"]);
    let said = events(&world, "token").await;
    assert_eq!(said, [SYNCED.to_owned(), gone.event()]);

    let mark = world.mark().await;
    let another = world.remote("TOKEN", "old", &["old.example.com"]);
    let began = Instant::now();
    world.edit_spec("token", json!({"secretId": another})).await;
    let object = cured(&world, "token", began).await;
    assert_eq!(
        object.status.and_then(|status| status.secret_id),
        Some(another.clone())
    );
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[
        list(&world.vault),
        patch(&another, json!({"value": "second"})),
    ]);
}

/// One that was named by its key is looked for again: what was created in its place is taken.
#[tokio::test]
async fn a_secret_deleted_in_nairi_that_was_named_by_its_key() {
    let world = World::start().await;
    let [lost, replaced] = [
        in_sync(&world, "lost", "first").await,
        in_sync(&world, "replaced", "first").await,
    ];
    let mark = world.mark().await;
    world.sim.outsider().delete(&lost).expect("it exists");
    world.set_secret("lost", "key", "second").await;
    let gone = format!(
        "Vault {} has no secret with the key LOST: correct spec.envKey, create the secret in Nairi, or let it be created (creationPolicy: IfMissing).",
        world.vault
    );
    let gone = stalled("RemoteNotFound", gone);
    let object = says(&world, "lost", &gone).await;
    assert_eq!(
        object.status.and_then(|status| status.secret_id),
        None,
        "unbound"
    );
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[patch(&lost, json!({"value": "second"})), list(&world.vault)]);
    seen.wrote_exactly(&["patch vaultsecrets/status lost", "create events"]);
    let said = events(&world, "lost").await;
    assert_eq!(said, [SYNCED.to_owned(), gone.event()]);

    let mark = world.mark().await;
    world.sim.outsider().delete(&replaced).expect("it exists");
    let new = world.remote("REPLACED", "theirs", &["old.example.com"]);
    let began = Instant::now();
    world.set_secret("replaced", "key", "second").await;
    world
        .until("replaced", "bound anew", |object| {
            let status = object.status.as_ref();
            status.and_then(|status| status.secret_id.as_ref()) == Some(&new)
        })
        .await;
    let object = cured(&world, "replaced", began).await;
    let status = object.status.expect("it is in sync");
    assert_eq!(status.updated_at, world.sim.updated_at(&new));
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[
        patch(&replaced, json!({"value": "second"})),
        list(&world.vault),
        patch(&new, json!({"value": "second"})),
    ]);
    seen.wrote_exactly(&["patch vaultsecrets/status replaced"]);
    assert_eq!(
        events(&world, "replaced").await,
        [SYNCED],
        "never out of sync"
    );
}
