//! Answers that get lost, and an operator that is killed, while a secret is created: never two, and the end is the
//! declared state.

use super::*;

/// The answer of the creation is lost, and the secret was created all the same: it is found and adopted.
async fn lost_after(fault: Fault, setup: Setup) {
    let mut world = empty(setup).await;
    let mark = world.mark().await;
    world.sim.fault(fault.method("POST").after().once());
    world.create(declared(&world)).await;
    let id = is_created(&world).await;
    let seen = world.since(&mark).await;
    let look = list(&world.vault);
    seen.sent_exactly(&[look.clone(), creation(&world), look, adoption(&id)]);
    a_restart_does_nothing(&mut world).await;
}

/// The creation gets lost on its way: it is looked for, and tried again.
async fn lost_before(fault: Fault) {
    let mut world = empty(Setup::new()).await;
    let mark = world.mark().await;
    world.sim.fault(fault.method("POST").once());
    world.create(declared(&world)).await;
    is_created(&world).await;
    let seen = world.since(&mark).await;
    let look = list(&world.vault);
    let create = creation(&world);
    seen.sent_exactly(&[look.clone(), create.clone(), look, create]);
    a_restart_does_nothing(&mut world).await;
}

#[tokio::test]
async fn a_connection_that_is_cut_after_it_was_created() {
    lost_after(Fault::cut(), Setup::new()).await;
}

/// Over HTTP/2, where a client may be tempted to send again by itself.
#[tokio::test]
async fn a_connection_of_many_that_is_cut_after_it_was_created() {
    lost_after(Fault::cut(), Setup::new().options(Options::tls())).await;
}

#[tokio::test]
async fn an_answer_that_comes_too_late() {
    let late = Fault::delay(Duration::from_secs(5));
    lost_after(late, Setup::new().flag("--api-timeout=1s")).await;
}

#[tokio::test]
async fn a_server_error_after_it_was_created() {
    lost_after(Fault::status(500), Setup::new()).await;
}

/// 200 is not the answer of a creation: it may be about a secret that was there before.
#[tokio::test]
async fn a_page_instead_of_the_answer() {
    lost_after(Fault::html(), Setup::new()).await;
}

#[tokio::test]
async fn a_body_without_an_end_instead_of_the_answer() {
    lost_after(Fault::endless(), Setup::new()).await;
}

#[tokio::test]
async fn a_lost_answer_where_duplicates_are_allowed() {
    let setup = Setup::new().behave(|it| it.duplicate_env_key = Duplicate::Allowed);
    lost_after(Fault::cut(), setup).await;
}

#[tokio::test]
async fn a_connection_that_is_cut_before_it_was_created() {
    lost_before(Fault::cut()).await;
}

#[tokio::test]
async fn a_server_error_before_it_was_created() {
    lost_before(Fault::status(500)).await;
}

/// The value changes while nobody knows whether the secret was created: what ends up there is the last one.
#[tokio::test]
async fn a_lost_answer_and_another_value() {
    let world = empty(Setup::new()).await;
    let mark = world.mark().await;
    let fault = world
        .sim
        .fault(Fault::stall().method("POST").after().once());
    world.create(declared(&world)).await;
    held(&fault).await;
    rotate(&world, "second").await;
    world.sim.cut_connections().await;
    world.synced("token").await;
    let id = only(&world).id;
    is_true(&world, &id, "second").await;
    let seen = world.since(&mark).await;
    assert_eq!(posts(&world, &mark).len(), 1);
    let adopted = patch(&id, json!({"value": "second"}));
    assert_eq!(writes(&seen), [creation(&world), adopted]);
}

/// The object is deleted while nobody knows whether its secret was created: nothing is left behind.
#[tokio::test]
async fn a_lost_answer_and_the_end_of_the_object() {
    let world = empty(Setup::new()).await;
    let fault = world
        .sim
        .fault(Fault::stall().method("POST").after().once());
    world.create(declared(&world).delete_remote()).await;
    held(&fault).await;
    world.delete("token").await;
    fault.release();
    world.gone("token").await;
    assert_eq!(world.sim.secrets(&world.vault), []);
}

/// Nobody knows whether it was created when the object goes: what may stay behind is named.
#[tokio::test]
async fn a_lost_answer_and_the_end_of_the_object_before_the_next_look() {
    let world = empty(Setup::new()).await;
    world.sim.fault(Fault::cut().method("POST").after().once());
    let next_look = Fault::stall().method("GET").vault(&world.vault).skip(1);
    let next_look = world.sim.fault(next_look);
    world.create(declared(&world).delete_remote()).await;
    held(&next_look).await;
    world.delete("token").await;
    world.gone("token").await;
    assert_eq!(world.sim.secrets(&world.vault).len(), 1, "it was created");
    let named = |line: &Value| {
        line["level"] == "WARN" && line["env_key"] == "TOKEN" && line["vault"] == *world.vault
    };
    world
        .operator
        .wait_log("what may stay is named", named)
        .await;
    assert!(
        reasons(&world, "token")
            .await
            .contains(&"Released".to_owned())
    );
    let metrics = world.operator.metrics().await;
    let released = metrics.sum("vaultsecret_released_total");
    assert!((released - 1.0).abs() < f64::EPSILON, "{released}");
}

/// The creation is under way when the operator is killed.
async fn killed(applied: bool) -> (World, Mark) {
    let mut world = empty(Setup::new()).await;
    let mark = world.mark().await;
    let stall = Fault::stall().method("POST").once();
    let stall = if applied { stall.after() } else { stall };
    let fault = world.sim.fault(stall);
    world.create(declared(&world)).await;
    held(&fault).await;
    world.operator.kill();
    posted(&world, &mark, 1).await;
    fault.remove();
    assert_eq!(world.sim.secrets(&world.vault).len(), usize::from(applied));
    let mark = world.mark_now();
    start(&mut world).await;
    is_created(&world).await;
    (world, mark)
}

#[tokio::test]
async fn a_kill_after_it_was_created() {
    let (mut world, mark) = killed(true).await;
    let id = only(&world).id;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list_vaults(), list(&world.vault), adoption(&id)]);
    a_restart_does_nothing(&mut world).await;
}

#[tokio::test]
async fn a_kill_before_it_was_created() {
    let (mut world, mark) = killed(false).await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list_vaults(), list(&world.vault), creation(&world)]);
    a_restart_does_nothing(&mut world).await;
}

/// The answer came, and the status could not be written any more.
#[tokio::test]
async fn a_kill_between_the_answer_and_the_status() {
    let mut world = empty(Setup::new().alone()).await;
    let mark = world.mark().await;
    let fault = world
        .sim
        .fault(Fault::stall().method("POST").after().once());
    world.create(declared(&world)).await;
    held(&fault).await;
    let outage = world.cluster.pause(Program::ApiServer).await;
    fault.release();
    posted(&world, &mark, 1).await;
    world.operator.kill();
    outage.end().await;
    let status = world.get("token").await.status.unwrap_or_default();
    assert_eq!((status.secret_id, status.conditions), (None, Vec::new()));

    let id = only(&world).id;
    let mark = world.mark_now();
    start(&mut world).await;
    assert_eq!(is_created(&world).await, id);
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list_vaults(), list(&world.vault), adoption(&id)]);
}

/// The API is away when the object appears, and comes back.
#[tokio::test]
async fn an_outage_before_the_first_look() {
    let world = empty(Setup::new()).await;
    world.sim.pause().await.expect("an outage");
    world.create(declared(&world)).await;
    world.reason("token", "ApiUnavailable").await;
    world.sim.resume().await.expect("the same port");
    is_created(&world).await;
}
