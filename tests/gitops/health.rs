//! One object for each reason there is, as the operator made it, and what GitOps tools say of it.

use kube::api::PostParams;
use nairi_sim::Duplicate;
use vaultsecret_operator::api::{
    ConnectionKind, ConnectionReason, Reason, SecretKeyRef, VaultConnection, VaultConnectionSpec,
    VaultSecret,
};

use super::{
    judge::{Said, judge},
    *,
};

/// What kstatus, Flux with the expressions of `flux/tolerant.yaml`, and Argo CD are to say.
type Saying = [&'static str; 3];

const DONE: Saying = ["Current", "Current", "Healthy"];
const GOES_ON: Saying = ["InProgress", "InProgress", "Progressing"];
const NEEDS_SOMEBODY: Saying = ["Failed", "Failed", "Degraded"];

/// What a person would say of an object with this reason. A new reason has to be thought about here.
const fn expected(reason: Reason) -> Saying {
    match reason {
        Reason::Synced => DONE,
        Reason::Pending
        | Reason::ApiUnavailable
        | Reason::RateLimited
        | Reason::ConnectionNotReady => GOES_ON,
        // It is tried again, in case the API erred; but who looks should know at once.
        Reason::Unauthorized => ["InProgress", "Failed", "Degraded"],
        Reason::DeletionBlocked => ["Terminating", "InProgress", "Progressing"],
        Reason::SourceNotFound
        | Reason::SourceKeyNotFound
        | Reason::InvalidValue
        | Reason::InvalidTemplate
        | Reason::ConnectionNotFound
        | Reason::NotPermitted
        | Reason::Conflict
        | Reason::RemoteNotFound
        | Reason::EnvKeyMismatch
        | Reason::AmbiguousEnvKey
        | Reason::Rejected => NEEDS_SOMEBODY,
        Reason::DriftDetected => ["Failed", "Current", "Degraded"],
        // kstatus knows no pause: it is not done, and nothing went wrong.
        Reason::DryRun | Reason::Suspended => ["InProgress", "Current", "Suspended"],
    }
}

const fn expected_of_connection(reason: ConnectionReason) -> Saying {
    match reason {
        ConnectionReason::Verified => DONE,
        ConnectionReason::Unreachable => GOES_ON,
        ConnectionReason::Unauthorized => ["InProgress", "InProgress", "Degraded"],
        ConnectionReason::SecretNotFound
        | ConnectionReason::KeyNotFound
        | ConnectionReason::InvalidKey => NEEDS_SOMEBODY,
    }
}

/// What Argo CD shows before the operator has looked at an object.
const WAITING: &str = "Waiting for the operator";

/// An object, and what is to be said of it.
struct Case {
    what: String,
    object: Value,
    expected: Saying,
    /// What the message in Argo CD begins with.
    told: String,
}

impl Case {
    fn new(what: &str, object: impl serde::Serialize, expected: Saying, told: &str) -> Self {
        Self {
            what: what.to_owned(),
            object: serde_json::to_value(object).expect("JSON"),
            expected,
            told: told.to_owned(),
        }
    }

    fn of(reason: Reason, object: &VaultSecret) -> Self {
        let told = match reason {
            // Argo CD's own words.
            Reason::DeletionBlocked => "Pending deletion".to_owned(),
            _ => format!("{reason}: "),
        };
        Self::new(reason.as_str(), object, expected(reason), &told)
    }
}

async fn hold(world: &World, cases: &[Case]) {
    let objects = cases.iter().map(|case| case.object.clone()).collect();
    let said = judge(world.cluster, objects).await;
    for (case, said) in cases.iter().zip(said) {
        let Said {
            kstatus,
            flux,
            argo,
            message,
        } = &said;
        assert_eq!([kstatus, flux, argo], case.expected, "{}", case.what);
        assert!(message.starts_with(&case.told), "{}: {said:?}", case.what);
    }
}

/// The env key of the remote secret for an object of that name.
fn env_key(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

/// Puts a secret into the vault and declares it, with what `change` makes of that. Returns its id.
async fn declare(
    world: &World,
    name: &str,
    change: impl FnOnce(VaultSecretBuilder) -> VaultSecretBuilder,
) -> String {
    let id = world.remote(&env_key(name), "old", &["api.example.com"]);
    let declared = world.vault_secret(name).env_key(&env_key(name));
    world
        .create(change(declared.value_from("source", "key")))
        .await;
    id
}

/// Makes a VaultConnection whose key is `apiKey` of a Secret of its name, which holds this; nothing: it is missing.
async fn connect(world: &World, name: &str, data: &[(&str, &str)]) -> VaultConnection {
    if !data.is_empty() {
        world.create_secret(name, data).await;
    }
    let spec = VaultConnectionSpec {
        api_key_secret_ref: SecretKeyRef {
            name: name.to_owned(),
            key: "apiKey".to_owned(),
        },
    };
    let (api, connection) = (world.vault_connections(), VaultConnection::new(name, spec));
    let made = api.create(&PostParams::default(), &connection).await;
    made.expect("a free name")
}

/// A connection with a key of its own, which the API knows.
async fn own_key(world: &World, name: &str) -> String {
    let key = nairi_sim::api_key();
    world.sim.add_key(&key);
    connect(world, name, &[("apiKey", &key)]).await;
    key
}

fn through(connection: &str) -> impl FnOnce(VaultSecretBuilder) -> VaultSecretBuilder {
    move |declared| declared.connection(ConnectionKind::VaultConnection, connection)
}

async fn suspended(world: &World, name: &str) -> VaultSecret {
    world.edit_spec(name, json!({"suspend": true})).await;
    world
        .until(name, "suspended", |object| {
            let condition = objects::condition(object, "Suspended");
            condition.is_some_and(|it| it.observed_generation == object.metadata.generation)
        })
        .await
}

/// Something is wrong with each of these, named after what it is.
async fn break_them(world: &World) {
    let elsewhere = world.sim.add_vault(NewVault::default());
    let other = world.remote("OTHER", "old", &["api.example.com"]);
    for _ in 0..2 {
        world.remote("TWICE", "old", &["api.example.com"]);
    }
    world.create_secret("empty", &[("key", "")]).await;
    connect(world, "keyless", &[]).await;
    connect(world, "refused", &[("apiKey", "nr_never-valid")]).await;
    own_key(world, "limited").await;

    let fails = |status, id: &String| world.sim.fault(Fault::status(status).secret(id));
    for (name, status) in [("api-unavailable", 500), ("rejected", 422)] {
        let id = declare(world, name, VaultSecretBuilder::suspended).await;
        fails(status, &id);
        world.edit_spec(name, json!({"suspend": false})).await;
    }
    let id = declare(world, "rate-limited", |it| {
        through("limited")(it.suspended())
    })
    .await;
    world.sim.fault(Fault::retry_after(429, "300").secret(&id));
    world
        .edit_spec("rate-limited", json!({"suspend": false}))
        .await;

    declare(world, "unauthorized", through("refused")).await;
    declare(world, "connection-not-ready", through("keyless")).await;
    declare(world, "connection-not-found", through("nowhere")).await;
    declare(world, "not-permitted", |it| it.vault(&elsewhere)).await;
    declare(world, "source-not-found", |it| it.value_from("none", "key")).await;
    declare(world, "source-key-not-found", |it| {
        it.value_from("source", "kye")
    })
    .await;
    declare(world, "invalid-value", |it| it.value_from("empty", "key")).await;
    declare(world, "invalid-template", |it| it.template("{{", "source")).await;
    declare(world, "remote-not-found", |it| it.env_key("NOBODY")).await;
    declare(world, "env-key-mismatch", |it| it.secret_id(&other)).await;
    declare(world, "ambiguous-env-key", |it| it.env_key("TWICE")).await;
    declare(world, "suspended", VaultSecretBuilder::suspended).await;
}

/// In sync, and then not any more.
async fn spoil_them(world: &World) {
    declare(world, "synced", |it| it).await;
    let owner = world.synced("synced").await;
    objects::older(&owner).await;
    declare(world, "conflict", |it| it.env_key("SYNCED")).await;

    let id = declare(world, "drift-detected", VaultSecretBuilder::report_drift).await;
    world.synced("drift-detected").await;
    let theirs = world.sim.outsider().set_value(&id, "theirs");
    theirs.expect("it exists");

    let key = own_key(world, "revoked").await;
    let revoked = through("revoked");
    declare(world, "deletion-blocked", |it| revoked(it.delete_remote())).await;
    world.synced("deletion-blocked").await;
    world.sim.revoke_key(&key);
    world.delete("deletion-blocked").await;
}

/// `SourceNotFound` as it is in names of objects: `source-not-found`.
fn kebab(reason: Reason) -> String {
    let mut name = String::new();
    for letter in reason.as_str().chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

#[tokio::test]
async fn of_every_reason_they_say_what_a_person_would() {
    let setup = Setup::new().cluster_connection().without_barrier();
    let setup = setup.flag("--resync-interval=1s").behave(|behaviour| {
        behaviour.duplicate_env_key = Duplicate::Allowed;
    });
    let mut world = setup.unstarted().start().await;
    world.create_secret("source", &[("key", "value")]).await;
    let mut cases = Vec::new();

    // Nobody has looked at it so far.
    declare(&world, "pending", |it| it).await;
    let pending = world.get("pending").await;
    cases.push(Case::new(
        "Pending",
        &pending,
        expected(Reason::Pending),
        WAITING,
    ));

    world.start_operator().await;
    break_them(&world).await;
    spoil_them(&world).await;
    for &reason in Reason::ALL {
        // One is never written, the other needs another operator.
        if !matches!(reason, Reason::Pending | Reason::DryRun) {
            let object = world.reason(&kebab(reason), reason.as_str()).await;
            cases.push(Case::of(reason, &object));
        }
    }
    assert_eq!(cases.len() + 1, Reason::ALL.len());

    // What was in sync, or was not, and is suspended since.
    world.synced("pending").await;
    let resting = suspended(&world, "pending").await;
    let expected = ["Current", "Current", "Suspended"];
    cases.push(Case::new(
        "in sync, suspended",
        &resting,
        expected,
        "Synced: ",
    ));
    let halted = suspended(&world, "source-not-found").await;
    let expected = ["InProgress", "Current", "Suspended"];
    cases.push(Case::new(
        "broken, suspended",
        &halted,
        expected,
        "SourceNotFound: ",
    ));

    // What the operator has not looked at since it changed.
    world.operator.stop().await;
    let domains = json!({"allowedDomains": ["new.example.com"]});
    let unseen = world.edit_spec("synced", domains).await;
    assert_eq!(
        objects::condition(&unseen, "Ready").map(|it| &*it.status),
        Some("True")
    );
    cases.push(Case::new("a new generation", &unseen, GOES_ON, WAITING));
    world.operator.launch().args.push("--dry-run".to_owned());
    world.operator.start().await;
    let object = world.reason("synced", "DryRun").await;
    cases.push(Case::of(Reason::DryRun, &object));
    hold(&world, &cases).await;
}

#[tokio::test]
async fn of_every_connection_too() {
    let world = Setup::new().without_barrier().start().await;
    let connections = world.vault_connections();
    let new = connect(&world, "key-not-found", &[("other", "…")]).await;
    connect(&world, "unauthorized", &[("apiKey", "nr_never-valid")]).await;
    connect(&world, "secret-not-found", &[]).await;
    connect(&world, "invalid-key", &[("apiKey", "")]).await;
    let mut cases = vec![Case::new("new", &new, GOES_ON, WAITING)];
    for &reason in ConnectionReason::ALL {
        let name = match reason {
            ConnectionReason::Verified => &world.connection.name,
            ConnectionReason::Unauthorized => "unauthorized",
            ConnectionReason::SecretNotFound => "secret-not-found",
            ConnectionReason::KeyNotFound => "key-not-found",
            ConnectionReason::InvalidKey => "invalid-key",
            // The last, as it would be so for the others, too.
            ConnectionReason::Unreachable => {
                world.sim.fault(Fault::status(500).method("GET"));
                own_key(&world, "unreachable").await;
                "unreachable"
            }
        };
        let wanted = |connection: Option<&VaultConnection>| {
            let status = connection.and_then(|it| it.status.as_ref());
            let mut conditions = status.into_iter().flat_map(|status| &status.conditions);
            conditions.any(|it| it.type_ == "Ready" && it.reason == reason.as_str())
        };
        let found = objects::wait_for(&connections, name, SOON, wanted).await;
        let connection = found.flatten().unwrap_or_else(|| panic!("no {reason}"));
        let (expected, told) = (expected_of_connection(reason), format!("{reason}: "));
        cases.push(Case::new(reason.as_str(), &connection, expected, &told));
    }
    hold(&world, &cases).await;
}
