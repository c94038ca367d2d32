use std::time::Duration;

use super::*;

fn of(class: Class, now: Instant) -> Refusal {
    let error = Error::of_class(class, "api.example answered something");
    refusal(&error, "vlt_1", &ConnectionRef::default(), now)
}

#[test]
fn every_class_has_its_reason_and_its_time() {
    let now = Instant::now();
    let pause = Duration::from_secs(7);
    let cases = [
        (
            Class::Throttled { retry_after: pause },
            Reason::RateLimited,
            Retry::BackoffUntil(now + pause),
        ),
        (Class::Transient, Reason::ApiUnavailable, Retry::Backoff),
        (
            Class::InvalidResponse,
            Reason::ApiUnavailable,
            Retry::Backoff,
        ),
        (Class::Unauthorized, Reason::Unauthorized, Retry::OnChange),
        (
            Class::Rejected,
            Reason::Rejected,
            Retry::Every(Duration::from_hours(1)),
        ),
        (Class::NotFound, Reason::RemoteNotFound, Retry::OnChange),
    ];
    for (class, reason, retry) in cases {
        let refusal = of(class, now);
        assert_eq!(
            (refusal.reason, refusal.retry),
            (reason, retry),
            "{class:?}"
        );
        assert!(
            !refusal.unbind,
            "a failed request alone gives up no binding"
        );
        assert!(refusal.message.ends_with('.'), "{}", refusal.message);
    }
}

#[test]
fn a_message_stays_the_same_while_the_failure_does() {
    let (now, later) = (Instant::now(), Instant::now() + Duration::from_secs(3));
    for class in [
        Class::Throttled {
            retry_after: Duration::from_secs(7),
        },
        Class::Transient,
        Class::Unauthorized,
    ] {
        assert_eq!(of(class, now).message, of(class, later).message);
    }
}
