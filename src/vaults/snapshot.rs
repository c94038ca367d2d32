//! What a list showed of the secrets that somebody asks for, and what it leaves open. Pure.

use std::{borrow::Borrow, collections::HashSet};

use crate::{
    nairi::{RemoteSecret, Unreadable},
    reconcile::{desired::Target, plan::Remote},
};

/// How many secrets are kept of a list beyond two for each that is named: some may be there several times, but not
/// any number of times.
const MOST: usize = 1000;

/// How much text is kept of a list, in bytes, and how much more for each secret that is named. One that is named has
/// about 200 bytes; what a list may hold in all, and many vaults of such lists, would be too much to keep.
const MOST_TEXT: usize = 1 << 20;
const TEXT_EACH: usize = 4 << 10;

/// The ids and environment keys that objects name in a vault.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) ids: HashSet<String>,
    pub(super) env_keys: HashSet<String>,
}

/// The secrets of a list that some object names.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    secrets: Vec<RemoteSecret>,
    gaps: Gaps,
    text: usize,
}

/// What a list does not tell, as elements of it could not be read or kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// Elements that may be any secret.
    unnamed: usize,
    /// The names of those that have one and are named.
    ids: HashSet<String>,
    env_keys: HashSet<String>,
}

impl Names {
    fn concern(&self, id: &str, env_key: &str) -> bool {
        self.ids.contains(id) || self.env_keys.contains(env_key)
    }

    fn len(&self) -> usize {
        self.ids.len() + self.env_keys.len()
    }
}

impl Snapshot {
    /// Takes the next element of the list, if it is about anything that is named.
    pub(super) fn take(&mut self, element: Result<RemoteSecret, Unreadable>, names: &Names) {
        match element {
            Ok(secret) if !names.concern(&secret.id, &secret.env_key) => {}
            Ok(secret) => {
                let text = self.text + secret.size();
                if self.secrets.len() < MOST + 2 * names.len()
                    && text <= MOST_TEXT + TEXT_EACH * names.len()
                {
                    self.text = text;
                    self.secrets.push(secret);
                } else {
                    self.gaps.unnamed += 1;
                }
            }
            Err(Unreadable { name: None }) => self.gaps.unnamed += 1,
            Err(Unreadable { name: Some(name) }) => {
                if names.concern(&name.id, &name.env_key) {
                    self.gaps.ids.insert(name.id);
                    self.gaps.env_keys.insert(name.env_key);
                }
            }
        }
    }

    /// The secrets, in the order of the list.
    pub(super) fn secrets(&self) -> &[RemoteSecret] {
        &self.secrets
    }

    /// What the list does not tell.
    pub(super) fn gaps(&self) -> &Gaps {
        &self.gaps
    }

    /// What answered is there, whether the list shows it or not.
    pub(super) fn take_over(&mut self, answer: &RemoteSecret) {
        match (self.secrets.iter_mut()).find(|secret| secret.id == answer.id) {
            Some(known) => known.clone_from(answer),
            None => self.secrets.push(answer.clone()),
        }
    }

    /// See [`find`].
    pub(super) fn find(&self, target: &Target, bound: Option<&str>) -> Option<Remote> {
        find(&self.secrets, &self.gaps, target, bound)
    }
}

impl Gaps {
    /// Whether the list tells all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self {
            unnamed,
            ids,
            env_keys,
        } = self;
        *unnamed == 0 && ids.is_empty() && env_keys.is_empty()
    }

    /// How many elements may be any secret.
    #[must_use]
    pub fn unnamed(&self) -> usize {
        self.unnamed
    }

    #[cfg(test)]
    pub(crate) fn unnamed_one() -> Self {
        Self {
            unnamed: 1,
            ..Self::default()
        }
    }

    fn may_be_id(&self, id: &str) -> bool {
        self.unnamed > 0 || self.ids.contains(id)
    }

    fn may_be_env_key(&self, key: &str) -> bool {
        self.unnamed > 0 || self.env_keys.contains(key)
    }
}

/// The secret that is bound, or that `target` names, among those that a list shows. None where the list has gaps and
/// does not tell: what it lacks may be in one, and so may a second secret of the same environment key.
pub(crate) fn find<S: Borrow<RemoteSecret>>(
    secrets: &[S],
    gaps: &Gaps,
    target: &Target,
    bound: Option<&str>,
) -> Option<Remote> {
    let mut secrets = secrets.iter().map(Borrow::borrow);
    let Target {
        vault_id: _,
        secret_id,
        env_key,
    } = target;
    if let Some(id) = bound.or(secret_id.as_deref()) {
        return match (secrets.find(|secret| secret.id == id), env_key) {
            (None, _) => (!gaps.may_be_id(id)).then_some(Remote::Absent),
            (Some(secret), Some(key)) if secret.env_key != *key => {
                Some(Remote::Mismatch(secret.env_key.clone()))
            }
            (Some(secret), _) => Some(Remote::Listed(secret.clone())),
        };
    }
    let mut named = secrets.filter(|secret| Some(&secret.env_key) == env_key.as_ref());
    let in_doubt = env_key
        .as_deref()
        .is_some_and(|key| gaps.may_be_env_key(key));
    match (named.next(), named.count()) {
        (Some(_), more @ 1..) => Some(Remote::Ambiguous(more + 1)),
        _ if in_doubt => None,
        (None, _) => Some(Remote::Absent),
        (Some(secret), 0) => Some(Remote::Listed(secret.clone())),
    }
}

#[cfg(test)]
mod tests;
