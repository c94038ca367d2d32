use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use proptest::prelude::*;

use super::*;
use crate::{
    api::{Drift, ManagedField},
    nairi::RemoteSecret,
    reconcile::{record::Confirmed, verdict::Retry},
};

const DOMAINS: Fields = Fields {
    value: false,
    allowed_domains: true,
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

fn confirmed(updated_at: &str) -> Confirmed {
    let domains = vec!["a.com".to_owned()];
    let remote = RemoteSecret {
        id: "sec_1".into(),
        env_key: "KEY".into(),
        allowed_domains: domains.clone(),
        created_at: Some("c".into()),
        updated_at: updated_at.into(),
    };
    Confirmed {
        value_fingerprint: Some("v1:x".into()),
        ..Confirmed::found(&remote, Some(&domains))
    }
}

fn synced(updated_at: &str) -> Verdict {
    Verdict::Synced(confirmed(updated_at))
}

fn drifted() -> Verdict {
    Verdict::Drifted {
        confirmed: confirmed("u1"),
        drift: Drift {
            updated_at: None,
            allowed_domains: Some(vec!["b.com".into()]),
        },
        pending: DOMAINS,
    }
}

fn blocked(reason: Reason) -> Verdict {
    Verdict::Blocked {
        refusal: Refusal::new(reason, "A sentence."),
        pending: DOMAINS,
        confirmed: None,
    }
}

fn after(previous: &VaultSecretStatus, verdict: &Verdict, second: i64) -> VaultSecretStatus {
    next(previous, Some(3), None, verdict, false, at(second)).expect("a status")
}

fn ready(status: &VaultSecretStatus) -> &Condition {
    condition::find(&status.conditions, ConditionType::Ready).expect("Ready")
}

fn types(status: &VaultSecretStatus) -> Vec<&str> {
    status.conditions.iter().map(|c| c.type_.as_str()).collect()
}

#[test]
fn in_sync_shows_what_is_confirmed_and_nothing_else() {
    let before = after(&VaultSecretStatus::default(), &drifted(), 10);
    let status = after(&before, &synced("u2"), 20);
    assert_eq!(
        (&*ready(&status).status, &*ready(&status).reason),
        ("True", "Synced")
    );
    assert_eq!(types(&status), ["Ready"]);
    assert_eq!(status.observed_generation, Some(3));
    assert_eq!(ready(&status).observed_generation, Some(3));
    assert_eq!(Confirmed::from_status(&status), Some(confirmed("u2")));
    assert_eq!((status.drift, status.pending_fields), (None, vec![]));
}

#[test]
fn drift_is_told_and_what_would_be_sent() {
    let status = after(&VaultSecretStatus::default(), &drifted(), 10);
    assert_eq!(ready(&status).reason, "DriftDetected");
    assert_eq!(types(&status), ["Ready", "Stalled"]);
    assert_eq!(status.pending_fields, [ManagedField::AllowedDomains]);
    let domains = status.drift.and_then(|drift| drift.allowed_domains);
    assert_eq!(domains, Some(vec!["b.com".to_owned()]));
}

#[test]
fn stalled_and_reconciling_exclude_each_other_and_go_with_ready() {
    let mut status = VaultSecretStatus::default();
    for (second, reason) in Reason::ALL.iter().enumerate() {
        status = after(
            &status,
            &blocked(*reason),
            i64::try_from(second).expect("small"),
        );
        let expected = match reason.class() {
            Class::Synced | Class::Unknown => vec!["Ready"],
            Class::Retried => vec!["Ready", "Reconciling"],
            Class::Waits => vec!["Ready", "Stalled"],
        };
        let mut found = types(&status);
        found.sort_unstable();
        assert_eq!(found, expected, "{reason}");
        for condition in &status.conditions {
            assert_eq!(condition.reason, reason.as_str());
            assert!(!condition.message.is_empty());
        }
    }
}

#[test]
fn a_refusal_keeps_the_record_and_takes_over_what_the_pass_confirmed() {
    let before = after(&VaultSecretStatus::default(), &synced("u1"), 10);
    let status = after(&before, &blocked(Reason::ApiUnavailable), 20);
    assert_eq!(Confirmed::from_status(&status), Some(confirmed("u1")));
    assert_eq!(status.pending_fields, [ManagedField::AllowedDomains]);
    let half = Verdict::Blocked {
        refusal: Refusal::new(Reason::ApiUnavailable, "A sentence.").retried(Retry::Backoff),
        pending: DOMAINS,
        confirmed: Some(confirmed("u2")),
    };
    let status = after(&before, &half, 20);
    assert_eq!(Confirmed::from_status(&status), Some(confirmed("u2")));
    assert_eq!(ready(&status).reason, "ApiUnavailable");
}

#[test]
fn giving_up_the_binding_leaves_only_what_we_did() {
    let mut before = after(&VaultSecretStatus::default(), &synced("u1"), 10);
    before.last_handled_sync_request = Some("now".into());
    before.last_patch = Some(crate::api::LastPatch {
        time: condition::whole_seconds(at(1)),
        fields: vec![ManagedField::Value],
    });
    let gone = Refusal::new(Reason::RemoteNotFound, "Gone.")
        .unbound()
        .verdict();
    let status = after(&before, &gone, 20);
    let expected = VaultSecretStatus {
        observed_generation: Some(3),
        last_patch: before.last_patch.clone(),
        last_handled_sync_request: before.last_handled_sync_request.clone(),
        conditions: status.conditions.clone(),
        ..VaultSecretStatus::default()
    };
    assert_eq!(status, expected);
    assert_eq!(types(&status), ["Ready", "Stalled"]);
}

#[test]
fn a_request_counts_as_handled_once_the_object_is_settled() {
    let status = VaultSecretStatus {
        last_handled_sync_request: Some("1".into()),
        ..VaultSecretStatus::default()
    };
    let handled = |verdict: &Verdict, requested: Option<&str>| {
        let next = next(&status, Some(3), requested, verdict, false, at(10)).expect("a status");
        next.last_handled_sync_request.expect("it stays")
    };
    for settled in [synced("u1"), drifted()] {
        assert_eq!(handled(&settled, Some("2")), "2");
        assert_eq!(handled(&settled, None), "1", "a removal is no request");
    }
    let gone = Refusal::new(Reason::RemoteNotFound, "Gone.").unbound();
    for pending in [
        blocked(Reason::SourceNotFound),
        blocked(Reason::DryRun),
        gone.verdict(),
        Verdict::Suspended,
    ] {
        assert_eq!(handled(&pending, Some("2")), "1", "{pending:?}");
    }
}

#[test]
fn suspension_keeps_what_was_said_and_pauses_progress() {
    let before = after(&VaultSecretStatus::default(), &drifted(), 10);
    let status = after(&before, &Verdict::Suspended, 20);
    assert_eq!(ready(&status), ready(&before));
    assert_eq!(types(&status), ["Ready", "Suspended"]);
    assert_eq!(status.pending_fields, before.pending_fields);
    assert_eq!(status.drift, before.drift);
    let resumed = after(&status, &synced("u2"), 30);
    assert_eq!(types(&resumed), ["Ready"]);

    let never = after(&VaultSecretStatus::default(), &Verdict::Suspended, 20);
    assert_eq!(
        (&*ready(&never).status, &*ready(&never).reason),
        ("Unknown", "Suspended")
    );
}

#[test]
fn what_says_nothing_new_writes_nothing() {
    let before = after(&VaultSecretStatus::default(), &synced("u1"), 10);
    for verdict in [
        Verdict::Waiting,
        Verdict::Unchecked(Retry::Backoff),
        Verdict::Outdated,
    ] {
        assert_eq!(
            next(&before, Some(9), Some("now"), &verdict, false, at(20)),
            None
        );
    }
}

#[test]
fn the_same_verdict_again_changes_nothing_however_late() {
    let verdicts = [
        synced("u1"),
        drifted(),
        blocked(Reason::SourceNotFound),
        blocked(Reason::ApiUnavailable),
        blocked(Reason::DryRun),
        Refusal::new(Reason::RemoteNotFound, "Gone.")
            .unbound()
            .verdict(),
        Verdict::Suspended,
    ];
    for first in &verdicts {
        for second in &verdicts {
            let once = after(&after(&VaultSecretStatus::default(), first, 10), second, 20);
            assert_eq!(after(&once, second, 30), once, "{first:?}, then {second:?}");
        }
    }
}

#[test]
fn the_transition_time_moves_with_the_status_only() {
    let first = after(
        &VaultSecretStatus::default(),
        &blocked(Reason::SourceNotFound),
        10,
    );
    let other = after(&first, &blocked(Reason::ApiUnavailable), 20);
    assert_eq!(
        ready(&other).last_transition_time,
        ready(&first).last_transition_time
    );
    let synced = after(&other, &synced("u1"), 30);
    assert_eq!(ready(&synced).last_transition_time.0, at(30));
}

#[test]
fn the_record_survives_the_round_trip_through_the_api_server() {
    let status = after(&VaultSecretStatus::default(), &drifted(), 10);
    let text = serde_json::to_string(&status).expect("serialises");
    assert_eq!(
        serde_json::from_str::<VaultSecretStatus>(&text).expect("parses"),
        status
    );
}

#[test]
fn a_question_that_fails_is_no_news_of_an_object_in_sync() {
    let refused = || Refusal::new(Reason::ApiUnavailable, "A sentence.").retried(Retry::Backoff);
    let in_sync = after(&VaultSecretStatus::default(), &synced("u1"), 10);
    let unchecked = unanswered(&in_sync, Some(3), refused());
    assert!(matches!(unchecked, Verdict::Unchecked(Retry::Backoff)));
    let others = [
        VaultSecretStatus::default(),
        after(&in_sync, &drifted(), 20),
    ];
    for (status, generation) in [(&in_sync, 4), (&others[0], 3), (&others[1], 3)] {
        let verdict = unanswered(status, Some(generation), refused());
        assert!(matches!(verdict, Verdict::Blocked { .. }), "{verdict:?}");
    }
}

/// JSON as a status is: no null outside of arrays.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        (0..3i64).prop_map(Value::from),
        "[ab]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(prop_oneof![Just(Value::Null), inner.clone()], 0..3)
                .prop_map(Value::Array),
            prop::collection::hash_map("[abc]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_merge_patch_turns_one_into_the_other(from in json(), to in json()) {
        let patch = merge_patch(&from, &to);
        let mut patched = from.clone();
        json_patch::merge(&mut patched, &patch);
        prop_assert_eq!(patched, to.clone());
        if from.is_object() {
            prop_assert_eq!(merge_patch(&from, &from), json!({}));
        }
    }
}

#[test]
fn contended_stands_beside_ready_while_it_holds() {
    let at_second = |status: &VaultSecretStatus, contended, second| {
        next(status, Some(3), None, &synced("u1"), contended, at(second)).expect("a status")
    };
    let calm = at_second(&VaultSecretStatus::default(), false, 10);
    assert_eq!(types(&calm), ["Ready"]);
    let contended = at_second(&calm, true, 20);
    assert_eq!(types(&contended), ["Ready", "Contended"]);
    let condition = condition::find(&contended.conditions, ConditionType::Contended).expect("set");
    assert_eq!(
        (&*condition.status, &*condition.reason),
        ("True", "Contended")
    );
    assert_eq!(at_second(&contended, true, 30), contended, "nothing new");
    assert_eq!(at_second(&contended, false, 40), calm);
}
