//! The pass of an object that is being deleted: its remote secret first, then our finalizer.

use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use kube_runtime::{events::EventType, reflector::ObjectRef};
use tracing::{info, warn};

use super::{Pass, claim::counts, same_declaration};
use crate::{
    api::{CreationPolicy, EventReason, Reason, VaultSecret, VaultSecretStatus},
    connections::{ConnectionId, Credential, Known},
    context::Context,
    grants,
    nairi::{Class, KeyId},
    reconcile::{
        apply, claiming, dry_run,
        fields::Fields,
        finalizer,
        plan::{
            Claim,
            parting::{self, Farewell, Heir, Key, Parting, Permission, Why},
        },
        resolve,
        status::ready_reason,
        verdict::{Refusal, Retry, Verdict},
    },
};

/// How often it is asked whether it did.
const ASK_HEIR: Duration = Duration::from_secs(1);

/// How often a key that was refused is looked at again where nothing tells of the cure.
const LOOK_AT_KEY: Duration = Duration::from_mins(1);

/// What there is to delete a remote secret with.
struct Means {
    permission: Permission,
    credential: Option<Credential>,
    key: Key,
}

impl Pass<'_> {
    /// Sees to what `deletionPolicy` asks for, and lets the object go.
    pub(crate) async fn part(&mut self, status: &VaultSecretStatus) -> Verdict {
        match self.steps_apart(status).await {
            Ok(verdict) | Err(verdict) => verdict,
        }
    }

    async fn steps_apart(&mut self, status: &VaultSecretStatus) -> Result<Verdict, Verdict> {
        let (gone, claims) = (self.entry.unbound, self.ctx.claims.subject(self.uid));
        let status = &claiming::inherited(self.object, status, gone, claims);
        // Again where the API refuses the key just then, or the heir leaves.
        for _ in 0..3 {
            let means = self.means();
            let known = self.parting(status, &means);
            let farewell = parting::parting(&known);
            self.part_unless_dry_run(&farewell)?;
            match (farewell, &means.credential) {
                (Farewell::Release(why), _) => {
                    if why != Why::HandedOver || self.hands_over(&known) {
                        return self.release(status, why).await;
                    }
                }
                (Farewell::AwaitHeir, _) => {
                    return Err(Verdict::Unchecked(Retry::Every(ASK_HEIR)));
                }
                // Its check wakes the object.
                (Farewell::AwaitCheck, _) => return Err(Verdict::Waiting),
                (Farewell::AwaitKey(key, left), _) => {
                    return Err(self.keyless(status, key, left));
                }
                (Farewell::Delete { secret_id }, Some(credential)) => {
                    match self.delete(credential, status, &secret_id).await? {
                        Deleted::Yes => return self.deleted(status, &secret_id).await,
                        Deleted::KeyRefused => {}
                    }
                }
                (Farewell::Delete { .. }, None) => return Err(Verdict::Outdated),
            }
        }
        Err(Verdict::Unchecked(Retry::Backoff))
    }

    /// Gives the claim up to another claimant, if that is there still.
    fn hands_over(&self, known: &Parting) -> bool {
        if known.claim != Claim::Held || known.heir != Heir::Claims {
            return true;
        }
        let (ctx, uid) = (self.ctx, self.uid);
        let given = ctx.claims.bequeath(uid, |other| stays(ctx, other));
        if given {
            ctx.ledger.unbound(uid, true);
        }
        given
    }

    /// Every farewell is shown here before it is said: one that would change anything ends a dry run.
    fn part_unless_dry_run(&self, farewell: &Farewell) -> Result<(), Verdict> {
        let settings = &self.ctx.settings;
        match dry_run::instead_of_parting(farewell, settings.resync_interval) {
            Some(verdict) if settings.dry_run => Err(verdict),
            _ => Ok(()),
        }
    }

    /// What there is to delete with: also the key of a connection that went first.
    fn means(&self) -> Means {
        let (ctx, object) = (self.ctx, self.object);
        let namespace = object.namespace().unwrap_or_default();
        let id = ConnectionId::of(&object.spec.connection_ref, &namespace);
        let last = ctx.connections.last(&id);
        let permitted = resolve::permitted(&ctx.stores, object);
        let gone =
            matches!(&permitted, Err(refusal) if refusal.reason == Reason::ConnectionNotFound);
        let permission = match (&permitted, &last) {
            (Ok(_), _) => Permission::Granted,
            (Err(_), Some(_)) if gone => self.permission_left(&id, &namespace),
            (Err(_), None) if gone => Permission::Unknown,
            (Err(_), _) => Permission::Denied,
        };
        let known = resolve::known(ctx, &id);
        let unchecked = known.is_none() && !gone;
        let credential = match known {
            Some(Known::Usable(credential)) => Some(credential),
            Some(Known::Unusable(_)) => last,
            None if gone => last,
            None => None,
        };
        let key = match &credential {
            None if unchecked => Key::Unchecked,
            None => Key::Missing,
            Some(credential) if credential.gate.is_refused() => Key::Refused,
            Some(_) => Key::Usable,
        };
        Means {
            permission,
            credential,
            key,
        }
    }

    /// What a connection that is gone lets the object do still.
    fn permission_left(&self, id: &ConnectionId, namespace: &str) -> Permission {
        let ctx = self.ctx;
        match (ctx.connections.last_grants(id), id) {
            (Some(grants), _) => {
                let labels = ctx.stores.labels(namespace);
                let vault_id = &self.object.spec.vault_id;
                if grants::permit(&grants, namespace, labels.as_ref(), vault_id) {
                    Permission::Granted
                } else {
                    Permission::Denied
                }
            }
            (None, ConnectionId::Namespaced { .. }) => Permission::Granted,
            // It went just now, and what it granted is about to be noted.
            (None, ConnectionId::Cluster { .. }) => Permission::Unknown,
        }
    }

    fn parting(&self, status: &VaultSecretStatus, means: &Means) -> Parting {
        let (ctx, spec) = (self.ctx, &self.object.spec);
        let lacking = matches!(means.key, Key::Missing | Key::Refused)
            || means.permission == Permission::Unknown;
        let key_id = means.credential.as_ref().map(|key| key.gate.key_id());
        Parting {
            policy: spec.deletion_policy,
            suspended: spec.suspend,
            secret_id: status.secret_id.clone(),
            creating: self.may_have_created(status),
            permission: means.permission,
            claim: self.claim(),
            heir: self.heir(status, key_id),
            key: means.key,
            keyless: self.keyless_for(status, lacking),
            grace: ctx.settings.deletion_grace,
        }
    }

    /// Whether a secret may have been created that nobody knows of: by this process, or by one before it that ended
    /// before it could say anything.
    fn may_have_created(&self, status: &VaultSecretStatus) -> bool {
        let creates = self.object.spec.creation_policy == CreationPolicy::IfMissing;
        let unsaid = ready_reason(status).is_none();
        creates && self.entry.creating.unwrap_or(unsaid)
    }

    /// For how long there has been no key; where a process before this one said so, since the deletion.
    fn keyless_for(&self, status: &VaultSecretStatus, lacking: bool) -> Duration {
        let said = ready_reason(status) == Some(Reason::DeletionBlocked);
        let already = if said {
            self.leaving_for()
        } else {
            Duration::ZERO
        };
        let lacking = lacking.then_some(already);
        self.ctx.ledger.keyless(self.uid, lacking, Instant::now())
    }

    /// For how long the object has been waiting for its end.
    fn leaving_for(&self) -> Duration {
        let since = self.object.metadata.deletion_timestamp.as_ref();
        since
            .and_then(|since| Duration::try_from(Timestamp::now().duration_since(since.0)).ok())
            .unwrap_or_default()
    }

    /// Whether another object is there for the secret.
    fn heir(&self, status: &VaultSecretStatus, key: Option<KeyId>) -> Heir {
        let ctx = self.ctx;
        let awaited = ctx.claims.is_awaited(self.uid, |other| stays(ctx, other));
        let names_it = |other: &VaultSecret| claiming::names_the_same(other, self.object, status);
        let others = ctx.stores.objects.state_filter(names_it);
        let same_keys = others.iter().filter_map(|other| {
            resolve::permitted(&ctx.stores, other).ok()?;
            Some(key.is_some_and(|key| resolve::may_use_key(ctx, other, key)))
        });
        let leaving = ctx.ledger.leaving(self.uid, Instant::now());
        parting::heir(awaited, same_keys, leaving)
    }

    async fn delete(
        &mut self,
        credential: &Credential,
        status: &VaultSecretStatus,
        secret_id: &str,
    ) -> Result<Deleted, Verdict> {
        if let Err(verdict) = self.admit(credential, Fields::NONE) {
            // One that was refused just now: the grace begins here as well.
            let refused = credential.gate.is_refused();
            return if refused {
                Ok(Deleted::KeyRefused)
            } else {
                Err(verdict)
            };
        }
        let subject = claiming::secret(self.object, secret_id);
        let _turn = self.turn(subject.clone())?;
        self.still_leaving(status, secret_id)?;
        match apply::delete(self.ctx, self.request(credential), secret_id).await {
            Ok(()) => {
                self.vanished(credential, &subject);
                self.ctx.ledger.unbound(self.uid, true);
                Ok(Deleted::Yes)
            }
            Err(error) if error.class() == Class::Unauthorized => Ok(Deleted::KeyRefused),
            Err(error) if error.class() == Class::Rejected => {
                let message = format!(
                    "Nairi refuses to delete the secret {secret_id}: {error}. It is tried again every hour; set deletionPolicy: Retain to leave the secret where it is."
                );
                let refusal = Refusal::new(Reason::Rejected, message);
                let refusal = refusal.retried(self.failure(&error).retry);
                Err(self.blocked(refusal, Fields::NONE))
            }
            Err(error) => Err(self.blocked(self.failure(&error), Fields::NONE)),
        }
    }

    /// Checks, right before the secret is deleted, that nothing has been said against it meanwhile, and that nobody has
    /// turned up to take it over.
    fn still_leaving(&self, status: &VaultSecretStatus, secret_id: &str) -> Result<(), Verdict> {
        let now = self.ctx.stores.objects.get(self.key);
        let same = now.is_some_and(|now| same_declaration(self.object, &now));
        let known = self.parting(status, &self.means());
        if same && parting::parting(&known).deletes(secret_id) {
            Ok(())
        } else {
            // Not all that changes it wakes an object that leaves.
            Err(Verdict::Unchecked(Retry::AfterConflict))
        }
    }

    async fn deleted(
        &self,
        status: &VaultSecretStatus,
        secret_id: &str,
    ) -> Result<Verdict, Verdict> {
        let note = format!("Deleted the secret in Nairi: {secret_id}.");
        info!(
            namespace = self.object.namespace(),
            name = self.object.name_any(),
            vault = self.object.spec.vault_id,
            secret = secret_id,
            "deleted the secret in Nairi"
        );
        self.tell(EventType::Normal, EventReason::Deleted, &note)
            .await;
        self.hold(status, false).await?;
        Ok(Verdict::Released)
    }

    /// Lets the object go, and names what stays behind.
    async fn release(&self, status: &VaultSecretStatus, why: Why) -> Result<Verdict, Verdict> {
        if finalizer::is_set(self.object) {
            self.hold(status, false).await?;
        }
        let spec = &self.object.spec;
        let (vault, secret) = (&spec.vault_id, status.secret_id.as_deref());
        let (namespace, name) = (self.object.namespace(), self.object.name_any());
        let cause = why.cause();
        if !why.leaves() {
            info!(namespace, name, vault, secret, cause, "released");
            return Ok(Verdict::Released);
        }
        let env_key = status.env_key.as_ref().or(spec.env_key.as_ref());
        warn!(
            namespace,
            name, vault, secret, env_key, cause, "released; the secret stays in Nairi"
        );
        self.ctx.metrics.released();
        let env_key = env_key.map_or("", String::as_str);
        let secret = secret.map_or_else(String::new, |id| format!(" ({id})"));
        let note = format!(
            "Released without deleting the secret {env_key}{secret} in vault {vault}: {cause}. Delete it in Nairi if it is not needed any more."
        );
        self.tell(EventType::Warning, EventReason::Released, &note)
            .await;
        Ok(Verdict::Released)
    }

    async fn tell(&self, type_: EventType, reason: EventReason, note: &str) {
        let object = kube::Resource::object_ref(self.object, &());
        self.ctx
            .events
            .publish(object, type_, reason.as_str(), "Delete", note)
            .await;
    }

    /// There is no key to delete the secret with.
    fn keyless(&self, status: &VaultSecretStatus, key: Key, left: Option<Duration>) -> Verdict {
        let connection = &self.object.spec.connection_ref;
        let what = match key {
            Key::Missing => format!("{connection} has no API key"),
            Key::Usable | Key::Unchecked | Key::Refused => {
                format!("Nairi refuses the API key of {connection} (HTTP 401)")
            }
        };
        let then = if left.is_some() {
            "; without one this object is released after --deletion-grace, and the secret stays in Nairi"
        } else {
            ""
        };
        let secret = status.secret_id.as_deref().unwrap_or_default();
        let message = format!(
            "The secret {secret} in Nairi can't be deleted, as {what}: give the connection a valid one, or set deletionPolicy: Retain to leave the secret where it is{then}."
        );
        let now = Instant::now();
        let retry = match left {
            Some(left) => Retry::At(now + left.min(LOOK_AT_KEY)),
            None => Retry::Every(LOOK_AT_KEY),
        };
        self.blocked(
            Refusal::new(Reason::DeletionBlocked, message).retried(retry),
            Fields::NONE,
        )
    }
}

/// Whether the other claimant is one to take the secret over: it counts, and is not being deleted itself.
fn stays(ctx: &Context, other: &ObjectRef<VaultSecret>) -> bool {
    let object = ctx.stores.objects.get(other);
    object.is_some_and(|it| it.metadata.deletion_timestamp.is_none()) && counts(ctx, other)
}

/// What became of a DELETE.
enum Deleted {
    Yes,
    KeyRefused,
}
