//! Whatever Nairi answers to a request with a value in it.

use std::time::Duration;

use nairi_sim::{Answer, Effect};

use super::{search::canary_key, setup, steps::Canary};
use crate::support::*;

#[tokio::test]
async fn no_answer_makes_the_json_log_show_a_value() {
    answers("json").await;
}

#[tokio::test]
async fn no_answer_makes_the_text_log_show_a_value() {
    answers("text").await;
}

/// A secret as the API shows it, with some fields set otherwise.
fn shown(id: &str, other: &Value) -> String {
    let mut secret = json!({
        "id": id,
        "env_key": "TOKEN",
        "allowed_domains": ["api.example.com"],
        "created_at": "2026-04-25T11:45:19.000Z",
        "updated_at": "2026-04-12T18:50:00.000Z",
    });
    let fields = secret.as_object_mut().expect("an object");
    fields.extend(other.as_object().cloned().expect("an object"));
    secret.to_string()
}

fn answer(status: u16, body: impl Into<String>) -> Fault {
    let answer = Answer::new(status, body);
    Fault::answer(answer.header("content-type", "application/json"))
}

async fn answers(format: &str) {
    let setup = setup(format).flag("--api-timeout=2s");
    let mut canary = Canary::start(setup, &canary_key()).await;
    errors(&mut canary).await;
    repeated(&mut canary).await;
    unreadable(&mut canary).await;
    redirects(&mut canary).await;
    unended(&mut canary).await;
    trimmed(&mut canary).await;
    shown_by_a_read(&mut canary).await;
    canary.found_where_it_is().await;
    canary.quiet_throughout().await;
}

/// Errors whose text holds what was sent, in the documented form and in others.
async fn errors(canary: &mut Canary) {
    for (status, reason) in [
        (400, "Rejected"),
        (403, "Rejected"),
        (409, "Rejected"),
        (422, "Rejected"),
        (404, "ApiUnavailable"),
        (408, "ApiUnavailable"),
        (500, "ApiUnavailable"),
        (502, "ApiUnavailable"),
    ] {
        let json = status != 404;
        let what = format!("{status} that echoes");
        canary
            .fault(&what, reason, |_| Fault::new(Effect::Echo { status, json }))
            .await;
    }
    canary
        .fault("500 that echoes as text", "ApiUnavailable", |_| {
            let (status, json) = (500, false);
            Fault::new(Effect::Echo { status, json })
        })
        .await;
    canary
        .fault("422 with the value in its text", "Rejected", |value| {
            let error = format!("bad value {value}");
            answer(422, json!({"error": error, "value": value}).to_string())
        })
        .await;
    canary
        .fault(
            "429 with the value in its headers",
            "RateLimited",
            |value| {
                let value: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
                let answer = Answer::error(429, &value).header("retry-after", "1");
                Fault::answer(answer.header("x-debug", &value)).once()
            },
        )
        .await;
}

/// An answer with the value in its fields.
async fn repeated(canary: &mut Canary) {
    let id = &canary.id.clone();
    for field in ["id", "env_key", "created_at", "updated_at"] {
        canary
            .fault(
                &format!("200 with the value as {field}"),
                "ApiUnavailable",
                |value| answer(200, shown(id, &json!({field: value}))),
            )
            .await;
    }
    for (what, change) in [
        ("as a domain", str::to_owned as fn(&str) -> String),
        ("in a domain", |value| format!("*.{value}.com")),
        ("as a domain in lower case", str::to_lowercase),
    ] {
        canary
            .fault(
                &format!("200 with the value {what}"),
                "ApiUnavailable",
                |value| {
                    let domains = json!(["api.example.com", change(value)]);
                    answer(200, shown(id, &json!({"allowed_domains": domains})))
                },
            )
            .await;
    }
    canary
        .fault("200 with the value in other fields", "Synced", |value| {
            answer(
                200,
                shown(id, &json!({"value": value, "debug": {"sent": [value]}})),
            )
            .once()
        })
        .await;
}

/// A 200 nobody can rely on.
async fn unreadable(canary: &mut Canary) {
    let id = &canary.id.clone();
    for (what, body) in [
        ("JSON that ends early", r#"{"id":"ID","env_key":"VALUE"#),
        (
            "JSON of other types",
            r#"{"id":"ID","env_key":["VALUE"],"updated_at":{"VALUE":1}}"#,
        ),
        ("a text in JSON", r#""VALUE""#),
        (
            "JSON with the value as a key",
            r#"{"VALUE":"VALUE","VALUE":1}"#,
        ),
        ("HTML", "<html><title>VALUE</title>"),
        ("nothing", ""),
    ] {
        canary
            .fault(&format!("200 with {what}"), "ApiUnavailable", |value| {
                let value = json!(value).to_string();
                let body = body.replace("ID", id);
                answer(200, body.replace("VALUE", value.trim_matches('"')))
            })
            .await;
    }
    canary
        .fault("200 without updated_at", "ApiUnavailable", |_| {
            let secret = json!({"id": id, "env_key": "TOKEN", "allowed_domains": []});
            answer(200, secret.to_string())
        })
        .await;
    canary
        .fault("200 about another secret", "ApiUnavailable", |_| {
            Fault::other_id("sec_other")
        })
        .await;
    canary
        .fault("201", "ApiUnavailable", |value| {
            answer(201, shown(id, &json!({"value": value})))
        })
        .await;
}

/// Redirects to somewhere else.
async fn redirects(canary: &mut Canary) {
    let elsewhere = Sim::start(Options::default()).await;
    for status in [301, 302, 307, 308] {
        canary
            .fault(&format!("redirect {status}"), "ApiUnavailable", |value| {
                let value: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
                Fault::redirect(status, &format!("{}/{value}", elsewhere.url()))
            })
            .await;
    }
    assert_eq!(elsewhere.log().all().len(), 0, "nothing went elsewhere");
}

/// No answer, or no end of it.
async fn unended(canary: &mut Canary) {
    let id = &canary.id.clone();
    canary
        .fault("an endless body", "ApiUnavailable", |value| {
            let start = shown(id, &json!({"value": value}));
            Fault::new(Effect::Endless {
                start,
                repeat: " ".to_owned(),
            })
        })
        .await;
    canary
        .fault("a cut", "ApiUnavailable", |_| Fault::cut())
        .await;
    canary
        .fault("a cut after it was stored", "ApiUnavailable", |_| {
            Fault::cut().after()
        })
        .await;
    canary
        .fault("a stall", "ApiUnavailable", |_| Fault::stall())
        .await;
    canary
        .fault("a slow answer", "ApiUnavailable", |_| {
            Fault::drip(1, Duration::from_millis(500))
        })
        .await;
}

/// A value with white space around it: what is repeated without that is the value all the same.
async fn trimmed(canary: &mut Canary) {
    let id = &canary.id.clone();
    let value = canary.value("a value with a newline at its end");
    let domains = json!([value]);
    let fault = answer(200, shown(id, &json!({"allowed_domains": domains})));
    let fault = canary.world.sim.fault(fault.secret(id).writes());
    canary.apply(&format!(" {value}\n")).await;
    canary.met(&fault).await;
    canary.world.reason("token", "ApiUnavailable").await;
    canary.quiet("200 with the value without its newline").await;
    fault.remove();
    canary.cure("200 with the value without its newline").await;
}

/// What a read shows is no value either. The PATCH behind it fails, so that it would be recorded.
async fn shown_by_a_read(canary: &mut Canary) {
    let id = &canary.id.clone();
    let value = canary.value("what a read shows");
    canary.apply(&value).await;
    canary.in_vault(&value).await;
    let domains = json!(["api.example.com", value]);
    let read = answer(200, shown(id, &json!({"allowed_domains": domains})));
    let read = canary.world.sim.fault(read.secret(id).once());
    let write = canary.world.sim.fault(Fault::echo(500).secret(id).writes());
    let domains = json!({"allowedDomains": ["new.example.com"]});
    canary.world.edit_spec("token", domains).await;
    canary.met(&read).await;
    canary.world.reason("token", "ApiUnavailable").await;
    canary.quiet("a read that shows the value").await;
    read.remove();
    write.remove();
    canary.cure("a read that shows the value").await;
}
