//! The decision: declared state and observed state in, one next step out.
//!
//! Pure, and total. Each field is compared three ways: what is declared against what we last applied (a
//! difference is our own change, and is always sent), and what the remote shows against what the API last
//! confirmed to us (a difference there alone is drift, and `driftPolicy` decides).

mod bound;
pub mod parting;
mod refusals;

pub(super) use self::{bound::is_recorded, refusals::not_found};
use self::{
    bound::{bound, drift, drifted, keep},
    refusals::conflict,
};
use crate::{
    api::{CreationPolicy, DeletionPolicy, Drift},
    nairi::{RemoteSecret, same_domains},
    reconcile::{
        desired::{Desired, Value},
        fields::Fields,
        record::Confirmed,
        verdict::Refusal,
    },
};

/// What is known of the remote secret and of our own past when a plan is made.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Observed {
    /// What the API last confirmed, if the object is bound to what `spec` names.
    pub confirmed: Option<Confirmed>,
    /// What the remote showed in this reconcile.
    pub remote: Remote,
    /// The declared value against the recorded fingerprint.
    pub evidence: Evidence,
    /// Whether the value's source has to be read before "nothing to do" can be said.
    pub stale: bool,
    /// Whether anything changed while no process of ours was watching: a PATCH may have been cut off then.
    pub unwatched: bool,
    /// Fields of earlier PATCHes whose answers were lost.
    pub uncertain: Fields,
    /// Whether all that is managed is to be sent once, whatever is known: somebody asked for it.
    pub forced: bool,
    /// Where the object stands among those that mean the same remote secret.
    pub claim: Claim,
    /// Whether our finalizer is set.
    pub held: bool,
    /// Why the secret could not be created a moment ago: perhaps because somebody else had done it.
    pub refused_creation: Option<Refusal>,
}

/// Where an object stands among those that mean the same remote secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The API has not shown it the secret through its connection.
    Unproven,
    /// The secret is its own.
    Held,
    /// An older object has it: of this name, where it is in the same namespace.
    Lost {
        /// The older object's name.
        to: Option<String>,
    },
}

impl Observed {
    /// Takes over what the secret itself answered. What others left there is kept in the record, so that it is not
    /// forgotten when the pass ends before it was put right; says whether it is news.
    pub fn saw(&mut self, desired: &Desired, answer: RemoteSecret) -> bool {
        let mut news = false;
        if let Some(confirmed) = &mut self.confirmed {
            let drift = drift(confirmed, Some(&answer));
            let foreign = managed(desired) & drifted(&drift);
            let kept = keep(drift, foreign);
            news = kept != confirmed.drift;
            confirmed.drift = kept;
        }
        self.remote = Remote::Seen(answer);
        news
    }

    /// Takes over what a PATCH of `fields` was answered.
    pub fn patched(&mut self, fields: Fields, answer: RemoteSecret, confirmed: Confirmed) {
        if fields.value {
            self.evidence = Evidence::Same;
        }
        self.uncertain = self.uncertain - fields;
        self.stale = false;
        self.forced = false;
        self.remote = Remote::Seen(answer);
        self.confirmed = Some(confirmed);
    }

    /// What somebody asked to be sent, and was not so far.
    #[must_use]
    pub fn requested(&self, desired: &Desired) -> Fields {
        if self.forced {
            managed(desired)
        } else {
            Fields::NONE
        }
    }
}

/// What the remote showed.
#[derive(Clone, Debug, PartialEq)]
pub enum Remote {
    /// It was not asked.
    Unasked,
    /// The secret that `spec` names, as a list shows it: it may lag behind.
    Listed(RemoteSecret),
    /// The secret that `spec` names, as itself answered.
    Seen(RemoteSecret),
    /// The vault has no such secret.
    Absent,
    /// Several secrets of the vault have this environment key.
    Ambiguous(usize),
    /// The secret of this id has another environment key.
    Mismatch(String),
}

/// The declared value against the recorded fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The value was not read.
    NotRead,
    /// It is the one we last sent.
    Same,
    /// It is another, or we never sent one.
    Changed,
}

/// The one next step.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// Look the remote secret up in its vault's list.
    Look,
    /// Fetch the value from its Secret.
    ReadSource,
    /// Ask for the secret's present state (`PATCH {}`), so that a foreign write is not hidden by ours.
    ReadRemote {
        /// The secret's id.
        secret_id: String,
    },
    /// Set the finalizer.
    Hold,
    /// Create the secret.
    Create {
        /// Its environment key.
        env_key: String,
        /// Its domains: nothing is created without.
        allowed_domains: Vec<String>,
    },
    /// Send these fields.
    Patch(Change),
    /// Leave somebody else's change in place and say so.
    Report {
        /// Our record.
        confirmed: Confirmed,
        /// What the others left.
        drift: Drift,
        /// What would be sent to put it right.
        pending: Fields,
    },
    /// Nothing is left to do.
    Settled(Confirmed),
    /// Nothing can be done.
    Refuse(Refusal),
}

/// One PATCH.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The remote secret.
    pub secret_id: String,
    /// The fields its body carries.
    pub fields: Fields,
    /// Those of them that put somebody else's change right.
    pub corrects: Fields,
    /// The `updated_at` that somebody else's change left.
    pub foreign_updated_at: Option<String>,
    /// What of somebody else's change stays.
    pub leaves: Option<Drift>,
    /// What is recorded of the secret before the PATCH.
    pub before: Confirmed,
}

/// Decides the next step.
#[must_use]
pub fn plan(desired: &Desired, observed: &Observed) -> Plan {
    if let Claim::Lost { to } = &observed.claim {
        return Plan::Refuse(conflict(&desired.target, to.as_deref()));
    }
    if desired.deletion_policy == DeletionPolicy::Delete && !observed.held {
        return Plan::Hold;
    }
    let seen = match (&observed.remote, &observed.confirmed) {
        (Remote::Unasked, _) => None,
        (Remote::Seen(secret), _) if desired.target.contradicts(secret) => {
            let renamed = Remote::Mismatch(secret.env_key.clone());
            return Plan::Refuse(not_found(&desired.target, &renamed));
        }
        (Remote::Listed(secret) | Remote::Seen(secret), _) => Some(secret),
        // A list is weak evidence: a bound id is asked itself before it counts as gone, or as another's.
        (Remote::Absent | Remote::Mismatch(_), Some(confirmed)) => return confirmed.ask(),
        (Remote::Absent, None) if desired.creation_policy == CreationPolicy::IfMissing => {
            return creation(desired, observed);
        }
        // The next list of the vault that shows something else wakes the object.
        (missing, _) => return Plan::Refuse(not_found(&desired.target, missing)),
    };
    match (&observed.confirmed, seen) {
        // Another connection than the one it was found through has to show it first.
        (Some(_), None) if observed.claim == Claim::Unproven => Plan::Look,
        (Some(confirmed), seen) => bound(desired, observed, confirmed, seen),
        (None, Some(secret)) => found(desired, observed, secret),
        (None, None) => Plan::Look,
    }
}

/// A vault that was shown to have no such secret.
fn creation(desired: &Desired, observed: &Observed) -> Plan {
    if let Some(refusal) = &observed.refused_creation {
        return Plan::Refuse(refusal.clone());
    }
    let Desired {
        target,
        value,
        allowed_domains,
        drift_policy: _,
        creation_policy: _,
        deletion_policy: _,
    } = desired;
    match (value, &target.env_key, allowed_domains) {
        (Value::Unread, Some(_), Some(_)) => Plan::ReadSource,
        (Value::Read(_), Some(env_key), Some(allowed_domains)) => Plan::Create {
            env_key: env_key.clone(),
            allowed_domains: allowed_domains.clone(),
        },
        // The API server admits none of these.
        _ => Plan::Refuse(not_found(target, &Remote::Absent)),
    }
}

/// The first sync of a secret that was just found: its value is unknown, so it is sent; its domains are
/// known, so they go along only if they differ, if a lost PATCH may have changed them since they were seen, or if
/// somebody asked for it.
fn found(desired: &Desired, observed: &Observed, secret: &RemoteSecret) -> Plan {
    let Desired {
        target: _,
        value,
        allowed_domains,
        drift_policy: _,
        creation_policy: _,
        deletion_policy: _,
    } = desired;
    let Observed {
        confirmed: _,
        remote: _,
        evidence,
        stale: _,
        unwatched: _,
        uncertain,
        forced: _,
        claim: _,
        held: _,
        refused_creation: _,
    } = observed;
    if value.is_managed() && *evidence == Evidence::NotRead {
        return Plan::ReadSource;
    }
    let fields = Fields {
        value: value.is_managed(),
        allowed_domains: allowed_domains
            .as_ref()
            .is_some_and(|domains| !same_domains(domains, &secret.allowed_domains)),
    } | (*uncertain & managed(desired))
        | observed.requested(desired);
    let adopted = allowed_domains.as_ref().filter(|_| !fields.allowed_domains);
    let before = Confirmed::found(secret, adopted);
    if fields.is_empty() {
        return Plan::Settled(before);
    }
    Plan::Patch(Change {
        secret_id: secret.id.clone(),
        fields,
        corrects: Fields::NONE,
        foreign_updated_at: None,
        leaves: None,
        before,
    })
}

impl Confirmed {
    fn ask(&self) -> Plan {
        Plan::ReadRemote {
            secret_id: self.secret_id.clone(),
        }
    }
}

/// The fields that are managed here.
pub(super) fn managed(desired: &Desired) -> Fields {
    Fields {
        value: desired.value.is_managed(),
        allowed_domains: desired.allowed_domains.is_some(),
    }
}

#[cfg(test)]
mod tests;
