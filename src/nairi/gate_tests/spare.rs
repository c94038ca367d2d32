//! Slots that nobody wants.

use super::*;

#[test]
fn spare_work_takes_what_nobody_wants() {
    let world = World::new(2);
    let spare = || world.gate.spare(&9, world.now);
    let (a, b) = (world.pass(1), spare().expect("a slot is free"));
    assert!(spare().is_none(), "full");
    world.full(2);
    world.full(3);
    drop(a);
    assert_eq!(world.woken(), [2]);
    assert!(spare().is_none(), "promised to 2, and 3 waits");
    drop(b);
    assert_eq!(
        world.woken(),
        [3],
        "a slot of spare work goes on as any other"
    );
    let both = (world.pass(2), world.pass(3));
    drop(both);
    assert!(world.woken().is_empty());
    let one = spare().expect("a slot");
    assert!(spare().is_none(), "the other slot is for others");
    drop(one);
}

#[test]
fn spare_work_passes_no_slot_that_was_promised() {
    let mut world = World::new(2);
    let both = (world.pass(1), world.pass(2));
    world.full(20);
    drop(both);
    assert_eq!(world.woken(), [20]);
    let spare = |of| world.gate.spare(&of, world.now);
    assert!(spare(21).is_none(), "its namespace was promised one");
    let other = spare(9).expect("of another namespace, that one's is kept");
    assert!(spare(10).is_none(), "and there are no more");
    drop((world.pass(20), other));
    // A promise nobody redeems lapses with the tick.
    let both = (world.pass(1), world.pass(2));
    world.full(20);
    drop(both);
    world.gate.tick(world.now);
    world.later(PATIENCE);
    world.gate.tick(world.now);
    assert!(world.gate.spare(&21, world.now).is_some());
}

#[test]
fn spare_work_finds_a_closed_gate_closed() {
    let mut world = World::new(1);
    world.gate.throttle(None, Duration::from_secs(9), world.now);
    assert!(world.gate.spare(&9, world.now).is_none(), "silence");
    world.later(Duration::from_secs(9));
    drop(
        world
            .gate
            .spare(&9, world.now)
            .expect("the silence is over"),
    );
    assert!(world.gate.refuse());
    assert!(world.gate.spare(&9, world.now).is_none(), "refused");
    assert!(world.gate.open());
    assert!(world.gate.spare(&9, world.now).is_some());
}
