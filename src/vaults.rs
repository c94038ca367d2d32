//! What the vaults hold, as far as objects ask for it: one list per vault at a time, shared by all who wait.
//!
//! A list never runs inside a reconcile: the object goes back to the queue and is woken by the answer, so
//! that a slow vault holds up nobody else. Only secrets that some object names are kept, and not for long.

mod snapshot;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use kube_runtime::reflector::{ObjectRef, Store};
use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedSender;
use tracing::{debug, warn};

pub(crate) use self::snapshot::{Gaps, find};
use self::snapshot::{Names, Snapshot};
use crate::{
    api::VaultSecret,
    backoff,
    connections::{Connections, Credential},
    nairi::{self, Class, Permit, RemoteSecret},
    queue::Queue,
    reconcile::{desired::Target, plan::Remote},
};

/// How long a list is good enough to find a secret in. What it shows of the secret's state is checked
/// against the answer of the PATCH that follows.
const FRESH: Duration = Duration::from_secs(10);

/// How long a vault nobody asks for is remembered.
const IDLE: Duration = Duration::from_mins(10);

type Waiter = ObjectRef<VaultSecret>;

/// A vault, as one API key sees it.
pub type VaultId = (nairi::KeyId, String);

/// A list that ended.
#[derive(Debug)]
pub struct Listed {
    /// Of which vault.
    pub vault: VaultId,
    /// Whether it was made for the sweep, not for an object.
    pub swept: bool,
    /// When it began.
    pub began: Instant,
    /// The secrets that some object names and what the list leaves open, or why there is none.
    pub outcome: Result<(Vec<RemoteSecret>, Gaps), Class>,
}

/// Lists of vaults, by API key and vault.
pub struct Vaults {
    nairi: nairi::Client,
    connections: Arc<Connections>,
    objects: Store<VaultSecret>,
    queue: Queue<VaultSecret>,
    listed: UnboundedSender<Listed>,
    known: Mutex<HashMap<VaultId, Vault>>,
}

/// One vault, as one API key sees it.
#[derive(Default)]
struct Vault {
    listing: bool,
    latest: Option<List>,
    /// Lists in a row that failed, or had elements that could not be read.
    failures: u32,
    waiting: HashSet<Waiter>,
    /// Answers that came while a list was under way: it may have missed them.
    learned: Vec<RemoteSecret>,
    /// The list under way may show a secret that the API has since said is gone.
    doubted: bool,
}

struct List {
    began: Instant,
    ended: Instant,
    outcome: Result<Snapshot, nairi::Error>,
}

/// What a look at a vault gives.
#[derive(Debug)]
pub enum Look {
    /// What the vault's list shows of the secret.
    Shown(Remote),
    /// The list has elements that can't be read, and the secret may be one of them, or one more of its name. The
    /// vault is not asked again before its own delay is over.
    Unclear,
    /// The list failed; the vault is not asked again before its own delay is over.
    Failed(nairi::Error),
    /// The list is on its way; the object is woken when it is there.
    Awaited,
}

impl Vaults {
    /// Nothing listed so far. Objects that wait are woken through `queue`; `listed` is told of every list.
    #[must_use]
    pub fn new(
        nairi: nairi::Client,
        connections: Arc<Connections>,
        objects: Store<VaultSecret>,
        queue: Queue<VaultSecret>,
        listed: UnboundedSender<Listed>,
    ) -> Self {
        Self {
            nairi,
            connections,
            objects,
            queue,
            listed,
            known: Mutex::default(),
        }
    }

    /// Finds the secret that `target` names (or `bound`, the id it is bound to) for `waiter`, due since `since`.
    ///
    /// A list that began before that may show a secret, but says nothing of one it lacks. `permit` is taken
    /// only for a list that has to be made then: whoever found a secret goes on with it.
    pub fn look(
        self: &Arc<Self>,
        credential: &Credential,
        permit: &mut Option<Permit<Waiter>>,
        target: &Target,
        bound: Option<&str>,
        (waiter, since): (&Waiter, Instant),
    ) -> Look {
        let now = Instant::now();
        let id = (credential.gate.key_id(), target.vault_id.clone());
        let mut vaults = self.known.lock();
        vaults.retain(|other, vault| *other == id || !vault.is_idle(now));
        let vault = vaults.entry(id.clone()).or_default();
        vault.waiting.remove(waiter);
        if let Some(list) = &vault.latest {
            match &list.outcome {
                Ok(snapshot) => {
                    let conclusive = list.began >= since;
                    if let Some(shown) = snapshot.find(target, bound) {
                        let usable = matches!(shown, Remote::Listed(_)) && now < list.ended + FRESH;
                        if conclusive || usable {
                            return Look::Shown(shown);
                        }
                    } else if conclusive || now < list.ended + untold_delay(vault.failures) {
                        return Look::Unclear;
                    }
                }
                // Here the gate paces, and who is let through is to find out anew.
                Err(error)
                    if matches!(error.class(), Class::Unauthorized | Class::Throttled { .. }) => {}
                Err(error) => {
                    if list.began >= since || now < list.ended + delay(error, vault.failures) {
                        return Look::Failed(error.clone());
                    }
                }
            }
        }
        vault.waiting.insert(waiter.clone());
        if !vault.listing
            && let Some(permit) = permit.take()
        {
            vault.listing = true;
            drop(vaults);
            self.begin(id, credential.clone(), permit, false);
        }
        Look::Awaited
    }

    /// Lists a vault though nobody waits for it, unless that is under way.
    pub fn sweep(self: &Arc<Self>, credential: Credential, vault_id: &str, permit: Permit<Waiter>) {
        let id = (credential.gate.key_id(), vault_id.to_owned());
        let mut vaults = self.known.lock();
        let vault = vaults.entry(id.clone()).or_default();
        if !std::mem::replace(&mut vault.listing, true) {
            drop(vaults);
            self.begin(id, credential, permit, true);
        }
    }

    fn begin(
        self: &Arc<Self>,
        id: VaultId,
        credential: Credential,
        permit: Permit<Waiter>,
        swept: bool,
    ) {
        let vaults = Arc::clone(self);
        tokio::spawn(async move {
            let listing = {
                let (vaults, id) = (Arc::clone(&vaults), id.clone());
                tokio::spawn(async move { vaults.list(id, credential, permit, swept).await })
            };
            if listing.await.is_err() {
                vaults.abandon(&id);
            }
        });
    }

    /// Takes over what an answer showed of one secret, so that no list from before it is believed instead.
    pub fn learn(&self, credential: &Credential, vault_id: &str, answer: &RemoteSecret) {
        let id = (credential.gate.key_id(), vault_id.to_owned());
        let mut vaults = self.known.lock();
        let Some(vault) = vaults.get_mut(&id) else {
            return;
        };
        if let Some(Ok(snapshot)) = vault.latest.as_mut().map(|list| list.outcome.as_mut()) {
            snapshot.take_over(answer);
        }
        if vault.listing {
            vault.learned.push(answer.clone());
        }
    }

    /// The API says that the secret `secret_id` is gone: a list that shows it counts no more.
    pub fn gone(&self, credential: &Credential, vault_id: &str, secret_id: &str) {
        let id = (credential.gate.key_id(), vault_id.to_owned());
        if let Some(vault) = self.known.lock().get_mut(&id) {
            vault.doubted = vault.listing;
            let shows = |list: &List| {
                let snapshot = list.outcome.as_ref();
                snapshot.is_ok_and(|it| it.secrets().iter().any(|secret| secret.id == secret_id))
            };
            if vault.latest.as_ref().is_some_and(shows) {
                vault.latest = None;
            }
        }
    }

    /// The object is gone: it waits for nothing any more.
    pub fn forget(&self, object: &Waiter) {
        for vault in self.known.lock().values_mut() {
            vault.waiting.remove(object);
        }
    }

    async fn list(&self, id: VaultId, credential: Credential, permit: Permit<Waiter>, swept: bool) {
        let began = Instant::now();
        let (names, mut snapshot) = (self.named(&id.1), Snapshot::default());
        let outcome = self
            .nairi
            .list_secrets(&credential.key, &id.1, |element| {
                snapshot.take(element, &names);
            })
            .await
            .map(|()| snapshot);
        if let Err(error) = &outcome {
            let holder = Some(permit.holder());
            self.connections.heed(&credential, holder, error);
        }
        drop(permit);
        debug!(
            vault = id.1,
            found = outcome.as_ref().map_or(0, |it| it.secrets().len()),
            ok = outcome.is_ok(),
            "listed a vault"
        );
        let (listed, woken): (_, Vec<_>) = {
            let mut vaults = self.known.lock();
            let vault = vaults.entry(id.clone()).or_default();
            vault.listing = false;
            let whole = outcome.as_ref().is_ok_and(|it| it.gaps().is_empty());
            vault.failures = if whole {
                0
            } else {
                vault.failures.saturating_add(1)
            };
            if let (Ok(partial), 1) = (&outcome, vault.failures) {
                let of_no_name = partial.gaps().unnamed();
                warn!(
                    vault = id.1,
                    of_no_name, "the vault's list has elements that can't be read"
                );
            }
            let mut outcome = outcome;
            for answer in vault.learned.drain(..) {
                if let Ok(snapshot) = &mut outcome {
                    snapshot.take_over(&answer);
                }
            }
            let listed = Listed {
                vault: id,
                swept,
                began,
                outcome: match &outcome {
                    Ok(snapshot) => Ok((snapshot.secrets().to_vec(), snapshot.gaps().clone())),
                    Err(error) => Err(error.class()),
                },
            };
            let doubted = std::mem::take(&mut vault.doubted) && outcome.is_ok();
            vault.latest = (!doubted).then(|| List {
                began,
                ended: Instant::now(),
                outcome,
            });
            (listed, vault.waiting.drain().collect())
        };
        // The receiver is gone only while the process ends.
        let _ = self.listed.send(listed);
        for waiter in woken {
            self.queue.wake(waiter);
        }
    }

    /// The list panicked: those who wait for it try again.
    fn abandon(&self, id: &(nairi::KeyId, String)) {
        let woken: Vec<_> = match self.known.lock().get_mut(id) {
            Some(vault) => {
                vault.listing = false;
                vault.waiting.drain().collect()
            }
            None => return,
        };
        for waiter in woken {
            self.queue.wake(waiter);
        }
    }

    /// Which ids and environment keys of this vault objects name now.
    fn named(&self, vault_id: &str) -> Names {
        let mut names = Names::default();
        for object in self.objects.state() {
            if object.spec.vault_id == vault_id {
                names.ids.extend(object.spec.secret_id.clone());
                names.ids.extend(
                    object
                        .status
                        .as_ref()
                        .and_then(|status| status.secret_id.clone()),
                );
                names.env_keys.extend(object.spec.env_key.clone());
            }
        }
        names
    }
}

impl Vault {
    fn is_idle(&self, now: Instant) -> bool {
        !self.listing
            && self.waiting.is_empty()
            && self
                .latest
                .as_ref()
                .is_none_or(|list| now > list.ended + IDLE)
    }
}

/// How long a vault that could not be listed is left alone. One that is not there grows ever less likely to be;
/// where the key is the trouble, its gate decides, and opens for the vault too.
///
/// Where time alone may help, that is the least an object waits after as many failures: one that is back by its
/// own delay finds the vault open, and does not count the same failure twice.
fn delay(error: &nairi::Error, failures: u32) -> Duration {
    match error.class() {
        Class::NotFound | Class::Rejected => backoff::delay(failures.saturating_add(2)),
        Class::Transient | Class::InvalidResponse => untold_delay(failures),
        Class::Throttled { .. } | Class::Unauthorized => Duration::ZERO,
    }
}

/// The same for one whose list did not tell.
fn untold_delay(failures: u32) -> Duration {
    backoff::delay(failures) / 2
}

#[cfg(test)]
mod tests;
