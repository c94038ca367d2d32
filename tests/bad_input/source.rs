//! The Secret with the value.

use std::time::Instant;

use super::*;

/// A Secret that gives no value.
struct Bad {
    /// Of the object and of the Secret.
    name: &'static str,
    /// What the Secret holds; none: it does not exist.
    data: Option<&'static [(&'static str, &'static [u8])]>,
    says: Trouble,
}

fn all_bad() -> [Bad; 7] {
    let no_key = |name: &str| {
        let message =
            format!("Secret \"{name}\" has no key \"key\": add it, or correct spec.valueFrom.");
        stalled("SourceKeyNotFound", message)
    };
    let invalid = |name: &str, what: &str| {
        stalled(
            "InvalidValue",
            format!("Key \"key\" of Secret \"{name}\" {what}"),
        )
    };
    let nul = "holds a NUL character, which no environment variable can: remove it.";
    [
        Bad {
            name: "missing",
            data: None,
            says: stalled(
                "SourceNotFound",
                "Secret \"missing\" does not exist in this namespace: create it, or correct spec.valueFrom.",
            ),
        },
        Bad {
            name: "without-key",
            data: Some(&[("other", b"unused")]),
            says: no_key("without-key"),
        },
        Bad {
            name: "without-data",
            data: Some(&[]),
            says: no_key("without-data"),
        },
        Bad {
            name: "empty",
            data: Some(&[("key", b"")]),
            says: invalid("empty", "is empty: give it a value."),
        },
        Bad {
            name: "binary",
            data: Some(&[("key", b"canary-\xff\xfe")]),
            says: invalid(
                "binary",
                "is not UTF-8 text: Nairi stores text only, so encode it first (base64, for example).",
            ),
        },
        Bad {
            name: "nul",
            data: Some(&[("key", b"canary-\0-nul")]),
            says: invalid("nul", nul),
        },
        Bad {
            name: "nul-alone",
            data: Some(&[("key", b"\0")]),
            says: invalid("nul-alone", nul),
        },
    ]
}

impl Bad {
    async fn spoil(&self, world: &World) {
        match self.data {
            Some(data) => fill(&world.secrets(), self.name, data).await,
            None => world.delete_secret(self.name).await,
        }
    }

    async fn cure(&self, world: &World, value: &str) {
        let began = Instant::now();
        fill(&world.secrets(), self.name, &[("key", value.as_bytes())]).await;
        cured(world, self.name, began).await;
    }
}

/// What every object's change of `Ready` costs in Kubernetes: the status and an event.
fn status_and_event(all: &[Bad]) -> Vec<String> {
    all.iter()
        .flat_map(|bad| {
            let status = format!("patch vaultsecrets/status {}", bad.name);
            [status, "create events".to_owned()]
        })
        .collect()
}

fn wrote(seen: &Seen, expected: &[String]) {
    let expected: Vec<_> = expected.iter().map(String::as_str).collect();
    seen.wrote_exactly(&expected);
}

#[tokio::test]
async fn nothing_is_sent_until_there_is_a_value() {
    let world = World::start().await;
    let all = all_bad();
    let mark = world.mark().await;
    let mut ids = Vec::new();
    for bad in &all {
        if bad.data.is_some() {
            bad.spoil(&world).await;
        }
        ids.push(declare(&world, bad.name).await);
    }
    for bad in &all {
        let object = says(&world, bad.name, &bad.says).await;
        let status = object.status.expect("it has one");
        assert_eq!(
            status.pending_fields,
            [],
            "what is not there is not pending"
        );
        assert_eq!(status.secret_id, None, "{}", bad.name);
    }
    let seen = world.since(&mark).await;
    assert_eq!(without_lists(&seen), []);
    wrote(&seen, &status_and_event(&all));
    for bad in &all {
        assert_eq!(events(&world, bad.name).await, [bad.says.event()]);
    }

    let mark = world.mark().await;
    for bad in &all {
        bad.cure(&world, "good").await;
    }
    let seen = world.since(&mark).await;
    let patches: Vec<_> = ids
        .iter()
        .map(|id| patch(id, json!({"value": "good"})))
        .collect();
    assert_eq!(without_lists(&seen), patches);
    wrote(&seen, &status_and_event(&all));
    for bad in &all {
        let said = events(&world, bad.name).await;
        assert_eq!(said, [bad.says.event(), SYNCED.to_owned()]);
    }
    nowhere(&world, &["canary"]).await;
}

/// What was synced stays as it is, in the vault and in the status, while its source is bad.
#[tokio::test]
async fn a_source_that_turns_bad_changes_nothing_in_the_vault() {
    let world = World::start().await;
    let all = all_bad();
    let (mut ids, mut before) = (Vec::new(), Vec::new());
    for bad in &all {
        ids.push(in_sync(&world, bad.name, "first").await);
        before.push(world.get(bad.name).await.status.expect("it is in sync"));
    }
    let mark = world.mark().await;
    for bad in &all {
        bad.spoil(&world).await;
    }
    for (bad, before) in all.iter().zip(before) {
        let mut status = says(&world, bad.name, &bad.says).await.status.expect("one");
        status.conditions.clone_from(&before.conditions);
        assert_eq!(status, before, "{}: nothing but the conditions", bad.name);
    }
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    wrote(&seen, &status_and_event(&all));

    // The value that was there before is there already.
    let mark = world.mark().await;
    for bad in &all {
        bad.cure(&world, "first").await;
    }
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    for bad in &all {
        let said = events(&world, bad.name).await;
        // The second "Synced" is counted in the first one's event.
        assert_eq!(said, [SYNCED.to_owned(), bad.says.event()]);
    }

    let mark = world.mark().await;
    for bad in &all {
        bad.spoil(&world).await;
        says(&world, bad.name, &bad.says).await;
        bad.cure(&world, "second").await;
    }
    let seen = world.since(&mark).await;
    let patches: Vec<_> = ids
        .iter()
        .map(|id| patch(id, json!({"value": "second"})))
        .collect();
    seen.sent_exactly(&patches);
}

/// The value is the user's business: it is sent as it is. But nobody means such a newline.
#[tokio::test]
async fn a_newline_at_the_end_is_sent_and_told_of() {
    let world = World::start().await;
    let mark = world.mark().await;
    let id = in_sync(&world, "token", "value\n").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list(&world.vault), patch(&id, json!({"value": "value\n"}))]);
    seen.wrote_exactly(&[
        "patch vaultsecrets/status token",
        "create events",
        "create events",
    ]);
    let newline = "Warning TrailingNewline: The value ends with a newline and was sent as it is. The usual cause is a file made with an editor, or `echo` without -n: use printf, or kubectl create secret --from-literal.";
    assert_eq!(events(&world, "token").await, [SYNCED, newline]);
    assert_eq!(world.sim.value(&id).as_deref(), Some("value\n"));

    // It is told of with the PATCH, and not again.
    let mark = world.mark().await;
    world.set_secret("token", "other", "changed").await;
    let domains = json!({"allowedDomains": ["new.example.com"]});
    world.edit_spec("token", domains).await;
    world.synced("token").await;
    let seen = world.since(&mark).await;
    assert_eq!(
        without_lists(&seen),
        [
            patch(&id, json!({})),
            patch(&id, json!({"allowed_domains": ["new.example.com"]}))
        ]
    );
    seen.wrote_exactly(&["patch vaultsecrets/status token"]);
    assert_eq!(events(&world, "token").await, [SYNCED, newline]);
}

/// A correction of the declaration is a cure as well.
#[tokio::test]
async fn a_wrong_name_can_be_corrected() {
    let world = World::start().await;
    world.create_secret("source", &[("key", "good")]).await;
    let id = declare(&world, "token").await;
    let missing =
        "Secret \"token\" does not exist in this namespace: create it, or correct spec.valueFrom.";
    says(&world, "token", &stalled("SourceNotFound", missing)).await;
    let change =
        |name: &str, key: &str| json!({"valueFrom": {"secretKeyRef": {"name": name, "key": key}}});
    world.edit_spec("token", change("source", "kye")).await;
    let missing = "Secret \"source\" has no key \"kye\": add it, or correct spec.valueFrom.";
    says(&world, "token", &stalled("SourceKeyNotFound", missing)).await;

    let mark = world.mark().await;
    let began = Instant::now();
    world.edit_spec("token", change("source", "key")).await;
    cured(&world, "token", began).await;
    let seen = world.since(&mark).await;
    assert_eq!(without_lists(&seen), [patch(&id, json!({"value": "good"}))]);
}
