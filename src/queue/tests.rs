use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::ObjectMeta;
use kube_runtime::{reflector::store::Writer, watcher::Event};
use tokio::sync::{Notify, mpsc as tasks, oneshot};

use super::*;

type Ref = ObjectRef<ConfigMap>;

fn object(name: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.into()),
            namespace: Some("ns".into()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    }
}

fn reference(name: &str) -> Ref {
    ObjectRef::new(name).within("ns")
}

fn store(names: &[&str]) -> (Writer<ConfigMap>, Store<ConfigMap>) {
    let mut writer = Writer::default();
    writer.apply_watcher_event(&Event::Init);
    for name in names {
        writer.apply_watcher_event(&Event::InitApply(object(name)));
    }
    writer.apply_watcher_event(&Event::InitDone);
    let store = writer.as_reader();
    (writer, store)
}

fn name(object: &ConfigMap) -> String {
    object.metadata.name.clone().unwrap_or_default()
}

/// A queue being drained: what ran, and the way to end it.
struct Running {
    queue: Queue<ConfigMap>,
    end: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
    panics: Arc<AtomicUsize>,
}

fn run<F>(
    names: &[&str],
    concurrency: u16,
    reconcile: impl Fn(Arc<ConfigMap>, Instant) -> F + Send + Sync + 'static,
) -> Running
where
    F: Future<Output = Action> + Send + 'static,
{
    let (queue, due) = Queue::new(concurrency);
    let (end, ended) = oneshot::channel::<()>();
    let (_writer, store) = store(names);
    let panics = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&panics);
    let task = tokio::spawn(async move {
        let panicked = || {
            counted.fetch_add(1, Ordering::Relaxed);
        };
        let end = ended.map(drop);
        drain(due, store, end, reconcile, panicked).await;
    });
    Running {
        queue,
        end,
        task,
        panics,
    }
}

impl Running {
    async fn end(self) {
        self.end.send(()).expect("still running");
        tokio::time::timeout(Duration::from_secs(5), self.task)
            .await
            .expect("the end is not delayed")
            .expect("no panic");
    }
}

#[tokio::test]
async fn an_object_that_is_woken_often_runs_once_and_again_if_woken_meanwhile() {
    let (started, mut starts) = tasks::unbounded_channel();
    let go = Arc::new(Notify::new());
    let gate = Arc::clone(&go);
    let running = run(&["a"], 8, move |object, _| {
        let (started, go) = (started.clone(), Arc::clone(&gate));
        async move {
            started.send(name(&object)).expect("the test listens");
            go.notified().await;
            Action::await_change()
        }
    });
    for _ in 0..5 {
        running.queue.wake(reference("a"));
    }
    assert_eq!(starts.recv().await.as_deref(), Some("a"));
    // Messages sent before it began are gone with it; those sent now are not.
    tokio::time::sleep(Duration::from_millis(50)).await;
    for _ in 0..5 {
        running.queue.wake(reference("a"));
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(starts.try_recv().is_err(), "never twice at a time");
    go.notify_one();
    assert_eq!(starts.recv().await.as_deref(), Some("a"));
    go.notify_one();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(starts.try_recv().is_err());
    assert_eq!(running.queue.depth(), 0);
    running.end().await;
}

#[tokio::test]
async fn a_pass_is_told_since_when_its_object_was_due() {
    let (told, mut since) = tasks::unbounded_channel();
    let running = run(&["a"], 1, move |_, since| {
        told.send(since).expect("the test listens");
        async { Action::await_change() }
    });
    let before = Instant::now();
    running.queue.keep(&reference("a"), before);
    running.queue.wake(reference("a"));
    assert_eq!(since.recv().await, Some(before), "what was kept counts");
    running.queue.wake(reference("a"));
    assert!(since.recv().await > Some(before));
    running.end().await;
}

#[tokio::test]
async fn an_object_that_is_gone_leaves_nothing_in_the_queue() {
    let running = run(&["a"], 1, |_, _| async { Action::await_change() });
    running.queue.wake(reference("gone"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(running.queue.depth(), 0);
    running.end().await;
}

#[tokio::test]
async fn a_panic_stays_with_its_object() {
    let (done, mut ran) = tasks::unbounded_channel();
    let running = run(&["bad", "good"], 1, move |object, _| {
        let done = done.clone();
        async move {
            assert_ne!(name(&object), "bad", "on purpose");
            done.send(name(&object)).expect("the test listens");
            Action::await_change()
        }
    });
    running.queue.wake(reference("bad"));
    running.queue.wake(reference("good"));
    assert_eq!(ran.recv().await.as_deref(), Some("good"));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(running.panics.load(Ordering::Relaxed), 1);
    running.end().await;
}

#[tokio::test]
async fn the_end_waits_for_what_runs_and_for_nothing_else() {
    let finished = Arc::new(AtomicBool::new(false));
    let runs = Arc::new(AtomicUsize::new(0));
    let (started, mut starts) = tasks::unbounded_channel();
    let (done, count) = (Arc::clone(&finished), Arc::clone(&runs));
    let running = run(&["now", "later", "waits"], 1, move |object, _| {
        count.fetch_add(1, Ordering::Relaxed);
        let (done, started) = (Arc::clone(&done), started.clone());
        async move {
            if name(&object) == "later" {
                started.send(()).expect("the test listens");
                return Action::requeue(Duration::from_hours(1));
            }
            started.send(()).expect("the test listens");
            tokio::time::sleep(Duration::from_millis(300)).await;
            done.store(true, Ordering::Relaxed);
            Action::requeue(Duration::from_millis(1))
        }
    });
    running.queue.wake(reference("later"));
    starts.recv().await.expect("it runs");
    running.queue.wake(reference("now"));
    starts.recv().await.expect("it runs");
    running.queue.wake(reference("waits"));
    tokio::time::sleep(Duration::from_millis(50)).await;
    running.end().await;
    assert!(finished.load(Ordering::Relaxed), "what runs is finished");
    assert_eq!(runs.load(Ordering::Relaxed), 2, "what waits is not begun");
}

#[tokio::test]
async fn the_time_an_object_asked_for_brings_it_back() {
    let (started, mut starts) = tasks::unbounded_channel();
    let running = run(&["a"], 1, move |_, since| {
        started.send(since).expect("the test listens");
        async { Action::requeue(Duration::from_millis(30)) }
    });
    running.queue.wake(reference("a"));
    let first = starts.recv().await.expect("it runs");
    let second = starts.recv().await.expect("it runs again");
    assert!(second - first >= Duration::from_millis(30));
    running.end().await;
}
