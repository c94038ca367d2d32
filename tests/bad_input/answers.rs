//! What the API answers, or something in its place.

use std::time::Instant;

use nairi_sim::{Answer, Effect, FaultHandle};

use super::*;

/// How long the operator waits for an answer here.
const TIMEOUT: &str = "--api-timeout=2s";

/// A fault of one secret's requests.
struct Bad {
    name: &'static str,
    fault: Fault,
    says: Trouble,
}

fn transient(name: &'static str, fault: Fault, what: &str) -> Bad {
    let says = retried(
        "ApiUnavailable",
        format!("Nairi: {what}. It is tried again."),
    );
    Bad { name, fault, says }
}

/// The value that is sent into the fault: nowhere else in the world.
fn canary(name: &str) -> String {
    format!("canary-{name}")
}

/// Makes an object in sync for each, then lets each meet its fault with a new value. Returns the ids and the faults.
async fn break_all(world: &World, all: &[Bad]) -> Vec<(String, FaultHandle)> {
    let mut broken = Vec::new();
    for bad in all {
        let id = in_sync(world, bad.name, "first").await;
        let fault = world.sim.fault(bad.fault.clone().secret(&id));
        broken.push((id, fault));
    }
    broken
}

/// Answers nobody can rely on, and none at all. `elsewhere` is the address of another server.
fn unreliable(world: &World, elsewhere: &str) -> Vec<Bad> {
    let host = world.sim.address();
    let untrue = |what: &str| format!("the answer of {host} {what}: check --api-url");
    let no_secret = untrue("is not a secret in JSON with id, env_key and updated_at");
    let unavailable =
        |status: u16| format!("{host} answered {status}: it can't serve the request now");
    let json_answer = |body: Value| {
        let answer = Answer::new(200, body.to_string());
        Fault::answer(answer.header("content-type", "application/json"))
    };
    let incomplete = json!({"id": "sec_1", "env_key": "INCOMPLETE", "allowed_domains": [], "created_at": "2026-04-25T11:45:19.000Z"});
    let location = format!("{elsewhere}/api/public/v1/vaults/v/secrets/s");
    let page = Answer::new(404, "<h1>not found</h1>").header("content-type", "text/html");
    vec![
        transient("html", Fault::html(), &no_secret),
        transient("incomplete", json_answer(incomplete), &no_secret),
        transient("a-list", json_answer(json!([])), &no_secret),
        transient(
            "other-id",
            Fault::other_id("sec_01KQ27AQH800XQTQPJZ0DH14SJ"),
            &untrue("is about another secret than the one asked for"),
        ),
        transient(
            "endless",
            Fault::endless(),
            &untrue("is larger than 256 KiB"),
        ),
        transient(
            "redirect",
            Fault::redirect(307, &location),
            &format!(
                "{host} answered with a redirect (307), and redirects are not followed: check --api-url"
            ),
        ),
        transient(
            "moved",
            Fault::redirect(302, &location),
            &format!(
                "{host} answered with a redirect (302), and redirects are not followed: check --api-url"
            ),
        ),
        transient(
            "a-page",
            Fault::answer(page),
            &format!(
                "{host} answered 404, but not in the form of the Nairi API: check --api-url and what stands in between"
            ),
        ),
        transient("error-500", Fault::status(500), &unavailable(500)),
        transient("error-502", Fault::status(502), &unavailable(502)),
        transient("error-503", Fault::status(503), &unavailable(503)),
        transient("error-408", Fault::status(408), &unavailable(408)),
        transient("echo", Fault::echo(500), &unavailable(500)),
        transient(
            "cut",
            Fault::cut(),
            &format!("the connection to {host} broke before the answer was complete"),
        ),
        transient(
            "stall",
            Fault::stall(),
            &format!("the request to {host} timed out after 2s"),
        ),
    ]
}

/// A page of a gateway, an answer about something else, an endless one: nothing of it is believed, and the value is
/// sent again until there is a true answer.
#[tokio::test]
async fn what_may_go_well_next_time_is_tried_again() {
    let elsewhere = Sim::start(Options::default()).await;
    let world = Setup::new().flag(TIMEOUT).start().await;
    let all = unreliable(&world, elsewhere.url());
    let broken = break_all(&world, &all).await;
    let bystander = in_sync(&world, "bystander", "first").await;
    let mark = world.mark_now();
    for bad in &all {
        world.set_secret(bad.name, "key", &canary(bad.name)).await;
    }
    for bad in &all {
        let object = says(&world, bad.name, &bad.says).await;
        let status = object.status.expect("it has one");
        assert_eq!(
            json!(status.pending_fields),
            json!(["value"]),
            "{}",
            bad.name
        );
        assert_eq!(
            json!(status.last_patch.expect("the first").fields),
            json!(["value"])
        );
    }
    // The others are not held up.
    let began = Instant::now();
    world.set_secret("bystander", "key", "second").await;
    let rotated =
        |log: &nairi_sim::Entries| log.since(mark.sim).secret(&bystander).ended().len() == 1;
    world
        .sim
        .log()
        .wait_for(rotated, SOON)
        .await
        .expect("it is rotated");
    assert!(began.elapsed() < PROMPT);

    for (_, fault) in &broken {
        fault.remove();
    }
    for bad in &all {
        world.synced(bad.name).await;
    }
    let seen = world.since(&mark).await;
    let mut count = 1;
    for (bad, (id, fault)) in all.iter().zip(&broken) {
        let sent = seen.requests.secret(id);
        let tries = usize::try_from(fault.fired()).expect("few");
        assert_eq!(sent.len(), tries + 1, "{}: {sent:?}", bad.name);
        for request in sent.iter() {
            let only = patch(id, json!({"value": canary(bad.name)}));
            assert_eq!(Sent::from(&**request), only);
        }
        assert_eq!(world.sim.value(id), Some(canary(bad.name)));
        let said = events(&world, bad.name).await;
        assert_eq!(said, [SYNCED.to_owned(), bad.says.event()], "{}", bad.name);
        count += sent.len();
    }
    assert_eq!(seen.requests.len(), count, "{:?}", seen.requests);
    assert_eq!(elsewhere.connections(), 0, "redirects are not followed");
    nowhere(&world, &["canary", world.sim.api_key()]).await;
}

/// What the API refuses is sent once, and again when something about it has changed.
#[tokio::test]
async fn what_is_refused_waits_for_a_change() {
    let world = World::start().await;
    let host = world.sim.address();
    let rejected = |name, status: u16, fault| Bad {
        name,
        fault,
        says: stalled(
            "Rejected",
            format!(
                "Nairi: {host} answered {status}: it refuses the request. Correct the declaration; it is tried again every hour."
            ),
        ),
    };
    let plain = Fault::new(Effect::Echo {
        status: 422,
        json: false,
    });
    let all = [
        rejected("error-400", 400, Fault::status(400)),
        rejected("error-403", 403, Fault::status(403)),
        rejected("error-409", 409, Fault::status(409)),
        rejected("error-422", 422, Fault::status(422)),
        rejected("error-413", 413, Fault::status(413)),
        rejected("echo", 400, Fault::echo(400)),
        rejected("plain-echo", 422, plain),
    ];
    let broken = break_all(&world, &all).await;
    let mark = world.mark().await;
    for bad in &all {
        world.set_secret(bad.name, "key", &canary(bad.name)).await;
    }
    for bad in &all {
        let object = says(&world, bad.name, &bad.says).await;
        let pending = object.status.expect("it has one").pending_fields;
        assert_eq!(json!(pending), json!(["value"]), "{}", bad.name);
    }
    let quiet = |log: &nairi_sim::Entries| {
        let tries = broken
            .iter()
            .map(|(id, _)| log.since(mark.sim).secret(id).len());
        tries.sum::<usize>() == all.len()
    };
    let so_long = Duration::from_secs(3);
    world
        .sim
        .log()
        .stays(quiet, so_long)
        .await
        .expect("sent once each");
    let seen = world.since(&mark).await;
    let patches: Vec<_> = all
        .iter()
        .zip(&broken)
        .map(|(bad, (id, _))| patch(id, json!({"value": canary(bad.name)})))
        .collect();
    let mut sent = seen.sent();
    sent.sort_by_key(|sent| patches.iter().position(|patch| patch == sent));
    assert_eq!(sent, patches);
    for bad in &all {
        let said = events(&world, bad.name).await;
        assert_eq!(said, [SYNCED.to_owned(), bad.says.event()], "{}", bad.name);
    }
    nowhere(&world, &["canary", world.sim.api_key()]).await;

    let mark = world.mark().await;
    for (bad, (_, fault)) in all.iter().zip(&broken) {
        fault.remove();
        let began = Instant::now();
        world.set_secret(bad.name, "key", "shorter").await;
        cured(&world, bad.name, began).await;
    }
    let seen = world.since(&mark).await;
    let patches: Vec<_> = broken
        .iter()
        .map(|(id, _)| patch(id, json!({"value": "shorter"})))
        .collect();
    seen.sent_exactly(&patches);
}

/// Where no value was on its way, the API's own words are the best explanation.
#[tokio::test]
async fn what_the_api_says_of_domains_is_passed_on() {
    let world = World::start().await;
    let id = world.remote("TOKEN", "theirs", &["old.example.com"]);
    let answer = Answer::error(
        422,
        "allowed_domains[0]: no such TLD; key nr_canary refused\u{1b}[31m",
    );
    world.sim.fault(Fault::answer(answer).secret(&id));
    let mark = world.mark().await;
    let declared = world.vault_secret("token").env_key("TOKEN");
    world
        .create(declared.domains(["api.example.invalid"]))
        .await;
    let says_why = stalled(
        "Rejected",
        format!(
            "Nairi: {} answered 422: it refuses the request (\"allowed_domains[0]: no such TLD; key *** refused\"). Correct the declaration; it is tried again every hour.",
            world.sim.address()
        ),
    );
    let object = says(&world, "token", &says_why).await;
    let pending = object.status.expect("it has one").pending_fields;
    assert_eq!(json!(pending), json!(["allowedDomains"]));
    let seen = world.since(&mark).await;
    let domains = json!({"allowed_domains": ["api.example.invalid"]});
    seen.sent_exactly(&[list(&world.vault), patch(&id, domains)]);

    let mark = world.mark().await;
    world.sim.clear_faults();
    let began = Instant::now();
    let domains = json!(["api.example.com"]);
    world
        .edit_spec("token", json!({"allowedDomains": domains}))
        .await;
    cured(&world, "token", began).await;
    let seen = world.since(&mark).await;
    assert_eq!(
        without_lists(&seen),
        [patch(&id, json!({"allowed_domains": domains}))]
    );
}

/// A list that can't be had is tried again, and what is in sync stays so.
#[tokio::test]
async fn a_vault_that_cannot_be_listed() {
    let world = World::start().await;
    in_sync(&world, "steady", "first").await;
    let host = world.sim.address();
    let no_list = format!("the answer of {host} is not a JSON array of objects: check --api-url");
    let endless = Fault::new(Effect::Endless {
        start: "[".to_owned(),
        repeat: " ".to_owned(),
    });
    let all = [
        transient("html", Fault::html(), &no_list),
        transient(
            "error-500",
            Fault::status(500),
            &format!(
                "{host} answered 500: it can't serve the request now (\"the simulator was told to fail\")"
            ),
        ),
        transient(
            "endless",
            endless,
            &format!("the answer of {host} is larger than 16 MiB: check --api-url"),
        ),
        transient(
            "cut",
            Fault::cut(),
            &format!("the connection to {host} broke before the answer was complete"),
        ),
    ];
    let mark = world.mark().await;
    let mut broken = Vec::new();
    for bad in &all {
        let vault = world.sim.add_vault(NewVault::default());
        let fault = world
            .sim
            .fault(bad.fault.clone().vault(&vault).method("GET"));
        let secret = NewSecret::new("TOKEN", "old", &["old.example.com"]);
        let id = world.sim.add_secret(&vault, secret);
        fill(&world.secrets(), bad.name, &[("key", b"first")]).await;
        let declared = world.vault_secret(bad.name).vault(&vault).env_key("TOKEN");
        world.create(declared.value_from(bad.name, "key")).await;
        broken.push((vault, id, fault));
    }
    for bad in &all {
        says(&world, bad.name, &bad.says).await;
    }
    for (.., fault) in &broken {
        fault.remove();
    }
    for bad in &all {
        world.synced(bad.name).await;
    }
    let seen = world.since(&mark).await;
    for (bad, (vault, id, fault)) in all.iter().zip(&broken) {
        let mut sent = seen.sent();
        let in_vault = [list(vault), patch(id, json!({"value": "first"}))];
        sent.retain(|sent| in_vault.contains(sent));
        let [list, patch] = in_vault;
        let mut expected = vec![list; usize::try_from(fault.fired()).expect("few") + 1];
        expected.push(patch);
        assert_eq!(sent, expected, "{}", bad.name);
        let said = events(&world, bad.name).await;
        assert_eq!(said, [bad.says.event(), SYNCED.to_owned()], "{}", bad.name);
    }
    assert_eq!(seen.requests.writes().len(), all.len());
    assert_eq!(events(&world, "steady").await, [SYNCED]);
}
