use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_mins(1);

fn bound() -> Parting {
    Parting {
        policy: DeletionPolicy::Delete,
        suspended: false,
        secret_id: Some("sec_1".to_owned()),
        creating: false,
        permission: Permission::Granted,
        claim: Claim::Held,
        heir: Heir::None,
        key: Key::Usable,
        keyless: Duration::ZERO,
        grace: 10 * MINUTE,
    }
}

fn lost() -> Claim {
    Claim::Lost { to: None }
}

/// What is so, and what follows.
type Case = (fn(&mut Parting), Farewell);

#[test]
fn each_rule_alone() {
    let delete = Farewell::Delete {
        secret_id: "sec_1".to_owned(),
    };
    assert_eq!(parting(&bound()), delete);
    let cases: [Case; 14] = [
        (
            |p| p.policy = DeletionPolicy::Retain,
            Farewell::Release(Why::Retained),
        ),
        (|p| p.secret_id = None, Farewell::Release(Why::NeverBound)),
        (
            |p| {
                p.secret_id = None;
                p.creating = true;
            },
            Farewell::Release(Why::PerhapsCreated),
        ),
        (|p| p.suspended = true, Farewell::Release(Why::Suspended)),
        (
            |p| p.permission = Permission::Denied,
            Farewell::Release(Why::NotPermitted),
        ),
        (|p| p.claim = lost(), Farewell::Release(Why::HandedOver)),
        (
            |p| p.claim = Claim::Unproven,
            Farewell::Release(Why::NotShown),
        ),
        (
            |p| p.heir = Heir::Claims,
            Farewell::Release(Why::HandedOver),
        ),
        (|p| p.heir = Heir::Named, Farewell::Release(Why::HandedOver)),
        (|p| p.heir = Heir::Unproven, Farewell::AwaitHeir),
        (|p| p.key = Key::Unchecked, Farewell::AwaitCheck),
        (
            |p| p.key = Key::Refused,
            Farewell::AwaitKey(Key::Refused, Some(10 * MINUTE)),
        ),
        (
            |p| p.permission = Permission::Unknown,
            Farewell::AwaitKey(Key::Missing, Some(10 * MINUTE)),
        ),
        (
            |p| {
                p.key = Key::Missing;
                p.keyless = 4 * MINUTE;
            },
            Farewell::AwaitKey(Key::Missing, Some(6 * MINUTE)),
        ),
    ];
    for (change, expected) in cases {
        let mut known = bound();
        change(&mut known);
        assert_eq!(parting(&known), expected, "{known:?}");
    }
}

#[test]
fn a_grace_of_zero_waits_for_ever() {
    let known = Parting {
        key: Key::Missing,
        keyless: 1000 * MINUTE,
        grace: Duration::ZERO,
        ..bound()
    };
    assert_eq!(parting(&known), Farewell::AwaitKey(Key::Missing, None));
}

fn known() -> impl Strategy<Value = Parting> {
    let who = (
        prop::bool::ANY,
        prop::bool::ANY,
        prop::bool::weighted(0.8),
        prop::sample::select(vec![
            Permission::Granted,
            Permission::Denied,
            Permission::Unknown,
        ]),
        prop::sample::select(vec![Claim::Held, Claim::Unproven, lost()]),
        prop::sample::select(vec![Heir::None, Heir::Claims, Heir::Named, Heir::Unproven]),
    );
    let means = (
        prop::sample::select(vec![
            Key::Usable,
            Key::Unchecked,
            Key::Missing,
            Key::Refused,
        ]),
        0..20u32,
        0..3u32,
    );
    (who, means).prop_map(
        |((delete, suspended, is_bound, permission, claim, heir), (key, keyless, grace))| Parting {
            policy: if delete {
                DeletionPolicy::Delete
            } else {
                DeletionPolicy::Retain
            },
            suspended,
            secret_id: is_bound.then(|| "sec_1".to_owned()),
            creating: suspended,
            permission,
            claim,
            heir,
            key,
            keyless: keyless * MINUTE,
            grace: grace * 10 * MINUTE,
        },
    )
}

proptest! {
    /// A remote secret is deleted only where everything speaks for it.
    #[test]
    fn nothing_is_deleted_by_accident(known in known()) {
        let delete = matches!(parting(&known), Farewell::Delete { .. });
        let may = known.policy == DeletionPolicy::Delete
            && !known.suspended
            && known.secret_id.is_some()
            && known.permission == Permission::Granted
            && known.claim == Claim::Held
            && known.heir == Heir::None
            && known.key == Key::Usable;
        prop_assert_eq!(delete, may);
    }

    /// Nobody waits for ever but for an answer that somebody else has under way, or because that was asked for:
    /// once the heir's time and the grace are over, the object goes.
    #[test]
    fn no_namespace_hangs(known in known()) {
        let mut later = known.clone();
        later.keyless = 1000 * MINUTE;
        if later.heir == Heir::Unproven {
            later.heir = Heir::None;
        }
        match parting(&later) {
            Farewell::AwaitHeir => prop_assert!(false),
            Farewell::AwaitKey(..) => prop_assert!(later.grace.is_zero()),
            Farewell::AwaitCheck => prop_assert_eq!(later.key, Key::Unchecked),
            Farewell::Release(_) | Farewell::Delete { .. } => {}
        }
    }

    /// What a policy of Retain keeps is never waited for, whatever else is in the way.
    #[test]
    fn retain_frees_at_once(mut known in known()) {
        known.policy = DeletionPolicy::Retain;
        prop_assert_eq!(parting(&known), Farewell::Release(Why::Retained));
    }
}
