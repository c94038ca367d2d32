use proptest::prelude::*;

use super::*;
use crate::nairi::Name;

fn secret(id: &str, env_key: &str) -> RemoteSecret {
    RemoteSecret {
        id: id.into(),
        env_key: env_key.into(),
        allowed_domains: vec![],
        created_at: None,
        updated_at: "u".into(),
    }
}

fn target(secret_id: Option<&str>, env_key: Option<&str>) -> Target {
    Target {
        vault_id: "vlt_1".into(),
        secret_id: secret_id.map(str::to_owned),
        env_key: env_key.map(str::to_owned),
    }
}

fn names(ids: &[&str], env_keys: &[&str]) -> Names {
    let all = |all: &[&str]| all.iter().map(ToString::to_string).collect();
    Names {
        ids: all(ids),
        env_keys: all(env_keys),
    }
}

fn unreadable(name: Option<(&str, &str)>) -> Result<RemoteSecret, Unreadable> {
    let name = name.map(|(id, env_key)| Name {
        id: id.into(),
        env_key: env_key.into(),
    });
    Err(Unreadable { name })
}

#[test]
fn a_secret_is_found_by_id_by_key_or_by_both() {
    let listed = [
        secret("sec_1", "A"),
        secret("sec_2", "B"),
        secret("sec_3", "B"),
    ];
    let shown = |index: usize| Remote::Listed(listed[index].clone());
    let torn = Gaps::unnamed_one();
    // What a whole list shows, and whether one with an element that can't be read shows the same.
    let cases = [
        (target(Some("sec_2"), None), None, shown(1), true),
        (target(None, Some("A")), None, shown(0), false),
        (target(Some("sec_3"), Some("B")), None, shown(2), true),
        (
            target(Some("sec_1"), Some("B")),
            None,
            Remote::Mismatch("A".into()),
            true,
        ),
        (
            target(Some("sec_9"), Some("A")),
            None,
            Remote::Absent,
            false,
        ),
        (target(None, Some("C")), None, Remote::Absent, false),
        (target(None, Some("a")), None, Remote::Absent, false),
        (target(None, Some("B")), None, Remote::Ambiguous(2), true),
        // Who is bound has been told apart before.
        (target(None, Some("B")), Some("sec_3"), shown(2), true),
        (
            target(None, Some("A")),
            Some("sec_2"),
            Remote::Mismatch("B".into()),
            true,
        ),
        (
            target(None, Some("A")),
            Some("sec_9"),
            Remote::Absent,
            false,
        ),
    ];
    for (target, bound, expected, told) in cases {
        let found = |gaps: &Gaps| find(&listed, gaps, &target, bound);
        assert_eq!(
            found(&torn),
            told.then(|| expected.clone()),
            "{target:?} {bound:?}"
        );
        assert_eq!(
            found(&Gaps::default()),
            Some(expected),
            "{target:?} {bound:?}"
        );
    }
    assert_eq!(
        find::<RemoteSecret>(&[], &Gaps::default(), &target(None, None), None),
        Some(Remote::Absent)
    );
}

#[test]
fn an_element_with_a_name_leaves_only_that_open() {
    let names = names(&["sec_1"], &["A", "B"]);
    let mut snapshot = Snapshot::default();
    snapshot.take(Ok(secret("sec_2", "A")), &names);
    snapshot.take(unreadable(Some(("sec_9", "OTHER"))), &names);
    assert!(snapshot.gaps().is_empty(), "nobody asks for it");
    let by_key = |snapshot: &Snapshot, key| snapshot.find(&target(None, Some(key)), None);
    let by_id = |snapshot: &Snapshot, id| snapshot.find(&target(Some(id), None), None);
    assert_eq!(by_key(&snapshot, "B"), Some(Remote::Absent));
    assert_eq!(by_id(&snapshot, "sec_1"), Some(Remote::Absent));

    snapshot.take(unreadable(Some(("sec_1", "B"))), &names);
    assert!(!snapshot.gaps().is_empty());
    assert_eq!(by_key(&snapshot, "B"), None);
    assert_eq!(by_id(&snapshot, "sec_1"), None);
    let listed = Some(Remote::Listed(secret("sec_2", "A")));
    assert_eq!(by_key(&snapshot, "A"), listed);
    assert_eq!(by_id(&snapshot, "sec_3"), Some(Remote::Absent));

    snapshot.take(unreadable(None), &names);
    assert_eq!(by_key(&snapshot, "A"), None, "perhaps one of two");
    assert_eq!(by_id(&snapshot, "sec_3"), None);
}

#[test]
fn what_is_kept_is_bounded_and_the_rest_leaves_all_open() {
    let names = names(&[], &["A"]);
    let (mut many, mut large) = (Snapshot::default(), Snapshot::default());
    for number in 0..50_000 {
        let id = format!("sec_{number}");
        many.take(Ok(secret(&id, "A")), &names);
        let domains = vec!["x".repeat(1000); 30];
        let heavy = RemoteSecret {
            allowed_domains: domains,
            ..secret(&id, "A")
        };
        large.take(Ok(heavy), &names);
    }
    assert_eq!(many.secrets().len(), MOST + 2);
    assert!(large.secrets().len() < 50);
    for snapshot in [many, large] {
        assert_eq!(
            snapshot.gaps().unnamed(),
            50_000 - snapshot.secrets().len(),
            "each is counted"
        );
        assert_eq!(snapshot.find(&target(Some("sec_49999"), None), None), None);
    }
    // Those that nobody asks for take no place.
    let mut others = Snapshot::default();
    for number in 0..50_000 {
        others.take(Ok(secret(&format!("sec_{number}"), "OTHER")), &names);
    }
    others.take(Ok(secret("sec_a", "A")), &names);
    assert!(others.gaps().is_empty());
    assert_eq!(others.secrets().len(), 1);
}

proptest! {
    /// A list with gaps never says anything that the whole list does not say.
    #[test]
    fn gaps_only_hide(
        list in prop::collection::vec((0..4u8, 0..3u8, any::<bool>(), any::<bool>()), 0..8),
        (id, key, bound) in (prop::option::of(0..4u8), prop::option::of(0..3u8), prop::option::of(0..4u8)),
    ) {
        let (id_of, key_of) = (|n: u8| format!("sec_{n}"), |n: u8| format!("KEY_{n}"));
        let target = target(id.map(id_of).as_deref(), key.map(key_of).as_deref());
        let bound = bound.map(id_of);
        let names = Names {
            ids: (0..4).map(id_of).collect(),
            env_keys: (0..3).map(key_of).collect(),
        };
        let (mut whole, mut torn) = (Snapshot::default(), Snapshot::default());
        for (id, key, readable, named) in list {
            let (id, key) = (id_of(id), key_of(key));
            whole.take(Ok(secret(&id, &key)), &names);
            let name = named.then_some((id.as_str(), key.as_str()));
            let seen = if readable { Ok(secret(&id, &key)) } else { unreadable(name) };
            torn.take(seen, &names);
        }
        let (all, some) = (whole.find(&target, bound.as_deref()), torn.find(&target, bound.as_deref()));
        match (some, all) {
            (None, _)
            // One of several of the same id, or of several of the same key.
            | (
                Some(Remote::Listed(_) | Remote::Mismatch(_)),
                Some(Remote::Listed(_) | Remote::Mismatch(_)),
            )
            | (Some(Remote::Ambiguous(_)), Some(Remote::Ambiguous(_))) => {}
            (some, all) => prop_assert_eq!(some, all),
        }
    }
}
