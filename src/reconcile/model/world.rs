//! The world: what each side holds, and what may be sent in it.

use std::{collections::BTreeMap, sync::OnceLock, time::Instant};

use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;

use super::{Fields, Listing, UID, Verdict, compare, next, truth::Truth};
use crate::{
    api::{
        ConnectionRef, DriftPolicy, SecretKeyRef, ValueFrom, VaultSecret, VaultSecretSpec,
        VaultSecretStatus,
    },
    fingerprint::FingerprintKey,
    ledger::Ledger,
    nairi::{RemoteSecret, same_domains},
    sync_request,
};

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// The object was no longer the one decided for: nothing was sent.
    Outdated,
    /// A definite refusal: nothing was stored.
    Refused,
    /// No answer, nothing stored.
    LostBefore,
    /// No answer, yet stored.
    LostAfter,
}

/// What becomes of the status write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StatusFault {
    None,
    NotWritten,
    /// Written, and the answer lost.
    LostAfter,
    /// The process dies before it.
    Crash,
}

/// The answers to what the API leaves open.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(super) struct Switches {
    pub(super) equal_value_is_change: bool,
    pub(super) folds: bool,
    pub(super) reverses: bool,
    /// Answers and lists spell one instant differently.
    pub(super) two_formats: bool,
}

/// What a PATCH carries.
pub(super) struct Sending {
    pub(super) value: Option<String>,
    pub(super) domains: Option<Vec<String>>,
}

/// The remote secret.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) id: String,
    pub(super) value: String,
    pub(super) domains: Vec<String>,
    pub(super) updated: i64,
}

pub(super) struct World {
    pub(super) switches: Switches,
    pub(super) object: VaultSecret,
    /// Content and version of the source.
    pub(super) source: (u8, u32),
    /// Status and resourceVersion, at the API server.
    server: (VaultSecretStatus, u64),
    /// The same, as the watch has shown it.
    pub(super) cache: (VaultSecretStatus, u64),
    pub(super) ledger: Ledger,
    pub(super) remote: Stored,
    lagging: Option<Stored>,
    clock: i64,
    /// The PATCHes sent.
    pub(super) sent: Vec<Fields>,
    /// `PATCH {}` sent.
    pub(super) reads: usize,
    pub(super) status_writes: usize,
    pub(super) trace: Vec<String>,
    pub(super) truth: Truth,
    /// Whether an answer of ours, or its record, was lost.
    pub(super) lost: bool,
}

pub(super) const BOTH: Fields = Fields {
    value: true,
    allowed_domains: true,
};

pub(super) fn fingerprints() -> &'static FingerprintKey {
    static KEY: OnceLock<FingerprintKey> = OnceLock::new();
    KEY.get_or_init(|| FingerprintKey::from_bytes(&[7; 32]).expect("32 bytes"))
}

/// The domains that a history chooses from.
pub(super) fn domains(choice: u8) -> Vec<String> {
    let all: [&[&str]; 4] = [
        &["a.com"],
        &["B.com", "a.com"],
        &["c.com", "*.D.com", "a.com"],
        &[],
    ];
    all[usize::from(choice) % all.len()]
        .iter()
        .map(|d| (*d).to_owned())
        .collect()
}

fn value(content: u8) -> String {
    format!("value {content}")
}

impl World {
    pub(super) fn new(switches: Switches) -> Self {
        let spec = VaultSecretSpec {
            connection_ref: ConnectionRef::default(),
            vault_id: "vlt_1".into(),
            env_key: Some("KEY".into()),
            value_from: Some(source()),
            allowed_domains: Some(domains(0)),
            allow_unrestricted: true,
            ..VaultSecretSpec::default()
        };
        let mut object = VaultSecret::new("object", spec);
        object.metadata.uid = Some(UID.into());
        object.metadata.generation = Some(1);
        Self {
            switches,
            object,
            source: (0, 1),
            server: (VaultSecretStatus::default(), 1),
            cache: (VaultSecretStatus::default(), 1),
            ledger: Ledger::default(),
            remote: Stored {
                id: "sec_1".into(),
                value: "before".into(),
                domains: vec!["before.com".into()],
                updated: 1000,
            },
            lagging: None,
            clock: 2000,
            sent: Vec::new(),
            reads: 0,
            status_writes: 0,
            trace: Vec::new(),
            truth: Truth::default(),
            lost: false,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_second(self.clock).expect("a time")
    }

    pub(super) fn source_version(&self) -> String {
        format!("s/{}", self.source.1)
    }

    pub(super) fn source_value(&self) -> SecretString {
        SecretString::from(value(self.source.0))
    }

    pub(super) fn source_value_text(&self) -> String {
        value(self.source.0)
    }

    pub(super) fn rotate(&mut self, content: u8) {
        self.source = (content, self.source.1 + 1);
    }

    pub(super) fn touch_source(&mut self) {
        self.source.1 += 1;
    }

    pub(super) fn respecify(&mut self, change: impl FnOnce(&mut VaultSecretSpec)) {
        let before = self.object.spec.clone();
        change(&mut self.object.spec);
        if self.object.spec.value_from.is_none() && self.object.spec.allowed_domains.is_none() {
            self.object.spec = before.clone();
        }
        if self.object.spec != before {
            let generation = self.object.metadata.generation.get_or_insert(0);
            *generation += 1;
        }
    }

    pub(super) fn manage_value(&mut self, managed: bool) {
        self.respecify(|spec| spec.value_from = managed.then(source));
    }

    /// Somebody sets the annotation that asks for a sync, or removes it.
    pub(super) fn request(&mut self, value: Option<u8>) {
        self.object.metadata.annotations = value
            .map(|value| BTreeMap::from([(sync_request::ANNOTATION.into(), value.to_string())]));
        let latest = self.ledger.entry(UID).latest;
        let status = latest.map_or_else(|| self.server.0.clone(), |latest| latest.status);
        self.truth.asked = sync_request::is_pending(&self.object, &status);
    }

    /// The process ends, and another begins: it has listed all objects.
    pub(super) fn restart(&mut self) {
        self.ledger = Ledger::default();
        self.cache = self.server.clone();
        // What was not recorded is not known any more.
        if !self.truth.unrecorded.is_empty() {
            self.truth.doubt = BOTH;
            self.lost = true;
        }
    }

    pub(super) fn catch_up(&mut self) {
        self.cache = self.server.clone();
        self.ledger.cached(UID, &self.cache.1.to_string());
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

    /// The API stores a PATCH, whoever sent it.
    pub(super) fn store(&mut self, sending: Sending) {
        let mut changed = false;
        if let Some(value) = sending.value {
            changed |= value != self.remote.value || self.switches.equal_value_is_change;
            self.remote.value = value;
        }
        if let Some(domains) = sending.domains {
            let domains = self.normalised(domains);
            changed |= domains != self.remote.domains;
            self.remote.domains = domains;
        }
        self.clock += 1;
        if changed {
            self.remote.updated = self.clock;
        }
    }

    /// Somebody else writes; only if it changes anything is there anything to see.
    pub(super) fn outsider(&mut self, value: Option<u8>, choice: Option<u8>) {
        let before = self.remote.clone();
        self.store(Sending {
            value: value
                .map(|v| format!("outsider {v}"))
                .filter(|v| *v != before.value),
            domains: choice.map(|c| vec![format!("outsider{c}.com")]),
        });
    }

    /// As PATCH shows it.
    pub(super) fn answer(&self) -> RemoteSecret {
        let suffix = if self.switches.two_formats {
            ".000Z"
        } else {
            "Z"
        };
        shown(&self.remote, suffix)
    }

    /// As a list shows it.
    pub(super) fn listed(&self) -> RemoteSecret {
        shown(self.lagging.as_ref().unwrap_or(&self.remote), "Z")
    }

    /// The vault is listed, and the list compared with the record in `status`.
    pub(super) fn sweep(&mut self, status: &VaultSecretStatus) {
        let (began, list) = (Instant::now(), [self.listed()]);
        let entry = self.ledger.entry(UID);
        let listing = Listing::new(began, &list);
        let hint = compare(&self.object, status, &entry, &listing, began);
        self.ledger.hint(UID, hint);
    }

    /// Lists show the present state from now on, whatever comes; or are up to date.
    pub(super) fn lag(&mut self, lags: bool) {
        self.lagging = lags.then(|| self.remote.clone());
    }

    /// What `conclude` does with a verdict: the status is written where it differs, and remembered.
    pub(super) fn conclude(
        &mut self,
        previous: &VaultSecretStatus,
        verdict: &Verdict,
        fault: StatusFault,
    ) {
        self.clock += 1;
        if fault == StatusFault::Crash {
            self.restart();
            return;
        }
        if matches!(verdict, Verdict::Synced(_) | Verdict::Drifted { .. }) {
            self.ledger.settled(UID);
        }
        let Some(status) = next(
            previous,
            self.object.metadata.generation,
            sync_request::of(&self.object),
            verdict,
            false,
            self.now(),
        ) else {
            return;
        };
        let latest = self.ledger.entry(UID).latest;
        let (shown, version) =
            match latest.and_then(|latest| Some((latest.status, latest.resource_version?))) {
                Some((status, version)) => (status, version.parse().expect("a number")),
                None => self.cache.clone(),
            };
        if status == shown {
            self.ledger.caught_up(UID);
            return;
        }
        if version != self.server.1 || fault == StatusFault::NotWritten {
            self.ledger.remember(UID, status, None);
            return;
        }
        self.server = (status.clone(), version + 1);
        self.status_writes += 1;
        self.truth.unrecorded = Fields::NONE;
        let version = (fault == StatusFault::None).then(|| self.server.1.to_string());
        self.ledger.remember(UID, status, version);
    }

    pub(super) fn policy(&self) -> DriftPolicy {
        self.object.spec.drift_policy
    }

    /// Whether the vault holds what is declared.
    pub(super) fn as_declared(&self) -> bool {
        let spec = &self.object.spec;
        (spec.value_from.is_none() || self.remote.value == value(self.source.0))
            && spec
                .allowed_domains
                .as_ref()
                .is_none_or(|d| same_domains(d, &self.remote.domains))
    }
}

fn source() -> ValueFrom {
    ValueFrom {
        secret_key_ref: Some(SecretKeyRef {
            name: "source".into(),
            key: "key".into(),
        }),
        template: None,
    }
}

fn shown(stored: &Stored, suffix: &str) -> RemoteSecret {
    let time = Timestamp::from_second(stored.updated)
        .expect("a time")
        .to_string();
    RemoteSecret {
        id: stored.id.clone(),
        env_key: "KEY".into(),
        allowed_domains: stored.domains.clone(),
        created_at: None,
        updated_at: time.replace('Z', suffix),
    }
}
