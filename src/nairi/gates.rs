//! All gates, by API key.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ring::hmac;
use ring::rand::SystemRandom;
use thiserror::Error;

use super::gate::{Gate, Wake};
use super::key::ApiKey;
use crate::fair::Member;

/// Stands for an API key in maps: keyed with a random key of this process, so neither the API key
/// nor anything it could be guessed by lies about in memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; 32]);

/// The system has no randomness to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the system has no random bytes to give")]
pub struct NoRandomness;

/// One [`Gate`] per API key. Keeps those somebody holds and, whoever holds them, those the server
/// asked silence of; a gate nobody uses is forgotten.
pub struct Gates<W: Member> {
    hmac: hmac::Key,
    limit: usize,
    wake: Wake<W>,
    by_key: Mutex<HashMap<KeyId, Arc<Gate<W>>>>,
}

impl<W: Member> Gates<W> {
    /// Gates with this many slots each; `wake` is told who is to come back.
    ///
    /// # Errors
    /// Without randomness.
    pub fn new(limit: usize, wake: Wake<W>) -> Result<Self, NoRandomness> {
        let hmac = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| NoRandomness)?;
        Ok(Self {
            hmac,
            limit,
            wake,
            by_key: Mutex::new(HashMap::new()),
        })
    }

    /// What stands for this API key.
    #[must_use]
    pub fn key_id(&self, key: &ApiKey) -> KeyId {
        let tag = hmac::sign(&self.hmac, key.expose().as_bytes());
        let mut id = [0; 32];
        id.copy_from_slice(tag.as_ref());
        KeyId(id)
    }

    /// The gate of this API key: the same one as long as anybody holds it or it is throttled.
    #[must_use]
    pub fn for_key(&self, key: &ApiKey, now: Instant) -> Arc<Gate<W>> {
        let id = self.key_id(key);
        let mut gates = self.lock();
        if let Some(gate) = gates.get(&id) {
            return Arc::clone(gate);
        }
        prune(&mut gates, now);
        let gate = Arc::new(Gate::new(id, self.limit, Arc::clone(&self.wake)));
        gates.insert(id, Arc::clone(&gate));
        gate
    }

    /// How many keys nothing may be sent with now.
    #[must_use]
    pub fn closed_count(&self, now: Instant) -> usize {
        let mut gates = self.lock();
        prune(&mut gates, now);
        gates.values().filter(|gate| gate.is_closed(now)).count()
    }

    /// [`Gate::tick`] for all. To be called about once a second.
    pub fn tick(&self, now: Instant) {
        let gates: Vec<_> = {
            let mut gates = self.lock();
            prune(&mut gates, now);
            gates.values().cloned().collect()
        };
        for gate in gates {
            gate.tick(now);
        }
    }

    /// [`Gate::forget`] at all gates: this waiter is gone.
    pub fn forget(&self, waiter: &W) {
        self.wait_only_at(None, waiter);
    }

    /// [`Gate::forget`] at all other gates: this waiter waits at that one now, or at none.
    pub fn wait_only_at(&self, gate: Option<KeyId>, waiter: &W) {
        let others: Vec<_> = {
            let gates = self.lock();
            let others = gates.iter().filter(|(id, _)| Some(**id) != gate);
            others.map(|(_, gate)| Arc::clone(gate)).collect()
        };
        for other in others {
            other.forget(waiter);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<KeyId, Arc<Gate<W>>>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A refused gate nobody holds is dropped: without a holder there is no probe that could open it.
fn prune<W: Member>(gates: &mut HashMap<KeyId, Arc<Gate<W>>>, now: Instant) {
    gates.retain(|_, gate| {
        Arc::strong_count(gate) > 1 || (!gate.is_refused() && gate.is_silent(now))
    });
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyId(…)")
    }
}

impl<W: Member> fmt::Debug for Gates<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gates")
            .field("limit", &self.limit)
            .field("gates", &self.lock().len())
            .finish_non_exhaustive()
    }
}
