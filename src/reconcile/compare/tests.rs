use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::{
    api::{Drift, Status, VaultSecretSpec},
    ledger::Ledger,
    reconcile::plan::Remote,
};

fn secret(id: &str, env_key: &str, updated_at: &str, domains: &[&str]) -> RemoteSecret {
    RemoteSecret {
        id: id.into(),
        env_key: env_key.into(),
        allowed_domains: domains.iter().map(|it| (*it).to_owned()).collect(),
        created_at: None,
        updated_at: updated_at.into(),
    }
}

/// The secret as recorded.
fn recorded() -> RemoteSecret {
    secret("sec_1", "KEY", "2026-01-01T00:00:00Z", &["a.com"])
}

fn moved() -> RemoteSecret {
    secret("sec_1", "KEY", "2026-01-02T00:00:00Z", &["a.com"])
}

fn object(secret_id: Option<&str>, env_key: Option<&str>) -> VaultSecret {
    let spec = VaultSecretSpec {
        vault_id: "vlt_1".into(),
        secret_id: secret_id.map(str::to_owned),
        env_key: env_key.map(str::to_owned),
        allowed_domains: Some(vec!["a.com".into()]),
        ..VaultSecretSpec::default()
    };
    let mut object = VaultSecret::new("object", spec);
    object.metadata.generation = Some(3);
    object
}

fn by_key() -> VaultSecret {
    object(None, Some("KEY"))
}

fn ready(mut status: VaultSecretStatus, reason: Reason, message: &str) -> VaultSecretStatus {
    let (type_, at) = (ConditionType::Ready, Timestamp::UNIX_EPOCH);
    let is = reason.status();
    condition::set(
        &mut status.conditions,
        type_,
        is,
        reason.as_str(),
        message,
        Some(3),
        at,
    );
    assert_ne!(is, Status::Unknown);
    status
}

fn bound() -> VaultSecretStatus {
    let mut status = VaultSecretStatus::default();
    Confirmed::found(&recorded(), Some(&vec!["a.com".into()])).write_to(&mut status);
    ready(status, Reason::Synced, "…")
}

/// What is said of an object whose secret is not to be found.
fn missing(object: &VaultSecret, remote: &Remote) -> VaultSecretStatus {
    let refusal = plan::not_found(&Target::of(&object.spec), remote);
    ready(
        VaultSecretStatus::default(),
        refusal.reason,
        &refusal.message,
    )
}

fn shows(
    object: &VaultSecret,
    status: &VaultSecretStatus,
    entry: &Entry,
    list: &[RemoteSecret],
) -> Option<Remote> {
    shows_with(object, status, entry, (list, &Gaps::default()))
}

fn shows_with(
    object: &VaultSecret,
    status: &VaultSecretStatus,
    entry: &Entry,
    (list, gaps): (&[RemoteSecret], &Gaps),
) -> Option<Remote> {
    let now = Instant::now();
    let hint = compare(object, status, entry, &Listing::new(now, list, gaps), now)?;
    assert_eq!((hint.began, hint.generation), (now, Some(3)));
    Some(hint.remote)
}

#[test]
fn a_record_is_contradicted_by_another_time_other_domains_another_key_or_nothing() {
    let (object, status, entry) = (by_key(), bound(), Entry::default());
    let respelled = secret("sec_1", "KEY", "2026-01-01T00:00:00.000Z", &["A.com"]);
    for same in [recorded(), respelled] {
        assert_eq!(shows(&object, &status, &entry, &[same]), None);
    }
    let redomained = secret("sec_1", "KEY", "2026-01-01T00:00:00Z", &["b.com"]);
    for other in [moved(), redomained] {
        let seen = shows(&object, &status, &entry, std::slice::from_ref(&other));
        assert_eq!(seen, Some(Remote::Listed(other)));
    }
    let renamed = secret("sec_1", "OTHER", "2026-01-01T00:00:00Z", &["a.com"]);
    let another = secret("sec_2", "KEY", "2026-01-01T00:00:00Z", &["a.com"]);
    for (list, seen) in [
        (vec![renamed], Remote::Mismatch("OTHER".into())),
        (vec![another], Remote::Absent),
        (vec![], Remote::Absent),
    ] {
        assert_eq!(shows(&object, &status, &entry, &list), Some(seen));
    }
}

#[test]
fn drift_that_is_recorded_is_nothing_new() {
    let mut status = bound();
    status.drift = Some(Drift {
        updated_at: Some("2026-01-02T00:00:00.000Z".into()),
        allowed_domains: Some(vec!["B.com".into(), "c.com".into()]),
    });
    let status = ready(status, Reason::DriftDetected, "…");
    let (object, entry) = (by_key(), Entry::default());
    let same = secret("sec_1", "KEY", "2026-01-02T00:00:00Z", &["c.com", "b.com"]);
    assert_eq!(shows(&object, &status, &entry, &[same]), None);
    // They put the domains back, or all of it.
    for other in [moved(), recorded()] {
        let seen = shows(&object, &status, &entry, std::slice::from_ref(&other));
        assert_eq!(seen, Some(Remote::Listed(other)));
    }
}

#[test]
fn what_explains_itself_is_passed_over() {
    let (object, status) = (by_key(), bound());
    let listed = [moved()];
    let ledger = Ledger::default();

    // A list from before our last request ended.
    let (before, moment) = (Instant::now(), Duration::from_millis(1));
    let began = before + moment;
    let asked = |asked| Entry {
        asked: Some(asked),
        ..Entry::default()
    };
    let whole = Gaps::default();
    let listing = Listing::new(began, &listed, &whole);
    for (entry, counts) in [(asked(before), true), (asked(began + moment), false)] {
        let hint = compare(&object, &status, &entry, &listing, began);
        assert_eq!(hint.is_some(), counts);
    }

    // A replica that lags behind.
    ledger.outdated("u", &listed[0].updated_at);
    assert_eq!(shows(&object, &status, &ledger.entry("u"), &listed), None);
    let later = [secret("sec_1", "KEY", "2026-01-03T00:00:00Z", &["a.com"])];
    assert!(shows(&object, &status, &ledger.entry("u"), &later).is_some());

    // A lost PATCH, which is sent again anyway; not where the field is not managed any more.
    let lost = |value, allowed_domains| Entry {
        uncertain: Fields {
            value,
            allowed_domains,
        },
        ..Entry::default()
    };
    assert_eq!(shows(&object, &status, &lost(false, true), &listed), None);
    assert!(shows(&object, &status, &lost(true, false), &listed).is_some());

    let mut suspended = by_key();
    suspended.spec.suspend = true;
    assert_eq!(shows(&suspended, &status, &Entry::default(), &listed), None);
}

#[test]
fn who_misses_its_secret_is_told_when_a_list_shows_something_else() {
    let entry = Entry::default();
    let (key, id) = (by_key(), object(Some("sec_1"), Some("KEY")));
    let (listed, renamed) = (recorded(), secret("sec_1", "OTHER", "u", &[]));
    let twin = secret("sec_2", "KEY", "u", &[]);
    let ambiguous = vec![recorded(), twin];
    for (object, said, list, seen) in [
        (&key, Remote::Absent, vec![], None),
        (
            &key,
            Remote::Absent,
            vec![listed.clone()],
            Some(Remote::Listed(listed.clone())),
        ),
        (
            &key,
            Remote::Absent,
            ambiguous.clone(),
            Some(Remote::Ambiguous(2)),
        ),
        (&key, Remote::Ambiguous(2), ambiguous.clone(), None),
        (
            &key,
            Remote::Ambiguous(3),
            ambiguous,
            Some(Remote::Ambiguous(2)),
        ),
        (&key, Remote::Ambiguous(2), vec![], Some(Remote::Absent)),
        (
            &id,
            Remote::Mismatch("OTHER".into()),
            vec![renamed.clone()],
            None,
        ),
        (
            &id,
            Remote::Mismatch("ELSE".into()),
            vec![renamed],
            Some(Remote::Mismatch("OTHER".into())),
        ),
        (
            &id,
            Remote::Mismatch("OTHER".into()),
            vec![listed.clone()],
            Some(Remote::Listed(listed)),
        ),
    ] {
        let status = missing(object, &said);
        assert_eq!(
            shows(object, &status, &entry, &list),
            seen,
            "{said:?} {list:?}"
        );
    }
    // One that was bound when its key was changed, and said so.
    let status = bound();
    let refusal = plan::not_found(&Target::of(&id.spec), &Remote::Mismatch("OTHER".into()));
    let status = ready(status, refusal.reason, &refusal.message);
    let renamed = secret("sec_1", "OTHER", "2026-01-01T00:00:00Z", &["a.com"]);
    assert_eq!(shows(&id, &status, &entry, &[renamed]), None);
    assert!(
        shows(&id, &status, &entry, &[recorded()]).is_some(),
        "it is back"
    );
}

#[test]
fn who_waits_for_something_else_is_left_alone() {
    let (object, entry) = (by_key(), Entry::default());
    let waiting = ready(VaultSecretStatus::default(), Reason::SourceNotFound, "…");
    for status in [VaultSecretStatus::default(), waiting] {
        for list in [vec![], vec![recorded()]] {
            assert_eq!(shows(&object, &status, &entry, &list), None);
        }
    }
}

#[test]
fn a_hint_is_believed_while_it_is_about_the_same_thing() {
    let began = Instant::now();
    let entry = |remote: Remote| Entry {
        hint: Some(Hint {
            remote,
            began,
            generation: Some(3),
        }),
        ..Entry::default()
    };
    let listed = || entry(Remote::Listed(moved()));
    let bound = Confirmed::found(&recorded(), None);
    let unasked = Remote::Unasked;
    assert_eq!(believed(&Entry::default(), Some(3), Some(&bound)), unasked);
    let seen = Remote::Listed(moved());
    assert_eq!(believed(&listed(), Some(3), Some(&bound)), seen);
    assert_eq!(believed(&listed(), Some(3), None), seen);
    assert_eq!(believed(&listed(), Some(4), Some(&bound)), unasked);
    let other = Confirmed {
        secret_id: "sec_2".into(),
        ..bound.clone()
    };
    assert_eq!(believed(&listed(), Some(3), Some(&other)), unasked);
    let answered = Entry {
        asked: Some(began + Duration::from_millis(1)),
        ..listed()
    };
    assert_eq!(believed(&answered, Some(3), Some(&bound)), unasked);
    let absent = || entry(Remote::Absent);
    assert_eq!(believed(&absent(), Some(3), Some(&bound)), Remote::Absent);
    assert_eq!(
        believed(&absent(), Some(3), None),
        unasked,
        "nothing is created by it"
    );
}

/// A list with an element that can't be read says nothing of what it lacks, but what is bound can be asked itself.
#[test]
fn a_torn_list_wakes_only_whom_it_tells_something() {
    let (entry, torn) = (Entry::default(), Gaps::unnamed_one());
    let shows = |object: &VaultSecret, status: &VaultSecretStatus, list: &[RemoteSecret]| {
        shows_with(object, status, &entry, (list, &torn))
    };
    let object = by_key();
    assert_eq!(shows(&object, &bound(), &[recorded()]), None, "in sync");
    let drifted = Some(Remote::Listed(moved()));
    assert_eq!(shows(&object, &bound(), &[moved()]), drifted);
    assert_eq!(shows(&object, &bound(), &[]), Some(Remote::Absent));
    for missing in [Remote::Absent, Remote::Ambiguous(2)] {
        let status = self::missing(&object, &missing);
        assert_eq!(shows(&object, &status, &[]), None, "{missing:?}");
        let one = [recorded()];
        assert_eq!(shows(&object, &status, &one), None, "perhaps one of two");
    }
}

proptest! {
    /// The index finds what a walk over the whole list finds.
    #[test]
    fn an_indexed_list_is_the_same_list(
        list in prop::collection::vec((0..4u8, 0..3u8), 0..8),
        (id, key, bound) in (prop::option::of(0..4u8), prop::option::of(0..3u8), prop::option::of(0..4u8)),
        torn in any::<bool>(),
    ) {
        let list: Vec<_> = list
            .iter()
            .map(|(id, key)| secret(&format!("sec_{id}"), &format!("KEY_{key}"), "u", &[]))
            .collect();
        let target = Target {
            vault_id: "vlt_1".into(),
            secret_id: id.map(|id| format!("sec_{id}")),
            env_key: key.map(|key| format!("KEY_{key}")),
        };
        let bound = bound.map(|id| format!("sec_{id}"));
        let gaps = if torn { Gaps::unnamed_one() } else { Gaps::default() };
        let found = vaults::find(&list, &gaps, &target, bound.as_deref());
        prop_assert_eq!(
            Listing::new(Instant::now(), &list, &gaps).find(&target, bound.as_deref()),
            found.or(bound.map(|_| Remote::Absent))
        );
    }
}
