//! What a VaultSecret declares, checked: the first half of every decision.
//!
//! Pure. The API server's validation has said no to most of this before; it is checked again because
//! an object may be older than the rule, and a restriction must never widen by accident.

use std::fmt::Display;

use secrecy::SecretString;
use zeroize::Zeroize as _;

use crate::{
    api::{CreationPolicy, DeletionPolicy, DriftPolicy, Reason, VaultSecretSpec},
    nairi::{MAX_DECLARED, RemoteSecret, is_plain, is_unrestricted},
    reconcile::{templated, verdict::Refusal},
};

/// The declared state of one remote secret.
#[derive(Debug)]
pub struct Desired {
    /// Which remote secret is meant.
    pub target: Target,
    /// Its value, where that is managed here.
    pub value: Value,
    /// Its domains, where those are managed here. `Some([])` lifts every restriction.
    pub allowed_domains: Option<Vec<String>>,
    /// What to do about somebody else's change.
    pub drift_policy: DriftPolicy,
    /// Whether the secret is created where the vault has none of that environment key.
    pub creation_policy: CreationPolicy,
    /// Whether the secret goes with the object.
    pub deletion_policy: DeletionPolicy,
}

/// How a VaultSecret names its remote secret: by id, by environment key, or by both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The vault.
    pub vault_id: String,
    /// The secret's id, where given.
    pub secret_id: Option<String>,
    /// The secret's environment key, where given.
    pub env_key: Option<String>,
}

impl Target {
    /// What `spec` names.
    #[must_use]
    pub fn of(spec: &VaultSecretSpec) -> Self {
        Self {
            vault_id: spec.vault_id.clone(),
            secret_id: spec.secret_id.clone(),
            env_key: spec.env_key.clone(),
        }
    }

    /// Whether that secret has another environment key than is named.
    #[must_use]
    pub fn contradicts(&self, secret: &RemoteSecret) -> bool {
        let Self {
            vault_id: _,
            secret_id: _,
            env_key,
        } = self;
        env_key.as_ref().is_some_and(|key| *key != secret.env_key)
    }
}

/// The declared value. Its text is in memory only while a reconcile needs it.
#[derive(Debug)]
pub enum Value {
    /// `spec.valueFrom` is absent.
    Unmanaged,
    /// Managed, and not fetched from its Secret so far in this reconcile.
    Unread,
    /// Managed, and fetched.
    Read(SecretString),
}

impl Value {
    /// Whether the value is managed here.
    #[must_use]
    pub fn is_managed(&self) -> bool {
        !matches!(self, Self::Unmanaged)
    }
}

impl Desired {
    /// Reads the declared state from `spec`; the value comes later, and only if a plan asks for it.
    ///
    /// # Errors
    /// The sentence that tells the user what to change.
    pub fn from_spec(spec: &VaultSecretSpec) -> Result<Self, Refusal> {
        let value = match &spec.value_from {
            None => Value::Unmanaged,
            Some(source) => {
                // One that can't be rendered is refused without a look at the Secret.
                if let Some(template) = &source.template {
                    templated::parse(template)?;
                }
                Value::Unread
            }
        };
        if let Some(domains) = &spec.allowed_domains {
            if let Some(bad) = domains.iter().find(|d| {
                d.is_empty()
                    || d.contains(['/', '@', ':'])
                    || d.contains(char::is_whitespace)
                    || !is_plain(d)
            }) {
                return Err(Refusal::new(
                    Reason::Rejected,
                    format!(
                        "allowedDomains holds {bad:?}: give a host name such as api.example.com or *.example.com, without scheme, port, path or characters that don't print."
                    ),
                ));
            }
            if domains.iter().map(String::len).sum::<usize>() > MAX_DECLARED {
                return Err(Refusal::new(
                    Reason::Rejected,
                    format!(
                        "allowedDomains is longer than {MAX_DECLARED} bytes in all: name fewer, or cover several by one, as in *.example.com."
                    ),
                ));
            }
            if is_unrestricted(domains) && !spec.allow_unrestricted {
                return Err(Refusal::new(
                    Reason::Rejected,
                    "allowedDomains would let the secret go to any host: name the domains, or set allowUnrestricted: true.",
                ));
            }
        }
        Ok(Self {
            target: Target::of(spec),
            value,
            allowed_domains: spec.allowed_domains.clone(),
            drift_policy: spec.drift_policy,
            creation_policy: spec.creation_policy,
            deletion_policy: spec.deletion_policy,
        })
    }
}

/// Turns the bytes of a Secret's key, or of a template over it, into a value that Nairi can store; `bytes` are zeroed
/// if refused. `origin` begins the sentence that says why.
///
/// # Errors
/// `InvalidValue` for an empty value, one that is not UTF-8, or one with a NUL: the API takes a JSON
/// string, and programs read the secret as an environment variable, which ends at a NUL.
pub fn value(bytes: Vec<u8>, origin: &impl Display) -> Result<SecretString, Refusal> {
    let refuse = |what: &str| Refusal::new(Reason::InvalidValue, format!("{origin} {what}"));
    if bytes.is_empty() {
        return Err(refuse("is empty: give it a value."));
    }
    let mut text = String::from_utf8(bytes).map_err(|error| {
        error.into_bytes().zeroize();
        refuse(
            "is not UTF-8 text: Nairi stores text only, so encode it first (base64, for example).",
        )
    })?;
    if text.contains('\0') {
        text.zeroize();
        return Err(refuse(
            "holds a NUL character, which no environment variable can: remove it.",
        ));
    }
    Ok(SecretString::from(text))
}

#[cfg(test)]
mod tests;
