//! Where the object stands among those that mean the same remote secret.

use kube_runtime::reflector::ObjectRef;

use super::Pass;
use crate::{
    api::VaultSecret,
    claims::{Standing, Subject, Turn},
    connections::Credential,
    context::Context,
    reconcile::{
        claiming,
        desired::Desired,
        plan::{Claim, Observed},
        resolve,
        verdict::Verdict,
    },
};

/// Whether the claim of another object counts now: it is there, permitted, and if it is being deleted not done yet.
pub(super) fn counts(ctx: &Context, other: &ObjectRef<VaultSecret>) -> bool {
    ctx.stores.objects.get(other).is_some_and(|object| {
        claiming::stays(&object) && resolve::permitted(&ctx.stores, &object).is_ok()
    })
}

impl Pass<'_> {
    /// Where the object stands now.
    pub(super) fn claim(&self) -> Claim {
        let counts = |other: &ObjectRef<VaultSecret>| counts(self.ctx, other);
        match self.ctx.claims.standing(self.uid, counts) {
            Standing::Unproven => Claim::Unproven,
            Standing::Holds => Claim::Held,
            Standing::Waits(holder) => Claim::Lost {
                to: (holder.namespace == self.key.namespace).then_some(holder.name),
            },
        }
    }

    /// The API showed something through the object's connection: what it may claim by that.
    pub(super) fn shown(&self, desired: &Desired, observed: &Observed) {
        claiming::by_what_was_shown(desired, observed).enter(&self.ctx.claims, self.object);
        // One that means something else by now, or is gone, has lapsed already, and the watch won't say so again.
        let now = self.ctx.stores.objects.get(self.key);
        if now.is_none_or(|now| !claiming::means_the_same(self.object, &now)) {
            self.ctx.claims.lapse(self.uid);
        }
    }

    /// The API says to the holder of this key that `subject` is gone.
    pub(super) fn vanished(&self, credential: &Credential, subject: &Subject) {
        let ctx = self.ctx;
        let told = |other: &ObjectRef<VaultSecret>| {
            let object = ctx.stores.objects.get(other);
            object.is_some_and(|it| resolve::may_use_key(ctx, &it, credential.gate.key_id()))
        };
        ctx.claims.vanished(self.uid, subject, told);
    }

    /// The right to send one write to `subject`.
    pub(super) fn turn(&self, subject: Subject) -> Result<Turn, Verdict> {
        self.ctx
            .claims
            .begin(self.key, subject)
            // What was listed before the other one is done says nothing.
            .map_err(|_| Verdict::Outdated)
    }
}
