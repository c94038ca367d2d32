//! The connection, its Secret, its key.

use std::time::Instant;

use kube::api::{DeleteParams, PostParams};
use vaultsecret_operator::api::{
    ClusterVaultConnection, ConnectionKind, SecretKeyRef, VaultConnection, VaultConnectionSpec,
};

use super::*;

fn no_connection(kind: &str, name: &str) -> Trouble {
    let message =
        format!("{kind} \"{name}\" does not exist: create it, or correct spec.connectionRef.");
    stalled("ConnectionNotFound", message)
}

fn another_connection(name: &str) -> VaultConnection {
    let (name_of_secret, key) = API_KEY_SECRET;
    let api_key_secret_ref = SecretKeyRef {
        name: name_of_secret.to_owned(),
        key: key.to_owned(),
    };
    VaultConnection::new(name, VaultConnectionSpec { api_key_secret_ref })
}

#[tokio::test]
async fn a_connection_that_does_not_exist() {
    let world = World::start().await;
    let post = PostParams::default();
    fill(&world.secrets(), "token", &[("key", b"first")]).await;
    let id = world.remote("TOKEN", "old", &["old.example.com"]);
    let mark = world.mark().await;
    let declared = world.vault_secret("token").env_key("TOKEN");
    let declared = declared.connection(ConnectionKind::VaultConnection, "other");
    world.create(declared.value_from("token", "key")).await;
    let missing = no_connection("VaultConnection", "other");
    says(&world, "token", &missing).await;
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    seen.wrote_exactly(&["patch vaultsecrets/status token", "create events"]);
    assert_eq!(events(&world, "token").await, [missing.event()]);

    // It comes, with a key that is known to be good.
    let mark = world.mark().await;
    let began = Instant::now();
    let other = another_connection("other");
    world
        .vault_connections()
        .create(&post, &other)
        .await
        .expect("a free name");
    cured(&world, "token", began).await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list(&world.vault), patch(&id, json!({"value": "first"}))]);

    // It goes, and what is rotated meanwhile waits.
    let mark = world.mark().await;
    let delete = DeleteParams::default();
    world
        .vault_connections()
        .delete("other", &delete)
        .await
        .expect("it exists");
    says(&world, "token", &missing).await;
    world.set_secret("token", "key", "second").await;
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    says(&world, "token", &missing).await;
    let said = events(&world, "token").await;
    assert_eq!(said, [missing.event(), SYNCED.to_owned()]);
    let mark = world.mark().await;
    let began = Instant::now();
    world
        .vault_connections()
        .create(&post, &other)
        .await
        .expect("a free name");
    cured(&world, "token", began).await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[patch(&id, json!({"value": "second"}))]);
}

#[tokio::test]
async fn a_cluster_connection_that_does_not_exist() {
    let world = Setup::new().cluster_connection().start().await;
    let (connections, name) = (world.cluster_vault_connections(), &world.connection.name);
    let connection = connections.get(name).await.expect("it exists");
    connections
        .delete(name, &DeleteParams::default())
        .await
        .expect("it exists");
    fill(&world.secrets(), "token", &[("key", b"first")]).await;
    let mark = world.mark().await;
    let id = declare(&world, "token").await;
    let missing = no_connection("ClusterVaultConnection", name);
    says(&world, "token", &missing).await;
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    seen.wrote_exactly(&["patch vaultsecrets/status token", "create events"]);
    assert_eq!(events(&world, "token").await, [missing.event()]);

    let mark = world.mark().await;
    let began = Instant::now();
    let again = ClusterVaultConnection::new(name, connection.spec);
    connections
        .create(&PostParams::default(), &again)
        .await
        .expect("a free name");
    cured(&world, "token", began).await;
    let seen = world.since(&mark).await;
    assert_eq!(
        without_lists(&seen)
            .into_iter()
            .filter(|sent| *sent != list_vaults())
            .collect::<Vec<_>>(),
        [patch(&id, json!({"value": "first"}))]
    );
}

/// What a Secret holds; none: it does not exist.
type Data = Option<&'static [(&'static str, &'static [u8])]>;

/// Secrets that give no API key: a name for the object that needs one, and what the connection says.
fn keyless() -> [(&'static str, Data, Trouble); 4] {
    let (secret, key) = API_KEY_SECRET;
    let invalid = |what: &str| {
        stalled(
            "InvalidKey",
            format!(
                "Key \"{key}\" of Secret \"{secret}\" holds no API key ({what}): put a valid one there."
            ),
        )
    };
    [
        (
            "missing",
            None,
            stalled(
                "SecretNotFound",
                format!(
                    "Secret \"{secret}\" can't be used: it does not exist. Create it, with the API key at \"{key}\"."
                ),
            ),
        ),
        (
            "without-key",
            Some(&[("other", b"nr_canary")]),
            stalled(
                "KeyNotFound",
                format!(
                    "Secret \"{secret}\" has no key \"{key}\": add it, or correct apiKeySecretRef.key."
                ),
            ),
        ),
        (
            "empty",
            Some(&[(API_KEY_SECRET.1, b" \n")]),
            invalid("the API key is empty"),
        ),
        (
            "spaced",
            Some(&[(API_KEY_SECRET.1, b"nr_canary canary")]),
            invalid("the API key holds a character that is not visible ASCII"),
        ),
    ]
}

/// Where the key is not to be had, the connection says why, objects that are in sync stay so, and those that need it
/// say where to look.
#[tokio::test]
async fn a_connection_without_a_key() {
    let world = World::start().await;
    let (secret, key) = API_KEY_SECRET;
    let name = &world.connection.name;
    let steady = in_sync(&world, "steady", "first").await;
    for (object, data, trouble) in keyless() {
        let mark = world.mark().await;
        match data {
            Some(data) => fill(&world.secrets(), secret, data).await,
            None => world.delete_secret(secret).await,
        }
        connection_says(&world, &trouble).await;
        fill(&world.secrets(), object, &[("key", b"first")]).await;
        let id = declare(&world, object).await;
        let not_ready = retried(
            "ConnectionNotReady",
            format!(
                "VaultConnection \"{name}\" has no usable API key ({}): see its status.",
                trouble.reason
            ),
        );
        says(&world, object, &not_ready).await;
        let seen = world.since(&mark).await;
        seen.sent_nothing();
        let written = seen.written();
        assert!(
            !written.iter().any(|write| write.contains("steady")),
            "{written:?}"
        );
        assert_eq!(events(&world, object).await, [not_ready.event()]);

        let mark = world.mark().await;
        let began = Instant::now();
        let good = world.sim.api_key().as_bytes();
        fill(&world.secrets(), secret, &[(key, good)]).await;
        cured(&world, object, began).await;
        let seen = world.since(&mark).await;
        seen.sent_exactly(&[list(&world.vault), patch(&id, json!({"value": "first"}))]);
        world.connected("Verified").await;
        let said = events(&world, object).await;
        assert_eq!(said, [not_ready.event(), SYNCED.to_owned()]);
    }
    let said = events(&world, name).await;
    let reasons: Vec<_> = said
        .iter()
        .map(|event| event.split(':').next().expect("a reason"))
        .collect();
    assert_eq!(
        reasons,
        [
            "Normal Verified",
            "Warning SecretNotFound",
            "Warning KeyNotFound",
            "Warning InvalidKey",
            "Warning InvalidKey"
        ],
        "the last two say different things"
    );
    assert_eq!(events(&world, "steady").await, [SYNCED]);
    nowhere(&world, &["canary", world.sim.api_key()]).await;

    // Rotations were not lost either.
    let mark = world.mark().await;
    world.set_secret("steady", "key", "second").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[patch(&steady, json!({"value": "second"}))]);
}

/// A key is made with an editor as a value is, and here a newline is certainly not meant.
#[tokio::test]
async fn a_newline_behind_the_key_is_ignored() {
    let world = World::start().await;
    let (secret, key) = API_KEY_SECRET;
    let id = in_sync(&world, "token", "first").await;
    // The same key: nothing to verify.
    let mark = world.mark().await;
    let same = format!("{}\n", world.sim.api_key());
    fill(&world.secrets(), secret, &[(key, same.as_bytes())]).await;
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    seen.wrote_nothing();

    let mark = world.mark().await;
    let new = nairi_sim::api_key();
    world.sim.add_key(&new);
    world.sim.revoke_key(world.sim.api_key());
    let padded = format!(" {new}\r\n");
    fill(&world.secrets(), secret, &[(key, padded.as_bytes())]).await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list_vaults()]);
    seen.wrote_nothing();
    world.set_secret("token", "key", "second").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list_vaults(), patch(&id, json!({"value": "second"}))]);
    for request in seen.requests.iter() {
        let authorization = format!("Bearer {new}");
        assert!(request.header("authorization") == Some(&authorization));
    }
}

/// A key that can't be verified at the moment may be used all the same: whoever uses it finds out.
#[tokio::test]
async fn a_key_that_cannot_be_verified_now() {
    let world = World::start().await;
    let (secret, key) = API_KEY_SECRET;
    let id = in_sync(&world, "token", "first").await;
    let vaults = format!("{}/vaults", nairi_sim::BASE);
    let fault = world.sim.fault(Fault::status(500).path(&vaults));
    let new = nairi_sim::api_key();
    world.sim.add_key(&new);
    let mark = world.mark().await;
    fill(&world.secrets(), secret, &[(key, new.as_bytes())]).await;
    let unreachable = format!(
        "Nairi: {} answered 500: it can't serve the request now (\"the simulator was told to fail\"). It is tried again.",
        world.sim.address()
    );
    connection_says(&world, &retried("Unreachable", unreachable)).await;
    world.set_secret("token", "key", "second").await;
    let rotated = |log: &nairi_sim::Entries| log.since(mark.sim).secret(&id).ended().len() == 1;
    let log = world.sim.log();
    log.wait_for(rotated, SOON).await.expect("it is rotated");
    fault.remove();
    world.connected("Verified").await;
    let seen = world.since(&mark).await;
    let looks = usize::try_from(fault.fired()).expect("few") + 1;
    assert_eq!(seen.requests.method("GET").len(), looks);
    let rest = without_lists(&seen)
        .into_iter()
        .filter(|sent| *sent != list_vaults());
    assert_eq!(
        rest.collect::<Vec<_>>(),
        [patch(&id, json!({"value": "second"}))]
    );
    assert_eq!(events(&world, "token").await, [SYNCED], "never out of sync");
    nowhere(&world, &[&new]).await;
}
