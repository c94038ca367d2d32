//! The active faults, and the handle by which a test follows one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::fault::{Effect, Fault, FaultId, Moment, Times};
use crate::lock;

/// A fault that was added. It stays active when the handle is dropped; a clone is the same fault.
#[derive(Clone)]
pub struct FaultHandle {
    active: Arc<Active>,
    board: Arc<Mutex<Board>>,
}

/// How a fault stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FaultState {
    /// How often it has fired.
    pub fired: u64,
    /// How many requests stall in it now.
    pub stalled: u64,
    /// Whether stalled requests were let go, and none is held any more.
    pub released: bool,
}

/// A wait for a fault ended before what was waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotSeen {
    /// How the fault stood at the end.
    pub state: FaultState,
}

impl fmt::Display for NotSeen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "not seen in time; the fault stood at {:?}",
            self.state
        )
    }
}

impl std::error::Error for NotSeen {}

struct Active {
    id: FaultId,
    fault: Fault,
    state: watch::Sender<FaultState>,
}

/// How a fault counts the requests it matches.
struct Counted {
    active: Arc<Active>,
    skip: u64,
    left: Option<u64>,
    dice: Option<(f64, Rng)>,
}

#[derive(Default)]
struct Board {
    last: FaultId,
    counted: BTreeMap<FaultId, Counted>,
}

/// All active faults; the oldest that matches a request meets it, and no other.
#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<Board>>);

impl Faults {
    pub(crate) fn add(&self, fault: Fault) -> FaultHandle {
        let mut board = lock(&self.0);
        board.last += 1;
        let id = board.last;
        let (left, dice) = match fault.times {
            Times::Always => (None, None),
            Times::Count(count) => (Some(count), None),
            Times::Share { share, seed } => (None, Some((share, Rng::with_seed(seed)))),
        };
        let skip = fault.skip;
        let active = Arc::new(Active {
            id,
            fault,
            state: watch::Sender::default(),
        });
        board.counted.insert(
            id,
            Counted {
                active: active.clone(),
                skip,
                left,
                dice,
            },
        );
        drop(board);
        FaultHandle {
            active,
            board: self.0.clone(),
        }
    }

    /// Those still active, or that fired as often as they should and were not removed.
    pub(crate) fn handles(&self) -> Vec<FaultHandle> {
        let handle = |counted: &Counted| FaultHandle {
            active: counted.active.clone(),
            board: self.0.clone(),
        };
        lock(&self.0).counted.values().map(handle).collect()
    }

    pub(crate) fn handle(&self, id: FaultId) -> Option<FaultHandle> {
        let active = lock(&self.0).counted.get(&id)?.active.clone();
        Some(FaultHandle {
            active,
            board: self.0.clone(),
        })
    }

    /// The fault that meets this request; counts it.
    pub(crate) fn meet(&self, method: &str, path: &str, write: bool) -> Option<Met> {
        let mut board = lock(&self.0);
        for counted in board.counted.values_mut() {
            if counted.active.fault.matches(method, path, write) && counted.fires() {
                counted.active.state.send_modify(|state| state.fired += 1);
                return Some(Met(counted.active.clone()));
            }
        }
        None
    }
}

impl Counted {
    fn fires(&mut self) -> bool {
        if self.left == Some(0) {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        self.dice
            .as_mut()
            .is_none_or(|(share, dice)| dice.f64() < *share)
    }
}

impl fmt::Debug for FaultHandle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "fault {}: {:?}, {:?}",
            self.id(),
            self.fault(),
            self.state()
        )
    }
}

impl FaultHandle {
    /// Its number.
    #[must_use]
    pub fn id(&self) -> FaultId {
        self.active.id
    }

    /// The fault itself.
    #[must_use]
    pub fn fault(&self) -> &Fault {
        &self.active.fault
    }

    /// How it stands.
    #[must_use]
    pub fn state(&self) -> FaultState {
        *self.active.state.borrow()
    }

    /// How often it has fired.
    #[must_use]
    pub fn fired(&self) -> u64 {
        self.state().fired
    }

    /// How many requests stall in it now.
    #[must_use]
    pub fn stalled(&self) -> u64 {
        self.state().stalled
    }

    /// Lets the stalled requests go on, and holds none any more.
    pub fn release(&self) {
        self.active.state.send_modify(|state| state.released = true);
    }

    /// Ends the fault: it meets no further request, and what stalls in it goes on.
    pub fn remove(&self) {
        lock(&self.board).counted.remove(&self.active.id);
        self.release();
    }

    /// Waits until it has fired so often.
    ///
    /// # Errors
    /// When that did not happen within the time.
    pub async fn wait_fired(&self, times: u64, within: Duration) -> Result<FaultState, NotSeen> {
        self.wait(|state| state.fired >= times, within).await
    }

    /// Waits until so many requests stall in it at once.
    ///
    /// # Errors
    /// When that did not happen within the time.
    pub async fn wait_stalled(&self, count: u64, within: Duration) -> Result<FaultState, NotSeen> {
        self.wait(|state| state.stalled >= count, within).await
    }

    async fn wait(
        &self,
        wanted: impl FnMut(&FaultState) -> bool,
        within: Duration,
    ) -> Result<FaultState, NotSeen> {
        let mut states = self.active.state.subscribe();
        match timeout(within, states.wait_for(wanted)).await {
            Ok(Ok(state)) => Ok(*state),
            _ => Err(NotSeen {
                state: self.state(),
            }),
        }
    }
}

/// A fault that meets a request.
pub(crate) struct Met(Arc<Active>);

impl Met {
    pub(crate) fn id(&self) -> FaultId {
        self.0.id
    }

    pub(crate) fn effect(&self) -> &Effect {
        &self.0.fault.effect
    }

    pub(crate) fn moment(&self) -> Moment {
        self.0.fault.moment
    }

    /// Stalls until the fault is released.
    pub(crate) async fn stall(&self) {
        let mut states = self.0.state.subscribe();
        self.0.state.send_modify(|state| state.stalled += 1);
        let _stalled = Stalled(&self.0);
        let _ = states.wait_for(|state| state.released).await;
    }
}

/// Counts a request as stalled until it is dropped: also when the client leaves.
struct Stalled<'a>(&'a Active);

impl Drop for Stalled<'_> {
    fn drop(&mut self) {
        self.0.state.send_modify(|state| state.stalled -= 1);
    }
}
