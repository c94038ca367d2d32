//! Where nothing goes wrong: one change, one PATCH, only the fields that differ.

use proptest::prelude::*;

use super::{
    Fault, Fields, ONE, StatusFault, Switches, World, domains, pass, vault::Stored, world::BOTH,
};
use crate::{api::DriftPolicy, nairi::same_domains, reconcile::verdict::Verdict};

const VALUE: Fields = Fields {
    value: true,
    allowed_domains: false,
};
const DOMAINS: Fields = Fields {
    value: false,
    allowed_domains: true,
};

pub(super) fn switches() -> impl Strategy<Value = Switches> {
    any::<(bool, bool, bool, bool, bool)>().prop_map(
        |(equal_value_is_change, folds, reverses, two_formats, unique_keys)| Switches {
            equal_value_is_change,
            folds,
            reverses,
            two_formats,
            unique_keys,
        },
    )
}

/// The only secret.
pub(super) const ID: &str = "sec_0";

pub(super) fn remote(world: &World) -> &Stored {
    world.vault.get(ID).expect("a secret")
}

fn quiet_pass(world: &mut World) -> Verdict {
    let ended = pass(world, &[Fault::None], StatusFault::None, false);
    assert!(
        ended.steps <= 5,
        "{} steps: {:#?}",
        ended.steps,
        world.trace
    );
    ended.verdict
}

/// A pass, and what it sent.
fn sent(world: &mut World) -> Vec<Fields> {
    world.done.sent.clear();
    let verdict = quiet_pass(world);
    assert!(
        matches!(verdict, Verdict::Synced(_)),
        "{verdict:?} {:#?}",
        world.trace
    );
    assert!(world.as_declared(ONE), "{:#?}", world.trace);
    let sent = std::mem::take(&mut world.done.sent);
    nothing_more(world);
    sent
}

/// Passes in the steady state, with the cache behind and caught up, write nothing at all.
fn nothing_more(world: &mut World) {
    for sweep in [false, true] {
        let writes = world.done.status_writes;
        pass(world, &[], StatusFault::None, sweep);
        world.catch_up(ONE);
        pass(world, &[], StatusFault::None, sweep);
        assert_eq!(
            (world.done.sent.len(), world.done.status_writes),
            (0, writes),
            "{:#?}",
            world.trace
        );
    }
}

fn synced(switches: Switches) -> World {
    let mut world = World::of_one(switches);
    assert_eq!(sent(&mut world), [BOTH]);
    world
}

#[derive(Clone, Debug)]
enum Change {
    Rotate(u8),
    Touch,
    Domains(u8),
    Deletion(bool),
    Request(u8),
    Restart,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (0..4u8).prop_map(Change::Rotate),
        Just(Change::Touch),
        (0..4u8).prop_map(Change::Domains),
        any::<bool>().prop_map(Change::Deletion),
        (0..2u8).prop_map(Change::Request),
        Just(Change::Restart),
    ]
}

proptest! {
    #[test]
    fn one_change_is_one_patch_of_what_differs(switches in switches(), changes in prop::collection::vec(change(), 1..12)) {
        let mut world = synced(switches);
        for change in changes {
            world.trace.push(format!("{change:?}"));
            let (value, declared) = (world.source_text(ONE), world.object(ONE).spec.allowed_domains.clone());
            match change {
                Change::Rotate(content) => world.rotate(ONE, content),
                Change::Touch => world.touch_source(ONE),
                Change::Domains(choice) => world.declare(ONE, |spec| spec.allowed_domains = Some(domains(choice))),
                Change::Deletion(delete) => world.declare(ONE, |spec| {
                    spec.deletion_policy = if delete { crate::api::DeletionPolicy::Delete } else { crate::api::DeletionPolicy::Retain };
                }),
                Change::Request(value) => world.request(ONE, Some(value)),
                Change::Restart => world.restart(),
            }
            let asked = world.lives[ONE].truth.asked;
            let differs = Fields {
                value: value != world.source_text(ONE),
                allowed_domains: !same_domains(
                    &declared.expect("managed"),
                    world.object(ONE).spec.allowed_domains.as_ref().expect("managed"),
                ),
            };
            let differs = if asked { BOTH } else { differs };
            let expected: Vec<_> = (!differs.is_empty()).then_some(differs).into_iter().collect();
            prop_assert_eq!(sent(&mut world), expected);
        }
    }

    /// A request meets somebody else's change: it is put right along with everything else, under Report too.
    #[test]
    fn a_requested_sync_leaves_nothing_of_what_others_did(
        switches in switches(), report in any::<bool>(), told in any::<bool>(),
        value in prop::option::of(0..2u8), choice in prop::option::of(0..2u8), restart in any::<bool>(),
    ) {
        let mut world = synced(switches);
        if report {
            world.declare(ONE, |spec| spec.drift_policy = DriftPolicy::Report);
            quiet_pass(&mut world);
        }
        world.vault.outsider(ID, value, choice);
        if told && report {
            pass(&mut world, &[], StatusFault::None, true);
        }
        world.request(ONE, Some(1));
        if restart {
            world.restart();
        }
        let reads = world.done.reads;
        prop_assert_eq!(sent(&mut world), [BOTH]);
        prop_assert_eq!(world.done.reads, reads + 1);
        world.request(ONE, None);
        prop_assert_eq!(sent(&mut world), []);
    }

    #[test]
    fn what_others_did_is_corrected_once(switches in switches(), value in any::<bool>(), domain in any::<bool>()) {
        let mut world = synced(switches);
        world.vault.outsider(ID, value.then_some(1), domain.then_some(1));
        let verdict = pass(&mut world, &[], StatusFault::None, true).verdict;
        prop_assert!(matches!(verdict, Verdict::Synced(_)));
        // An outsider who moves the domains may have written the value as well.
        let expected = Fields { value: value || domain, allowed_domains: domain };
        let expected: Vec<_> = (!expected.is_empty()).then_some(expected).into_iter().collect();
        prop_assert_eq!(std::mem::take(&mut world.done.sent), expected);
        prop_assert!(world.as_declared(ONE));
        nothing_more(&mut world);
    }

    #[test]
    fn under_report_others_keep_what_they_wrote_and_own_changes_go_out(
        switches in switches(), domain in any::<bool>(), restart in any::<bool>(), rotate in any::<bool>(),
    ) {
        let mut world = World::of_one(switches);
        world.declare(ONE, |spec| spec.drift_policy = DriftPolicy::Report);
        prop_assert_eq!(sent(&mut world), [BOTH]);
        world.vault.outsider(ID, Some(1), domain.then_some(1));
        let theirs = world.vault.get(ID).cloned().expect("a secret");
        for _ in 0..2 {
            let verdict = pass(&mut world, &[], StatusFault::None, true).verdict;
            prop_assert!(matches!(verdict, Verdict::Drifted { .. }), "{:?}", verdict);
            prop_assert!(world.done.sent.is_empty());
            if restart {
                world.restart();
            }
            let writes = world.done.status_writes;
            let verdict = pass(&mut world, &[], StatusFault::None, false).verdict;
            prop_assert!(matches!(verdict, Verdict::Drifted { .. }), "{:?}", verdict);
            prop_assert_eq!((world.done.sent.len(), world.done.status_writes), (0, writes));
        }
        // A change of our own goes out, and theirs in the other field stays.
        if rotate {
            world.rotate(ONE, 3);
        } else {
            world.declare(ONE, |spec| spec.allowed_domains = Some(domains(1)));
        }
        let verdict = pass(&mut world, &[], StatusFault::None, false).verdict;
        prop_assert_eq!(std::mem::take(&mut world.done.sent), [if rotate { VALUE } else { DOMAINS }]);
        if rotate {
            prop_assert_eq!(&remote(&world).domains, &theirs.domains);
            prop_assert_eq!(matches!(verdict, Verdict::Drifted { .. }), domain, "{:?}", verdict);
        } else {
            prop_assert_eq!(&remote(&world).value, &theirs.value);
            prop_assert!(matches!(verdict, Verdict::Drifted { .. }), "{:?}", verdict);
        }
        if restart {
            world.restart();
        }
        // Without the policy everything is put back.
        world.declare(ONE, |spec| spec.drift_policy = DriftPolicy::Correct);
        pass(&mut world, &[], StatusFault::None, false);
        prop_assert!(world.as_declared(ONE), "{:#?}", world.trace);
        world.done.sent.clear();
        nothing_more(&mut world);
    }

    /// A PATCH without the value would move `updated_at` and hide that somebody else wrote one.
    #[test]
    fn a_foreign_value_is_not_hidden_by_a_change_of_domains(switches in switches(), foreign in any::<bool>()) {
        let mut world = synced(switches);
        if foreign {
            world.vault.outsider(ID, Some(1), None);
        }
        world.declare(ONE, |spec| spec.allowed_domains = Some(domains(1)));
        let reads = world.done.reads;
        let fields = sent(&mut world);
        prop_assert_eq!(fields, [if foreign { BOTH } else { DOMAINS }]);
        prop_assert_eq!(world.done.reads, reads + 1);
    }

    #[test]
    fn uncertain_fields_are_sent_again_whatever_is_declared_by_then(
        switches in switches(), value in any::<bool>(), domain in any::<bool>(), stored in any::<bool>(),
    ) {
        prop_assume!(value || domain);
        let mut world = synced(switches);
        let change = |world: &mut World, to: u8| {
            if value { world.rotate(ONE, to); }
            if domain { world.declare(ONE, |spec| spec.allowed_domains = Some(domains(to))); }
        };
        change(&mut world, 1);
        let fault = if stored { Fault::LostAfter } else { Fault::LostBefore };
        let faults = if value { vec![fault] } else { vec![Fault::None, fault] };
        pass(&mut world, &faults, StatusFault::None, false);
        change(&mut world, 0);
        let uncertain = world.entry(ONE).uncertain;
        prop_assert_eq!(uncertain, Fields { value, allowed_domains: domain });
        let fields = sent(&mut world);
        prop_assert_eq!(fields.len(), 1);
        prop_assert_eq!(uncertain - fields[0], Fields::NONE);
    }
}

#[test]
fn an_unmanaged_field_is_never_sent_and_is_adopted_when_it_is_managed_again() {
    let switches = Switches {
        equal_value_is_change: true,
        folds: true,
        reverses: true,
        two_formats: true,
        unique_keys: true,
    };
    let mut world = synced(switches);
    world.declare(ONE, |spec| spec.allowed_domains = None);
    assert_eq!(sent(&mut world), []);
    world.rotate(ONE, 1);
    assert_eq!(sent(&mut world), [VALUE]);
    world.forget_unmanaged();
    // What is declared is there already.
    world.declare(ONE, |spec| spec.allowed_domains = Some(domains(0)));
    assert_eq!(sent(&mut world), []);
    world.declare(ONE, |spec| spec.allowed_domains = None);
    assert_eq!(sent(&mut world), []);
    world.vault.outsider(ID, None, Some(1));
    world.forget_unmanaged();
    world.declare(ONE, |spec| spec.allowed_domains = Some(domains(0)));
    assert_eq!(
        sent(&mut world),
        [BOTH],
        "who wrote the domains may have written the value"
    );
    world.manage_value(ONE, false);
    assert_eq!(sent(&mut world), []);
    world.vault.outsider(ID, Some(1), None);
    world.forget_unmanaged();
    world.manage_value(ONE, true);
    assert_eq!(sent(&mut world), [VALUE]);
}

/// A PATCH is stored, the process dies before it could say so, and the declaration goes back to what it was: it
/// looks as if nothing had happened, and yet the vault holds something else.
#[test]
fn a_change_that_a_crash_cut_off_is_undone_if_it_is_declared_no_more() {
    for (managed, rotate, choose) in [
        (true, true, false),
        (true, false, true),
        (true, true, true),
        (false, false, true),
    ] {
        let mut world = synced(plain());
        world.manage_value(ONE, managed);
        quiet_pass(&mut world);
        let change = |world: &mut World, to: u8| {
            if rotate {
                world.rotate(ONE, to);
            }
            if choose {
                world.declare(ONE, |spec| spec.allowed_domains = Some(domains(to)));
            }
        };
        change(&mut world, 1);
        pass(&mut world, &[], StatusFault::Crash, false);
        assert!(world.as_declared(ONE), "it was stored");
        change(&mut world, 0);
        assert!(!world.as_declared(ONE));
        world.done.sent.clear();
        quiet_pass(&mut world);
        assert!(world.as_declared(ONE), "{:#?}", world.trace);
        world.done.sent.clear();
        nothing_more(&mut world);
    }
}

/// The same where the object changes between two PATCHes of one pass, so that no status tells of the first.
#[test]
fn what_a_pass_sent_before_it_was_overtaken_is_not_forgotten() {
    for back in [true, false] {
        let mut world = synced(plain());
        world.vault.outsider(ID, None, Some(1));
        world.rotate(ONE, 1);
        let faults = [Fault::None, Fault::Outdated];
        let verdict = pass(&mut world, &faults, StatusFault::None, false).verdict;
        assert!(matches!(verdict, Verdict::Outdated), "{verdict:?}");
        if back {
            world.rotate(ONE, 0);
        }
        world.done.sent.clear();
        quiet_pass(&mut world);
        assert!(world.as_declared(ONE), "{:#?}", world.trace);
        // The answer of the first showed their domains already.
        assert_eq!(world.done.sent.first().map(|f| f.value), Some(back));
    }
}

/// Only a sweep shows what others did; what it showed is not forgotten when it can't be put right at once.
#[test]
fn drift_that_was_seen_is_corrected_as_soon_as_it_can_be() {
    for (value, choice) in [(Some(1), None), (None, Some(1)), (Some(1), Some(1))] {
        for fault in [Fault::Refused, Fault::Outdated] {
            let mut world = synced(plain());
            world.vault.outsider(ID, value, choice);
            pass(&mut world, &[Fault::None, fault], StatusFault::None, true);
            assert!(!world.as_declared(ONE));
            world.done.sent.clear();
            assert_eq!(sent(&mut world).len(), 1);
        }
    }
}

/// Without anything changed there is nothing to look for, however often the process starts.
#[test]
fn a_restart_with_nothing_changed_asks_nothing() {
    for managed in [true, false] {
        let mut world = synced(plain());
        world.manage_value(ONE, managed);
        quiet_pass(&mut world);
        world.restart();
        world.trace.clear();
        quiet_pass(&mut world);
        assert_eq!(world.trace.len(), 1, "{:#?}", world.trace);
    }
}

pub(super) fn plain() -> Switches {
    Switches {
        equal_value_is_change: false,
        folds: false,
        reverses: false,
        two_formats: false,
        unique_keys: false,
    }
}
