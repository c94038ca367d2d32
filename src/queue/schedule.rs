//! What is due, what runs, and what comes back at its time: one entry an object. Pure: the time comes with each call.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use crate::fair::{Fair, Member};

/// The objects that something is known of.
#[derive(Debug)]
pub(super) struct Schedule<O> {
    entries: HashMap<O, Entry>,
    slots: Fair<O>,
    /// Those that sleep. The number tells those apart that wake in the same moment.
    sleeping: BTreeMap<Alarm, O>,
    alarms: u64,
}

type Alarm = (Instant, u64);

#[derive(Debug)]
struct Entry {
    /// Since when the object is due, if it is.
    since: Option<Instant>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// It has to be woken.
    Away,
    /// Its time comes.
    Asleep(Alarm),
    /// For a slot.
    Waits,
    /// It was woken meanwhile, or was not.
    Runs { again: bool },
}

impl<O: Member> Schedule<O> {
    /// So many run at once, at most.
    pub(super) fn new(slots: usize) -> Self {
        Self {
            entries: HashMap::new(),
            slots: Fair::new(slots),
            sleeping: BTreeMap::new(),
            alarms: 0,
        }
    }

    /// Makes `object` due now: it waits for a slot, at the latest when it has run.
    pub(super) fn wake(&mut self, object: O, now: Instant) {
        let entry = self.entries.entry(object.clone()).or_insert(Entry::AWAY);
        entry.since.get_or_insert(now);
        match entry.phase {
            Phase::Waits => return,
            Phase::Runs { .. } => {
                entry.phase = Phase::Runs { again: true };
                return;
            }
            Phase::Asleep(alarm) => drop(self.sleeping.remove(&alarm)),
            Phase::Away => {}
        }
        entry.phase = Phase::Waits;
        self.slots.wait(object);
    }

    /// Gives the next object a slot and says since when it was due (now, if its time brought it).
    pub(super) fn begin(&mut self, now: Instant) -> Option<(O, Instant)> {
        self.ring(now);
        let object = self.slots.give()?;
        let entry = self.entries.entry(object.clone()).or_insert(Entry::AWAY);
        entry.phase = Phase::Runs { again: false };
        let since = entry.since.take().unwrap_or(now);
        Some((object, since))
    }

    /// `object` has run. It comes back after that time, if any, and at once if it was woken meanwhile.
    pub(super) fn end(&mut self, object: &O, after: Option<Duration>, now: Instant) {
        let Some(entry) = self.entries.get_mut(object) else {
            return;
        };
        let Phase::Runs { again } = entry.phase else {
            return;
        };
        self.slots.free(object);
        // One that is so far off never comes, which is what it says.
        let at = after.and_then(|after| now.checked_add(after));
        if again {
            entry.phase = Phase::Waits;
            self.slots.wait(object.clone());
        } else if let Some(at) = at {
            self.alarms += 1;
            let alarm = (at, self.alarms);
            entry.phase = Phase::Asleep(alarm);
            self.sleeping.insert(alarm, object.clone());
        } else {
            entry.phase = Phase::Away;
            self.tidy(object);
        }
    }

    /// Lets `object` count as due since `since` when it is woken.
    pub(super) fn keep(&mut self, object: &O, since: Instant) {
        let entry = self.entries.entry(object.clone()).or_insert(Entry::AWAY);
        entry.since = Some(entry.since.map_or(since, |due| due.min(since)));
    }

    /// Forgets since when `object` is due, and the time it asked for. If it waits it is given a slot all the same:
    /// another may have its name, and was woken.
    pub(super) fn forget(&mut self, object: &O) {
        if let Some(entry) = self.entries.get_mut(object) {
            entry.since = None;
            if let Phase::Asleep(alarm) = entry.phase {
                self.sleeping.remove(&alarm);
                entry.phase = Phase::Away;
            }
        }
        self.tidy(object);
    }

    /// How many are due.
    pub(super) fn depth(&self) -> usize {
        let due = self.entries.values().filter(|entry| entry.since.is_some());
        due.count()
    }

    /// When the first of those that sleep wakes.
    pub(super) fn alarm(&self) -> Option<Instant> {
        self.sleeping.first_key_value().map(|((at, _), _)| *at)
    }

    /// Those whose time has come wait for a slot.
    fn ring(&mut self, now: Instant) {
        while let Some(first) = self.sleeping.first_entry()
            && first.key().0 <= now
        {
            let object = first.remove();
            if let Some(entry) = self.entries.get_mut(&object) {
                entry.phase = Phase::Waits;
            }
            self.slots.wait(object);
        }
    }

    /// Keeps nothing of an object of which nothing is known.
    fn tidy(&mut self, object: &O) {
        let idle = |entry: &Entry| entry.since.is_none() && matches!(entry.phase, Phase::Away);
        if self.entries.get(object).is_some_and(idle) {
            self.entries.remove(object);
        }
    }
}

impl Entry {
    const AWAY: Self = Self {
        since: None,
        phase: Phase::Away,
    };
}

#[cfg(test)]
mod tests;
