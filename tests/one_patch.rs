//! One change, one PATCH, only the differing fields; and where nothing differs, nothing is written anywhere.
//!
//! Every test compares everything that was sent to Nairi, reads included, and everything that was written to
//! Kubernetes, by the API server's own log.

use std::time::Duration;

use crate::support::*;
use nairi_sim::DomainsOrder;

/// The one status write that goes with a PATCH, or with a new generation.
const STATUS: &str = "patch vaultsecrets/status token";

/// A world with VaultSecret `token` in sync: its value is key `key` of Secret `source`, its domains are declared.
/// Returns the id of the remote secret too.
async fn token(setup: Setup) -> (World, String) {
    let world = setup.start().await;
    let id = world.remote("TOKEN", "old", &["old.example.com"]);
    let source = [("key", "first"), ("other", "unused")];
    world.create_secret("source", &source).await;
    let declared = world.vault_secret("token").env_key("TOKEN");
    let declared = declared.value_from("source", "key");
    world
        .create(declared.domains(["api.example.com", "*.example.org"]))
        .await;
    world.synced("token").await;
    (world, id)
}

/// Waits until the vault's answer to the last change is in the status, and shows what was done since the mark.
async fn settled(world: &World, mark: &Mark, id: &str) -> Seen {
    let seen = world.since(mark).await;
    let object = world.synced("token").await;
    let status = object.status.expect("it is synced");
    assert_eq!(status.updated_at, world.sim.updated_at(id), "verbatim");
    seen
}

#[tokio::test]
async fn changed_domains_are_sent_without_the_value() {
    let (world, id) = token(Setup::new()).await;
    for domains in [
        json!(["api.example.com"]),
        json!(["api.example.com", "*.example.net"]),
    ] {
        let mark = world.mark().await;
        world
            .edit_spec("token", json!({"allowedDomains": domains}))
            .await;
        let seen = settled(&world, &mark, &id).await;
        // The read sees to it that a foreign value is not hidden by our own write.
        seen.sent_exactly(&[
            patch(&id, json!({})),
            patch(&id, json!({"allowed_domains": domains})),
        ]);
        seen.wrote_exactly(&[STATUS]);
        assert_eq!(json!(world.sim.domains(&id)), domains);
    }
    assert_eq!(world.sim.value(&id).as_deref(), Some("first"));
}

#[tokio::test]
async fn domains_that_are_managed_alone_take_one_request() {
    let world = World::start().await;
    let id = world.remote("TOKEN", "theirs", &["old.example.com"]);
    let declared = world.vault_secret("token").secret_id(&id);
    world.create(declared.domains(["api.example.com"])).await;
    world.synced("token").await;
    let mark = world.mark().await;
    world
        .edit_spec("token", json!({"allowedDomains": ["new.example.com"]}))
        .await;
    let seen = settled(&world, &mark, &id).await;
    seen.sent_exactly(&[patch(&id, json!({"allowed_domains": ["new.example.com"]}))]);
    seen.wrote_exactly(&[STATUS]);
    assert_eq!(world.sim.value(&id).as_deref(), Some("theirs"));
}

#[tokio::test]
async fn a_rotated_value_is_sent_without_the_domains() {
    let (world, id) = token(Setup::new()).await;
    for value in ["second", "third, with ünïcode and \"quotes\"\n"] {
        let mark = world.mark().await;
        world.set_secret("source", "key", value).await;
        let seen = settled(&world, &mark, &id).await;
        seen.sent_exactly(&[patch(&id, json!({"value": value}))]);
        let newline = value.ends_with('\n').then_some("create events");
        let expected: Vec<_> = [STATUS].into_iter().chain(newline).collect();
        seen.wrote_exactly(&expected);
        assert_eq!(world.sim.value(&id).as_deref(), Some(value));
    }
}

/// Value and domains are in two objects, so they change one after the other, however close: each is sent once.
#[tokio::test]
async fn both_at_once_are_each_sent_once() {
    let (world, id) = token(Setup::new()).await;
    for round in 1..=4 {
        let mark = world.mark().await;
        let (value, domain) = (format!("value-{round}"), format!("d{round}.example.com"));
        let domains = json!([domain]);
        tokio::join!(
            world.set_secret("source", "key", &value),
            world.edit_spec("token", json!({"allowedDomains": domains})),
        );
        let seen = settled(&world, &mark, &id).await;
        let only_value = patch(&id, json!({"value": value}));
        let only_domains = patch(&id, json!({"allowed_domains": domains}));
        let both = patch(&id, json!({"value": value, "allowed_domains": domains}));
        let read = patch(&id, json!({}));
        let sent = seen.sent();
        let possible = [
            vec![both.clone()],
            vec![read.clone(), both],
            vec![only_value.clone(), only_domains.clone()],
            vec![only_value.clone(), read.clone(), only_domains.clone()],
            vec![read, only_domains, only_value],
        ];
        assert!(possible.contains(&sent), "{sent:#?}");
        let writes = seen.written();
        assert!(
            (1..=2).contains(&writes.len()) && writes.iter().all(|write| write == STATUS),
            "{writes:?}"
        );
    }
}

/// Labels, annotations, other keys of the Secret, the same content applied again.
#[tokio::test]
async fn changes_of_anything_else_write_nothing() {
    let (world, _) = token(Setup::new()).await;
    let mark = world.mark().await;

    world
        .edit("token", json!({"metadata": {"labels": {"team": "a"}}}))
        .await;
    world
        .edit("token", json!({"metadata": {"annotations": {"note": "a"}}}))
        .await;
    world
        .edit("token", json!({"metadata": {"labels": {"team": null}}}))
        .await;
    world
        .edit_secret("source", json!({"metadata": {"labels": {"team": "a"}}}))
        .await;
    world.set_secret("source", "other", "changed").await;
    world.set_secret("source", "added", "too").await;
    // Client-side apply adds an annotation with the whole content.
    let content = [("key", "first"), ("other", "changed"), ("added", "too")];
    world.apply_secret("source", &content).await;
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    seen.wrote_nothing();

    // The same content in a new Secret.
    let mark = world.mark().await;
    world.delete_secret("source").await;
    world.create_secret("source", &content).await;
    world.synced("token").await;
    let seen = world.since(&mark).await;
    seen.sent_nothing();
}

/// A new generation is worth one status write, which says that it was seen, and nothing to Nairi.
#[tokio::test]
async fn changes_of_the_spec_that_change_no_field_are_only_acknowledged() {
    let (world, _) = token(Setup::new()).await;
    for change in [
        json!({"driftPolicy": "Report"}),
        json!({"driftPolicy": "Correct"}),
        json!({"deletionPolicy": "Retain", "allowUnrestricted": true}),
        // The same set of domains.
        json!({"allowedDomains": ["*.EXAMPLE.org", "api.example.com"]}),
        // No longer managed, and managed again, as they are.
        json!({"allowedDomains": null}),
    ] {
        let mark = world.mark().await;
        let before = world.get("token").await.metadata.generation;
        world.edit_spec("token", change.clone()).await;
        let object = world.synced("token").await;
        let seen = world.since(&mark).await;
        seen.sent_nothing();
        if object.metadata.generation == before {
            seen.wrote_nothing();
        } else {
            seen.wrote_exactly(&[STATUS]);
        }
    }
}

#[tokio::test]
async fn half_a_minute_of_idleness_writes_nothing() {
    let (world, _) = token(Setup::new()).await;
    let mark = world.mark().await;
    let idle = Duration::from_secs(30);
    let nothing = |log: &nairi_sim::Entries| log.since(mark.sim).is_empty();
    world
        .sim
        .log()
        .stays(nothing, idle)
        .await
        .expect("nothing is sent");
    let seen = world.seen(&mark);
    seen.sent_nothing();
    seen.wrote_nothing();
}

/// A new process verifies the API key, as it has to, and does nothing else.
#[tokio::test]
async fn a_restart_writes_nothing_and_reads_no_source() {
    let (mut world, id) = token(Setup::new()).await;
    // A second object, in sync from its first sync; the first one has been rotated since its own.
    let other = world.vault_secret("other").value_from("source", "other");
    world.remote("OTHER", "old", &["old.example.com"]);
    world.create(other.env_key("OTHER")).await;
    world.synced("other").await;
    world.set_secret("source", "key", "second").await;
    let mark = world.mark().await;
    world.set_secret("source", "other", "second").await;
    world.since(&mark).await;
    settled(&world, &mark, &id).await;

    // A status names the version of the Secret that its value was read from; the last to change both objects.
    let domains = json!({"allowedDomains": ["new.example.com"]});
    world.edit_spec("token", domains).await;
    world.synced("token").await;

    let mark = world.mark().await;
    world.operator.stop().await;
    let seen = world.seen(&mark);
    seen.sent_nothing();
    seen.wrote_nothing();
    for killed in [false, true] {
        let mark = if killed {
            let mark = world.mark().await;
            world.operator.kill();
            mark
        } else {
            world.mark_now()
        };
        world.operator.start().await;
        world.connected("Verified").await;
        let seen = world.since(&mark).await;
        seen.sent_exactly(&[list_vaults()]);
        seen.wrote_nothing();
        let read = world.secrets_read(&mark).await;
        assert_eq!(
            read,
            [API_KEY_SECRET.0],
            "the Secrets read, killed: {killed}"
        );
    }
}

/// What happened to a Secret while nobody watched can't be told from a cut-off PATCH, so the vault is looked at.
#[tokio::test]
async fn another_key_that_changes_while_the_operator_is_away_writes_nothing() {
    let (mut world, _) = token(Setup::new()).await;
    let mark = world.mark().await;
    world.operator.stop().await;
    world.set_secret("source", "other", "changed").await;
    world.operator.start().await;
    world.connected("Verified").await;
    let seen = world.since(&mark).await;
    assert_eq!(seen.requests.writes().len(), 0, "{:?}", seen.sent());
    assert!(seen.requests.len() <= 2, "{:?}", seen.sent());
    seen.wrote_nothing();
}

#[tokio::test]
async fn changes_while_the_operator_is_away_are_each_sent_once() {
    let (mut world, id) = token(Setup::new()).await;
    let mark = world.mark().await;
    world.operator.kill();
    world.set_secret("source", "key", "second").await;
    world.operator.start().await;
    world.connected("Verified").await;
    let seen = settled(&world, &mark, &id).await;
    let sent = seen.requests.method("PATCH");
    let sent: Vec<_> = sent.iter().map(|entry| Sent::from(&**entry)).collect();
    assert_eq!(sent, [patch(&id, json!({"value": "second"}))]);
    seen.wrote_exactly(&[STATUS]);

    let mark = world.mark().await;
    world.operator.stop().await;
    let domains = json!(["new.example.com"]);
    world
        .edit_spec("token", json!({"allowedDomains": domains}))
        .await;
    world.operator.start().await;
    world.connected("Verified").await;
    let seen = settled(&world, &mark, &id).await;
    let sent = seen.requests.method("PATCH");
    let sent: Vec<_> = sent.iter().map(|entry| Sent::from(&**entry)).collect();
    assert_eq!(
        sent,
        [
            patch(&id, json!({})),
            patch(&id, json!({"allowed_domains": domains}))
        ]
    );
    seen.wrote_exactly(&[STATUS]);
}

/// Our answer would move `updated_at` over theirs, and nobody would ever see that the value is not ours.
#[tokio::test]
async fn a_foreign_value_is_put_right_along_with_our_domains() {
    let (world, id) = token(Setup::new()).await;
    let mark = world.mark().await;
    let outsider = world.sim.outsider();
    outsider.set_value(&id, "theirs").expect("it exists");
    let domains = json!(["new.example.com"]);
    world
        .edit_spec("token", json!({"allowedDomains": domains}))
        .await;
    let seen = settled(&world, &mark, &id).await;
    seen.sent_exactly(&[
        patch(&id, json!({})),
        patch(&id, json!({"value": "first", "allowed_domains": domains})),
    ]);
    seen.wrote_exactly(&[STATUS, "create events"]);
    assert_eq!(world.sim.value(&id).as_deref(), Some("first"));
    let events = world.events("token").await;
    let reasons: Vec<_> = events.iter().map(|(reason, _)| reason.as_str()).collect();
    assert_eq!(reasons, ["Synced", "DriftCorrected"]);
}

/// Foreign domains are put right along with our value: the answer of the PATCH shows them.
#[tokio::test]
async fn foreign_domains_are_put_right_after_our_value() {
    let (world, id) = token(Setup::new()).await;
    let mark = world.mark().await;
    let outsider = world.sim.outsider();
    outsider
        .set_domains(&id, &["evil.example"])
        .expect("it exists");
    world.set_secret("source", "key", "second").await;
    let seen = settled(&world, &mark, &id).await;
    let domains = json!(["api.example.com", "*.example.org"]);
    seen.sent_exactly(&[
        patch(&id, json!({"value": "second"})),
        patch(&id, json!({"allowed_domains": domains})),
    ]);
    assert_eq!(json!(world.sim.domains(&id)), domains);
}

/// A server that folds and reorders domains makes no drift: not now, not after a restart, not by a look.
#[tokio::test]
async fn domains_that_the_server_spells_otherwise_are_left_alone() {
    let setup = Setup::new().behave(|behaviour| {
        behaviour.domains_folded = true;
        behaviour.domains_order = DomainsOrder::Reversed;
    });
    let (mut world, id) = token(setup).await;
    let domains = json!(["B.Example.com", "a.example.com"]);
    let mark = world.mark().await;
    world
        .edit_spec("token", json!({"allowedDomains": domains}))
        .await;
    let seen = settled(&world, &mark, &id).await;
    seen.sent_exactly(&[
        patch(&id, json!({})),
        patch(&id, json!({"allowed_domains": domains})),
    ]);
    seen.wrote_exactly(&[STATUS]);
    let status = world.get("token").await.status.expect("it is synced");
    assert_eq!(
        status.allowed_domains,
        Some(vec!["a.example.com".into(), "b.example.com".into()]),
        "as returned"
    );
    assert_eq!(json!(status.applied_domains), domains, "as sent");

    let mark = world.mark().await;
    world.operator.restart().await;
    world.connected("Verified").await;
    world.set_secret("source", "key", "second").await;
    let seen = settled(&world, &mark, &id).await;
    seen.sent_exactly(&[list_vaults(), patch(&id, json!({"value": "second"}))]);
    seen.wrote_exactly(&[STATUS]);
}

/// Whether an equal value moves `updated_at` is not documented: neither answer makes a difference.
#[tokio::test]
async fn a_server_that_counts_an_equal_value_as_a_change_makes_no_loop() {
    let setup = Setup::new().behave(|behaviour| behaviour.equal_value_is_change = true);
    let world = setup.start().await;
    let id = world.remote("TOKEN", "first", &["api.example.com"]);
    world.create_secret("source", &[("key", "first")]).await;
    let mark = world.mark().await;
    let declared = world.vault_secret("token").env_key("TOKEN");
    let declared = declared.value_from("source", "key");
    world.create(declared.domains(["api.example.com"])).await;
    world.synced("token").await;
    let seen = settled(&world, &mark, &id).await;
    seen.sent_exactly(&[list(&world.vault), patch(&id, json!({"value": "first"}))]);
    seen.wrote_exactly(&[STATUS, "create events"]);
}
