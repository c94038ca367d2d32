//! Which API keys are at hand: one entry per connection object, with the key in memory.
//!
//! `check` reads and verifies the keys; the reconciler only looks them up here.

pub mod check;
mod health;
mod kind;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use kube_runtime::reflector::ObjectRef;
use parking_lot::{Mutex, RwLock};

use crate::{
    api::{ConnectionKind, ConnectionReason, ConnectionRef, Grant, VaultSecret},
    nairi::{ApiKey, Class, Error, Gate, Gates, KeyId},
};

use self::health::Health;
pub use self::kind::{Connection, KeySource};

/// So many keys are remembered whether anybody has them or not.
const FEW_KEYS: usize = 8;

/// A connection, as an object refers to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionId {
    /// A ClusterVaultConnection.
    Cluster {
        /// Its name.
        name: String,
    },
    /// A VaultConnection.
    Namespaced {
        /// Its namespace, which is that of every object that may use it.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl ConnectionId {
    /// What an object in `namespace` means by `reference`. There is no way to name another namespace.
    #[must_use]
    pub fn of(reference: &ConnectionRef, namespace: &str) -> Self {
        let name = reference.name.clone();
        match reference.kind {
            ConnectionKind::ClusterVaultConnection => Self::Cluster { name },
            ConnectionKind::VaultConnection => Self::Namespaced {
                namespace: namespace.to_owned(),
                name,
            },
        }
    }

    /// Its namespace, if it has one.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::Cluster { .. } => None,
            Self::Namespaced { namespace, .. } => Some(namespace),
        }
    }
}

impl fmt::Display for ConnectionId {
    /// As in a message to somebody in the object's namespace.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster { name } => write!(f, "ClusterVaultConnection {name:?}"),
            Self::Namespaced { namespace: _, name } => write!(f, "VaultConnection {name:?}"),
        }
    }
}

/// An API key and the gate that all its users share.
#[derive(Clone)]
pub struct Credential {
    /// The key.
    pub key: Arc<ApiKey>,
    /// Its gate.
    pub gate: Arc<Gate<ObjectRef<VaultSecret>>>,
    /// Where it was read.
    source: KeySource,
}

/// What is known of a connection.
#[derive(Clone)]
pub enum Known {
    /// It has a key. Whether the API accepts that is the gate's to say.
    Usable(Credential),
    /// It has none that could be sent.
    Unusable(ConnectionReason),
}

impl Known {
    /// This, unless it is of a key from another place than that. What is granted now is not granted with the key that
    /// the connection had before: the watch shows a change a moment before that key is forgotten.
    #[must_use]
    pub fn from(self, source: Option<&KeySource>) -> Option<Self> {
        match self {
            Self::Usable(credential) if Some(&credential.source) != source => None,
            known => Some(known),
        }
    }

    fn key_id(&self) -> Option<KeyId> {
        match self {
            Self::Usable(credential) => Some(credential.gate.key_id()),
            Self::Unusable(_) => None,
        }
    }
}

/// What a connection had when it was last usable.
#[derive(Clone)]
struct Last {
    credential: Credential,
    /// What it granted when it was deleted.
    grants: Option<Vec<Grant>>,
}

/// What is known of all connections.
pub struct Connections {
    known: RwLock<HashMap<ConnectionId, Known>>,
    health: Mutex<HashMap<KeyId, Health>>,
    failures: Mutex<HashMap<ConnectionId, u32>>,
    /// The last usable key of each connection, for objects that have to be deleted when it is gone.
    last: Mutex<HashMap<ConnectionId, Last>>,
    gates: Gates<ObjectRef<VaultSecret>>,
    check: Box<dyn Fn(ConnectionId) + Send + Sync>,
}

impl Connections {
    /// Nothing known so far. `check` is told of each connection that has to be checked again.
    #[must_use]
    pub fn new(
        gates: Gates<ObjectRef<VaultSecret>>,
        check: Box<dyn Fn(ConnectionId) + Send + Sync>,
    ) -> Self {
        Self {
            known: RwLock::default(),
            health: Mutex::default(),
            failures: Mutex::default(),
            last: Mutex::default(),
            gates,
            check,
        }
    }

    /// What is known of `id`; `None` until it was checked once.
    #[must_use]
    pub fn get(&self, id: &ConnectionId) -> Option<Known> {
        self.known.read().get(id).cloned()
    }

    /// The credential of a key just read there.
    #[must_use]
    pub fn credential(&self, key: ApiKey, source: KeySource) -> Credential {
        let gate = self.gates.for_key(&key, Instant::now());
        Credential {
            key: Arc::new(key),
            gate,
            source,
        }
    }

    /// Replaces what is known of `id`, if the connection `is_there` still as it was when that was found out; says
    /// whether it is news to its users.
    pub fn set(&self, id: ConnectionId, known: Known, is_there: impl FnOnce() -> bool) -> bool {
        let news = |before: &Known| match (before, &known) {
            (Known::Usable(before), Known::Usable(now)) => {
                before.gate.key_id() != now.gate.key_id()
            }
            (Known::Unusable(before), Known::Unusable(now)) => before != now,
            _ => true,
        };
        // Asked under the lock: whoever takes the connection out does so after the watch shows that it is gone.
        let mut all = self.known.write();
        if !is_there() {
            return false;
        }
        if let Known::Usable(credential) = &known {
            let last = Last {
                credential: credential.clone(),
                grants: None,
            };
            self.last.lock().insert(id.clone(), last);
        }
        let changed = all.get(&id).is_none_or(news);
        all.insert(id, known);
        changed
    }

    /// The connection has another key now, or is not for us any more.
    pub fn forget(&self, id: &ConnectionId) {
        self.known.write().remove(id);
        self.failures.lock().remove(id);
        self.last.lock().remove(id);
    }

    /// The connection is gone. Its last key stays at hand for what has to be deleted with it, and so does what it
    /// `grants`, until [`Self::unused`] is told.
    pub fn retire(&self, id: &ConnectionId, grants: Option<&[Grant]>) {
        self.known.write().remove(id);
        self.failures.lock().remove(id);
        if let Some(last) = self.last.lock().get_mut(id) {
            last.grants = grants.map(<[Grant]>::to_vec);
        }
    }

    /// No object uses `id` any more: if it is gone, its last key is forgotten.
    pub fn unused(&self, id: &ConnectionId) {
        if !self.known.read().contains_key(id) {
            self.last.lock().remove(id);
        }
    }

    /// The last usable key of `id`, for a deletion only.
    #[must_use]
    pub fn last(&self, id: &ConnectionId) -> Option<Credential> {
        let last = self.last.lock();
        last.get(id).map(|last| last.credential.clone())
    }

    /// What `id` granted when it was deleted; `None` where it needed no grants, or is not known.
    #[must_use]
    pub fn last_grants(&self, id: &ConnectionId) -> Option<Vec<Grant>> {
        let last = self.last.lock();
        last.get(id).and_then(|last| last.grants.clone())
    }

    /// Whether the API accepted this key, as far as it was asked.
    #[must_use]
    pub fn is_verified(&self, key: KeyId) -> bool {
        self.health
            .lock()
            .get(&key)
            .is_some_and(|health| health.verified)
    }

    /// Asks to ask the API about a key, which is refused at present or not: `Err` with the time left, where it is too
    /// soon.
    ///
    /// # Errors
    /// The time left.
    pub fn may_ask(&self, key: KeyId, refused: bool) -> Result<(), Duration> {
        let mut all = self.health.lock();
        self.forget_unused_keys(&mut all);
        let health = all.entry(key).or_default();
        health.may_ask(refused, Instant::now())
    }

    /// Forgets keys that no connection has any more, once they may be the larger part: whoever brings ever more keys
    /// makes each of them no dearer than the one before.
    fn forget_unused_keys(&self, all: &mut HashMap<KeyId, Health>) {
        let known = self.known.read();
        if all.len() < 2 * known.len().max(FEW_KEYS) {
            return;
        }
        let used: HashSet<_> = known.values().filter_map(Known::key_id).collect();
        all.retain(|id, _| used.contains(id));
    }

    /// The API accepts the key.
    pub fn accepted(&self, key: KeyId) {
        self.health.lock().entry(key).or_default().accepts();
    }

    /// The API refuses the key, or (false) did not say.
    pub fn unverified(&self, key: KeyId, refused: bool) {
        let mut all = self.health.lock();
        let health = all.entry(key).or_default();
        health.verified = false;
        if refused {
            health.refuses();
        }
    }

    /// How soon a refused key is tried again, and whether it was good once.
    #[must_use]
    pub fn probes(&self, key: KeyId) -> (Duration, bool) {
        let health = self.health.lock().get(&key).copied().unwrap_or_default();
        (health.pause(), health.was_accepted())
    }

    /// Counts a failed check of `id`: how many there were in a row.
    pub fn failed(&self, id: &ConnectionId) -> u32 {
        let mut failures = self.failures.lock();
        let count = failures.entry(id.clone()).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// Ends a row of failed checks.
    pub fn succeeded(&self, id: &ConnectionId) {
        self.failures.lock().remove(id);
    }

    /// The connections that use this key.
    #[must_use]
    pub fn sharing(&self, key: KeyId) -> Vec<ConnectionId> {
        self.known
            .read()
            .iter()
            .filter(|(_, known)| known.key_id() == Some(key))
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// Does at the key's gate what `error` asks for: the answer to a request in the name of `object`, or (none) about
    /// the key itself.
    pub fn heed(
        &self,
        credential: &Credential,
        object: Option<&ObjectRef<VaultSecret>>,
        error: &Error,
    ) {
        match error.class() {
            Class::Throttled { retry_after } => {
                let gate = &credential.gate;
                gate.throttle(object, retry_after, Instant::now());
            }
            Class::Unauthorized => {
                if credential.gate.refuse() {
                    self.check_all(credential.gate.key_id());
                }
            }
            Class::Transient | Class::Rejected | Class::NotFound | Class::InvalidResponse => {}
        }
    }

    /// The API could not be reached with this key, where it had been: the connections that use it find out whether
    /// it can.
    pub fn doubt(&self, key: KeyId) {
        let mut health = self.health.lock();
        let verified = health.get_mut(&key).map(|health| &mut health.verified);
        let was_verified = verified.is_some_and(std::mem::take);
        drop(health);
        if was_verified {
            self.check_all(key);
        }
    }

    fn check_all(&self, key: KeyId) {
        self.sharing(key).into_iter().for_each(&self.check);
    }

    /// The gates of all keys.
    #[must_use]
    pub fn gates(&self) -> &Gates<ObjectRef<VaultSecret>> {
        &self.gates
    }
}

#[cfg(test)]
mod tests;
