//! Of several replicas one acts, at any instant, and another takes over: at once when the first is told to end, within
//! 20 s when it dies. A leader that was paused past its lease, or can't renew it, sends nothing and writes nothing.

use std::time::{Duration, Instant};

use crate::aftermath::*;
use crate::support::*;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Api;
use nairi_sim::Entry;

/// How soon another replica acts after one was told to end.
const HANDOVER: Duration = Duration::from_secs(2);

/// How soon another replica acts after one died.
const TAKEOVER: Duration = Duration::from_secs(20);

/// How long a lease holds.
const LEASE: Duration = Duration::from_secs(15);

/// For how long the API server is away: `OUTAGE_SECONDS`, or 20 s, which is longer than the lease.
fn outage_lasts() -> Duration {
    let seconds = std::env::var("OUTAGE_SECONDS")
        .ok()
        .and_then(|it| it.parse().ok());
    Duration::from_secs(seconds.unwrap_or(20))
}

/// A world whose `token` is in sync, with a replica that leads, and one that stands by.
async fn two(setup: Setup) -> (World, Operator, String) {
    let (world, id) = token(setup.elects()).await;
    let mut second = world.replica("second");
    second.start().await;
    says(&second, "standing by").await;
    (world, second, id)
}

async fn says(operator: &Operator, text: &str) {
    operator
        .wait_log(text, |line| line["message"] == text)
        .await;
}

async fn leads(operator: &Operator) -> bool {
    operator.metrics().await.sample("vaultsecret_leader") > 0.0
}

/// Waits until it acts, everything it watches at hand.
async fn takes_over(operator: &Operator, deadline: Duration) {
    eventually("it takes over", deadline, || async {
        let ready = |line: &Value| line["message"] == "ready";
        operator.log_lines().iter().any(ready).then_some(())
    })
    .await;
    assert!(leads(operator).await);
}

/// The other replica is the one that the world asks from here on.
async fn follow(world: &mut World, other: &mut Operator) {
    std::mem::swap(&mut world.operator, other);
    world.connected("Verified").await;
}

async fn lease(world: &World) -> LeaseSpec {
    let leases = Api::<Lease>::namespaced(world.client.clone(), &world.system);
    let lease = leases.get("vaultsecret-operator").await.expect("a Lease");
    lease.spec.expect("a spec")
}

fn is_from(agent: Option<&str>, replica: &str) -> bool {
    agent.is_some_and(|agent| agent.ends_with(&format!(" ({replica})")))
}

/// What a replica asked of the simulator.
fn sent_by(world: &World, replica: &str) -> nairi_sim::Entries {
    let own = |entry: &Entry| is_from(entry.header("user-agent"), replica);
    world.sim.log().all().only(own)
}

/// What a replica wrote to Kubernetes, leases included.
fn written_by(world: &World, replica: &str, since: AuditMark) -> Vec<AuditEvent> {
    let audit = world.cluster.audit();
    let mut all = audit.writes(&world.user, since);
    all.extend(audit.leases(&world.user, since));
    all.retain(|event| is_from(Some(&event.agent), replica));
    all
}

/// The second replica's first request was sent when the last of the first replica's had ended.
fn one_after_the_other(world: &World) {
    let (first, second) = (sent_by(world, "first"), sent_by(world, "second"));
    let last = first
        .iter()
        .map(|entry| entry.ended.unwrap_or(entry.arrived));
    let (last, next) = (last.max(), second.iter().map(|entry| entry.arrived).min());
    let (last, next) = (last.expect("it sent some"), next.expect("it sent some"));
    assert!(last < next, "{:?} too early", last.duration_since(next));
    assert_eq!(world.sim.log().all().len(), first.len() + second.len());
}

/// Nothing is asked but for the lease, by one that stands by.
#[tokio::test]
async fn a_replica_that_is_told_to_end_hands_over_at_once() {
    let (mut world, mut second, id) = two(Setup::new()).await;
    assert!(leads(&world.operator).await);
    assert!(!leads(&second).await);
    let readyz = second.get("/readyz").await.expect("it serves");
    assert_eq!(readyz, (200, "standing by\n".to_owned()));
    let held = lease(&world).await;
    let holder = held.holder_identity.expect("a holder");
    assert!(holder.starts_with("first_"), "{holder}");
    assert_eq!(held.lease_duration_seconds, Some(15));
    assert_eq!(held.lease_transitions, Some(0));

    let mark = world.mark().await;
    let audit = mark.audit.expect("the log");
    let asked = Instant::now();
    let ((), ()) = tokio::join!(world.operator.stop(), takes_over(&second, HANDOVER));
    assert!(asked.elapsed() < HANDOVER, "{:?}", asked.elapsed());
    let answered = world.cluster.audit().answered(&world.user, audit);
    let of_second = answered
        .iter()
        .filter(|it| is_from(Some(&it.agent), "second"));
    let before = of_second.take_while(|it| it.resource == "leases").count();
    assert!(before > 0, "it looked at the lease before anything else");
    follow(&mut world, &mut second).await;
    let held = lease(&world).await;
    let holder = held.holder_identity.expect("a holder");
    assert!(holder.starts_with("second_"), "{holder}");
    assert_eq!(held.lease_transitions, Some(1));
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list_vaults()]);
    seen.wrote_nothing();
    assert_eq!(world.secrets_read(&mark).await, [API_KEY_SECRET.0]);
    one_after_the_other(&world);

    // The first is back, stands by, and ends at once.
    let mut first = second;
    first.start().await;
    says(&first, "standing by").await;
    let asked = Instant::now();
    first.stop().await;
    assert!(asked.elapsed() < HANDOVER, "{:?}", asked.elapsed());
    rotate(&world, "second").await;
    is_true(&world, &id, "second").await;
}

/// What is under way is finished under the lease, and then the lease is given back.
#[tokio::test]
async fn a_handover_during_a_patch() {
    let (mut world, mut second, id) = two(Setup::new()).await;
    let mark = world.mark().await;
    let slow = Fault::delay(Duration::from_secs(4)).secret(&id).once();
    world.sim.fault(slow);
    rotate(&world, "second").await;
    let under_way = |log: &nairi_sim::Entries| log.since(mark.sim).secret(&id).len() == 1;
    let waited = world.sim.log().wait_for(under_way, SOON).await;
    waited.expect("the PATCH is under way");
    world.operator.stop().await;
    takes_over(&second, HANDOVER).await;
    follow(&mut world, &mut second).await;
    is_true(&world, &id, "second").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[patch(&id, json!({"value": "second"})), list_vaults()]);
    seen.wrote_exactly(&[STATUS]);
    one_after_the_other(&world);
}

#[tokio::test]
async fn a_replica_that_is_killed_is_replaced() {
    let (mut world, mut second, id) = two(Setup::new()).await;
    let mark = world.mark().await;
    world.operator.kill();
    let killed = Instant::now();
    rotate(&world, "second").await;
    takes_over(&second, TAKEOVER).await;
    follow(&mut world, &mut second).await;
    is_true(&world, &id, "second").await;
    assert!(killed.elapsed() < TAKEOVER, "{:?}", killed.elapsed());
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list_vaults(), patch(&id, json!({"value": "second"}))]);
    seen.wrote_exactly(&[STATUS]);
    one_after_the_other(&world);
}

/// During a storm of rotations, with one answer under way.
#[tokio::test]
async fn a_leader_that_is_paused_past_its_lease_does_nothing_any_more() {
    const OBJECTS: usize = 5;
    let (mut world, mut second, held_id) = two(Setup::new().without_barrier()).await;
    let mut ids = Vec::new();
    for n in 0..OBJECTS {
        let (name, env_key) = (format!("storm-{n}"), format!("STORM_{n}"));
        ids.push(world.remote(&env_key, "old", &DOMAINS));
        world.create_secret(&name, &[("key", "first")]).await;
        let declared = world.vault_secret(&name).env_key(&env_key);
        let declared = declared.value_from(&name, "key").domains(DOMAINS);
        world.create(declared).await;
        world.synced(&name).await;
    }
    let rotated = async |round: usize| {
        let name = format!("storm-{}", round % OBJECTS);
        let value = format!("round-{round}");
        world.set_secret(&name, "key", &value).await;
    };
    let fault = hold(&world, &held_id, true);
    rotate(&world, "second").await;
    held(&fault).await;

    let mut beat = tokio::time::interval(Duration::from_millis(100));
    let mut round = 0;
    let mut paused: Option<Instant> = None;
    let continued = loop {
        beat.tick().await;
        rotated(round).await;
        round += 1;
        match paused {
            None if round == 20 => {
                world.operator.signal("STOP");
                paused = Some(Instant::now());
            }
            Some(since) if since.elapsed() > Duration::from_secs(30) => {
                let marks = world.mark_now();
                world.operator.signal("CONT");
                break marks;
            }
            // The answer waits for the process that is paused.
            Some(since) if since.elapsed() > Duration::from_secs(1) => fault.release(),
            _ => {}
        }
    };
    let woken = Instant::now();
    while woken.elapsed() < Duration::from_secs(2) {
        beat.tick().await;
        rotated(round).await;
        round += 1;
    }
    let status = world.operator.wait_ended(SOON).await;
    assert!(!status.success(), "{status}");
    let log = world.operator.tail(5);
    assert!(
        log.contains("the lease is lost (it was not renewed"),
        "{log}"
    );

    follow(&mut world, &mut second).await;
    is_true(&world, &held_id, "second").await;
    for (n, id) in ids.iter().enumerate() {
        let last = (0..round).rev().find(|round| round % OBJECTS == n);
        let value = format!("round-{}", last.expect("each had one"));
        eventually("the last value is stored", SOON, || async {
            let stored = world.sim.secret(id)?;
            (stored.value == value).then_some(())
        })
        .await;
    }
    let late = sent_by(&world, "first").since(continued.sim);
    assert!(late.is_empty(), "sent after it had been paused: {late:?}");
    let late = written_by(&world, "first", continued.audit.expect("the log"));
    assert!(
        late.is_empty(),
        "written after it had been paused: {late:?}"
    );
    one_after_the_other(&world);
}

/// Longer than a lease holds: a leader that can't renew its lease ends in time, one that stands by goes on trying.
#[tokio::test]
async fn an_api_server_that_is_away() {
    let (mut world, mut second, id) = two(Setup::new().alone()).await;
    let fault = hold(&world, &id, false);
    let mark = world.mark_now();
    rotate(&world, "second").await;
    held(&fault).await;
    let outage = world.cluster.stop(Program::ApiServer).await;
    let began = Instant::now();
    let status = world.operator.wait_ended(LEASE).await;
    assert!(!status.success(), "{status}");
    let log = world.operator.tail(5);
    assert!(
        log.contains("the lease is lost (it was not renewed"),
        "{log}"
    );
    fault.release();
    tokio::time::sleep(outage_lasts().saturating_sub(began.elapsed())).await;
    assert_eq!(second.ended(), None, "it goes on trying");
    let readyz = second.get("/readyz").await.expect("it serves");
    assert_eq!(readyz.0, 200);
    assert!(!leads(&second).await);
    outage.end().await;
    takes_over(&second, TAKEOVER).await;
    follow(&mut world, &mut second).await;
    is_true(&world, &id, "second").await;
    let seen = world.since(&mark).await;
    let sent: Vec<_> = writes(&seen);
    let value = patch(&id, json!({"value": "second"}));
    assert_eq!(sent, [value.clone(), value], "the first was cut off");
    one_after_the_other(&world);
}
