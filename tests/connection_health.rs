//! A connection says how its key fares, once each time that changes; a key that fails is left alone by all that share
//! it, and a new one has all of them go on at once.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use kube::{
    Api,
    api::{DeleteParams, ListParams, PostParams},
};
use vaultsecret_operator::api::{
    ClusterVaultConnection, ConnectionKind, ConnectionStatus, SecretKeyRef, VaultConnection,
    VaultConnectionSpec,
};

use crate::support::*;

/// How soon what a watch brings has to take effect: a second, and a busy machine gets a few more.
const PROMPT: Duration = Duration::from_secs(6);

fn number(name: &str, default: u32) -> u32 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// A VaultConnection of the world's namespace with the key of this Secret.
async fn connect(world: &World, name: &str, secret: &str) {
    let api_key_secret_ref = SecretKeyRef {
        name: secret.to_owned(),
        key: "apiKey".to_owned(),
    };
    let connection = VaultConnection::new(name, VaultConnectionSpec { api_key_secret_ref });
    let api = world.vault_connections();
    let created = api.create(&PostParams::default(), &connection).await;
    created.expect("a free name");
}

fn is(status: Option<&ConnectionStatus>, reason: &str) -> bool {
    let conditions = status.map_or(&[][..], |status| &status.conditions);
    let ready = conditions.iter().find(|it| it.type_ == "Ready");
    ready.is_some_and(|ready| ready.reason == reason)
}

/// Waits until `Ready` of a VaultConnection has this reason.
async fn says(world: &World, name: &str, reason: &str) {
    let says = |it: Option<&VaultConnection>| is(it.and_then(|it| it.status.as_ref()), reason);
    let waited = objects::wait_for(&world.vault_connections(), name, SOON, says).await;
    assert!(waited.is_some(), "{name} is not {reason}");
}

/// The same of a ClusterVaultConnection.
async fn cluster_says(world: &World, name: &str, reason: &str) {
    let says =
        |it: Option<&ClusterVaultConnection>| is(it.and_then(|it| it.status.as_ref()), reason);
    let connections = world.cluster_vault_connections();
    let waited = objects::wait_for(&connections, name, SOON, says).await;
    assert!(waited.is_some(), "{name} is not {reason}");
}

/// How often each reason was told in events about the connection of that name.
async fn told(world: &World, name: &str, kind: ConnectionKind) -> BTreeMap<String, i32> {
    let namespace = match kind {
        ConnectionKind::VaultConnection => &*world.namespace,
        // Where events about what has no namespace are.
        ConnectionKind::ClusterVaultConnection => "default",
    };
    let api: Api<Event> = Api::namespaced(world.client.clone(), namespace);
    let events = api.list(&ListParams::default()).await.expect("events");
    let mut told = BTreeMap::new();
    for event in events {
        let regarding = event.regarding.unwrap_or_default();
        if regarding.name.as_deref() == Some(name) {
            let count = event.series.map_or(1, |series| series.count);
            *told.entry(event.reason.unwrap_or_default()).or_default() += count;
        }
    }
    told
}

fn counts<const N: usize>(expected: [(&str, i32); N]) -> BTreeMap<String, i32> {
    let owned = expected.map(|(reason, count)| (reason.to_owned(), count));
    owned.into_iter().collect()
}

async fn set_key(secrets: &Api<Secret>, name: &str, key: &str) {
    let change = json!({"stringData": {"apiKey": key}});
    objects::merge(secrets, name, change).await;
}

/// A VaultSecret by the connection, with its source and its remote secret.
async fn declare(world: &World, name: &str, kind: ConnectionKind, of: &str) -> String {
    let key = name.to_uppercase().replace('-', "_");
    let id = world.remote(&key, "old", &[]);
    world.create_secret(name, &[("key", "first")]).await;
    let declared = world.vault_secret(name).connection(kind, of).env_key(&key);
    world.create(declared.value_from(name, "key")).await;
    id
}

/// As `kubectl get` prints them.
#[tokio::test]
async fn the_columns() {
    let world = Setup::new().cluster_connection().start().await;
    let cluster = format!("cnvc/{}", world.connection.name);
    let get = ["get", &cluster, "nvc/barrier"];
    let columns = |text: String| -> Vec<Vec<String>> {
        let lines = text.lines().filter(|line| !line.is_empty());
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
        lines.map(words).collect()
    };
    let shown = |ready: &str, reason: &str| -> Vec<Vec<String>> {
        let row = |line: &str| line.split(' ').map(str::to_owned).collect();
        let cluster = format!("clustervaultconnection.nairi.ai/{}", world.connection.name);
        vec![
            row("NAME READY REASON AGE"),
            row(&format!("{cluster} {ready} {reason}")),
            row("NAME READY REASON AGE"),
            row("vaultconnection.nairi.ai/barrier True Verified"),
        ]
    };
    let without_age = |mut rows: Vec<Vec<String>>| {
        for row in rows.iter_mut().skip(1).step_by(2) {
            row.pop();
        }
        rows
    };
    let now = columns(world.kubectl(&get).await.ok());
    assert_eq!(without_age(now), shown("True", "Verified"));
    set_key(&world.key_secrets(), API_KEY_SECRET.0, "nr_nobody-knows-it").await;
    world.connected("Unauthorized").await;
    let now = columns(world.kubectl(&get).await.ok());
    assert_eq!(without_age(now), shown("False", "Unauthorized"));
    let kind = ConnectionKind::ClusterVaultConnection;
    let told = told(&world, &world.connection.name, kind).await;
    assert_eq!(told, counts([("Verified", 1), ("Unauthorized", 1)]));
}

/// Four connections of both kinds, three Secrets, one key.
struct Shared {
    world: World,
    second: String,
}

impl Shared {
    async fn start() -> Self {
        let world = Setup::new().cluster_connection().start().await;
        let second = format!("{}-second", world.connection.name);
        let connections = world.cluster_vault_connections();
        let spec = connections.get(&world.connection.name).await;
        let spec = spec.expect("it is there").spec;
        let another = ClusterVaultConnection::new(&second, spec);
        let created = connections.create(&PostParams::default(), &another).await;
        created.expect("a free name");
        for (name, key) in [
            ("own", world.sim.api_key().to_owned()),
            ("padded", format!("\n {}\n", world.sim.api_key())),
        ] {
            world.create_secret(name, &[("apiKey", &key)]).await;
            connect(&world, name, name).await;
        }
        let shared = Self { world, second };
        shared.all("Verified").await;
        shared
    }

    fn connections(&self) -> [(ConnectionKind, &str); 4] {
        [
            (
                ConnectionKind::ClusterVaultConnection,
                &self.world.connection.name,
            ),
            (ConnectionKind::ClusterVaultConnection, &self.second),
            (ConnectionKind::VaultConnection, "own"),
            (ConnectionKind::VaultConnection, "padded"),
        ]
    }

    async fn all(&self, reason: &str) {
        for (kind, name) in self.connections() {
            match kind {
                ConnectionKind::VaultConnection => says(&self.world, name, reason).await,
                ConnectionKind::ClusterVaultConnection => {
                    cluster_says(&self.world, name, reason).await;
                }
            }
        }
    }

    async fn set_keys(&self, key: &str) {
        set_key(&self.world.key_secrets(), API_KEY_SECRET.0, key).await;
        set_key(&self.world.secrets(), "own", key).await;
        set_key(&self.world.secrets(), "padded", &format!("{key}\n")).await;
    }

    /// Waits until so many objects have this reason.
    async fn objects(&self, ready: &str, reason: &str, count: u32) {
        let sample = format!("vaultsecret_objects{{ready=\"{ready}\",reason=\"{reason}\"}}");
        eventually(reason, 4 * SOON, || async {
            let now = self.world.operator.metrics().await.sample(&sample);
            (now >= f64::from(count)).then_some(())
        })
        .await;
    }

    async fn end(self) {
        let connections = self.world.cluster_vault_connections();
        let params = DeleteParams::default();
        let deleted = connections.delete(&self.second, &params).await;
        deleted.expect("it is there");
    }
}

/// However many objects and connections there are: what was on its way when the key was revoked, and a probe a minute.
/// `HEALTH_OBJECTS` of them, or 200; `HEALTH_SECONDS` to watch that nothing more comes, or none.
#[tokio::test]
async fn a_revoked_key_is_left_alone_by_all_who_share_it() {
    const IN_FLIGHT: usize = 16;
    let count = number("HEALTH_OBJECTS", 200);
    let watched = number("HEALTH_SECONDS", 0);
    let shared = Shared::start().await;
    let world = &shared.world;
    let all = shared.connections();
    let many = futures::stream::iter(0..count).map(|n| {
        let (kind, of) = all[n as usize % all.len()];
        async move { declare(world, &format!("many-{n}"), kind, of).await }
    });
    let ids: Vec<_> = many.buffered(16).collect().await;
    for (n, (kind, of)) in all.into_iter().enumerate() {
        declare(world, &format!("steady-{n}"), kind, of).await;
    }
    // The barrier is one, too.
    shared.objects("True", "Synced", count + 5).await;
    let mark = world.mark().await;
    assert_eq!(mark_of_keys(world), 1, "one look at the API for one key");

    world.sim.revoke_key(world.sim.api_key());
    let change = |value: &'static str| async move {
        let rotations = futures::stream::iter(0..count);
        let rotate = |n| async move {
            world.set_secret(&format!("many-{n}"), "key", value).await;
        };
        rotations.for_each_concurrent(16, rotate).await;
    };
    change("second").await;
    shared.objects("False", "Unauthorized", count).await;
    shared.all("Unauthorized").await;
    change("third").await;
    let began = Instant::now();
    world.rest().await;
    tokio::time::sleep(Duration::from_secs(watched.into())).await;
    let seen = world.seen(&mark);
    let minutes = usize::try_from(began.elapsed().as_secs() / 60).expect("few") + 2;
    let writes = seen.requests.method("PATCH").len();
    let probes = seen.requests.len() - writes;
    assert!(writes <= IN_FLIGHT, "{writes} PATCHes");
    assert!(probes <= minutes, "{probes} probes");
    for n in 0..all.len() {
        world.synced(&format!("steady-{n}")).await;
    }

    let mark = world.mark_now();
    let key = nairi_sim::api_key();
    world.sim.add_key(&key);
    let began = Instant::now();
    shared.set_keys(&key).await;
    let first = |log: &nairi_sim::Entries| {
        let patched = log.since(mark.sim).method("PATCH");
        patched.iter().any(|entry| entry.status() == Some(200))
    };
    let first = world.sim.log().wait_for(first, SOON).await;
    first.expect("the gate opens");
    let opened = began.elapsed();
    assert!(opened < PROMPT, "the first is sent after {opened:?}");
    shared.objects("True", "Synced", count + 5).await;
    let took = began.elapsed();
    shared.all("Verified").await;
    let seen = world.since(&mark).await;
    let patched: Vec<_> = seen.sent().into_iter().collect();
    let mut once: BTreeMap<String, usize> = BTreeMap::new();
    for sent in &patched {
        *once.entry(format!("{sent:?}")).or_default() += 1;
    }
    for id in &ids {
        let sent = format!("{:?}", patch(id, json!({"value": "third"})));
        assert_eq!(once.remove(&sent), Some(1), "exactly once");
    }
    let looks = once.remove(&format!("{:?}", list_vaults()));
    assert!(looks.is_some_and(|looks| looks <= 3), "{looks:?} looks");
    once.retain(|sent, _| *sent != format!("{:?}", list(&world.vault)));
    assert!(once.is_empty(), "{once:?}");
    for (kind, name) in all {
        let told = told(world, name, kind).await;
        assert_eq!(
            told,
            counts([("Verified", 2), ("Unauthorized", 1)]),
            "{name}"
        );
    }
    #[expect(clippy::print_stderr, reason = "for whoever asks for big numbers")]
    {
        eprintln!(
            "{count} objects: {writes} PATCHes and {probes} probes with the revoked key; then {opened:?} to the first \
             PATCH, {took:?} to the last"
        );
    }
    shared.end().await;
}

/// How often the API was asked about the world's key so far.
fn mark_of_keys(world: &World) -> usize {
    let looks = world.requests();
    looks.only(|entry| Sent::from(entry) == list_vaults()).len()
}

/// What the API thinks of one tenant's value is that object's affair.
#[tokio::test]
async fn a_refused_value_stops_nobody_else() {
    let world = Setup::new().cluster_connection().start().await;
    let of = &world.connection.name;
    let kind = ConnectionKind::ClusterVaultConnection;
    let refused = declare(&world, "refused", kind, of).await;
    let other = declare(&world, "other", kind, of).await;
    for name in ["refused", "other"] {
        world.synced(name).await;
    }
    for status in [403, 400, 422] {
        let value = format!("value-{status}");
        let fault = world
            .sim
            .fault(Fault::status(status).secret(&refused).writes());
        let mark = world.mark().await;
        world.set_secret("refused", "key", &value).await;
        world.reason("refused", "Rejected").await;
        let began = Instant::now();
        world.set_secret("other", "key", &value).await;
        let sent =
            |log: &nairi_sim::Entries| !log.since(mark.sim).secret(&other).ended().is_empty();
        let sent = world.sim.log().wait_for(sent, SOON).await;
        sent.expect("it is sent");
        assert!(began.elapsed() < PROMPT);
        let seen = world.since(&mark).await;
        let to = |id: &str| patch(id, json!({"value": value}));
        seen.sent_exactly(&[to(&refused), to(&other)]);
        let closed = world.operator.metrics().await;
        assert!(closed.sample("vaultsecret_gates_closed") < 1.0);
        fault.remove();
    }
    world.connected("Verified").await;
}

/// What is on its way with the old key ends, well or not, and is no word about the new one.
#[tokio::test]
async fn a_key_that_is_replaced_while_requests_are_under_way() {
    let world = World::start().await;
    let of = world.connection.name.clone();
    let kind = ConnectionKind::VaultConnection;
    let well = declare(&world, "well", kind, &of).await;
    let badly = declare(&world, "badly", kind, &of).await;
    for name in ["well", "badly"] {
        world.synced(name).await;
    }
    let mark = world.mark().await;
    let answered = world
        .sim
        .fault(Fault::stall().secret(&well).writes().once().after());
    let refused = world
        .sim
        .fault(Fault::stall().secret(&badly).writes().once());
    for name in ["well", "badly"] {
        world.set_secret(name, "key", "second").await;
    }
    for held in [&answered, &refused] {
        held.wait_stalled(1, SOON).await.expect("it is held up");
    }
    let new = nairi_sim::api_key();
    world.sim.add_key(&new);
    set_key(&world.key_secrets(), API_KEY_SECRET.0, &new).await;
    let verified = format!("Bearer {new}");
    let looked = |log: &nairi_sim::Entries| {
        let ended = log.since(mark.sim).ended();
        ended
            .iter()
            .any(|entry| entry.header("authorization") == Some(&verified))
    };
    let looked = world.sim.log().wait_for(looked, SOON).await;
    looked.expect("the new key is tried");
    world.sim.revoke_key(world.sim.api_key());
    let began = Instant::now();
    answered.release();
    refused.release();
    for name in ["well", "badly"] {
        world.synced(name).await;
    }
    let arrived = || async { (world.sim.value(&badly).as_deref() == Some("second")).then_some(()) };
    eventually("it arrives", SOON, arrived).await;
    assert!(began.elapsed() < PROMPT, "after {:?}", began.elapsed());
    let seen = world.since(&mark).await;
    let sent = seen.requests.secret(&well).writes().len();
    assert_eq!(sent, 1, "what arrived is known");
    let sent = seen.requests.secret(&badly).writes();
    assert_eq!(sent.len(), 2, "with each key once: {sent:?}");
    let last = sent[1].header("authorization");
    assert!(last == Some(&verified), "the new key");
    world.connected("Verified").await;
    let told = told(&world, &of, kind).await;
    assert_eq!(told, counts([("Verified", 1)]), "it was never out of order");
}

/// A Secret that goes and comes back, a connection that does so with another key.
#[tokio::test]
async fn what_is_made_again() {
    let world = World::start().await;
    let (secret, of) = (API_KEY_SECRET.0, world.connection.name.clone());
    let kind = ConnectionKind::VaultConnection;
    let id = declare(&world, "token", kind, &of).await;
    world.synced("token").await;

    // The same key: it is known.
    let mark = world.mark().await;
    world.delete_secret(secret).await;
    says(&world, &of, "SecretNotFound").await;
    world.set_secret("token", "key", "second").await;
    world.reason("token", "ConnectionNotReady").await;
    let key = [("apiKey", world.sim.api_key())];
    world.create_secret(secret, &key).await;
    world.synced("token").await;
    says(&world, &of, "Verified").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[patch(&id, json!({"value": "second"}))]);

    // Another key, at another place.
    let mark = world.mark().await;
    let deleted = world.vault_connections();
    let deleted = deleted.delete(&of, &DeleteParams::default()).await;
    deleted.expect("it is there");
    world.reason("token", "ConnectionNotFound").await;
    let new = nairi_sim::api_key();
    world.sim.add_key(&new);
    world.create_secret("another", &[("apiKey", &new)]).await;
    world.set_secret("token", "key", "third").await;
    connect(&world, &of, "another").await;
    world.synced("token").await;
    says(&world, &of, "Verified").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list_vaults(), patch(&id, json!({"value": "third"}))]);
    let own = format!("Bearer {new}");
    for request in seen.requests.iter() {
        assert!(request.header("authorization") == Some(&own), "its own key");
    }
    let told = told(&world, &of, kind).await;
    assert_eq!(told, counts([("Verified", 3), ("SecretNotFound", 1)]));
}

/// An API that is away when a key is first tried makes nothing of it, and is found again without help.
#[tokio::test]
async fn an_api_that_is_away_at_first() {
    let world = World::start().await;
    world.sim.pause().await.expect("it is paused");
    let new = nairi_sim::api_key();
    world.sim.add_key(&new);
    world.create_secret("another", &[("apiKey", &new)]).await;
    connect(&world, "another", "another").await;
    says(&world, "another", "Unreachable").await;
    let kind = ConnectionKind::VaultConnection;
    let id = declare(&world, "token", kind, "another").await;
    world.reason("token", "ApiUnavailable").await;
    world.sim.resume().await.expect("it is there again");
    says(&world, "another", "Verified").await;
    world.synced("token").await;
    assert_eq!(world.sim.value(&id).as_deref(), Some("first"));
    let told = told(&world, "another", kind).await;
    assert_eq!(told, counts([("Unreachable", 1), ("Verified", 1)]));
}
