//! Kubernetes events: on transitions, never for an ordinary PATCH.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube_runtime::events::{Event, EventType, Recorder, Reporter};
use tracing::warn;

use crate::{lease::Fence, source::brief};

/// The greatest length of a note (events.k8s.io/v1).
const NOTE_BYTES: usize = 1024;

/// Publishes events. What can't be published is logged and let go: an event is never worth a retry.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
    fence: Fence,
    limit: Duration,
}

impl Events {
    /// Events in the name of this replica; each publish passes `fence` and is given up after `limit`.
    #[must_use]
    pub fn new(client: Client, replica: &str, fence: Fence, limit: Duration) -> Self {
        let reporter = Reporter {
            controller: "vaultsecret-operator".to_owned(),
            instance: Some(replica.to_owned()),
        };
        Self {
            recorder: Recorder::new(client, reporter),
            fence,
            limit,
        }
    }

    /// Publishes one event about `object`.
    pub async fn publish(
        &self,
        object: ObjectReference,
        type_: EventType,
        reason: &str,
        action: &str,
        note: &str,
    ) {
        let note = note[..note.floor_char_boundary(NOTE_BYTES)].to_owned();
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(note),
            action: action.to_owned(),
            secondary: None,
        };
        let publish = self.recorder.publish(&event, &object);
        let failure = match self.fence.bounded(self.limit, publish).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => brief(&error),
            Err(_) => "it did not answer in time".to_owned(),
        };
        warn!(
            namespace = object.namespace,
            name = object.name,
            reason,
            error = failure,
            "could not publish an event"
        );
    }
}
