//! The API asks for a pause.

use super::*;

/// `Retry-After` is obeyed by everybody who uses the key.
async fn silence(status: u16) {
    let pause = Duration::from_secs(5);
    let world = World::start().await;
    let first = in_sync(&world, "first", "first").await;
    let others = ["second", "third", "fourth"];
    let mut ids = Vec::new();
    for name in others {
        ids.push(in_sync(&world, name, "first").await);
    }
    let mark = world.mark().await;
    world
        .sim
        .fault(Fault::retry_after(status, "5").secret(&first).once());
    world.set_secret("first", "key", "rotated").await;
    let told = retried(
        "RateLimited",
        "Nairi asked to wait (Retry-After): nothing is sent with this API key meanwhile, for 5 minutes at most; then it is tried again.",
    );
    says(&world, "first", &told).await;
    for name in others {
        world.set_secret(name, "key", "rotated").await;
    }
    for name in others {
        let object = says(&world, name, &told).await;
        let pending = object.status.expect("it has one").pending_fields;
        assert_eq!(json!(pending), json!(["value"]), "{name}");
    }
    world.synced("first").await;
    for name in others {
        world.synced(name).await;
    }
    let seen = world.since(&mark).await;
    let rotated = |id: &String| patch(id, json!({"value": "rotated"}));
    let mut expected = vec![rotated(&first), rotated(&first)];
    expected.extend(ids.iter().map(rotated));
    let mut sent = seen.sent();
    sent.sort_by_key(|sent| expected.iter().position(|expected| expected == sent));
    assert_eq!(sent, expected, "each once, and the one that was put off");
    let answered = seen.requests[0].ended.expect("it was answered");
    for request in &seen.requests[1..] {
        let after = request.arrived - answered;
        assert!(after >= pause && after < pause + PROMPT, "{after:?}");
    }
    for name in others.into_iter().chain(["first"]) {
        let said = events(&world, name).await;
        assert_eq!(said, [SYNCED.to_owned(), told.event()], "{name}");
    }
    world.connected("Verified").await;
}

#[tokio::test]
async fn a_429_silences_the_key() {
    silence(429).await;
}

#[tokio::test]
async fn a_503_with_a_time_silences_the_key() {
    silence(503).await;
}
