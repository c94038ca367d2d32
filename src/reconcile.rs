//! The driver: one object, from being due to a true status.
//!
//! The steps, each a file: `resolve` follows references, `desired` reads the declaration, `observe` says what
//! is known, `plan` decides on one next step, `apply` sends it; `pass` goes through them until nothing is left.
//! `conclude` ends it, with what `status` makes of the verdict.
//!
//! `compare` says which objects a vault's list gives something to do. It, `claiming`, `contention`, `desired`, `observe`,
//! `plan`, `record`, `verdict`, `dry_run` and `failure` are pure.

pub mod apply;
pub mod claiming;
pub mod compare;
pub mod contention;
pub mod desired;
pub mod dry_run;
pub mod failure;
pub mod fields;
pub mod finalizer;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod observe;
pub mod plan;
pub mod record;
pub mod resolve;
pub mod status;
pub mod templated;
pub mod verdict;

mod conclude;
#[cfg(test)]
mod model;
mod pass;

use std::{sync::Arc, time::Instant};

use kube::{Resource as _, ResourceExt as _};
use kube_runtime::reflector::{ObjectRef, Store};
use tracing::debug;

use self::{
    fields::Fields,
    pass::Pass,
    verdict::{Refusal, Retry, Verdict},
};
use crate::{
    api::{Reason, VaultSecret},
    context::Context,
    ledger::{Entry, Ledger},
    queue::Action,
    spans,
};

/// Reconciles one object, due since `due`.
pub async fn reconcile(object: Arc<VaultSecret>, due: Instant, ctx: Arc<Context>) -> Action {
    let began = Instant::now();
    let key = ObjectRef::from_obj(&*object);
    let Some(uid) = object.uid() else {
        return Action::await_change();
    };
    let Some((object, entry)) = current(&ctx.stores.objects, &ctx.ledger, &key, &uid) else {
        return Action::await_change();
    };
    let leaving = object.meta().deletion_timestamp.is_some();
    if leaving && !finalizer::is_set(&object) {
        // Somebody else's finalizer keeps it.
        ctx.claims.lapse(&uid);
        return Action::await_change();
    }
    let generation = object.metadata.generation;
    // What was listed before a change of the declaration says nothing about what it names now.
    let due = if entry.waiting.is_some_and(|then| Some(then) != generation) {
        began
    } else {
        due
    };
    let previous = entry.status(&object);
    let mut pass = Pass {
        ctx: &ctx,
        object: &object,
        key: &key,
        uid: &uid,
        entry: &entry,
        due,
        looked: began,
        permit: None,
        queues_at: None,
        read: None,
        confirmed: None,
        notes: Vec::new(),
    };
    let run = async {
        if leaving {
            pass.part(&previous).await
        } else {
            pass.run(&previous).await
        }
    };
    let verdict = tokio::time::timeout(ctx.settings.reconcile_timeout, run)
        .await
        .unwrap_or_else(|_| {
            let message = "The change took too long to be carried out. It is tried again.";
            Verdict::Blocked {
                refusal: Refusal::new(Reason::ApiUnavailable, message).retried(Retry::Backoff),
                pending: Fields::NONE,
                confirmed: pass.confirmed.clone(),
            }
        });
    let Pass {
        permit,
        queues_at,
        confirmed,
        notes,
        due,
        ..
    } = pass;
    drop(permit);
    if entry.waiting.is_some() {
        // A place in a queue that is of no use any more would keep others waiting until it lapses.
        ctx.connections.gates().wait_only_at(queues_at, &key);
    }
    conclude::remember_unsaid(&ctx.ledger, &uid, &previous, &verdict, confirmed.as_ref());
    debug!(
        namespace = object.namespace(),
        name = object.name_any(),
        ?verdict,
        "reconciled"
    );
    let waiting = matches!(verdict, Verdict::Waiting);
    if waiting {
        ctx.ledger.waiting(&uid, generation);
        ctx.queues.objects.keep(&key, due);
    }
    // What could not be looked after is looked after next time.
    if !matches!(
        verdict,
        Verdict::Waiting | Verdict::Unchecked(_) | Verdict::Outdated
    ) && let Some(hint) = &entry.hint
    {
        ctx.ledger.heeded(&uid, hint.began);
    }
    let mut action = conclude::conclude(&ctx, &object, &uid, &previous, &verdict, &notes).await;
    if !waiting {
        // Not before the ledger has what came of it: the list it waited for says the same to the sweep.
        ctx.ledger.waiting(&uid, None);
    }
    // Where it went away meanwhile, the watch has nothing more to say of it.
    match ctx.stores.objects.get(&key).map(|now| now.uid()) {
        None => {
            ctx.forget(&key, &uid);
            action = Action::await_change();
        }
        Some(now) if now.as_ref() != Some(&uid) => ctx.ledger.forget(&uid),
        Some(_) => {}
    }
    ctx.metrics.reconciled(&verdict, began.elapsed());
    spans::ended(&verdict);
    action
}

/// The object as watched now, and what the ledger has of it.
///
/// The ledger is asked first: a status that gave way in it to the watched one is in the store by then. The other
/// way round both could be missing, and an older status would be believed.
fn current(
    store: &Store<VaultSecret>,
    ledger: &Ledger,
    key: &ObjectRef<VaultSecret>,
    uid: &str,
) -> Option<(Arc<VaultSecret>, Entry)> {
    let entry = ledger.entry(uid);
    let object = store.get(key)?;
    (object.metadata.uid.as_deref() == Some(uid)).then_some((object, entry))
}

#[cfg(test)]
mod tests;
