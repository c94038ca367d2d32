//! Whatever happens, in whatever order: it ends in the declared state and a true status, and nothing is sent
//! without a reason.

use proptest::prelude::*;

use super::{
    Fault, ONE, StatusFault, World, domains, pass,
    quiet::{ID, remote, switches},
    vault::Blur,
};
use crate::{
    api::{DriftPolicy, Reason},
    reconcile::{status::ready_reason, verdict::Verdict},
    sync_request,
};

#[derive(Clone, Debug)]
enum Happening {
    Rotate(u8),
    Touch,
    Domains(Option<u8>),
    ManageValue(bool),
    Policy(bool),
    CatchUp,
    Restart,
    Pass(Vec<Fault>, StatusFault, bool),
    Outsider(Option<u8>, Option<u8>),
    ListsLag(bool),
    Request(Option<u8>),
}

fn happening(outsiders: bool) -> impl Strategy<Value = Happening> {
    let fault = prop_oneof![
        3 => Just(Fault::None),
        1 => Just(Fault::Outdated),
        1 => Just(Fault::Refused),
        1 => Just(Fault::LostBefore),
        2 => Just(Fault::LostAfter),
    ];
    let status_fault = prop_oneof![
        4 => Just(StatusFault::None),
        1 => Just(StatusFault::NotWritten),
        1 => Just(StatusFault::LostAfter),
        2 => Just(StatusFault::Crash),
    ];
    let own = prop_oneof![
        2 => (0..3u8).prop_map(Happening::Rotate),
        1 => Just(Happening::Touch),
        2 => prop::option::weighted(0.8, 0..4u8).prop_map(Happening::Domains),
        1 => any::<bool>().prop_map(Happening::ManageValue),
        1 => any::<bool>().prop_map(Happening::Policy),
        1 => prop::option::weighted(0.8, 0..3u8).prop_map(Happening::Request),
        1 => Just(Happening::CatchUp),
        1 => Just(Happening::Restart),
        6 => (prop::collection::vec(fault, 0..4), status_fault, any::<bool>())
            .prop_map(|(faults, status, sweep)| Happening::Pass(faults, status, sweep)),
    ];
    let theirs = prop_oneof![
        (prop::option::of(0..2u8), prop::option::of(0..2u8))
            .prop_map(|(value, choice)| Happening::Outsider(value, choice)),
        any::<bool>().prop_map(Happening::ListsLag),
    ];
    prop_oneof![
        16 => own,
        2 * u32::from(outsiders) => theirs,
    ]
}

fn happen(world: &mut World, happenings: Vec<Happening>) {
    for happening in happenings {
        world.trace.push(format!("{happening:?}"));
        match happening {
            Happening::Rotate(content) => world.rotate(ONE, content),
            Happening::Touch => world.touch_source(ONE),
            Happening::Domains(choice) => {
                world.declare(ONE, |spec| spec.allowed_domains = choice.map(domains));
            }
            Happening::ManageValue(managed) => world.manage_value(ONE, managed),
            Happening::Policy(report) => world.declare(ONE, |spec| {
                spec.drift_policy = if report {
                    DriftPolicy::Report
                } else {
                    DriftPolicy::Correct
                };
            }),
            Happening::CatchUp => world.catch_up(ONE),
            Happening::Restart => world.restart(),
            Happening::Pass(faults, status, sweep) => {
                let ended = pass(world, &faults, status, sweep);
                assert!(
                    ended.steps <= 6,
                    "{} steps: {:#?}",
                    ended.steps,
                    world.trace
                );
            }
            Happening::ListsLag(lags) => {
                world
                    .vault
                    .blur(if lags { Blur::Late } else { Blur::Nothing });
            }
            Happening::Outsider(value, choice) => world.vault.outsider(ID, value, choice),
            Happening::Request(value) => world.request(ONE, value),
        }
        world.forget_unmanaged();
    }
}

/// Lets everything come to rest, with sweeps where others wrote, and looks how it is then.
fn rest(world: &mut World, sweep: bool) {
    world.trace.push("rest".into());
    world.vault.blur(Blur::Nothing);
    for _ in 0..3 {
        world.catch_up(ONE);
        pass(world, &[], StatusFault::None, sweep);
    }
    world.catch_up(ONE);
    let (writes, sent) = (world.done.status_writes, world.done.sent.len());
    let verdict = pass(world, &[], StatusFault::None, sweep).verdict;
    assert_eq!(
        (writes, sent),
        (world.done.status_writes, world.done.sent.len()),
        "no rest: {:#?}",
        world.trace
    );
    assert!(
        !world.lives[ONE].truth.asked,
        "a request is forgotten: {:#?}",
        world.trace
    );
    if let Some(asked) = sync_request::of(world.object(ONE)) {
        let handled = world.status(ONE).last_handled_sync_request;
        assert_eq!(handled.as_deref(), Some(asked), "{:#?}", world.trace);
    }
    let reason = ready_reason(&world.status(ONE));
    match verdict {
        Verdict::Synced(confirmed) => {
            assert!(
                world.as_declared(ONE),
                "{:?} {:#?}",
                remote(world),
                world.trace
            );
            assert_eq!(reason, Some(Reason::Synced));
            assert_eq!(
                world.status(ONE).updated_at.as_deref(),
                Some(&*confirmed.updated_at)
            );
            if sweep {
                assert!(
                    crate::nairi::same_instant(
                        &confirmed.updated_at,
                        &world.vault.answer(ID).expect("a secret").updated_at
                    ),
                    "{:#?}",
                    world.trace
                );
                assert!(
                    crate::nairi::same_domains(&confirmed.allowed_domains, &remote(world).domains),
                    "{:#?}",
                    world.trace
                );
            }
        }
        Verdict::Drifted { .. } => {
            assert!(
                world.object(ONE).spec.drift_policy == DriftPolicy::Report
                    && (sweep || world.lives[ONE].truth.lost),
                "{:#?}",
                world.trace
            );
            assert_eq!(reason, Some(Reason::DriftDetected));
        }
        other => panic!("{other:?} at rest: {:#?}", world.trace),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// Without others every history heals by what the operator itself remembers; no list is needed.
    #[test]
    fn nothing_of_our_own_is_lost(switches in switches(), history in prop::collection::vec(happening(false), 0..25)) {
        let mut world = World::of_one(switches);
        happen(&mut world, history);
        rest(&mut world, false);
    }

    /// With others, a list shows what they did, and the policy decides.
    #[test]
    fn whatever_others_do_the_next_sweep_puts_it_right(
        switches in switches(), history in prop::collection::vec(happening(true), 0..25),
    ) {
        let mut world = World::of_one(switches);
        happen(&mut world, history);
        rest(&mut world, true);
    }
}
