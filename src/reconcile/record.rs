//! What the API last confirmed to us about a remote secret, as status keeps it.
//!
//! Pure. `updated_at` and the value's fingerprint are one pair: they were true of the remote secret at one instant.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    api::{Drift, LastPatch, VaultSecretStatus},
    nairi::{RemoteSecret, same_domains},
    reconcile::fields::Fields,
};

/// The remote secret an object is bound to, as last confirmed.
#[derive(Clone, Debug, PartialEq)]
pub struct Confirmed {
    /// Its id.
    pub secret_id: String,
    /// Its environment key.
    pub env_key: String,
    /// Its domains, as the API returned them.
    pub allowed_domains: Vec<String>,
    /// Its domains as we last sent (or first found) them: a server that normalises is no drift.
    pub applied_domains: Option<Vec<String>>,
    /// When it was created, verbatim.
    pub created_at: Option<String>,
    /// When it last changed, verbatim. Compared for equality, never ordered.
    pub updated_at: String,
    /// Keyed fingerprint of the value we last sent.
    pub value_fingerprint: Option<String>,
    /// uid/resourceVersion of the Secret the value was last read from.
    pub source_version: Option<String>,
    /// What was last sent.
    pub last_patch: Option<LastPatch>,
    /// What somebody else left there while it is not corrected.
    pub drift: Option<Drift>,
}

/// What one PATCH carried.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The fields in its body.
    pub fields: Fields,
    /// The domains in its body.
    pub allowed_domains: Option<Vec<String>>,
    /// The fingerprint of the value in its body.
    pub value_fingerprint: Option<String>,
    /// Where that value was read from.
    pub source_version: Option<String>,
    /// When it was answered.
    pub at: Time,
    /// What of somebody else's change it left in place, under `driftPolicy: Report`.
    pub leaves: Option<Drift>,
}

impl Confirmed {
    /// What `status` holds, or `None` while the object is not bound.
    #[must_use]
    pub fn from_status(status: &VaultSecretStatus) -> Option<Self> {
        Some(Self {
            secret_id: status.secret_id.clone()?,
            env_key: status.env_key.clone()?,
            allowed_domains: status.allowed_domains.clone().unwrap_or_default(),
            applied_domains: status.applied_domains.clone(),
            created_at: status.created_at.clone(),
            updated_at: status.updated_at.clone()?,
            value_fingerprint: status.value_fingerprint.clone(),
            source_version: status.source_version.clone(),
            last_patch: status.last_patch.clone(),
            drift: status.drift.clone(),
        })
    }

    /// Writes this into `status`, replacing what stood there.
    pub fn write_to(&self, status: &mut VaultSecretStatus) {
        let Self {
            secret_id,
            env_key,
            allowed_domains,
            applied_domains,
            created_at,
            updated_at,
            value_fingerprint,
            source_version,
            last_patch,
            drift,
        } = self;
        status.secret_id = Some(secret_id.clone());
        status.env_key = Some(env_key.clone());
        status.allowed_domains = Some(allowed_domains.clone());
        status.applied_domains.clone_from(applied_domains);
        status.created_at.clone_from(created_at);
        status.updated_at = Some(updated_at.clone());
        status.value_fingerprint.clone_from(value_fingerprint);
        status.source_version.clone_from(source_version);
        status.last_patch.clone_from(last_patch);
        status.drift.clone_from(drift);
    }

    /// A remote secret just found, whose domains are as `desired`; nothing is known of its value.
    #[must_use]
    pub fn found(remote: &RemoteSecret, desired: Option<&Vec<String>>) -> Self {
        Self {
            secret_id: remote.id.clone(),
            env_key: remote.env_key.clone(),
            allowed_domains: remote.allowed_domains.clone(),
            applied_domains: desired.cloned(),
            created_at: remote.created_at.clone(),
            updated_at: remote.updated_at.clone(),
            value_fingerprint: None,
            source_version: None,
            last_patch: None,
            drift: None,
        }
    }

    /// The record after the API answered a PATCH.
    ///
    /// Managed domains that were not in the body keep their recorded form, and a foreign change which the answer
    /// shows becomes recorded drift, so that it is a difference to the next plan, and to the next pass.
    #[must_use]
    pub fn after_patch(self, answer: &RemoteSecret, sent: &Sent) -> Self {
        let mut drift = sent.leaves.clone().or(self.drift).unwrap_or_default();
        if sent.fields.value {
            drift.updated_at = None;
        }
        let keeps_domains = self.applied_domains.is_some() && !sent.fields.allowed_domains;
        drift.allowed_domains = (keeps_domains
            && !same_domains(&answer.allowed_domains, &self.allowed_domains))
        .then(|| answer.allowed_domains.clone());
        Self {
            secret_id: answer.id.clone(),
            env_key: answer.env_key.clone(),
            allowed_domains: if keeps_domains {
                self.allowed_domains
            } else {
                answer.allowed_domains.clone()
            },
            applied_domains: sent.allowed_domains.clone().or(self.applied_domains),
            created_at: answer.created_at.clone().or(self.created_at),
            updated_at: answer.updated_at.clone(),
            value_fingerprint: sent.value_fingerprint.clone().or(self.value_fingerprint),
            source_version: sent.source_version.clone().or(self.source_version),
            last_patch: Some(LastPatch {
                time: sent.at.clone(),
                fields: sent.fields.names(),
            }),
            drift: (drift != Drift::default()).then_some(drift),
        }
    }
}
