//! What the service holds: vaults, their secrets, and enough of the past to show a stale list.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::behaviour::{Behaviour, Duplicate, Lag};
use crate::ids;

/// How many changes of a vault can be undone for a stale list.
const HISTORY: usize = 10_000;

/// A vault to begin with, with its secrets: also the form of a seed file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewVault {
    /// Its id; absent: a new one.
    #[serde(default)]
    pub id: Option<String>,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its description.
    #[serde(default)]
    pub description: String,
    /// Its secrets.
    #[serde(default)]
    pub secrets: Vec<NewSecret>,
}

/// A secret to begin with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSecret {
    /// Its id; absent: a new one.
    #[serde(default)]
    pub id: Option<String>,
    /// The name of its environment variable.
    pub env_key: String,
    /// Its value.
    #[serde(default)]
    pub value: String,
    /// Where it may be sent; none: anywhere (doc).
    #[serde(default)]
    pub allowed_domains: Vec<String>,
}

impl NewVault {
    /// An empty vault of this id.
    #[must_use]
    pub fn with_id(id: &str) -> Self {
        Self {
            id: Some(id.to_owned()),
            ..Self::default()
        }
    }
}

impl NewSecret {
    /// A secret with a new id.
    #[must_use]
    pub fn new(env_key: &str, value: &str, allowed_domains: &[&str]) -> Self {
        Self {
            id: None,
            env_key: env_key.to_owned(),
            value: value.to_owned(),
            allowed_domains: allowed_domains.iter().map(ToString::to_string).collect(),
        }
    }

    /// With this id.
    #[must_use]
    pub fn with_id(mut self, id: &str) -> Self {
        self.id = Some(id.to_owned());
        self
    }
}

/// A secret as stored; time stamps in milliseconds since 1970.
#[derive(Clone, Debug)]
pub(crate) struct Secret {
    pub(crate) id: String,
    pub(crate) env_key: String,
    pub(crate) value: String,
    pub(crate) allowed_domains: Vec<String>,
    pub(crate) created: i64,
    pub(crate) updated: i64,
}

/// A vault as stored.
#[derive(Debug, Default)]
pub(crate) struct Vault {
    pub(crate) name: String,
    pub(crate) description: String,
    /// By a number that grows with every creation.
    secrets: BTreeMap<u64, Secret>,
    /// How many secrets have each `env_key`.
    env_keys: HashMap<String, usize>,
    past: VecDeque<Change>,
}

/// One change of a vault: enough to undo it.
#[derive(Debug)]
struct Change {
    at: Instant,
    number: u64,
    before: Option<Secret>,
}

/// Why the store refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No such vault or secret.
    Absent,
    /// The vault has that `env_key` already; the status to answer.
    Duplicate(u16),
    /// Another secret has that id.
    IdTaken,
}

/// What a change did.
#[derive(Clone, Debug)]
pub(crate) struct Changed {
    pub(crate) secret: Secret,
    /// Whether anything changed.
    pub(crate) moved: bool,
}

/// Everything the service holds.
#[derive(Debug, Default)]
pub(crate) struct Store {
    vaults: BTreeMap<String, Vault>,
    /// Where each secret is.
    index: HashMap<String, (String, u64)>,
    /// The number of the last secret created.
    created: u64,
    /// The last time stamp given out.
    clock: i64,
}

impl Store {
    /// The vaults by id.
    pub(crate) fn vaults(&self) -> impl Iterator<Item = (&str, &Vault)> {
        self.vaults.iter().map(|(id, vault)| (id.as_str(), vault))
    }

    /// Whether there is such a vault.
    pub(crate) fn has_vault(&self, vault: &str) -> bool {
        self.vaults.contains_key(vault)
    }

    /// Adds a vault, or renames it.
    pub(crate) fn put_vault(&mut self, id: &str, name: &str, description: &str) {
        let vault = self.vaults.entry(id.to_owned()).or_default();
        name.clone_into(&mut vault.name);
        description.clone_into(&mut vault.description);
    }

    /// The vault that holds a secret.
    pub(crate) fn vault_of(&self, secret: &str) -> Option<&str> {
        self.index.get(secret).map(|(vault, _)| vault.as_str())
    }

    /// A secret by its id alone.
    pub(crate) fn secret(&self, id: &str) -> Option<&Secret> {
        let (vault, number) = self.index.get(id)?;
        self.vaults.get(vault)?.secrets.get(number)
    }

    /// Creates a secret.
    pub(crate) fn create(
        &mut self,
        vault: &str,
        new: NewSecret,
        behaviour: &Behaviour,
    ) -> Result<Secret, Refusal> {
        let held = self.vaults.get_mut(vault).ok_or(Refusal::Absent)?;
        if let Duplicate::Refused(status) = behaviour.duplicate_env_key
            && held.env_keys.contains_key(&new.env_key)
        {
            return Err(Refusal::Duplicate(status));
        }
        let id = new.id.unwrap_or_else(ids::secret_id);
        if self.index.contains_key(&id) {
            return Err(Refusal::IdTaken);
        }
        let now = tick(&mut self.clock, behaviour);
        let secret = Secret {
            id: id.clone(),
            env_key: new.env_key,
            value: new.value,
            allowed_domains: behaviour.normalised(new.allowed_domains),
            created: now,
            updated: now,
        };
        self.created += 1;
        held.replace(self.created, Some(secret.clone()));
        self.index.insert(id, (vault.to_owned(), self.created));
        Ok(secret)
    }

    /// Changes the fields given. `updated_at` moves only if something really changes (doc).
    pub(crate) fn change(
        &mut self,
        id: &str,
        value: Option<String>,
        domains: Option<Vec<String>>,
        behaviour: &Behaviour,
    ) -> Result<Changed, Refusal> {
        let mut secret = self.secret(id).ok_or(Refusal::Absent)?.clone();
        let mut moved = false;
        if let Some(value) = value {
            moved |= behaviour.equal_value_is_change || value != secret.value;
            secret.value = value;
        }
        if let Some(domains) = domains {
            let domains = behaviour.normalised(domains);
            moved |= domains != secret.allowed_domains;
            secret.allowed_domains = domains;
        }
        if moved {
            secret.updated = tick(&mut self.clock, behaviour);
            self.put(id, Some(secret.clone()));
        }
        Ok(Changed { secret, moved })
    }

    /// Moves `updated_at` and nothing else.
    pub(crate) fn touch(&mut self, id: &str, behaviour: &Behaviour) -> Result<Secret, Refusal> {
        let mut secret = self.secret(id).ok_or(Refusal::Absent)?.clone();
        secret.updated = tick(&mut self.clock, behaviour);
        self.put(id, Some(secret.clone()));
        Ok(secret)
    }

    /// Deletes a secret.
    pub(crate) fn delete(&mut self, id: &str) -> Result<Secret, Refusal> {
        let secret = self.secret(id).ok_or(Refusal::Absent)?.clone();
        self.put(id, None);
        self.index.remove(id);
        Ok(secret)
    }

    /// The secrets of a vault, the oldest first, as a list that lags behind shows them.
    pub(crate) fn list(&self, vault: &str, lag: Lag) -> Option<Vec<Secret>> {
        let vault = self.vaults.get(vault)?;
        let hidden = match lag {
            Lag::None => 0,
            Lag::Writes(count) => count,
            Lag::Duration(age) => vault
                .past
                .iter()
                .rev()
                .take_while(|change| change.at.elapsed() < age)
                .count(),
        };
        if hidden == 0 {
            return Some(vault.secrets.values().cloned().collect());
        }
        let mut shown: BTreeMap<u64, &Secret> = vault
            .secrets
            .iter()
            .map(|(number, secret)| (*number, secret))
            .collect();
        for change in vault.past.iter().rev().take(hidden) {
            match &change.before {
                Some(secret) => shown.insert(change.number, secret),
                None => shown.remove(&change.number),
            };
        }
        Some(shown.into_values().cloned().collect())
    }

    fn put(&mut self, id: &str, after: Option<Secret>) {
        if let Some((vault, number)) = self.index.get(id)
            && let Some(vault) = self.vaults.get_mut(vault)
        {
            vault.replace(*number, after);
        }
    }
}

impl Vault {
    /// How many secrets it holds.
    pub(crate) fn count(&self) -> usize {
        self.secrets.len()
    }

    fn replace(&mut self, number: u64, after: Option<Secret>) {
        if let Some(secret) = &after {
            *self.env_keys.entry(secret.env_key.clone()).or_default() += 1;
        }
        let before = match after {
            Some(secret) => self.secrets.insert(number, secret),
            None => self.secrets.remove(&number),
        };
        if let Some(secret) = &before
            && let Entry::Occupied(mut count) = self.env_keys.entry(secret.env_key.clone())
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        if self.past.len() == HISTORY {
            self.past.pop_front();
        }
        self.past.push_back(Change {
            at: Instant::now(),
            number,
            before,
        });
    }
}

/// The next time stamp: now, and later than every one before it.
fn tick(clock: &mut i64, behaviour: &Behaviour) -> i64 {
    let next = (*clock + 1).max(ids::now_millis());
    *clock = if behaviour.whole_seconds {
        next.div_euclid(1000) * 1000 + if next.rem_euclid(1000) == 0 { 0 } else { 1000 }
    } else {
        next
    };
    *clock
}
