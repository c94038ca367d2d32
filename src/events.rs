//! Kubernetes events: on transitions, never for an ordinary PATCH.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use kube_runtime::events::EventType;
use parking_lot::Mutex;
use serde_json::json;
use tracing::{Instrument as _, debug, warn};

use crate::{lease::Fence, source::brief, spans};

mod series;

use series::{Published, Same, Series};

/// The greatest length of a note (events.k8s.io/v1).
const NOTE_BYTES: usize = 1024;

/// How much of its object's name an event's own name holds: with the time behind it that has to be a name.
const NAME_BYTES: usize = 200;

const CONTROLLER: &str = "vaultsecret-operator";

/// Publishes events. What can't be published is logged and let go: an event is never worth a retry.
#[derive(Clone)]
pub struct Events {
    client: Client,
    replica: String,
    fence: Fence,
    limit: Duration,
    series: Arc<Mutex<Series>>,
}

impl Events {
    /// Events in the name of this replica; each publish passes `fence` and is given up after `limit`.
    #[must_use]
    pub fn new(client: Client, replica: &str, fence: Fence, limit: Duration) -> Self {
        Self {
            client,
            replica: replica.to_owned(),
            fence,
            limit,
            series: Arc::default(),
        }
    }

    /// Publishes one event about `object`, or counts it as a repetition of one that said the same.
    pub async fn publish(
        &self,
        object: ObjectReference,
        type_: EventType,
        reason: &str,
        action: &str,
        note: &str,
    ) {
        let note = &note[..note.floor_char_boundary(NOTE_BYTES)];
        let same = Same {
            uid: object.uid.clone().unwrap_or_default(),
            reason: reason.to_owned(),
            note: note.to_owned(),
        };
        let (namespace, name) = (object.namespace.clone(), object.name.clone());
        let object_name = name.as_deref().unwrap_or_default();
        let span = spans::kubernetes("POST", "Event", namespace.as_deref(), object_name);
        let publish = self.send(object, type_, action, same).instrument(span);
        let failure = match self.fence.bounded(self.limit, publish).await {
            Ok(Ok(())) => return,
            // Once for each of its objects: nobody could do anything about it.
            Ok(Err(error)) if is_of_a_namespace_that_goes(&error) => {
                debug!(
                    namespace,
                    name, reason, "its namespace takes no event any more"
                );
                return;
            }
            Ok(Err(error)) => brief(&error),
            Err(_) => "it did not answer in time".to_owned(),
        };
        warn!(
            namespace,
            name,
            reason,
            error = failure,
            "could not publish an event"
        );
    }

    async fn send(
        &self,
        object: ObjectReference,
        type_: EventType,
        action: &str,
        same: Same,
    ) -> Result<(), kube::Error> {
        let namespace = object.namespace.as_deref().unwrap_or("default");
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let time = MicroTime(Timestamp::now());
        let before = self.series.lock().find(&same, Instant::now());
        let counted = match before {
            Some(event) => count(&api, event, &time).await?,
            None => None,
        };
        let event = if let Some(event) = counted {
            event
        } else {
            let event = self.event(object, type_, action, &same, time);
            let created = api.create(&PostParams::default(), &event).await?;
            let name = created.metadata.name.unwrap_or_default();
            Published { name, count: 1 }
        };
        self.series.lock().note(same, event, Instant::now());
        Ok(())
    }

    fn event(
        &self,
        object: ObjectReference,
        type_: EventType,
        action: &str,
        same: &Same,
        time: MicroTime,
    ) -> Event {
        let type_ = match type_ {
            EventType::Normal => "Normal",
            EventType::Warning => "Warning",
        };
        Event {
            metadata: ObjectMeta {
                name: Some(name(object.name.as_deref().unwrap_or_default(), &time)),
                namespace: object.namespace.clone(),
                ..ObjectMeta::default()
            },
            action: Some(action.to_owned()),
            event_time: Some(time),
            note: Some(same.note.clone()),
            reason: Some(same.reason.clone()),
            regarding: Some(object),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.replica.clone()),
            type_: Some(type_.to_owned()),
            ..Event::default()
        }
    }
}

/// Counts one more of `event`; None if that is gone.
async fn count(
    api: &Api<Event>,
    event: Published,
    time: &MicroTime,
) -> Result<Option<Published>, kube::Error> {
    let Published { name, count } = event;
    let count = count.saturating_add(1);
    let change = json!({"series": {"count": count, "lastObservedTime": time}});
    match api
        .patch(&name, &PatchParams::default(), &Patch::Merge(&change))
        .await
    {
        Ok(_) => Ok(Some(Published { name, count })),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// A name for an event about the object of that name, at that time.
fn name(of: &str, time: &MicroTime) -> String {
    let of = of[..of.floor_char_boundary(NAME_BYTES)].trim_end_matches(['-', '.']);
    format!("{of}.{:x}", time.0.as_nanosecond())
}

/// A namespace that is being deleted admits nothing new; one that is gone is not found.
fn is_of_a_namespace_that_goes(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else {
        return false;
    };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.is_not_found()
        || causes
            .into_iter()
            .any(|cause| cause.reason == "NamespaceTerminating")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_events_name_is_a_name_however_long_its_object_s_is() {
        let time = MicroTime(Timestamp::UNIX_EPOCH);
        assert_eq!(name("token", &time), "token.0");
        let long = format!("{}-{}", "a".repeat(NAME_BYTES - 1), "b".repeat(53));
        assert_eq!(
            name(&long, &time),
            format!("{}.0", "a".repeat(NAME_BYTES - 1))
        );
    }
}
