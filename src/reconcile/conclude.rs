//! The end of a pass: status, events, and when to look again.

use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use kube::{Api, Resource as _, ResourceExt as _};
use kube_runtime::{events::EventType, reflector::ObjectRef};
use tracing::{info, warn};

use crate::{
    api::{
        ConditionType, EventReason, ManagedField, Reason, Status, VaultSecret, VaultSecretStatus,
        condition,
    },
    backoff,
    context::Context,
    ledger::Ledger,
    queue::Action,
    reconcile::{
        apply::Note,
        claiming, contention,
        record::Confirmed,
        status::{self, ready_reason},
        verdict::{Refusal, Retry, Verdict},
    },
    source::brief,
    sync_request,
};

/// Over how long the objects are spread that wait for the same moment.
const SPREAD: Duration = Duration::from_secs(1);

/// Writes what `verdict` changes in the status of `object`, tells of it, and says when to look again.
pub(super) async fn conclude(
    ctx: &Context,
    object: &VaultSecret,
    uid: &str,
    previous: &VaultSecretStatus,
    verdict: &Verdict,
    notes: &[Note],
) -> Action {
    note(&ctx.ledger, uid, previous, verdict);
    let now = Timestamp::now();
    let contended = contention::until(&ctx.ledger.entry(uid).corrections, previous, now);
    let until = contended.map(|until| Duration::try_from(until - now).unwrap_or_default());
    let Some(mut next) = status::next(
        previous,
        object.metadata.generation,
        sync_request::of(object),
        verdict,
        contended.is_some(),
        now,
    ) else {
        publish_notes(ctx, object, notes).await;
        return next_action(&ctx.ledger, uid, verdict, until);
    };
    claiming::say_by_which_connection(object, ctx.claims.subject(uid).as_ref(), &mut next);
    let written = write(ctx, object, uid, next).await;
    publish_notes(ctx, object, notes).await;
    match written {
        Ok(()) => next_action(&ctx.ledger, uid, verdict, until),
        Err(error) => {
            let conflict = matches!(&error, kube::Error::Api(status) if status.is_conflict());
            if matches!(&error, kube::Error::Api(status) if status.is_not_found()) {
                return Action::await_change();
            }
            if conflict {
                return Action::requeue(backoff::jittered(backoff::AFTER_CONFLICT));
            }
            warn!(
                namespace = object.namespace(),
                name = object.name_any(),
                error = brief(&error),
                "could not write the status; trying again"
            );
            again(&ctx.ledger, uid)
        }
    }
}

/// Notes in the ledger what `verdict` ends.
pub(super) fn note(ledger: &Ledger, uid: &str, previous: &VaultSecretStatus, verdict: &Verdict) {
    let unbinds = matches!(
        verdict,
        Verdict::Blocked {
            refusal: Refusal { unbind: true, .. },
            ..
        }
    );
    let settled = matches!(verdict, Verdict::Synced(_) | Verdict::Drifted { .. });
    if unbinds || settled {
        ledger.unbound(uid, false);
    }
    if let Verdict::Blocked { refusal, .. } = verdict
        && refusal.reason == Reason::RemoteNotFound
        && let Some(updated_at) = &previous.updated_at
    {
        // A list that shows the secret as it was lags behind.
        ledger.outdated(uid, updated_at);
    }
    if settled {
        ledger.settled(uid);
    }
}

/// Keeps what the API `confirmed` in a pass whose `verdict` writes no status: the next pass writes it, and
/// decides by it.
pub(super) fn remember_unsaid(
    ledger: &Ledger,
    uid: &str,
    previous: &VaultSecretStatus,
    verdict: &Verdict,
    confirmed: Option<&Confirmed>,
) {
    if let (Verdict::Waiting | Verdict::Unchecked(_) | Verdict::Outdated, Some(confirmed)) =
        (verdict, confirmed)
    {
        let mut status = previous.clone();
        confirmed.write_to(&mut status);
        ledger.remember(uid, status, None);
    }
}

/// Writes `next` where it differs from what the server shows; keeps it in the ledger until the cache shows it.
async fn write(
    ctx: &Context,
    object: &VaultSecret,
    uid: &str,
    next: VaultSecretStatus,
) -> Result<(), kube::Error> {
    // Asked in this order, as at the start of the pass: the cache may have moved on since.
    let entry = ctx.ledger.entry(uid);
    let cached = ctx.stores.objects.get(&ObjectRef::from_obj(object));
    let cached = cached
        .as_deref()
        .filter(|cached| cached.metadata.uid == object.metadata.uid)
        .unwrap_or(object);
    let (shown, resource_version) = entry.shown(cached);
    if next == shown {
        ctx.ledger.caught_up(uid);
        return Ok(());
    }
    let api: Api<VaultSecret> =
        Api::namespaced(ctx.client.clone(), &object.namespace().unwrap_or_default());
    let name = object.name_any();
    let target = status::Write {
        name: &name,
        resource_version: &resource_version,
    };
    let within = (&ctx.fence, ctx.settings.kube_timeout);
    match status::write(&api, target, &shown, &next, within).await {
        Ok(version) => {
            ctx.ledger.remember(uid, next.clone(), version);
            if let Some(version) = ctx
                .stores
                .objects
                .get(&ObjectRef::from_obj(object))
                .and_then(|now| now.resource_version())
            {
                ctx.ledger.cached(uid, &version);
            }
            announce(ctx, object, &shown, &next).await;
            Ok(())
        }
        Err(error) => {
            ctx.ledger.remember(uid, next, None);
            Err(error)
        }
    }
}

/// When to look again, and the count of failures that decides how long that is. `contended`: how long that condition
/// still holds.
fn next_action(
    ledger: &Ledger,
    uid: &str,
    verdict: &Verdict,
    contended: Option<Duration>,
) -> Action {
    let retry = match verdict {
        Verdict::Waiting | Verdict::Outdated | Verdict::Released => return Action::await_change(),
        Verdict::Unchecked(retry) => *retry,
        Verdict::Synced(_) | Verdict::Drifted { .. } | Verdict::Suspended => Retry::OnChange,
        Verdict::Blocked { refusal, .. } => refusal.retry,
    };
    match retry {
        Retry::Backoff => return again(ledger, uid),
        Retry::BackoffUntil(then) => {
            return Action::requeue(until(then).max(growing_delay(ledger, uid)));
        }
        // That was neither a failure of its own nor a success.
        Retry::At(then) => return Action::requeue(until(then)),
        Retry::AfterConflict => {
            return Action::requeue(backoff::jittered(backoff::AFTER_CONFLICT));
        }
        Retry::OnChange | Retry::Every(_) => {}
    }
    ledger.succeeded(uid);
    if let Retry::Every(about) = retry {
        return Action::requeue(backoff::jittered(about));
    }
    contended.map_or_else(Action::await_change, |left| {
        Action::requeue(left + backoff::jittered(SPREAD))
    })
}

/// How long it is until `then`, and a little longer: not all come back together.
fn until(then: Instant) -> Duration {
    then.saturating_duration_since(Instant::now()) + backoff::jittered(SPREAD)
}

/// Counts a failure, and goes by how many there were in a row.
fn again(ledger: &Ledger, uid: &str) -> Action {
    Action::requeue(growing_delay(ledger, uid))
}

fn growing_delay(ledger: &Ledger, uid: &str) -> Duration {
    backoff::jittered(backoff::delay(ledger.failed(uid)))
}

/// One event and one log line when `Ready` changes, and when somebody else is found to keep writing.
async fn announce(
    ctx: &Context,
    object: &VaultSecret,
    before: &VaultSecretStatus,
    now: &VaultSecretStatus,
) {
    let contended = |status: &VaultSecretStatus| {
        condition::find(&status.conditions, ConditionType::Contended).cloned()
    };
    if let (None, Some(condition)) = (contended(before), contended(now)) {
        ctx.metrics.contended();
        let (namespace, name) = (object.namespace(), object.name_any());
        warn!(namespace, name, detail = condition.message, "contended");
        let (about, reason) = (object.object_ref(&()), EventReason::Contended.as_str());
        ctx.events
            .publish(
                about,
                EventType::Warning,
                reason,
                "Patch",
                &condition.message,
            )
            .await;
    }
    let Some(reason) = ready_reason(now) else {
        return;
    };
    if ready_reason(before) == Some(reason) {
        return;
    }
    if reason == Reason::DriftDetected {
        ctx.metrics.drift_reported();
    }
    let message = condition::find(&now.conditions, ConditionType::Ready)
        .map_or("", |ready| ready.message.as_str());
    let (namespace, name) = (object.namespace(), object.name_any());
    let type_ = if reason.status() == Status::False {
        warn!(namespace, name, %reason, detail = message, "not in sync");
        EventType::Warning
    } else {
        info!(namespace, name, %reason, detail = message, "status changed");
        EventType::Normal
    };
    ctx.events
        .publish(
            object.object_ref(&()),
            type_,
            reason.as_str(),
            "Reconcile",
            message,
        )
        .await;
}

async fn publish_notes(ctx: &Context, object: &VaultSecret, notes: &[Note]) {
    for note in notes {
        let (type_, reason, message) = match note {
            Note::Created { secret_id } => {
                let message = format!("Created the secret in Nairi: {secret_id}.");
                (EventType::Normal, EventReason::Created, message)
            }
            Note::DriftCorrected(fields) => {
                let names: Vec<_> = fields
                    .names()
                    .into_iter()
                    .map(ManagedField::as_str)
                    .collect();
                let message = format!(
                    "Somebody else had changed the secret in Nairi; sent again: {}.",
                    names.join(", ")
                );
                (EventType::Normal, EventReason::DriftCorrected, message)
            }
            Note::DomainsWidened => {
                let message = "The secret was restricted to some domains and may be sent to any destination now.";
                (
                    EventType::Warning,
                    EventReason::DomainsWidened,
                    message.to_owned(),
                )
            }
            Note::TrailingNewline => {
                let message = "The value ends with a newline and was sent as it is. The usual cause is a file made with an editor, or `echo` without -n: use printf, or kubectl create secret --from-literal.";
                (
                    EventType::Warning,
                    EventReason::TrailingNewline,
                    message.to_owned(),
                )
            }
        };
        let (namespace, name) = (object.namespace(), object.name_any());
        match type_ {
            EventType::Normal => info!(namespace, name, %reason, message),
            EventType::Warning => warn!(namespace, name, %reason, message),
        }
        let (about, reason) = (object.object_ref(&()), reason.as_str());
        ctx.events
            .publish(about, type_, reason, "Send", &message)
            .await;
    }
}

#[cfg(test)]
mod tests;
