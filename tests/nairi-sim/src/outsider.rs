//! Somebody else: changes to what is stored that no logged request made.

use std::fmt;

use crate::ids;
use crate::lock;
use crate::sim::{Shared, Stored};
use crate::state::{NewSecret, NewVault, Refusal, Secret};

/// Somebody who changes secrets without the client under test: another cluster, a script, the vendor's console.
/// The same rules apply as to a request: `updated_at` moves only if something really changes (doc), and the
/// switches of [`Behaviour`](crate::Behaviour) hold. Nothing is logged.
pub struct Outsider<'a>(pub(crate) &'a Shared);

/// There is no such secret or vault, or its `env_key` or id is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No such secret or vault.
    Absent,
    /// The `env_key` or id is taken.
    Taken,
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Absent => "no such secret or vault",
            Self::Taken => "that env_key or id is taken",
        })
    }
}

impl std::error::Error for Refused {}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Absent => Self::Absent,
            Refusal::Duplicate(_) | Refusal::IdTaken => Self::Taken,
        }
    }
}

impl Outsider<'_> {
    /// Sets a value.
    ///
    /// # Errors
    /// When there is no such secret.
    pub fn set_value(&self, secret: &str, value: &str) -> Result<Stored, Refused> {
        self.set(secret, Some(value.to_owned()), None)
    }

    /// Sets the domains.
    ///
    /// # Errors
    /// When there is no such secret.
    pub fn set_domains(&self, secret: &str, domains: &[&str]) -> Result<Stored, Refused> {
        self.set(
            secret,
            None,
            Some(domains.iter().map(ToString::to_string).collect()),
        )
    }

    /// Sets what is given.
    ///
    /// # Errors
    /// When there is no such secret.
    pub fn set(
        &self,
        secret: &str,
        value: Option<String>,
        domains: Option<Vec<String>>,
    ) -> Result<Stored, Refused> {
        let behaviour = self.0.behaviour();
        let changed = lock(&self.0.store).change(secret, value, domains, &behaviour)?;
        self.stored(changed.secret)
    }

    /// Moves `updated_at`, as a write that changes nothing we can see would.
    ///
    /// # Errors
    /// When there is no such secret.
    pub fn touch(&self, secret: &str) -> Result<Stored, Refused> {
        let behaviour = self.0.behaviour();
        let secret = lock(&self.0.store).touch(secret, &behaviour)?;
        self.stored(secret)
    }

    /// Deletes a secret.
    ///
    /// # Errors
    /// When there is no such secret.
    pub fn delete(&self, secret: &str) -> Result<(), Refused> {
        lock(&self.0.store).delete(secret)?;
        Ok(())
    }

    /// Creates a secret.
    ///
    /// # Errors
    /// When there is no such vault, or the `env_key` or id is taken.
    pub fn create(&self, vault: &str, new: NewSecret) -> Result<Stored, Refused> {
        let behaviour = self.0.behaviour();
        let secret = lock(&self.0.store).create(vault, new, &behaviour)?;
        self.stored(secret)
    }

    /// Creates a vault with its secrets, and returns its id. One that exists is renamed, and gets the secrets as well.
    ///
    /// # Errors
    /// When the `env_key` or id of one of its secrets is taken.
    pub fn create_vault(&self, vault: NewVault) -> Result<String, Refused> {
        let id = vault.id.unwrap_or_else(ids::vault_id);
        lock(&self.0.store).put_vault(&id, &vault.name, &vault.description);
        for secret in vault.secrets {
            self.create(&id, secret)?;
        }
        Ok(id)
    }

    fn stored(&self, secret: Secret) -> Result<Stored, Refused> {
        let vault = lock(&self.0.store).vault_of(&secret.id).map(str::to_owned);
        Ok(Stored::new(
            vault.ok_or(Refused::Absent)?,
            secret,
            &self.0.behaviour(),
        ))
    }
}
