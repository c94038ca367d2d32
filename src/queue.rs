//! The way into a reconciler: which objects are due, since when, and the loop that takes them.
//!
//! Namespaces take turns, and none holds all slots: see [`crate::fair`].

mod schedule;

use std::{
    fmt::Debug,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt as _, StreamExt as _, future::OptionFuture, stream::FuturesUnordered};
use kube::Resource;
use kube_runtime::reflector::{Lookup, ObjectRef, Store};
use parking_lot::Mutex;
use tokio::{sync::Notify, task::JoinError};
use tracing::error;

use self::schedule::Schedule;
use crate::fair::Member;

/// How long an object whose reconcile panicked waits before it is tried again.
const AFTER_PANIC: Duration = Duration::from_secs(30);

/// When an object is due again that nothing wakes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action(Option<Duration>);

impl Action {
    /// After that time.
    #[must_use]
    pub const fn requeue(after: Duration) -> Self {
        Self(Some(after))
    }

    /// Never.
    #[must_use]
    pub const fn await_change() -> Self {
        Self(None)
    }

    /// After which time, if any.
    #[must_use]
    pub const fn after(self) -> Option<Duration> {
        self.0
    }
}

/// Hands objects to a reconciler. Cheap to clone.
///
/// An object waits in it at most once; how long it waited starts at the first call that woke it.
#[derive(Debug)]
pub struct Queue<K: Resource<DynamicType = ()> + 'static>(Arc<Shared<K>>);

/// The one who takes objects out of a [`Queue`] as it is their turn.
#[derive(Debug)]
pub struct Due<K: Resource<DynamicType = ()> + 'static>(Arc<Shared<K>>);

#[derive(Debug)]
struct Shared<K: Resource<DynamicType = ()> + 'static> {
    schedule: Mutex<Schedule<ObjectRef<K>>>,
    /// Tells the one who takes that there may be something to take.
    changed: Notify,
}

impl<K: Resource<DynamicType = ()> + 'static> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Namespaces take turns. What belongs to none is one group.
impl<K: Lookup<DynamicType = ()>> Member for ObjectRef<K> {
    fn group(&self) -> &str {
        self.namespace.as_deref().unwrap_or_default()
    }
}

impl<K: Resource<DynamicType = ()> + 'static> Queue<K> {
    /// A queue for so many reconciles at once, and its other end.
    #[must_use]
    pub fn new(concurrency: u16) -> (Self, Due<K>) {
        let shared = Arc::new(Shared {
            schedule: Mutex::new(Schedule::new(concurrency.into())),
            changed: Notify::new(),
        });
        (Self(Arc::clone(&shared)), Due(shared))
    }

    /// Makes `object` due now.
    pub fn wake(&self, object: ObjectRef<K>) {
        self.0.schedule.lock().wake(object, Instant::now());
        self.0.changed.notify_one();
    }

    /// Lets `object`, taken and not finished, count as due since `since` when it is woken again.
    pub fn keep(&self, object: &ObjectRef<K>, since: Instant) {
        self.0.schedule.lock().keep(object, since);
    }

    /// Forgets that `object` is due: it is gone.
    pub fn forget(&self, object: &ObjectRef<K>) {
        self.0.schedule.lock().forget(object);
    }

    /// How many objects are waiting.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.0.schedule.lock().depth()
    }
}

impl<K: Resource<DynamicType = ()> + 'static> Due<K> {
    /// The next object there is a slot for, and since when it was due. It holds the slot until its [`Self::end`].
    pub async fn begin(&self) -> (ObjectRef<K>, Instant) {
        loop {
            let alarm = {
                let mut schedule = self.0.schedule.lock();
                if let Some(next) = schedule.begin(Instant::now()) {
                    return next;
                }
                schedule.alarm()
            };
            let alarm: OptionFuture<_> = alarm.map(|at| tokio::time::sleep_until(at.into())).into();
            tokio::select! {
                () = self.0.changed.notified() => {}
                Some(()) = alarm => {}
            }
        }
    }

    /// The object has run.
    pub fn end(&self, object: &ObjectRef<K>, action: Action) {
        let mut schedule = self.0.schedule.lock();
        schedule.end(object, action.after(), Instant::now());
    }

    /// The next object that is due now, as if it had run.
    #[cfg(test)]
    pub(crate) fn pass_one(&self) -> Option<ObjectRef<K>> {
        let (object, _) = self.begin().now_or_never()?;
        self.end(&object, Action::await_change());
        Some(object)
    }
}

/// Takes due objects and reconciles each, never one object twice at a time, until `end`. `reconcile` is told since when
/// the object was due. A panic is caught, reported to `panicked`, and its object retried.
///
/// At the end what runs is finished; what waits, also for its time, is dropped: the next process finds it anew.
pub async fn drain<K, F>(
    due: Due<K>,
    store: Store<K>,
    end: impl Future<Output = ()>,
    reconcile: impl Fn(Arc<K>, Instant) -> F,
    panicked: impl Fn(),
) where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + Debug + 'static,
    F: Future<Output = Action> + Send + 'static,
{
    let action = |ended: Result<Action, JoinError>| {
        ended.unwrap_or_else(|_| {
            panicked();
            error!("a reconcile panicked; it is tried again");
            Action::requeue(AFTER_PANIC)
        })
    };
    let (mut end, mut running) = (pin!(end), FuturesUnordered::new());
    loop {
        tokio::select! {
            biased;
            () = &mut end => break,
            Some((object, ended)) = running.next() => due.end(&object, action(ended)),
            (object, since) = due.begin() => match store.get(&object) {
                // A task of its own: objects are worked on by all threads, and a panic stays inside.
                Some(found) => {
                    let run = tokio::spawn(reconcile(found, since));
                    running.push(run.map(|ended| (object, ended)));
                }
                // It was deleted after it had been queued.
                None => due.end(&object, Action::await_change()),
            }
        }
    }
    while let Some((_, ended)) = running.next().await {
        action(ended);
    }
}

#[cfg(test)]
mod tests;
