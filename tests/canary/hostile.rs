//! A server that answers in ways no honest one does, with what it was sent in every corner of its answers; what
//! `kubectl describe` shows is searched, too, of both kinds of connections.

use std::time::Duration;

use nairi_sim::{Answer, Effect};

use super::{search::canary_key, setup, steps::Canary};
use crate::support::*;

#[tokio::test]
async fn no_hostile_server_makes_a_vault_connection_show_a_secret() {
    hostile(setup("json")).await;
}

#[tokio::test]
async fn no_hostile_server_makes_a_cluster_connection_show_a_secret() {
    hostile(setup("text").cluster_connection()).await;
}

async fn hostile(setup: Setup) {
    let tick = Duration::from_millis(20);
    // Plain HTTP: bytes of one's own are answers there.
    let setup = setup.flag("--api-timeout=1s").flag("--resync-interval=2s");
    let mut canary = Canary::start_with(setup, Options::default(), &canary_key()).await;
    for (what, fault) in [
        ("headers", raw as fn(&str) -> Fault),
        ("large headers", |value| {
            raw(&value.repeat(1 + (1 << 20) / value.len()))
        }),
        ("a status line", |value| {
            Fault::raw(format!("HTTP/1.1 {value}\r\n\r\n"))
        }),
        ("no HTTP", |value| Fault::raw(format!("{value}\r\n\r\n"))),
        ("a chunk", |value| {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            Fault::raw(format!("{head}{value}\r\n"))
        }),
        ("a packed body", |value| {
            let head = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\n";
            Fault::raw(format!("{head}{value}"))
        }),
        ("no UTF-8", |value| {
            let head = &b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n\xff"[..];
            Fault::raw([head, value.as_bytes()].concat())
        }),
        ("deep JSON", |value| {
            let deep = format!("{}{}", "[".repeat(100_000), json!(value));
            Fault::answer(Answer::new(200, deep))
        }),
        ("a number", |value| {
            let twice = json!({"id": 1e300, "env_key": value, "updated_at": value});
            Fault::answer(Answer::new(200, twice.to_string()))
        }),
        ("a key twice", |value| {
            let value = json!(value);
            let twice = format!("{{\"id\":{value},\"id\":{value},\"env_key\":{value}}}");
            Fault::answer(Answer::new(200, twice))
        }),
        ("an escape", |value| {
            let id = format!("\u{1b}[31m{value}\u{202e}");
            Fault::other_id(&id)
        }),
        ("a path", |value| Fault::other_id(&format!("../{value}"))),
    ] {
        canary.fault(what, "ApiUnavailable", fault).await;
    }
    canary
        .fault("early hints", "ApiUnavailable", |value| {
            let hints = format!("HTTP/1.1 103 Early Hints\r\nlink: {}\r\n\r\n", flat(value));
            Fault::babble("", &hints, tick)
        })
        .await;
    canary
        .fault("slow headers", "ApiUnavailable", |value| {
            let head = format!("HTTP/1.1 200 OK\r\nx-sent: {}\r\nx: ", flat(value));
            Fault::babble(head, "x", tick)
        })
        .await;
    lists(&mut canary).await;
    connection(&mut canary).await;
    canary.found_where_it_is().await;
    canary.quiet_throughout().await;
}

/// What of a text a header may hold.
fn flat(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).collect()
}

fn raw(value: &str) -> Fault {
    let value = flat(value);
    Fault::raw(format!(
        "HTTP/1.1 500 {value}\r\nx-sent: {value}\r\nset-cookie: {value}\r\nlocation: {value}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    ))
}

/// The value that was sent last, in lists: as elements that can't be read, and as another secret's name.
async fn lists(canary: &mut Canary) {
    let value = canary.value("a value in lists");
    canary.apply(&value).await;
    canary.in_vault(&value).await;
    let named = json!({"id": value, "env_key": "LISTED", "updated_at": value});
    let mark = canary.world.sim.mark();
    canary.world.sim.behave(|how| {
        how.list_adds = vec![json!(value), json!({value.clone(): [value]}), named];
    });
    let vault = canary.world.vault.clone();
    let swept = |log: &nairi_sim::Entries| {
        let lists = log.since(mark).method("GET").ended();
        lists.only(|entry| entry.path.contains(&vault)).len() > 1
    };
    let log = canary.world.sim.log();
    log.wait_for(swept, SOON).await.expect("it is swept");
    let listed = canary.world.vault_secret("listed").env_key("LISTED");
    let listed = listed.value_from("source", "key");
    canary.world.create(listed).await;
    canary.world.reason("listed", "ApiUnavailable").await;
    canary.described("a list with the value in it").await;
    canary.world.sim.behave(|how| how.list_adds = Vec::new());
    canary.world.delete("listed").await;
    canary.world.gone("listed").await;
    canary.cure("a list with the value in it").await;
}

/// The new key, in the answers to the request that it is tried with.
async fn connection(canary: &mut Canary) {
    let path = format!("{}/vaults", nairi_sim::BASE);
    for (what, fault) in [
        ("headers", raw as fn(&str) -> Fault),
        ("a redirect", |key| {
            Fault::redirect(302, &format!("http://localhost:1/{}", flat(key)))
        }),
        ("an echo", |_| {
            let (status, json) = (403, true);
            Fault::new(Effect::Echo { status, json })
        }),
        ("a list without an end", |key| {
            Fault::new(Effect::Endless {
                start: format!("[{},\"", json!(key)),
                repeat: "x".to_owned(),
            })
        }),
        ("no HTTP", |key| Fault::raw(format!("{key}\r\n\r\n"))),
    ] {
        let what = format!("a key in {what}");
        let key = canary_key();
        canary.also(&what, key.as_bytes());
        canary.world.sim.add_key(&key);
        let fault = canary.world.sim.fault(fault(&key).path(&path));
        canary.apply_key(&key).await;
        canary.met(&fault).await;
        canary.world.connected("Unreachable").await;
        canary.described(&what).await;
        fault.remove();
        canary.world.connected("Verified").await;
        canary.cure(&what).await;
    }
}
