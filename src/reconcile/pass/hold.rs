//! Setting and removing the finalizer.

use super::Pass;
use crate::{
    api::{DeletionPolicy, Reason, VaultSecretStatus},
    reconcile::{
        fields::Fields,
        finalizer,
        verdict::{Refusal, Retry, Verdict},
    },
    source::brief,
};

impl Pass<'_> {
    /// An object whose remote secret stays has no need of our finalizer, whatever else is in its way.
    pub(super) async fn let_go_of_what_stays(
        &self,
        status: &VaultSecretStatus,
    ) -> Result<(), Verdict> {
        let stays = self.object.spec.deletion_policy == DeletionPolicy::Retain
            && !self.ctx.settings.dry_run;
        if stays && self.entry.holds(self.object) {
            self.hold(status, false).await?;
        }
        Ok(())
    }

    /// Sets our finalizer, or removes it.
    pub(super) async fn hold(&self, status: &VaultSecretStatus, set: bool) -> Result<(), Verdict> {
        let ctx = self.ctx;
        let (shown, version) = ctx.ledger.entry(self.uid).shown(self.object);
        let within = (&ctx.fence, ctx.settings.kube_timeout);
        let answer = finalizer::write(&ctx.client, self.object, &version, set, within).await;
        match answer {
            Ok(version) => {
                // Our next write of status goes by this version, and the cache may not show the finalizer so far.
                if *status == shown {
                    ctx.ledger.holds(self.uid, set, version.clone());
                    ctx.ledger.remember(self.uid, shown, version);
                }
                Ok(())
            }
            Err(kube::Error::Api(answer)) if answer.is_conflict() => {
                Err(Verdict::Unchecked(Retry::AfterConflict))
            }
            // It is gone.
            Err(kube::Error::Api(answer)) if answer.is_not_found() => Err(Verdict::Outdated),
            Err(error) => {
                let message = format!(
                    "The finalizer could not be changed: {}. It is tried again.",
                    brief(&error)
                );
                let refusal = Refusal::new(Reason::ApiUnavailable, message).retried(Retry::Backoff);
                Err(self.blocked(refusal, Fields::NONE))
            }
        }
    }
}
