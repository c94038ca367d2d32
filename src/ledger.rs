//! Per object, in memory: the last status we wrote, how often we failed, and what may have been sent.
//!
//! The watch cache lags behind our own writes; the ledger outranks it until the cache shows them. One
//! entry per existing object, dropped with the object.

mod outdated;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use parking_lot::Mutex;

pub use self::outdated::Outdated;
use crate::{
    api::{VaultSecret, VaultSecretStatus},
    reconcile::{
        contention::Corrections, fields::Fields, finalizer, plan::Remote, verdict::Refusal,
    },
};

/// What this process did for each object, by uid.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<HashMap<String, Entry>>);

/// What this process knows of one object.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// The status we computed last, while the cache doesn't show it.
    pub latest: Option<Latest>,
    /// Whether our finalizer is set since a write of ours, and the version that returned, while the cache is older.
    pub held: Option<(bool, String)>,
    /// Failures in a row, for the growing delay.
    pub failures: u32,
    /// Fields of PATCHes whose answers were lost: sent again, whatever is declared by then.
    pub uncertain: Fields,
    /// uid/resourceVersion of the Secret that was last found to hold what we sent.
    pub checked_source: Option<String>,
    /// The generation for which the object waits to be woken, if it does.
    pub waiting: Option<i64>,
    /// This process found the object settled once, and has kept its secret and seen all that happened since.
    pub watched: bool,
    /// The API said of the secret we were bound to that it is gone: look for it by its environment key.
    pub unbound: bool,
    /// Why the secret could not be created. Perhaps somebody else had done it, and a list will show that.
    pub refused_creation: Option<RefusedCreation>,
    /// Whether a creation was sent of which it is not known what came of it. `None`: nor whether one was sent, by a
    /// process before this one.
    pub creating: Option<bool>,
    /// When this process first saw the object being deleted.
    pub leaving_since: Option<Instant>,
    /// Since when an object that is being deleted has had no key to delete its remote secret with.
    pub keyless_since: Option<Instant>,
    /// When the last request about the object was answered: a list that began before says nothing of it.
    pub asked: Option<Instant>,
    /// The `updated_at`s that the remote secret is known to have no more.
    pub outdated: Outdated,
    /// What its vault's last list shows otherwise than recorded, until a pass has seen to it.
    pub hint: Option<Hint>,
    /// When somebody else's changes were put right.
    pub corrections: Corrections,
}

/// A creation that the API refused.
#[derive(Clone, Debug)]
pub struct RefusedCreation {
    /// What it comes to, unless a list shows the secret.
    pub refusal: Refusal,
    /// No list showed it, and the status says so: the next pass tries again.
    pub told: bool,
}

/// What a vault's list shows of an object, against its record.
#[derive(Clone, Debug)]
pub struct Hint {
    /// What it shows.
    pub remote: Remote,
    /// When the list began.
    pub began: Instant,
    /// The object's generation: what another one names was not looked for.
    pub generation: Option<i64>,
}

/// A status of ours that the cache may not show so far.
#[derive(Clone, Debug)]
pub struct Latest {
    /// The status.
    pub status: VaultSecretStatus,
    /// The resourceVersion its write returned; `None` while it is not written.
    pub resource_version: Option<String>,
}

impl Entry {
    /// The status that the API server last showed of `object`, as watched or by our own write, and its version.
    #[must_use]
    pub fn shown(&self, object: &VaultSecret) -> (VaultSecretStatus, String) {
        let written = self.latest.as_ref().and_then(|latest| {
            let version = latest.resource_version.clone()?;
            Some((latest.status.clone(), version))
        });
        written.unwrap_or_else(|| {
            let status = object.status.clone().unwrap_or_default();
            (status, object.resource_version().unwrap_or_default())
        })
    }

    /// Whether our finalizer is set on `object`, as watched or by our own write.
    #[must_use]
    pub fn holds(&self, object: &VaultSecret) -> bool {
        let written = self.held.as_ref().map(|(held, _)| *held);
        written.unwrap_or_else(|| finalizer::is_set(object))
    }

    /// The status that decisions about `object` go by: ours, written or not, or as watched.
    #[must_use]
    pub fn status(&self, object: &VaultSecret) -> VaultSecretStatus {
        match &self.latest {
            Some(latest) => latest.status.clone(),
            None => object.status.clone().unwrap_or_default(),
        }
    }
}

impl Ledger {
    /// The entry of the object with this uid.
    pub fn entry(&self, uid: &str) -> Entry {
        self.0.lock().get(uid).cloned().unwrap_or_default()
    }

    /// Remembers `status`: written at `resource_version`, or still to be written.
    pub fn remember(&self, uid: &str, status: VaultSecretStatus, resource_version: Option<String>) {
        self.update(uid, |entry| {
            entry.latest = Some(Latest {
                status,
                resource_version,
            });
        });
    }

    /// Remembers that our finalizer is set, or is not, since a write at `resource_version`.
    pub fn holds(&self, uid: &str, held: bool, resource_version: Option<String>) {
        self.update(uid, |entry| {
            entry.held = resource_version.map(|version| (held, version));
        });
    }

    /// Marks `fields` as possibly sent. Call it before the request leaves.
    pub fn sending(&self, uid: &str, fields: Fields) {
        self.update(uid, |entry| entry.uncertain = entry.uncertain | fields);
    }

    /// Restores the mark to `uncertain` after an answer that leaves no doubt.
    pub fn answered(&self, uid: &str, uncertain: Fields) {
        self.update(uid, |entry| entry.uncertain = uncertain);
    }

    /// Notes that the source's version `version` holds what we last sent.
    pub fn checked(&self, uid: &str, version: &str) {
        self.update(uid, |entry| entry.checked_source = Some(version.to_owned()));
    }

    /// Notes whether the object waits to be woken, and for which generation.
    pub fn waiting(&self, uid: &str, generation: Option<i64>) {
        let mut all = self.0.lock();
        match (all.get_mut(uid), generation) {
            (None, None) => {}
            (Some(entry), generation) => entry.waiting = generation,
            (None, generation) => all.entry(uid.to_owned()).or_default().waiting = generation,
        }
    }

    /// Notes that nothing is left over from the time before this process.
    pub fn settled(&self, uid: &str) {
        self.update(uid, |entry| {
            entry.watched = true;
            entry.refused_creation = None;
            entry.creating = Some(false);
        });
    }

    /// Notes that somebody else may have the secret from now on.
    pub fn unwatched(&self, uid: &str) {
        self.update(uid, |entry| entry.watched = false);
    }

    /// Notes whether the recorded binding counts no more.
    pub fn unbound(&self, uid: &str, unbound: bool) {
        self.update(uid, |entry| entry.unbound = unbound);
    }

    /// Notes whether a creation may have been carried out that nobody knows of.
    pub fn creating(&self, uid: &str, creating: bool) {
        self.update(uid, |entry| entry.creating = Some(creating));
    }

    /// What is sent for the object from here on, this process sends.
    pub fn begins(&self, uid: &str) {
        self.update(uid, |entry| {
            entry.creating.get_or_insert(false);
        });
    }

    /// Remembers why the secret could not be created.
    pub fn creation_refused(&self, uid: &str, refusal: Refusal) {
        let told = false;
        self.update(uid, |entry| {
            entry.refused_creation = Some(RefusedCreation { refusal, told });
        });
    }

    /// The status says why the object is not in sync, be it a refused creation.
    pub fn told(&self, uid: &str) {
        let mut all = self.0.lock();
        let entry = all.get_mut(uid);
        if let Some(refused) = entry.and_then(|entry| entry.refused_creation.as_mut()) {
            refused.told = true;
        }
    }

    /// Notes whether there is a key to delete the remote secret with, and says for how long there has been none.
    /// `lacking`: for how long that is known otherwise, where there is none.
    pub fn keyless(&self, uid: &str, lacking: Option<Duration>, now: Instant) -> Duration {
        let mut since = None;
        self.update(uid, |entry| {
            let already = |lacking| now.checked_sub(lacking).unwrap_or(now);
            since = lacking.map(|lacking| entry.keyless_since.unwrap_or_else(|| already(lacking)));
            entry.keyless_since = since;
        });
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Notes that a request about the object was answered, or may have been carried out, just now.
    pub fn asked(&self, uid: &str) {
        self.update(uid, |entry| entry.asked = Some(Instant::now()));
    }

    /// Notes that the remote secret's `updated_at` is this no more.
    pub fn outdated(&self, uid: &str, updated_at: &str) {
        self.update(uid, |entry| entry.outdated.add(updated_at, Instant::now()));
    }

    /// Keeps what the last list of the object's vault shows otherwise than recorded, if anything.
    pub fn hint(&self, uid: &str, hint: Option<Hint>) {
        let mut all = self.0.lock();
        match (all.get_mut(uid), hint) {
            (Some(entry), hint) => entry.hint = hint,
            (None, None) => {}
            (None, hint) => all.entry(uid.to_owned()).or_default().hint = hint,
        }
    }

    /// A pass has seen to what the list that began then shows.
    pub fn heeded(&self, uid: &str, began: Instant) {
        if let Some(entry) = self.0.lock().get_mut(uid)
            && entry.hint.as_ref().is_some_and(|hint| hint.began == began)
        {
            entry.hint = None;
        }
    }

    /// Notes that somebody else's change was put right at that time.
    pub fn corrected(&self, uid: &str, at: Timestamp) {
        self.update(uid, |entry| entry.corrections.add(at));
    }

    /// The object is being deleted: for how long this process has seen that by `now`.
    pub fn leaving(&self, uid: &str, now: Instant) -> Duration {
        let mut leaving = Duration::ZERO;
        self.update(uid, |entry| {
            let since = entry.leaving_since.get_or_insert(now);
            leaving = now.saturating_duration_since(*since);
        });
        leaving
    }

    /// The server shows the status that was still to be written: its write had gone through after all.
    pub fn caught_up(&self, uid: &str) {
        if let Some(entry) = self.0.lock().get_mut(uid)
            && entry
                .latest
                .as_ref()
                .is_some_and(|latest| latest.resource_version.is_none())
        {
            entry.latest = None;
        }
    }

    /// Counts a failure and returns how many there were in a row, this one included.
    pub fn failed(&self, uid: &str) -> u32 {
        let mut count = 0;
        self.update(uid, |entry| {
            entry.failures = entry.failures.saturating_add(1);
            count = entry.failures;
        });
        count
    }

    /// Ends a row of failures.
    pub fn succeeded(&self, uid: &str) {
        if let Some(entry) = self.0.lock().get_mut(uid) {
            entry.failures = 0;
        }
    }

    /// The cache now shows the object at `resource_version`: what we wrote gives way once that is as new.
    pub fn cached(&self, uid: &str, resource_version: &str) {
        let mut all = self.0.lock();
        let Some(entry) = all.get_mut(uid) else {
            return;
        };
        let shown = |written: &String| at_least(resource_version, written);
        let status = entry.latest.as_ref();
        if status.is_some_and(|status| status.resource_version.as_ref().is_some_and(shown)) {
            entry.latest = None;
        }
        if entry
            .held
            .as_ref()
            .is_some_and(|(_, version)| shown(version))
        {
            entry.held = None;
        }
    }

    /// The object is gone.
    pub fn forget(&self, uid: &str) {
        self.0.lock().remove(uid);
    }

    fn update(&self, uid: &str, change: impl FnOnce(&mut Entry)) {
        change(self.0.lock().entry(uid.to_owned()).or_default());
    }
}

/// Whether resourceVersion `a` is as new as `b`: they are decimal integers of one growing count in every
/// supported Kubernetes (KEP-5504), and where they are not, only equality says so.
fn at_least(a: &str, b: &str) -> bool {
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a >= b,
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: Fields = Fields {
        value: true,
        allowed_domains: false,
    };
    const DOMAINS: Fields = Fields {
        value: false,
        allowed_domains: true,
    };

    #[test]
    fn our_status_outranks_the_cache_until_the_cache_is_as_new() {
        let ledger = Ledger::default();
        ledger.remember("u", VaultSecretStatus::default(), Some("100".into()));
        ledger.cached("u", "99");
        assert!(
            ledger.entry("u").latest.is_some(),
            "an older object says nothing of our write"
        );
        ledger.cached("u", "100");
        assert!(ledger.entry("u").latest.is_none());

        ledger.remember("u", VaultSecretStatus::default(), Some("100".into()));
        ledger.cached("u", "1001");
        assert!(
            ledger.entry("u").latest.is_none(),
            "versions are numbers, not text"
        );
    }

    #[test]
    fn our_finalizer_outranks_an_older_cache_whatever_becomes_of_the_status() {
        let (ledger, object) = (
            Ledger::default(),
            VaultSecret::new(
                "x",
                serde_json::from_str(r#"{"vaultId":"v"}"#).expect("a spec"),
            ),
        );
        let status = VaultSecretStatus::default;
        let holds = || ledger.entry("u").holds(&object);
        for written in [Some("101".to_owned()), None] {
            assert!(!holds());
            ledger.remember("u", status(), Some("100".into()));
            ledger.holds("u", true, Some("100".into()));
            ledger.cached("u", "99");
            assert!(holds());
            ledger.remember("u", status(), written);
            assert!(holds(), "a status says nothing of it");
            ledger.cached("u", "100");
            assert!(!holds(), "what is watched now is without it");
            assert!(ledger.entry("u").latest.is_some());
        }
    }

    #[test]
    fn an_unwritten_status_stays_whatever_the_cache_shows() {
        let ledger = Ledger::default();
        ledger.remember("u", VaultSecretStatus::default(), None);
        ledger.cached("u", "5");
        assert!(ledger.entry("u").latest.is_some());
    }

    #[test]
    fn lost_answers_add_up_until_one_is_certain() {
        let ledger = Ledger::default();
        ledger.sending("u", VALUE);
        ledger.sending("u", DOMAINS);
        assert_eq!(ledger.entry("u").uncertain, VALUE | DOMAINS);
        ledger.answered("u", DOMAINS);
        assert_eq!(ledger.entry("u").uncertain, DOMAINS);
    }

    #[test]
    fn failures_count_up_and_end_with_a_success() {
        let ledger = Ledger::default();
        assert_eq!((ledger.failed("u"), ledger.failed("u")), (1, 2));
        ledger.succeeded("u");
        assert_eq!(ledger.failed("u"), 1);
        ledger.forget("u");
        assert_eq!(ledger.failed("u"), 1);
    }
}
