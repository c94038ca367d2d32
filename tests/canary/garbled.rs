//! Kubernetes answers that don't decode, with a value in them: kube's own errors and logs would quote it.

use std::path::PathBuf;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    proxy::{Answer, Proxy},
    search::canary_key,
    setup,
    steps::Canary,
};
use crate::support::*;

#[tokio::test]
async fn no_answer_of_kubernetes_makes_the_json_log_show_a_secret() {
    garbled("json").await;
}

#[tokio::test]
async fn no_answer_of_kubernetes_makes_the_text_log_show_a_secret() {
    garbled("text").await;
}

/// The answer's body as JSON, changed.
fn changed(mut answer: Answer, change: impl Fn(&mut Value)) -> Answer {
    let mut body = serde_json::from_slice(&answer.body).expect("JSON");
    change(&mut body);
    // An event of a watch is a line.
    answer.body = format!("{body}\n").into_bytes();
    answer
}

/// A failure as the API server reports one.
fn failed(status: u16, message: &str) -> Answer {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status,
        "message": message, "reason": message,
    });
    Answer {
        status,
        body: body.to_string().into_bytes(),
    }
}

/// The object of a piece of a watch, or each of a list.
fn each_object(body: &mut Value, change: impl Fn(&mut Value)) {
    if body["items"].is_array() {
        body["items"]
            .as_array_mut()
            .expect("an array")
            .iter_mut()
            .for_each(change);
    } else if body["type"] != "ERROR" {
        change(&mut body["object"]);
    }
}

/// How often a line is in the log.
fn count(canary: &Canary, line: &str) -> usize {
    canary.world.operator.log().matches(line).count()
}

/// Waits until a line is in the log more often than `before`.
async fn said(canary: &Canary, line: &str, before: usize) {
    eventually(line, SOON, || async {
        (count(canary, line) > before).then_some(())
    })
    .await;
}

/// An answer to the read of a Secret with `value` in it, made of the true one.
type Garble = fn(Answer, &str) -> Answer;

const SECRETS: [(&str, &str, Garble); 9] = [
    ("JSON that ends early", "ApiUnavailable", |mut answer, _| {
        let length = answer.body.len() - 10;
        answer.body.truncate(length);
        answer
    }),
    ("no base64", "ApiUnavailable", |answer, value| {
        changed(answer, |body| body["data"]["key"] = json!(value))
    }),
    ("a list", "ApiUnavailable", |answer, value| {
        changed(answer, |body| body["data"] = json!([value]))
    }),
    ("a text", "ApiUnavailable", |answer, value| {
        changed(answer, |body| body["metadata"] = json!(value))
    }),
    (
        "the value as another type",
        "ApiUnavailable",
        |answer, value| changed(answer, |body| body["data"]["key"] = json!({value: value})),
    ),
    ("no UTF-8", "ApiUnavailable", |mut answer, value| {
        answer.body = [value.as_bytes(), b"\xff"].concat();
        answer
    }),
    ("500", "ApiUnavailable", |_, value| failed(500, value)),
    ("403", "ApiUnavailable", |_, value| failed(403, value)),
    ("502 as text", "ApiUnavailable", |_, value| Answer {
        status: 502,
        body: value.as_bytes().to_vec(),
    }),
];

/// A change of a VaultSecret that puts a value where none belongs, so that it doesn't parse.
type Change = fn(&mut Value, &str);

const OBJECTS: [(&str, Change); 6] = [
    ("a boolean", |object, value| {
        object["spec"]["suspend"] = json!(value);
    }),
    ("one of a few words", |object, value| {
        object["spec"]["creationPolicy"] = json!(value);
    }),
    ("a list", |object, value| {
        object["spec"]["allowedDomains"] = json!(value);
    }),
    ("a map", |object, value| {
        object["spec"]["connectionRef"] = json!(value);
    }),
    ("a time", |object, value| {
        object["status"]["lastPatch"] = json!({"time": value, "fields": []});
    }),
    ("the metadata", |object, value| {
        object["metadata"]["labels"] = json!(value);
    }),
];

async fn garbled(format: &str) {
    let mut canary = Canary::start(setup(format), &canary_key()).await;
    canary.world.operator.stop().await;
    let launch = canary.world.operator.launch();
    let kubeconfig = PathBuf::from(&launch.env["KUBECONFIG"]);
    let proxy = Proxy::start(&kubeconfig).await;
    let file = kubeconfig.with_extension("proxied");
    std::fs::write(&file, proxy.kubeconfig()).expect("a file for the kubeconfig");
    launch.env.insert("KUBECONFIG".to_owned(), file.into());

    start(&mut canary, &proxy).await;
    reads(&mut canary, &proxy).await;
    watches(&mut canary, &proxy).await;
    objects(&mut canary, &proxy).await;
    writes(&mut canary, &proxy).await;
    api_key(&mut canary, &proxy).await;
    canary.found_where_it_is().await;
    canary.quiet_throughout().await;
}

/// The operator's own key, which it waits for.
async fn start(canary: &mut Canary, proxy: &Proxy) {
    let bad = canary.value("what is no fingerprint key");
    let text = bad.clone();
    let garble = proxy.garble(
        "GET",
        "/secrets/vaultsecret-fingerprint-key",
        move |answer| {
            changed(answer, |body| {
                body["data"]["key"] = json!(STANDARD.encode(&text));
            })
        },
    );
    canary.world.operator.start_unready();
    garble.met().await;
    said(canary, "waiting for the fingerprint key", 0).await;
    drop(garble);
    canary.world.operator.wait_ready().await;
    canary.cure("a bad fingerprint key").await;
}

/// The Secret a value is in.
async fn reads(canary: &mut Canary, proxy: &Proxy) {
    for (what, reason, change) in SECRETS {
        let what = format!("a Secret, {what}");
        let value = canary.value(&what);
        let text = value.clone();
        let garble = proxy.garble("GET", "/secrets/source", move |answer| {
            change(answer, &text)
        });
        canary.apply(&value).await;
        garble.met().await;
        canary.world.reason("token", reason).await;
        canary.quiet(&what).await;
        drop(garble);
        canary.cure(&what).await;
    }
}

/// The metadata of all Secrets: annotations hold values. An expired watch begins with a list.
async fn watches(canary: &mut Canary, proxy: &Proxy) {
    let expired =
        json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}});
    for in_list in [false, true] {
        let value = canary.value("a watched Secret");
        let (text, expired) = (value.clone(), expired.clone());
        let garble = proxy.garble("GET", "/secrets", move |answer| {
            changed(answer, |body| {
                if in_list && !body["items"].is_array() {
                    body.clone_from(&expired);
                }
                each_object(body, |object| {
                    object["metadata"]["annotations"] = json!(text);
                });
            })
        });
        let line = if in_list {
            "can't be decoded"
        } else {
            "a watch broke"
        };
        let before = count(canary, line);
        canary.apply(&value).await;
        garble.met().await;
        said(canary, line, before).await;
        canary.quiet("a watch of Secrets that breaks").await;
        drop(garble);
        canary.cure("a watch of Secrets that breaks").await;
    }
}

/// An object that doesn't parse, or hides others.
async fn objects(canary: &mut Canary, proxy: &Proxy) {
    for (what, change) in OBJECTS {
        let what = format!("a VaultSecret with the value as {what}");
        let value = canary.value(&what);
        let garble = proxy.garble("GET", "/vaultsecrets", move |answer| {
            changed(answer, |body| {
                each_object(body, |object| {
                    if object["metadata"]["name"] == "token" {
                        change(object, &value);
                    }
                });
            })
        });
        let line = if what.ends_with("metadata") {
            "a watch broke"
        } else {
            "does not parse"
        };
        let before = count(canary, line);
        let touch = json!({"metadata": {"annotations": {"touched": what}}});
        canary.world.edit("token", touch).await;
        said(canary, line, before).await;
        canary.quiet(&what).await;
        drop(garble);
        let touch = json!({"metadata": {"annotations": {"touched": null}}});
        canary.world.edit("token", touch).await;
        canary.cure(&what).await;
    }
    let noted = |events: Vec<(String, String)>| {
        let invalid = events
            .into_iter()
            .find(|(reason, _)| reason == "InvalidObject");
        invalid.map(|(_, note)| note)
    };
    eventually("an event says that it does not parse", SOON, || async {
        noted(canary.world.events("token").await)
    })
    .await;
    canary.quiet("the events about that").await;
}

/// Answers to what the operator writes.
async fn writes(canary: &mut Canary, proxy: &Proxy) {
    let status = ("PATCH", "/vaultsecrets/token/status");
    let events = ("POST", "/events");
    for ((method, path), line) in [
        (status, "could not write the status"),
        (events, "could not publish an event"),
    ] {
        let value = canary.value(path);
        let text = value.clone();
        let garble = proxy.garble(method, path, move |answer| {
            changed(answer, |body| {
                *body = json!({"metadata": {"labels": text}, "note": {text.clone(): text}});
            })
        });
        let before = count(canary, line);
        if path == "/events" {
            // The first event of a reason is a POST.
            let gone = json!({"data": {"key": null}});
            canary.world.edit_secret("source", gone).await;
        } else {
            canary.apply(&value).await;
        }
        garble.met().await;
        said(canary, line, before).await;
        canary.quiet(line).await;
        drop(garble);
        canary.cure(line).await;
    }
}

/// The Secret an API key is in.
async fn api_key(canary: &mut Canary, proxy: &Proxy) {
    let next = canary_key();
    canary.also("the next key", next.as_bytes());
    canary.world.sim.add_key(&next);
    let text = next.clone();
    let garble = proxy.garble("GET", "/secrets/nairi-api-key", move |answer| {
        changed(answer, |body| body["data"]["apiKey"] = json!(text))
    });
    let before = count(canary, "could not read the API key");
    canary.apply_key(&next).await;
    garble.met().await;
    said(canary, "could not read the API key", before).await;
    canary.quiet("the API key's Secret").await;
    drop(garble);
    canary.cure("the API key's Secret").await;
}
