//! Nothing is lost when Kubernetes is away, hangs, or forgets what was watched: the operator never exits, goes on
//! by itself, and sends nothing twice. It waits for what it needs at its start, and ends at once when told to.

mod aftermath;
mod support;

use std::time::{Duration, Instant};

use aftermath::*;
use k8s_openapi::api::rbac::v1::Role;
use kube::{Api, api::PostParams};
use support::*;
use vaultsecret_operator::{
    api::{SecretKeyRef, VaultConnection, VaultConnectionSpec},
    fingerprint::keeper,
};

/// An operator with nothing under way ends at once.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Waits for a line that says so, since the operator's start.
async fn says(operator: &Operator, text: &str) -> Value {
    let wanted = |line: &Value| {
        let said = line["message"].as_str();
        said.is_some_and(|said| said.contains(text))
    };
    operator.wait_log(text, wanted).await
}

/// How often it said so since its start.
fn said(operator: &Operator, text: &str) -> usize {
    let lines = operator.log_lines();
    let said = |line: &&Value| line["message"].as_str().is_some_and(|it| it.contains(text));
    lines.iter().filter(said).count()
}

/// It lives, and is not ready.
async fn waits(operator: &Operator) {
    let livez = operator.get("/livez").await.expect("it serves");
    let readyz = operator.get("/readyz").await.expect("it serves");
    assert_eq!((livez.0, readyz.0), (200, 503));
}

/// It ends well, and at once.
async fn ends_at_once(operator: &mut Operator) {
    let began = Instant::now();
    operator.stop().await;
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
}

/// The operator of the world is the process that it was.
fn is_the_same(world: &mut World, pid: u32) {
    assert_eq!(world.operator.ended(), None, "it never exits");
    assert_eq!(world.operator.pid(), pid);
}

#[tokio::test]
async fn an_api_server_that_goes_between_the_patch_and_the_status() {
    let (mut world, id) = token(Setup::new().alone()).await;
    let pid = world.operator.pid();
    let mark = world.mark().await;
    let fault = hold(&world, &id, true);
    rotate(&world, "second").await;
    held(&fault).await;
    let outage = world.cluster.stop(Program::ApiServer).await;
    fault.release();
    let failed = "could not write the status";
    eventually("the status is tried again", SOON, || async {
        (said(&world.operator, failed) >= 2).then_some(())
    })
    .await;
    outage.end().await;
    is_true(&world, &id, "second").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[patch(&id, json!({"value": "second"}))]);
    one_status_was_accepted(&world, &mark).await;
    is_the_same(&mut world, pid);
    a_restart_does_nothing(&mut world).await;
}

/// The same, and the operator is killed during the outage: the PATCH is in no status.
#[tokio::test]
async fn an_api_server_that_goes_and_a_kill() {
    let (mut world, id) = token(Setup::new().alone()).await;
    let mark = world.mark().await;
    let fault = hold(&world, &id, true);
    rotate(&world, "second").await;
    held(&fault).await;
    let outage = world.cluster.stop(Program::ApiServer).await;
    fault.release();
    says(&world.operator, "could not write the status").await;
    world.operator.kill();
    world.operator.start_unready();
    says(&world.operator, "waiting for the Kubernetes API server").await;
    waits(&world.operator).await;
    outage.end().await;
    world.operator.wait_ready().await;
    is_true(&world, &id, "second").await;
    let seen = world.since(&mark).await;
    let second = patch(&id, json!({"value": "second"}));
    seen.sent_exactly(&[second.clone(), list_vaults(), second]);
    one_status_was_accepted(&world, &mark).await;
}

#[tokio::test]
async fn an_api_server_that_is_killed_during_rotations() {
    let (mut world, id) = token(Setup::new().alone()).await;
    let pid = world.operator.pid();
    let mark = world.mark().await;
    let mut beat = tokio::time::interval(Duration::from_millis(100));
    let mut outage = None;
    let mut missed = 0;
    for round in 1..=60 {
        beat.tick().await;
        if round == 20 {
            outage = Some(world.cluster.kill(Program::ApiServer).await);
        } else if round == 40
            && let Some(outage) = outage.take()
        {
            outage.end().await;
        }
        if !try_to_rotate(&world, &format!("value-{round}")).await {
            missed += 1;
        }
    }
    assert!(missed >= 20, "{missed} rotations met no API server");
    rotate(&world, "value-61").await;
    let stored = |log: &nairi_sim::Entries| {
        let sent = log.since(mark.sim).secret(&id).ended();
        let last = sent.last().and_then(|last| last.json());
        last == Some(json!({"value": "value-61"}))
    };
    let waited = world.sim.log().wait_for(stored, SOON).await;
    waited.expect("the last value is sent");
    is_true(&world, &id, "value-61").await;
    let seen = world.since(&mark).await;
    let sent = values(&seen);
    grow(&sent, 61);
    assert_eq!(seen.requests.len(), sent.len(), "and nothing else");
    is_the_same(&mut world, pid);
    a_restart_does_nothing(&mut world).await;
}

/// A write that times out in the operator may be carried out all the same, once etcd goes on.
#[tokio::test]
async fn an_etcd_that_hangs_between_the_patch_and_the_status() {
    let (mut world, id) = token(Setup::new().alone()).await;
    let pid = world.operator.pid();
    let mark = world.mark().await;
    let fault = hold(&world, &id, true);
    rotate(&world, "second").await;
    held(&fault).await;
    let outage = world.cluster.pause(Program::Etcd).await;
    fault.release();
    says(&world.operator, "could not write the status").await;
    outage.end().await;
    is_true(&world, &id, "second").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[patch(&id, json!({"value": "second"}))]);
    is_the_same(&mut world, pid);
    a_restart_does_nothing(&mut world).await;
}

/// What happens while nobody watches, and is more than an API server remembers, is found by a new list: what
/// changed, what came, and what went.
#[tokio::test]
async fn watches_that_have_expired() {
    let (mut world, id) = token(Setup::new().alone()).await;
    let pid = world.operator.pid();
    let gone = world.remote("GONE", "theirs", &DOMAINS);
    let came = world.remote("CAME", "theirs", &DOMAINS);
    world.create_secret("others", &[("key", "first")]).await;
    let other = |name: &str, env_key: &str| {
        let declared = world.vault_secret(name).env_key(env_key);
        declared.value_from("others", "key").domains(DOMAINS)
    };
    world.create(other("gone", "GONE")).await;
    world.synced("gone").await;

    let mark = world.mark().await;
    world.operator.signal("STOP");
    rotate(&world, "second").await;
    world.delete("gone").await;
    world.gone("gone").await;
    world.set_secret("others", "key", "second").await;
    let created = other("came", "CAME");
    // An API server that has just begun remembers no change from before.
    world.cluster.kill(Program::ApiServer).await.end().await;
    world.create(created).await;
    world.operator.signal("CONT");
    world.synced("came").await;
    is_true(&world, &id, "second").await;
    let seen = world.since(&mark).await;
    assert_eq!(seen.requests.secret(&gone).len(), 0, "nobody declares it");
    let mut sent = writes(&seen);
    sent.sort_by_key(|sent| *sent != patch(&id, json!({"value": "second"})));
    assert_eq!(
        sent,
        [
            patch(&id, json!({"value": "second"})),
            patch(&came, json!({"value": "second"})),
        ]
    );
    assert_eq!(reads(&seen), [list(&world.vault)]);
    let expired = |line: &Value| {
        line["message"] == "a watch broke; it is started again" && line["error"] == "HTTP 410"
    };
    world.operator.wait_log("a watch expired", expired).await;
    is_the_same(&mut world, pid);
}

/// An API server that is away at the start is waited for, and so is the end of the process.
#[tokio::test]
async fn a_start_without_an_api_server() {
    let (mut world, id) = token(Setup::new().alone()).await;
    world.operator.stop().await;
    let mark = world.mark_now();
    rotate(&world, "second").await;
    let outage = world.cluster.stop(Program::ApiServer).await;
    for ends in [true, false] {
        world.operator.start_unready();
        says(&world.operator, "waiting for the Kubernetes API server").await;
        waits(&world.operator).await;
        if ends {
            ends_at_once(&mut world.operator).await;
        }
    }
    outage.end().await;
    world.operator.wait_ready().await;
    world.connected("Verified").await;
    is_true(&world, &id, "second").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list_vaults(), patch(&id, json!({"value": "second"}))]);
    one_status_was_accepted(&world, &mark).await;

    // One that accepts connections and does not answer.
    world.operator.stop().await;
    let outage = world.cluster.pause(Program::ApiServer).await;
    world.operator.start_unready();
    says(&world.operator, "starting").await;
    waits(&world.operator).await;
    ends_at_once(&mut world.operator).await;
    outage.end().await;

    // One that goes away while the operator runs.
    start(&mut world).await;
    let outage = world.cluster.stop(Program::ApiServer).await;
    says(&world.operator, "a watch broke").await;
    ends_at_once(&mut world.operator).await;
    outage.end().await;
}

#[tokio::test]
async fn a_start_before_the_crds() {
    let setup = Setup::new().alone().without_barrier().unstarted();
    let mut world = setup.start().await;
    let crds = vaultsecret_operator::crds::yaml();
    let delete = ["delete", "--wait", "-f", "-"];
    world.cluster.kubectl_with(&delete, &crds).await.ok();
    let id = world.remote("TOKEN", "old", &DOMAINS);
    world.create_secret("source", &[("key", "first")]).await;
    for ends in [true, false] {
        world.operator.start_unready();
        let text = "waiting for the CustomResourceDefinition vaultsecrets.nairi.ai (VaultSecret): install it with";
        says(&world.operator, text).await;
        waits(&world.operator).await;
        if ends {
            ends_at_once(&mut world.operator).await;
        }
    }
    let apply = ["apply", "--server-side", "-f", "-"];
    world.cluster.kubectl_with(&apply, &crds).await.ok();
    world.operator.wait_ready().await;
    assert_eq!(
        said(&world.operator, "VaultSecret)"),
        1,
        "no line is repeated"
    );

    // What was declared before is gone with its CRD.
    let (name, key) = API_KEY_SECRET;
    let spec = VaultConnectionSpec {
        api_key_secret_ref: SecretKeyRef {
            name: name.to_owned(),
            key: key.to_owned(),
        },
    };
    let connection = VaultConnection::new(&world.connection.name, spec);
    let api: Api<VaultConnection> = world.vault_connections();
    let created = api.create(&PostParams::default(), &connection).await;
    created.expect("a connection");
    let declared = world.vault_secret("token").env_key("TOKEN");
    let declared = declared.value_from("source", "key").domains(DOMAINS);
    world.create(declared).await;
    world.synced("token").await;
    is_true(&world, &id, "first").await;
    let sent: Vec<_> = world
        .requests()
        .iter()
        .map(|entry| Sent::from(&**entry))
        .collect();
    let value = patch(&id, json!({"value": "first"}));
    assert_eq!(sent, [list_vaults(), list(&world.vault), value]);
    ends_at_once(&mut world.operator).await;
}

/// A key that is not ours is not replaced, and nothing is done without one.
#[tokio::test]
async fn a_start_with_a_fingerprint_key_of_another_length() {
    let (mut world, id) = token(Setup::new()).await;
    world.operator.stop().await;
    rotate(&world, "second").await;
    let short = json!({"data": {"key": "c2hvcnQ="}});
    objects::merge(&own_secrets(&world), keeper::SECRET, short).await;
    let mark = world.mark_now();
    for ends in [true, false] {
        world.operator.start_unready();
        let line = says(&world.operator, "waiting for the fingerprint key").await;
        let line = line["message"].as_str().expect("a text");
        let text = "holds no fingerprint key (the key has 5 bytes, not 32): delete it, and a new one is made";
        assert!(line.contains(text), "{line}");
        waits(&world.operator).await;
        if ends {
            ends_at_once(&mut world.operator).await;
        }
    }
    // Longer than it takes to look again.
    let nothing = |log: &nairi_sim::Entries| log.since(mark.sim).is_empty();
    let watched = world.sim.log().stays(nothing, Duration::from_secs(3)).await;
    watched.expect("nothing is sent");
    world.seen(&mark).wrote_nothing();

    let delete = kube::api::DeleteParams::default();
    let deleted = own_secrets(&world).delete(keeper::SECRET, &delete).await;
    deleted.expect("it is there");
    world.operator.wait_ready().await;
    world.connected("Verified").await;
    is_true(&world, &id, "second").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list_vaults(), patch(&id, json!({"value": "second"}))]);
    seen.wrote_exactly(&["create secrets", STATUS]);
}

/// Whether the operator may read Secrets.
async fn may_read_secrets(world: &World, may: bool) {
    let api: Api<Role> = Api::namespaced(world.client.clone(), &world.namespace);
    let name = format!("{}:vaultsecret-operator", world.system);
    let mut role = api.get(&name).await.expect("the operator's rights");
    let rules = role.rules.as_mut().expect("rules").iter_mut();
    for rule in rules.filter(|rule| rule.resources == Some(vec!["secrets".to_owned()])) {
        rule.verbs.retain(|verb| verb != "get");
        rule.verbs.extend(may.then(|| "get".to_owned()));
    }
    let replaced = api.replace(&name, &PostParams::default(), &role).await;
    replaced.expect("other rights");
    let question = ["auth", "can-i", "get", "secrets", "--as", &world.user];
    eventually("the API server knows", SOON, || async {
        (world.kubectl(&question).await.success == may).then_some(())
    })
    .await;
}

/// Nothing tells the operator that it may read a Secret again: an API server that has just begun, or whose rules
/// were wrong for a while, refuses what it grants a moment later.
#[tokio::test]
async fn rights_that_are_missing_for_a_while() {
    let (mut world, id) = token(Setup::new()).await;
    may_read_secrets(&world, false).await;
    let mark = world.mark_now();
    let (name, key) = API_KEY_SECRET;
    let api_key = nairi_sim::api_key();
    world.sim.add_key(&api_key);
    world.set_secret(name, key, &api_key).await;
    world.connected("SecretNotFound").await;
    rotate(&world, "second").await;
    world.reason("token", "ApiUnavailable").await;
    may_read_secrets(&world, true).await;
    world.connected("Verified").await;
    world.synced("token").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list_vaults(), patch(&id, json!({"value": "second"}))]);
    is_true(&world, &id, "second").await;
    a_restart_does_nothing(&mut world).await;
}
