//! Rotations, restarts, kills, keys that come and go, requests without a value that are answered with the key.

use nairi_sim::Effect;

use super::{search::canary_key, setup, steps::Canary};
use crate::support::*;

#[tokio::test]
async fn nothing_that_happens_makes_the_json_log_show_a_secret() {
    live("json").await;
}

#[tokio::test]
async fn nothing_that_happens_makes_the_text_log_show_a_secret() {
    live("text").await;
}

async fn live(format: &str) {
    let key = canary_key();
    let mut canary = Canary::start(setup(format), &key).await;
    canary.cure("nothing").await;
    ends(&mut canary).await;
    impossible_values(&mut canary).await;
    echoed_keys(&mut canary).await;
    keys(&mut canary, &key).await;
    canary.world.delete("token").await;
    canary.world.gone("token").await;
    canary.world.operator.stop().await;
    canary.quiet("SIGTERM").await;
    canary.found_where_it_is().await;
    canary.quiet_throughout().await;
}

/// The end of the process, at rest and with a request under way.
async fn ends(canary: &mut Canary) {
    canary.world.operator.restart().await;
    canary.cure("a restart").await;
    canary.world.operator.kill();
    canary.quiet("SIGKILL").await;
    canary.world.operator.start().await;
    canary.cure("a start after SIGKILL").await;
    for after in [false, true] {
        let stall = Fault::stall().secret(&canary.id).writes();
        let stall = if after { stall.after() } else { stall };
        let fault = canary.world.sim.fault(stall);
        let value = canary.value("a value under way");
        canary.apply(&value).await;
        fault.wait_stalled(1, SOON).await.expect("it is under way");
        canary.world.operator.kill();
        fault.remove();
        canary.quiet("SIGKILL with a request under way").await;
        canary.world.operator.start().await;
        canary.in_vault(&value).await;
        canary.quiet("a start after that").await;
    }
}

/// Values that can't be sent.
async fn impossible_values(canary: &mut Canary) {
    let value = canary.value("a value with NUL");
    let (manifest, name) = (format!("{value}\0{value}"), "source");
    canary.world.set_secret(name, "key", &manifest).await;
    canary.world.reason("token", "InvalidValue").await;
    canary.quiet("a value with NUL").await;
    canary.cure("a value with NUL").await;
    let value = canary.value("a value that is no text");
    let bytes = [value.as_bytes(), b"\xff\xfe"].concat();
    let data = json!({"data": {"key": k8s_openapi::ByteString(bytes)}});
    canary.world.edit_secret(name, data).await;
    canary.world.reason("token", "InvalidValue").await;
    canary.quiet("a value that is no text").await;
    canary.cure("a value that is no text").await;
    let value = canary.value("a value under another key");
    canary.world.set_secret(name, "other", &value).await;
    canary
        .world
        .edit_secret(name, json!({"data": {"key": null}}))
        .await;
    canary.world.reason("token", "SourceKeyNotFound").await;
    canary.quiet("a key that is gone").await;
    canary.world.delete_secret(name).await;
    canary.world.reason("token", "SourceNotFound").await;
    canary.quiet("a Secret that is gone").await;
    canary.cure("a Secret that is gone").await;
}

/// Requests without a value, whose answers hold the key.
async fn echoed_keys(canary: &mut Canary) {
    for (status, json) in [(500, true), (422, true), (500, false)] {
        let what = format!("{status} to reads that echoes the key, JSON: {json}");
        let echo = Fault::new(Effect::Echo { status, json });
        let fault = canary.world.sim.fault(echo.secret(&canary.id));
        let domain = format!("d{}.example.com", fastrand::u32(..));
        let domains = json!({"allowedDomains": [domain]});
        canary.world.edit_spec("token", domains).await;
        canary.met(&fault).await;
        canary.quiet(&what).await;
        fault.remove();
        canary.cure(&what).await;

        let echo = Fault::new(Effect::Echo { status, json });
        // A vault of its own: one that can't be listed is left alone for a while.
        let vault = canary.world.sim.add_vault(NewVault::default());
        let fault = canary.world.sim.fault(echo.vault(&vault));
        let name = format!("listed-{status}-{json}");
        let other = canary.world.vault_secret(&name).vault(&vault);
        let other = other.env_key("OTHER");
        canary.world.create(other.value_from("source", "key")).await;
        canary.met(&fault).await;
        let ready = |object: &vaultsecret_operator::api::VaultSecret| {
            objects::condition(object, "Ready").is_some()
        };
        canary.world.until(&name, "has a condition", ready).await;
        canary.quiet(&format!("{what}, lists")).await;
        fault.remove();
        canary.world.delete(&name).await;
        canary.world.gone(&name).await;
    }
}

/// Keys that are refused, rotated, impossible.
async fn keys(canary: &mut Canary, key: &str) {
    assert!(canary.world.sim.revoke_key(key));
    let value = canary.value("a value for a refused key");
    let echo = Fault::echo(401).secret(&canary.id);
    let fault = canary.world.sim.fault(echo);
    canary.apply(&value).await;
    canary.world.reason("token", "Unauthorized").await;
    canary.quiet("401").await;
    fault.remove();
    let key = canary_key();
    canary.also("the second key", key.as_bytes());
    let path = format!("{}/vaults", nairi_sim::BASE);
    let echo = canary.world.sim.fault(Fault::echo(500).path(&path).once());
    canary.world.sim.add_key(&key);
    canary.apply_key(&key).await;
    canary.met(&echo).await;
    canary.quiet("GET /vaults that echoes the key").await;
    canary.in_vault(&value).await;
    canary.world.connected("Verified").await;
    canary.quiet("another key").await;
    let bad = canary_key();
    canary.also("a key with a space", bad.as_bytes());
    canary.apply_key(&format!("{bad} {bad}")).await;
    canary.world.connected("InvalidKey").await;
    canary.quiet("a key with a space").await;
    canary.apply_key(&format!(" {key}\n")).await;
    canary.world.connected("Verified").await;
    canary.cure("an impossible key").await;
}
