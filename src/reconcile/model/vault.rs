//! The vault: what it holds, what its switches make of what is sent, and what its lists show.

use k8s_openapi::jiff::Timestamp;

use crate::{nairi::RemoteSecret, vaults::Gaps};

/// The answers to what the API leaves open.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(super) struct Switches {
    pub(super) equal_value_is_change: bool,
    pub(super) folds: bool,
    pub(super) reverses: bool,
    /// Answers and lists spell one instant differently.
    pub(super) two_formats: bool,
    /// A vault takes an environment key once.
    pub(super) unique_keys: bool,
}

/// What a PATCH or POST carries.
#[derive(Clone, Default)]
pub(super) struct Sending {
    pub(super) value: Option<String>,
    pub(super) domains: Option<Vec<String>>,
}

/// A remote secret.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stored {
    pub(super) id: String,
    pub(super) env_key: String,
    pub(super) value: String,
    pub(super) domains: Vec<String>,
    updated: i64,
}

/// What lists show.
#[derive(Clone, Debug)]
enum Lists {
    Exact,
    /// What was there once.
    Late(Vec<Stored>),
    /// All but every other one, from this one on.
    Lacking(usize),
    /// The same, and there are elements that can't be read in their place.
    Torn(usize),
    /// No list comes.
    Failing,
}

/// What may be wrong with lists.
#[derive(Clone, Copy, Debug)]
pub(super) enum Blur {
    Nothing,
    Late,
    Lacking(usize),
    Torn(usize),
    Failing,
}

pub(super) struct Vault {
    pub(super) switches: Switches,
    pub(super) secrets: Vec<Stored>,
    lists: Lists,
    /// Whether a list has ever shown anything else than what was there.
    pub(super) blurred: bool,
    pub(super) clock: i64,
    made: usize,
}

impl Vault {
    /// With a secret of each of these environment keys.
    pub(super) fn new(switches: Switches, env_keys: &[&str]) -> Self {
        let mut vault = Self {
            switches,
            secrets: Vec::new(),
            lists: Lists::Exact,
            blurred: false,
            clock: 1000,
            made: 0,
        };
        for env_key in env_keys {
            vault.add(env_key);
        }
        vault.clock += 1000;
        vault
    }

    /// Somebody else adds a secret.
    pub(super) fn add(&mut self, env_key: &str) {
        let before = Sending {
            value: Some("before".into()),
            domains: Some(vec!["before.com".into()]),
        };
        self.create(env_key, before);
    }

    /// Stores a new secret, unless its key is taken; says its id.
    pub(super) fn create(&mut self, env_key: &str, sending: Sending) -> Option<String> {
        if self.switches.unique_keys && self.has_key(env_key) {
            return None;
        }
        self.clock += 1;
        let id = format!("sec_{}", self.made);
        self.made += 1;
        self.secrets.push(Stored {
            id: id.clone(),
            env_key: env_key.to_owned(),
            value: sending.value.unwrap_or_default(),
            domains: self.normalised(sending.domains.unwrap_or_default()),
            updated: self.clock,
        });
        Some(id)
    }

    pub(super) fn has_key(&self, env_key: &str) -> bool {
        self.secrets.iter().any(|secret| secret.env_key == env_key)
    }

    pub(super) fn get(&self, id: &str) -> Option<&Stored> {
        self.secrets.iter().find(|secret| secret.id == id)
    }

    pub(super) fn delete(&mut self, id: &str) {
        self.clock += 1;
        self.secrets.retain(|secret| secret.id != id);
    }

    /// Stores a PATCH, whoever sent it; false where there is no such secret.
    pub(super) fn store(&mut self, id: &str, sending: Sending) -> bool {
        let domains = sending.domains.map(|domains| self.normalised(domains));
        self.clock += 1;
        let Some(secret) = self.secrets.iter_mut().find(|secret| secret.id == id) else {
            return false;
        };
        let mut changed = false;
        if let Some(value) = sending.value {
            changed |= value != secret.value || self.switches.equal_value_is_change;
            secret.value = value;
        }
        if let Some(domains) = domains {
            changed |= domains != secret.domains;
            secret.domains = domains;
        }
        if changed {
            secret.updated = self.clock;
        }
        true
    }

    /// Somebody else writes; only if it changes anything is there anything to see.
    pub(super) fn outsider(&mut self, id: &str, value: Option<u8>, choice: Option<u8>) {
        let before = self.get(id).map(|secret| secret.value.clone());
        let sending = Sending {
            value: value
                .map(|value| format!("outsider {value}"))
                .filter(|value| Some(value) != before.as_ref()),
            domains: choice.map(|choice| vec![format!("outsider{choice}.com")]),
        };
        self.store(id, sending);
    }

    fn normalised(&self, mut domains: Vec<String>) -> Vec<String> {
        if self.switches.folds {
            for domain in &mut domains {
                domain.make_ascii_lowercase();
            }
        }
        if self.switches.reverses {
            domains.reverse();
        }
        domains
    }

    /// What is wrong with lists from now on.
    pub(super) fn blur(&mut self, blur: Blur) {
        self.blurred |= !matches!(blur, Blur::Nothing | Blur::Torn(_) | Blur::Failing);
        self.lists = match blur {
            Blur::Nothing => Lists::Exact,
            Blur::Late => Lists::Late(self.secrets.clone()),
            Blur::Lacking(from) => Lists::Lacking(from),
            Blur::Torn(from) => Lists::Torn(from),
            Blur::Failing => Lists::Failing,
        };
    }

    /// As answers show a secret.
    pub(super) fn answer(&self, id: &str) -> Option<RemoteSecret> {
        let suffix = if self.switches.two_formats {
            ".000Z"
        } else {
            "Z"
        };
        self.get(id).map(|secret| secret.shown(suffix))
    }

    /// The vault's list with what it leaves open, if one comes.
    pub(super) fn list(&self) -> Option<(Vec<RemoteSecret>, Gaps)> {
        let gaps = match self.lists {
            Lists::Torn(_) => Gaps::unnamed_one(),
            _ => Gaps::default(),
        };
        Some((self.listed()?, gaps))
    }

    fn listed(&self) -> Option<Vec<RemoteSecret>> {
        let show = |secret: &Stored| secret.shown("Z");
        match &self.lists {
            Lists::Exact => Some(self.secrets.iter().map(show).collect()),
            Lists::Late(then) => Some(then.iter().map(show).collect()),
            Lists::Lacking(from) | Lists::Torn(from) => {
                let all = self.secrets.iter().enumerate();
                let shown = all.filter(|(number, _)| number % 2 != from % 2);
                Some(shown.map(|(_, secret)| show(secret)).collect())
            }
            Lists::Failing => None,
        }
    }
}

impl Stored {
    fn shown(&self, suffix: &str) -> RemoteSecret {
        let time = Timestamp::from_second(self.updated)
            .expect("a time")
            .to_string();
        RemoteSecret {
            id: self.id.clone(),
            env_key: self.env_key.clone(),
            allowed_domains: self.domains.clone(),
            created_at: None,
            updated_at: time.replace('Z', suffix),
        }
    }
}
