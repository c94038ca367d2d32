//! The handle of a running simulator.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde::Serialize;
use tokio_util::sync::DropGuard;

use crate::behaviour::{Behaviour, Lag};
use crate::entry::Mark;
use crate::fault::{Fault, FaultId};
use crate::faults::{FaultHandle, Faults};
use crate::ids;
use crate::lock;
use crate::log::{Log, Observer};
use crate::outsider::Outsider;
use crate::server::Server;
use crate::state::{NewSecret, NewVault, Secret, Store};
use crate::tls::{self, Tls};

/// How to start a simulator.
#[derive(Clone)]
pub struct Options {
    /// Where to listen; port 0: any free one.
    pub listen: SocketAddr,
    /// The first API key; absent: a new one.
    pub api_key: Option<String>,
    /// Whether and how to serve HTTPS.
    pub tls: Option<Tls>,
    /// The switches to begin with.
    pub behaviour: Behaviour,
    /// How many requests the log keeps.
    pub log_limit: usize,
    /// Whether `/sim/…` answers, so that faults and the like can be driven by curl.
    pub control: bool,
    /// Called with every request whose outcome is known.
    pub observer: Option<Observer>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            api_key: None,
            tls: None,
            behaviour: Behaviour::default(),
            log_limit: 1_000_000,
            control: false,
            observer: None,
        }
    }
}

impl Options {
    /// With HTTPS and a valid certificate.
    #[must_use]
    pub fn tls() -> Self {
        Self {
            tls: Some(Tls::default()),
            ..Self::default()
        }
    }
}

/// What everything in a simulator works on.
pub(crate) struct Shared {
    pub(crate) store: Mutex<Store>,
    pub(crate) behaviour: Mutex<Behaviour>,
    pub(crate) keys: Mutex<BTreeSet<String>>,
    pub(crate) faults: Faults,
    pub(crate) log: Log,
}

impl Shared {
    pub(crate) fn behaviour(&self) -> Behaviour {
        lock(&self.behaviour).clone()
    }

    pub(crate) fn secret(&self, id: &str) -> Option<Stored> {
        let behaviour = self.behaviour();
        let store = lock(&self.store);
        let vault = store.vault_of(id)?.to_owned();
        Some(Stored::new(vault, store.secret(id)?.clone(), &behaviour))
    }

    pub(crate) fn secrets(&self, vault: &str) -> Vec<Stored> {
        let behaviour = self.behaviour();
        let held = lock(&self.store).list(vault, Lag::None).unwrap_or_default();
        let stored = |secret| Stored::new(vault.to_owned(), secret, &behaviour);
        held.into_iter().map(stored).collect()
    }
}

/// A running simulator. A clone is the same one; with the last of them all of its tasks and connections end.
#[derive(Clone)]
pub struct Sim {
    pub(crate) shared: Arc<Shared>,
    server: Arc<Server>,
    api_key: String,
    url: String,
    ca_pem: Option<Arc<str>>,
    _ends: Arc<DropGuard>,
}

impl fmt::Debug for Sim {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Sim({})", self.url)
    }
}

impl Sim {
    /// Starts a simulator.
    ///
    /// # Panics
    /// When it cannot listen there: see [`Sim::try_start`].
    pub async fn start(options: Options) -> Self {
        Self::try_start(options)
            .await
            .expect("the simulator listens")
    }

    /// Starts a simulator.
    ///
    /// # Errors
    /// When it cannot listen there, or no certificate can be made for the names given.
    pub async fn try_start(options: Options) -> io::Result<Self> {
        let api_key = options.api_key.unwrap_or_else(ids::api_key);
        let shared = Arc::new(Shared {
            store: Mutex::default(),
            behaviour: Mutex::new(options.behaviour),
            keys: Mutex::new(BTreeSet::from([api_key.clone()])),
            faults: Faults::default(),
            log: Log::new(options.log_limit, options.observer),
        });
        let material = options.tls.as_ref().map(tls::material).transpose()?;
        let (scheme, config, ca_pem) = match material {
            Some(material) => (
                "https",
                Some(material.config),
                Some(Arc::from(material.ca_pem)),
            ),
            None => ("http", None, None),
        };
        let server = Server::start(options.listen, config, shared.clone(), options.control).await?;
        let url = format!("{scheme}://{}", server.address());
        let ends = Arc::new(server.ends());
        Ok(Self {
            shared,
            server: Arc::new(server),
            api_key,
            url,
            ca_pem,
            _ends: ends,
        })
    }

    /// Its address with the scheme and without a path, as the operator's `--api-url` takes it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its socket address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The API key it began with.
    #[must_use]
    pub fn api_key(&self) -> &str {
        &self.api_key
    }

    /// The CA that its clients are to trust; none without TLS.
    #[must_use]
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// Ends it: all connections are closed, and every task has ended when this returns. What is stored and logged
    /// can still be read.
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    /// An outage: connections are cut and new ones refused, until [`Sim::resume`]. Meanwhile the
    /// port is given to nobody who asks for any free one.
    ///
    /// # Errors
    /// When the port was taken in between.
    pub async fn pause(&self) -> io::Result<()> {
        self.server.pause().await
    }

    /// Ends an outage: the same port, the same state.
    ///
    /// # Errors
    /// When the port cannot be listened on again.
    pub async fn resume(&self) -> io::Result<()> {
        self.server.resume().await
    }

    /// Cuts all connections, and goes on accepting new ones: as a load balancer does when it restarts.
    pub async fn cut_connections(&self) {
        self.server.cut().await;
    }

    /// How many connections were accepted since the start, failed TLS handshakes included.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.server.connections()
    }

    /// The request log.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.shared.log
    }

    /// The place in the log where the next request will be.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.shared.log.mark()
    }

    /// The switches as they are.
    #[must_use]
    pub fn behaviour(&self) -> Behaviour {
        self.shared.behaviour()
    }

    /// Changes switches; the next request sees them.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut lock(&self.shared.behaviour));
    }

    /// Adds a fault. Of several that match a request the oldest meets it, and no other.
    #[expect(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn fault(&self, fault: Fault) -> FaultHandle {
        self.shared.faults.add(fault)
    }

    /// All faults not yet removed.
    #[must_use]
    pub fn faults(&self) -> Vec<FaultHandle> {
        self.shared.faults.handles()
    }

    /// The fault of this number, unless it was removed.
    #[must_use]
    pub fn fault_by_id(&self, id: FaultId) -> Option<FaultHandle> {
        self.shared.faults.handle(id)
    }

    /// Removes all faults; what stalls in them goes on.
    pub fn clear_faults(&self) {
        for fault in self.faults() {
            fault.remove();
        }
    }

    /// Makes a key valid.
    pub fn add_key(&self, key: &str) {
        lock(&self.shared.keys).insert(key.to_owned());
    }

    /// Revokes a key: 401 from the next request on (doc). False if it was not valid.
    #[expect(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn revoke_key(&self, key: &str) -> bool {
        lock(&self.shared.keys).remove(key)
    }

    /// The valid keys.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        lock(&self.shared.keys).iter().cloned().collect()
    }

    /// Adds a vault with its secrets, and returns its id.
    ///
    /// # Panics
    /// When one of its secrets' ids or `env_key`s is taken: see [`Outsider::create_vault`].
    #[expect(clippy::must_use_candidate, reason = "called for its effect")]
    #[track_caller]
    pub fn add_vault(&self, vault: NewVault) -> String {
        self.outsider()
            .create_vault(vault)
            .expect("free ids and env_keys")
    }

    /// Adds a secret to a vault, and returns its id.
    ///
    /// # Panics
    /// When there is no such vault, or the id or `env_key` is taken: see [`Outsider::create`].
    #[track_caller]
    #[expect(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn add_secret(&self, vault: &str, secret: NewSecret) -> String {
        self.outsider()
            .create(vault, secret)
            .expect("a free id and env_key in a vault that exists")
            .id
    }

    /// Changes what is stored without a request.
    #[must_use]
    pub fn outsider(&self) -> Outsider<'_> {
        Outsider(&self.shared)
    }

    /// A secret as stored, by its id.
    #[must_use]
    pub fn secret(&self, id: &str) -> Option<Stored> {
        self.shared.secret(id)
    }

    /// All secrets of a vault as stored, the oldest first; none if there is no such vault.
    #[must_use]
    pub fn secrets(&self, vault: &str) -> Vec<Stored> {
        self.shared.secrets(vault)
    }

    /// The stored value of a secret.
    #[must_use]
    pub fn value(&self, id: &str) -> Option<String> {
        Some(self.secret(id)?.value)
    }

    /// The stored domains of a secret.
    #[must_use]
    pub fn domains(&self, id: &str) -> Option<Vec<String>> {
        Some(self.secret(id)?.allowed_domains)
    }

    /// `updated_at` of a secret, as the answer of a PATCH would show it.
    #[must_use]
    pub fn updated_at(&self, id: &str) -> Option<String> {
        Some(self.secret(id)?.updated_at)
    }
}

/// A secret as stored, its value included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// The vault that holds it.
    pub vault_id: String,
    /// Its id.
    pub id: String,
    /// The name of its environment variable.
    pub env_key: String,
    /// Its value.
    pub value: String,
    /// Its domains.
    pub allowed_domains: Vec<String>,
    /// As the answer of a PATCH would show it.
    pub created_at: String,
    /// As the answer of a PATCH would show it.
    pub updated_at: String,
}

impl Stored {
    pub(crate) fn new(vault_id: String, secret: Secret, behaviour: &Behaviour) -> Self {
        let (created_at, updated_at) = crate::api::stamps(&secret, behaviour);
        let Secret {
            id,
            env_key,
            value,
            allowed_domains,
            ..
        } = secret;
        Self {
            vault_id,
            id,
            env_key,
            value,
            allowed_domains,
            created_at,
            updated_at,
        }
    }
}
