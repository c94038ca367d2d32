//! The state of one API key: requests in flight, silence the server asked for, refusal.
//!
//! Pure: the time comes with each call, and whoever has to be told of a free slot is told through
//! a callback. Four rules keep it honest:
//! - Slots are shared by namespace, as [`crate::fair`] says: those that wait take turns, and none holds all.
//! - A freed slot is promised to whoever's turn it is, and newcomers can't take it. A promise
//!   nobody redeems lapses, at the latest with the second [`Gate::tick`] after [`PATIENCE`].
//! - Nobody waits in the list of a closed gate: closing wakes all it closes for, and each learns from
//!   [`Gate::admit`] why and for how long. So nobody is forgotten when it opens again.
//! - Requests that were in flight when the key was refused can't be recalled, so at most as many
//!   as the limit reach the server with a refused key.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::MAX_RETRY_AFTER;
use super::gates::KeyId;
use super::silence::Silence;
use crate::fair::{Fair, Member};

/// How long a freed slot is kept for the waiter it was promised to.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Told who is to come back. Called without any lock held; must not block.
pub type Wake<W> = Arc<dyn Fn(W) + Send + Sync>;

/// The gate of one API key, shared by everybody who uses the key.
///
/// `W` stands for whoever wants to send: an opaque token that is handed back by the callback.
pub struct Gate<W: Member> {
    id: KeyId,
    limit: usize,
    wake: Wake<W>,
    state: Mutex<State<W>>,
}

struct State<W> {
    /// The slots, promised ones too, and those who wait.
    slots: Fair<W>,
    queued: HashSet<W>,
    /// Woken, with a slot set aside until the instant; `None` until a clock is at hand.
    promised: VecDeque<(W, Option<Instant>)>,
    silence: Silence,
    refused: bool,
}

/// What [`Gate::admit`] says.
#[must_use]
pub enum Admission<W: Member> {
    /// Go; the slot is free again when the permit is dropped.
    Pass(Permit<W>),
    /// Every slot is taken. The waiter is in the list, and will be woken.
    Full,
    /// The server asked for silence until then. The waiter is not kept: come back at that time.
    ClosedUntil(Instant),
    /// The key was refused. The waiter is not kept: whoever probes the key wakes its users.
    Unauthorized,
}

/// A slot at the gate. Dropping it frees the slot, and wakes whoever's turn it is.
#[must_use]
pub struct Permit<W: Member> {
    gate: Arc<Gate<W>>,
    holder: W,
}

impl<W: Member> Gate<W> {
    /// An open gate with this many slots (at least one).
    pub(super) fn new(id: KeyId, limit: usize, wake: Wake<W>) -> Self {
        Self {
            id,
            limit: limit.max(1),
            wake,
            state: Mutex::new(State {
                slots: Fair::new(limit),
                queued: HashSet::new(),
                promised: VecDeque::new(),
                silence: Silence::default(),
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
        state.silence.seen(waiter.group());
        if state.refused {
            return Admission::Unauthorized;
        }
        if let Some(until) = state.silence.until(Some(waiter.group()), now) {
            return Admission::ClosedUntil(until);
        }
        state.lapse(now);
        // From here on a free slot is one that nobody who waits may have.
        let mut woken = state.promise();
        let admitted = if state.redeem(waiter) {
            woken.retain(|w| w != waiter);
            true
        } else if state.queued.contains(waiter) {
            false
        } else if state.slots.take(waiter) {
            true
        } else {
            state.slots.wait(waiter.clone());
            state.queued.insert(waiter.clone());
            false
        };
        drop(state);
        self.wake_all(woken);
        if admitted {
            Admission::Pass(self.permit(waiter))
        } else {
            Admission::Full
        }
    }

    /// A slot for work in the name of `holder` that must never stand in anybody's way: only if the gate is open, nobody
    /// of its namespace waits or was promised one, and one is free that nobody else may have. Whoever gets none is not
    /// kept, and comes back in its own time.
    pub fn spare(self: &Arc<Self>, holder: &W, now: Instant) -> Option<Permit<W>> {
        let mut state = self.lock();
        let group = holder.group();
        let open = !state.refused && state.silence.until(Some(group), now).is_none();
        let mut promised = state.promised.iter().map(|(waiter, _)| waiter.group());
        let idle = !promised.any(|other| other == group) && !state.slots.is_awaited(group);
        let taken = open && idle && state.slots.take(holder);
        drop(state);
        taken.then(|| self.permit(holder))
    }

    fn permit(self: &Arc<Self>, holder: &W) -> Permit<W> {
        Permit {
            gate: Arc::clone(self),
            holder: holder.clone(),
        }
    }

    /// The server asked for silence, when it answered a request in the name of `holder` (none: it was about the key
    /// itself). See `silence.rs` for whom that concerns. Never shortens one, and never lasts longer than five minutes.
    pub fn throttle(&self, holder: Option<&W>, retry_after: Duration, now: Instant) {
        let until = now + retry_after.min(MAX_RETRY_AFTER);
        let mut state = self.lock();
        let group = holder.map(Member::group);
        let woken = match group {
            Some(group) if !state.silence.ask(Some(group), until, now) => state.dismiss(group),
            Some(_) => state.dismiss_all(),
            None => {
                state.silence.ask(None, until, now);
                state.dismiss_all()
            }
        };
        drop(state);
        self.wake_all(woken);
    }

    /// The server refused the key. True for the one call that closed the gate: whoever made it
    /// sees to the probe.
    #[must_use = "whoever closed the gate sees to the probe"]
    pub fn refuse(&self) -> bool {
        let mut state = self.lock();
        let closed = !std::mem::replace(&mut state.refused, true);
        let woken = state.dismiss_all();
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
        state.refused || state.silence.until(None, now).is_some()
    }

    /// Whether nothing may be sent in the name of `holder` now.
    #[must_use]
    pub fn is_closed_to(&self, holder: &W, now: Instant) -> bool {
        let state = self.lock();
        state.refused || state.silence.until(Some(holder.group()), now).is_some()
    }

    /// Whether the server's wish for silence is still to be remembered.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        self.lock().silence.is_kept(now)
    }

    /// This waiter will not come: takes it out of the list and gives its promise to the next.
    pub fn forget(&self, waiter: &W) {
        let mut state = self.lock();
        state.redeem(waiter).then(|| state.slots.free(waiter));
        if state.queued.remove(waiter) {
            state.slots.leave(waiter);
        }
        let woken = state.promise();
        drop(state);
        self.wake_all(woken);
    }

    /// Lets promises lapse that nobody redeemed. To be called about once a second, so that
    /// those behind a waiter that never comes are woken.
    pub fn tick(&self, now: Instant) {
        let mut state = self.lock();
        state.lapse(now);
        let woken = state.promise();
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

impl<W: Member> State<W> {
    /// Free slots go to those whose turn it is.
    fn promise(&mut self) -> Vec<W> {
        let mut woken = Vec::new();
        while let Some(waiter) = self.slots.give() {
            self.queued.remove(&waiter);
            self.promised.push_back((waiter.clone(), None));
            woken.push(waiter);
        }
        woken
    }

    /// Starts the clock of new promises, ends the old ones.
    fn lapse(&mut self, now: Instant) {
        let slots = &mut self.slots;
        self.promised.retain_mut(|(waiter, until)| {
            let holds = *until.get_or_insert(now + PATIENCE) > now;
            if !holds {
                slots.free(waiter);
            }
            holds
        });
    }

    /// Whether a slot had been set aside for this waiter; it is the waiter's now.
    fn redeem(&mut self, waiter: &W) -> bool {
        let promise = self.promised.iter().position(|(w, _)| w == waiter);
        promise.and_then(|at| self.promised.remove(at)).is_some()
    }

    /// Empties list and promises of a gate that closes. The promised were woken already, and
    /// learn when they come.
    fn dismiss_all(&mut self) -> Vec<W> {
        for (waiter, _) in self.promised.drain(..) {
            self.slots.free(&waiter);
        }
        self.queued.clear();
        self.slots.dismiss_all()
    }

    /// The same, of a gate that closes for one namespace; and who has the slots that become free.
    fn dismiss(&mut self, group: &str) -> Vec<W> {
        let slots = &mut self.slots;
        self.promised.retain(|(waiter, _)| {
            let stays = waiter.group() != group;
            if !stays {
                slots.free(waiter);
            }
            stays
        });
        let mut woken = Vec::from(slots.dismiss(group));
        for waiter in &woken {
            self.queued.remove(waiter);
        }
        woken.extend(self.promise());
        woken
    }
}

impl<W: Member> Permit<W> {
    /// The gate this is a slot of.
    #[must_use]
    pub const fn gate(&self) -> &Arc<Gate<W>> {
        &self.gate
    }

    /// In whose name it was given.
    #[must_use]
    pub const fn holder(&self) -> &W {
        &self.holder
    }
}

impl<W: Member> Drop for Permit<W> {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.slots.free(&self.holder);
        let woken = state.promise();
        drop(state);
        self.gate.wake_all(woken);
    }
}

impl<W: Member> fmt::Debug for Gate<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Gate")
            .field("limit", &self.limit)
            .field("held", &state.slots.held())
            .field("waiting", &state.slots.waiting())
            .field("promised", &state.promised.len())
            .field("refused", &state.refused)
            .finish_non_exhaustive()
    }
}

impl<W: Member> fmt::Debug for Permit<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

impl<W: Member> fmt::Debug for Admission<W> {
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
