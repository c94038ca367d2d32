use super::*;
use crate::{
    api::{CreationPolicy, DeletionPolicy, Drift, DriftPolicy},
    nairi::RemoteSecret,
    reconcile::{
        desired::{Target, Value},
        plan::{Change, Claim, Evidence, parting::Why, plan},
        status::next,
    },
};

const LOOK_AGAIN: Duration = Duration::from_mins(5);
const DOMAINS: Fields = Fields {
    value: false,
    allowed_domains: true,
};

fn remote(updated_at: &str, domain: &str) -> RemoteSecret {
    RemoteSecret {
        id: "sec_1".into(),
        env_key: "KEY".into(),
        allowed_domains: vec![domain.into()],
        created_at: None,
        updated_at: updated_at.into(),
    }
}

fn confirmed(updated_at: &str) -> Confirmed {
    Confirmed {
        value_fingerprint: Some("v1:".into()),
        source_version: Some(updated_at.into()),
        ..Confirmed::found(&remote(updated_at, "a.com"), Some(&vec!["a.com".into()]))
    }
}

fn bound() -> VaultSecretStatus {
    let mut status = VaultSecretStatus::default();
    confirmed("u1").write_to(&mut status);
    status
}

fn desired() -> Desired {
    Desired {
        target: Target {
            vault_id: "vlt_1".into(),
            secret_id: None,
            env_key: Some("KEY".into()),
        },
        value: Value::Read("value".into()),
        allowed_domains: Some(vec!["a.com".into()]),
        drift_policy: DriftPolicy::Correct,
        creation_policy: CreationPolicy::IfMissing,
        deletion_policy: DeletionPolicy::Delete,
    }
}

fn observed() -> Observed {
    Observed {
        confirmed: Some(confirmed("u1")),
        remote: Remote::Unasked,
        evidence: Evidence::Same,
        stale: false,
        unwatched: false,
        uncertain: Fields::NONE,
        forced: false,
        claim: Claim::Held,
        held: false,
        refused_creation: None,
    }
}

fn after(verdict: Verdict, status: &VaultSecretStatus) -> VaultSecretStatus {
    let now = jiff::Timestamp::UNIX_EPOCH;
    let verdict = unrecorded(verdict, status);
    next(status, Some(2), Some("now"), &verdict, false, now).expect("a status")
}

fn change(fields: Fields) -> Plan {
    Plan::Patch(Change {
        secret_id: "sec_1".into(),
        fields,
        corrects: Fields::NONE,
        foreign_updated_at: None,
        leaves: None,
        before: confirmed("u1"),
    })
}

#[test]
fn what_would_be_sent_is_told_by_name() {
    for (fields, names) in [
        (Fields::ALL, "value and allowedDomains"),
        (DOMAINS, "allowedDomains"),
    ] {
        let (pending, verdict) = instead(&change(fields), LOOK_AGAIN).expect("it sends");
        assert_eq!(pending, fields);
        let status = after(verdict, &bound());
        let ready = &status.conditions[0];
        assert_eq!((&*ready.status, &*ready.reason), ("Unknown", "DryRun"));
        let sentence = format!("This is a dry run (--dry-run): it would send {names}.");
        assert_eq!(ready.message, sentence);
        let told = VaultSecretStatus {
            observed_generation: Some(2),
            pending_fields: fields.names(),
            conditions: status.conditions.clone(),
            ..bound()
        };
        assert_eq!(status, told, "and nothing else is");
    }
    for step in [Plan::Look, Plan::ReadSource, Plan::Settled(confirmed("u1"))] {
        assert!(instead(&step, LOOK_AGAIN).is_none(), "{step:?}");
    }
}

/// Our finalizer stays where it is, and is set nowhere.
#[test]
fn what_would_become_of_a_deleted_object_is_told() {
    let delete = Farewell::Delete {
        secret_id: "sec_1".into(),
    };
    for (farewell, says) in [
        (delete, "it would delete the secret sec_1"),
        (Farewell::Release(Why::NeverBound), "let this object go"),
    ] {
        let verdict = instead_of_parting(&farewell, LOOK_AGAIN).expect("it changes something");
        let status = after(verdict, &bound());
        let ready = &status.conditions[0];
        assert_eq!(ready.reason, "DryRun");
        assert!(ready.message.contains(says), "{}", ready.message);
    }
    assert!(instead_of_parting(&Farewell::AwaitHeir, LOOK_AGAIN).is_none());
}

#[test]
fn the_record_stays_whatever_the_end() {
    let gone = || Refusal::new(Reason::RemoteNotFound, "Gone.").unbound();
    let drifted = || Verdict::Drifted {
        confirmed: confirmed("u2"),
        drift: Drift {
            updated_at: Some("u3".into()),
            allowed_domains: None,
        },
        pending: DOMAINS,
    };
    let seen = Verdict::Blocked {
        refusal: Refusal::new(Reason::ApiUnavailable, "A sentence."),
        pending: DOMAINS,
        confirmed: Some(confirmed("u2")),
    };
    for (verdict, reason) in [
        (Verdict::Synced(confirmed("u2")), "Synced"),
        (drifted(), "DriftDetected"),
        (gone().verdict(), "RemoteNotFound"),
        (seen, "ApiUnavailable"),
    ] {
        let status = after(verdict, &bound());
        assert_eq!(status.conditions[0].reason, reason);
        let record = Confirmed::from_status(&status).expect("it is bound");
        let record = Confirmed {
            drift: None,
            ..record
        };
        assert_eq!(record, confirmed("u1"), "{reason}");
    }
    let status = after(drifted(), &bound());
    assert!(status.drift.is_some(), "a report is shown");
}

/// It is not bound by a dry run, so it is not `Synced` either.
#[test]
fn a_secret_that_was_found_as_declared_is_not_bound() {
    let mut other = bound();
    other.secret_id = Some("sec_2".into());
    for status in [VaultSecretStatus::default(), other] {
        let found = after(Verdict::Synced(confirmed("u1")), &status);
        assert_eq!(found.secret_id, status.secret_id);
        assert_eq!(found.conditions[0].reason, "DryRun");
        assert_eq!(found.pending_fields, []);
        assert_eq!(found.last_handled_sync_request, None);
    }
}

/// The list stands in for the answer to `PATCH {}`, which can't be sent.
#[test]
fn a_list_is_taken_as_it_is() {
    let desired = desired();
    let decide = |observed: &Observed| plan(&desired, observed);
    let observed = || {
        let mut observed = observed();
        begin(&mut observed, &desired, &bound());
        observed
    };
    let listed = || Remote::Listed(remote("u2", "b.com"));
    let mut drifted = observed();
    drifted.remote = listed();
    assert!(matches!(decide(&drifted), Plan::ReadRemote { .. }));
    saw(&mut drifted, &desired, listed());
    assert!(matches!(decide(&drifted), Plan::Patch(_)));

    let mut absent = observed();
    saw(&mut absent, &desired, Remote::Absent);
    let (pending, verdict) = instead(&decide(&absent), LOOK_AGAIN).expect("it creates");
    assert_eq!(pending, Fields::ALL);
    let message = &after(verdict, &bound()).conditions[0].message;
    assert!(
        message.ends_with("it would create the secret KEY."),
        "{message}"
    );
    let mut mismatch = observed();
    saw(&mut mismatch, &desired, Remote::Mismatch("OTHER".into()));
    assert!(matches!(decide(&mismatch), Plan::Refuse(_)));
}

/// What a sweep's list showed needs no other list: each would be a reason for the next pass.
#[test]
fn what_a_list_showed_before_is_not_asked_again() {
    let desired = desired();
    for (remote, creates) in [
        (Remote::Absent, true),
        (Remote::Listed(remote("u2", "b.com")), false),
    ] {
        let mut observed = Observed {
            remote,
            ..observed()
        };
        begin(&mut observed, &desired, &bound());
        let step = plan(&desired, &observed);
        assert_eq!(matches!(step, Plan::Create { .. }), creates, "{step:?}");
        assert_eq!(matches!(step, Plan::Patch(_)), !creates, "{step:?}");
    }
}

/// Drift that is pending stands in no record: a pass that did not look again would call it in sync.
#[test]
fn what_is_not_in_sync_is_looked_for_each_time() {
    let desired = desired();
    for (reason, looks) in [
        (None, true),
        (Some(Reason::DryRun), true),
        (Some(Reason::Synced), false),
    ] {
        let mut status = bound();
        if let Some(reason) = reason {
            let verdict = match reason {
                Reason::Synced => Verdict::Synced(confirmed("u1")),
                _ => instead(&change(DOMAINS), LOOK_AGAIN).expect("it sends").1,
            };
            status = after(verdict, &status);
        }
        let mut observed = observed();
        begin(&mut observed, &desired, &status);
        let plan = plan(&desired, &observed);
        assert_eq!(plan == Plan::Look, looks, "{reason:?}");
    }
}
