use super::*;
use crate::{api::Reason, nairi::RemoteSecret};

fn blocked(retry: Retry) -> Verdict {
    Refusal::new(Reason::ApiUnavailable, "A sentence.")
        .retried(retry)
        .verdict()
}

fn confirmed() -> Confirmed {
    let remote = RemoteSecret {
        id: "sec_1".into(),
        env_key: "KEY".into(),
        allowed_domains: vec![],
        created_at: None,
        updated_at: "u2".into(),
    };
    Confirmed::found(&remote, None)
}

/// The next pass would decide by an older record, and send again what was sent, or not send what is to be undone.
#[test]
fn what_was_confirmed_is_kept_when_the_pass_ends_without_a_status() {
    let unsaid = || {
        [
            Verdict::Waiting,
            Verdict::Unchecked(Retry::Backoff),
            Verdict::Outdated,
        ]
    };
    let previous = VaultSecretStatus {
        observed_generation: Some(3),
        ..VaultSecretStatus::default()
    };
    for verdict in unsaid() {
        let ledger = Ledger::default();
        remember_unsaid(&ledger, "u", &previous, &verdict, None);
        assert!(ledger.entry("u").latest.is_none());
        remember_unsaid(&ledger, "u", &previous, &verdict, Some(&confirmed()));
        let latest = ledger.entry("u").latest.expect("kept");
        assert_eq!(Confirmed::from_status(&latest.status), Some(confirmed()));
        assert_eq!(latest.status.observed_generation, Some(3));
        assert_eq!(latest.resource_version, None, "still to be written");
    }
    let ledger = Ledger::default();
    remember_unsaid(
        &ledger,
        "u",
        &previous,
        &blocked(Retry::OnChange),
        Some(&confirmed()),
    );
    assert!(ledger.entry("u").latest.is_none(), "the status says it");
}

#[test]
fn every_verdict_has_its_time() {
    let ledger = Ledger::default();
    let wait = Duration::from_mins(1);
    let never = [
        Verdict::Waiting,
        Verdict::Outdated,
        Verdict::Suspended,
        blocked(Retry::OnChange),
    ];
    for verdict in never {
        assert_eq!(
            next_action(&ledger, "u", &verdict, None),
            Action::await_change(),
            "{verdict:?}"
        );
    }
    for verdict in [Verdict::Synced(confirmed()), blocked(Retry::OnChange)] {
        assert_ne!(
            next_action(&ledger, "u", &verdict, Some(wait)),
            Action::await_change(),
            "the condition Contended is to end"
        );
    }
    for verdict in [
        blocked(Retry::Every(wait)),
        blocked(Retry::At(Instant::now() + wait)),
    ] {
        assert_ne!(
            next_action(&ledger, "u", &verdict, None),
            Action::await_change(),
            "{verdict:?}"
        );
    }
}

#[test]
fn failures_count_until_one_thing_goes_well() {
    let ledger = Ledger::default();
    for verdict in [blocked(Retry::Backoff), Verdict::Unchecked(Retry::Backoff)] {
        next_action(&ledger, "u", &verdict, None);
    }
    assert_eq!(ledger.entry("u").failures, 2);
    next_action(&ledger, "u", &Verdict::Waiting, None);
    next_action(&ledger, "u", &blocked(Retry::At(Instant::now())), None);
    assert_eq!(ledger.entry("u").failures, 2, "waiting is neither");
    next_action(&ledger, "u", &Verdict::Synced(confirmed()), None);
    assert_eq!(ledger.entry("u").failures, 0);
}

/// Who runs into a limit each time it is let through comes back ever later.
#[test]
fn an_asked_for_silence_is_kept_and_grows_with_the_failures() {
    let ledger = Ledger::default();
    let second = Duration::from_secs(1);
    for failures in 1..12 {
        let until = Instant::now() + second;
        let action = next_action(&ledger, "u", &blocked(Retry::BackoffUntil(until)), None);
        let wait = action.after().expect("a time");
        assert!(wait >= second, "{wait:?}");
        assert!(
            wait >= backoff::delay(failures) / 2,
            "{wait:?} after {failures}"
        );
    }
}
