//! What the API answers to a deletion, and an operator that is away meanwhile: it ends once both are there.

use std::time::Instant;

use super::*;

/// Deletes `token` while the first deletion meets this fault, and waits for the end. Returns what was sent.
async fn through(fault: Fault) -> (World, String, Seen) {
    let (world, id) = in_sync(Setup::new()).await;
    let mark = world.mark().await;
    world.sim.fault(fault.method("DELETE").once());
    world.delete("token").await;
    world.gone("token").await;
    let seen = world.since(&mark).await;
    nothing_is_left(&world);
    (world, id, seen)
}

#[tokio::test]
async fn what_is_gone_already_is_done() {
    let (world, id) = in_sync(Setup::new()).await;
    let mark = world.mark().await;
    world.sim.outsider().delete(&id).expect("it exists");
    world.delete("token").await;
    world.gone("token").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[delete(&id)]);
    assert_eq!(seen.requests[0].status(), Some(404));
}

/// A 404 that is not the API's own proves nothing.
#[tokio::test]
async fn a_page_that_is_not_found_is_not_the_end() {
    let page = nairi_sim::Answer::new(404, "<html>").header("content-type", "text/html");
    let (_, id, seen) = through(Fault::answer(page)).await;
    assert_eq!(writes(&seen), [delete(&id), delete(&id)]);
}

/// 200 is not the answer of a deletion: a sign-in page has it, too.
#[tokio::test]
async fn a_page_of_something_in_between_is_not_the_end() {
    let (_, id, seen) = through(Fault::html()).await;
    assert_eq!(writes(&seen), [delete(&id), delete(&id)]);
}

#[tokio::test]
async fn a_lost_answer_is_found_out() {
    let (world, id, seen) = through(Fault::cut().after()).await;
    assert_eq!(writes(&seen), [delete(&id), delete(&id)]);
    let last = seen.requests.method("DELETE");
    assert_eq!(last[1].status(), Some(404));
    let said = reasons(&world, "token").await;
    assert_eq!(said.last().map(String::as_str), Some("Deleted"), "{said:?}");
}

#[tokio::test]
async fn a_deletion_that_got_lost_is_tried_again() {
    let (_, id, seen) = through(Fault::cut()).await;
    assert_eq!(writes(&seen), [delete(&id), delete(&id)]);
}

#[tokio::test]
async fn a_pause_that_the_server_asks_for_is_kept() {
    let (_, id, seen) = through(Fault::retry_after(429, "3")).await;
    assert_eq!(writes(&seen), [delete(&id), delete(&id)]);
    let tried = seen.requests.method("DELETE");
    let paused = tried[1].arrived - tried[0].arrived;
    assert!(paused >= Duration::from_millis(2900), "{paused:?}");
}

/// An API that fails is no reason to leave anything behind, however long it takes; and it is not hammered.
#[tokio::test]
async fn an_api_that_fails_is_waited_for() {
    let (world, id) = in_sync(Setup::new().flag("--deletion-grace=1s")).await;
    let mark = world.mark().await;
    let fault = world.sim.fault(Fault::status(500).method("DELETE"));
    let began = Instant::now();
    world.delete("token").await;
    // The pauses grow from one second, so this is long after the grace.
    tried(&world, &mark, 4).await;
    assert!(began.elapsed() > Duration::from_secs(3), "hammered");
    let object = world.get("token").await;
    assert_eq!(finalizers(&object), [FINALIZER]);
    let said = reasons(&world, "token").await;
    assert!(!said.contains(&"Released".to_owned()), "{said:?}");
    fault.remove();
    world.gone("token").await;
    nothing_is_left(&world);
    let last = world.requests().since(mark.sim).secret(&id);
    assert_eq!(last.last().and_then(|entry| entry.status()), Some(204));
}

#[tokio::test]
async fn an_outage_is_waited_for() {
    let (world, _) = in_sync(Setup::new().flag("--deletion-grace=1s")).await;
    world.sim.pause().await.expect("an outage");
    world.delete("token").await;
    world
        .until("token", "tried", |object| {
            objects::condition(object, "Ready").is_some_and(|ready| ready.status == "False")
        })
        .await;
    // Longer than the grace: an API that is away is no missing key.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(finalizers(&world.get("token").await), [FINALIZER]);
    world.sim.resume().await.expect("the same port");
    world.gone("token").await;
    nothing_is_left(&world);
}

/// One that the API refuses for good: said, and the policy is the way out.
#[tokio::test]
async fn a_deletion_that_is_refused_waits_for_a_human() {
    let (world, id) = in_sync(Setup::new()).await;
    let mark = world.mark().await;
    world.sim.fault(Fault::status(403).method("DELETE"));
    world.delete("token").await;
    tried(&world, &mark, 1).await;
    let few = |log: &Entries| log.since(mark.sim).method("DELETE").len() <= 3;
    let stays = world.sim.log().stays(few, Duration::from_secs(3)).await;
    stays.expect("it is not hammered");
    let object = world.get("token").await;
    let ready = objects::condition(&object, "Ready").expect("a condition");
    assert_eq!(ready.status, "False", "{ready:?}");
    let retain = json!({"deletionPolicy": "Retain"});
    world.edit_spec("token", retain).await;
    world.gone("token").await;
    assert_eq!(world.sim.value(&id).as_deref(), Some("first"));
}

#[tokio::test]
async fn an_operator_that_was_away_ends_it() {
    let (mut world, id) = in_sync(Setup::new()).await;
    let mark = world.mark().await;
    world.operator.stop().await;
    world.delete("token").await;
    assert_eq!(finalizers(&world.get("token").await), [FINALIZER]);
    start(&mut world).await;
    world.gone("token").await;
    let seen = world.since(&mark).await;
    assert_eq!(writes(&seen), [delete(&id)]);
    nothing_is_left(&world);
}

/// The deletion is under way when the operator is killed.
async fn killed(applied: bool) {
    let (mut world, id) = in_sync(Setup::new()).await;
    let mark = world.mark().await;
    let fault = hold(&world, &id, applied);
    world.delete("token").await;
    held(&fault).await;
    world.operator.kill();
    tried(&world, &mark, 1).await;
    fault.remove();
    assert_eq!(world.sim.secret(&id).is_none(), applied);
    start(&mut world).await;
    world.gone("token").await;
    let seen = world.since(&mark).await;
    assert_eq!(writes(&seen), [delete(&id), delete(&id)]);
    nothing_is_left(&world);
}

#[tokio::test]
async fn a_kill_after_it_was_deleted() {
    killed(true).await;
}

#[tokio::test]
async fn a_kill_before_it_was_deleted() {
    killed(false).await;
}

/// A policy of the cluster that lets nobody touch the finalizers of the world's namespace.
fn freeze(world: &World) -> String {
    let (policy, namespace) = (format!("freeze-{}", world.namespace), &world.namespace);
    let rule = json!({
        "apiGroups": ["nairi.ai"], "apiVersions": ["*"], "operations": ["UPDATE"],
        "resources": ["vaultsecrets"],
    });
    let here = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
    let same = "has(oldObject.metadata.finalizers) == has(object.metadata.finalizers)";
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": policy},
            "spec": {
                "matchConstraints": {"resourceRules": [rule]},
                "validations": [{"expression": same}],
            },
        },
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": policy},
            "spec": {
                "policyName": policy,
                "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": here},
            },
        },
    ]})
    .to_string()
}

/// The API server refuses to let the object go for a while: that is said, and tried again.
#[tokio::test]
async fn a_finalizer_that_the_api_server_keeps() {
    let (world, id) = in_sync(Setup::new()).await;
    let policy = freeze(&world);
    world.apply(&policy).await;
    eventually("the policy is in force", SOON, || async {
        let free = r#"{"metadata":{"finalizers":null}}"#;
        let args = [
            "patch",
            "vaultsecret",
            "token",
            "--type=merge",
            "--dry-run=server",
            "-p",
            free,
        ];
        (!world.kubectl(&args).await.success).then_some(())
    })
    .await;
    let mark = world.mark().await;
    world.delete("token").await;
    world.reason("token", "ApiUnavailable").await;
    let kubectl = ["delete", "-f", "-"];
    world.kubectl_with(&kubectl, &policy).await.ok();
    world.gone("token").await;
    nothing_is_left(&world);
    let seen = world.since(&mark).await;
    assert!(
        writes(&seen).iter().all(|sent| *sent == delete(&id)),
        "{seen:#?}"
    );
}
