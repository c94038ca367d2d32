//! What has to hold before anything is sent: a key, a slot at its gate, and that nothing has changed meanwhile.

use std::time::Instant;

use super::{Pass, same_declaration};
use crate::{
    connections::{ConnectionId, Credential},
    nairi::Admission,
    reconcile::{failure, fields::Fields, plan::Claim, resolve, verdict::Verdict},
};

impl Pass<'_> {
    /// The connection's key and a slot at its gate.
    pub(super) fn admitted(
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

    pub(super) fn admit(
        &mut self,
        credential: &Credential,
        pending: Fields,
    ) -> Result<(), Verdict> {
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
            Admission::Full => {
                self.queues_at = Some(credential.gate.key_id());
                Err(Verdict::Waiting)
            }
            Admission::ClosedUntil(until) => Err(self.blocked(failure::throttled(until), pending)),
            Admission::Unauthorized => {
                let connection = &self.object.spec.connection_ref;
                Err(self.blocked(failure::unauthorized(connection), pending))
            }
        }
    }

    /// Checks, right before something is sent, that the object is still the one we decided for, permitted, and not
    /// behind an older claimant.
    pub(super) fn current(&self) -> Result<(), Verdict> {
        let now = self.ctx.stores.objects.get(self.key);
        let same = now.is_some_and(|now| {
            same_declaration(self.object, &now)
                && now.metadata.deletion_timestamp.is_none()
                && resolve::permitted(&self.ctx.stores, &now).is_ok()
                && !matches!(self.claim(), Claim::Lost { .. })
        });
        if same { Ok(()) } else { Err(Verdict::Outdated) }
    }
}
