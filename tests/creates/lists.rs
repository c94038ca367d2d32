//! Lists that do not show yet what was created.

use super::*;

/// How far the lists lag behind.
const LAG: Duration = Duration::from_secs(4);

fn lagging() -> Setup {
    let setup = Setup::new().flag("--resync-interval=1s");
    setup.behave(|behaviour| behaviour.list_lag = Lag::Duration(LAG))
}

/// A list that leaves it out is weak evidence: the secret is asked for itself.
#[tokio::test]
async fn a_list_that_does_not_show_it_yet_creates_nothing_again() {
    let world = empty(lagging()).await;
    let mark = world.mark().await;
    world.create(declared(&world)).await;
    let id = is_created(&world).await;
    listed(&world, &mark, 8).await;
    assert_eq!(is_created(&world).await, id);
    assert_eq!(posts(&world, &mark).len(), 1);
    let writes = world.requests().since(mark.sim).writes();
    assert_eq!(writes.len(), 1, "{writes:#?}");
    assert_eq!(reasons(&world, "token").await, ["Created", "Synced"]);
}

/// The answer is lost, no list shows the secret for a while, and a second creation is refused as a duplicate.
async fn lost_and_not_shown(fault: Fault, duplicate: u16) {
    let setup = lagging().behave(|behaviour| {
        behaviour.duplicate_env_key = Duplicate::Refused(duplicate);
    });
    let world = empty(setup).await;
    let mark = world.mark().await;
    world.sim.fault(fault.method("POST").after().once());
    world.create(declared(&world)).await;
    is_created(&world).await;
    let tried = posts(&world, &mark).len();
    assert!((1..=5).contains(&tried), "hammered: {tried} creations");
}

#[tokio::test]
async fn a_lost_answer_and_a_list_that_lags() {
    lost_and_not_shown(Fault::cut(), 400).await;
}

#[tokio::test]
async fn a_server_error_and_a_list_that_lags() {
    lost_and_not_shown(Fault::status(500), 409).await;
}

/// Where duplicates are allowed it is as good as a list can make it: two at most, and it is said.
#[tokio::test]
async fn a_lost_answer_and_a_list_that_lags_where_duplicates_are_allowed() {
    let setup = lagging().behave(|behaviour| {
        behaviour.duplicate_env_key = Duplicate::Allowed;
    });
    let world = empty(setup).await;
    let mark = world.mark().await;
    world.sim.fault(Fault::cut().method("POST").after().once());
    world.create(declared(&world)).await;
    world
        .until("token", "at its end", |object| {
            matches!(
                objects::current_reason(object),
                Some("Synced" | "AmbiguousEnvKey")
            )
        })
        .await;
    let few = |log: &Entries| log.since(mark.sim).method("POST").len() <= 2;
    let stays = world.sim.log().stays(few, 2 * LAG).await;
    stays.expect("two creations at most");
    let stored = world.sim.secrets(&world.vault);
    assert!((1..=2).contains(&stored.len()), "{stored:#?}");
}
