//! The way into a reconciler: which objects are due, since when, and the loop that takes them.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt as _, Stream, StreamExt as _, channel::mpsc};
use kube::Resource;
use kube_runtime::{
    applier,
    controller::{Action, Config, Error, ReconcileRequest},
    reflector::{ObjectRef, Store},
};
use parking_lot::Mutex;
use tracing::error;

/// How long an object whose reconcile panicked waits before it is tried again.
const AFTER_PANIC: Duration = Duration::from_secs(30);

/// Hands objects to a reconciler. Cheap to clone.
///
/// An object waits in it at most once; how long it waited starts at the first call that woke it.
#[derive(Debug)]
pub struct Queue<K: Resource<DynamicType = ()> + 'static> {
    due: Arc<Mutex<HashMap<ObjectRef<K>, Instant>>>,
    sender: mpsc::UnboundedSender<ObjectRef<K>>,
}

/// The objects that are due, as they become so.
pub type Due<K> = mpsc::UnboundedReceiver<ObjectRef<K>>;

impl<K: Resource<DynamicType = ()> + 'static> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self {
            due: Arc::clone(&self.due),
            sender: self.sender.clone(),
        }
    }
}

impl<K: Resource<DynamicType = ()> + 'static> Queue<K> {
    /// A queue, and the stream that drains it.
    #[must_use]
    pub fn new() -> (Self, Due<K>) {
        let (sender, receiver) = mpsc::unbounded();
        (
            Self {
                due: Arc::default(),
                sender,
            },
            receiver,
        )
    }

    /// Makes `object` due now.
    pub fn wake(&self, object: ObjectRef<K>) {
        self.due
            .lock()
            .entry(object.clone())
            .or_insert_with(Instant::now);
        // Sent even where it is waiting already: the reconciler may be about to take that entry. Its
        // scheduler keeps one message an object. The receiver is gone only while the process ends.
        let _ = self.sender.unbounded_send(object);
    }

    /// Takes `object` out and says since when it was due (now, if a timer brought it).
    fn take(&self, object: &ObjectRef<K>) -> Instant {
        self.due.lock().remove(object).unwrap_or_else(Instant::now)
    }

    /// Lets `object`, taken and not finished, count as due since `since` when it is woken again.
    pub fn keep(&self, object: &ObjectRef<K>, since: Instant) {
        self.due
            .lock()
            .entry(object.clone())
            .and_modify(|due| *due = since.min(*due))
            .or_insert(since);
    }

    /// Forgets that `object` is due: it is gone.
    pub fn forget(&self, object: &ObjectRef<K>) {
        self.due.lock().remove(object);
    }

    /// How many objects are waiting.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.due.lock().len()
    }
}

/// Takes due objects from `due` and reconciles each, never one object twice at a time, until `due` ends.
/// `reconcile` is told since when the object was due. A panic is caught, reported to `panicked`, and its object
/// retried.
///
/// At the end what runs is finished; what waits, also for its time, is dropped: the next process finds it anew.
pub async fn drain<K, F>(
    queue: Queue<K>,
    due: impl Stream<Item = ObjectRef<K>> + Send,
    store: Store<K>,
    concurrency: u16,
    reconcile: impl Fn(Arc<K>, Instant) -> F,
    panicked: impl Fn(),
) where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + std::fmt::Debug + 'static,
    F: Future<Output = Action> + Send + 'static,
{
    let requests = due.map(|object| Ok::<_, Infallible>(ReconcileRequest::from(object)));
    let run = |object: Arc<K>, _: Arc<()>| {
        // A task of its own: objects are worked on by all threads, and a panic stays inside.
        let since = queue.take(&ObjectRef::from_obj(&*object));
        tokio::spawn(reconcile(object, since)).map(|ended| {
            Ok::<_, Infallible>(ended.unwrap_or_else(|_| {
                panicked();
                error!("a reconcile panicked; it is tried again");
                Action::requeue(AFTER_PANIC)
            }))
        })
    };
    let never = |_: Arc<K>, error: &Infallible, _: Arc<()>| match *error {};
    let config = Config::default().concurrency(concurrency);
    applier(run, never, Arc::new(()), store, requests, config)
        .for_each(|outcome| async {
            match outcome {
                Ok(_) => {}
                Err(Error::ObjectNotFound(object)) => {
                    // It was deleted after it had been queued.
                    let mut reference = ObjectRef::new(&object.name);
                    reference.namespace.clone_from(&object.namespace);
                    queue.forget(&reference);
                }
                Err(error) => error!(%error, "the queue failed"),
            }
        })
        .await;
}

#[cfg(test)]
mod tests;
