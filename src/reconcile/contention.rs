//! Whether somebody else keeps changing a remote secret that is put right each time. Pure.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::api::{ConditionType, VaultSecretStatus, condition};

/// Within how long corrections add up, and how long without any ends it.
pub const WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// How many corrections within the window are no accident.
const MANY: usize = 3;

/// When an object's remote secret was put right, the last few times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Corrections(Vec<Timestamp>);

impl Corrections {
    /// It was put right at that time.
    pub fn add(&mut self, at: Timestamp) {
        if self.0.len() == MANY {
            self.0.remove(0);
        }
        self.0.push(at);
    }
}

/// Until when the object counts as contended: an hour after the last correction, where there were three of them
/// within an hour, or it was contended before. `None` where it is not.
///
/// A process that has seen no correction itself goes by `status`.
#[must_use]
pub fn until(
    corrections: &Corrections,
    status: &VaultSecretStatus,
    now: Timestamp,
) -> Option<Timestamp> {
    let Corrections(corrections) = corrections;
    let standing = condition::find(&status.conditions, ConditionType::Contended);
    let recent = |at: &&Timestamp| now.duration_since(**at) < WINDOW;
    if standing.is_none() && corrections.iter().filter(recent).count() < MANY {
        return None;
    }
    let last = corrections.last().copied().or_else(|| {
        let last_patch = status.last_patch.as_ref().map(|patch| patch.time.0);
        standing
            .map(|condition| condition.last_transition_time.0)
            .max(last_patch)
    })?;
    let until = last.checked_add(WINDOW).ok()?;
    (until > now).then_some(until)
}

#[cfg(test)]
mod tests;
