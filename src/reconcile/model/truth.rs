//! What may be sent, as somebody sees it who knows all that happened.

use super::{
    Desired, Fields,
    vault::{Sending, Stored},
    world::BOTH,
};
use crate::{api::VaultSecretSpec, nairi::same_domains, reconcile::plan::managed};

/// What an all-knowing onlooker remembers of one object, to judge what is sent for it.
#[derive(Debug, Default)]
pub(super) struct Truth {
    /// The secret it is about.
    secret: Option<String>,
    /// The value and the domains last sent and answered.
    value: Option<String>,
    domains: Option<Vec<String>>,
    /// The secret as of the last answer.
    then: Option<Stored>,
    /// Somebody wrote since the value was sent, or an answer of ours was lost: nobody can tell what.
    foreign: bool,
    /// Fields whose PATCHes were lost, or whose record was.
    pub(super) doubt: Fields,
    /// Fields that were answered, and are not in the status.
    pub(super) unrecorded: Fields,
    /// A sync was asked for, and so far not everything that is managed was sent and answered.
    pub(super) asked: bool,
    /// Whether an answer of ours, or its record, was lost: its traces look like somebody else's.
    pub(super) lost: bool,
}

impl Truth {
    /// The object is bound to `secret`: afresh, or as before.
    pub(super) fn about(&mut self, secret: &str, afresh: bool) {
        if afresh || self.secret.as_deref() != Some(secret) {
            self.secret = Some(secret.to_owned());
            (self.value, self.domains, self.then) = (None, None, None);
        }
    }

    /// A PATCH of `fields` got no answer.
    pub(super) fn doubt(&mut self, fields: Fields) {
        self.doubt = self.doubt | fields;
        self.lost = true;
    }

    /// A PATCH of `fields` was answered, and left the secret like this.
    pub(super) fn certain(
        &mut self,
        fields: Fields,
        desired: &Desired,
        sent: Sending,
        now: &Stored,
    ) {
        if let Some(value) = sent.value {
            self.value = Some(value);
            self.foreign = false;
        }
        if let Some(domains) = sent.domains {
            self.domains = Some(domains);
        }
        if fields == managed(desired) {
            self.asked = false;
        }
        self.doubt = self.doubt - fields;
        self.unrecorded = self.unrecorded | fields;
        self.then = Some(now.clone());
    }

    /// The process ended: what was not recorded is not known any more.
    pub(super) fn forgotten(&mut self) {
        if !self.unrecorded.is_empty() {
            self.doubt = BOTH;
            self.lost = true;
        }
    }

    /// Why `sending` must not be sent to the secret, if there is anything against it.
    pub(super) fn judge(
        &mut self,
        desired: &Desired,
        sending: &Sending,
        remote: Option<&Stored>,
    ) -> Option<&'static str> {
        self.foreign |= remote.is_none() || self.then.as_ref() != remote;
        let fields = Fields {
            value: sending.value.is_some(),
            allowed_domains: sending.domains.is_some(),
        };
        if !(fields - managed(desired)).is_empty() {
            return Some("an unmanaged field is sent");
        }
        if self.asked {
            return (fields != managed(desired)).then_some("not all that was asked for is sent");
        }
        if fields.value && self.value == sending.value && !self.foreign && !self.doubt.value {
            return Some("a value is sent again");
        }
        let declared = desired.allowed_domains.as_deref().unwrap_or_default();
        let there = |secret: &Stored| same_domains(&secret.domains, declared);
        let sent = |domains: &Vec<String>| same_domains(domains, declared);
        if fields.allowed_domains
            && self.domains.as_ref().is_some_and(sent)
            && remote.is_some_and(there)
            && !self.doubt.allowed_domains
        {
            return Some("domains are sent again");
        }
        None
    }

    /// Unmanaged fields are forgotten, and may be sent anew.
    pub(super) fn forget_unmanaged(&mut self, spec: &VaultSecretSpec) {
        if spec.value_from.is_none() {
            self.value = None;
        }
        if spec.allowed_domains.is_none() {
            self.domains = None;
        }
    }
}
