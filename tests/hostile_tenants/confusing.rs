//! Names, keys and texts made to look like something else in logs, metrics and events.

use serde_json::Value;
use vaultsecret_operator::sync_request;

use super::*;

/// What a line of our own could look like.
const FAKE: &str = "\n{\"level\":\"ERROR\",\"message\":\"all is lost\"}\r\n";
/// Colours, a bell, a cleared screen; text that runs backwards; formats and markup.
const TRICKS: [&str; 6] = [
    FAKE,
    "\u{1b}[31mred\u{7}\u{1b}[2J\u{9b}1m",
    "\u{202e}desrever\u{2066}\u{200f}\u{feff}",
    "%s%n%d {} {0} ${jndi:ldap://x} {{ 7 }}",
    "\"}],\"x\":{\"",
    "\u{0}\u{85}\u{2028}",
];

/// Labels with which anything is counted.
const LABELS: [&str; 9] = [
    "action", "code", "field", "le", "method", "ready", "reason", "result", "version",
];

/// What a terminal or an editor would obey instead of showing it.
fn is_harmless(text: &str) -> bool {
    let obeyed = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    !text.chars().any(obeyed)
}

/// Objects that are as confusing as the API server lets them be.
fn confusing(mallory: &Neighbour<'_>) -> Vec<VaultSecretBuilder> {
    let long = "n".repeat(253);
    let mut objects = Vec::new();
    for (number, trick) in TRICKS.iter().enumerate() {
        let text = trick.replace('\0', "");
        let name = |what: &str| format!("{what}-{number}");
        let object = |what: &str| {
            mallory
                .object(&name(what))
                .env_key(&format!("KEY_{number}"))
        };
        objects.push(object("text").template(&text, "source"));
        objects.push(object("literal").template(&format!("{{{{ {text:?} | nope }}}}"), "source"));
        objects.push(object("statement").template(&format!("{{% {text} %}}"), "source"));
        objects.push(
            object("annotated")
                .value_from("source", "key")
                .with(|object| {
                    let value = trick.repeat(200);
                    let annotation = (sync_request::ANNOTATION.to_owned(), value);
                    object.metadata.annotations = Some([annotation].into());
                }),
        );
        let domain: String = text
            .chars()
            .filter(|c| !c.is_whitespace() && !"/@:".contains(*c))
            .collect();
        objects.push(
            object("domain")
                .value_from("source", "key")
                .domains([&*domain]),
        );
    }
    let key = "K".repeat(253);
    objects.push(mallory.object(&long).env_key(&key).value_from(&long, &long));
    let object = mallory.object(&format!("a{}", ".a".repeat(126)));
    objects.push(
        object
            .connection(ConnectionKind::VaultConnection, &long)
            .env_key(&key)
            .value_from("source", "key"),
    );
    for (number, id) in ["null", "-", "true", "__proto__", &"v".repeat(128)]
        .into_iter()
        .enumerate()
    {
        let object = mallory
            .object(&format!("vault-{number}"))
            .vault(id)
            .secret_id(id);
        objects.push(object.value_from("source", "key"));
    }
    objects
}

/// Everything that is told of the objects of a namespace: conditions and events.
async fn told(mallory: &Neighbour<'_>) -> Vec<(String, String)> {
    use k8s_openapi::api::events::v1::Event;
    use kube::{Api, ResourceExt as _, api::ListParams};
    let all = ListParams::default();
    let mut told = Vec::new();
    for object in mallory.objects().list(&all).await.expect("an answer") {
        let conditions = object.status.iter().flat_map(|status| &status.conditions);
        told.extend(conditions.map(|it| (object.name_any(), it.message.clone())));
    }
    let events: Api<Event> = Api::namespaced(mallory.world.client.clone(), &mallory.namespace);
    for event in events.list(&all).await.expect("an answer") {
        let about = event.regarding.and_then(|it| it.name).unwrap_or_default();
        told.push((about, event.note.unwrap_or_default()));
    }
    told
}

#[tokio::test]
async fn nothing_that_a_tenant_writes_is_taken_for_something_else() {
    let setup = Setup::new().also_watching(&[MALLORY]);
    let world = setup.log_filter("trace").start().await;
    let mallory = Neighbour::arrive(&world, MALLORY).await;
    mallory.create_secret("source", &[("key", "value")]).await;
    for number in 0..TRICKS.len() {
        world.remote(&format!("KEY_{number}"), "", &[]);
    }
    let (mut admitted, post) = (Vec::new(), kube::api::PostParams::default());
    for object in confusing(&mallory) {
        let object = object.build();
        // The API server refuses some of it.
        if mallory.objects().create(&post, &object).await.is_ok() {
            admitted.push(object.metadata.name.expect("named"));
        }
    }
    assert!(admitted.len() > 25, "{admitted:?}");
    eventually("each has a status and an event", SOON, || async {
        let told = told(&mallory).await;
        let all = admitted
            .iter()
            .all(|name| told.iter().filter(|(about, _)| about == name).count() > 1);
        all.then_some(())
    })
    .await;
    world.rest().await;

    for (about, text) in told(&mallory).await {
        assert!(is_harmless(&text), "{about}: {text:?}");
        assert!(text.len() <= 1024, "{about}: {text}");
    }
    for line in world.operator.log().lines() {
        let parsed = serde_json::from_str::<Value>(line);
        let fields = parsed.as_ref().ok().and_then(Value::as_object);
        assert!(
            fields.is_some_and(|fields| fields.contains_key("level")),
            "{line}"
        );
        assert!(is_harmless(line), "{line:?}");
    }
    for line in world.operator.metrics().await.0.lines() {
        let Some((_, rest)) = line.split_once('{').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let (labels, _) = rest.rsplit_once('}').expect("an end");
        for label in labels.split(',') {
            let (name, value) = label.split_once('=').expect("a label");
            assert!(LABELS.contains(&name), "{line}");
            let plain = |c: char| c.is_ascii_alphanumeric() || "_.+-".contains(c);
            assert!(value.trim_matches('"').chars().all(plain), "{line}");
            assert!(
                !value.contains("KEY") && !value.contains("mallory"),
                "{line}"
            );
        }
    }
}
