//! What a pass sends to a secret, as `pass`, `pass/create` and `apply` do it.

use secrecy::ExposeSecret as _;

use super::{
    run::Run,
    vault::Sending,
    world::{Fault, fingerprints},
};
use crate::{
    api::{Reason, condition::whole_seconds},
    claims::Subject,
    nairi::RemoteSecret,
    reconcile::{
        apply, claiming,
        desired::{Desired, Value},
        fields::Fields,
        observe,
        plan::{Change, Observed, Remote},
        record::{Confirmed, Sent},
        verdict::{Refusal, Retry, Verdict},
    },
};

impl Run<'_> {
    pub(super) fn patch(
        &mut self,
        desired: &Desired,
        observed: &mut Observed,
        change: &Change,
    ) -> Result<(), Verdict> {
        let fields = change.fields;
        assert!(!fields.is_empty(), "a PATCH of nothing");
        let fault = self.fault();
        self.admitted(fields)?;
        self.meanwhile();
        let _turn = self.turn(claiming::secret(&self.object, &change.secret_id))?;
        self.current()?;
        if fault == Fault::Outdated {
            return Err(Verdict::Outdated);
        }
        let sending = Self::sending(desired, fields);
        let (id, first) = (&change.secret_id, observed.confirmed.is_none());
        self.world.lives[self.at].truth.about(id, first);
        self.may_patch(desired, id, &sending);

        let doubt = self.world.ledger.entry(&self.uid).uncertain;
        self.world.ledger.sending(&self.uid, fields);
        self.world.done.sent.push(fields);
        self.under_way(id);
        self.world.ledger.asked(&self.uid);
        let refused = match fault {
            Fault::Refused => Err(self.unavailable(fields)),
            _ => self.authorised(fields),
        };
        refused.inspect_err(|_| self.world.ledger.answered(&self.uid, doubt))?;
        if fault != Fault::LostBefore && !self.world.vault.store(id, sending.clone()) {
            self.world.ledger.answered(&self.uid, doubt);
            return Err(self.gone(id));
        }
        if fault != Fault::LostBefore {
            self.world.writers.insert(id.clone(), self.uid.clone());
        }
        if fault != Fault::None {
            self.world.lives[self.at].truth.doubt(fields);
            return Err(self.unavailable(fields));
        }
        self.world.ledger.answered(&self.uid, doubt - fields);
        let answer = self.world.vault.answer(id).expect("just stored");
        let replaced = [&change.before.updated_at]
            .into_iter()
            .chain(&change.foreign_updated_at);
        apply::bound(&self.world.ledger, &self.uid, &answer, replaced);
        let sent = Sent {
            leaves: change.leaves.clone(),
            ..self.sent(desired, fields, id)
        };
        let confirmed = change.before.clone().after_patch(&answer, &sent);
        self.certain(desired, fields, sending, &answer);
        self.confirmed = Some(confirmed.clone());
        observed.patched(fields, answer, confirmed);
        Ok(())
    }

    pub(super) fn create(
        &mut self,
        desired: &Desired,
        observed: &mut Observed,
        env_key: &str,
        allowed_domains: &Vec<String>,
    ) -> Result<(), Verdict> {
        let fields = Fields::ALL;
        assert_eq!(desired.allowed_domains.as_ref(), Some(allowed_domains));
        let fault = self.fault();
        self.admitted(fields)?;
        self.meanwhile();
        let subject = Subject::EnvKey {
            vault_id: desired.target.vault_id.clone(),
            env_key: env_key.to_owned(),
        };
        let _turn = self.turn(subject.clone())?;
        self.current()?;
        let created = self.world.claims.created(&subject);
        if created.is_some_and(|created| created >= self.looked) {
            observed.remote = Remote::Unasked;
            return Ok(());
        }
        if fault == Fault::Outdated {
            return Err(Verdict::Outdated);
        }
        let sending = Self::sending(desired, fields);
        self.may_create(env_key);
        self.world.done.creations += 1;
        self.under_way(env_key);
        self.world.ledger.asked(&self.uid);
        self.authorised(fields)?;
        if matches!(fault, Fault::Refused | Fault::LostBefore) {
            return Err(self.unavailable(fields));
        }
        let Some(id) = self.world.vault.create(env_key, sending.clone()) else {
            let refusal = Refusal::new(Reason::Rejected, "…").retried(Retry::Backoff);
            (self.world.ledger).creation_refused(&self.uid, refusal.clone());
            observed.refused_creation = Some(refusal);
            observed.remote = Remote::Unasked;
            return Ok(());
        };
        self.say(format!("created {id}"));
        self.world.writers.insert(id.clone(), self.uid.clone());
        if fault == Fault::LostAfter {
            return Err(self.unavailable(fields));
        }
        self.world.ledger.answered(&self.uid, Fields::NONE);
        let answer = self.world.vault.answer(&id).expect("just created");
        apply::bound(&self.world.ledger, &self.uid, &answer, []);
        let sent = self.sent(desired, fields, &id);
        let confirmed = Confirmed::found(&answer, None).after_patch(&answer, &sent);
        self.world.lives[self.at].truth.about(&id, true);
        self.certain(desired, fields, sending, &answer);
        self.confirmed = Some(confirmed.clone());
        observed.patched(fields, answer, confirmed);
        self.shown(desired, observed);
        Ok(())
    }

    /// What a body with `fields` holds.
    fn sending(desired: &Desired, fields: Fields) -> Sending {
        let value = match &desired.value {
            Value::Read(value) if fields.value => Some(value.expose_secret().to_owned()),
            other => {
                assert!(!fields.value, "a value is to be sent, yet {other:?}");
                None
            }
        };
        let domains = desired.allowed_domains.clone();
        let domains = domains.filter(|_| fields.allowed_domains);
        assert_eq!(
            domains.is_some(),
            fields.allowed_domains,
            "unmanaged domains are to be sent"
        );
        Sending { value, domains }
    }

    fn sent(&self, desired: &Desired, fields: Fields, id: &str) -> Sent {
        let value_fingerprint = match &desired.value {
            Value::Read(value) if fields.value => {
                let print = observe::fingerprint(fingerprints(), &self.object, id, value);
                Some(print)
            }
            _ => None,
        };
        let domains = desired.allowed_domains.clone();
        Sent {
            fields,
            allowed_domains: domains.filter(|_| fields.allowed_domains),
            value_fingerprint,
            source_version: self.read.clone().filter(|_| fields.value),
            at: whole_seconds(self.world.now()),
            leaves: None,
        }
    }

    fn certain(
        &mut self,
        desired: &Desired,
        fields: Fields,
        sending: Sending,
        answer: &RemoteSecret,
    ) {
        let now = self.world.vault.get(&answer.id).expect("just stored");
        let life = &mut self.world.lives[self.at];
        life.truth.certain(fields, desired, sending, now);
        life.had.insert((self.uid.clone(), answer.id.clone()));
    }
}
