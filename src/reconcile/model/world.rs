//! The world: the objects as the API server has them and as the watch has shown them, the vault, and the process.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
    time::{Duration, Instant},
};

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use kube_runtime::reflector::ObjectRef;
use secrecy::SecretString;

use super::{
    Course, Fields, Listing, compare,
    truth::Truth,
    vault::{Switches, Vault},
};
use crate::{
    api::{
        ConnectionRef, SecretKeyRef, ValueFrom, VaultSecret, VaultSecretSpec, VaultSecretStatus,
    },
    claims::Claims,
    ledger::{Entry, Ledger},
    nairi::{RemoteSecret, same_domains},
    queue::{Due, Queue},
    reconcile::{claiming, status::ready_reason},
    vaults::Gaps,
    watch::changes::gives_work,
};

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// The object was no longer the one decided for: nothing was sent.
    Outdated,
    /// A definite refusal: nothing was stored.
    Refused,
    /// No answer, nothing stored.
    LostBefore,
    /// No answer, yet stored.
    LostAfter,
}

/// What becomes of the status write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StatusFault {
    None,
    NotWritten,
    /// Written, and the answer lost.
    LostAfter,
    /// The process dies before it.
    Crash,
}

/// One object, or the place for one: its name.
#[derive(Default)]
pub(super) struct Life {
    /// As the API server has it.
    pub(super) server: Option<VaultSecret>,
    /// As the watch has shown it.
    pub(super) cache: Option<VaultSecret>,
    /// Content and version of the source.
    source: (u8, u32),
    /// Whether its connection grants it the vault.
    pub(super) permitted: bool,
    /// Whether no pass has begun since it lost that.
    pub(super) unnoticed: bool,
    /// Whether a pass is under way.
    pub(super) running: bool,
    pub(super) truth: Truth,
    /// Who had which secret: by uid, whatever name it goes by now.
    pub(super) had: BTreeSet<(String, String)>,
    /// The secret that was shown to it last as it is declared now.
    pub(super) shown: Option<String>,
}

/// An API key, and the gate of those who go by it.
#[derive(Clone, Copy, Default)]
pub(super) struct ApiKey {
    pub(super) revoked: bool,
    /// Whether the API is known to refuse it.
    pub(super) refused: bool,
}

/// What was done so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Done {
    /// The PATCHes sent.
    pub(super) sent: Vec<Fields>,
    /// `PATCH {}` sent.
    pub(super) reads: usize,
    pub(super) creations: usize,
    pub(super) deletions: usize,
    pub(super) status_writes: usize,
    pub(super) finalizer_writes: usize,
}

pub(super) struct World {
    pub(super) vault: Vault,
    pub(super) lives: Vec<Life>,
    pub(super) ledger: Ledger,
    pub(super) claims: Claims,
    queue: Due<VaultSecret>,
    /// Whom something woke, and whom a timer will.
    woken: BTreeSet<usize>,
    pub(super) later: BTreeSet<usize>,
    pub(super) keys: [ApiKey; 2],
    /// A list under way.
    listing: Option<(Instant, (Vec<RemoteSecret>, Gaps))>,
    /// Environment keys that others may have given to a secret at any time.
    pub(super) foreign_keys: BTreeSet<String>,
    /// Whose write each secret took last, by its id and the writer's uid.
    pub(super) writers: BTreeMap<String, String>,
    /// What is being written to just now, by its id or environment key.
    pub(super) in_flight: BTreeSet<String>,
    pub(super) versions: u64,
    pub(super) born: usize,
    began: Instant,
    pub(super) done: Done,
    pub(super) trace: Vec<String>,
}

pub(super) const BOTH: Fields = Fields::ALL;

/// The object where there is but one.
pub(super) const ONE: usize = 0;

pub(super) const VAULT: &str = "vlt_1";

/// How long an object that is being deleted waits for a key.
pub(super) const GRACE: Duration = Duration::from_mins(10);

pub(super) fn fingerprints() -> &'static crate::fingerprint::FingerprintKey {
    static KEY: OnceLock<crate::fingerprint::FingerprintKey> = OnceLock::new();
    KEY.get_or_init(|| crate::fingerprint::FingerprintKey::from_bytes(&[7; 32]).expect("32 bytes"))
}

/// The domains that a history chooses from.
pub(super) fn domains(choice: u8) -> Vec<String> {
    let all: [&[&str]; 4] = [
        &["a.com"],
        &["B.com", "a.com"],
        &["c.com", "*.D.com", "a.com"],
        &[],
    ];
    all[usize::from(choice) % all.len()]
        .iter()
        .map(|d| (*d).to_owned())
        .collect()
}

pub(super) fn source() -> ValueFrom {
    ValueFrom {
        secret_key_ref: Some(SecretKeyRef {
            name: "source".into(),
            key: "key".into(),
        }),
        template: None,
    }
}

pub(super) fn connection(number: usize) -> ConnectionRef {
    ConnectionRef {
        name: number.to_string(),
        ..ConnectionRef::default()
    }
}

/// The number of the connection that `object` goes by.
pub(super) fn connection_of(object: &VaultSecret) -> usize {
    (object.spec.connection_ref.name.parse()).expect("a number")
}

impl World {
    /// Room for `places` objects, and a vault with a secret of each of these environment keys.
    pub(super) fn new(switches: Switches, places: usize, env_keys: &[&str]) -> Self {
        let (queue, due) = Queue::new(8);
        let mut world = Self {
            vault: Vault::new(switches, env_keys),
            lives: Vec::new(),
            ledger: Ledger::default(),
            claims: Claims::new(queue),
            queue: due,
            woken: BTreeSet::new(),
            later: BTreeSet::new(),
            keys: [ApiKey::default(); 2],
            listing: None,
            foreign_keys: BTreeSet::new(),
            writers: BTreeMap::new(),
            in_flight: BTreeSet::new(),
            versions: 0,
            born: 0,
            began: Instant::now(),
            done: Done::default(),
            trace: Vec::new(),
        };
        for _ in 0..places {
            world.add_place();
        }
        world
    }

    /// Room for one more object.
    pub(super) fn add_place(&mut self) {
        self.lives.push(Life {
            permitted: true,
            ..Life::default()
        });
    }

    /// One object, for a secret that is there.
    pub(super) fn of_one(switches: Switches) -> Self {
        let mut world = Self::new(switches, 1, &["KEY"]);
        let spec = VaultSecretSpec {
            connection_ref: connection(0),
            vault_id: VAULT.into(),
            env_key: Some("KEY".into()),
            value_from: Some(source()),
            allowed_domains: Some(domains(0)),
            allow_unrestricted: true,
            ..VaultSecretSpec::default()
        };
        world.create(ONE, spec);
        world.catch_up(ONE);
        world
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_second(self.vault.clock).expect("a time")
    }

    /// The same on the clock that deadlines go by.
    pub(super) fn instant(&self) -> Instant {
        let seconds = u64::try_from(self.vault.clock).expect("after the epoch");
        self.began + Duration::from_secs(seconds)
    }

    /// The object as declared.
    pub(super) fn object(&self, at: usize) -> &VaultSecret {
        self.lives[at].server.as_ref().expect("an object")
    }

    pub(super) fn entry(&self, at: usize) -> Entry {
        let uid = self.object(at).uid().expect("a uid");
        self.ledger.entry(&uid)
    }

    /// The status at the API server.
    pub(super) fn status(&self, at: usize) -> VaultSecretStatus {
        self.object(at).status.clone().unwrap_or_default()
    }

    // Its source.

    pub(super) fn source_version(&self, at: usize) -> String {
        format!("s/{}", self.lives[at].source.1)
    }

    pub(super) fn source_value(&self, at: usize) -> SecretString {
        SecretString::from(self.source_text(at))
    }

    pub(super) fn source_text(&self, at: usize) -> String {
        format!("value {} of {at}", self.lives[at].source.0)
    }

    pub(super) fn rotate(&mut self, at: usize, content: u8) {
        self.lives[at].source.0 = content;
        self.touch_source(at);
    }

    pub(super) fn touch_source(&mut self, at: usize) {
        self.lives[at].source.1 += 1;
        self.woken.insert(at);
    }

    // Its connection.

    /// A loss is noticed before it is made good: with both at once only the next sweep shows what others wrote in
    /// between.
    pub(super) fn permit(&mut self, at: usize, permitted: bool) {
        if permitted && !self.lives[at].permitted && self.lives[at].unnoticed {
            if self.lives[at].running {
                return;
            }
            self.pass(at, &mut Course::default(), StatusFault::None);
        }
        let life = &mut self.lives[at];
        life.unnoticed = !permitted && (life.permitted || life.unnoticed);
        life.permitted = permitted;
        self.woken.insert(at);
    }

    /// The key is revoked, or another takes its place.
    pub(super) fn revoke(&mut self, key: usize, revoked: bool) {
        self.keys[key] = ApiKey {
            revoked,
            refused: false,
        };
        for (at, life) in self.lives.iter().enumerate() {
            if (life.cache.as_ref()).is_some_and(|object| connection_of(object) == key) {
                self.woken.insert(at);
            }
        }
    }

    // The process.

    /// The watch shows the object as it is.
    pub(super) fn catch_up(&mut self, at: usize) {
        let life = &mut self.lives[at];
        let old = std::mem::replace(&mut life.cache, life.server.clone());
        let uid = |object: &VaultSecret| object.uid().expect("a uid");
        match (&old, &life.cache) {
            (_, Some(new)) => {
                let stake = claiming::by_declaration(old.as_ref(), new);
                if stake == claiming::Stake::Nothing {
                    life.shown = None;
                }
                stake.enter(&self.claims, new);
                if let Some(old) = old.as_ref().filter(|old| uid(old) != uid(new)) {
                    self.ledger.forget(&uid(old));
                    self.claims.lapse(&uid(old));
                }
                let version = new.resource_version().expect("a version");
                self.ledger.cached(&uid(new), &version);
                if gives_work(old.as_ref(), new) {
                    self.woken.insert(at);
                }
            }
            (Some(old), None) => {
                self.ledger.forget(&uid(old));
                self.claims.lapse(&uid(old));
            }
            (None, None) => {}
        }
    }

    /// The process ends, and another begins: it has listed all objects.
    pub(super) fn restart(&mut self) {
        let (queue, due) = Queue::new(8);
        (self.claims, self.queue) = (Claims::new(queue), due);
        self.ledger = Ledger::default();
        self.listing = None;
        self.woken.clear();
        self.later.clear();
        for at in 0..self.lives.len() {
            self.lives[at].cache = None;
            self.lives[at].truth.forgotten();
            self.catch_up(at);
        }
    }

    /// Time passes.
    pub(super) fn wait(&mut self, seconds: i64) {
        self.vault.clock += seconds;
        self.woken.append(&mut self.later);
    }

    pub(super) fn wake(&mut self, at: usize) {
        self.woken.insert(at);
    }

    /// An object that is due, if any is.
    pub(super) fn next_due(&mut self) -> Option<usize> {
        while let Some(object) = self.queue.pass_one() {
            self.woken.insert(place(&object));
        }
        let at = self
            .woken
            .iter()
            .copied()
            .find(|at| !self.lives[*at].running)?;
        self.woken.remove(&at);
        Some(at)
    }

    /// Whether the claim of another object counts now.
    pub(super) fn counts(&self, other: &ObjectRef<VaultSecret>) -> bool {
        let life = &self.lives[place(other)];
        life.permitted && life.cache.as_ref().is_some_and(claiming::stays)
    }

    /// Whether the claimant is one to take a secret over.
    pub(super) fn inherits(&self, other: &ObjectRef<VaultSecret>) -> bool {
        let object = self.lives[place(other)].cache.as_ref();
        object.is_some_and(|it| it.metadata.deletion_timestamp.is_none()) && self.counts(other)
    }

    /// A list of the vault begins.
    pub(super) fn list(&mut self) {
        self.listing = self.vault.list().map(|list| (Instant::now(), list));
    }

    /// It ends, and is compared with what is recorded.
    pub(super) fn heed(&mut self) {
        let Some((began, (list, gaps))) = self.listing.take() else {
            return;
        };
        let listing = Listing::new(began, &list, &gaps);
        for at in 0..self.lives.len() {
            let life = &self.lives[at];
            let Some(object) = &life.cache else { continue };
            let idle = object.spec.suspend || object.metadata.deletion_timestamp.is_some();
            let key = self.keys[connection_of(object)];
            if idle || !life.permitted || key.revoked || key.refused {
                continue;
            }
            let uid = object.uid().expect("a uid");
            let entry = self.ledger.entry(&uid);
            let hint = compare(object, &entry.status(object), &entry, &listing, began);
            if hint.is_some() {
                self.woken.insert(at);
            }
            self.ledger.hint(&uid, hint);
        }
    }

    pub(super) fn sweep(&mut self) {
        self.list();
        self.heed();
    }

    /// Whether the vault holds what is declared.
    pub(super) fn as_declared(&self, at: usize) -> bool {
        let (spec, status) = (&self.object(at).spec, self.status(at));
        let id = status.secret_id.unwrap_or_default();
        self.vault.get(&id).is_some_and(|secret| {
            (spec.value_from.is_none() || secret.value == self.source_text(at))
                && (spec.allowed_domains.as_ref())
                    .is_none_or(|declared| same_domains(declared, &secret.domains))
        })
    }

    /// What stands on each object, for the trace.
    pub(super) fn told(&self) -> Vec<String> {
        let tell = |(at, life): (usize, &Life)| {
            let object = life.server.as_ref()?;
            let status = object.status.clone().unwrap_or_default();
            Some(format!(
                "{at} ({}{}): {:?} {:?}",
                object.uid().unwrap_or_default(),
                if life.permitted {
                    ""
                } else {
                    ", not permitted"
                },
                ready_reason(&status),
                status.secret_id,
            ))
        };
        self.lives.iter().enumerate().filter_map(tell).collect()
    }
}

/// Whose name that is.
pub(super) fn place(object: &ObjectRef<VaultSecret>) -> usize {
    object.name.parse().expect("a number")
}
