//! What every reconcile shares.

use std::{sync::Arc, time::Duration};

use kube::Client;
use kube_runtime::reflector::ObjectRef;

use crate::{
    api::{ClusterVaultConnection, VaultConnection, VaultSecret},
    claims::Claims,
    connections::{ConnectionId, Connections},
    events::Events,
    fingerprint::FingerprintKey,
    lease::Fence,
    ledger::Ledger,
    metrics::Metrics,
    nairi,
    queue::Queue,
    sweep::Sweeps,
    vaults::Vaults,
    watch::{Index, Stores},
};

/// The operator's parts, as reconciles see them.
pub struct Context {
    /// Kubernetes.
    pub client: Client,
    /// The Nairi API, for questions. For writes: [`Context::writing`].
    pub nairi: nairi::Client,
    /// What each write has to pass.
    pub fence: Fence,
    /// What is watched.
    pub stores: Stores,
    /// Which objects refer to what.
    pub index: Index,
    /// The API keys at hand.
    pub connections: Arc<Connections>,
    /// Lists of vaults.
    pub vaults: Arc<Vaults>,
    /// Who owns which remote secret.
    pub claims: Claims,
    /// When each vault is listed next.
    pub sweeps: Arc<Sweeps>,
    /// What this process did for each object.
    pub ledger: Ledger,
    /// The namespaces whose objects are watched; none: all.
    pub watch_namespaces: Vec<String>,
    /// The operator's own namespace.
    pub namespace: String,
    /// The key of fingerprints.
    pub fingerprints: Arc<FingerprintKey>,
    /// The ways into the reconcilers.
    pub queues: Queues,
    /// Kubernetes events.
    pub events: Events,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Limits.
    pub settings: Settings,
}

/// One queue per kind.
#[derive(Clone)]
pub struct Queues {
    /// Of VaultSecrets.
    pub objects: Queue<VaultSecret>,
    /// Of VaultConnections.
    pub connections: Queue<VaultConnection>,
    /// Of ClusterVaultConnections.
    pub cluster_connections: Queue<ClusterVaultConnection>,
}

/// Limits that come from flags.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long one request to Kubernetes may take.
    pub kube_timeout: Duration,
    /// How long a reconcile may take, its status write aside.
    pub reconcile_timeout: Duration,
    /// How long an object that is being deleted waits for a usable API key; zero: for ever.
    pub deletion_grace: Duration,
    /// Nothing is sent; status says what would be.
    pub dry_run: bool,
    /// After about how long what a dry run found is looked at again.
    pub resync_interval: Duration,
}

impl Queues {
    /// Makes the connection due.
    pub fn wake_connection(&self, id: &ConnectionId) {
        match id {
            ConnectionId::Cluster { name } => self.cluster_connections.wake(ObjectRef::new(name)),
            ConnectionId::Namespaced { namespace, name } => {
                self.connections
                    .wake(ObjectRef::new(name).within(namespace));
            }
        }
    }
}

impl Context {
    /// The Nairi API for one write that is sent right now: its timeout ends before the lease does. Never returns once
    /// the lease is lost.
    ///
    /// For a write to Kubernetes there is [`Fence::bounded`].
    pub async fn writing(&self) -> nairi::Client {
        self.nairi.within(self.fence.pass(Duration::MAX).await)
    }

    /// Forgets everything about an object that is gone.
    pub fn forget(&self, object: &ObjectRef<VaultSecret>, uid: &str) {
        self.ledger.forget(uid);
        self.claims.lapse(uid);
        self.queues.objects.forget(object);
        self.connections.gates().forget(object);
        self.vaults.forget(object);
    }

    /// Makes all objects that use this connection due.
    pub fn wake_users(&self, id: &ConnectionId) {
        for object in self.index.users(id) {
            self.queues.objects.wake(object);
        }
    }
}
