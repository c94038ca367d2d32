//! A value put together from the keys of one Secret is sent when it changes, and only then; and a template reaches
//! nothing but those keys.

use crate::support::*;

const TEXT: &str =
    "postgresql://{{ user | trim | urlencode }}:{{ data[\"db-password\"] | urlencode }}@db/app";

/// A world with a Secret of three keys and an object that makes a value of two of them, in sync. The id of its secret.
async fn in_sync() -> (World, String) {
    let world = World::start().await;
    let keys = [
        ("user", "app"),
        ("db-password", "p/w 1"),
        ("other", "unused"),
    ];
    world.create_secret("database", &keys).await;
    let id = world.remote("DATABASE_URL", "old", &["db.example.com"]);
    let mark = world.mark().await;
    let declared = world.vault_secret("url").env_key("DATABASE_URL");
    world.create(declared.template(TEXT, "database")).await;
    world.synced("url").await;
    let seen = world.since(&mark).await;
    let value = "postgresql://app:p%2Fw%201@db/app";
    seen.sent_exactly(&[list(&world.vault), patch(&id, json!({"value": value}))]);
    seen.wrote_exactly(&["patch vaultsecrets/status url", "create events"]);
    assert_eq!(world.secrets_read(&mark).await, ["database"]);
    (world, id)
}

fn text(text: &str) -> Value {
    json!({"valueFrom": {"template": {"text": text}}})
}

async fn message(world: &World, reason: &str) -> String {
    let object = world.reason("url", reason).await;
    let ready = objects::condition(&object, "Ready").expect("it has one");
    let stalled = objects::condition(&object, "Stalled").expect("it waits for a change");
    assert_eq!(
        (&stalled.reason, &stalled.message),
        (&ready.reason, &ready.message)
    );
    ready.message.clone()
}

#[tokio::test]
async fn only_a_change_of_what_is_rendered_is_sent() {
    let (world, id) = in_sync().await;

    let mark = world.mark().await;
    world.set_secret("database", "db-password", "p/w 2").await;
    let seen = world.since(&mark).await;
    let value = "postgresql://app:p%2Fw%202@db/app";
    seen.sent_exactly(&[patch(&id, json!({"value": value}))]);
    seen.wrote_exactly(&["patch vaultsecrets/status url"]);

    // A key that is not used, one that is and makes no difference, and one that comes anew.
    let mark = world.mark().await;
    world.set_secret("database", "other", "changed").await;
    world.set_secret("database", "user", " app\n").await;
    world.set_secret("database", "another", "new").await;
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    seen.wrote_nothing();

    // Another text for the same value: status says which generation it is about, and that is all.
    let mark = world.mark().await;
    let same = TEXT.replace("user | trim", "data.user|trim");
    world.edit_spec("url", text(&same)).await;
    world.synced("url").await;
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    seen.wrote_exactly(&["patch vaultsecrets/status url"]);

    let mark = world.mark().await;
    world
        .edit_spec("url", text(&TEXT.replace("app", "reports")))
        .await;
    world.synced("url").await;
    let seen = world.since(&mark).await;
    let value = "postgresql://app:p%2Fw%202@db/reports";
    seen.sent_exactly(&[patch(&id, json!({"value": value}))]);
    seen.wrote_exactly(&["patch vaultsecrets/status url"]);

    // The same value from one key.
    let mark = world.mark().await;
    world.set_secret("database", "url", value).await;
    let by_key = json!({"template": null, "secretKeyRef": {"name": "database", "key": "url"}});
    world.edit_spec("url", json!({"valueFrom": by_key})).await;
    world.synced("url").await;
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    assert_eq!(world.sim.value(&id).as_deref(), Some(value));
}

#[tokio::test]
async fn a_restart_sends_nothing() {
    let (mut world, _) = in_sync().await;
    let mark = world.mark().await;
    world.operator.restart().await;
    world.connected("Verified").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list_vaults()]);
    seen.wrote_nothing();
    assert_eq!(world.secrets_read(&mark).await, [API_KEY_SECRET.0]);
}

#[tokio::test]
async fn a_key_that_is_missing_is_named_and_waited_for() {
    let (world, id) = in_sync().await;
    let mark = world.mark().await;
    let without = json!({"data": {"db-password": null}});
    world.edit_secret("database", without).await;
    let said = message(&world, "SourceKeyNotFound").await;
    assert_eq!(
        said,
        "Secret \"database\" has no key \"db-password\", which spec.valueFrom.template uses: add it, or correct the template."
    );
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    seen.wrote_exactly(&["patch vaultsecrets/status url", "create events"]);

    let mark = world.mark().await;
    world.set_secret("database", "db-password", "new").await;
    world.synced("url").await;
    let seen = world.since(&mark).await;
    let value = "postgresql://app:new@db/app";
    seen.sent_exactly(&[patch(&id, json!({"value": value}))]);
}

#[tokio::test]
async fn a_text_that_is_no_template_is_told_of_once_and_corrected() {
    let (world, id) = in_sync().await;
    let mark = world.mark().await;
    let of = "The template over Secret \"database\"";
    for (wrong, what) in [
        ("a\n{{ user", "has a syntax error in line 2: correct it."),
        (
            "{{ user | upper }}",
            "uses the filter \"upper\" in line 1, which is not available: use urlencode, b64encode, b64decode, trim or tojson.",
        ),
        (
            "{% for key in data %}{% endfor %}",
            "has a statement ({% … %}) in line 1, which is not available: a template is text with {{ … }} in it.",
        ),
    ] {
        world.edit_spec("url", text(wrong)).await;
        assert_eq!(
            message(&world, "InvalidTemplate").await,
            format!("{of} {what}")
        );
    }
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    let status = "patch vaultsecrets/status url";
    seen.wrote_exactly(&[status, status, status, "create events"]);
    assert_eq!(
        world.secrets_read(&mark).await,
        [""; 0],
        "it would be of no use"
    );

    // A rotation is no cure, and says nothing anew.
    let mark = world.mark().await;
    world.set_secret("database", "user", "new").await;
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    seen.wrote_nothing();

    world.edit_spec("url", text(TEXT)).await;
    world.synced("url").await;
    let seen = world.since(&mark).await;
    let value = "postgresql://new:p%2Fw%201@db/app";
    seen.sent_exactly(&[patch(&id, json!({"value": value}))]);
}

/// What a template makes has to be a value, like what one key holds.
#[tokio::test]
async fn what_is_no_value_is_not_sent() {
    let (world, _) = in_sync().await;
    let mark = world.mark().await;
    for (wrong, what) in [
        (
            "{{ other | b64decode }}",
            "The template over Secret \"database\" decodes base64 in line 1, but what is there is not base64: leave b64decode out, or correct the Secret.",
        ),
        (
            "{{ '' }}",
            "The text that the template makes of Secret \"database\" is empty: give it a value.",
        ),
        (
            "{{ 'AA==' | b64decode }}",
            "The text that the template makes of Secret \"database\" holds a NUL character, which no environment variable can: remove it.",
        ),
    ] {
        world.edit_spec("url", text(wrong)).await;
        assert_eq!(message(&world, "InvalidValue").await, what);
    }
    world.since(&mark).await.sent_nothing();
}

/// One Secret of its own namespace, and nothing else: neither by the reference, nor by the text.
#[tokio::test]
async fn a_template_reaches_no_other_secret() {
    let (world, _) = in_sync().await;
    world.create_secret("private", &[("key", "private")]).await;
    let elsewhere: kube::Api<k8s_openapi::api::core::v1::Secret> =
        kube::Api::namespaced(world.client.clone(), &world.system);
    let foreign = objects::secret(
        "foreign",
        &[("user", "foreign"), ("db-password", "foreign")],
    );
    let post = kube::api::PostParams::default();
    let created = elsewhere.create(&post, &foreign).await;
    created.expect("a Secret of the operator's namespace");

    // The reference has no namespace, and a Secret of that name elsewhere is none.
    let mut named = serde_json::to_value(world.get("url").await).expect("JSON");
    named["metadata"] = json!({"name": "named"});
    named["spec"]["valueFrom"]["template"]["secretRef"] =
        json!({"name": "foreign", "namespace": world.system});
    let applied = world
        .kubectl_with(&["apply", "-f", "-"], &named.to_string())
        .await;
    let refusal = applied.refused();
    assert!(
        refusal.contains("unknown field \"spec.valueFrom.template.secretRef.namespace\""),
        "{refusal}"
    );
    let mark = world.mark().await;
    let reference = json!({"valueFrom": {"template": {"secretRef": {"name": "foreign"}}}});
    world.edit_spec("url", reference).await;
    message(&world, "SourceNotFound").await;

    let reference = json!({"valueFrom": {"template": {"secretRef": {"name": "database"}}}});
    world.edit_spec("url", reference).await;
    world.synced("url").await;
    for reach in [
        "{{ private.key }}",
        "{{ secret('private') }}",
        "{{ lookup('v1', 'Secret', 'private') }}",
        "{{ data['../private'].key }}",
        "{% include 'private' %}",
        "{{ env.HOME }}",
        "{{ data.__class__.__mro__ }}",
    ] {
        world.edit_spec("url", text(reach)).await;
        message(&world, "InvalidTemplate").await;
    }
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    let read = world.secrets_read(&mark).await;
    assert!(!read.iter().any(|name| name == "private"), "{read:?}");
}
