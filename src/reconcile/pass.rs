//! One pass: asks `plan` for the next step and takes it, until nothing is left to do.

mod admit;
mod claim;
mod create;
mod hold;
mod look;
mod part;

use std::time::Instant;

use kube::ResourceExt as _;
use kube_runtime::reflector::ObjectRef;
use secrecy::SecretString;
use tracing::info;

use super::{
    apply::{self, Content, Note, Request},
    claiming,
    desired::{Desired, Target, Value},
    dry_run, failure,
    fields::Fields,
    observe,
    plan::{self, Change, Observed, Plan, Remote},
    record::Confirmed,
    resolve, status,
    verdict::{Refusal, Retry, Verdict},
};
use crate::{
    api::{ManagedField, Reason, VaultSecret, VaultSecretStatus},
    connections::{ConnectionId, Credential},
    context::Context,
    ledger::{Entry, Ledger},
    nairi::{self, Class, KeyId, Permit},
};

/// More steps than any object needs: look, read, ask, patch, and patch what the answer showed.
pub(super) const MOST_STEPS: usize = 10;

const KEEPS_CHANGING: &str =
    "The secret in Nairi keeps changing while it is being written. It is tried again.";

/// One pass along the straight line.
pub(super) struct Pass<'a> {
    pub(super) ctx: &'a Context,
    pub(super) object: &'a VaultSecret,
    pub(super) key: &'a ObjectRef<VaultSecret>,
    pub(super) uid: &'a str,
    pub(super) entry: &'a Entry,
    pub(super) due: Instant,
    /// When the secret was last looked for in its vault's list.
    pub(super) looked: Instant,
    pub(super) permit: Option<Permit<ObjectRef<VaultSecret>>>,
    /// The key at whose gate the object waits for a slot.
    pub(super) queues_at: Option<KeyId>,
    /// The version of the Secret the value was read from.
    pub(super) read: Option<String>,
    /// What the API confirmed in this pass.
    pub(super) confirmed: Option<Confirmed>,
    pub(super) notes: Vec<Note>,
}

impl Pass<'_> {
    pub(super) async fn run(&mut self, status: &VaultSecretStatus) -> Verdict {
        let (Ok(verdict) | Err(verdict)) = self.steps(status).await;
        if self.ctx.settings.dry_run {
            return dry_run::unrecorded(verdict, status);
        }
        verdict
    }

    async fn steps(&mut self, status: &VaultSecretStatus) -> Result<Verdict, Verdict> {
        let (ctx, object) = (self.ctx, self.object);
        let permitted = resolve::permitted(&ctx.stores, object);
        ctx.claims.permitted(self.uid, permitted.is_ok());
        if permitted.is_err() {
            ctx.ledger.unwatched(self.uid);
        }
        self.let_go_of_what_stays(status).await?;
        if object.spec.suspend {
            return Ok(Verdict::Suspended);
        }
        let connection = permitted.map_err(Refusal::verdict)?;
        ctx.ledger.begins(self.uid);
        let mut desired = Desired::from_spec(&object.spec).map_err(Refusal::verdict)?;
        let source = ctx.stores.source_version(object);
        let mut observed =
            observe::recorded(object, &desired, status, self.entry, source.as_deref());
        self.shown(&desired, &observed);
        if ctx.settings.dry_run {
            dry_run::begin(&mut observed, &desired, status);
        }
        for _ in 0..MOST_STEPS {
            observed.claim = self.claim();
            let step = plan::plan(&desired, &observed);
            self.unless_dry_run(&step, &connection)?;
            let requested = observed.requested(&desired);
            match step {
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
                Plan::Refuse(refusal) => {
                    ctx.ledger.told(self.uid);
                    return Err(self.blocked(refusal, Fields::NONE));
                }
                Plan::Hold => {
                    self.hold(status, true)
                        .await
                        .map_err(|verdict| self.unless_in_sync(status, requested, verdict))?;
                    observed.held = true;
                }
                Plan::ReadSource => {
                    let value = self.read_source(&connection).await?;
                    observed.evidence =
                        observe::evidence(&ctx.fingerprints, object, &observed, &value);
                    desired.value = Value::Read(value);
                }
                Plan::Look => {
                    self.find(&connection, &desired, &mut observed)
                        .map_err(|verdict| self.unless_in_sync(status, requested, verdict))?;
                }
                Plan::ReadRemote { .. } if ctx.settings.dry_run => {
                    self.find(&connection, &desired, &mut observed)
                        .map_err(|verdict| self.unless_in_sync(status, requested, verdict))?;
                }
                Plan::ReadRemote { secret_id } => {
                    self.ask(&connection, &desired, &mut observed, &secret_id)
                        .await
                        .map_err(|verdict| self.unless_in_sync(status, requested, verdict))?;
                }
                Plan::Create {
                    env_key,
                    allowed_domains,
                } => {
                    self.create(
                        &connection,
                        &desired,
                        &mut observed,
                        env_key,
                        allowed_domains,
                    )
                    .await?;
                }
                Plan::Patch(change) => {
                    self.patch(&connection, &desired, &mut observed, change)
                        .await?;
                }
            }
        }
        Err(self.blocked(
            Refusal::new(Reason::ApiUnavailable, KEEPS_CHANGING).retried(Retry::Backoff),
            Fields::NONE,
        ))
    }

    /// Every step is shown here before it is taken: one that would change anything in Nairi ends a dry run.
    fn unless_dry_run(&mut self, step: &Plan, connection: &ConnectionId) -> Result<(), Verdict> {
        if !self.ctx.settings.dry_run {
            return Ok(());
        }
        let Some((pending, verdict)) = dry_run::instead(step, self.ctx.settings.resync_interval)
        else {
            return Ok(());
        };
        self.admitted(connection, pending)?;
        self.current()?;
        Err(verdict)
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

    async fn patch(
        &mut self,
        connection: &ConnectionId,
        desired: &Desired,
        observed: &mut Observed,
        change: Change,
    ) -> Result<(), Verdict> {
        let fields = change.fields;
        let credential = self.admitted(connection, fields)?;
        let _turn = self.turn(claiming::secret(self.object, &change.secret_id))?;
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
                self.log_sent(&secret_id, fields);
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

    /// One line for each PATCH that changed something: status keeps the last one only.
    fn log_sent(&self, secret: &str, fields: Fields) {
        let names: Vec<_> = fields
            .names()
            .into_iter()
            .map(ManagedField::as_str)
            .collect();
        info!(
            namespace = self.object.namespace(),
            name = self.object.name_any(),
            vault = self.object.spec.vault_id,
            secret,
            fields = names.join(","),
            "sent to Nairi"
        );
    }

    /// The API says that the secret is gone.
    fn gone(&self, credential: &Credential, secret_id: &str) -> Verdict {
        let ctx = self.ctx;
        (ctx.vaults).gone(credential, &self.object.spec.vault_id, secret_id);
        self.vanished(credential, &claiming::secret(self.object, secret_id));
        let (named, again) = (Target::of(&self.object.spec), self.entry.unbound);
        let verdict = no_more(&ctx.ledger, self.uid, &named, again);
        if matches!(verdict, Verdict::Waiting) {
            ctx.queues.objects.wake(self.key.clone());
        }
        verdict
    }

    /// The record of an object in sync. The source's version is refreshed only where status is written anyway.
    fn settle(&self, mut confirmed: Confirmed, status: &VaultSecretStatus) -> Confirmed {
        if let Some(version) = &self.read {
            self.ctx.ledger.checked(self.uid, version);
            if self.confirmed.is_some()
                || status::is_news(status, self.object.metadata.generation, Reason::Synced)
            {
                confirmed.source_version = Some(version.clone());
            }
        }
        confirmed
    }

    /// A question that could not be asked or answered makes nothing of an object that was in sync, unless somebody
    /// waits for what was `requested`.
    fn unless_in_sync(
        &self,
        status: &VaultSecretStatus,
        requested: Fields,
        verdict: Verdict,
    ) -> Verdict {
        if self.entry.unbound {
            // The API said that its secret is gone.
            return verdict;
        }
        status::unless_in_sync(status, self.object.metadata.generation, requested, verdict)
    }

    fn request<'a>(&'a self, credential: &'a Credential) -> Request<'a> {
        Request {
            object: self.key,
            uid: self.uid,
            vault_id: &self.object.spec.vault_id,
            credential,
            due: self.due,
        }
    }

    fn failure(&self, error: &nairi::Error) -> Refusal {
        let spec = &self.object.spec;
        failure::refusal(error, &spec.vault_id, &spec.connection_ref, Instant::now())
    }

    fn blocked(&self, refusal: Refusal, pending: Fields) -> Verdict {
        Verdict::Blocked {
            refusal,
            pending,
            confirmed: self.confirmed.clone(),
        }
    }
}

/// Whether `now` is the object that `then` was, and declares the same.
pub(super) fn same_declaration(then: &VaultSecret, now: &VaultSecret) -> bool {
    let (then, now) = (&then.metadata, &now.metadata);
    then.uid == now.uid && then.generation == now.generation
}

/// The verdict about a secret that the API says is gone. One that was found by its environment key is looked for
/// again, once (`again`: that was done); one that was named by its id has to be named anew, or come back.
pub(super) fn no_more(ledger: &Ledger, uid: &str, target: &Target, again: bool) -> Verdict {
    if target.secret_id.is_none() && !again {
        ledger.unbound(uid, true);
        return Verdict::Waiting;
    }
    plan::not_found(target, &Remote::Absent).verdict()
}
