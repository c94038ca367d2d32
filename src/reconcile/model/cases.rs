//! Short histories that random ones meet seldom: each once ended in a wrong write, or would without one of the rules.

use super::{
    course::Course,
    events::{Edit, Event, First, KEYS},
    quiet::plain,
    vault::Blur,
    world::{StatusFault, World},
};
use crate::{api::Reason, reconcile::status::ready_reason};

fn happen(world: &mut World, events: impl IntoIterator<Item = Event>) {
    for event in events {
        world.happen(&event);
    }
}

/// A world where the watch shows the object of each `first`, the oldest first.
fn seen(env_keys: &[&str], first: &[First]) -> World {
    let mut world = World::new(plain(), first.len(), env_keys);
    for (at, first) in first.iter().enumerate() {
        world.vault.clock += 10;
        happen(&mut world, [Event::Create(at, *first), Event::CatchUp(at)]);
    }
    world
}

fn run_due(world: &mut World) {
    while let Some(at) = world.next_due() {
        world.happen(&Event::Pass(at));
    }
}

fn says(world: &World, at: usize) -> Option<Reason> {
    ready_reason(&world.status(at))
}

/// A pass, with what happens before each of its requests and during each of its writes.
fn meet<const N: usize>(at: usize, meanwhile: [Option<Event>; N]) -> Event {
    let course = Course {
        meanwhile: meanwhile.into(),
        ..Course::default()
    };
    Event::Meet(at, course, StatusFault::None)
}

const CREATES: First = First {
    create: true,
    ..First::PLAIN
};
const DELETES: First = First {
    delete: true,
    ..First::PLAIN
};
const OTHER_KEY: First = First {
    connection: 1,
    ..First::PLAIN
};

/// Whoever loses a secret to another for a while takes it back as soon as it may, and puts its own value there: no list
/// has to show that.
#[test]
fn what_another_wrote_in_between_is_put_right_by_whoever_takes_over() {
    let mut world = seen(&KEYS, &[First::PLAIN; 2]);
    run_due(&mut world);
    assert_eq!(says(&world, 0), Some(Reason::Synced));
    assert_eq!(says(&world, 1), Some(Reason::Conflict));
    assert!(world.as_declared(0));

    world.happen(&Event::Permit(0, false));
    run_due(&mut world);
    assert_eq!(says(&world, 0), Some(Reason::NotPermitted));
    assert!(world.as_declared(1), "it takes over: {:#?}", world.trace);

    world.happen(&Event::Permit(0, true));
    run_due(&mut world);
    assert!(world.as_declared(0), "{:#?}", world.trace);
    assert_eq!(says(&world, 0), Some(Reason::Synced));
    assert_eq!(says(&world, 1), Some(Reason::Conflict));
}

/// The older one finds the vault empty, too, and is done before the younger one sends what it had decided.
#[test]
fn a_look_from_before_anothers_creation_is_no_ground_for_one() {
    let mut world = seen(&[], &[CREATES; 2]);
    world.happen(&meet(1, [None, Some(Event::Pass(0))]));
    run_due(&mut world);
    assert_eq!(world.vault.secrets.len(), 1, "{:#?}", world.trace);
    assert_eq!(says(&world, 1), Some(Reason::Conflict));
}

/// A sweep's list told of the loss, and another was faster than the one it told.
#[test]
fn nothing_is_created_by_a_sweeps_list_alone() {
    let mut world = seen(&[], &[CREATES]);
    run_due(&mut world);
    world.add_place();
    happen(
        &mut world,
        [
            Event::Take(0),
            Event::Sweep,
            Event::Create(1, CREATES),
            Event::CatchUp(1),
            Event::Pass(1),
        ],
    );
    run_due(&mut world);
    assert_eq!(world.vault.secrets.len(), 1, "{:#?}", world.trace);
}

/// Lists show a secret that is gone until the object has given it up.
#[test]
fn what_a_late_list_showed_is_created_once_lists_show_it_no_more() {
    let mut world = seen(&KEYS, &[CREATES]);
    happen(&mut world, [Event::Blur(Blur::Late), Event::Take(0)]);
    run_due(&mut world);
    assert_eq!(says(&world, 0), Some(Reason::RemoteNotFound));
    happen(&mut world, [Event::Blur(Blur::Nothing), Event::Sweep]);
    run_due(&mut world);
    assert_eq!(says(&world, 0), Some(Reason::Synced));
    assert!(world.as_declared(0));
}

/// A claim goes with the connection it was proven by.
#[test]
fn who_goes_another_way_has_no_claim_until_that_shows_the_secret() {
    let mut world = seen(&KEYS, &[First::PLAIN; 2]);
    run_due(&mut world);
    assert_eq!(says(&world, 1), Some(Reason::Conflict));
    happen(
        &mut world,
        [
            Event::Revoke(1, true),
            Event::Edit(0, Edit::Connection(1)),
            Event::CatchUp(0),
        ],
    );
    run_due(&mut world);
    assert_eq!(says(&world, 0), Some(Reason::Unauthorized));
    assert_eq!(says(&world, 1), Some(Reason::Synced));
    world.happen(&Event::Revoke(1, false));
    run_due(&mut world);
    assert_eq!(says(&world, 0), Some(Reason::Synced));
    assert_eq!(says(&world, 1), Some(Reason::Conflict));
}

/// Until it is gone the one that leaves has the secret.
#[test]
fn an_heir_waits_for_the_end_of_the_one_that_leaves() {
    let mut world = seen(&KEYS, &[DELETES, OTHER_KEY]);
    run_due(&mut world);
    happen(
        &mut world,
        [
            Event::CatchUp(0),
            Event::Delete(0),
            Event::CatchUp(0),
            Event::Pass(1),
        ],
    );
    assert_eq!(says(&world, 1), Some(Reason::Conflict));
    happen(&mut world, [Event::Pass(0), Event::CatchUp(0)]);
    run_due(&mut world);
    assert_eq!(says(&world, 1), Some(Reason::Synced));
    assert_eq!(world.done.deletions, 0);
}

/// The heir turns up when all is ready for the deletion.
#[test]
fn an_heir_is_never_too_late_while_the_secret_is_there() {
    let mut world = seen(&KEYS, &[DELETES]);
    run_due(&mut world);
    world.add_place();
    happen(
        &mut world,
        [
            Event::Create(1, First::PLAIN),
            Event::CatchUp(0),
            Event::Delete(0),
            Event::CatchUp(0),
            meet(0, [Some(Event::CatchUp(1))]),
        ],
    );
    assert_eq!(world.done.deletions, 0, "{:#?}", world.trace);
}

/// The same for whoever takes the permission away, or the policy back.
#[test]
fn nothing_is_deleted_against_what_was_said_last() {
    let against = [
        vec![Event::Permit(0, false)],
        vec![Event::Edit(0, Edit::Suspend(true))],
        vec![Event::Edit(0, Edit::Delete(false))],
    ];
    for events in against {
        let mut world = seen(&KEYS, &[DELETES]);
        run_due(&mut world);
        happen(
            &mut world,
            [Event::CatchUp(0), Event::Delete(0), Event::CatchUp(0)],
        );
        let last = match &events[..] {
            [event @ Event::Edit(..)] => {
                world.happen(event);
                Event::CatchUp(0)
            }
            _ => events[0].clone(),
        };
        world.happen(&meet(0, [Some(last)]));
        assert_eq!(world.done.deletions, 0, "{:#?}", world.trace);
        happen(&mut world, [Event::Wait(10), Event::CatchUp(0)]);
        run_due(&mut world);
        happen(&mut world, [Event::Pass(0), Event::CatchUp(0)]);
        assert!(world.lives[0].server.is_none(), "{:#?}", world.trace);
        assert_eq!(world.done.deletions, 0, "{:#?}", world.trace);
    }
}
