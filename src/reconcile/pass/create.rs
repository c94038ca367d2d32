//! Creating a secret that the vault was shown not to have.

use std::time::Instant;

use super::Pass;
use crate::{
    claims::Subject,
    connections::ConnectionId,
    nairi::Class,
    reconcile::{
        apply::{self, Creation},
        desired::{Desired, Value},
        fields::Fields,
        observe,
        plan::{Observed, Remote},
        verdict::Verdict,
    },
};

impl Pass<'_> {
    pub(super) async fn create(
        &mut self,
        connection: &ConnectionId,
        desired: &Desired,
        observed: &mut Observed,
        env_key: String,
        allowed_domains: Vec<String>,
    ) -> Result<(), Verdict> {
        let (Value::Read(value), Some(version)) = (&desired.value, self.read.clone()) else {
            return Err(Verdict::Outdated);
        };
        let credential = self.admitted(connection, Fields::ALL)?;
        let subject = Subject::EnvKey {
            vault_id: desired.target.vault_id.clone(),
            env_key: env_key.clone(),
        };
        let _turn = self.turn(subject.clone())?;
        self.current()?;
        let created = self.ctx.claims.created(&subject);
        if created.is_some_and(|created| created >= self.looked) {
            // Another object was faster.
            observed.remote = Remote::Unasked;
            return Ok(());
        }
        let creation = Creation {
            env_key,
            value,
            source_version: version,
            allowed_domains,
        };
        let fingerprint = |secret_id: &str| {
            observe::fingerprint(&self.ctx.fingerprints, self.object, secret_id, value)
        };
        match apply::create(self.ctx, self.request(&credential), creation, fingerprint).await {
            Ok(applied) => {
                self.notes.extend(applied.notes);
                self.confirmed = Some(applied.confirmed.clone());
                observed.patched(Fields::ALL, applied.answer, applied.confirmed);
                self.shown(desired, observed);
                Ok(())
            }
            // Perhaps somebody else was faster: a list that begins now shows it, or else it was refused in earnest.
            Err(error) if error.class() == Class::Rejected && error.status() != Some(403) => {
                let refusal = self.failure(&error);
                (self.ctx.ledger).creation_refused(self.uid, refusal.clone());
                observed.refused_creation = Some(refusal);
                observed.remote = Remote::Unasked;
                self.due = Instant::now();
                Ok(())
            }
            Err(error) => Err(self.blocked(self.failure(&error), Fields::ALL)),
        }
    }
}
