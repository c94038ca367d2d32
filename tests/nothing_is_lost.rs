//! Nothing is lost: rotations that come faster than they can be sent, a kill at any instant, answers that get
//! lost, status writes that meet a conflict. All of it ends in the declared state and a true status.

use std::time::Duration;

use crate::aftermath::*;
use crate::support::*;

#[tokio::test]
async fn ten_rotations_a_second_end_with_the_last_value() {
    rotate_for_ten_seconds(Setup::new(), 100).await;
}

/// An API that takes longer than a rotation: what was overtaken is never sent.
#[tokio::test]
async fn rotations_that_overtake_the_api_are_left_out() {
    let slow = Setup::new().behave(|behaviour| behaviour.latency = Duration::from_millis(250));
    rotate_for_ten_seconds(slow, 45).await;
}

async fn rotate_for_ten_seconds(setup: Setup, at_most: usize) {
    let (mut world, id) = token(setup).await;
    let mark = world.mark().await;
    let mut beat = tokio::time::interval(Duration::from_millis(100));
    for round in 1..=100 {
        beat.tick().await;
        rotate(&world, &format!("value-{round}")).await;
    }
    let seen = world.since(&mark).await;
    let sent = values(&seen);
    grow(&sent, 100);
    assert!(
        (10..=at_most).contains(&sent.len()),
        "{} PATCHes",
        sent.len()
    );
    assert_eq!(seen.requests.len(), sent.len(), "and nothing else");
    wrote(&seen, sent.len(), 0);
    let read = world.secrets_read(&mark).await;
    assert!(
        read.len() <= 100,
        "the source was read {} times",
        read.len()
    );
    is_true(&world, &id, "value-100").await;
    a_restart_does_nothing(&mut world).await;
}

#[tokio::test]
async fn a_kill_after_the_patch_was_applied() {
    kill_during_a_rotation(Setup::new(), true).await;
}

#[tokio::test]
async fn a_kill_after_it_was_applied_where_an_equal_value_counts_as_a_change() {
    let setup = Setup::new().behave(|behaviour| behaviour.equal_value_is_change = true);
    kill_during_a_rotation(setup, true).await;
}

#[tokio::test]
async fn a_kill_before_the_patch_was_applied() {
    kill_during_a_rotation(Setup::new(), false).await;
}

/// Kills the operator while its PATCH is under way, and makes sure of whether it was applied.
async fn kill_in_flight(world: &mut World, mark: &Mark, id: &str, applied: bool) {
    let fault = &world.sim.faults()[0];
    held(fault).await;
    world.operator.kill();
    ended(
        world,
        mark,
        id,
        world.requests().since(mark.sim).secret(id).len(),
    )
    .await;
    fault.remove();
    let last = world.requests().secret(id);
    assert_eq!(last.last().expect("a PATCH").applied, applied);
}

async fn kill_during_a_rotation(setup: Setup, applied: bool) {
    let (mut world, id) = token(setup).await;
    let mark = world.mark().await;
    hold(&world, &id, applied);
    rotate(&world, "second").await;
    kill_in_flight(&mut world, &mark, &id, applied).await;
    let expected = if applied { "second" } else { "first" };
    assert_eq!(world.sim.value(&id).as_deref(), Some(expected));

    start(&mut world).await;
    let seen = world.since(&mark).await;
    let second = patch(&id, json!({"value": "second"}));
    seen.sent_exactly(&[second.clone(), list_vaults(), second]);
    wrote(&seen, 1, 0);
    is_true(&world, &id, "second").await;
    a_restart_does_nothing(&mut world).await;
}

/// Nothing in Kubernetes tells that another value is stored: only a look at the vault does.
#[tokio::test]
async fn a_kill_after_it_was_applied_and_a_return_to_the_old_value() {
    let (mut world, id) = token(Setup::new()).await;
    let mark = world.mark().await;
    hold(&world, &id, true);
    rotate(&world, "second").await;
    kill_in_flight(&mut world, &mark, &id, true).await;
    rotate(&world, "first").await;
    assert_eq!(world.sim.value(&id).as_deref(), Some("second"));

    start(&mut world).await;
    let seen = world.since(&mark).await;
    assert_eq!(values(&seen), ["second", "first"]);
    looked(&seen, &world, &id);
    is_true(&world, &id, "first").await;
    a_restart_does_nothing(&mut world).await;
}

#[tokio::test]
async fn a_kill_before_it_was_applied_and_a_return_to_the_old_value() {
    let (mut world, id) = token(Setup::new()).await;
    let mark = world.mark().await;
    hold(&world, &id, false);
    rotate(&world, "second").await;
    kill_in_flight(&mut world, &mark, &id, false).await;
    rotate(&world, "first").await;

    start(&mut world).await;
    let seen = world.since(&mark).await;
    assert_eq!(values(&seen), ["second"], "before the kill, and not again");
    looked(&seen, &world, &id);
    wrote(&seen, 0, 0);
    is_true(&world, &id, "first").await;
}

/// One list, and perhaps the secret itself: no more reads are needed.
#[track_caller]
fn looked(seen: &Seen, world: &World, id: &str) {
    let read = reads(seen);
    let (list, ask) = (list(&world.vault), patch(id, json!({})));
    assert!(read == [list.clone()] || read == [list, ask], "{read:#?}");
}

#[tokio::test]
async fn a_kill_during_a_change_of_the_domains() {
    let (mut world, id) = token(Setup::new()).await;
    let mark = world.mark().await;
    let domains = json!(["new.example.com"]);
    kill_during_new_domains(&mut world, &mark, &id, &domains).await;

    start(&mut world).await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[
        patch(&id, json!({})),
        patch(&id, json!({"allowed_domains": domains})),
        list_vaults(),
        // Somebody moved updated_at: it may have been somebody else, so the value goes along.
        patch(&id, json!({})),
        patch(&id, json!({"value": "first", "allowed_domains": domains})),
    ]);
    assert_eq!(json!(world.sim.domains(&id)), domains);
    is_true(&world, &id, "first").await;
    a_restart_does_nothing(&mut world).await;
}

#[tokio::test]
async fn a_kill_during_a_change_of_the_domains_and_a_return_to_the_old_ones() {
    let (mut world, id) = token(Setup::new()).await;
    let mark = world.mark().await;
    let domains = json!(["new.example.com"]);
    kill_during_new_domains(&mut world, &mark, &id, &domains).await;
    world
        .edit_spec("token", json!({"allowedDomains": DOMAINS}))
        .await;

    start(&mut world).await;
    let seen = world.since(&mark).await;
    assert_eq!(
        writes(&seen),
        [
            patch(&id, json!({"allowed_domains": domains})),
            patch(&id, json!({"value": "first", "allowed_domains": DOMAINS})),
        ]
    );
    assert_eq!(json!(world.sim.domains(&id)), json!(DOMAINS));
    is_true(&world, &id, "first").await;
    a_restart_does_nothing(&mut world).await;
}

async fn kill_during_new_domains(world: &mut World, mark: &Mark, id: &str, domains: &Value) {
    hold(world, id, true);
    let change = json!({"allowedDomains": domains});
    world.edit_spec("token", change).await;
    kill_in_flight(world, mark, id, true).await;
    assert_eq!(json!(world.sim.domains(id)), *domains);
}

/// Over HTTP/2, where a client may be tempted to send again by itself.
#[tokio::test]
async fn a_connection_that_is_cut_and_a_return_to_the_old_value() {
    let options = Options::tls();
    let (world, id) = token(Setup::new().options(options)).await;
    let mark = world.mark().await;
    let fault = hold(&world, &id, true);
    rotate(&world, "second").await;
    held(&fault).await;
    rotate(&world, "first").await;
    world.sim.cut_connections().await;
    lost_and_sent_again(world, &mark, &id).await;
}

#[tokio::test]
async fn an_answer_that_comes_too_late_and_a_return_to_the_old_value() {
    let (world, id) = token(Setup::new().flag("--api-timeout=1s")).await;
    let mark = world.mark().await;
    let fault = hold(&world, &id, true);
    rotate(&world, "second").await;
    held(&fault).await;
    rotate(&world, "first").await;
    ended(&world, &mark, &id, 1).await;
    lost_and_sent_again(world, &mark, &id).await;
}

async fn lost_and_sent_again(mut world: World, mark: &Mark, id: &str) {
    let stored = |log: &nairi_sim::Entries| log.since(mark.sim).secret(id).ended().len() == 2;
    let waited = world.sim.log().wait_for(stored, SOON).await;
    waited.expect("it is sent again");
    let seen = world.since(mark).await;
    seen.sent_exactly(&[
        patch(id, json!({"value": "second"})),
        patch(id, json!({"value": "first"})),
    ]);
    // Not in sync, in sync.
    wrote(&seen, 2, 2);
    is_true(&world, id, "first").await;
    a_restart_does_nothing(&mut world).await;
}

#[tokio::test]
async fn a_lost_answer_about_domains_and_a_return_to_the_old_ones() {
    let (mut world, id) = token(Setup::new()).await;
    let mark = world.mark().await;
    let fault = hold(&world, &id, true);
    let domains = json!(["new.example.com"]);
    world
        .edit_spec("token", json!({"allowedDomains": domains}))
        .await;
    held(&fault).await;
    world
        .edit_spec("token", json!({"allowedDomains": DOMAINS}))
        .await;
    noticed(&world).await;
    world.sim.cut_connections().await;
    ended(&world, &mark, &id, 4).await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[
        patch(&id, json!({})),
        patch(&id, json!({"allowed_domains": domains})),
        patch(&id, json!({})),
        patch(&id, json!({"value": "first", "allowed_domains": DOMAINS})),
    ]);
    wrote(&seen, 2, 2);
    assert_eq!(json!(world.sim.domains(&id)), json!(DOMAINS));
    is_true(&world, &id, "first").await;
    a_restart_does_nothing(&mut world).await;
}

#[tokio::test]
async fn a_lost_answer_about_domains_that_are_managed_alone() {
    let world = World::start().await;
    let id = world.remote("TOKEN", "theirs", &DOMAINS);
    let declared = world.vault_secret("token").secret_id(&id).domains(DOMAINS);
    world.create(declared).await;
    world.synced("token").await;
    let mark = world.mark().await;
    let fault = hold(&world, &id, true);
    let domains = json!(["new.example.com"]);
    world
        .edit_spec("token", json!({"allowedDomains": domains}))
        .await;
    held(&fault).await;
    world
        .edit_spec("token", json!({"allowedDomains": DOMAINS}))
        .await;
    noticed(&world).await;
    world.sim.cut_connections().await;
    ended(&world, &mark, &id, 2).await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[
        patch(&id, json!({"allowed_domains": domains})),
        patch(&id, json!({"allowed_domains": DOMAINS})),
    ]);
    wrote(&seen, 2, 2);
    assert_eq!(json!(world.sim.domains(&id)), json!(DOMAINS));
    assert_eq!(world.sim.value(&id).as_deref(), Some("theirs"));
}

/// The declared value changes while the PATCH of the one before is under way, and its answer does come.
#[tokio::test]
async fn a_return_to_the_old_value_while_the_patch_is_under_way() {
    let (world, id) = token(Setup::new()).await;
    let mark = world.mark().await;
    let fault = hold(&world, &id, true);
    rotate(&world, "second").await;
    held(&fault).await;
    rotate(&world, "first").await;
    fault.release();
    ended(&world, &mark, &id, 2).await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[
        patch(&id, json!({"value": "second"})),
        patch(&id, json!({"value": "first"})),
    ]);
    wrote(&seen, 2, 0);
    is_true(&world, &id, "first").await;
}

/// Somebody annotates the object without a pause, so that status writes meet a newer object again and again.
#[tokio::test]
async fn a_status_write_that_meets_a_conflict_sends_nothing_again() {
    const ROUNDS: usize = 30;
    let (mut world, id) = token(Setup::new()).await;
    let mark = world.mark().await;
    let annotate = async {
        for note in 0_u64.. {
            let note = json!({"metadata": {"annotations": {"note": note.to_string()}}});
            world.edit("token", note).await;
        }
    };
    let rounds = async {
        for round in 1..=ROUNDS {
            let value = format!("value-{round}");
            rotate(&world, &value).await;
            ended(&world, &mark, &id, round).await;
            is_true(&world, &id, &value).await;
        }
    };
    tokio::select! {
        () = annotate => unreachable!("it has no end"),
        () = rounds => {}
    }
    let seen = world.since(&mark).await;
    let sent = values(&seen);
    grow(&sent, ROUNDS);
    assert_eq!(sent.len(), ROUNDS);
    assert_eq!(seen.requests.len(), ROUNDS, "and nothing else");
    let since = mark.audit.expect("needs the audit log");
    let mut answered = world.cluster.audit().answered(&world.user, since);
    answered.retain(|write| write.what() == "vaultsecrets/status" && write.name == "token");
    let conflicts = answered.iter().filter(|write| write.code == 409).count();
    assert!(conflicts > 0, "no conflict in {} writes", answered.len());
    wrote(&seen, ROUNDS + conflicts, 0);
    a_restart_does_nothing(&mut world).await;
}
