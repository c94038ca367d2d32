//! Each reason for not being permitted, against every path: not one request, and back again exactly those that are
//! due.

use kube::api::DeleteParams;
use vaultsecret_operator::api::{
    ClusterVaultConnection, ConnectionKind, ConnectionRef, SecretKeyRef, VaultConnectionSpec,
};

use super::{paths::Paths, *};

/// How often vaults are listed: a sweep is one of the paths.
const OFTEN: &str = "--resync-interval=1s";

/// Why the objects may not use the vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Denial {
    /// There is no grant at all.
    NoGrant,
    /// There is one for every vault, for another namespace.
    AnotherNamespace,
    /// There is one for the namespace, for another vault.
    AnotherVault,
    /// There is one for a label that the namespace does not have.
    NoLabel,
    /// The label it was granted by is taken away.
    LabelTaken,
    /// The connection is deleted.
    Disconnected,
    /// The objects go over to a connection that grants them another vault.
    MovedWhereNotGranted,
    /// The objects go over to a connection that is there in another namespace.
    MovedToTheNeighbours,
}

impl Denial {
    /// What the objects say.
    const fn reason(self) -> &'static str {
        match self {
            Self::NoGrant
            | Self::AnotherNamespace
            | Self::AnotherVault
            | Self::NoLabel
            | Self::LabelTaken
            | Self::MovedWhereNotGranted => "NotPermitted",
            Self::Disconnected | Self::MovedToTheNeighbours => "ConnectionNotFound",
        }
    }

    /// Why an object is released that is deleted meanwhile; none: its secret is deleted with the key the connection
    /// had.
    const fn released(self) -> Option<&'static str> {
        match self {
            Self::NoGrant
            | Self::AnotherNamespace
            | Self::AnotherVault
            | Self::NoLabel
            | Self::LabelTaken
            | Self::MovedWhereNotGranted => {
                Some("its connection does not grant this vault any more")
            }
            Self::Disconnected => None,
            Self::MovedToTheNeighbours => Some("its present connection has not shown it"),
        }
    }

    async fn begin(self, paths: &mut Paths<'_>) {
        let world = paths.world;
        let (namespace, vault) = (&*world.namespace, &*world.vault);
        let by_label = json!({
            "namespaceSelector": {"matchLabels": {"team": "payments"}},
            "vaultIds": [vault],
        });
        match self {
            Self::NoGrant => grant(world, json!([])).await,
            Self::AnotherNamespace => {
                grant(world, json!([granted("another", &["*"])])).await;
            }
            Self::AnotherVault => {
                let other = granted(namespace, &["vlt_another"]);
                grant(world, json!([other, granted("another", &[vault])])).await;
            }
            Self::NoLabel => grant(world, json!([by_label])).await,
            Self::LabelTaken => label(world, Value::Null).await,
            Self::Disconnected => disconnect(world).await,
            Self::MovedWhereNotGranted => {
                let name = elsewhere(world);
                let api = world.cluster_vault_connections();
                let spec = api.get(&world.connection.name).await.expect("it is there");
                let mut spec = spec.spec;
                spec.grants[0].vault_ids = vec!["vlt_another".to_owned()];
                let connection = ClusterVaultConnection::new(&name, spec);
                let created = api.create(&PostParams::default(), &connection).await;
                created.expect("a free name");
                let kind = ConnectionKind::ClusterVaultConnection;
                paths.go_by(&ConnectionRef { kind, name }).await;
            }
            Self::MovedToTheNeighbours => {
                let name = "neighbours".to_owned();
                connect_theirs(world, &name).await;
                let kind = ConnectionKind::VaultConnection;
                paths.go_by(&ConnectionRef { kind, name }).await;
            }
        }
    }

    async fn end(self, paths: &mut Paths<'_>) {
        let world = paths.world;
        match self {
            Self::NoGrant | Self::AnotherNamespace | Self::AnotherVault => {
                let vault = &*world.vault;
                grant(world, json!([granted(&world.namespace, &[vault])])).await;
            }
            Self::NoLabel | Self::LabelTaken => label(world, json!("payments")).await,
            Self::Disconnected => world.connect().await,
            Self::MovedWhereNotGranted | Self::MovedToTheNeighbours => {
                paths.go_by(&world.connection).await;
            }
        }
    }
}

/// The name of another cluster connection.
fn elsewhere(world: &World) -> String {
    format!("{}-elsewhere", world.connection.name)
}

async fn disconnect(world: &World) {
    let (name, params) = (&world.connection.name, DeleteParams::default());
    match world.connection.kind {
        ConnectionKind::VaultConnection => {
            let deleted = world.vault_connections().delete(name, &params).await;
            deleted.expect("it is there");
        }
        ConnectionKind::ClusterVaultConnection => {
            let deleted = world
                .cluster_vault_connections()
                .delete(name, &params)
                .await;
            deleted.expect("it is there");
        }
    }
}

/// A connection of the other tenant, with a good key.
async fn connect_theirs(world: &World, name: &str) {
    let theirs = Tenant::theirs(world);
    let key = [("apiKey", world.sim.api_key())];
    theirs.create_secret("neighbours-key", &key).await;
    let api_key_secret_ref = SecretKeyRef {
        name: "neighbours-key".to_owned(),
        key: "apiKey".to_owned(),
    };
    let connection = VaultConnection::new(name, VaultConnectionSpec { api_key_secret_ref });
    let created = theirs.connections();
    let created = created.create(&PostParams::default(), &connection).await;
    created.expect("a free name");
}

/// What the other vault was swept by tells that ours could have been, several times.
async fn swept(world: &World, mark: &Mark) {
    let sweeps = |log: &nairi_sim::Entries| {
        let lists = log.since(mark.sim).method("GET").ended();
        lists.len() >= 3
    };
    let waited = world.sim.log().wait_for(sweeps, SOON).await;
    waited.expect("vaults are listed");
}

/// As long as it is permitted, each path sends what it should, and nothing else.
async fn permitted(paths: &mut Paths<'_>) {
    let world = paths.world;
    paths.next().await;
    let mark = world.mark().await;
    paths.set_off().await;
    paths.all("Synced").await;
    drift_is_corrected(paths).await;
    let seen = world.since(&mark).await;
    let mut expected = paths.sent();
    expected.push(paths.deleted());
    assert_eq!(besides_lists(&seen), in_any_order(expected));
    only_of(world, &seen);
}

/// Every list was one of the world's vault.
#[track_caller]
fn only_of(world: &World, seen: &Seen) {
    let mut lists = seen.sent();
    lists.retain(|sent| matches!(sent, Sent::List(_)) && *sent != list(&world.vault));
    assert_eq!(lists, []);
}

async fn drift_is_corrected(paths: &Paths<'_>) {
    let values = || async {
        let stored = paths.stored();
        let ours = |stored: &nairi_sim::Stored| !stored.value.starts_with("theirs");
        stored.iter().all(ours).then_some(())
    };
    eventually("the drift is corrected", SOON, values).await;
}

/// Each path is barred, at once and altogether; nothing is lost by that.
async fn denied(paths: &mut Paths<'_>, denial: Denial) {
    let world = paths.world;
    paths.next().await;
    world.rest().await;
    let began = Instant::now();
    denial.begin(paths).await;
    paths.all_and_the_going(denial.reason()).await;
    prompt("barred", began);

    let mark = world.mark().await;
    let before = paths.stored().len();
    paths.set_off().await;
    paths.all(denial.reason()).await;
    swept(world, &mark).await;
    let seen = world.since(&mark).await;
    match denial.released() {
        None => seen.sent_exactly(&[paths.deleted()]),
        Some(why) => {
            seen.sent_nothing();
            assert!(world.sim.secret(paths.going()).is_some(), "it is kept");
            // The one secret that `new` found there was put there by the test.
            assert_eq!(paths.stored().len(), before + 1, "{denial:?}");
            let said = Tenant::ours(world).events(&paths.going_name()).await;
            let last = said.last().expect("it was said");
            assert!(last.starts_with("Warning Released: "), "{last}");
            assert!(last.contains(why) && last.contains(paths.going()), "{last}");
        }
    }

    let mark = world.mark().await;
    let began = Instant::now();
    denial.end(paths).await;
    paths.all("Synced").await;
    prompt("permitted again", began);
    drift_is_corrected(paths).await;
    let seen = world.since(&mark).await;
    assert_eq!(
        besides_lists(&seen),
        in_any_order(paths.sent()),
        "{denial:?}"
    );
    only_of(world, &seen);
}

async fn each(setup: Setup, denials: &[Denial]) {
    let world = setup.flag(OFTEN).start().await;
    let mut paths = Paths::prepare(&world).await;
    permitted(&mut paths).await;
    for denial in denials {
        denied(&mut paths, *denial).await;
    }
    let connections = world.cluster_vault_connections();
    let _ = connections
        .delete(&elsewhere(&world), &DeleteParams::default())
        .await;
}

#[tokio::test]
async fn a_cluster_connection_that_grants_it_and_does_not() {
    let denials = [
        Denial::NoGrant,
        Denial::AnotherNamespace,
        Denial::AnotherVault,
        Denial::NoLabel,
        Denial::LabelTaken,
    ];
    each(Setup::new().cluster_connection(), &denials).await;
}

#[tokio::test]
async fn a_cluster_connection_that_is_there_and_is_not() {
    let denials = [
        Denial::Disconnected,
        Denial::MovedWhereNotGranted,
        Denial::MovedToTheNeighbours,
    ];
    each(Setup::new().cluster_connection(), &denials).await;
}

#[tokio::test]
async fn a_namespaces_own_connection_that_is_there_and_is_not() {
    let denials = [Denial::Disconnected, Denial::MovedToTheNeighbours];
    each(Setup::new(), &denials).await;
}
