//! What a failed request to Nairi means for the object it was for. Pure.

use std::time::{Duration, Instant};

use crate::{
    api::{ConnectionRef, Reason},
    nairi::{Class, Error},
    reconcile::verdict::{Refusal, Retry},
};

/// How often something the API rejected is tried again: the rule it broke may have changed.
const REJECTED_AGAIN: Duration = Duration::from_hours(1);

/// The refusal for `error`. The error's own sentence holds nothing of the server's for a request with a value.
#[must_use]
pub fn refusal(error: &Error, vault_id: &str, connection: &ConnectionRef, now: Instant) -> Refusal {
    match error.class() {
        // It drew the silence itself: if it does so again and again it comes back ever later.
        Class::Throttled { retry_after } => {
            throttled(now + retry_after).retried(Retry::BackoffUntil(now + retry_after))
        }
        Class::Transient | Class::InvalidResponse => Refusal::new(
            Reason::ApiUnavailable,
            format!("Nairi: {error}. It is tried again."),
        )
        .retried(Retry::Backoff),
        Class::Unauthorized => unauthorized(connection),
        Class::Rejected => Refusal::new(
            Reason::Rejected,
            format!("Nairi: {error}. Correct the declaration; it is tried again every hour."),
        )
        .retried(Retry::Every(REJECTED_AGAIN)),
        // The vault is listed again, less and less often, and the first list that succeeds wakes the object.
        Class::NotFound => Refusal::new(
            Reason::RemoteNotFound,
            format!(
                "Nairi knows no vault {vault_id}, or not this secret in it: correct spec.vaultId, or create what is missing."
            ),
        ),
    }
}

/// The API asked for silence until then. The message does not say when that is: it would be another one, and another
/// write of status, each time.
#[must_use]
pub fn throttled(until: Instant) -> Refusal {
    let message = "Nairi asked to wait (Retry-After): nothing is sent with this API key meanwhile, for 5 minutes at most; then it is tried again.";
    Refusal::new(Reason::RateLimited, message).retried(Retry::At(until))
}

/// The API refuses the key. The connection's check finds out when it no longer does, and wakes the object.
#[must_use]
pub fn unauthorized(connection: &ConnectionRef) -> Refusal {
    Refusal::new(
        Reason::Unauthorized,
        format!(
            "Nairi refuses the API key of {connection} (HTTP 401): put a valid key into the connection's Secret."
        ),
    )
}

#[cfg(test)]
mod tests;
