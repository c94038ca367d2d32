//! Every fault.

use std::time::{Duration, Instant};

use nairi_sim::{Answer, Effect, Fault, NewVault, Options, Outcome, Sim};
use serde_json::{Value, json};

use crate::world::{NEVER, SOON, World, new_secret, read};

#[tokio::test]
async fn any_status_body_type_and_header() {
    let world = World::new().await;
    let answer = Answer::new(429, "<slow>")
        .header("content-type", "text/xml")
        .header("x-odd", "1");
    let fault = world.sim.fault(Fault::answer(answer).once());
    let response = world
        .patching(&json!({"value": "x"}))
        .send()
        .await
        .expect("answered");
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["content-type"], "text/xml");
    assert_eq!(response.headers()["x-odd"], "1");
    assert_eq!(response.text().await.expect("a body"), "<slow>");
    assert_eq!(world.patch(json!({"value": "x"})).await.0, 200);
    assert_eq!(fault.fired(), 1);
    let log = world.sim.log().all();
    assert_eq!(
        (log[0].fault, log[0].applied, log[0].status()),
        (Some(fault.id()), false, Some(429))
    );
    assert_eq!((log[1].fault, log[1].applied), (None, true));
}

#[tokio::test]
async fn retry_after_and_documented_errors() {
    let world = World::new().await;
    world.sim.fault(Fault::retry_after(503, "7").once());
    let response = world.patching(&json!({})).send().await.expect("answered");
    assert_eq!(
        (
            response.status().as_u16(),
            &response.headers()["retry-after"]
        ),
        (503, &"7".parse().expect("text"))
    );
    for status in [401, 403, 404, 422, 500, 502] {
        world.sim.fault(Fault::status(status).once());
        let (answered, body) = world.patch(json!({})).await;
        assert_eq!((answered, body["error"].is_string()), (status, true));
    }
}

#[tokio::test]
async fn faults_meet_only_what_they_match() {
    let world = World::new().await;
    let other = world.sim.add_secret(&world.vault, new_secret("OTHER"));
    let elsewhere = world.sim.add_vault(NewVault::default());
    let other_path = format!("{}/{other}", world.list_path());
    let elsewhere_path = format!("/api/public/v1/vaults/{elsewhere}/secrets");
    let met = async |fault: Fault| {
        let fault = world.sim.fault(fault);
        world.get("/api/public/v1/vaults").await;
        world.get(&elsewhere_path).await;
        world.list().await;
        world.patch(json!({})).await;
        world.patch(json!({"value": "x"})).await;
        let patch = world
            .request("PATCH", &other_path)
            .json(&json!({"value": "x"}));
        read(patch.send().await.expect("answered")).await;
        fault.remove();
        let mark = world.sim.log().all();
        let met: Vec<usize> = (0..6)
            .filter(|index| mark[mark.len() - 6 + index].fault == Some(fault.id()))
            .collect();
        assert_eq!(fault.fired(), met.len() as u64);
        met
    };
    let harmless = || Fault::delay(Duration::ZERO);
    assert_eq!(met(harmless()).await, [0, 1, 2, 3, 4, 5]);
    assert_eq!(met(harmless().method("PATCH")).await, [3, 4, 5]);
    assert_eq!(met(harmless().writes()).await, [4, 5]);
    assert_eq!(met(harmless().secret(&world.secret)).await, [3, 4]);
    assert_eq!(
        met(harmless().secret(&other).method("GET")).await,
        Vec::<usize>::new()
    );
    assert_eq!(met(harmless().vault(&elsewhere)).await, [1]);
    assert_eq!(met(harmless().vault(&world.vault)).await, [2, 3, 4, 5]);
    assert_eq!(met(harmless().path(&world.list_path())).await, [2]);
    assert_eq!(
        met(harmless().prefix(&world.list_path())).await,
        [2, 3, 4, 5]
    );
    assert_eq!(met(harmless().skip(2).times(3)).await, [2, 3, 4]);
    assert_eq!(met(harmless().share(1.0, 1)).await, [0, 1, 2, 3, 4, 5]);
    assert_eq!(met(harmless().share(0.0, 1)).await, Vec::<usize>::new());
    let once = met(harmless().share(0.5, 42)).await;
    assert_eq!(
        met(harmless().share(0.5, 42)).await,
        once,
        "the seed decides"
    );
}

#[tokio::test]
async fn the_oldest_fault_goes_first() {
    let world = World::new().await;
    let old = world.sim.fault(Fault::status(500).once());
    let new = world.sim.fault(Fault::status(502).once());
    assert_eq!(world.patch(json!({})).await.0, 500);
    assert_eq!(world.patch(json!({})).await.0, 502);
    assert_eq!(world.patch(json!({})).await.0, 200);
    assert_eq!((old.fired(), new.fired()), (1, 1));
    assert_eq!(world.sim.faults().len(), 2);
    world.sim.clear_faults();
    assert_eq!(world.sim.faults().len(), 0);
}

#[tokio::test]
async fn a_delay() {
    let world = World::new().await;
    let by = Duration::from_millis(60);
    for fault in [Fault::delay(by).once(), Fault::delay(by).after().once()] {
        world.sim.fault(fault);
        let begun = Instant::now();
        assert_eq!(world.patch(json!({"value": "x"})).await.0, 200);
        assert!(begun.elapsed() >= by);
    }
}

#[tokio::test]
async fn a_stall_before_the_change_ends_when_released() {
    let world = World::new().await;
    let fault = world.sim.fault(Fault::stall().method("PATCH"));
    let asking = tokio::spawn(world.patching(&json!({"value": "second"})).send());
    let state = fault.wait_stalled(1, SOON).await.expect("stalled");
    assert_eq!((state.fired, state.stalled), (1, 1));
    assert_eq!(world.sim.value(&world.secret).as_deref(), Some("first"));
    fault.release();
    let response = asking.await.expect("joined").expect("answered");
    assert_eq!(response.status(), 200);
    assert_eq!(world.sim.value(&world.secret).as_deref(), Some("second"));
    assert_eq!(
        world.patch(json!({"value": "third"})).await.0,
        200,
        "a released fault holds nothing"
    );
    assert_eq!((fault.fired(), fault.stalled()), (2, 0));
}

#[tokio::test]
async fn a_stall_after_the_change() {
    let world = World::new().await;
    let fault = world.sim.fault(Fault::stall().after().writes());
    let request = world.patching(&json!({"value": "second"})).timeout(NEVER);
    let error = request.send().await.expect_err("no answer");
    assert!(error.is_timeout());
    fault.wait_fired(1, SOON).await.expect("fired");
    assert_eq!(world.sim.value(&world.secret).as_deref(), Some("second"));
    let ended = world
        .sim
        .log()
        .wait_for(|all| all.ended().len() == 1, SOON)
        .await
        .expect("ended");
    assert_eq!(
        (ended[0].outcome, ended[0].applied),
        (Outcome::Abandoned, true)
    );
    assert!(
        fault
            .wait_stalled(1, Duration::from_millis(10))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn removing_a_fault_lets_its_requests_go() {
    let world = World::new().await;
    let fault = world.sim.fault(Fault::stall());
    let asking = tokio::spawn(world.patching(&json!({})).send());
    fault.wait_stalled(1, SOON).await.expect("stalled");
    fault.remove();
    assert_eq!(
        asking.await.expect("joined").expect("answered").status(),
        200
    );
    assert!(world.sim.fault_by_id(fault.id()).is_none());
}

#[tokio::test]
async fn a_cut_before_and_after_the_change() {
    for options in [Options::default(), Options::tls()] {
        let world = World::with(options).await;
        world.sim.fault(Fault::cut().writes().once());
        let error = world
            .patching(&json!({"value": "second"}))
            .send()
            .await
            .expect_err("cut");
        assert!(!error.is_timeout(), "{error:?}");
        assert_eq!(world.sim.value(&world.secret).as_deref(), Some("first"));
        world.sim.fault(Fault::cut().after().writes().once());
        world
            .patching(&json!({"value": "second"}))
            .send()
            .await
            .expect_err("cut");
        assert_eq!(world.sim.value(&world.secret).as_deref(), Some("second"));
        let log = world.sim.log().all();
        assert_eq!(log.len(), 2, "no client may have sent it again: {log:?}");
        assert_eq!((log[0].outcome, log[0].applied), (Outcome::Cut, false));
        assert_eq!((log[1].outcome, log[1].applied), (Outcome::Cut, true));
        assert_eq!(world.patch(json!({})).await.0, 200);
        assert_eq!(world.sim.connections(), 3);
    }
}

#[tokio::test]
async fn a_redirect_to_another_host() {
    let world = World::new().await;
    let other = Sim::start(Options::default()).await;
    let location = format!("{}{}", other.url(), world.path());
    world.sim.fault(Fault::redirect(307, &location));
    let response = world
        .patching(&json!({"value": "x"}))
        .send()
        .await
        .expect("answered");
    assert_eq!(
        (
            response.status().as_u16(),
            response.headers()["location"].to_str().ok()
        ),
        (307, Some(&*location))
    );
    assert_eq!((other.connections(), other.log().all().len()), (0, 0));
    let trusting = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let url = format!("{}{}", world.sim.url(), world.path());
    let response = trusting
        .patch(url)
        .json(&json!({"value": "x"}))
        .send()
        .await
        .expect("answered");
    assert_eq!(response.status(), 401, "the other host has another key");
    assert_eq!((other.connections(), other.log().writes().len()), (1, 1));
}

#[tokio::test]
async fn html_with_200() {
    let world = World::new().await;
    world.sim.fault(Fault::html());
    let response = world
        .patching(&json!({"value": "x"}))
        .send()
        .await
        .expect("answered");
    assert_eq!(response.status(), 200);
    assert_eq!(
        response.headers()["content-type"],
        "text/html; charset=utf-8"
    );
    assert!(
        response
            .text()
            .await
            .expect("a body")
            .starts_with("<!doctype html>")
    );
}

#[tokio::test]
async fn another_id_with_200() {
    let world = World::new().await;
    world.sim.fault(Fault::other_id("sec_other"));
    let (status, answer) = world.patch(json!({"value": "second"})).await;
    assert_eq!((status, &answer["id"]), (200, &json!("sec_other")));
    assert_eq!(
        answer["updated_at"],
        json!(world.sim.updated_at(&world.secret))
    );
}

#[tokio::test]
async fn raw_bytes_stand_in_place_of_an_answer() {
    for options in [Options::default(), Options::tls()] {
        let world = World::with(options).await;
        let head = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
        let babble = Fault::babble(head, "xy", Duration::ZERO);
        let http2 = world.sim.url().starts_with("https");
        let fault = world.sim.fault(babble.once());
        let response = world.request("GET", &world.list_path()).send().await;
        if http2 {
            // There it is nothing at all.
            response.expect_err("no answer");
        } else {
            let mut response = response.expect("a status");
            let mut read = Vec::new();
            while read.len() < 1 << 16 {
                read.extend(response.chunk().await.expect("more").expect("no end"));
            }
            assert!(read.starts_with(b"xyxy"));
        }
        assert_eq!(fault.fired(), 1);
        assert_eq!(world.sim.log().all()[0].outcome, Outcome::Cut);
        assert_eq!(world.patch(json!({"value": "x"})).await.0, 200);
    }
}

#[tokio::test]
async fn an_endless_body_streams_until_the_client_goes() {
    for options in [Options::default(), Options::tls()] {
        let world = World::with(options).await;
        let endless = Effect::Endless {
            start: String::from("["),
            repeat: String::from("{},"),
        };
        world.sim.fault(Fault::new(endless).once());
        let mut response = world
            .request("GET", &world.list_path())
            .send()
            .await
            .expect("answered");
        assert_eq!(
            (response.status().as_u16(), response.content_length()),
            (200, None)
        );
        let mut read = Vec::new();
        while read.len() < 1 << 20 {
            read.extend(response.chunk().await.expect("more").expect("no end"));
        }
        assert!(read.starts_with(b"[{},{},"));
        drop(response);
        world.sim.fault(Fault::endless().once());
        let mut response = world
            .request("GET", &world.list_path())
            .send()
            .await
            .expect("answered");
        assert!(
            response
                .chunk()
                .await
                .expect("more")
                .expect("no end")
                .starts_with(b"   ")
        );
    }
}

#[tokio::test]
async fn a_body_of_a_given_size() {
    let world = World::new().await;
    for (announced, length) in [(true, Some(300_000)), (false, None)] {
        world.sim.fault(
            Fault::new(Effect::Oversized {
                bytes: 300_000,
                announced,
            })
            .once(),
        );
        let response = world.patching(&json!({})).send().await.expect("answered");
        assert_eq!(response.content_length(), length);
        let body = response.bytes().await.expect("a body");
        assert_eq!(body.len(), 300_000);
        let answer: Value = serde_json::from_slice(&body).expect("the true answer");
        assert_eq!(answer["id"], json!(world.secret));
    }
}

#[tokio::test]
async fn an_error_that_echoes_what_was_sent() {
    let world = World::new().await;
    world.sim.fault(Fault::echo(400).once());
    let (status, answer) = world.patch(json!({"value": "canary"})).await;
    let error = answer["error"].as_str().expect("the documented form");
    assert_eq!(status, 400);
    assert!(
        error.contains(r#"{"value":"canary"}"#) && error.contains(world.sim.api_key()),
        "{error}"
    );
    world.sim.fault(
        Fault::new(Effect::Echo {
            status: 500,
            json: false,
        })
        .once(),
    );
    let response = world
        .patching(&json!({"value": "canary"}))
        .send()
        .await
        .expect("answered");
    assert_eq!(response.status(), 500);
    assert!(
        response
            .text()
            .await
            .expect("a body")
            .contains(r#"{"value":"canary"}"#)
    );
    assert_eq!(world.sim.value(&world.secret).as_deref(), Some("first"));
}

#[tokio::test]
async fn a_body_that_drips() {
    let world = World::new().await;
    world
        .sim
        .fault(Fault::drip(50, Duration::from_millis(5)).once());
    let begun = Instant::now();
    let (status, answer) = world.patch(json!({})).await;
    let length = answer.to_string().len();
    assert_eq!((status, &answer["id"]), (200, &json!(world.secret)));
    assert!(
        begun.elapsed()
            >= Duration::from_millis(5) * u32::try_from(length.div_ceil(50)).expect("few")
    );
    world.sim.fault(Fault::drip(1, Duration::from_hours(1)));
    let response = world
        .patching(&json!({}))
        .timeout(NEVER)
        .send()
        .await
        .expect("the head comes at once");
    assert!(response.bytes().await.expect_err("too slow").is_timeout());
}

#[tokio::test]
async fn a_change_can_be_applied_and_its_answer_replaced() {
    let world = World::new().await;
    world.sim.fault(Fault::status(502).after().method("POST"));
    assert_eq!(
        world.post(json!({"env_key": "NEW", "value": "v"})).await.0,
        502
    );
    let created = world.sim.secrets(&world.vault);
    assert_eq!((created.len(), created[1].env_key.as_str()), (2, "NEW"));
    let log = world.sim.log().secret(&created[1].id);
    assert_eq!(
        (log.len(), log[0].applied, log[0].status()),
        (1, true, Some(502))
    );
}
