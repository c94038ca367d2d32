//! `--dry-run`: what is told instead of what would be sent, and how the record stays as it is.
//!
//! Pure. Whoever runs without it afterwards finds the record of before, and carries everything out.

use std::time::Duration;

use crate::{
    api::{ManagedField, Reason, VaultSecretStatus},
    reconcile::{
        desired::Desired,
        fields::Fields,
        plan::{Observed, Plan, Remote, parting::Farewell},
        record::Confirmed,
        status::ready_reason,
        verdict::{Refusal, Retry, Verdict},
    },
};

/// What ends the pass in place of a `step` that changes something in Nairi: the fields it would send, and the
/// verdict. It is looked at again after `look_again`: others may do by then what is declared.
#[must_use]
pub fn instead(step: &Plan, look_again: Duration) -> Option<(Fields, Verdict)> {
    let (pending, what) = match step {
        Plan::Patch(change) => (change.fields, would_send(change.fields)),
        Plan::Create { env_key, .. } => {
            (Fields::ALL, format!("it would create the secret {env_key}"))
        }
        Plan::Hold => (Fields::NONE, "it would set its finalizer".to_owned()),
        // Of these only `ReadRemote` is a PATCH, an empty one: a dry run looks at the vault's list instead.
        Plan::Look
        | Plan::ReadSource
        | Plan::ReadRemote { .. }
        | Plan::Report { .. }
        | Plan::Settled(_)
        | Plan::Refuse(_) => return None,
    };
    Some((pending, told(pending, &what, Retry::Every(look_again))))
}

/// The same for an object that is being deleted.
#[must_use]
pub fn instead_of_parting(farewell: &Farewell, look_again: Duration) -> Option<Verdict> {
    let what = match farewell {
        Farewell::Delete { secret_id } => {
            format!("it would delete the secret {secret_id} in Nairi, and let this object go")
        }
        Farewell::Release(_) => {
            "it would let this object go, and leave the vault as it is".to_owned()
        }
        Farewell::AwaitHeir | Farewell::AwaitCheck | Farewell::AwaitKey(..) => return None,
    };
    Some(told(Fields::NONE, &what, Retry::Every(look_again)))
}

fn would_send(fields: Fields) -> String {
    let names = fields.names().into_iter().map(ManagedField::as_str);
    format!("it would send {}", names.collect::<Vec<_>>().join(" and "))
}

fn told(pending: Fields, what: &str, retry: Retry) -> Verdict {
    let message = format!("This is a dry run (--dry-run): {what}.");
    Verdict::Blocked {
        refusal: Refusal::new(Reason::DryRun, message).retried(retry),
        pending,
        confirmed: None,
    }
}

/// How a dry run begins: it needs no finalizer of ours. What it left undone is not in the record, so an object that
/// is not in sync is looked for in its vault each time, unless a list shows it already.
pub fn begin(observed: &mut Observed, desired: &Desired, status: &VaultSecretStatus) {
    observed.held = true;
    if observed.remote != Remote::Unasked {
        let listed = observed.remote.clone();
        saw(observed, desired, listed);
    }
    observed.unwatched |= ready_reason(status) != Some(Reason::Synced);
}

/// Takes over what the vault's list shows, as it is: the secret itself can't be asked.
pub fn saw(observed: &mut Observed, desired: &Desired, listed: Remote) {
    match listed {
        Remote::Listed(secret) => {
            observed.saw(desired, secret);
        }
        missing => {
            observed.confirmed = None;
            observed.remote = missing;
        }
    }
}

/// The same `verdict` with the record as `status` has it.
#[must_use]
pub fn unrecorded(verdict: Verdict, status: &VaultSecretStatus) -> Verdict {
    let recorded = |confirmed: &Confirmed| {
        Confirmed::from_status(status).filter(|it| it.secret_id == confirmed.secret_id)
    };
    match verdict {
        Verdict::Synced(confirmed) => match recorded(&confirmed) {
            Some(recorded) => Verdict::Synced(Confirmed {
                drift: confirmed.drift,
                ..recorded
            }),
            None => told(
                Fields::NONE,
                "nothing would be sent, and the secret that was found would be recorded",
                Retry::OnChange,
            ),
        },
        Verdict::Drifted {
            confirmed,
            drift,
            pending,
        } => Verdict::Drifted {
            confirmed: recorded(&confirmed).unwrap_or(confirmed),
            drift,
            pending,
        },
        Verdict::Blocked {
            refusal,
            pending,
            confirmed: _,
        } => Verdict::Blocked {
            refusal: Refusal {
                unbind: false,
                ..refusal
            },
            pending,
            confirmed: None,
        },
        Verdict::Suspended
        | Verdict::Waiting
        | Verdict::Unchecked(_)
        | Verdict::Outdated
        | Verdict::Released => verdict,
    }
}

#[cfg(test)]
mod tests;
