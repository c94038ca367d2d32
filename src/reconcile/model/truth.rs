//! What may be sent, as somebody sees it who knows all that happened.

use super::{Desired, Fields, world::World};
use crate::{nairi::same_domains, reconcile::plan::managed};

/// What an all-knowing onlooker remembers, to judge what is sent.
#[derive(Debug, Default)]
pub(super) struct Truth {
    /// The value and the domains last sent and answered.
    value: Option<u8>,
    domains: Option<Vec<String>>,
    /// `updated_at` as of the last answer to a PATCH.
    updated: Option<i64>,
    /// Somebody wrote since the value was sent, or an answer of ours was lost: nobody can tell what.
    foreign: bool,
    /// Fields whose PATCHes were lost, or whose record was.
    pub(super) doubt: Fields,
    /// Fields that were answered, and are not in the status.
    pub(super) unrecorded: Fields,
    /// A sync was asked for, and so far not everything that is managed was sent and answered.
    pub(super) asked: bool,
}

impl World {
    /// A PATCH of `fields` got no answer.
    pub(super) fn doubt(&mut self, fields: Fields) {
        self.truth.doubt = self.truth.doubt | fields;
        self.lost = true;
    }

    /// A PATCH of `fields` was answered.
    pub(super) fn certain(&mut self, fields: Fields, desired: &Desired) {
        if fields.value {
            self.truth.value = Some(self.source.0);
            self.truth.foreign = false;
        }
        if fields.allowed_domains {
            self.truth.domains.clone_from(&desired.allowed_domains);
        }
        if fields == managed(desired) {
            self.truth.asked = false;
        }
        self.truth.doubt = self.truth.doubt - fields;
        self.truth.unrecorded = self.truth.unrecorded | fields;
        self.truth.updated = Some(self.remote.updated);
    }

    /// Fails unless each of `fields` has a reason to be sent.
    pub(super) fn judge(&mut self, desired: &Desired, fields: Fields) {
        self.truth.foreign |= self.truth.updated != Some(self.remote.updated);
        let truth = &self.truth;
        if truth.asked {
            assert_eq!(fields, managed(desired), "{:#?}", self.trace);
            return;
        }
        if fields.value {
            let reasons = truth.value != Some(self.source.0) || truth.foreign || truth.doubt.value;
            assert!(
                reasons,
                "a value is sent again: {truth:?} {:#?}",
                self.trace
            );
            assert!(desired.value.is_managed());
        }
        if fields.allowed_domains {
            let declared = desired.allowed_domains.as_ref().expect("managed domains");
            let reasons = truth
                .domains
                .as_ref()
                .is_none_or(|sent| !same_domains(sent, declared))
                || !same_domains(&self.remote.domains, declared)
                || truth.doubt.allowed_domains;
            assert!(
                reasons,
                "domains are sent again: {truth:?} {:#?}",
                self.trace
            );
        }
    }

    /// Unmanaged fields are forgotten, and may be sent anew.
    pub(super) fn forget_unmanaged(&mut self) {
        if self.object.spec.value_from.is_none() {
            self.truth.value = None;
        }
        if self.object.spec.allowed_domains.is_none() {
            self.truth.domains = None;
        }
    }

    /// Whether an answer of ours was lost: its traces look like somebody else's.
    pub(super) fn may_mistake_its_own(&self) -> bool {
        self.lost
    }
}
