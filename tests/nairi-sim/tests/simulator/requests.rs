//! The log: exact bodies, and waits without polling.

use std::time::Duration;

use nairi_sim::{BASE, Fault, Outcome};
use reqwest::Version;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::world::{SOON, World};

#[tokio::test]
async fn an_entry_has_all_that_was_sent_byte_for_byte() {
    let world = World::new().await;
    let body = "{ \"value\" :\"s\\u00e9cond\",\"allowed_domains\": [ ] }\n";
    let request = world
        .request("PATCH", &format!("{}?x=1", world.path()))
        .header("content-type", "application/json")
        .header("user-agent", "tester/1 (me)")
        .body(body);
    assert_eq!(request.send().await.expect("sent").status(), 200);
    let all = world.sim.log().all();
    let entry = &all[0];
    assert_eq!(all.len(), 1);
    assert_eq!(
        (entry.seq, entry.connection, entry.version),
        (0, 1, Version::HTTP_11)
    );
    assert_eq!(entry.method, "PATCH");
    assert_eq!(entry.path, format!("{}?x=1", world.path()));
    assert_eq!(entry.body, body.as_bytes());
    assert_eq!(entry.header("user-agent"), Some("tester/1 (me)"));
    let bearer = format!("Bearer {}", world.sim.api_key());
    assert_eq!(entry.header("authorization"), Some(bearer.as_str()));
    assert_eq!(entry.secret_id.as_deref(), Some(world.secret.as_str()));
    assert_eq!(
        (entry.outcome, entry.status(), entry.applied),
        (Outcome::Answered(200), Some(200), true)
    );
    assert_eq!(entry.fields(), ["allowed_domains", "value"]);
    assert_eq!(
        entry.json(),
        Some(json!({"value": "sécond", "allowed_domains": []}))
    );
    assert!(entry.ended.expect("ended") >= entry.arrived);
    assert!(entry.ended_at.expect("ended") >= entry.arrived_at);
    let shown = format!("{entry:?}");
    assert!(
        !shown.contains("cond") && !shown.contains(world.sim.api_key()),
        "{shown}"
    );
}

#[tokio::test]
async fn only_real_writes_are_writes() {
    let world = World::new().await;
    world.list().await;
    world.patch(json!({})).await;
    let mark = world.sim.mark();
    world.patch(json!({"value": "second"})).await;
    world.post(json!({"env_key": "NEW", "value": "v"})).await;
    world.delete(&world.path()).await;
    world.get(&format!("{BASE}/vaults")).await;
    let log = world.sim.log();
    let methods: Vec<String> = log
        .writes()
        .iter()
        .map(|entry| entry.method.to_string())
        .collect();
    assert_eq!(methods, ["PATCH", "POST", "DELETE"]);
    assert_eq!(log.all().len(), 6);
    assert_eq!(log.since(mark).len(), 4);
    assert_eq!(log.since(mark).writes().len(), 3);
    assert_eq!(log.secret(&world.secret).len(), 3);
    assert_eq!(log.secret(&world.secret).writes().method("PATCH").len(), 1);
    let mark = world.sim.mark();
    log.clear();
    assert_eq!((log.all().len(), world.sim.mark()), (0, mark));
    world.patch(json!({})).await;
    assert_eq!(log.since(mark).len(), 1);
    assert_eq!(log.all()[0].seq, 6);
}

#[tokio::test]
async fn a_wait_ends_with_what_it_waits_for_or_says_what_there_was() {
    let world = World::new().await;
    let log = world.sim.log().clone();
    let wait = tokio::spawn(async move {
        log.wait_for(|all| all.writes().ended().len() == 2, SOON)
            .await
    });
    world.patch(json!({"value": "a"})).await;
    world.patch(json!({"value": "b"})).await;
    let entries = wait.await.expect("joined").expect("seen");
    assert_eq!(entries.len(), 2);
    let short = Duration::from_millis(20);
    let late = world
        .sim
        .log()
        .wait_for(|all| all.len() == 3, short)
        .await
        .expect_err("only two");
    assert_eq!((late.waited, late.entries.len()), (short, 2));
    assert!(late.to_string().contains("holds 2 requests"), "{late}");
}

#[tokio::test]
async fn a_client_that_leaves_abandons_its_request() {
    let world = World::new().await;
    let fault = world.sim.fault(Fault::stall());
    let request = world.patching(&json!({"value": "second"}));
    let asking = tokio::spawn(request.send());
    fault.wait_stalled(1, SOON).await.expect("stalled");
    assert_eq!(world.sim.log().all()[0].outcome, Outcome::Pending);
    asking.abort();
    let ended = world
        .sim
        .log()
        .wait_for(|all| all.ended().len() == 1, SOON)
        .await
        .expect("ended");
    assert_eq!(
        (ended[0].outcome, ended[0].applied),
        (Outcome::Abandoned, false)
    );
    assert_eq!(fault.stalled(), 0);
}

#[tokio::test]
async fn the_log_keeps_so_many() {
    let options = nairi_sim::Options {
        log_limit: 2,
        ..nairi_sim::Options::default()
    };
    let world = World::with(options).await;
    for value in ["a", "b", "c"] {
        world.patch(json!({"value": value})).await;
    }
    let kept: Vec<u64> = world
        .sim
        .log()
        .all()
        .iter()
        .map(|entry| entry.seq)
        .collect();
    assert_eq!(kept, [1, 2]);
    assert!(
        world
            .sim
            .log()
            .all()
            .iter()
            .all(|entry| entry.status() == Some(200))
    );
}

#[tokio::test]
async fn a_log_that_stays_as_it_is_and_one_that_does_not() {
    let world = World::new().await;
    let calm = world
        .sim
        .log()
        .stays(|all| all.writes().is_empty(), Duration::from_millis(20))
        .await;
    assert_eq!(calm.expect("nothing came").len(), 0);
    let log = world.sim.log().clone();
    let watch = tokio::spawn(async move { log.stays(|all| all.writes().is_empty(), SOON).await });
    world.patch(json!({"value": "second"})).await;
    assert_eq!(
        watch
            .await
            .expect("joined")
            .expect_err("a write came")
            .len(),
        1
    );
}

#[tokio::test]
async fn a_request_that_breaks_off_is_logged_as_abandoned() {
    let world = World::new().await;
    let mut socket = TcpStream::connect(world.sim.address())
        .await
        .expect("connected");
    let head = format!(
        "PATCH {} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{{\"value",
        world.path()
    );
    socket.write_all(head.as_bytes()).await.expect("sent");
    socket.shutdown().await.expect("closed");
    let ended = world
        .sim
        .log()
        .wait_for(|all| all.ended().len() == 1, SOON)
        .await
        .expect("ended");
    assert_eq!(
        (ended[0].outcome, ended[0].applied),
        (Outcome::Abandoned, false)
    );
}
