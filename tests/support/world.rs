//! One test's world: two namespaces, the chart's RBAC, a simulator with a vault, a connection, the operator.

use std::{collections::BTreeMap, fs, path::PathBuf};

use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{Api, Client, api::PostParams};
use nairi_sim::{Behaviour, NewSecret, NewVault, Options, Sim};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use vaultsecret_operator::api::{
    ApiKeySecretRef, ClusterVaultConnection, ClusterVaultConnectionSpec, ConnectionKind,
    ConnectionRef, ConnectionStatus, Grant, SecretKeyRef, VaultConnection, VaultConnectionSpec,
};

use super::{
    cluster::Cluster,
    objects::{secret, wait_for},
    operator::{Launch, Operator},
    rest::Barrier,
    rights::{self, RELEASE, Spaces, Watched},
    wait::SOON,
};

/// The Secret of the world's API key, and its key in there.
pub const API_KEY_SECRET: (&str, &str) = ("nairi-api-key", "apiKey");

static CONTROL_PLANE: RwLock<()> = RwLock::const_new(());

/// For tests that have no world: as long as they keep this, nobody takes the control plane away.
pub async fn undisturbed() -> RwLockReadGuard<'static, ()> {
    CONTROL_PLANE.read().await
}

/// How to make a world.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
#[must_use = "nothing is made before `start`"]
pub struct Setup {
    alone: bool,
    kind: ConnectionKind,
    names: Option<(String, String, String)>,
    sim: Option<Sim>,
    options: Options,
    program: Option<PathBuf>,
    flags: Vec<String>,
    env: BTreeMap<String, String>,
    log_filter: String,
    watched: Watched,
    rights: Option<Watched>,
    neighbours: Vec<String>,
    barrier: bool,
    starts: bool,
    elects: bool,
}

/// A test's world. Everything in it ends with it.
pub struct World {
    /// The running operator.
    pub operator: Operator,
    /// The Nairi API.
    pub sim: Sim,
    /// The id of a vault there, empty to begin with.
    pub vault: String,
    /// The connection to it.
    pub connection: ConnectionRef,
    /// The namespace of VaultSecrets and their Secrets.
    pub namespace: String,
    /// The operator's own namespace.
    pub system: String,
    /// The operator's user name in Kubernetes.
    pub user: String,
    neighbours: Vec<String>,
    /// A client with all rights.
    pub client: Client,
    /// The control plane.
    pub cluster: &'static Cluster,
    pub(super) barrier: Option<Barrier>,
    _place: Place,
}

#[derive(Debug)]
enum Place {
    Shared {
        _guard: RwLockReadGuard<'static, ()>,
    },
    Alone {
        _guard: RwLockWriteGuard<'static, ()>,
    },
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// A VaultConnection, a simulator of its own, an operator that watches the world's two namespaces.
    pub fn new() -> Self {
        Self {
            alone: false,
            kind: ConnectionKind::VaultConnection,
            names: None,
            sim: None,
            options: Options::default(),
            program: None,
            flags: Vec::new(),
            env: BTreeMap::new(),
            log_filter: "info,vaultsecret_operator=debug".to_owned(),
            watched: Watched::Both,
            rights: None,
            neighbours: Vec::new(),
            barrier: true,
            starts: true,
            elects: false,
        }
    }

    /// No other world of this process is there meanwhile: for outages of the control plane.
    pub fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// A ClusterVaultConnection that grants the world's namespace the world's vault. Operators of other worlds
    /// see it and leave it alone: it grants none of the namespaces they watch.
    pub fn cluster_connection(mut self) -> Self {
        self.kind = ConnectionKind::ClusterVaultConnection;
        self
    }

    /// These names, instead of new ones: of the namespace, the operator's namespace, and the connection.
    pub fn names(mut self, namespace: &str, system: &str, connection: &str) -> Self {
        self.names = Some((
            namespace.to_owned(),
            system.to_owned(),
            connection.to_owned(),
        ));
        self
    }

    /// A simulator that is there already; the world gets a new vault in it.
    pub fn sim(mut self, sim: Sim) -> Self {
        self.sim = Some(sim);
        self
    }

    /// Options of the simulator.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// How the simulator behaves.
    pub fn behave(mut self, change: impl FnOnce(&mut Behaviour)) -> Self {
        change(&mut self.options.behaviour);
        self
    }

    /// Another program than the one of this build.
    pub fn program(mut self, program: PathBuf) -> Self {
        self.program = Some(program);
        self
    }

    /// One more argument of the operator, such as `--resync-interval=2s`.
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// A variable of the operator's environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// `--log-filter`; without it `info,vaultsecret_operator=debug`.
    pub fn log_filter(mut self, filter: &str) -> Self {
        filter.clone_into(&mut self.log_filter);
        self
    }

    /// The operator watches all namespaces, those of other worlds too, so the world is alone.
    pub fn watch_all(mut self) -> Self {
        self.watched = Watched::All;
        self.alone()
    }

    /// The operator watches the world's namespace, and not its own.
    pub fn watch_one(mut self) -> Self {
        self.watched = Watched::One;
        self
    }

    /// The rights of an operator for all namespaces, though it watches its two: those of a Role go with its
    /// namespace, perhaps before the operator is done with the objects in it.
    pub fn rights_for_all(mut self) -> Self {
        self.rights = Some(Watched::All);
        self
    }

    /// Namespaces beside the world's two, made and watched too: [`World::neighbour`] has their names.
    pub fn also_watching(mut self, neighbours: &[&str]) -> Self {
        self.neighbours = neighbours.iter().map(ToString::to_string).collect();
        self
    }

    /// Without the VaultSecret that shows when the operator is at rest: [`World::mark`] and [`World::since`]
    /// only see that it does nothing for a moment.
    pub fn without_barrier(mut self) -> Self {
        self.barrier = false;
        self
    }

    /// The operator is left to be started by the test, with `world.operator.start()`.
    pub fn unstarted(mut self) -> Self {
        self.starts = false;
        self
    }

    /// The operator takes part in a leader election: for more than one replica. Without it, it acts at once, and no
    /// test waits for the lease of a process that was killed.
    pub fn elects(mut self) -> Self {
        self.elects = true;
        self
    }

    /// Makes the world, and waits until the operator has verified the connection and is at rest.
    pub async fn start(self) -> World {
        let place = if self.alone {
            Place::Alone {
                _guard: CONTROL_PLANE.write().await,
            }
        } else {
            Place::Shared {
                _guard: CONTROL_PLANE.read().await,
            }
        };
        let cluster = Cluster::shared().await;
        let client = cluster.client().await;
        let sim = match self.sim {
            Some(sim) => sim,
            None => Sim::start(self.options).await,
        };
        let vault = sim.add_vault(NewVault::default());
        let (namespace, system, connection) = self.names.unwrap_or_else(|| {
            let name = format!("t-{:08x}", fastrand::u32(..));
            let system = format!("{name}-system");
            (name.clone(), system, name)
        });
        let spaces = Spaces {
            namespace: &namespace,
            system: &system,
            neighbours: &self.neighbours,
        };
        let rights = self.rights.unwrap_or(self.watched);
        let kubeconfig = rights::prepare(cluster, &client, &spaces, rights).await;

        let mut args = vec![
            "run".to_owned(),
            format!("--namespace={system}"),
            format!("--api-url={}", sim.url()),
            "--http-addr=127.0.0.1:0".to_owned(),
            format!("--log-filter={}", self.log_filter),
            format!("--leader-elect={}", self.elects),
        ];
        let watched = self.watched.names(&spaces).into_iter();
        args.extend(watched.map(|name| format!("--watch-namespace={name}")));
        if let Some(ca) = sim.ca_pem() {
            let file = cluster.files().join(format!("{system}.ca.pem"));
            fs::write(&file, ca).expect("a file for the CA");
            args.push(format!("--api-ca-file={}", file.display()));
        }
        args.extend(self.flags);
        let mut env: BTreeMap<_, _> = self
            .env
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect();
        env.insert("KUBECONFIG".to_owned(), kubeconfig.into_os_string());
        env.entry("POD_NAME".to_owned()).or_insert("first".into());
        for name in ["LLVM_PROFILE_FILE", "RUST_BACKTRACE"] {
            if let Some(value) = std::env::var_os(name) {
                env.insert(name.to_owned(), value);
            }
        }
        let operator = Operator::new(Launch {
            program: self
                .program
                .unwrap_or_else(|| cluster.operator().to_owned()),
            args,
            env,
            log_file: cluster.files().join(format!("{system}.log")),
        });

        let mut world = World {
            operator,
            sim,
            vault,
            connection: ConnectionRef {
                kind: self.kind,
                name: connection,
            },
            user: format!("system:serviceaccount:{system}:{RELEASE}"),
            namespace,
            system,
            neighbours: self.neighbours,
            client,
            cluster,
            barrier: None,
            _place: place,
        };
        world.create_key().await;
        world.connect().await;
        if self.barrier {
            world.barrier = Some(world.make_barrier().await);
        }
        if self.starts {
            world.operator.start().await;
            world.connected("Verified").await;
            world.first_rest().await;
        }
        world
    }
}

impl World {
    /// A world with everything at its defaults: see [`Setup`].
    pub async fn start() -> Self {
        Setup::new().start().await
    }

    /// Starts the operator of a world that was left [`Setup::unstarted`], and waits as [`Setup::start`] does.
    pub async fn start_operator(&mut self) {
        self.operator.start().await;
        self.connected("Verified").await;
        self.first_rest().await;
    }

    /// A second operator of this world, not started, with its own name and log.
    pub fn replica(&self, name: &str) -> Operator {
        let mut launch = self.operator.launched().clone();
        launch.env.insert("POD_NAME".to_owned(), name.into());
        launch.log_file.set_extension(format!("{name}.log"));
        Operator::new(launch)
    }

    /// Puts a secret into the world's vault, as somebody did before us, and returns its id.
    pub fn remote(&self, env_key: &str, value: &str, domains: &[&str]) -> String {
        self.sim
            .add_secret(&self.vault, NewSecret::new(env_key, value, domains))
    }

    /// The namespace that [`Setup::also_watching`] made under this name.
    pub fn neighbour(&self, name: &str) -> String {
        rights::neighbour_of(&self.namespace, name)
    }

    /// The namespace of the API key's Secret.
    pub fn key_namespace(&self) -> &str {
        match self.connection.kind {
            ConnectionKind::VaultConnection => &self.namespace,
            ConnectionKind::ClusterVaultConnection => &self.system,
        }
    }

    /// The Secrets of the namespace that holds the API key's.
    pub fn key_secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), self.key_namespace())
    }

    /// The VaultConnections of the world's namespace.
    pub fn vault_connections(&self) -> Api<VaultConnection> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// All ClusterVaultConnections.
    pub fn cluster_vault_connections(&self) -> Api<ClusterVaultConnection> {
        Api::all(self.client.clone())
    }

    /// Waits until `Ready` of the world's connection has this reason.
    pub async fn connected(&self, reason: &str) {
        let name = &self.connection.name;
        let ready = |status: Option<&ConnectionStatus>| {
            let ready =
                |condition: &Condition| condition.type_ == "Ready" && condition.reason == reason;
            status.is_some_and(|status| status.conditions.iter().any(ready))
        };
        let waited = match self.connection.kind {
            ConnectionKind::VaultConnection => wait_for(
                &self.vault_connections(),
                name,
                SOON,
                |it: Option<&VaultConnection>| ready(it.and_then(|it| it.status.as_ref())),
            )
            .await
            .is_some(),
            ConnectionKind::ClusterVaultConnection => wait_for(
                &self.cluster_vault_connections(),
                name,
                SOON,
                |it: Option<&ClusterVaultConnection>| ready(it.and_then(|it| it.status.as_ref())),
            )
            .await
            .is_some(),
        };
        assert!(
            waited,
            "the connection is not {reason} within {SOON:?}:\n{}",
            self.operator.tail(30)
        );
    }

    /// Makes the Secret with the API key.
    async fn create_key(&self) {
        let (name, key) = API_KEY_SECRET;
        let data = secret(name, &[(key, self.sim.api_key())]);
        self.key_secrets()
            .create(&PostParams::default(), &data)
            .await
            .expect("the API key's Secret");
    }

    /// Makes the connection.
    pub async fn connect(&self) {
        let post = PostParams::default();
        let name = &self.connection.name;
        let (secret_name, key) = (API_KEY_SECRET.0.to_owned(), API_KEY_SECRET.1.to_owned());
        match self.connection.kind {
            ConnectionKind::VaultConnection => {
                let spec = VaultConnectionSpec {
                    api_key_secret_ref: SecretKeyRef {
                        name: secret_name,
                        key,
                    },
                };
                let connection = VaultConnection::new(name, spec);
                self.vault_connections()
                    .create(&post, &connection)
                    .await
                    .expect("a connection");
            }
            ConnectionKind::ClusterVaultConnection => {
                let spec = ClusterVaultConnectionSpec {
                    api_key_secret_ref: ApiKeySecretRef {
                        namespace: self.system.clone(),
                        name: secret_name,
                        key,
                    },
                    grants: vec![Grant {
                        namespaces: vec![self.namespace.clone()],
                        namespace_selector: None,
                        vault_ids: vec![self.vault.clone()],
                    }],
                };
                let connection = ClusterVaultConnection::new(name, spec);
                self.cluster_vault_connections()
                    .create(&post, &connection)
                    .await
                    .expect("a connection");
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "shown with the failed test")]
            {
                eprintln!("the operator's log ends:\n{}", self.operator.tail(40));
                eprintln!("the simulator's log: {:#?}", self.requests());
            }
        }
        if self.operator.is_running() {
            self.operator.kill();
        }
        let delete = |what: &[&str]| {
            let mut args = vec![
                "delete",
                "--ignore-not-found",
                "--wait=false",
                "--request-timeout=10s",
            ];
            args.extend(what);
            let _ = self.cluster.run_kubectl(&args, "");
        };
        if self.connection.kind == ConnectionKind::ClusterVaultConnection {
            // The next world's operator would try its key.
            delete(&["clustervaultconnection", &self.connection.name]);
        }
        if self.cluster.is_existing() {
            delete(&["namespace", &self.namespace, &self.system]);
            for name in &self.neighbours {
                delete(&["namespace", &self.neighbour(name)]);
            }
            let name = format!("{}:{RELEASE}", self.system);
            let (edit, view) = (format!("{name}:edit"), format!("{name}:view"));
            delete(&["clusterrolebinding", &name]);
            delete(&["clusterrole", &name, &edit, &view]);
            delete(&["rolebinding", &name, "--namespace=default"]);
            delete(&["role", &name, "--namespace=default"]);
            let policy = name.replace(':', ".");
            delete(&["validatingadmissionpolicybinding", &policy]);
            delete(&["validatingadmissionpolicy", &policy]);
        }
    }
}
