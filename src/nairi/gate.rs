//! The state of one API key: requests in flight, silence the server asked for, refusal.
//!
//! Pure: the time comes with each call, and whoever has to be told of a free slot is told through
//! a callback. Three rules keep it honest:
//! - A freed slot is promised to whoever waits longest, and newcomers can't take it. A promise
//!   nobody redeems lapses, at the latest with the second [`Gate::tick`] after [`PATIENCE`].
//! - Nobody waits in the list of a closed gate: closing wakes all, and each learns from
//!   [`Gate::admit`] why and for how long. So nobody is forgotten when it opens again.
//! - Requests that were in flight when the key was refused can't be recalled, so at most as many
//!   as the limit reach the server with a refused key.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::MAX_RETRY_AFTER;
use super::gates::KeyId;

/// How long a freed slot is kept for the waiter it was promised to.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Told who is to come back. Called without any lock held; must not block.
pub type Wake<W> = Arc<dyn Fn(W) + Send + Sync>;

/// The gate of one API key, shared by everybody who uses the key.
///
/// `W` stands for whoever wants to send: an opaque token that is handed back by the callback.
pub struct Gate<W: Clone + Eq + Hash> {
    id: KeyId,
    limit: usize,
    wake: Wake<W>,
    state: Mutex<State<W>>,
}

struct State<W> {
    in_flight: usize,
    /// Those who found the gate full, longest first, each once.
    waiting: VecDeque<W>,
    queued: HashSet<W>,
    /// Woken, with a slot set aside until the instant; `None` until a clock is at hand.
    promised: VecDeque<(W, Option<Instant>)>,
    closed_until: Option<Instant>,
    refused: bool,
}

/// What [`Gate::admit`] says.
#[must_use]
pub enum Admission<W: Clone + Eq + Hash> {
    /// Go; the slot is free again when the permit is dropped.
    Pass(Permit<W>),
    /// Every slot is taken. The waiter is in the list, and will be woken.
    Full,
    /// The server asked for silence until then. The waiter is not kept: come back at that time.
    ClosedUntil(Instant),
    /// The key was refused. The waiter is not kept: whoever probes the key wakes its users.
    Unauthorized,
}

/// A slot at the gate. Dropping it frees the slot, and wakes whoever waits longest.
#[must_use]
pub struct Permit<W: Clone + Eq + Hash> {
    gate: Arc<Gate<W>>,
}

impl<W: Clone + Eq + Hash> Gate<W> {
    /// An open gate with this many slots (at least one).
    pub(super) fn new(id: KeyId, limit: usize, wake: Wake<W>) -> Self {
        Self {
            id,
            limit: limit.max(1),
            wake,
            state: Mutex::new(State {
                in_flight: 0,
                waiting: VecDeque::new(),
                queued: HashSet::new(),
                promised: VecDeque::new(),
                closed_until: None,
                refused: false,
            }),
        }
    }

    /// Stands for the API key in maps; the same for the same key within this process only.
    #[must_use]
    pub const fn key_id(&self) -> KeyId {
        self.id
    }

    /// Asks to send one request after another under one permit.
    pub fn admit(self: &Arc<Self>, waiter: &W, now: Instant) -> Admission<W> {
        let mut state = self.lock();
        if state.refused {
            return Admission::Unauthorized;
        }
        if let Some(until) = state.closed_until.filter(|until| *until > now) {
            return Admission::ClosedUntil(until);
        }
        state.lapse(now);
        // From here on a free slot means that nobody waits.
        let mut woken = state.promise(self.limit);
        let admission = if state.redeem(waiter) {
            woken.retain(|w| w != waiter);
            Some(())
        } else if state.queued.contains(waiter) {
            None
        } else if state.taken() < self.limit {
            Some(())
        } else {
            state.waiting.push_back(waiter.clone());
            state.queued.insert(waiter.clone());
            None
        };
        if admission.is_some() {
            state.in_flight += 1;
        }
        drop(state);
        self.wake_all(woken);
        match admission {
            Some(()) => Admission::Pass(Permit {
                gate: Arc::clone(self),
            }),
            None => Admission::Full,
        }
    }

    /// A slot for work that must never stand in anybody's way: only if the gate is open, nobody
    /// waits or was promised a slot, and one is free. Whoever gets none is not kept, and comes
    /// back in its own time.
    pub fn spare(self: &Arc<Self>, now: Instant) -> Option<Permit<W>> {
        let mut state = self.lock();
        let open = !state.refused && state.closed_until.is_none_or(|until| until <= now);
        let idle = state.waiting.is_empty() && state.promised.is_empty();
        if !(open && idle && state.in_flight < self.limit) {
            return None;
        }
        state.in_flight += 1;
        drop(state);
        Some(Permit {
            gate: Arc::clone(self),
        })
    }

    /// The server asked for silence. Never shortens one, and never lasts longer than five minutes.
    pub fn throttle(&self, retry_after: Duration, now: Instant) {
        let until = now + retry_after.min(MAX_RETRY_AFTER);
        let mut state = self.lock();
        if state.closed_until.is_none_or(|old| old < until) {
            state.closed_until = Some(until);
        }
        let woken = state.dismiss();
        drop(state);
        self.wake_all(woken);
    }

    /// The server refused the key. True for the one call that closed the gate: whoever made it
    /// sees to the probe.
    #[must_use = "whoever closed the gate sees to the probe"]
    pub fn refuse(&self) -> bool {
        let mut state = self.lock();
        let closed = !std::mem::replace(&mut state.refused, true);
        let woken = state.dismiss();
        drop(state);
        self.wake_all(woken);
        closed
    }

    /// The key was accepted (again). True if the gate had been closed by [`Gate::refuse`];
    /// whoever opened it wakes the key's users. Leaves a `Retry-After` as it is.
    pub fn open(&self) -> bool {
        std::mem::replace(&mut self.lock().refused, false)
    }

    /// Whether the key was refused.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.lock().refused
    }

    /// Whether nothing may be sent with this key now, for either reason.
    #[must_use]
    pub fn is_closed(&self, now: Instant) -> bool {
        let state = self.lock();
        state.refused || state.closed_until.is_some_and(|until| until > now)
    }

    /// This waiter will not come: takes it out of the list and gives its promise to the next.
    pub fn forget(&self, waiter: &W) {
        let mut state = self.lock();
        state.promised.retain(|(w, _)| w != waiter);
        if state.queued.remove(waiter) {
            state.waiting.retain(|w| w != waiter);
        }
        let woken = state.promise(self.limit);
        drop(state);
        self.wake_all(woken);
    }

    /// Lets promises lapse that nobody redeemed. To be called about once a second, so that
    /// those behind a waiter that never comes are woken.
    pub fn tick(&self, now: Instant) {
        let mut state = self.lock();
        state.lapse(now);
        let woken = state.promise(self.limit);
        drop(state);
        self.wake_all(woken);
    }

    fn lock(&self) -> MutexGuard<'_, State<W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_all(&self, woken: Vec<W>) {
        for waiter in woken {
            (self.wake)(waiter);
        }
    }
}

impl<W: Clone + Eq + Hash> State<W> {
    fn taken(&self) -> usize {
        self.in_flight + self.promised.len()
    }

    /// Free slots go to those who wait longest.
    fn promise(&mut self, limit: usize) -> Vec<W> {
        let mut woken = Vec::new();
        while self.taken() < limit {
            let Some(waiter) = self.waiting.pop_front() else {
                break;
            };
            self.queued.remove(&waiter);
            self.promised.push_back((waiter.clone(), None));
            woken.push(waiter);
        }
        woken
    }

    /// Starts the clock of new promises, ends the old ones.
    fn lapse(&mut self, now: Instant) {
        self.promised
            .retain_mut(|(_, until)| *until.get_or_insert(now + PATIENCE) > now);
    }

    /// Whether a slot had been set aside for this waiter; it is the waiter's now.
    fn redeem(&mut self, waiter: &W) -> bool {
        let promise = self.promised.iter().position(|(w, _)| w == waiter);
        promise.and_then(|at| self.promised.remove(at)).is_some()
    }

    /// Empties list and promises of a gate that closes. The promised were woken already, and
    /// learn when they come.
    fn dismiss(&mut self) -> Vec<W> {
        self.promised.clear();
        self.queued.clear();
        self.waiting.drain(..).collect()
    }
}

impl<W: Clone + Eq + Hash> Permit<W> {
    /// The gate this is a slot of.
    #[must_use]
    pub const fn gate(&self) -> &Arc<Gate<W>> {
        &self.gate
    }
}

impl<W: Clone + Eq + Hash> Drop for Permit<W> {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.in_flight -= 1;
        let woken = state.promise(self.gate.limit);
        drop(state);
        self.gate.wake_all(woken);
    }
}

impl<W: Clone + Eq + Hash> fmt::Debug for Gate<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Gate")
            .field("limit", &self.limit)
            .field("in_flight", &state.in_flight)
            .field("waiting", &state.waiting.len())
            .field("promised", &state.promised.len())
            .field("refused", &state.refused)
            .finish_non_exhaustive()
    }
}

impl<W: Clone + Eq + Hash> fmt::Debug for Permit<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

impl<W: Clone + Eq + Hash> fmt::Debug for Admission<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass(_) => f.write_str("Pass"),
            Self::Full => f.write_str("Full"),
            Self::ClosedUntil(until) => f.debug_tuple("ClosedUntil").field(until).finish(),
            Self::Unauthorized => f.write_str("Unauthorized"),
        }
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
