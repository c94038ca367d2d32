//! What others change in Nairi is put right or reported within one interval, and nothing that only looks like a change
//! is taken for one.

use std::time::{Duration, Instant};

use crate::support::*;
use nairi_sim::{DomainsOrder, Entries, Lag, TimeFormat};
use vaultsecret_operator::api::VaultSecret;

const DOMAINS: [&str; 2] = ["api.example.com", "*.Example.org"];

/// The interval is a second, a tenth more at most; the rest is for a busy machine.
const ONE_INTERVAL: Duration = Duration::from_secs(4);

fn setup() -> Setup {
    Setup::new().flag("--resync-interval=1s")
}

/// VaultSecret `token` in sync, with what `declare` adds to it; its source is key `key` of Secret `source`. Returns
/// the id of the remote secret.
async fn token(
    world: &World,
    declare: impl FnOnce(VaultSecretBuilder) -> VaultSecretBuilder,
) -> String {
    let id = world.remote("TOKEN", "old", &["old.example.com"]);
    world.create_secret("source", &[("key", "first")]).await;
    let declared = world.vault_secret("token").env_key("TOKEN");
    world.create(declare(declared)).await;
    in_step(world, &id).await;
    id
}

fn both(declared: VaultSecretBuilder) -> VaultSecretBuilder {
    declared.value_from("source", "key").domains(DOMAINS)
}

/// Waits until `token` is in sync and its status shows the secret as it is.
async fn in_step(world: &World, id: &str) -> VaultSecret {
    eventually("the status shows the secret as it is", SOON, || async {
        let object = world.synced("token").await;
        let status = object.status.as_ref()?;
        (status.updated_at == world.sim.updated_at(id)).then_some(object)
    })
    .await
}

/// Waits until the vault was listed so many times more, and what the lists showed was seen to.
async fn sweeps(world: &World, count: usize) {
    let mark = world.sim.mark();
    let listed = |log: &Entries| {
        let ended = log.since(mark).ended();
        let lists = ended.only(|entry| Sent::from(entry) == list(&world.vault));
        lists.len() > count
    };
    let waited = world.sim.log().wait_for(listed, SOON).await;
    waited.expect("the vault is listed");
}

/// Somebody else changes what is given.
fn others_change(world: &World, id: &str, value: Option<&str>, domains: Option<&[&str]>) {
    let owned = |domains: &[&str]| domains.iter().map(|it| (*it).to_owned()).collect();
    let changed = world
        .sim
        .outsider()
        .set(id, value.map(str::to_owned), domains.map(owned));
    changed.expect("it exists");
}

/// What was sent about secrets.
fn patches(seen: &Seen) -> Vec<Sent> {
    let patches = seen.requests.method("PATCH");
    patches.iter().map(|entry| Sent::from(&**entry)).collect()
}

fn contended(object: &VaultSecret) -> bool {
    objects::condition(object, "Contended").is_some_and(|condition| condition.status == "True")
}

async fn drift_count(world: &World, action: &str) -> f64 {
    let metrics = world.operator.metrics().await;
    metrics.sample(&format!("vaultsecret_drift_total{{action=\"{action}\"}}"))
}

/// Each kind of change, with what is sent for it; the third time in an hour is one too many.
#[tokio::test]
async fn what_others_change_is_put_right() {
    let mut world = setup().start().await;
    let id = token(&world, both).await;
    sweeps(&world, 1).await;
    let value = json!({"value": "first"});
    // `updated_at` tells of no field: the value may have been changed along with the domains.
    let all = json!({"value": "first", "allowed_domains": DOMAINS});
    let other = ["evil.example.com"];
    let changes = [
        (Some("theirs"), None, &value),
        (None, Some(&other[..]), &all),
        (Some("theirs again"), Some(&other[..]), &all),
        (Some("and again"), None, &value),
    ];
    for (round, (new_value, domains, body)) in changes.into_iter().enumerate() {
        let (mark, began) = (world.mark_now(), Instant::now());
        others_change(&world, &id, new_value, domains);
        eventually("it is put right", SOON, || async {
            let stored = world.sim.secret(&id)?;
            (stored.value == "first" && stored.allowed_domains == DOMAINS).then_some(())
        })
        .await;
        assert!(began.elapsed() < ONE_INTERVAL, "{:?}", began.elapsed());
        let object = in_step(&world, &id).await;
        sweeps(&world, 2).await;
        let seen = world.seen(&mark);
        assert_eq!(
            patches(&seen),
            [patch(&id, json!({})), patch(&id, body.clone())]
        );
        let statuses = seen.written();
        let statuses = statuses.iter().filter(|write| write.contains("/status"));
        assert_eq!(statuses.count(), 1, "{:?}", seen.written());
        assert_eq!(contended(&object), round >= 2, "round {round}");
    }
    assert!((drift_count(&world, "corrected").await - 4.0).abs() < 0.5);
    assert!((drift_count(&world, "contended").await - 1.0).abs() < 0.5);
    let events = world.events("token").await;
    let count = |reason: &str| events.iter().filter(|(it, _)| it == reason).count();
    assert!(count("DriftCorrected") >= 1, "{events:?}");
    assert_eq!(count("Contended"), 1, "{events:?}");

    // Who restarts the operator is not rid of it.
    let mark = world.mark_now();
    world.operator.restart().await;
    world.connected("Verified").await;
    sweeps(&world, 2).await;
    assert!(contended(&world.get("token").await));
    let seen = world.seen(&mark);
    assert_eq!(patches(&seen), []);
    seen.wrote_nothing();
}

#[tokio::test]
async fn what_others_change_is_reported_and_left_alone() {
    let mut world = setup().start().await;
    let id = token(&world, |declared| both(declared).report_drift()).await;
    let read = patch(&id, json!({}));
    let drifted = async |world: &World, pending: Value, domains: Value| {
        let stored = world.sim.secret(&id).expect("it exists");
        let drift = match domains {
            Value::Null => json!({"updatedAt": stored.updated_at}),
            domains => json!({"updatedAt": stored.updated_at, "allowedDomains": domains}),
        };
        world
            .until("token", "drifted", |object| {
                let status = object.status.as_ref();
                objects::current_reason(object) == Some("DriftDetected")
                    && status.is_some_and(|status| {
                        json!(status.pending_fields) == pending && json!(status.drift) == drift
                    })
            })
            .await;
    };

    let steps = [
        (Some("theirs"), None, json!(["value"]), Value::Null),
        (
            None,
            Some(&["theirs.example.com"][..]),
            json!(["value", "allowedDomains"]),
            json!(["theirs.example.com"]),
        ),
        // They put the domains back; what became of the value nobody can tell.
        (None, Some(&DOMAINS[..]), json!(["value"]), Value::Null),
    ];
    for (value, domains, pending, shown) in steps {
        let (mark, began) = (world.mark_now(), Instant::now());
        others_change(&world, &id, value, domains);
        drifted(&world, pending, shown).await;
        assert!(began.elapsed() < ONE_INTERVAL, "{:?}", began.elapsed());
        sweeps(&world, 2).await;
        assert_eq!(patches(&world.seen(&mark)), std::slice::from_ref(&read));
    }
    assert!((drift_count(&world, "reported").await - 1.0).abs() < 0.5);

    // Our own changes go out all the same, and with the value the drift ends.
    let mark = world.mark_now();
    world.set_secret("source", "key", "second").await;
    world.synced("token").await;
    in_step(&world, &id).await;
    let sent = patches(&world.seen(&mark));
    assert_eq!(sent, [patch(&id, json!({"value": "second"}))]);

    let mark = world.mark_now();
    let theirs = ["theirs.example.com"];
    others_change(&world, &id, None, Some(&theirs));
    let pending = json!(["value", "allowedDomains"]);
    drifted(&world, pending.clone(), json!(theirs)).await;
    world.operator.restart().await;
    world.connected("Verified").await;
    sweeps(&world, 2).await;
    drifted(&world, pending, json!(theirs)).await;
    assert_eq!(patches(&world.seen(&mark)), [read]);

    let mark = world.mark_now();
    world
        .edit_spec("token", json!({"driftPolicy": "Correct"}))
        .await;
    in_step(&world, &id).await;
    let sent = patches(&world.seen(&mark));
    let last = json!({"value": "second", "allowed_domains": DOMAINS});
    assert_eq!(sent.last(), Some(&patch(&id, last)), "{sent:?}");
}

/// What is not managed is let be.
#[tokio::test]
async fn what_is_not_managed_is_looked_at_once() {
    let world = setup().start().await;
    let id = token(&world, |declared| declared.value_from("source", "key")).await;
    let domains_only = world.remote("DOMAINS", "old", &DOMAINS);
    let declared = world.vault_secret("domains").env_key("DOMAINS");
    world.create(declared.domains(DOMAINS)).await;
    world.synced("domains").await;
    sweeps(&world, 1).await;

    let mark = world.mark_now();
    others_change(&world, &id, None, Some(&["theirs.example.com"]));
    others_change(&world, &domains_only, Some("theirs"), None);
    in_step(&world, &id).await;
    world
        .until("domains", "up to date", |object| {
            let status = object.status.as_ref();
            let updated_at = status.and_then(|status| status.updated_at.clone());
            updated_at == world.sim.updated_at(&domains_only)
        })
        .await;
    sweeps(&world, 3).await;
    let seen = world.seen(&mark);
    let about = |id: &str| {
        let about = seen.requests.secret(id);
        let sent: Vec<_> = about.iter().map(|entry| Sent::from(&**entry)).collect();
        sent
    };
    let read = |id: &str| patch(id, json!({}));
    assert_eq!(
        about(&id),
        [read(&id), patch(&id, json!({"value": "first"}))]
    );
    assert_eq!(about(&domains_only), [read(&domains_only)]);
    assert_eq!(
        world.sim.domains(&id),
        Some(vec!["theirs.example.com".to_owned()])
    );
    assert_eq!(world.sim.value(&domains_only).as_deref(), Some("theirs"));
}

#[tokio::test]
async fn what_others_delete_is_missed_and_what_they_create_anew_is_found() {
    let world = setup().start().await;
    let id = token(&world, both).await;
    let named = world.remote("NAMED", "old", &DOMAINS);
    let declared = world.vault_secret("named").secret_id(&named);
    world.create(declared.value_from("source", "key")).await;
    world.synced("named").await;
    sweeps(&world, 1).await;

    let (mark, began) = (world.mark_now(), Instant::now());
    world.sim.outsider().delete(&id).expect("it exists");
    world.sim.outsider().delete(&named).expect("it exists");
    world.reason("token", "RemoteNotFound").await;
    world.reason("named", "RemoteNotFound").await;
    assert!(began.elapsed() < ONE_INTERVAL, "{:?}", began.elapsed());
    sweeps(&world, 2).await;
    let seen = world.seen(&mark);
    for id in [&id, &named] {
        let asked = seen.requests.secret(id);
        let asked: Vec<_> = asked.iter().map(|entry| Sent::from(&**entry)).collect();
        assert_eq!(asked, [patch(id, json!({}))]);
    }

    let (mark, began) = (world.mark_now(), Instant::now());
    let anew = world.remote("TOKEN", "theirs", &DOMAINS);
    in_step(&world, &anew).await;
    assert!(began.elapsed() < ONE_INTERVAL, "{:?}", began.elapsed());
    sweeps(&world, 1).await;
    let sent = patches(&world.seen(&mark));
    assert_eq!(sent, [patch(&anew, json!({"value": "first"}))]);
}

/// Under every answer to what the API leaves open: after a rotation several sweeps send nothing but lists. Where a
/// list contradicts the record and nothing explains it, the secret itself is asked, once a sweep at most.
#[tokio::test]
async fn what_only_looks_like_a_change_is_none() {
    /// How often the secret may be asked in `SWEEPS` sweeps.
    #[derive(Clone, Copy, PartialEq)]
    enum Asked {
        Never,
        Once,
        EachTime,
    }
    const SWEEPS: usize = 2;
    type Change = fn(&mut Behaviour, &str);
    let cases: [(&str, Asked, Change); 14] = [
        ("lags a write", Asked::Never, |it, _| {
            it.list_lag = Lag::Writes(1);
        }),
        ("lags by time", Asked::Never, |it, _| {
            it.list_lag = Lag::Duration(Duration::from_millis(1500));
        }),
        ("is truncated", Asked::EachTime, |it, _| {
            it.list_truncated = Some(0);
        }),
        ("omits it", Asked::EachTime, |it, id| {
            it.list_omits = vec![id.to_owned()];
        }),
        ("folds domains", Asked::Never, |it, _| {
            it.domains_folded = true;
        }),
        ("sorts domains", Asked::Never, |it, _| {
            it.domains_order = DomainsOrder::Sorted;
        }),
        ("reverses domains", Asked::Never, |it, _| {
            it.domains_order = DomainsOrder::Reversed;
        }),
        ("counts equal values", Asked::Never, |it, _| {
            it.equal_value_is_change = true;
        }),
        ("lists microseconds", Asked::Never, |it, _| {
            it.list_time = TimeFormat::Micros;
        }),
        ("answers with an offset", Asked::Never, |it, _| {
            it.object_time = TimeFormat::MillisOffset;
        }),
        ("has whole seconds", Asked::Never, |it, _| {
            it.whole_seconds = true;
            it.list_time = TimeFormat::Seconds;
        }),
        ("updates before it creates", Asked::Never, |it, _| {
            it.updated_before_created = true;
        }),
        ("lists no fractions", Asked::Once, |it, _| {
            it.list_time = TimeFormat::Seconds;
        }),
        ("lists no dates", Asked::Once, |it, _| {
            it.list_time = TimeFormat::EpochMillis;
        }),
    ];
    let world = setup().start().await;
    let id = token(&world, both).await;
    for (round, (name, asked, change)) in cases.into_iter().enumerate() {
        world.sim.behave(|behaviour| {
            *behaviour = Behaviour::default();
            change(behaviour, &id);
        });
        let (mark, value) = (world.mark_now(), format!("value {round}"));
        world.set_secret("source", "key", &value).await;
        eventually("the rotation is in the vault", SOON, || async {
            (world.sim.value(&id).as_ref() == Some(&value)).then_some(())
        })
        .await;
        in_step(&world, &id).await;
        let rest = world.mark_now();
        sweeps(&world, SWEEPS).await;
        let body = json!({"value": value});
        let sent = patches(&world.seen(&mark));
        let (reads, writes): (Vec<_>, Vec<_>) = sent
            .into_iter()
            .partition(|sent| *sent == patch(&id, json!({})));
        assert_eq!(writes, [patch(&id, body)], "{name}");
        match asked {
            // A list between the change of the server and the rotation may be in another form than what is recorded.
            Asked::Never => assert_eq!(patches(&world.seen(&rest)), [], "{name}"),
            // The list just before the rotation may be one of them.
            Asked::Once => assert!(reads.len() <= 2, "{name}: {}", reads.len()),
            Asked::EachTime => assert!(reads.len() <= SWEEPS + 3, "{name}: {}", reads.len()),
        }
        world.seen(&rest).wrote_nothing();
        if asked == Asked::EachTime {
            // What the last of these lists lacked is not to be asked in the next case.
            world.sim.behave(|it| *it = Behaviour::default());
            sweeps(&world, 1).await;
        }
        assert_eq!(
            drift_count(&world, "corrected").await.to_bits(),
            0,
            "{name}"
        );
    }
}

/// It knows nothing of what a list that lags had shown before.
#[tokio::test]
async fn a_new_process_asks_about_a_list_that_lags_once() {
    let mut world = setup().start().await;
    let id = token(&world, both).await;
    world
        .sim
        .behave(|behaviour| behaviour.list_lag = Lag::Writes(1));
    world.set_secret("source", "key", "last").await;
    eventually("the rotation is in the vault", SOON, || async {
        (world.sim.value(&id).as_deref() == Some("last")).then_some(())
    })
    .await;
    in_step(&world, &id).await;
    world.operator.restart().await;
    world.connected("Verified").await;
    let mark = world.mark_now();
    sweeps(&world, 3).await;
    let seen = world.seen(&mark);
    assert!(patches(&seen).len() <= 1, "{:?}", patches(&seen));
    assert_eq!(
        seen.requests
            .writes()
            .only(|it| !it.fields().is_empty())
            .len(),
        0
    );
    seen.wrote_nothing();
}
