use futures::{SinkExt as _, channel::mpsc, stream};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::error_boundary::InvalidObject;
use kube_runtime::reflector::Store;
use parking_lot::Mutex;

use super::*;

type Sender = mpsc::UnboundedSender<Seen<ConfigMap>>;

fn object(namespace: &str, name: &str, version: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.into()),
            namespace: Some(namespace.into()),
            resource_version: Some(version.into()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    }
}

fn seen(namespace: &str, name: &str, version: &str) -> Seen<ConfigMap> {
    Seen::Object(object(namespace, name, version))
}

fn version(object: &ConfigMap) -> String {
    object.metadata.resource_version.clone().unwrap_or_default()
}

/// A feed of hand-made sources.
struct Fed {
    sources: Vec<Sender>,
    store: Store<ConfigMap>,
    changes: Arc<Mutex<Vec<String>>>,
    filled: tokio::sync::mpsc::Receiver<Infallible>,
}

/// Starts a feed; each change is noted as `+name version<old`, `-name`, after a look at the store.
fn fed(scopes: &[Option<&str>]) -> Fed {
    let writer = Writer::default();
    let store = writer.as_reader();
    let changes = Arc::new(Mutex::new(Vec::new()));
    let mut senders = Vec::new();
    let mut sources = Vec::new();
    for scope in scopes {
        let (sender, events) = mpsc::unbounded();
        senders.push(sender);
        sources.push(Source {
            scope: scope.map(str::to_owned),
            events: events.boxed(),
        });
    }
    let (noted, shown) = (Arc::clone(&changes), store.clone());
    let (unfilled, filled) = tokio::sync::mpsc::channel(1);
    let tell = move |change: &Change<'_, ConfigMap>| {
        let note = match change {
            Change::Applied { old, new } => {
                let there = shown.get(&ObjectRef::from_obj(*new)).expect("in the store");
                assert_eq!(version(&there), version(new));
                let old = old.map_or_else(String::new, |old| format!("<{}", version(old)));
                format!("+{}{}{old}", ObjectRef::from_obj(*new).name, version(new))
            }
            Change::Deleted(object) => {
                let key = ObjectRef::from_obj(*object);
                assert!(shown.get(&key).is_none(), "still in the store");
                format!("-{}", key.name)
            }
        };
        noted.lock().push(note);
    };
    tokio::spawn(feed(sources, writer, tell, unfilled));
    Fed {
        sources: senders,
        store,
        changes,
        filled,
    }
}

impl Fed {
    async fn send(&mut self, source: usize, events: Vec<Seen<ConfigMap>>) {
        for event in events {
            self.sources[source]
                .send(event)
                .await
                .expect("the feed listens");
        }
        tokio::task::yield_now().await;
    }

    /// What changed since the last call, sorted where the order is nobody's business.
    async fn changes(&self) -> Vec<String> {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        let mut changes = std::mem::take(&mut *self.changes.lock());
        changes.sort();
        changes
    }

    fn is_ready(&self) -> bool {
        let ready = futures::FutureExt::now_or_never(self.store.wait_until_ready()).is_some();
        assert_eq!(self.filled.is_closed(), ready, "everybody is told by then");
        ready
    }
}

#[tokio::test]
async fn it_is_ready_when_all_sources_were_listed_and_says_nothing_before() {
    let mut fed = fed(&[Some("one"), Some("two")]);
    fed.send(
        0,
        vec![
            Seen::ListBegins,
            seen("one", "a", "1"),
            Seen::ListEnds,
            seen("one", "a", "2"),
        ],
    )
    .await;
    assert_eq!(fed.changes().await, [""; 0]);
    assert!(!fed.is_ready() && fed.store.is_empty());
    // A list that breaks begins anew.
    fed.send(
        1,
        vec![
            Seen::ListBegins,
            seen("two", "x", "1"),
            Seen::ListBegins,
            seen("two", "b", "3"),
        ],
    )
    .await;
    // A source that has to list again before all are complete is not complete any more.
    fed.send(0, vec![Seen::ListBegins]).await;
    fed.send(1, vec![Seen::ListEnds]).await;
    assert!(!fed.is_ready());
    fed.send(
        0,
        vec![
            seen("one", "a", "4"),
            Seen::Gone(ObjectRef::new("none").within("one")),
            Seen::ListEnds,
        ],
    )
    .await;
    assert_eq!(fed.changes().await, ["+a4", "+b3"]);
    assert!(fed.is_ready());
    assert_eq!(fed.store.len(), 2);
}

#[tokio::test]
async fn a_namespace_that_may_not_be_listed_holds_nobody_up() {
    let mut fed = fed(&[Some("one"), Some("two")]);
    let listed = vec![Seen::ListBegins, seen("one", "a", "1"), Seen::ListEnds];
    fed.send(0, listed).await;
    let broken_off = vec![Seen::ListBegins, seen("two", "b", "1"), Seen::Refused];
    fed.send(1, broken_off).await;
    assert_eq!(fed.changes().await, ["+a1"]);
    assert!(fed.is_ready());
    // Refused again: nothing new. Then it may.
    fed.send(1, vec![Seen::ListBegins, Seen::Refused]).await;
    assert_eq!(fed.changes().await, [""; 0]);
    let listed = vec![Seen::ListBegins, seen("two", "b", "2"), Seen::ListEnds];
    fed.send(1, listed).await;
    assert_eq!(fed.changes().await, ["+b2"]);
}

#[tokio::test]
async fn the_whole_cluster_has_to_be_listed() {
    let mut fed = fed(&[None]);
    fed.send(0, vec![Seen::ListBegins, Seen::Refused]).await;
    assert_eq!(fed.changes().await, [""; 0]);
    assert!(!fed.is_ready());
}

#[tokio::test]
async fn an_empty_world_is_ready_too() {
    let mut fed = fed(&[None]);
    fed.send(0, vec![Seen::ListBegins, Seen::ListEnds]).await;
    assert_eq!(fed.changes().await, [""; 0]);
    assert!(fed.is_ready());
}

#[tokio::test]
async fn a_relist_amounts_to_its_changes() {
    let mut fed = fed(&[None]);
    let first = ["a", "b", "c"].map(|name| seen("ns", name, "1"));
    let events = [Seen::ListBegins]
        .into_iter()
        .chain(first)
        .chain([Seen::ListEnds]);
    fed.send(0, events.collect()).await;
    fed.changes().await;

    fed.send(
        0,
        vec![Seen::ListBegins, seen("ns", "a", "1"), seen("ns", "b", "5")],
    )
    .await;
    assert_eq!(fed.changes().await, ["+a1<1", "+b5<1"]);
    assert!(
        fed.store.get(&ObjectRef::new("c").within("ns")).is_some(),
        "nothing goes before the end"
    );
    fed.send(0, vec![seen("ns", "d", "6"), Seen::ListEnds])
        .await;
    assert_eq!(fed.changes().await, ["+d6", "-c"]);

    // One that broke off says nothing of what it had not come to.
    fed.send(
        0,
        vec![Seen::ListBegins, seen("ns", "a", "7"), Seen::ListBegins],
    )
    .await;
    fed.send(
        0,
        vec![seen("ns", "b", "5"), seen("ns", "d", "6"), Seen::ListEnds],
    )
    .await;
    assert_eq!(fed.changes().await, ["+a7<1", "+b5<5", "+d6<6", "-a"]);
}

#[tokio::test]
async fn a_relist_of_one_scope_leaves_the_others_alone() {
    let mut fed = fed(&[Some("one"), Some("two")]);
    for (source, namespace) in [(0, "one"), (1, "two")] {
        fed.send(
            source,
            vec![Seen::ListBegins, seen(namespace, "a", "1"), Seen::ListEnds],
        )
        .await;
    }
    fed.changes().await;
    fed.send(0, vec![Seen::ListBegins, Seen::ListEnds]).await;
    assert_eq!(fed.changes().await, ["-a"]);
    let left: Vec<_> = fed
        .store
        .state()
        .iter()
        .map(|o| o.metadata.namespace.clone())
        .collect();
    assert_eq!(left, [Some("two".to_owned())]);
}

#[tokio::test]
async fn watch_events_carry_what_was_before() {
    let mut fed = fed(&[None]);
    fed.send(
        0,
        vec![Seen::ListBegins, Seen::ListEnds, seen("ns", "a", "1")],
    )
    .await;
    fed.send(
        0,
        vec![
            seen("ns", "a", "2"),
            Seen::Gone(ObjectRef::new("a").within("ns")),
        ],
    )
    .await;
    fed.send(0, vec![Seen::Gone(ObjectRef::new("a").within("ns"))])
        .await;
    assert_eq!(fed.changes().await, ["+a1", "+a2<1", "-a"]);
}

#[tokio::test]
async fn an_object_that_stops_parsing_counts_as_gone() {
    let bad = |name: &str| {
        DeserializeGuard::<ConfigMap>(Err(InvalidObject {
            error: "no".into(),
            metadata: object("ns", name, "2").metadata,
        }))
    };
    let good = |name: &str| DeserializeGuard(Ok(object("ns", name, "1")));
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    let events = [
        Event::Init,
        Event::InitApply(good("a")),
        Event::InitApply(bad("b")),
        Event::InitDone,
        Event::Apply(bad("a")),
        Event::Delete(bad("c")),
    ];
    let seen = guarded_events(stream::iter(events.map(Ok)), move |object| {
        telling
            .lock()
            .push(object.metadata.name.clone().unwrap_or_default());
    });
    let kinds: Vec<_> = seen
        .map(|seen| match seen {
            Seen::ListBegins => "begins".to_owned(),
            Seen::ListEnds => "ends".to_owned(),
            Seen::Object(object) => format!("+{}", object.metadata.name.unwrap_or_default()),
            Seen::Gone(key) => format!("-{}/{}", key.namespace.unwrap_or_default(), key.name),
            Seen::Refused => "refused".to_owned(),
        })
        .collect()
        .await;
    assert_eq!(kinds, ["begins", "+a", "-ns/b", "ends", "-ns/a", "-ns/c"]);
    assert_eq!(*told.lock(), ["b", "a"], "who goes needs no telling");
}
