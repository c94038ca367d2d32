//! What the operator said in events.

use k8s_openapi::api::events::v1::Event;
use kube::{Api, Client, api::ListParams};

use super::world::World;

impl World {
    /// Reason and note of every event about an object of that name, the oldest first.
    pub async fn events(&self, name: &str) -> Vec<(String, String)> {
        let events = events(&self.client, &self.namespace, name).await;
        let said = |event: Event| {
            [event.reason, event.note]
                .map(Option::unwrap_or_default)
                .into()
        };
        events.into_iter().map(said).collect()
    }
}

/// The events in that namespace about an object of that name, the oldest first.
async fn events(client: &Client, namespace: &str, name: &str) -> Vec<Event> {
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    let listed = api.list(&ListParams::default()).await.expect("events");
    let mut events = listed.items;
    events.retain(|event| {
        let regarding = event.regarding.as_ref();
        regarding.and_then(|object| object.name.as_deref()) == Some(name)
    });
    events.sort_by(|a, b| a.event_time.cmp(&b.event_time));
    events
}

/// The same, each as a line: type, reason and note.
pub async fn event_lines(client: &Client, namespace: &str, name: &str) -> Vec<String> {
    let line = |event: Event| {
        let [type_, reason, note] =
            [event.type_, event.reason, event.note].map(Option::unwrap_or_default);
        format!("{type_} {reason}: {note}")
    };
    let events = events(client, namespace, name).await;
    events.into_iter().map(line).collect()
}
