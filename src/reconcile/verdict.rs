//! How a reconcile ended, in the terms of status: what is confirmed, what is in the way, when to look again.
//!
//! Pure.

use std::time::{Duration, Instant};

use crate::{
    api::{Drift, Reason},
    reconcile::{fields::Fields, record::Confirmed},
};

/// The outcome of one pass along the straight line.
#[derive(Debug)]
pub enum Verdict {
    /// The declared state is what the API last confirmed.
    Synced(Confirmed),
    /// Somebody else changed the remote secret, and `driftPolicy: Report` leaves it at that.
    Drifted {
        /// What we know of the remote secret.
        confirmed: Confirmed,
        /// What the others left there.
        drift: Drift,
        /// What `driftPolicy: Correct` would send.
        pending: Fields,
    },
    /// Something is in the way.
    Blocked {
        /// What, and when to look again.
        refusal: Refusal,
        /// What was about to be sent.
        pending: Fields,
        /// What the API confirmed before that, where this pass changed it.
        confirmed: Option<Confirmed>,
    },
    /// `spec.suspend` is set.
    Suspended,
    /// Nothing is known yet, and whatever will make it known wakes the object: status stays as it is.
    Waiting,
    /// An object in sync could not be looked after: its status stays as it is.
    Unchecked(Retry),
    /// The object changed or went away while we worked, or another writes to its secret: what comes of that queues it
    /// again.
    Outdated,
    /// The object was being deleted, and nothing of ours keeps it any more.
    Released,
}

/// A reason with one sentence that says what is wrong and what to do, and when to look again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// One of the closed list.
    pub reason: Reason,
    /// One sentence, for the condition and the event.
    pub message: String,
    /// When to look again.
    pub retry: Retry,
    /// Whether the binding to the remote secret is given up, to be looked for afresh.
    pub unbind: bool,
}

/// When an object that is not in sync is looked at again, unless a watch wakes it sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Only a change can help, and its watch wakes the object.
    OnChange,
    /// After the object's own growing, jittered delay.
    Backoff,
    /// The same, and not before then.
    BackoffUntil(Instant),
    /// In a moment: a write of ours met a newer object.
    AfterConflict,
    /// At a time somebody else named (a `Retry-After`).
    At(Instant),
    /// After about this long: nothing tells us of the cure.
    Every(Duration),
}

impl Refusal {
    /// A refusal that waits for the change that cures it.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            retry: Retry::OnChange,
            unbind: false,
        }
    }

    /// The same, looked at again as `retry` says.
    #[must_use]
    pub fn retried(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The same, giving up the binding to the remote secret.
    #[must_use]
    pub fn unbound(mut self) -> Self {
        self.unbind = true;
        self
    }

    /// As a verdict, with nothing sent.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        Verdict::Blocked {
            refusal: self,
            pending: Fields::NONE,
            confirmed: None,
        }
    }
}
