//! Coming to rest, and everything that was sent between two rests.
//!
//! "Nothing else was sent" needs a moment at which the operator has seen everything and finished with it. For
//! that each world has a VaultSecret of its own, the barrier, with its own Secret, connection, API key and vault.
//! Kubernetes tells of changes of one kind in their order: once a change of the barrier and of its Secret has
//! reached the vault, everything that was changed before is at least queued. Then the operator is watched until
//! its queue is empty, no request is under way, and for a while no reconcile has ended. What is to be tried again
//! in seconds is not seen by that; a test that is about such a thing watches for longer.
//!
//! The barrier's own requests and status writes are left out of what is shown.

use std::time::{Duration, Instant};

use kube::{Api, api::PostParams};
use nairi_sim::{Entries, Entry, NewSecret, NewVault, Outcome};
use serde_json::{Value, json};
use vaultsecret_operator::api::{
    ConnectionKind, SecretKeyRef, VaultConnection, VaultConnectionSpec, VaultSecret,
};

use super::{
    audit::{AuditEvent, AuditMark},
    objects::{VaultSecretBuilder, current_reason, merge, secret},
    wait::{SOON, eventually},
    world::World,
};

/// The name of the barrier, its Secret and its connection.
const NAME: &str = "barrier";

/// How long no reconcile may end for the operator to be at rest.
const STILL: Duration = Duration::from_millis(300);

/// The barrier of a world.
#[derive(Debug)]
pub struct Barrier {
    api_key: String,
    secret_id: String,
    rounds: std::sync::atomic::AtomicU64,
}

/// A place in both logs: the simulator's and the API server's.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// In the simulator's log.
    pub sim: nairi_sim::Mark,
    /// In the audit log.
    pub audit: Option<AuditMark>,
}

/// One request to the Nairi API.
#[derive(Clone, Debug, PartialEq)]
pub enum Sent {
    /// A PATCH of the secret of this id with this body.
    Patch(String, Value),
    /// The list of the secrets of this vault.
    List(String),
    /// The list of vaults.
    ListVaults,
    /// A POST to this vault with this body.
    Post(String, Value),
    /// A DELETE of the secret of this id.
    Delete(String),
    /// Anything else.
    Other(String),
}

/// A PATCH of that secret with that body, and nothing else in it.
pub fn patch(secret_id: &str, body: Value) -> Sent {
    Sent::Patch(secret_id.to_owned(), body)
}

/// The list of that vault.
pub fn list(vault_id: &str) -> Sent {
    Sent::List(vault_id.to_owned())
}

/// The list of vaults, which a new API key is tried with.
pub fn list_vaults() -> Sent {
    Sent::ListVaults
}

/// A POST to that vault with that body.
pub fn post(vault_id: &str, body: Value) -> Sent {
    Sent::Post(vault_id.to_owned(), body)
}

/// A DELETE of that secret.
pub fn delete(secret_id: &str) -> Sent {
    Sent::Delete(secret_id.to_owned())
}

impl From<&Entry> for Sent {
    fn from(entry: &Entry) -> Self {
        let path = entry.path.strip_prefix(nairi_sim::BASE).unwrap_or("?");
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        match (entry.method.as_str(), parts.as_slice(), entry.json()) {
            ("PATCH", ["vaults", _, "secrets", id], Some(body)) => patch(id, body),
            ("POST", ["vaults", id, "secrets"], Some(body)) => post(id, body),
            ("DELETE", ["vaults", _, "secrets", id], None) => delete(id),
            ("GET", ["vaults", id, "secrets"], None) => list(id),
            ("GET", ["vaults"], None) => list_vaults(),
            _ => Self::Other(format!("{entry:?}")),
        }
    }
}

/// What the operator did between a mark and a rest.
#[derive(Debug)]
pub struct Seen {
    /// Every request to the Nairi API, as the simulator logged it.
    pub requests: Entries,
    /// Every write to Kubernetes, leases aside; none where there is no audit log.
    pub writes: Option<Vec<AuditEvent>>,
}

impl Seen {
    /// Every request to the Nairi API, in order.
    pub fn sent(&self) -> Vec<Sent> {
        self.requests
            .iter()
            .map(|entry| Sent::from(&**entry))
            .collect()
    }

    /// Every write to Kubernetes, such as `patch vaultsecrets/status token`, in order. What is created has no
    /// name yet: `create events`.
    ///
    /// # Panics
    /// Without an audit log.
    pub fn written(&self) -> Vec<String> {
        let writes = self
            .writes
            .as_ref()
            .expect("needs the audit log, which USE_EXISTING_CLUSTER has not");
        let line = |event: &AuditEvent| format!("{} {} {}", event.verb, event.what(), event.name);
        writes
            .iter()
            .map(line)
            .map(|line| line.trim_end().to_owned())
            .collect()
    }

    /// These requests were sent to the Nairi API, reads included, in this order, and no others.
    #[track_caller]
    pub fn sent_exactly(&self, expected: &[Sent]) {
        assert_eq!(self.sent(), expected, "what was sent to Nairi");
    }

    /// No request was sent to the Nairi API, not even a read.
    #[track_caller]
    pub fn sent_nothing(&self) {
        self.sent_exactly(&[]);
    }

    /// These writes, in any order, and no others were made to Kubernetes.
    #[track_caller]
    pub fn wrote_exactly(&self, expected: &[&str]) {
        let (mut written, mut expected) = (self.written(), expected.to_vec());
        written.sort_unstable();
        expected.sort_unstable();
        assert_eq!(written, expected, "what was written to Kubernetes");
    }

    /// Nothing was written to Kubernetes.
    #[track_caller]
    pub fn wrote_nothing(&self) {
        self.wrote_exactly(&[]);
    }
}

impl World {
    /// Comes to rest, and marks that moment.
    pub async fn mark(&self) -> Mark {
        self.rest().await;
        self.mark_now()
    }

    /// Marks this moment, whatever is under way.
    pub fn mark_now(&self) -> Mark {
        let audit = (!self.cluster.is_existing()).then(|| self.cluster.audit().mark());
        Mark {
            sim: self.sim.mark(),
            audit,
        }
    }

    /// Comes to rest, and shows everything the operator did since the mark.
    pub async fn since(&self, mark: &Mark) -> Seen {
        self.rest().await;
        self.seen(mark)
    }

    /// Everything the operator did since the mark, whatever is under way.
    pub fn seen(&self, mark: &Mark) -> Seen {
        let writes = mark.audit.map(|audit| {
            let mut writes = self.cluster.audit().writes(&self.user, audit);
            writes.retain(|write| write.name != NAME);
            writes
        });
        Seen {
            requests: self.requests().since(mark.sim),
            writes,
        }
    }

    /// Every request to the Nairi API so far, the barrier's aside.
    pub fn requests(&self) -> Entries {
        let own = |entry: &Entry| {
            let key = entry.header("authorization");
            self.barrier
                .as_ref()
                .is_none_or(|barrier| key != Some(&format!("Bearer {}", barrier.api_key)))
        };
        self.sim.log().all().only(own)
    }

    /// The Secrets of the world's namespace that the operator read since the mark, by name. Waits until the log
    /// shows that the barrier's was, which a rest after the mark caused.
    pub async fn secrets_read(&self, mark: &Mark) -> Vec<String> {
        let audit = self.cluster.audit();
        let since = mark.audit.expect("needs the audit log");
        eventually("the log shows the barrier's read", SOON, || async {
            let gets = audit.gets(&self.user, since).into_iter();
            let names: Vec<_> = gets
                .filter(|get| get.resource == "secrets" && get.namespace == self.namespace)
                .map(|get| get.name)
                .collect();
            let complete = names.iter().any(|name| name == NAME);
            complete.then(|| names.into_iter().filter(|name| name != NAME).collect())
        })
        .await
    }

    /// Waits until the operator has seen everything that was changed so far, and has finished with it.
    pub async fn rest(&self) {
        if let Some(barrier) = &self.barrier {
            self.pass(barrier).await;
        }
        self.be_still().await;
    }

    /// Makes a change of the barrier and of its Secret, and waits until both have reached the vault.
    async fn pass(&self, barrier: &Barrier) {
        let round = barrier
            .rounds
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed)
            + 1;
        let (value, domain) = (format!("round-{round}"), format!("round-{round}.barrier"));
        // First the Secret, so that the status of the object's new generation is the last word.
        self.set_secret(NAME, "value", &value).await;
        self.edit_spec(NAME, json!({"allowedDomains": [domain]}))
            .await;
        eventually("the barrier's change reaches the vault", SOON, || async {
            let stored = self.sim.secret(&barrier.secret_id)?;
            (stored.value == value && stored.allowed_domains == [domain.clone()]).then_some(())
        })
        .await;
        self.synced(NAME).await;
    }

    /// Waits until the operator does nothing for a while.
    async fn be_still(&self) {
        let began = Instant::now();
        let mut last = (f64::NAN, 0);
        let mut since = Instant::now();
        loop {
            let metrics = self.operator.metrics().await;
            let log = self.sim.log().all();
            let now = (
                metrics.sum("vaultsecret_reconcile_total"),
                self.sim.mark().0,
            );
            let busy = metrics.sample("vaultsecret_queue_depth") > 0.0
                || log.iter().any(|entry| entry.outcome == Outcome::Pending);
            #[expect(clippy::float_cmp, reason = "a counter")]
            if busy || now.0 != last.0 || now.1 != last.1 {
                (last, since) = (now, Instant::now());
            }
            if since.elapsed() >= STILL {
                return;
            }
            assert!(
                began.elapsed() < SOON,
                "the operator does not come to rest:\n{}",
                self.operator.tail(30)
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Makes the barrier, for a world without one; it is in sync once the operator runs.
    pub(super) async fn make_barrier(&self) -> Barrier {
        let api_key = nairi_sim::api_key();
        self.sim.add_key(&api_key);
        let vault = self.sim.add_vault(NewVault::default());
        let secret_id = self
            .sim
            .add_secret(&vault, NewSecret::new("BARRIER", "round-0", &["barrier"]));
        let post = PostParams::default();
        let data = [("apiKey", api_key.as_str()), ("value", "round-0")];
        self.secrets()
            .create(&post, &secret(NAME, &data))
            .await
            .expect("the barrier's Secret");
        let connection = VaultConnection::new(
            NAME,
            VaultConnectionSpec {
                api_key_secret_ref: SecretKeyRef {
                    name: NAME.to_owned(),
                    key: "apiKey".to_owned(),
                },
            },
        );
        Api::<VaultConnection>::namespaced(self.client.clone(), &self.namespace)
            .create(&post, &connection)
            .await
            .expect("the barrier's connection");
        let object = VaultSecretBuilder::new(NAME, &vault)
            .connection(ConnectionKind::VaultConnection, NAME)
            .env_key("BARRIER")
            .value_from(NAME, "value")
            .domains(["barrier"]);
        self.create(object).await;
        Barrier {
            api_key,
            secret_id,
            rounds: std::sync::atomic::AtomicU64::new(0),
        }
    }

    /// Waits for the barrier's first sync, and for the event about it.
    pub(super) async fn first_rest(&self) {
        if self.barrier.is_some() {
            self.synced(NAME).await;
        }
        self.be_still().await;
    }
}
