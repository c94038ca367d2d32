//! The fence: nothing is written by a process whose lease may be somebody else's by then.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::rules::{Lost, Timing};
use crate::deadline::{self, Passed};

/// Asked right before each write, whether to Nairi or to Kubernetes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Fence(Option<Arc<Held>>);

#[derive(Debug)]
struct Held {
    timing: Timing,
    state: watch::Sender<State>,
}

#[derive(Debug)]
enum State {
    Renewed(Instant),
    Lost(Lost),
}

impl Fence {
    /// Without leader election: always passes.
    #[must_use]
    pub const fn open() -> Self {
        Self(None)
    }

    /// A lease that is ours by a write that was sent at `renewed`.
    #[must_use]
    pub fn held(timing: Timing, renewed: Instant) -> Self {
        let (state, _) = watch::channel(State::Renewed(renewed));
        Self(Some(Arc::new(Held { timing, state })))
    }

    /// How long a write may take that begins now, at most `timeout`: it ends before the lease does.
    ///
    /// # Errors
    /// The lease is lost: nothing may be sent, and the process is about to end.
    pub fn limit(&self, timeout: Duration) -> Result<Duration, Lost> {
        let Some(held) = &self.0 else {
            return Ok(timeout);
        };
        let room = match &*held.state.borrow() {
            State::Renewed(renewed) => held.timing.room(*renewed, Instant::now()),
            State::Lost(lost) => return Err(lost.clone()),
        };
        room.map(|room| room.min(timeout)).ok_or_else(|| {
            let lost = Lost::NotRenewed(held.timing.deadline);
            self.lose(lost.clone());
            lost
        })
    }

    /// The same for those who have nothing to say without the lease: never returns once it is lost, while the process
    /// ends.
    pub async fn pass(&self, timeout: Duration) -> Duration {
        match self.limit(timeout) {
            Ok(limit) => limit,
            Err(_) => std::future::pending().await,
        }
    }

    /// Sends `request`, for `timeout` at most, unless the lease is lost: then it is not begun, and this never
    /// returns. Nor does it go on after its time, where the process was stopped meanwhile.
    ///
    /// # Errors
    /// It was not answered in time; it may have been carried out all the same.
    pub async fn bounded<T>(
        &self,
        timeout: Duration,
        request: impl Future<Output = T>,
    ) -> Result<T, Passed> {
        let limit = self.pass(timeout).await;
        deadline::before(tokio::time::Instant::now() + limit, request).await
    }

    /// Ends when the lease is lost.
    pub async fn lost(&self) -> Lost {
        if let Some(held) = &self.0 {
            let mut state = held.state.subscribe();
            if let Ok(state) = state.wait_for(|it| matches!(it, State::Lost(_))).await
                && let State::Lost(lost) = &*state
            {
                return lost.clone();
            }
        }
        std::future::pending().await
    }

    /// It was renewed by a write sent at `renewed`. What was lost stays lost.
    pub(super) fn renewed(&self, renewed: Instant) {
        self.change(State::Renewed(renewed));
    }

    /// It is lost.
    pub(super) fn lose(&self, lost: Lost) {
        self.change(State::Lost(lost));
    }

    fn change(&self, to: State) {
        if let Some(held) = &self.0 {
            held.state.send_if_modified(|state| {
                let holds = matches!(state, State::Renewed(_));
                if holds {
                    *state = to;
                }
                holds
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(1);
    const SECOND: Duration = Duration::from_secs(1);

    fn ago(seconds: u64) -> Instant {
        Instant::now()
            .checked_sub(Duration::from_secs(seconds))
            .expect("the machine runs for longer")
    }

    fn fence(seconds_ago: u64) -> Fence {
        Fence::held(Timing::DEFAULT, ago(seconds_ago))
    }

    #[test]
    fn a_write_ends_before_the_lease_does() {
        assert_eq!(Fence::open().limit(LONG), Ok(LONG));
        for age in [0, 5, 9] {
            let fence = fence(age);
            assert_eq!(fence.limit(SECOND), Ok(SECOND));
            let limit = fence.limit(LONG).expect("it holds");
            let most = Duration::from_secs(14 - age);
            assert!(limit <= most && limit + SECOND > most, "{age}: {limit:?}");
        }
    }

    #[tokio::test]
    async fn what_is_lost_stays_lost_and_is_told() {
        let fence = fence(10);
        let lost = Lost::NotRenewed(Timing::DEFAULT.deadline);
        assert_eq!(fence.limit(SECOND), Err(lost.clone()));
        fence.renewed(Instant::now());
        assert_eq!(fence.limit(SECOND), Err(lost.clone()));
        fence.lose(Lost::Released);
        assert_eq!(fence.lost().await, lost);
    }

    #[tokio::test]
    async fn nothing_is_begun_without_the_lease() {
        let fence = fence(10);
        let write = fence.bounded(LONG, async { panic!("it was begun") });
        let waited = tokio::time::timeout(SECOND / 10, write).await;
        assert!(waited.is_err(), "there is nothing to say");
    }

    #[test]
    fn a_renewal_makes_room() {
        let fence = fence(9);
        fence.renewed(Instant::now());
        assert!(fence.limit(LONG).expect("it holds") > 13 * SECOND);
    }
}
