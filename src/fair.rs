//! Slots that several groups share fairly. Pure.
//!
//! Three rules:
//! - Groups with something waiting take turns; within a group it is first come, first served.
//! - A group that holds a slot already gets another only if it then holds no more than seven times what is left
//!   free: one group alone leaves an eighth of the slots, and the more of them hold slots, the less each may hold.
//!   So a group that holds nothing finds a free slot, however slow the work of another is.
//! - Who has the next turn and may not take it by that is passed over, and keeps its place.
//!
//! Hence whoever holds nothing gets a slot after at most as many others as there are groups.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// How many times what is left free one group may hold.
const TIMES: usize = 7;

/// What waits for a slot, and then holds it.
pub trait Member: Clone + Eq + Hash {
    /// Its group, such as its namespace.
    fn group(&self) -> &str;
}

/// Slots, how many each group holds, and who waits for one: each at most once.
#[derive(Debug)]
pub struct Fair<T> {
    slots: usize,
    held: usize,
    /// Those that hold a slot or wait for one.
    groups: HashMap<String, Group<T>>,
    /// Those with something waiting; the next turn is the first one's.
    turns: VecDeque<String>,
}

#[derive(Debug)]
struct Group<T> {
    held: usize,
    waiting: VecDeque<T>,
}

impl<T: Member> Fair<T> {
    /// This many slots (at least one), all free.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        Self {
            slots: slots.max(1),
            held: 0,
            groups: HashMap::new(),
            turns: VecDeque::new(),
        }
    }

    /// `member`, which does not wait so far, waits for a slot.
    pub fn wait(&mut self, member: T) {
        let name = member.group().to_owned();
        let line = &mut self.group(&name).waiting;
        line.push_back(member);
        if line.len() == 1 {
            self.turns.push_back(name);
        }
    }

    /// Gives a free slot to the one whose turn it is, if there is one that may have it.
    pub fn give(&mut self) -> Option<T> {
        let group = self.turns.remove(self.turn()?)?;
        let Group { held, waiting } = self.groups.get_mut(&group)?;
        let member = waiting.pop_front()?;
        *held += 1;
        self.held += 1;
        if !waiting.is_empty() {
            self.turns.push_back(group);
        }
        Some(member)
    }

    /// Gives `member`, which does not wait, a free slot at once, if it may have one and nobody's turn is before.
    pub fn take(&mut self, member: &T) -> bool {
        let taken = self.may_take(member.group()) && self.turn().is_none();
        if taken {
            self.group(member.group()).held += 1;
            self.held += 1;
        }
        taken
    }

    /// The slot that `member` held is free again.
    pub fn free(&mut self, member: &T) {
        if let Some(group) = self.groups.get_mut(member.group()) {
            group.held -= 1;
            self.held -= 1;
        }
        self.tidy(member.group());
    }

    /// `member` waits no more.
    pub fn leave(&mut self, member: &T) {
        let name = member.group();
        if let Some(Group { waiting, .. }) = self.groups.get_mut(name) {
            waiting.retain(|other| other != member);
            if waiting.is_empty() {
                self.turns.retain(|other| other != name);
            }
        }
        self.tidy(name);
    }

    /// All of `group` that wait; they wait no more.
    pub fn dismiss(&mut self, group: &str) -> VecDeque<T> {
        let waiting = self.groups.get_mut(group).map(|group| &mut group.waiting);
        let all = waiting.map(std::mem::take).unwrap_or_default();
        self.turns.retain(|other| other != group);
        self.tidy(group);
        all
    }

    /// All that wait; they wait no more.
    pub fn dismiss_all(&mut self) -> Vec<T> {
        let groups: Vec<_> = self.turns.iter().cloned().collect();
        let dismissed = groups.iter().flat_map(|group| self.dismiss(group));
        dismissed.collect()
    }

    /// Whether anything of `group` waits.
    #[must_use]
    pub fn is_awaited(&self, group: &str) -> bool {
        let group = self.groups.get(group);
        group.is_some_and(|group| !group.waiting.is_empty())
    }

    /// How many slots are held.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.held
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.groups.values().map(|group| group.waiting.len()).sum()
    }

    /// Whose turn it is, of those that may take a slot. Passed over are only groups that hold some: no more than there
    /// are slots.
    fn turn(&self) -> Option<usize> {
        if self.held == self.slots {
            return None;
        }
        self.turns.iter().position(|group| self.may_take(group))
    }

    fn may_take(&self, group: &str) -> bool {
        let free = self.slots - self.held;
        let held = self.groups.get(group).map_or(0, |group| group.held);
        free > 0 && (held == 0 || held < TIMES.saturating_mul(free - 1))
    }

    fn group(&mut self, name: &str) -> &mut Group<T> {
        self.groups.entry(name.to_owned()).or_insert_with(|| Group {
            held: 0,
            waiting: VecDeque::new(),
        })
    }

    /// Keeps no group that neither holds nor waits.
    fn tidy(&mut self, name: &str) {
        let idle = |group: &Group<T>| group.held == 0 && group.waiting.is_empty();
        if self.groups.get(name).is_some_and(idle) {
            self.groups.remove(name);
        }
    }
}

#[cfg(test)]
mod tests;
