//! Finds what others changed: each vault in use is listed once an interval, and the objects whose record it
//! contradicts are woken.
//!
//! Any list counts, whoever asked for it. The sweep's own take a slot at the key's gate only where nobody else wants
//! it, so they never stand in the way of a change that is to be sent. Nothing is decided here: a woken object's
//! pass begins with what the list showed, and asks the secret itself before it acts.

mod turns;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use kube::{Resource as _, ResourceExt as _};
use kube_runtime::reflector::ObjectRef;
use tokio::sync::mpsc::UnboundedReceiver;

pub use self::turns::Sweeps;
use crate::{
    api::VaultSecret,
    connections::Credential,
    context::Context,
    fair::Member as _,
    nairi::Class,
    reconcile::{
        compare::{Listing, compare},
        resolve,
    },
    vaults::{Listed, VaultId},
};

/// How soon a vault is tried again whose key has no slot to spare.
const MOMENT: Duration = Duration::from_millis(200);

/// How soon a vault is tried again with whose key nothing may be sent now.
const AT_CLOSED_GATE: Duration = Duration::from_secs(5);

/// The objects in each vault in use.
type Users = HashMap<VaultId, Vec<ObjectRef<VaultSecret>>>;

/// Sweeps until the process ends. `lists` brings every list that ended.
pub async fn sweep(ctx: Arc<Context>, mut lists: UnboundedReceiver<Listed>) -> &'static str {
    let (mut users, mut look_around) = (Users::new(), Instant::now());
    // At first the keys come in one by one.
    let mut pause = MOMENT;
    loop {
        let now = Instant::now();
        if look_around <= now {
            users = in_use(&ctx);
            ctx.sweeps
                .in_use(|vault| users.contains_key(vault), users.keys(), now);
            look_around = now + pause;
            pause = (2 * pause).min(ctx.sweeps.interval() / 4);
        }
        let mut next = look_around;
        for vault in ctx.sweeps.due(now) {
            match begin(&ctx, &users, &vault) {
                Begun::Yes => ctx.sweeps.begun(&vault, now),
                Begun::NoSlot => next = next.min(now + MOMENT),
                Begun::Closed => ctx.sweeps.postpone(&vault, now + AT_CLOSED_GATE),
            }
        }
        let next = ctx.sweeps.next(now).map_or(next, |due| next.min(due));
        tokio::select! {
            listed = lists.recv() => match listed {
                Some(listed) => heed(&ctx, &users, &listed),
                None => return "the lists",
            },
            () = tokio::time::sleep_until(next.into()) => {}
        }
    }
}

/// Walks all objects: not to be done more than a few times an interval.
fn in_use(ctx: &Context) -> Users {
    let mut users = Users::new();
    for object in ctx.stores.objects.state() {
        if let Some(credential) = usable(ctx, &object) {
            let vault = (credential.gate.key_id(), object.spec.vault_id.clone());
            users
                .entry(vault)
                .or_default()
                .push(ObjectRef::from_obj(&object));
        }
    }
    users
}

/// The key that `object` may use, if it is to be looked after and has one.
fn usable(ctx: &Context, object: &VaultSecret) -> Option<Credential> {
    if object.spec.suspend || object.meta().deletion_timestamp.is_some() {
        return None;
    }
    resolve::usable_key(ctx, object)
}

/// The object and its key, if it may still use this vault.
fn user(
    ctx: &Context,
    vault: &VaultId,
    key: &ObjectRef<VaultSecret>,
) -> Option<(Arc<VaultSecret>, Credential)> {
    let object = ctx.stores.objects.get(key)?;
    let credential = usable(ctx, &object)?;
    let (key_id, vault_id) = vault;
    (credential.gate.key_id() == *key_id && object.spec.vault_id == *vault_id)
        .then_some((object, credential))
}

/// Whether a vault's list began.
enum Begun {
    Yes,
    /// The key has no slot to spare.
    NoSlot,
    /// Nothing may be sent with the key now.
    Closed,
}

/// Begins to list a vault, in the name of one of its users: permission may have ended since the objects were walked.
fn begin(ctx: &Context, users: &Users, vault: &VaultId) -> Begun {
    let (now, mut closed) = (Instant::now(), false);
    // What stands in the way of one namespace is nothing to the next: one that keeps the key busy all the time must not
    // keep a vault that it shares from being listed.
    let mut tried = HashSet::new();
    let mut slotless = false;
    for key in users.get(vault).into_iter().flatten() {
        if tried.contains(key.group()) {
            continue;
        }
        let Some((_, credential)) = user(ctx, vault, key) else {
            continue;
        };
        if credential.gate.is_closed(now) {
            return Begun::Closed;
        }
        tried.insert(key.group());
        if credential.gate.is_closed_to(key, now) {
            closed = true;
        } else if let Some(permit) = credential.gate.spare(key, now) {
            ctx.vaults.sweep(credential, &vault.1, permit);
            return Begun::Yes;
        } else {
            slotless = true;
        }
    }
    match (slotless, closed) {
        (true, _) => Begun::NoSlot,
        (false, true) => Begun::Closed,
        (false, false) => Begun::Yes,
    }
}

/// Takes over what a list showed, or that it failed.
fn heed(ctx: &Context, users: &Users, listed: &Listed) {
    let Listed {
        vault,
        swept,
        began,
        outcome,
    } = listed;
    match outcome {
        Ok((secrets, gaps)) => {
            ctx.sweeps.succeeded(vault, *swept, *began, Instant::now());
            wake_diverging(ctx, users, vault, &Listing::new(*began, secrets, gaps));
        }
        Err(class) => {
            ctx.sweeps.failed(vault, *swept, *class, Instant::now());
            if *swept && matches!(class, Class::Transient | Class::InvalidResponse) {
                ctx.connections.doubt(vault.0);
            }
        }
    }
}

fn wake_diverging(ctx: &Context, users: &Users, vault: &VaultId, listing: &Listing<'_>) {
    for key in users.get(vault).into_iter().flatten() {
        // In this order, as in a pass: what gave way in the ledger is in the store by then.
        let Some(uid) = ctx.stores.objects.get(key).and_then(|object| object.uid()) else {
            continue;
        };
        let entry = ctx.ledger.entry(&uid);
        let Some((object, _)) =
            user(ctx, vault, key).filter(|(now, _)| now.uid().as_ref() == Some(&uid))
        else {
            continue;
        };
        let status = entry.status(&object);
        let hint = compare(&object, &status, &entry, listing, Instant::now());
        // One that waits is woken by what it waits for, such as this list; by the next sweep if by nothing else.
        let wakes = hint.is_some() && (entry.waiting.is_none() || entry.hint.is_some());
        ctx.ledger.hint(&uid, hint);
        if wakes {
            ctx.queues.objects.wake(key.clone());
        }
    }
}
