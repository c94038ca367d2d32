//! What requests are answered, and what memory that takes.

use std::time::Instant;

use nairi_sim::{Answer, Effect, FaultHandle};

use super::*;

/// How much memory the operator may have in use, whatever a server does, also in a debug build.
const MOST_MEMORY_KIB: u64 = 64 * 1024;

/// How soon a rotation beside all this reaches its vault: far below what is waited for here.
const PROMPT: Duration = Duration::from_secs(5);

/// What is said where a list shows a key several times.
const AMBIGUOUS: &str = "AmbiguousEnvKey";

struct Bad {
    name: &'static str,
    fault: Fault,
    says: String,
}

fn json_answer(body: impl Into<String>) -> Fault {
    Fault::answer(Answer::new(200, body).header("content-type", "application/json"))
}

/// An answer as it goes over the wire. The connection is not used again: nobody answers there any more.
fn packed(body: &[u8]) -> Fault {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    Fault::raw([head.as_bytes(), body].concat())
}

/// The beginning of something that is a gigabyte once it is unpacked.
fn bomb() -> Vec<u8> {
    [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3][..], &vec![0; 100_000]].concat()
}

fn secret(id: &str, env_key: &str, domains: &Value) -> Value {
    json!({
        "id": id,
        "env_key": env_key,
        "allowed_domains": domains,
        "created_at": "2026-04-25T11:45:19.000Z",
        "updated_at": "2026-04-12T18:50:00.000Z",
    })
}

/// Answers to a PATCH with a value in it.
fn to_a_patch(host: &str, elsewhere: &str) -> Vec<Bad> {
    let tick = Duration::from_millis(50);
    let bad = |name, fault, says: String| Bad { name, fault, says };
    let untrue = |what: &str| format!("the answer of {host} {what}: check --api-url");
    let broken =
        |what: &str| format!("the connection to {host} broke before the answer was complete{what}");
    let late = format!("the request to {host} timed out after 3s");
    let redirected = |status: u16| {
        format!(
            "{host} answered with a redirect ({status}), and redirects are not followed: check --api-url"
        )
    };
    let no_secret = untrue("is not a secret in JSON with id, env_key and updated_at");
    let unfit = untrue(
        "shows a secret with too many domains, or with texts that are too long or not printable",
    );
    let no_id = untrue("shows an id that is not made of 1 to 128 letters, digits, _ and -");
    let large = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n".repeat(100);
    let twice = r#"{"id":"sec_1","id":"sec_2","env_key":"A","updated_at":"u"}"#;
    let number = r#"{"id":"sec_1","env_key":1e999999,"updated_at":"u"}"#;
    let deep = "[".repeat(200_000);
    let shows =
        |env_key: &str, domains: Value| json_answer(secret("sec_1", env_key, &domains).to_string());
    vec![
        bad(
            "slow-headers",
            Fault::babble("HTTP/1.1 200 OK\r\nx: ", "x", tick),
            late.clone(),
        ),
        bad("slow-body", Fault::drip(1, tick), late.clone()),
        bad("early-hints", Fault::babble("", &hints, tick), late),
        bad(
            "large-headers",
            Fault::raw(large),
            broken(": its headers are too large"),
        ),
        bad(
            "no-http",
            Fault::raw("SSH-2.0-OpenSSH\r\n"),
            broken(": it does not speak HTTP there"),
        ),
        bad(
            "huge",
            Fault::oversized(50 << 20),
            untrue("is larger than 256 KiB"),
        ),
        bad("gzip", packed(&bomb()), no_secret.clone()),
        bad(
            "no-text",
            Fault::raw(
                &b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\n\"\xff\"}"[..],
            ),
            no_secret.clone(),
        ),
        bad("deep", json_answer(deep), no_secret.clone()),
        bad("twice", json_answer(twice), no_secret.clone()),
        bad("number", json_answer(number), no_secret),
        bad(
            "escapes",
            shows("\u{1b}]0;x\u{7}", json!([])),
            unfit.clone(),
        ),
        bad("domains", shows("A", json!(vec!["a.com"; 5000])), unfit),
        bad("traversal", Fault::other_id("../../../admin"), no_id),
        bad(
            "loop",
            Fault::redirect(307, &format!("http://{host}/api/public/v1/vaults")),
            redirected(307),
        ),
        bad(
            "elsewhere",
            Fault::redirect(308, elsewhere),
            redirected(308),
        ),
    ]
}

/// Answers to a list, each in a vault of its own.
fn to_a_list(host: &str, elsewhere: &str) -> Vec<Bad> {
    let tick = Duration::from_millis(50);
    let bad = |name, fault, says: String| Bad { name, fault, says };
    let endless = |start: &str, repeat: &str| {
        let (start, repeat) = (start.to_owned(), repeat.to_owned());
        Fault::new(Effect::Endless { start, repeat })
    };
    let untrue = |what: &str| format!("the answer of {host} {what}: check --api-url");
    let larger = untrue("is larger than 16 MiB");
    let torn = "the vault's list has an element that can't be read, so it does not tell what the vault lacks";
    let element = |number: usize, domains: &Value| {
        secret(&format!("sec_{number:026}"), "LIST_SAME", domains).to_string()
    };
    let same = element(1, &json!(["a.com"])) + ",";
    let heavy = element(1, &json!(vec!["x".repeat(250); 100]));
    let text = "x".repeat(10 << 20);
    let of = |name: &str, field: &str, with: &str| {
        let good = secret("sec_1", name, &json!(["a.com"])).to_string();
        json_answer(format!("[{}]", good.replace(field, with)))
    };
    vec![
        bad(
            "list-endless",
            endless("[", &format!("{{\"x\":\"{}\"}},", "x".repeat(1000))),
            larger.clone(),
        ),
        bad("list-same", endless("[", &same), larger.clone()),
        bad("list-deep", endless("[{\"x\":", "[{\"x\":"), larger.clone()),
        bad("list-text", endless("[{\"x\":\"", "x"), larger),
        bad(
            "list-slow",
            Fault::drip(1, tick),
            format!("the request to {host} timed out after 3s"),
        ),
        bad(
            "list-gzip",
            packed(&bomb()),
            untrue("is not a JSON array of objects"),
        ),
        bad(
            "list-elsewhere",
            Fault::redirect(302, elsewhere),
            format!(
                "{host} answered with a redirect (302), and redirects are not followed: check --api-url"
            ),
        ),
        bad(
            "list-traversal",
            of("LIST_TRAVERSAL", "sec_1", "../../../admin"),
            torn.to_owned(),
        ),
        bad(
            "list-ten-megabytes",
            of("LIST_TEN_MEGABYTES", "sec_1", &text),
            torn.to_owned(),
        ),
        bad(
            "list-times",
            of("LIST_TIMES", "2026-04-12T18", "\\u001b[31m"),
            torn.to_owned(),
        ),
        bad(
            "list-heavy",
            json_answer(format!(
                "[{}]",
                vec![heavy.replace("SAME", "HEAVY"); 600].join(",")
            )),
            AMBIGUOUS.to_owned(),
        ),
    ]
}

/// Lets every fault meet a rotation or a first list, sees what is said, and rotates something else meanwhile.
#[tokio::test]
async fn no_answer_takes_more_than_its_own_request() {
    let elsewhere = Sim::start(Options::default()).await;
    // More slots than there are answers that are waited for.
    let setup = Setup::new()
        .flag("--api-timeout=3s")
        .flag("--api-concurrency=64");
    let world = setup.start().await;
    let (host, away) = (
        world.sim.address().to_string(),
        format!("{}/x", elsewhere.url()),
    );
    let vault = || world.sim.add_vault(NewVault::default());
    let (patched, listed) = (to_a_patch(&host, &away), to_a_list(&host, &away));
    let mut broken: Vec<(String, FaultHandle)> = Vec::new();
    for bad in &patched {
        let id = in_sync(&world, bad.name, &world.vault).await;
        let fault = world.sim.fault(bad.fault.clone().secret(&id));
        broken.push((id, fault));
    }
    let bystander = in_sync(&world, "bystander", &vault()).await;
    let crowded = fifty_thousand(&world).await;
    let mark = world.mark().await;

    let mut rounds = 0;
    for bad in &patched {
        world.set_secret(bad.name, "key", &canary(bad.name)).await;
    }
    for bad in &patched {
        rotate(&world, &bystander, &mut rounds).await;
        unavailable(&world, bad.name, &bad.says).await;
    }
    for (bad, (id, fault)) in patched.iter().zip(&broken) {
        fault.remove();
        wake(&world, bad.name).await;
        stored(&world, id, &canary(bad.name)).await;
        world.synced(bad.name).await;
    }
    for bad in &listed {
        let vault = vault();
        let fault = world
            .sim
            .fault(bad.fault.clone().vault(&vault).method("GET"));
        let secret = NewSecret::new(&env_key(bad.name), "old", &["api.example.com"]);
        world.sim.add_secret(&vault, secret);
        declare(&world, bad.name, &vault).await;
        rotate(&world, &bystander, &mut rounds).await;
        if bad.says == AMBIGUOUS {
            world.reason(bad.name, AMBIGUOUS).await;
        } else {
            unavailable(&world, bad.name, &bad.says).await;
        }
        fault.remove();
        wake(&world, bad.name).await;
        world.synced(bad.name).await;
    }
    rotate(&world, &bystander, &mut rounds).await;
    let seen = world.since(&mark).await;
    for (bad, (id, fault)) in patched.iter().zip(&broken) {
        let tries = usize::try_from(fault.fired()).expect("few");
        let sent = seen.requests.secret(id).writes();
        assert!(
            (tries + 1..=tries + 2).contains(&sent.len()),
            "{}: {sent:?}",
            bad.name
        );
    }
    let rotated = seen.requests.secret(&bystander);
    assert_eq!(rotated.len(), rounds, "one PATCH for each");
    assert_eq!(seen.requests.secret(&crowded).len(), 0);
    assert_eq!(elsewhere.connections(), 0, "redirects are not followed");
    let log = world.operator.log();
    for told in ["canary", "\u{1b}", "\\u001b", "../"] {
        assert!(!log.contains(told), "{told:?}");
    }

    let most = world.operator.most_memory_kib();
    assert!(most < MOST_MEMORY_KIB, "{most} KiB");
}

fn canary(name: &str) -> String {
    format!("canary-{name}")
}

/// A new value for what nothing is wrong with: it is in its vault as if nothing had been.
async fn rotate(world: &World, id: &str, rounds: &mut usize) {
    *rounds += 1;
    let value = format!("round-{rounds}");
    let began = Instant::now();
    world.set_secret("bystander", "key", &value).await;
    stored(world, id, &value).await;
    assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
}

/// A vault with so many secrets is no fault: one of them is found and set.
async fn fifty_thousand(world: &World) -> String {
    let vault = world.sim.add_vault(NewVault::default());
    let new = NewSecret::new("CROWD", "old", &["api.example.com"]);
    let id = world.sim.add_secret(&vault, new);
    let shown = world.sim.updated_at(&id).expect("it is there");
    let one = secret("ID", "KEY", &json!(["api.example.com"])).to_string();
    let one = one.replace("2026-04-12T18:50:00.000Z", &shown);
    let all: Vec<_> = (0..50_000)
        .map(|number| match number {
            25_000 => one.replace("ID", &id).replace("KEY", "CROWD"),
            _ => one
                .replace("ID", &format!("sec_{number:026}"))
                .replace("KEY", &format!("K{number}")),
        })
        .collect();
    let list = json_answer(format!("[{}]", all.join(",")))
        .vault(&vault)
        .method("GET");
    world.sim.fault(list);
    declare(world, "crowd", &vault).await;
    world.synced("crowd").await;
    id
}

/// Lets an object try again now, not after a delay that has grown.
async fn wake(world: &World, name: &str) {
    let now = json!({"metadata": {"annotations": {"nairi.ai/sync-requested-at": "now"}}});
    world.edit(name, now).await;
}
