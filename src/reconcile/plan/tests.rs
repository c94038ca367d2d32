use proptest::prelude::*;

use super::*;
use crate::{
    api::{DriftPolicy, Reason, VaultSecretStatus},
    reconcile::{
        desired::{Target, Value},
        record::Sent,
        verdict::Retry,
    },
};

const BOTH: Fields = Fields {
    value: true,
    allowed_domains: true,
};
const VALUE: Fields = Fields {
    value: true,
    allowed_domains: false,
};
const DOMAINS: Fields = Fields {
    value: false,
    allowed_domains: true,
};

fn list(domains: &[&str]) -> Vec<String> {
    domains.iter().map(|d| (*d).to_owned()).collect()
}

fn desired(value: Value, domains: Option<&[&str]>, drift_policy: DriftPolicy) -> Desired {
    Desired {
        target: Target {
            vault_id: "vlt_1".into(),
            secret_id: None,
            env_key: Some("KEY".into()),
        },
        value,
        allowed_domains: domains.map(list),
        drift_policy,
        creation_policy: CreationPolicy::Never,
        deletion_policy: DeletionPolicy::Retain,
    }
}

fn read() -> Value {
    Value::Read("value".into())
}

fn remote(updated_at: &str, domains: &[&str]) -> RemoteSecret {
    RemoteSecret {
        id: "sec_1".into(),
        env_key: "KEY".into(),
        allowed_domains: list(domains),
        created_at: None,
        updated_at: updated_at.into(),
    }
}

/// A record of `a.com` and a value, both sent.
fn confirmed() -> Confirmed {
    Confirmed {
        value_fingerprint: Some("v1:".into()),
        ..Confirmed::found(&remote("u1", &["a.com"]), Some(&list(&["a.com"])))
    }
}

fn observed(confirmed: Option<Confirmed>, remote: Remote) -> Observed {
    Observed {
        confirmed,
        remote,
        evidence: Evidence::NotRead,
        stale: false,
        unwatched: false,
        uncertain: Fields::NONE,
        forced: false,
        claim: Claim::Held,
        held: false,
        refused_creation: None,
    }
}

fn decide(desired: &Desired, observed: &Observed) -> Plan {
    plan(desired, observed)
}

fn patched(plan: Plan) -> Change {
    match plan {
        Plan::Patch(change) => change,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_is_sent_to_an_id_that_was_never_shown() {
    let desired = desired(Value::Unread, Some(&["a.com"]), DriftPolicy::Correct);
    assert_eq!(
        decide(&desired, &observed(None, Remote::Unasked)),
        Plan::Look
    );
}

#[test]
fn an_older_claimant_comes_before_everything() {
    let desired = Desired {
        deletion_policy: DeletionPolicy::Delete,
        ..desired(Value::Unread, Some(&["a.com"]), DriftPolicy::Correct)
    };
    for (to, said) in [
        (Some("database-url"), "VaultSecret \"database-url\" keeps"),
        (None, "in another namespace keeps"),
    ] {
        let mut known = observed(Some(confirmed()), Remote::Seen(remote("u2", &["b.com"])));
        known.claim = Claim::Lost {
            to: to.map(str::to_owned),
        };
        let Plan::Refuse(refusal) = decide(&desired, &known) else {
            panic!("{known:?}");
        };
        assert_eq!((refusal.reason, refusal.unbind), (Reason::Conflict, true));
        assert!(refusal.message.contains(said), "{}", refusal.message);
    }
}

#[test]
fn the_finalizer_is_set_before_anything_else_where_the_secret_goes_with_the_object() {
    let desired = Desired {
        deletion_policy: DeletionPolicy::Delete,
        ..desired(Value::Unread, Some(&["b.com"]), DriftPolicy::Correct)
    };
    for mut known in [
        observed(None, Remote::Unasked),
        observed(Some(confirmed()), Remote::Unasked),
    ] {
        assert_eq!(decide(&desired, &known), Plan::Hold);
        known.held = true;
        assert_ne!(decide(&desired, &known), Plan::Hold);
    }
}

#[test]
fn a_bound_secret_has_to_be_shown_by_a_new_connection() {
    let desired = desired(Value::Unread, Some(&["b.com"]), DriftPolicy::Correct);
    let mut known = observed(Some(confirmed()), Remote::Unasked);
    known.claim = Claim::Unproven;
    assert_eq!(decide(&desired, &known), Plan::Look);
}

#[test]
fn what_is_missing_is_created_once_its_value_is_read() {
    let mut desired = Desired {
        creation_policy: CreationPolicy::IfMissing,
        ..desired(Value::Unread, Some(&["a.com"]), DriftPolicy::Correct)
    };
    let absent = observed(None, Remote::Absent);
    assert_eq!(decide(&desired, &absent), Plan::ReadSource);
    desired.value = read();
    let create = Plan::Create {
        env_key: "KEY".to_owned(),
        allowed_domains: list(&["a.com"]),
    };
    assert_eq!(decide(&desired, &absent), create);

    let refusal = Refusal::new(Reason::Rejected, "no");
    let refused = Observed {
        refused_creation: Some(refusal.clone()),
        ..absent.clone()
    };
    assert_eq!(decide(&desired, &refused), Plan::Refuse(refusal));
    let adopted = Observed {
        refused_creation: refused.refused_creation,
        ..observed(None, Remote::Listed(remote("u1", &["a.com"])))
    };
    let adopted = Observed {
        evidence: Evidence::Changed,
        ..adopted
    };
    assert_eq!(patched(decide(&desired, &adopted)).fields, VALUE);

    // Absence is weak evidence: the bound id is asked, and only its 404 leads here.
    let bound = observed(Some(confirmed()), Remote::Absent);
    assert!(matches!(decide(&desired, &bound), Plan::ReadRemote { .. }));
    // Nothing is created without domains.
    desired.allowed_domains = None;
    assert!(matches!(decide(&desired, &absent), Plan::Refuse(_)));
    desired.allowed_domains = Some(list(&["a.com"]));
    desired.creation_policy = CreationPolicy::Never;
    assert!(matches!(decide(&desired, &absent), Plan::Refuse(_)));
    let ambiguous = observed(None, Remote::Ambiguous(2));
    desired.creation_policy = CreationPolicy::IfMissing;
    assert!(matches!(decide(&desired, &ambiguous), Plan::Refuse(_)));
}

#[test]
fn the_first_sync_sends_the_value_and_domains_that_differ() {
    let seen = |domains: &[&str]| Observed {
        evidence: Evidence::Changed,
        ..observed(None, Remote::Listed(remote("u1", domains)))
    };
    let all = desired(read(), Some(&["A.com"]), DriftPolicy::Report);
    assert_eq!(patched(decide(&all, &seen(&["b.com"]))).fields, BOTH);
    let change = patched(decide(&all, &seen(&["a.com"])));
    assert_eq!((change.fields, change.corrects), (VALUE, Fields::NONE));
    assert_eq!(change.before.applied_domains, Some(list(&["A.com"])));
    let domains = desired(Value::Unmanaged, Some(&["a.com"]), DriftPolicy::Correct);
    assert!(matches!(
        decide(&domains, &seen(&["a.com"])),
        Plan::Settled(_)
    ));
    assert_eq!(patched(decide(&domains, &seen(&[]))).fields, DOMAINS);
    let value = desired(read(), None, DriftPolicy::Correct);
    assert_eq!(patched(decide(&value, &seen(&[]))).fields, VALUE);
}

/// The list may be older than a PATCH whose answer was lost.
#[test]
fn the_first_sync_sends_uncertain_domains_even_if_the_list_shows_them() {
    let desired = desired(read(), Some(&["a.com"]), DriftPolicy::Report);
    let observed = Observed {
        evidence: Evidence::Changed,
        uncertain: BOTH,
        ..observed(None, Remote::Listed(remote("u1", &["a.com"])))
    };
    assert_eq!(patched(decide(&desired, &observed)).fields, BOTH);
}

#[test]
fn a_bound_secret_that_a_list_lacks_is_asked_itself() {
    let desired = desired(Value::Unread, None, DriftPolicy::Correct);
    let absent = observed(Some(confirmed()), Remote::Absent);
    assert_eq!(
        decide(&desired, &absent),
        Plan::ReadRemote {
            secret_id: "sec_1".into()
        }
    );
}

#[test]
fn a_difference_in_a_list_is_asked_of_the_secret_itself_before_anything_is_done() {
    for policy in [DriftPolicy::Correct, DriftPolicy::Report] {
        let desired = desired(Value::Unread, Some(&["a.com"]), policy);
        for other in [remote("u0", &["a.com"]), remote("u1", &["b.com"])] {
            let listed = observed(Some(confirmed()), Remote::Listed(other));
            assert!(matches!(decide(&desired, &listed), Plan::ReadRemote { .. }));
        }
        let same = observed(Some(confirmed()), Remote::Listed(remote("u1", &["A.com"])));
        assert!(matches!(decide(&desired, &same), Plan::Settled(_)));
    }
}

#[test]
fn what_cannot_be_found_is_refused_until_a_list_shows_otherwise() {
    let by_key = desired(read(), None, DriftPolicy::Correct);
    let mut by_id = desired(read(), None, DriftPolicy::Correct);
    by_id.target.secret_id = Some("sec_1".into());
    let cases = [
        (&by_key, Remote::Absent, Reason::RemoteNotFound),
        (&by_id, Remote::Absent, Reason::RemoteNotFound),
        (&by_key, Remote::Ambiguous(2), Reason::AmbiguousEnvKey),
        (
            &by_id,
            Remote::Mismatch("OTHER".into()),
            Reason::EnvKeyMismatch,
        ),
    ];
    for (desired, remote, reason) in cases {
        let Plan::Refuse(refusal) = decide(desired, &observed(None, remote)) else {
            panic!("{reason} expected");
        };
        assert_eq!((refusal.reason, refusal.unbind), (reason, true));
        assert_eq!(refusal.retry, Retry::OnChange);
        assert!(refusal.message.contains("vlt_1"), "{}", refusal.message);
    }
}

/// A list alone unbinds nothing: it is the secret itself that says whose key it has now.
#[test]
fn a_secret_whose_key_was_changed_is_asked_first() {
    for (secret_id, reason) in [
        (None, Reason::RemoteNotFound),
        (Some("sec_1"), Reason::EnvKeyMismatch),
    ] {
        let mut desired = desired(read(), Some(&["a.com"]), DriftPolicy::Correct);
        desired.target.secret_id = secret_id.map(str::to_owned);
        let listed = observed(Some(confirmed()), Remote::Mismatch("OTHER".into()));
        assert!(matches!(decide(&desired, &listed), Plan::ReadRemote { .. }));
        let renamed = RemoteSecret {
            env_key: "OTHER".into(),
            ..remote("u1", &["a.com"])
        };
        let seen = observed(Some(confirmed()), Remote::Seen(renamed));
        let Plan::Refuse(refusal) = decide(&desired, &seen) else {
            panic!("{reason} expected");
        };
        assert_eq!(refusal.reason, reason);
    }
}

#[test]
fn recorded_drift_keeps_its_spelling() {
    let recorded = Drift {
        updated_at: Some("2026-01-02T00:00:00.000Z".into()),
        allowed_domains: Some(list(&["b.com", "C.com"])),
    };
    let record = Confirmed {
        drift: Some(recorded.clone()),
        ..confirmed()
    };
    let same = remote("2026-01-02T00:00:00Z", &["c.com", "b.com"]);
    assert_eq!(drift(&record, Some(&same)), recorded);
    assert!(is_recorded(&record, &same));
    let later = remote("2026-01-03T00:00:00Z", &["a.com"]);
    let news = Drift {
        updated_at: Some(later.updated_at.clone()),
        allowed_domains: None,
    };
    assert_eq!(drift(&record, Some(&later)), news);
}

/// The record is of the secret that `spec` names, and the secret itself says that it has another key by now.
#[test]
fn a_secret_that_answers_with_another_key_is_left_alone() {
    let desired = desired(Value::Unread, Some(&["a.com"]), DriftPolicy::Correct);
    let renamed = RemoteSecret {
        env_key: "OTHER".into(),
        ..remote("u2", &["b.com"])
    };
    let Plan::Refuse(refusal) = decide(
        &desired,
        &observed(Some(confirmed()), Remote::Seen(renamed)),
    ) else {
        panic!("it is not the one");
    };
    assert_eq!(refusal.reason, Reason::RemoteNotFound);
}

#[test]
fn traces_of_our_own_lost_patch_are_nobody_elses_change() {
    let desired = desired(read(), Some(&["a.com"]), DriftPolicy::Correct);
    let mut observed = Observed {
        evidence: Evidence::Same,
        uncertain: DOMAINS,
        ..observed(Some(confirmed()), Remote::Seen(remote("u2", &["b.com"])))
    };
    let change = patched(decide(&desired, &observed));
    assert_eq!((change.fields, change.corrects), (BOTH, Fields::NONE));
    observed.uncertain = Fields::NONE;
    assert_eq!(patched(decide(&desired, &observed)).corrects, BOTH);
}

/// Everything that is managed goes out once, after a look at what is there, under either policy.
#[test]
fn a_requested_sync_reads_both_sides_and_sends_all_that_is_managed() {
    for policy in [DriftPolicy::Correct, DriftPolicy::Report] {
        for foreign in [false, true] {
            let mut desired = desired(Value::Unread, Some(&["a.com"]), policy);
            let mut observed = Observed {
                forced: true,
                ..observed(Some(confirmed()), Remote::Unasked)
            };
            assert_eq!(decide(&desired, &observed), Plan::ReadSource);
            desired.value = read();
            observed.evidence = Evidence::Same;
            assert!(matches!(
                decide(&desired, &observed),
                Plan::ReadRemote { .. }
            ));
            let there = remote("u1", if foreign { &["b.com"] } else { &["a.com"] });
            observed.saw(&desired, there);
            let change = patched(decide(&desired, &observed));
            assert_eq!((change.fields, change.leaves.as_ref()), (BOTH, None));
            // Only what somebody else did is corrected.
            let corrects = if foreign { DOMAINS } else { Fields::NONE };
            assert_eq!(change.corrects, corrects);
            let answer = remote("u2", &["a.com"]);
            observed.patched(BOTH, answer.clone(), answered(change, &answer));
            assert!(matches!(decide(&desired, &observed), Plan::Settled(_)));
        }
    }
}

#[test]
fn a_requested_first_sync_sends_all_that_is_managed_as_well() {
    let desired = desired(read(), Some(&["a.com"]), DriftPolicy::Correct);
    let mut observed = Observed {
        evidence: Evidence::Changed,
        forced: true,
        ..observed(None, Remote::Unasked)
    };
    assert_eq!(decide(&desired, &observed), Plan::Look);
    observed.remote = Remote::Listed(remote("u1", &["a.com"]));
    assert_eq!(patched(decide(&desired, &observed)).fields, BOTH);
}

/// The answer to a PATCH of the value alone shows domains that somebody else changed.
#[test]
fn what_was_cut_off_with_an_earlier_process_is_nobody_elses_change() {
    let desired = desired(read(), Some(&["a.com"]), DriftPolicy::Correct);
    let moved = |unwatched| Observed {
        evidence: Evidence::Same,
        unwatched,
        ..observed(Some(confirmed()), Remote::Seen(remote("u2", &["a.com"])))
    };
    let corrects = |unwatched| {
        let change = patched(decide(&desired, &moved(unwatched)));
        assert_eq!(change.fields, VALUE);
        change.corrects
    };
    assert_eq!(corrects(false), VALUE);
    assert_eq!(corrects(true), Fields::NONE);
}

#[test]
fn foreign_domains_in_an_answer_are_corrected_or_reported() {
    for policy in [DriftPolicy::Correct, DriftPolicy::Report] {
        let desired = desired(read(), Some(&["a.com"]), policy);
        let mut observed = Observed {
            evidence: Evidence::Changed,
            ..observed(Some(confirmed()), Remote::Unasked)
        };
        let change = patched(decide(&desired, &observed));
        assert_eq!(change.fields, VALUE);
        let answer = remote("u2", &["foreign.com"]);
        observed.patched(VALUE, answer.clone(), answered(change, &answer));
        match (policy, decide(&desired, &observed)) {
            (DriftPolicy::Correct, Plan::Patch(change)) => assert_eq!(change.fields, DOMAINS),
            (DriftPolicy::Report, Plan::Report { drift, pending, .. }) => {
                assert_eq!(pending, DOMAINS);
                assert_eq!(drift.allowed_domains, Some(list(&["foreign.com"])));
                assert_eq!(drift.updated_at, None, "the value is ours");
            }
            (_, other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_report_forgets_what_is_no_longer_managed() {
    let desired = desired(Value::Unmanaged, Some(&["a.com"]), DriftPolicy::Report);
    let seen = observed(Some(confirmed()), Remote::Seen(remote("u2", &["b.com"])));
    let Plan::Report { confirmed, .. } = decide(&desired, &seen) else {
        panic!("a report expected");
    };
    assert_eq!(confirmed.value_fingerprint, None);
}

fn answered(change: Change, answer: &RemoteSecret) -> Confirmed {
    let sent = Sent {
        fields: change.fields,
        allowed_domains: change
            .fields
            .allowed_domains
            .then(|| answer.allowed_domains.clone()),
        value_fingerprint: change.fields.value.then(|| "v1:new".into()),
        source_version: None,
        at: crate::api::condition::whole_seconds(jiff::Timestamp::UNIX_EPOCH),
        leaves: change.leaves,
    };
    change.before.after_patch(answer, &sent)
}

fn some_domains() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[abAB]\\.com", 0..3)
}

fn some_fields() -> impl Strategy<Value = Fields> {
    any::<(bool, bool)>().prop_map(|(value, allowed_domains)| Fields {
        value,
        allowed_domains,
    })
}

prop_compose! {
    fn some_drift()(updated_at in prop::option::of("u[0-3]"), allowed_domains in prop::option::of(some_domains()))
        -> Option<Drift>
    {
        let drift = Drift { updated_at, allowed_domains };
        (drift != Drift::default()).then_some(drift)
    }
}

prop_compose! {
    fn some_confirmed()(
        allowed_domains in some_domains(),
        applied_domains in prop::option::of(some_domains()),
        updated_at in "u[0-3]",
        fingerprint in any::<bool>(),
        drift in some_drift(),
    ) -> Confirmed {
        Confirmed {
            allowed_domains,
            applied_domains,
            updated_at,
            value_fingerprint: fingerprint.then(|| "v1:".into()),
            drift,
            ..confirmed()
        }
    }
}

prop_compose! {
    fn some_case()(
        managed in prop::sample::select(vec![BOTH, VALUE, DOMAINS]),
        domains in some_domains(),
        report in any::<bool>(),
        evidence in prop::sample::select(vec![Evidence::NotRead, Evidence::Same, Evidence::Changed]),
        confirmed in prop::option::weighted(0.8, some_confirmed()),
        seen in prop::option::of(("u[0-3]", some_domains(), any::<bool>())),
        flags in any::<(bool, bool, bool)>(),
        uncertain in some_fields(),
    ) -> (Desired, Observed) {
        let value = match (managed.value, evidence) {
            (false, _) => Value::Unmanaged,
            (true, Evidence::NotRead) => Value::Unread,
            (true, _) => read(),
        };
        let policy = if report { DriftPolicy::Report } else { DriftPolicy::Correct };
        let mut desired = desired(value, None, policy);
        desired.allowed_domains = managed.allowed_domains.then_some(domains);
        let remote = seen.map_or(Remote::Unasked, |(updated_at, domains, listed)| {
            let secret = RemoteSecret { allowed_domains: domains, ..remote(&updated_at, &[]) };
            if listed { Remote::Listed(secret) } else { Remote::Seen(secret) }
        });
        let evidence = if managed.value { evidence } else { Evidence::NotRead };
        let observed = Observed {
            evidence, stale: flags.0, unwatched: flags.1, uncertain, forced: flags.2, ..observed(confirmed, remote)
        };
        (desired, observed)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_patch_carries_what_is_managed_and_read_and_hides_nothing((desired, observed) in some_case()) {
        if let Plan::Patch(change) = decide(&desired, &observed) {
            prop_assert!(!change.fields.is_empty());
            prop_assert!((change.fields - managed(&desired)).is_empty());
            prop_assert!((change.corrects - change.fields).is_empty());
            prop_assert!(!change.fields.value || matches!(desired.value, Value::Read(_)));
            if observed.forced {
                prop_assert_eq!(change.fields, managed(&desired));
                prop_assert!(observed.confirmed.is_none() || matches!(observed.remote, Remote::Seen(_)));
            }
            if observed.confirmed.is_some() && desired.value.is_managed() && !change.fields.value {
                prop_assert!(matches!(observed.remote, Remote::Seen(_)), "{:?}", change);
            }
        }
    }

    /// Whatever is known at first: a server that stores what it is sent is asked for at most three PATCHes, and
    /// holds what is declared then, or what others left there under Report.
    #[test]
    fn applying_plans_ends_in_the_declared_state((mut desired, mut observed) in some_case()) {
        let mut held = match &observed.remote {
            Remote::Seen(secret) | Remote::Listed(secret) => secret.clone(),
            _ => remote("u9", &["b.com"]),
        };
        let (mut patches, mut owed) = (0, observed.requested(&desired));
        for _ in 0..9 {
            match decide(&desired, &observed) {
                Plan::Look => observed.remote = Remote::Listed(held.clone()),
                Plan::ReadRemote { .. } => observed.remote = Remote::Seen(held.clone()),
                Plan::ReadSource => {
                    prop_assert!(matches!(desired.value, Value::Unread));
                    desired.value = read();
                    observed.evidence = Evidence::Changed;
                }
                Plan::Patch(change) => {
                    patches += 1;
                    let fields = change.fields;
                    owed = owed - fields;
                    held.updated_at = format!("p{patches}");
                    if let (true, Some(domains)) = (fields.allowed_domains, &desired.allowed_domains) {
                        held.allowed_domains = domains.iter().rev().map(|d| d.to_lowercase()).collect();
                    }
                    let confirmed = answered(change, &held);
                    observed.patched(fields, held.clone(), confirmed);
                }
                Plan::Report { confirmed, drift, pending } => {
                    prop_assert_eq!(desired.drift_policy, DriftPolicy::Report);
                    prop_assert!(owed.is_empty() && !pending.is_empty());
                    prop_assert_eq!(drifted(&drift), pending);
                    // It is the same after a restart.
                    let mut status = VaultSecretStatus::default();
                    confirmed.write_to(&mut status);
                    status.drift = Some(drift);
                    let again = Observed {
                        confirmed: Confirmed::from_status(&status),
                        remote: Remote::Unasked,
                        ..observed.clone()
                    };
                    let same = matches!(decide(&desired, &again), Plan::Report { pending: then, .. } if then == pending);
                    prop_assert!(same);
                    return Ok(());
                }
                Plan::Settled(confirmed) => {
                    prop_assert!(owed.is_empty() && patches <= 2, "{patches} PATCHes");
                    if let (Some(domains), Remote::Seen(seen)) = (&desired.allowed_domains, &observed.remote) {
                        let ours = same_domains(domains, &seen.allowed_domains);
                        // A server's own spelling, recorded once, is not questioned.
                        let recorded = same_domains(&seen.allowed_domains, &confirmed.allowed_domains);
                        prop_assert!(ours || recorded);
                    }
                    // Planning again says the same, also from the status.
                    let mut status = VaultSecretStatus::default();
                    confirmed.write_to(&mut status);
                    let again = Observed {
                        evidence: if desired.value.is_managed() { Evidence::Same } else { Evidence::NotRead },
                        ..self::observed(Confirmed::from_status(&status), Remote::Unasked)
                    };
                    prop_assert_eq!(decide(&desired, &again), Plan::Settled(confirmed));
                    return Ok(());
                }
                Plan::Hold | Plan::Create { .. } => panic!("no object here asks for it"),
                Plan::Refuse(refusal) => panic!("{refusal:?}"),
            }
        }
        prop_assert!(false, "no end");
    }
}
