//! From the raw events of watchers to a store and plain changes.
//!
//! kube's own store swaps its content at the end of a relist, after its events went out; here a relist is
//! turned into the changes it amounts to, so that whoever is woken by a change finds it in the store. It
//! also merges the watchers of several namespaces into one store.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    fmt::Debug,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt as _, stream::BoxStream};
use kube::{
    Resource,
    core::{DeserializeGuard, ObjectMeta},
};
use kube_runtime::{
    WatchStreamExt as _,
    reflector::{ObjectRef, store::Writer},
    watcher::{self, Event},
};
use tokio::sync::mpsc;
use tracing::warn;

use crate::source::brief;

/// For how long a list is refused before that is taken for an answer. An API server that has just begun refuses what
/// it grants a moment later.
const REFUSED: Duration = Duration::from_secs(10);

/// What happened to one object. The store shows it already.
#[derive(Debug)]
pub enum Change<'a, K> {
    /// It is there, or is another than before.
    Applied {
        /// As it was, if it was there.
        old: Option<&'a K>,
        /// As it is.
        new: &'a K,
    },
    /// It is gone.
    Deleted(&'a K),
}

/// Held while a store is not filled, or not everybody was told of what is in it.
pub type Unfilled = mpsc::Sender<Infallible>;

/// One watcher of a kind.
pub struct Source<K: Resource<DynamicType = ()> + 'static> {
    /// The namespace it sees; `None` for all.
    pub scope: Option<String>,
    /// Its events.
    pub events: BoxStream<'static, Seen<K>>,
}

/// One event of a watcher, of objects that parse.
#[derive(Debug)]
pub enum Seen<K: Resource<DynamicType = ()> + 'static> {
    /// A list begins.
    ListBegins,
    /// A list is complete.
    ListEnds,
    /// An object, from a list or a watch.
    Object(K),
    /// An object that is gone, or that can't be read any more.
    Gone(ObjectRef<K>),
    /// The operator may not list (RBAC), and that has lasted.
    Refused,
}

/// The events of `watcher`, retried with its own delays, failures logged.
pub fn events<K>(
    watcher: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
) -> BoxStream<'static, Seen<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + 'static,
{
    retried(watcher)
        .map(move |event| match event {
            Some(Event::Init) => Seen::ListBegins,
            Some(Event::InitDone) => Seen::ListEnds,
            Some(Event::InitApply(object) | Event::Apply(object)) => Seen::Object(object),
            Some(Event::Delete(object)) => Seen::Gone(ObjectRef::from_obj(&object)),
            None => Seen::Refused,
        })
        .boxed()
}

/// The same for a kind whose objects may not parse: those are told to `invalid`, and count as gone.
pub fn guarded_events<K>(
    watcher: impl Stream<Item = watcher::Result<Event<DeserializeGuard<K>>>> + Send + 'static,
    invalid: impl Fn(&kube::core::error_boundary::InvalidObject) + Send + 'static,
) -> BoxStream<'static, Seen<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + 'static,
{
    let seen = move |DeserializeGuard(object): DeserializeGuard<K>| {
        object.map_or_else(
            |object| {
                invalid(&object);
                Seen::Gone(reference(object.metadata))
            },
            Seen::Object,
        )
    };
    retried(watcher)
        .map(move |event| match event {
            Some(Event::Init) => Seen::ListBegins,
            Some(Event::InitDone) => Seen::ListEnds,
            Some(Event::InitApply(object) | Event::Apply(object)) => seen(object),
            Some(Event::Delete(mut object)) => {
                Seen::Gone(reference(std::mem::take(object.meta_mut())))
            }
            None => Seen::Refused,
        })
        .boxed()
}

fn reference<K: Resource<DynamicType = ()>>(metadata: ObjectMeta) -> ObjectRef<K> {
    let mut reference = ObjectRef::new(metadata.name.as_deref().unwrap_or_default());
    reference.namespace = metadata.namespace;
    reference
}

/// The events; none for a list that has been refused for a while.
fn retried<K>(
    watcher: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
) -> impl Stream<Item = Option<Event<K>>>
where
    K: Resource<DynamicType = ()> + Send + 'static,
{
    let mut refused: Option<Instant> = None;
    watcher.default_backoff().filter_map(move |event| {
        let seen = match event {
            Ok(event) => {
                // One that begins may be refused again.
                if !matches!(event, Event::Init) {
                    refused = None;
                }
                Some(Some(event))
            }
            Err(error) => {
                tell::<K>(&error);
                let lasts = is_refusal(&error)
                    && refused.get_or_insert_with(Instant::now).elapsed() >= REFUSED;
                lasts.then_some(None)
            }
        };
        std::future::ready(seen)
    })
}

fn is_refusal(error: &watcher::Error) -> bool {
    let watcher::Error::InitialListFailed(kube::Error::Api(status)) = error else {
        return false;
    };
    status.code == 403
}

fn tell<K: Resource<DynamicType = ()>>(error: &watcher::Error) {
    let kind = K::kind(&());
    let error = match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => brief(error),
        watcher::Error::WatchError(status) => format!("HTTP {}", status.code),
        watcher::Error::NoResourceVersion => "the list has no resourceVersion".to_owned(),
    };
    warn!(%kind, error, "a watch broke; it is started again");
}

/// Fills the store of `writer` from `sources`, and tells `changed` of each change once the store shows it.
///
/// The store counts as ready when all sources were listed once; `unfilled` is dropped when `changed` was told of all
/// that was in it, too. A namespace whose list is refused counts as empty then: one that is gone, or whose administrator
/// took the operator's rights away, must not hold up the others.
pub async fn feed<K>(
    sources: Vec<Source<K>>,
    mut writer: Writer<K>,
    mut changed: impl FnMut(&Change<'_, K>),
    unfilled: Unfilled,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    let mut unfilled = Some(unfilled);
    let store = writer.as_reader();
    let (scopes, streams): (Vec<_>, Vec<_>) = sources
        .into_iter()
        .map(|source| (source.scope, source.events))
        .unzip();
    // Until every source was listed, what they show is only collected.
    let mut initial = Some(vec![Listing::default(); scopes.len()]);
    let mut relists: Vec<Option<HashSet<ObjectRef<K>>>> = vec![None; scopes.len()];
    let numbered = streams
        .into_iter()
        .enumerate()
        .map(|(source, events)| events.map(move |event| (source, event)));
    let mut events = futures::stream::select_all(numbered);

    while let Some((source, event)) = events.next().await {
        if matches!(event, Seen::Refused) {
            let Some(namespace) = scopes[source].as_deref().filter(|_| initial.is_some()) else {
                continue;
            };
            let kind = K::kind(&());
            warn!(%kind, namespace, "may not list these in this namespace (RBAC); going on without them");
        }
        if let Some(listings) = &mut initial {
            listings[source].take(event);
            if listings.iter().all(|listing| listing.complete) {
                let objects: Vec<_> = initial
                    .take()
                    .into_iter()
                    .flatten()
                    .flat_map(|listing| listing.objects.into_values())
                    .collect();
                writer.apply_watcher_event(&Event::Init);
                for object in objects {
                    writer.apply_watcher_event(&Event::InitApply(object));
                }
                writer.apply_watcher_event(&Event::InitDone);
                for object in store.state() {
                    changed(&Change::Applied {
                        old: None,
                        new: &object,
                    });
                }
                unfilled.take();
            }
            continue;
        }
        match event {
            Seen::ListBegins => relists[source] = Some(HashSet::new()),
            Seen::Object(object) => {
                let key = ObjectRef::from_obj(&object);
                let old = store.get(&key);
                let event = Event::Apply(object);
                writer.apply_watcher_event(&event);
                if let Event::Apply(new) = &event {
                    changed(&Change::Applied {
                        old: old.as_deref(),
                        new,
                    });
                }
                if let Some(listed) = &mut relists[source] {
                    listed.insert(key);
                }
            }
            Seen::Gone(key) => remove(&mut writer, store.get(&key), &mut changed),
            Seen::Refused => {}
            Seen::ListEnds => {
                let listed = relists[source].take().unwrap_or_default();
                let scope = scopes[source].as_deref();
                for object in store.state_filter(|object| in_scope(object, scope)) {
                    if !listed.contains(&ObjectRef::from_obj(&*object)) {
                        remove(&mut writer, Some(object), &mut changed);
                    }
                }
            }
        }
    }
}

fn remove<K>(
    writer: &mut Writer<K>,
    object: Option<Arc<K>>,
    changed: &mut impl FnMut(&Change<'_, K>),
) where
    K: Resource<DynamicType = ()> + Clone + Debug + 'static,
{
    let Some(object) = object else { return };
    writer.apply_watcher_event(&Event::Delete((*object).clone()));
    changed(&Change::Deleted(&object));
}

/// Whether a source of that scope sees the object; of cluster-wide kinds it sees the one of that name.
fn in_scope<K: Resource>(object: &K, scope: Option<&str>) -> bool {
    let meta = object.meta();
    scope.is_none_or(|scope| meta.namespace.as_deref().or(meta.name.as_deref()) == Some(scope))
}

/// What one source showed before all were complete.
#[derive(Clone)]
struct Listing<K: Resource<DynamicType = ()> + 'static> {
    objects: HashMap<ObjectRef<K>, K>,
    complete: bool,
}

impl<K: Resource<DynamicType = ()>> Default for Listing<K> {
    fn default() -> Self {
        Self {
            objects: HashMap::new(),
            complete: false,
        }
    }
}

impl<K: Resource<DynamicType = ()>> Listing<K> {
    fn take(&mut self, event: Seen<K>) {
        match event {
            Seen::ListBegins => *self = Self::default(),
            Seen::ListEnds => self.complete = true,
            Seen::Refused => {
                *self = Self {
                    complete: true,
                    ..Self::default()
                }
            }
            Seen::Object(object) => {
                self.objects.insert(ObjectRef::from_obj(&object), object);
            }
            Seen::Gone(key) => {
                self.objects.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
