//! A grant that is narrowed at the worst moment: what is queued, held back or about to be sent is not sent any more.

use super::*;

/// Two tenants of one connection and one key, each with a vault of its own. Returns the other's vault.
async fn two(setup: Setup) -> (World, String) {
    let world = setup.cluster_connection().start().await;
    let theirs = world.sim.add_vault(NewVault::default());
    let both = json!([
        granted(&world.namespace, &[&world.vault]),
        granted(&world.system, &[&theirs])
    ]);
    grant(&world, both).await;
    (world, theirs)
}

/// Takes the world's own namespace its grant.
async fn narrow(world: &World, theirs: &str) {
    grant(world, json!([granted(&world.system, &[theirs])])).await;
}

/// Gives it back.
async fn widen(world: &World, theirs: &str) {
    let both = json!([
        granted(&world.namespace, &[&world.vault]),
        granted(&world.system, &[theirs])
    ]);
    grant(world, both).await;
}

/// How often a reconcile of the object ended by waiting for something.
fn waits(world: &World, name: &str) -> usize {
    let waits = |line: &&Value| {
        line["message"] == "reconciled" && line["name"] == name && line["verdict"] == "Waiting"
    };
    world.operator.log_lines().iter().filter(waits).count()
}

/// Waits until the object waits once more than so often.
async fn waits_again(world: &World, name: &str, before: usize) {
    eventually("it waits", SOON, || async {
        (waits(world, name) > before).then_some(())
    })
    .await;
}

/// Waits until the operator has seen that something changed about an object whose request is under way.
async fn noticed(world: &World, due: f64) {
    eventually("the change is noticed", SOON, || async {
        let metrics = world.operator.metrics().await;
        (metrics.sample("vaultsecret_queue_depth") >= due).then_some(())
    })
    .await;
}

fn rotated(ids: &[String]) -> Vec<Sent> {
    let rotated = |id: &String| patch(id, json!({"value": "second"}));
    ids.iter().map(rotated).collect()
}

/// Who queues at a gate without a free slot is let go at once, and is in nobody's way there.
#[tokio::test]
async fn what_waits_at_a_full_gate_is_not_sent() {
    let (world, vault) = two(Setup::new().flag("--api-concurrency=1")).await;
    let (ours, theirs) = (Tenant::ours(&world), Tenant::theirs(&world));
    let names = ["a-1", "a-2", "a-3", "a-4"];
    let mut ids = Vec::new();
    for name in names {
        ids.push(ours.in_sync(name, &world.vault).await);
    }
    let going = world.remote("GOING", "old", &[]);
    let declared = ours.declare("going", &world.vault).delete_remote();
    let declared = declared.env_key("GOING").value_from("a-1", "key");
    ours.create(declared).await;
    ours.reason("going", "Synced").await;
    let slow = theirs.in_sync("slow", &vault).await;
    let late = theirs.in_sync("late", &vault).await;

    let mark = world.mark().await;
    let held = world
        .sim
        .fault(Fault::stall().secret(&slow).writes().once());
    theirs.set_secret("slow", "key", "second").await;
    held.wait_stalled(1, SOON).await.expect("it is held up");
    for name in names {
        let before = waits(&world, name);
        ours.set_secret(name, "key", "second").await;
        waits_again(&world, name, before).await;
    }
    let before = waits(&world, "going");
    ours.delete("going").await;
    waits_again(&world, "going", before).await;
    let before = waits(&world, "late");
    theirs.set_secret("late", "key", "second").await;
    waits_again(&world, "late", before).await;

    let began = Instant::now();
    narrow(&world, &vault).await;
    for name in names {
        ours.reason(name, "NotPermitted").await;
    }
    world.gone("going").await;
    prompt("barred", began);
    let released = Instant::now();
    held.release();
    theirs.reason("late", "Synced").await;
    let sent = |log: &nairi_sim::Entries| !log.since(mark.sim).secret(&late).ended().is_empty();
    let waited = world.sim.log().wait_for(sent, SOON).await;
    waited.expect("it is sent");
    let took = released.elapsed();
    assert!(
        took < Duration::from_secs(4),
        "nobody is before it: {took:?}"
    );
    let seen = world.since(&mark).await;
    seen.sent_exactly(&rotated(&[slow, late]));
    assert!(world.sim.secret(&going).is_some());
    let said = ours.events("going").await;
    let said = said.last().expect("an event");
    assert!(
        said.contains("does not grant this vault any more"),
        "{said}"
    );

    let mark = world.mark().await;
    let began = Instant::now();
    widen(&world, &vault).await;
    for name in names {
        ours.reason(name, "Synced").await;
    }
    prompt("permitted again", began);
    let seen = world.since(&mark).await;
    assert_eq!(besides_lists(&seen), in_any_order(rotated(&ids)));
}

/// A timer that runs out, and a gate that opens, find nothing to send.
#[tokio::test]
async fn what_is_to_be_tried_again_is_not_sent() {
    let (world, vault) = two(Setup::new()).await;
    let (ours, theirs) = (Tenant::ours(&world), Tenant::theirs(&world));
    let failing = ours.in_sync("failing", &world.vault).await;
    let silenced = ours.in_sync("silenced", &world.vault).await;
    let asks = theirs.in_sync("asks", &vault).await;
    let waits = theirs.in_sync("waits", &vault).await;
    let mark = world.mark().await;
    let fault = world.sim.fault(Fault::status(500).secret(&failing));
    ours.set_secret("failing", "key", "second").await;
    ours.reason("failing", "ApiUnavailable").await;
    let pause = Fault::retry_after(429, "4").secret(&asks).once();
    world.sim.fault(pause);
    theirs.set_secret("asks", "key", "second").await;
    theirs.reason("asks", "RateLimited").await;
    ours.set_secret("silenced", "key", "second").await;
    ours.reason("silenced", "RateLimited").await;
    let first = world.remote("FIRST", "old", &[]);
    let declared = ours.declare("first", &world.vault).env_key("FIRST");
    ours.create(declared.value_from("silenced", "key")).await;
    ours.reason("first", "RateLimited").await;
    theirs.set_secret("waits", "key", "second").await;
    theirs.reason("waits", "RateLimited").await;

    let began = Instant::now();
    narrow(&world, &vault).await;
    for name in ["failing", "silenced", "first"] {
        ours.reason(name, "NotPermitted").await;
    }
    prompt("barred", began);
    let barred = world.mark_now();
    fault.remove();
    for name in ["asks", "waits"] {
        theirs.reason(name, "Synced").await;
    }
    let seen = world.since(&barred).await;
    assert_eq!(besides_lists(&seen), in_any_order(rotated(&[asks, waits])));
    let of_ours = |entry: &nairi_sim::Entry| entry.path.contains(&world.vault);
    assert_eq!(seen.requests.only(of_ours).len(), 0);
    let tried = world.requests().since(mark.sim).only(of_ours);
    assert!(!tried.is_empty(), "it was tried before");

    let mark = world.mark().await;
    let began = Instant::now();
    widen(&world, &vault).await;
    for name in ["failing", "silenced", "first"] {
        ours.reason(name, "Synced").await;
    }
    prompt("permitted again", began);
    let seen = world.since(&mark).await;
    // Whether the failing one arrived is not known, so it may be asked for first.
    let mut sent = besides_lists(&seen);
    sent.retain(|sent| *sent != format!("{:?}", patch(&failing, json!({}))));
    assert_eq!(sent, in_any_order(rotated(&[failing, silenced, first])));
}

/// A list, or a read, that is under way is the last that is sent; and so is a PATCH, which counts.
#[tokio::test]
async fn what_is_about_to_be_sent_is_not_sent() {
    let (world, vault) = two(Setup::new()).await;
    let ours = Tenant::ours(&world);
    let asks = ours.in_sync("asks", &world.vault).await;
    ours.set_secret("asks", "key", "second").await;
    let domains = json!({"allowedDomains": ["first.example.com"]});
    world.edit_spec("asks", domains).await;
    ours.reason("asks", "Synced").await;
    let sends = ours.in_sync("sends", &world.vault).await;

    let mark = world.mark().await;
    let asking = Fault::stall().secret(&asks).once();
    let asking = world.sim.fault(asking);
    let sending = world.sim.fault(Fault::stall().secret(&sends).once());
    let domains = json!({"allowedDomains": ["second.example.com"]});
    world.edit_spec("asks", domains).await;
    ours.set_secret("sends", "key", "second").await;
    for held in [&asking, &sending] {
        held.wait_stalled(1, SOON).await.expect("it is held up");
    }
    let listing = Fault::stall().method("GET").vault(&world.vault).once();
    let listing = world.sim.fault(listing);
    let first = world.remote("FIRST", "old", &[]);
    let declared = ours.declare("first", &world.vault).env_key("FIRST");
    ours.create(declared.value_from("sends", "key")).await;
    let declared = ours.declare("created", &world.vault).env_key("CREATED");
    let declared = declared.create_if_missing().domains(["a.example.com"]);
    ours.create(declared.value_from("sends", "key")).await;
    listing.wait_stalled(1, SOON).await.expect("it is held up");

    let began = Instant::now();
    narrow(&world, &vault).await;
    for name in ["first", "created"] {
        ours.reason(name, "NotPermitted").await;
    }
    prompt("barred", began);
    noticed(&world, 2.0).await;
    let sent = world.requests().since(mark.sim).len();
    let began = Instant::now();
    for held in [asking, sending, listing] {
        held.release();
    }
    for name in ["asks", "sends"] {
        ours.reason(name, "NotPermitted").await;
    }
    prompt("barred", began);
    let seen = world.since(&mark).await;
    let under_way = [
        patch(&asks, json!({})),
        patch(&sends, json!({"value": "second"})),
    ];
    assert_eq!(besides_lists(&seen), in_any_order(under_way));
    assert_eq!(seen.requests.len(), sent, "nothing came after");

    let mark = world.mark().await;
    let began = Instant::now();
    widen(&world, &vault).await;
    for name in ["first", "created", "asks", "sends"] {
        ours.reason(name, "Synced").await;
    }
    prompt("permitted again", began);
    let seen = world.since(&mark).await;
    let created =
        json!({"env_key": "CREATED", "value": "second", "allowed_domains": ["a.example.com"]});
    let due = [
        patch(&asks, json!({})),
        patch(&asks, json!({"allowed_domains": ["second.example.com"]})),
        patch(&first, json!({"value": "second"})),
        post(&world.vault, created),
    ];
    assert_eq!(
        besides_lists(&seen),
        in_any_order(due),
        "what arrived is known"
    );
}
