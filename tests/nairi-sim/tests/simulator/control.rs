//! The control endpoint.

use nairi_sim::{Fault, Options};
use serde_json::{Value, json};

use crate::world::{World, read};

async fn controlled() -> World {
    World::with(Options {
        control: true,
        ..Options::default()
    })
    .await
}

async fn call(world: &World, method: &str, path: &str, body: Value) -> (u16, Value) {
    let url = format!("{}{path}", world.sim.url());
    let request = world.client.request(method.parse().expect("a method"), url);
    let request = if body.is_null() {
        request
    } else {
        request.body(body.to_string())
    };
    read(request.send().await.expect("answered")).await
}

#[tokio::test]
async fn the_log_can_be_read_waited_for_and_cleared() {
    let world = controlled().await;
    world.list().await;
    world.patch(json!({"value": "canary"})).await;
    let (status, log) = call(&world, "GET", "/sim/log", Value::Null).await;
    assert_eq!((status, log.as_array().expect("an array").len()), (200, 2));
    assert!(!log.to_string().contains("canary") && !log.to_string().contains(world.sim.api_key()));
    assert_eq!(log[1]["fields"], json!(["value"]));
    assert_eq!(
        (&log[1]["status"], &log[1]["applied"]),
        (&json!(200), &json!(true))
    );
    let (_, log) = call(
        &world,
        "GET",
        "/sim/log?writes=true&bodies=true&at_least=1",
        Value::Null,
    )
    .await;
    assert_eq!(
        (log[0]["seq"].clone(), log[0]["body"].clone()),
        (json!(1), json!(r#"{"value":"canary"}"#))
    );
    let bearer = format!("Bearer {}", world.sim.api_key());
    assert_eq!(log[0]["headers"]["authorization"], json!(bearer));
    let of = format!("/sim/log?secret={}&since=1", world.secret);
    assert_eq!(
        call(&world, "GET", &of, Value::Null).await.1[0]["seq"],
        json!(1)
    );
    assert_eq!(
        call(
            &world,
            "GET",
            "/sim/log?at_least=9&timeout_ms=10",
            Value::Null
        )
        .await
        .0,
        504
    );
    assert_eq!(
        call(&world, "GET", "/sim/log?since=x", Value::Null).await.0,
        400
    );
    assert_eq!(call(&world, "DELETE", "/sim/log", Value::Null).await.0, 200);
    assert_eq!(
        world.sim.log().all().len(),
        0,
        "what controls is not logged"
    );
}

#[tokio::test]
async fn faults_come_and_go() {
    let world = controlled().await;
    let fault = json!({
        "effect": {"answer": {"status": 503, "headers": {"retry-after": "1"}, "body": "{}"}},
        "method": "PATCH",
        "target": {"secret": world.secret},
        "times": {"count": 1},
    });
    let (status, added) = call(&world, "POST", "/sim/faults", fault).await;
    assert_eq!(status, 201);
    let path = format!("/sim/faults/{}", added["id"]);
    assert_eq!(world.patch(json!({})).await.0, 503);
    assert_eq!(world.patch(json!({})).await.0, 200);
    assert_eq!(
        call(&world, "GET", &path, Value::Null).await.1["fired"],
        json!(1)
    );
    assert_eq!(call(&world, "DELETE", &path, Value::Null).await.0, 200);
    assert_eq!(call(&world, "GET", &path, Value::Null).await.0, 404);
    let plain = json!({"effect": "stall", "moment": "after"});
    let (_, stall) = call(&world, "POST", "/sim/faults", plain).await;
    let release = format!("/sim/faults/{}/release", stall["id"]);
    assert_eq!(
        call(&world, "POST", &release, Value::Null).await.1["released"],
        json!(true)
    );
    assert_eq!(
        call(&world, "GET", "/sim/faults", Value::Null)
            .await
            .1
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    call(&world, "DELETE", "/sim/faults", Value::Null).await;
    assert_eq!(world.sim.faults().len(), 0);
    assert_eq!(
        call(&world, "POST", "/sim/faults", json!({"effect": "no"}))
            .await
            .0,
        400
    );
}

#[tokio::test]
async fn every_effect_can_be_written_as_json() {
    let effects = [
        json!("stall"),
        json!("cut"),
        json!({"delay": {"ms": 5}}),
        json!({"echo": {"status": 400, "json": true}}),
        json!({"other_id": "sec_x"}),
        json!({"endless": {"start": "[", "repeat": "{},"}}),
        json!({"oversized": {"bytes": 300, "announced": false}}),
        json!({"drip": {"bytes": 1, "ms": 10}}),
    ];
    for effect in effects {
        let fault: Fault = serde_json::from_value(json!({"effect": effect})).expect("a fault");
        assert_eq!(
            serde_json::to_value(&fault).expect("JSON")["effect"],
            effect
        );
    }
    let times = json!({"effect": "cut", "times": {"share": {"share": 0.5, "seed": 1}}});
    serde_json::from_value::<Fault>(times).expect("a share");
}

#[tokio::test]
async fn an_outsider_by_curl() {
    let world = controlled().await;
    let path = format!("/sim/secrets/{}", world.secret);
    let (status, stored) = call(&world, "PATCH", &path, json!({"value": "theirs"})).await;
    assert_eq!((status, &stored["value"]), (200, &json!("theirs")));
    call(
        &world,
        "PATCH",
        &path,
        json!({"allowed_domains": ["evil.com"]}),
    )
    .await;
    let before = world.sim.updated_at(&world.secret);
    call(&world, "POST", &format!("{path}/touch"), Value::Null).await;
    assert_ne!(world.sim.updated_at(&world.secret), before);
    let (_, stored) = call(&world, "GET", &path, Value::Null).await;
    assert_eq!(stored["allowed_domains"], json!(["evil.com"]));
    let vault = json!({"id": "vlt_mine", "secrets": [{"env_key": "A", "value": "1"}]});
    assert_eq!(
        call(&world, "POST", "/sim/vaults", vault).await,
        (201, json!({"id": "vlt_mine"}))
    );
    let (status, made) = call(
        &world,
        "POST",
        "/sim/vaults/vlt_mine/secrets",
        json!({"env_key": "B"}),
    )
    .await;
    assert_eq!((status, made["id"].is_string()), (201, true));
    assert_eq!(
        call(
            &world,
            "POST",
            "/sim/vaults/vlt_mine/secrets",
            json!({"env_key": "B"})
        )
        .await
        .0,
        409
    );
    let (_, state) = call(&world, "GET", "/sim/state", Value::Null).await;
    assert_eq!(state["vaults"].as_array().map(Vec::len), Some(2));
    assert_eq!(call(&world, "DELETE", &path, Value::Null).await.0, 200);
    assert_eq!(call(&world, "DELETE", &path, Value::Null).await.0, 404);
    assert_eq!(
        call(&world, "GET", "/sim/nothing", Value::Null).await.0,
        404
    );
    assert_eq!(world.sim.log().all().len(), 0);
}

#[tokio::test]
async fn behaviour_and_keys_by_curl() {
    let world = controlled().await;
    let change = json!({"equal_value_is_change": true, "list_lag": {"writes": 1}, "latency_ms": 1});
    let (status, all) = call(&world, "PATCH", "/sim/behaviour", change).await;
    assert_eq!(
        (status, &all["duplicate_env_key"]),
        (200, &json!({"refused": 400}))
    );
    assert!(world.sim.behaviour().equal_value_is_change);
    assert_eq!(world.list().await.len(), 0);
    assert_eq!(
        call(&world, "PATCH", "/sim/behaviour", json!({"no": 1}))
            .await
            .0,
        400
    );
    assert_eq!(
        call(&world, "GET", "/sim/behaviour", Value::Null).await.1,
        all
    );
    call(&world, "POST", "/sim/keys", json!({"key": "nr_new"})).await;
    let old = format!("/sim/keys/{}", world.sim.api_key());
    assert_eq!(call(&world, "DELETE", &old, Value::Null).await.0, 200);
    assert_eq!(call(&world, "DELETE", &old, Value::Null).await.0, 404);
    assert_eq!(
        call(&world, "GET", "/sim/keys", Value::Null).await.1,
        json!(["nr_new"])
    );
    assert_eq!(world.patch(json!({})).await.0, 401);
}
