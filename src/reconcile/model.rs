//! A small world in which the pure steps run: a vault with its switches, an API server, a process with its ledger and
//! its claims, others who write to the vault; and what must hold of every history in it.

mod cases;
mod course;
mod events;
mod histories;
mod laws;
mod lives;
mod objects;
mod part;
mod quiet;
mod run;
mod send;
mod truth;
mod vault;
mod world;

use self::{
    course::{Course, Ended},
    vault::Switches,
    world::{Fault, ONE, StatusFault, World, domains},
};
use super::{
    compare::{Listing, compare},
    desired::Desired,
    fields::Fields,
};

/// One pass over the only object, with `faults` for its requests in turn. `sweep`: the vault was listed just before.
fn pass(world: &mut World, faults: &[Fault], status_fault: StatusFault, sweep: bool) -> Ended {
    if sweep {
        world.sweep();
    }
    let mut course = Course {
        faults: faults.iter().copied().collect(),
        ..Course::default()
    };
    let ended = world.pass(ONE, &mut course, status_fault);
    ended.expect("an object that is there to stay")
}
