//! What one namespace may do to the others.

use super::*;

const MINUTE: Duration = Duration::from_mins(1);

/// Of the namespaces `k` and `l`.
const K: [u8; 4] = [20, 21, 22, 23];
const L: [u8; 4] = [24, 25, 26, 27];

#[test]
fn one_namespace_never_holds_all_slots() {
    let world = World::new(3);
    let held = [world.pass(K[0]), world.pass(K[1])];
    world.full(K[2]);
    let spare = world.gate.spare(&K[3], world.now);
    assert!(spare.is_none(), "its own wait");
    let other = world.pass(L[0]);
    world.full(L[1]);
    drop(held);
    assert_eq!(world.woken(), [K[2]]);
    drop(other);
    assert_eq!(world.woken(), [L[1]]);
}

#[test]
fn namespaces_take_turns() {
    let world = World::new(1);
    let permit = world.pass(K[0]);
    for waiter in [K[1], K[2], K[3], L[0], L[1]] {
        world.full(waiter);
    }
    drop(permit);
    for expected in [K[1], L[0], K[2], L[1], K[3]] {
        assert_eq!(world.woken(), [expected]);
        drop(world.pass(expected));
    }
}

#[test]
fn who_is_throttled_over_and_over_is_silent_alone() {
    let mut world = World::new(2);
    drop((world.pass(K[0]), world.pass(L[0])));
    let throttle = |world: &World| world.gate.throttle(Some(&K[0]), MINUTE, world.now);
    throttle(&world);
    for waiter in [K[1], L[0]] {
        let admission = world.admit(waiter);
        assert!(
            matches!(admission, Admission::ClosedUntil(_)),
            "{admission:?}"
        );
    }
    world.later(MINUTE);
    let (k, l) = (world.pass(K[0]), world.pass(L[0]));
    for waiter in [K[1], L[1]] {
        world.full(waiter);
    }
    throttle(&world);
    assert_eq!(world.woken(), [K[1]], "it has to learn of the pause");
    let (until, now) = (world.now + MINUTE, world.now);
    match world.admit(K[1]) {
        Admission::ClosedUntil(then) => assert_eq!(then, until),
        other => panic!("{other:?}"),
    }
    assert!(world.gate.spare(&K[2], now).is_none() && world.gate.is_closed_to(&K[2], now));
    assert!(!world.gate.is_closed(now) && world.gates.closed_count(now) == 0);
    drop((k, l));
    assert_eq!(world.woken(), [L[1]]);
    drop(world.pass(L[1]));
}

/// Its silence outlives its connection, as that of the key does.
#[test]
fn a_namespace_is_silent_whoever_holds_the_gate() {
    let mut world = World::new(2);
    let gate = world.gates.for_key(&key("nr_b"), world.now);
    for waiter in [K[0], L[0]] {
        assert!(matches!(gate.admit(&waiter, world.now), Admission::Pass(_)));
    }
    for _ in 0..2 {
        world.later(MINUTE);
        gate.throttle(Some(&K[0]), MINUTE, world.now);
    }
    drop(gate);
    world.gates.tick(world.now);
    let gate = world.gates.for_key(&key("nr_b"), world.now);
    assert!(gate.is_closed_to(&K[0], world.now) && !gate.is_closed_to(&L[0], world.now));
}
