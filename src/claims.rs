//! Who owns which remote secret: of several VaultSecrets that mean one, the oldest writes, and the others wait.
//!
//! A claim is staked once the API has shown the secret through the object's own, permitted connection. Before
//! that, whoever is about to create a secret claims its environment key, once the API has shown that the vault
//! has none. Nobody is kept from anything by a claim that was not proven.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::jiff::Timestamp;
use kube::Resource as _;
use kube_runtime::reflector::ObjectRef;
use parking_lot::Mutex;

use crate::{api::VaultSecret, queue::Queue};

/// For how long it is remembered that an environment key may have been given to a secret. No pass goes by a list that
/// is older.
const LATELY: Duration = Duration::from_hours(1);

type Claimant = ObjectRef<VaultSecret>;

/// What is claimed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A remote secret that the API has shown.
    Secret {
        /// Its vault.
        vault_id: String,
        /// Its id.
        secret_id: String,
    },
    /// The environment key of a secret that is to be created.
    EnvKey {
        /// Its vault.
        vault_id: String,
        /// The key.
        env_key: String,
    },
}

/// Older first, then the lower uid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Seniority {
    created: Option<Timestamp>,
    uid: String,
}

/// Where an object stands among the claimants of its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has not been shown the secret through its connection.
    Unproven,
    /// The secret is its own.
    Holds,
    /// An older claimant has it.
    Waits(Claimant),
}

/// The claims of all objects.
pub struct Claims {
    queue: Queue<VaultSecret>,
    all: Arc<Mutex<All>>,
}

#[derive(Default)]
struct All {
    by_object: HashMap<String, Claim>,
    by_subject: HashMap<Subject, BTreeMap<Seniority, Claimant>>,
    /// Who writes just now, by what is written.
    writing: HashMap<Subject, HashSet<Claimant>>,
    /// When a write that may have created a secret ended, by environment key, for those of late.
    created: HashMap<Subject, Instant>,
}

struct Claim {
    subject: Subject,
    seniority: Seniority,
    /// Whether the object was permitted when it last looked: the others are told when that changes.
    permitted: bool,
}

/// The right to send one write. While it lasts no other claimant writes to the same secret.
#[must_use = "dropping it lets the others write"]
pub struct Turn {
    subject: Subject,
    queue: Queue<VaultSecret>,
    all: Arc<Mutex<All>>,
}

/// Somebody else writes to the secret just now. The object is woken when that is over.
#[derive(Debug)]
pub struct Busy;

impl Claims {
    /// Nothing is claimed so far; whom a change concerns is woken through `queue`.
    #[must_use]
    pub fn new(queue: Queue<VaultSecret>) -> Self {
        Self {
            queue,
            all: Arc::default(),
        }
    }

    /// `object` claims `subject`, and nothing else any more.
    pub fn stake(&self, object: &VaultSecret, subject: Subject) {
        let Some(seniority) = Seniority::of(object) else {
            return;
        };
        let mut all = self.all.lock();
        if all
            .by_object
            .get(&seniority.uid)
            .is_some_and(|claim| claim.subject == subject)
        {
            return;
        }
        let mut woken = all.remove(&seniority.uid);
        woken.extend(all.younger(&subject, &seniority));
        all.by_subject
            .entry(subject.clone())
            .or_default()
            .insert(seniority.clone(), ObjectRef::from_obj(object));
        all.by_object.insert(
            seniority.uid.clone(),
            Claim {
                subject,
                seniority,
                permitted: true,
            },
        );
        drop(all);
        self.wake(woken);
    }

    /// The object claims nothing any more.
    pub fn lapse(&self, uid: &str) {
        let woken = self.all.lock().remove(uid);
        self.wake(woken);
    }

    /// The object with this uid was told by the API that `subject` is gone: neither it nor those whom the API would
    /// tell the same claim it any more.
    pub fn vanished(&self, uid: &str, subject: &Subject, told: impl Fn(&Claimant) -> bool) {
        let mut woken = Vec::new();
        {
            let mut all = self.all.lock();
            let claimants = all.by_subject.get(subject).into_iter().flatten();
            let claimants: Vec<_> = claimants
                .map(|(seniority, claimant)| (seniority.uid.clone(), claimant.clone()))
                .collect();
            for (claimants_uid, claimant) in claimants {
                let itself = claimants_uid == uid;
                if itself || told(&claimant) {
                    all.remove(&claimants_uid);
                }
                if !itself {
                    woken.push(claimant);
                }
            }
        }
        self.wake(woken);
    }

    /// The object leaves what it claims to the others, if there is one to have it, whose claim `counts`. In one step,
    /// so that of two that leave one still sees to the secret.
    pub fn bequeath(&self, uid: &str, counts: impl Fn(&Claimant) -> bool) -> bool {
        let woken = {
            let mut all = self.all.lock();
            if !all.is_awaited(uid, counts) {
                return false;
            }
            all.remove(uid)
        };
        self.wake(woken);
        true
    }

    /// Whether the object may use its connection now: the other claimants are told when that changes.
    pub fn permitted(&self, uid: &str, permitted: bool) {
        let woken = {
            let mut all = self.all.lock();
            let Some(claim) = all.by_object.get_mut(uid) else {
                return;
            };
            if std::mem::replace(&mut claim.permitted, permitted) == permitted {
                return;
            }
            let (subject, seniority) = (claim.subject.clone(), claim.seniority.clone());
            all.younger(&subject, &seniority)
        };
        self.wake(woken);
    }

    /// Where the object stands. `counts` says whether another claimant's claim counts at present.
    #[must_use]
    pub fn standing(&self, uid: &str, counts: impl Fn(&Claimant) -> bool) -> Standing {
        let all = self.all.lock();
        let Some(claim) = all.by_object.get(uid) else {
            return Standing::Unproven;
        };
        let claimants = all.by_subject.get(&claim.subject).into_iter().flatten();
        let older = claimants
            .take_while(|(seniority, _)| **seniority < claim.seniority)
            .find(|(_, claimant)| counts(claimant));
        match older {
            None => Standing::Holds,
            Some((_, holder)) => Standing::Waits(holder.clone()),
        }
    }

    /// What the object claims.
    #[must_use]
    pub fn subject(&self, uid: &str) -> Option<Subject> {
        let all = self.all.lock();
        all.by_object.get(uid).map(|claim| claim.subject.clone())
    }

    /// Whether others claim what the object claims. `counts` as in [`Self::standing`].
    #[must_use]
    pub fn is_awaited(&self, uid: &str, counts: impl Fn(&Claimant) -> bool) -> bool {
        self.all.lock().is_awaited(uid, counts)
    }

    /// Lets `object` write to `subject`, unless another does just now.
    ///
    /// # Errors
    /// [`Busy`]; the object is woken when the other is done.
    pub fn begin(&self, object: &Claimant, subject: Subject) -> Result<Turn, Busy> {
        let mut all = self.all.lock();
        if let Some(waiting) = all.writing.get_mut(&subject) {
            waiting.insert(object.clone());
            return Err(Busy);
        }
        all.writing.insert(subject.clone(), HashSet::new());
        Ok(Turn {
            subject,
            queue: self.queue.clone(),
            all: Arc::clone(&self.all),
        })
    }

    /// When somebody last may have created `subject`, an environment key: a list from before that, which lacks it, says
    /// nothing.
    #[must_use]
    pub fn created(&self, subject: &Subject) -> Option<Instant> {
        self.all.lock().created.get(subject).copied()
    }

    fn wake(&self, claimants: Vec<Claimant>) {
        for claimant in claimants {
            self.queue.wake(claimant);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        if matches!(self.subject, Subject::EnvKey { .. }) {
            let now = Instant::now();
            all.created.retain(|_, then| now < *then + LATELY);
            all.created.insert(self.subject.clone(), now);
        }
        let waiting = all.writing.remove(&self.subject);
        drop(all);
        for claimant in waiting.into_iter().flatten() {
            self.queue.wake(claimant);
        }
    }
}

impl All {
    /// Takes the object's claim out; says who waited behind it.
    fn remove(&mut self, uid: &str) -> Vec<Claimant> {
        let Some(claim) = self.by_object.remove(uid) else {
            return Vec::new();
        };
        let Some(claimants) = self.by_subject.get_mut(&claim.subject) else {
            return Vec::new();
        };
        claimants.remove(&claim.seniority);
        if claimants.is_empty() {
            self.by_subject.remove(&claim.subject);
            return Vec::new();
        }
        self.younger(&claim.subject, &claim.seniority)
    }

    fn is_awaited(&self, uid: &str, counts: impl Fn(&Claimant) -> bool) -> bool {
        self.by_object.get(uid).is_some_and(|claim| {
            let claimants = self.by_subject.get(&claim.subject).into_iter().flatten();
            let mut others = claimants.filter(|(seniority, _)| **seniority != claim.seniority);
            others.any(|(_, claimant)| counts(claimant))
        })
    }

    /// Those whose standing depends on this claim.
    fn younger(&self, subject: &Subject, than: &Seniority) -> Vec<Claimant> {
        let claimants = self.by_subject.get(subject).into_iter().flatten();
        claimants
            .filter(|(seniority, _)| *seniority > than)
            .map(|(_, claimant)| claimant.clone())
            .collect()
    }
}

impl Seniority {
    fn of(object: &VaultSecret) -> Option<Self> {
        let meta = object.meta();
        Some(Self {
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            uid: meta.uid.clone()?,
        })
    }
}

#[cfg(test)]
mod tests;
