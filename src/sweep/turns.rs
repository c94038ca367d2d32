//! When each vault is listed next. The time comes with each call.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{backoff, nairi::Class, vaults::VaultId};

/// The shortest interval.
const SHORTEST: Duration = Duration::from_secs(1);

/// The longest pause before a vault that is not there is asked for again, if the interval is no longer.
const LONGEST: Duration = Duration::from_hours(1);

/// The turns of all vaults in use.
#[derive(Debug)]
pub struct Sweeps {
    interval: Duration,
    turns: Mutex<HashMap<VaultId, Turn>>,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    due: Instant,
    failures: u32,
    /// When it was last listed, or else since when it is in use.
    listed: Instant,
    /// It can't be listed: its key is of no use now, or the vault is not there. That is told elsewhere, and anybody who
    /// has a connection can bring it about: how old its list is says nothing of the operator.
    barred: bool,
}

impl Sweeps {
    /// No vault in use so far.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self {
            interval: interval.max(SHORTEST),
            turns: Mutex::default(),
        }
    }

    /// About how long it is from one list of a vault to the next.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    /// Vaults other than these are not in use any more. The first turns of new ones are spread over half an interval,
    /// and within one.
    pub fn in_use<'a>(
        &self,
        is_used: impl Fn(&VaultId) -> bool,
        used: impl Iterator<Item = &'a VaultId>,
        now: Instant,
    ) {
        let mut turns = self.turns.lock();
        turns.retain(|vault, _| is_used(vault));
        for vault in used {
            turns.entry(vault.clone()).or_insert_with(|| Turn {
                due: now + backoff::jittered(self.interval),
                failures: 0,
                listed: now,
                barred: false,
            });
        }
    }

    /// The vaults whose turn it is.
    #[must_use]
    pub fn due(&self, now: Instant) -> Vec<VaultId> {
        let turns = self.turns.lock();
        let due = turns.iter().filter(|(_, turn)| turn.due <= now);
        due.map(|(vault, _)| vault.clone()).collect()
    }

    /// When the next turn after `now` is.
    #[must_use]
    pub fn next(&self, now: Instant) -> Option<Instant> {
        let turns = self.turns.lock();
        turns
            .values()
            .map(|turn| turn.due)
            .filter(|due| *due > now)
            .min()
    }

    /// The sweep lists a vault. The next turn is an interval after this one was due, not after it began: so a moment's
    /// delay does not add up.
    pub fn begun(&self, vault: &VaultId, now: Instant) {
        if let Some(turn) = self.turns.lock().get_mut(vault) {
            turn.due = (turn.due + about(self.interval)).max(now + self.interval / 2);
        }
    }

    /// The vault can't be listed before `until`: nothing may be sent with its key.
    pub fn postpone(&self, vault: &VaultId, until: Instant) {
        if let Some(turn) = self.turns.lock().get_mut(vault) {
            turn.due = until;
            turn.barred = true;
        }
    }

    /// A list of the vault succeeded: it was its sweep, whoever asked for it.
    pub fn succeeded(&self, vault: &VaultId, swept: bool, began: Instant, now: Instant) {
        let mut turns = self.turns.lock();
        let turn = turn(&mut turns, vault, now);
        turn.failures = 0;
        turn.listed = now;
        turn.barred = false;
        if !swept {
            turn.due = began + about(self.interval);
        }
    }

    /// A list of the vault failed. One that is not there is asked for less and less; where the key is the trouble, its
    /// gate says when to go on. Objects that wait for a list see to their own retries.
    pub fn failed(&self, vault: &VaultId, swept: bool, class: Class, now: Instant) {
        let mut turns = self.turns.lock();
        let turn = turn(&mut turns, vault, now);
        turn.failures = turn.failures.saturating_add(1);
        let barred = !matches!(class, Class::Transient | Class::InvalidResponse);
        if turn.barred && !barred {
            // Its age counts from here on.
            turn.listed = now;
        }
        turn.barred = barred;
        let due = match class {
            Class::NotFound | Class::Rejected => {
                let doubled = self
                    .interval
                    .saturating_mul(2u32.pow(turn.failures.min(16)));
                now + about(doubled.min(LONGEST.max(self.interval)))
            }
            Class::Transient | Class::InvalidResponse if swept => {
                // An interval is soon enough; a short outage delays nothing for so long.
                let delay = backoff::delay(turn.failures.saturating_add(3));
                now + backoff::jittered(delay.min(self.interval))
            }
            Class::Throttled { .. } | Class::Unauthorized if swept => now,
            _ => return,
        };
        turn.due = due;
    }

    /// How long ago the vault that was listed longest ago was listed, of those that can be; none if there is none.
    #[must_use]
    pub fn oldest(&self, now: Instant) -> Option<Duration> {
        let turns = self.turns.lock();
        let listed = turns.values().filter(|turn| !turn.barred);
        let ages = listed.map(|turn| now.saturating_duration_since(turn.listed));
        ages.max()
    }
}

/// The turn of a vault that was listed: one that was not known to be in use is taken out again if it is not.
fn turn<'a>(turns: &'a mut HashMap<VaultId, Turn>, vault: &VaultId, now: Instant) -> &'a mut Turn {
    turns.entry(vault.clone()).or_insert(Turn {
        due: now,
        failures: 0,
        listed: now,
        barred: false,
    })
}

/// `interval`, up to a tenth more or less, so that vaults spread out.
fn about(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + fastrand::f64() / 5.0)
}

#[cfg(test)]
mod tests;
