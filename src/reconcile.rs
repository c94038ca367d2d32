//! The driver: one object, from being due to a true status.
//!
//! The steps, each a file: `resolve` follows references, `desired` reads the declaration, `observe` says what
//! is known, `plan` decides on one next step, `apply` does it, until nothing is left; `status` says how it
//! ended. `desired`, `observe`, `plan`, `record`, `verdict` and `failure` are pure.

pub mod apply;
pub mod desired;
pub mod failure;
pub mod fields;
pub mod observe;
pub mod plan;
pub mod record;
pub mod resolve;
pub mod status;
pub mod verdict;

mod conclude;
#[cfg(test)]
mod model;

use std::{sync::Arc, time::Instant};

use kube::{Resource as _, ResourceExt as _};
use kube_runtime::{
    controller::Action,
    reflector::{ObjectRef, Store},
};
use secrecy::SecretString;
use tracing::debug;

use self::{
    apply::{Content, Note, Request},
    desired::{Desired, Value},
    fields::Fields,
    plan::{Change, Observed, Plan, Remote},
    record::Confirmed,
    verdict::{Refusal, Retry, Verdict},
};
use crate::{
    api::{Reason, VaultSecret, VaultSecretStatus},
    connections::{ConnectionId, Credential},
    context::Context,
    ledger::{Entry, Ledger},
    nairi::{Admission, Class, Permit, RemoteSecret},
    vaults::Look,
};

/// More steps than any object needs: look, read, ask, patch, and patch what the answer showed.
const MOST_STEPS: usize = 10;

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
    if object.meta().deletion_timestamp.is_some() {
        return Action::await_change();
    }
    let generation = object.metadata.generation;
    // What was listed before a change of the declaration says nothing about what it names now.
    let due = if entry.waiting.is_some_and(|then| Some(then) != generation) {
        began
    } else {
        due
    };
    let previous = match &entry.latest {
        Some(latest) => latest.status.clone(),
        None => object.status.clone().unwrap_or_default(),
    };
    let mut pass = Pass {
        ctx: &ctx,
        object: &object,
        key: &key,
        uid: &uid,
        entry: &entry,
        due,
        permit: None,
        read: None,
        confirmed: None,
        notes: Vec::new(),
    };
    let verdict = tokio::time::timeout(ctx.settings.reconcile_timeout, pass.run(&previous))
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
        confirmed,
        notes,
        ..
    } = pass;
    drop(permit);
    conclude::remember_unsaid(&ctx.ledger, &uid, &previous, &verdict, confirmed.as_ref());
    debug!(
        namespace = object.namespace(),
        name = object.name_any(),
        ?verdict,
        "reconciled"
    );
    let waiting = matches!(verdict, Verdict::Waiting);
    ctx.ledger.waiting(&uid, generation.filter(|_| waiting));
    if waiting {
        ctx.queues.objects.keep(&key, due);
    }
    let action = conclude::conclude(&ctx, &object, &uid, &previous, &verdict, &notes).await;
    if ctx.stores.objects.get(&key).is_none() {
        // It went away meanwhile, and the watch has nothing more to say of it.
        ctx.forget(&key, &uid);
    }
    ctx.metrics.reconciled(&verdict, began.elapsed());
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

/// One pass along the straight line.
struct Pass<'a> {
    ctx: &'a Context,
    object: &'a VaultSecret,
    key: &'a ObjectRef<VaultSecret>,
    uid: &'a str,
    entry: &'a Entry,
    due: Instant,
    permit: Option<Permit<ObjectRef<VaultSecret>>>,
    /// The version of the Secret the value was read from.
    read: Option<String>,
    /// What the API confirmed in this pass.
    confirmed: Option<Confirmed>,
    notes: Vec<Note>,
}

impl Pass<'_> {
    async fn run(&mut self, status: &VaultSecretStatus) -> Verdict {
        if self.object.spec.suspend {
            return Verdict::Suspended;
        }
        match self.steps(status).await {
            Ok(verdict) | Err(verdict) => verdict,
        }
    }

    async fn steps(&mut self, status: &VaultSecretStatus) -> Result<Verdict, Verdict> {
        let (ctx, object) = (self.ctx, self.object);
        let connection = resolve::permitted(&ctx.stores, object).map_err(Refusal::verdict)?;
        let mut desired = Desired::from_spec(&object.spec).map_err(Refusal::verdict)?;
        let source = ctx.stores.source_version(object);
        let mut observed =
            observe::recorded(object, &desired, status, self.entry, source.as_deref());
        for _ in 0..MOST_STEPS {
            match plan::plan(&desired, &observed, ctx.settings.resync_interval) {
                Plan::Settled(confirmed) => {
                    return Ok(Verdict::Synced(self.settle(confirmed, status)));
                }
                Plan::Report {
                    confirmed,
                    drift,
                    pending,
                } => {
                    return Ok(Verdict::Drifted {
                        confirmed,
                        drift,
                        pending,
                    });
                }
                Plan::Refuse(refusal) => return Err(refusal.verdict()),
                Plan::ReadSource => {
                    let value = self.read_source(&connection).await?;
                    observed.evidence =
                        observe::evidence(&ctx.fingerprints, object, &observed, &value);
                    desired.value = Value::Read(value);
                }
                Plan::Look => {
                    observed.remote = self
                        .look(&connection, &desired, &observed)
                        .map_err(|verdict| self.unless_in_sync(status, verdict))?;
                }
                Plan::ReadRemote { secret_id } => {
                    let answer = self
                        .read_remote(&connection, &secret_id)
                        .await
                        .map_err(|verdict| self.unless_in_sync(status, verdict))?;
                    if observed.saw(&desired, answer) {
                        self.confirmed.clone_from(&observed.confirmed);
                    }
                }
                Plan::Patch(change) => {
                    self.patch(&connection, &desired, &mut observed, change)
                        .await?;
                }
            }
        }
        let message =
            "The secret in Nairi keeps changing while it is being written. It is tried again.";
        Err(self.blocked(
            Refusal::new(Reason::ApiUnavailable, message).retried(Retry::Backoff),
            Fields::NONE,
        ))
    }

    /// Reads the value. An open gate whose slots are all taken is waited for first, so that the value is
    /// read when it can be sent; at a closed one it may still turn out that there is nothing to send.
    async fn read_source(&mut self, connection: &ConnectionId) -> Result<SecretString, Verdict> {
        if let Ok(credential) = resolve::credential(self.ctx, connection)
            && let Err(verdict @ Verdict::Waiting) = self.admit(&credential, Fields::NONE)
        {
            return Err(verdict);
        }
        let (value, version) = resolve::value(self.ctx, self.object)
            .await
            .map_err(|refusal| self.blocked(refusal, Fields::NONE))?;
        self.read = Some(version);
        Ok(value)
    }

    fn look(
        &mut self,
        connection: &ConnectionId,
        desired: &Desired,
        observed: &Observed,
    ) -> Result<Remote, Verdict> {
        let credential = self.admitted(connection, Fields::NONE)?;
        let bound = observed
            .confirmed
            .as_ref()
            .map(|confirmed| confirmed.secret_id.as_str());
        match self.ctx.vaults.look(
            &credential,
            &mut self.permit,
            &desired.target,
            bound,
            (self.key, self.due),
        ) {
            Look::Shown(remote) => Ok(remote),
            Look::Awaited => Err(Verdict::Waiting),
            Look::Failed(error) => Err(self.blocked(self.failure(&error), Fields::NONE)),
        }
    }

    async fn read_remote(
        &mut self,
        connection: &ConnectionId,
        secret_id: &str,
    ) -> Result<RemoteSecret, Verdict> {
        let credential = self.admitted(connection, Fields::NONE)?;
        self.current()?;
        match apply::read(self.ctx, self.request(&credential), secret_id).await {
            Ok(secret) => Ok(secret),
            Err(error) if error.class() == Class::NotFound => {
                Err(self.gone(&credential, secret_id))
            }
            Err(error) => Err(self.blocked(self.failure(&error), Fields::NONE)),
        }
    }

    async fn patch(
        &mut self,
        connection: &ConnectionId,
        desired: &Desired,
        observed: &mut Observed,
        change: Change,
    ) -> Result<(), Verdict> {
        let fields = change.fields;
        let credential = self.admitted(connection, fields)?;
        self.current()?;
        let value = match (&desired.value, &self.read) {
            (Value::Read(value), Some(version)) => {
                let fingerprint = observe::fingerprint(
                    &self.ctx.fingerprints,
                    self.object,
                    &change.secret_id,
                    value,
                );
                Some((value, fingerprint, version.clone()))
            }
            _ => None,
        };
        let content = Content {
            value,
            allowed_domains: desired.allowed_domains.as_ref(),
        };
        let secret_id = change.secret_id.clone();
        match apply::patch(self.ctx, self.request(&credential), change, content).await {
            Ok(applied) => {
                self.notes.extend(applied.notes);
                self.confirmed = Some(applied.confirmed.clone());
                observed.patched(fields, applied.answer, applied.confirmed);
                Ok(())
            }
            Err(error) if error.class() == Class::NotFound => {
                Err(self.gone(&credential, &secret_id))
            }
            Err(error) => Err(self.blocked(self.failure(&error), fields)),
        }
    }

    /// The API says that the secret is gone. One that was found by its environment key is looked for again,
    /// once; one that was named by its id has to be named anew, or come back.
    fn gone(&self, credential: &Credential, secret_id: &str) -> Verdict {
        (self.ctx.vaults).gone(credential, &self.object.spec.vault_id, secret_id);
        if self.object.spec.secret_id.is_none() && !self.entry.unbound {
            self.ctx.ledger.unbound(self.uid, true);
            self.ctx.queues.objects.wake(self.key.clone());
            return Verdict::Waiting;
        }
        let message = format!(
            "The secret is gone from vault {}: create it again in Nairi, or correct spec.secretId.",
            self.object.spec.vault_id
        );
        let again = Retry::Every(self.ctx.settings.resync_interval);
        Refusal::new(Reason::RemoteNotFound, message)
            .retried(again)
            .unbound()
            .verdict()
    }

    /// The connection's key and a slot at its gate.
    fn admitted(
        &mut self,
        connection: &ConnectionId,
        pending: Fields,
    ) -> Result<Credential, Verdict> {
        let credential =
            resolve::credential(self.ctx, connection).map_err(|verdict| match verdict {
                Verdict::Blocked { refusal, .. } => self.blocked(refusal, pending),
                verdict => verdict,
            })?;
        self.admit(&credential, pending)?;
        Ok(credential)
    }

    fn admit(&mut self, credential: &Credential, pending: Fields) -> Result<(), Verdict> {
        if self
            .permit
            .as_ref()
            .is_some_and(|permit| permit.gate().key_id() == credential.gate.key_id())
        {
            return Ok(());
        }
        match credential.gate.admit(self.key, Instant::now()) {
            Admission::Pass(permit) => {
                self.permit = Some(permit);
                Ok(())
            }
            Admission::Full => Err(Verdict::Waiting),
            Admission::ClosedUntil(until) => Err(self.blocked(failure::throttled(until), pending)),
            Admission::Unauthorized => Err(self.blocked(failure::unauthorized(), pending)),
        }
    }

    /// Checks, right before something is sent, that the object is still the one we decided for, and permitted.
    fn current(&self) -> Result<(), Verdict> {
        let now = self.ctx.stores.objects.get(self.key);
        let same = now.is_some_and(|now| {
            let (then, now_meta) = (&self.object.metadata, &now.metadata);
            then.uid == now_meta.uid
                && then.generation == now_meta.generation
                && now_meta.deletion_timestamp.is_none()
                && resolve::permitted(&self.ctx.stores, &now).is_ok()
        });
        if same { Ok(()) } else { Err(Verdict::Outdated) }
    }

    /// The record of an object in sync. The source's version is refreshed only where status is written anyway.
    fn settle(&self, mut confirmed: Confirmed, status: &VaultSecretStatus) -> Confirmed {
        if let Some(version) = &self.read {
            self.ctx.ledger.checked(self.uid, version);
            if self.confirmed.is_some()
                || status.observed_generation != self.object.metadata.generation
            {
                confirmed.source_version = Some(version.clone());
            }
        }
        confirmed
    }

    /// A question that could not be asked or answered makes nothing of an object that was in sync.
    fn unless_in_sync(&self, status: &VaultSecretStatus, verdict: Verdict) -> Verdict {
        match verdict {
            Verdict::Blocked {
                refusal,
                pending: _,
                confirmed: None,
            } if !refusal.unbind => {
                status::unanswered(status, self.object.metadata.generation, refusal)
            }
            verdict => verdict,
        }
    }

    fn request<'a>(&'a self, credential: &'a Credential) -> Request<'a> {
        Request {
            uid: self.uid,
            vault_id: &self.object.spec.vault_id,
            credential,
            due: self.due,
        }
    }

    fn failure(&self, error: &crate::nairi::Error) -> Refusal {
        failure::refusal(
            error,
            &self.object.spec.vault_id,
            self.ctx.settings.resync_interval,
            Instant::now(),
        )
    }

    fn blocked(&self, refusal: Refusal, pending: Fields) -> Verdict {
        Verdict::Blocked {
            refusal,
            pending,
            confirmed: self.confirmed.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
