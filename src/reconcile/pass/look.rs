//! What the vault holds: by its list, or by the secret's own answer.

use std::time::Instant;

use super::Pass;
use crate::{
    connections::ConnectionId,
    nairi::{self, Class, RemoteSecret, same_instant},
    reconcile::{
        apply, claiming,
        desired::{Desired, Value},
        dry_run,
        fields::Fields,
        plan::{Observed, Remote},
        verdict::Verdict,
    },
    vaults::Look,
};

impl Pass<'_> {
    /// Looks the secret up in its vault's list.
    pub(super) fn find(
        &mut self,
        connection: &ConnectionId,
        desired: &Desired,
        observed: &mut Observed,
    ) -> Result<(), Verdict> {
        let listed = self.look(connection, desired, observed)?;
        if self.ctx.settings.dry_run {
            dry_run::saw(observed, desired, listed);
        } else {
            observed.remote = listed;
        }
        self.shown(desired, observed);
        Ok(())
    }

    fn look(
        &mut self,
        connection: &ConnectionId,
        desired: &Desired,
        observed: &Observed,
    ) -> Result<Remote, Verdict> {
        let credential = self.admitted(connection, Fields::NONE)?;
        self.current()?;
        let bound = observed
            .confirmed
            .as_ref()
            .map(|confirmed| confirmed.secret_id.as_str());
        self.looked = Instant::now();
        let created = claiming::creation(desired).and_then(|key| self.ctx.claims.created(&key));
        let mut since = created.map_or(self.due, |created| created.max(self.due));
        if claiming::creation(desired).is_some() {
            // Others may have created it while this object waited its turn.
            let lately = self.looked.checked_sub(self.ctx.settings.reconcile_timeout);
            since = lately.map_or(since, |lately| lately.max(since));
        }
        match self.ctx.vaults.look(
            &credential,
            &mut self.permit,
            &desired.target,
            bound,
            (self.key, since),
        ) {
            Look::Shown(remote) => Ok(remote),
            // What is bound is asked itself: see `plan`.
            Look::Unclear if bound.is_some() && !self.ctx.settings.dry_run => Ok(Remote::Absent),
            Look::Unclear => {
                let error = nairi::Error::unreadable_element();
                Err(self.blocked(self.failure(&error), Fields::NONE))
            }
            Look::Awaited => Err(Verdict::Waiting),
            Look::Failed(error) => Err(self.blocked(self.failure(&error), Fields::NONE)),
        }
    }

    /// Asks the secret itself.
    pub(super) async fn ask(
        &mut self,
        connection: &ConnectionId,
        desired: &Desired,
        observed: &mut Observed,
        secret_id: &str,
    ) -> Result<(), Verdict> {
        let answer = self.read_remote(connection, secret_id).await?;
        let answer = self.unrepeated(answer, desired, observed)?;
        if let Remote::Listed(listed) = &observed.remote
            && !same_instant(&listed.updated_at, &answer.updated_at)
        {
            self.ctx.ledger.outdated(self.uid, &listed.updated_at);
        }
        if observed.saw(desired, answer) {
            self.confirmed.clone_from(&observed.confirmed);
        }
        self.shown(desired, observed);
        Ok(())
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

    /// What a read shows, unless it is the value that was sent before.
    fn unrepeated(
        &self,
        answer: RemoteSecret,
        desired: &Desired,
        observed: &Observed,
    ) -> Result<RemoteSecret, Verdict> {
        let declared = desired.allowed_domains.as_ref();
        let known = |text: &str| {
            let confirmed = observed.confirmed.as_ref();
            confirmed.is_some_and(|confirmed| confirmed.knows(declared, text))
        };
        match &desired.value {
            Value::Read(value) if answer.repeats(value, known) => {
                let error = nairi::Error::repeats_the_value();
                Err(self.blocked(self.failure(&error), Fields::NONE))
            }
            _ => Ok(answer),
        }
    }
}
