//! The rules of the election: what to do, given what was seen of the Lease and our own monotonic clock. Pure.
//!
//! Why two replicas never lead at once. A holder counts its lease from right *before* it sent the renewal that was
//! accepted; everybody else counts from when they *saw* what that renewal had written, which is later, and for no
//! shorter a time. Both count on their own monotonic clock, so it does not matter what time it is on either
//! machine. A write that was decided on by what is no longer so is refused by the API server: each carries the
//! resourceVersion it is based on.

use std::time::{Duration, Instant};

use super::record::Record;

/// How long what was begun under the lease has to be over before the lease is: for bytes that are still on their way,
/// and for clocks that don't run at quite the same rate.
const MARGIN: Duration = Duration::from_secs(1);

/// The three times of an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long a lease holds that is not renewed.
    pub duration: Duration,
    /// After how long without a renewal its holder gives up: nothing more is begun.
    pub deadline: Duration,
    /// How often it is renewed, and looked at by those who wait for it.
    pub retry: Duration,
}

impl Timing {
    /// As Kubernetes' own components have them.
    pub const DEFAULT: Self = Self {
        duration: Duration::from_secs(15),
        deadline: Duration::from_secs(10),
        retry: Duration::from_secs(2),
    };

    /// How long a write may take that begins `now`, under a lease whose last renewal was sent at `renewed`; `None`
    /// where none may begin.
    #[must_use]
    pub fn room(&self, renewed: Instant, now: Instant) -> Option<Duration> {
        let age = now.saturating_duration_since(renewed);
        let left = self.duration.saturating_sub(MARGIN + age);
        (age < self.deadline).then_some(left)
    }
}

/// Why a lease does not hold any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// Our own clock says so.
    #[error("it was not renewed for {} s", .0.as_secs())]
    NotRenewed(Duration),
    /// The Lease says so.
    #[error("{0} holds it now")]
    Taken(String),
    /// It was given back.
    #[error("it was given back")]
    Released,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read the Lease.
    Look,
    /// Create it, in our name.
    Create,
    /// Write our name into it, over this record.
    Take(Record),
    /// Renew it, over this record.
    Renew(Record),
    /// Nothing, for so long at most.
    Wait(Duration),
    /// End: it was ours, and is not.
    Lose(Lost),
}

/// How to give the lease back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Return {
    /// It is not ours.
    Nothing,
    /// It may be ours: read it.
    Look,
    /// Take our name out of this record.
    Clear(Record),
}

/// What one replica knows of the Lease.
#[derive(Clone, Debug)]
pub struct Rules {
    identity: String,
    timing: Timing,
    /// The Lease as it was last seen.
    known: Option<Record>,
    /// It was seen since the last write, and since the last wait.
    fresh: bool,
    /// A write was sent, and whether it was accepted is not known.
    doubt: bool,
    /// Until when somebody else has to be taken for its holder.
    others_until: Option<Instant>,
    /// When the last renewal that was accepted was sent.
    renewed: Option<Instant>,
}

impl Rules {
    /// A replica that has seen nothing so far. No other may have this identity.
    #[must_use]
    pub fn new(identity: String, timing: Timing) -> Self {
        Self {
            identity,
            timing,
            known: None,
            fresh: false,
            doubt: false,
            others_until: None,
            renewed: None,
        }
    }

    /// Our name in the Lease.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Whoever else holds it, as it was last seen.
    #[must_use]
    pub fn other(&self) -> Option<&str> {
        let holder = self.known.as_ref()?.holder.as_deref()?;
        (holder != self.identity).then_some(holder)
    }

    /// The resourceVersion of the Lease as it was last seen.
    #[must_use]
    pub fn version(&self) -> &str {
        self.known.as_ref().map_or("0", |known| &known.version)
    }

    /// When the last renewal that was accepted was sent, if we ever led.
    #[must_use]
    pub fn renewed(&self) -> Option<Instant> {
        self.renewed
    }

    /// How long a request may take that is about to be sent, up to `longest`: a renewal that is answered after the
    /// deadline is none.
    #[must_use]
    pub fn patience(&self, now: Instant, longest: Duration) -> Duration {
        let since = self.renewed.unwrap_or(now);
        longest.min((since + self.timing.deadline).saturating_duration_since(now))
    }

    /// A read showed the Lease like this, or that there is none.
    pub fn saw(&mut self, now: Instant, lease: Option<Record>) {
        if let Some(seen) = &lease
            && self
                .known
                .as_ref()
                .is_none_or(|known| known.version != seen.version)
        {
            self.others_until = match &seen.holder {
                Some(holder) if *holder != self.identity => {
                    let theirs = seen.duration.unwrap_or_default();
                    Some(now + theirs.max(self.timing.duration))
                }
                _ => None,
            };
        }
        // A Lease that was deleted leaves its holder holding it for a while.
        self.known = lease;
        self.fresh = true;
        self.doubt = false;
    }

    /// A write is about to be sent.
    pub fn sending(&mut self) {
        self.fresh = false;
        self.doubt = true;
    }

    /// The write was refused. Without this or the next, whether it was accepted is open: that it is ours, a read has
    /// to show.
    pub fn refused(&mut self) {
        self.doubt = false;
    }

    /// The write that was sent at `sent` was accepted, and left this record.
    pub fn accepted(&mut self, sent: Instant, now: Instant, lease: Record) {
        if now.saturating_duration_since(self.renewed.unwrap_or(sent)) >= self.timing.deadline {
            // Too late to count.
            return;
        }
        self.renewed = Some(sent);
        self.known = Some(lease);
        self.fresh = true;
        self.doubt = false;
        self.others_until = None;
    }

    /// What to do next.
    pub fn next(&mut self, now: Instant) -> Step {
        match self.renewed {
            Some(renewed) => self.next_of_holder(renewed, now),
            None => self.next_of_standby(now),
        }
    }

    fn next_of_holder(&self, renewed: Instant, now: Instant) -> Step {
        let Timing {
            deadline, retry, ..
        } = self.timing;
        if now.saturating_duration_since(renewed) >= deadline {
            return Step::Lose(Lost::NotRenewed(deadline));
        }
        if !self.fresh {
            return Step::Look;
        }
        match &self.known {
            None => Step::Create,
            Some(record) if record.holder.as_deref() == Some(&self.identity) => {
                let due = (renewed + retry).saturating_duration_since(now);
                if due.is_zero() {
                    Step::Renew(record.clone())
                } else {
                    Step::Wait(due)
                }
            }
            Some(record) => {
                let holder = record.holder.as_deref().unwrap_or("nobody");
                Step::Lose(Lost::Taken(holder.to_owned()))
            }
        }
    }

    fn next_of_standby(&mut self, now: Instant) -> Step {
        if !self.fresh {
            return Step::Look;
        }
        let left = self
            .others_until
            .map(|until| until.saturating_duration_since(now));
        if let Some(left) = left.filter(|left| !left.is_zero()) {
            self.fresh = false;
            return Step::Wait(left.min(self.timing.retry));
        }
        match &self.known {
            None => Step::Create,
            Some(record) => Step::Take(record.clone()),
        }
    }

    /// How to give it back.
    #[must_use]
    pub fn give_back(&self) -> Return {
        if !self.doubt && self.renewed.is_none() {
            return Return::Nothing;
        }
        match &self.known {
            _ if !self.fresh => Return::Look,
            Some(record) if record.holder.as_deref() == Some(&self.identity) => {
                Return::Clear(record.clone())
            }
            _ => Return::Nothing,
        }
    }
}

#[cfg(test)]
mod election;
#[cfg(test)]
mod tests;
