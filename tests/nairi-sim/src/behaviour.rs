//! The switches: one for every answer the documentation leaves open.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::TimeFormat;
use crate::millis;

/// How the API behaves where its documentation is silent, and the few documented oddities. The default is the
/// simplest reading. All of it can be changed at run time with [`Sim::behave`](crate::Sim::behave).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Behaviour {
    /// Whether a `value` equal to the stored one counts as a change and moves `updated_at` (open: values are stored
    /// encrypted with a random nonce).
    pub equal_value_is_change: bool,
    /// Whether domains are stored in ASCII lower case (open).
    pub domains_folded: bool,
    /// The order in which domains are stored (open).
    pub domains_order: DomainsOrder,
    /// Whether a domain sent twice is stored once (open).
    pub domains_deduplicated: bool,
    /// How far the lists lag behind (read-after-write is open).
    pub list_lag: Lag,
    /// A list shows the first so many secrets only (no paging is documented, and none is excluded).
    pub list_truncated: Option<usize>,
    /// Ids of secrets that the lists leave out, though they exist.
    pub list_omits: Vec<String>,
    /// Elements added to every list of secrets, whatever they are.
    pub list_adds: Vec<Value>,
    /// The order of a list (unstated).
    pub list_order: ListOrder,
    /// Fields added to every secret in an answer (a later version may add some).
    pub extra_fields: Map<String, Value>,
    /// Fields left out of every secret in an answer, such as `updated_at`.
    pub missing_fields: Vec<String>,
    /// Whether `updated_at` is shown earlier than `created_at`, as in the example of the documentation.
    pub updated_before_created: bool,
    /// How lists spell time stamps.
    pub list_time: TimeFormat,
    /// How the answers of PATCH and POST spell time stamps.
    pub object_time: TimeFormat,
    /// Whether new time stamps are whole seconds, so that a spelling without a fraction names the same instant.
    pub whole_seconds: bool,
    /// What a POST of an `env_key` that the vault has already is answered (open; 400 is likely).
    pub duplicate_env_key: Duplicate,
    /// Whether an empty `value` is refused with 400 (open).
    pub empty_value_refused: bool,
    /// Whether a `null` field is read as an absent one, instead of being refused with 400 (open).
    pub null_is_absent: bool,
    /// Whether unknown fields of a request are refused with 400, instead of being ignored (open).
    pub unknown_fields_refused: bool,
    /// The name of the count in `GET /vaults` (that there is one is doc, its name is open).
    pub vault_count_field: String,
    /// How long every request waits before anything happens to it.
    #[serde(rename = "latency_ms", with = "millis")]
    pub latency: Duration,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            equal_value_is_change: false,
            domains_folded: false,
            domains_order: DomainsOrder::AsSent,
            domains_deduplicated: false,
            list_lag: Lag::None,
            list_truncated: None,
            list_omits: Vec::new(),
            list_adds: Vec::new(),
            list_order: ListOrder::Created,
            extra_fields: Map::new(),
            missing_fields: Vec::new(),
            updated_before_created: false,
            list_time: TimeFormat::Millis,
            object_time: TimeFormat::Millis,
            whole_seconds: false,
            duplicate_env_key: Duplicate::Refused(400),
            empty_value_refused: true,
            null_is_absent: false,
            unknown_fields_refused: false,
            vault_count_field: String::from("secret_count"),
            latency: Duration::ZERO,
        }
    }
}

impl Behaviour {
    /// The domains as the service would store them.
    pub(crate) fn normalised(&self, mut domains: Vec<String>) -> Vec<String> {
        if self.domains_folded {
            for domain in &mut domains {
                domain.make_ascii_lowercase();
            }
        }
        if self.domains_deduplicated {
            let mut seen = std::collections::HashSet::new();
            domains.retain(|domain| seen.insert(domain.clone()));
        }
        match self.domains_order {
            DomainsOrder::AsSent => {}
            DomainsOrder::Sorted => domains.sort(),
            DomainsOrder::Reversed => domains.reverse(),
        }
        domains
    }
}

/// The order in which the service stores domains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DomainsOrder {
    /// As they were sent.
    #[default]
    AsSent,
    /// Sorted by bytes.
    Sorted,
    /// The last one first.
    Reversed,
}

/// How far a list lags behind: what a stale replica would show. PATCH answers never lag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lag {
    /// A list shows every write at once.
    #[default]
    None,
    /// A list does not show the last so many writes to its vault (10,000 at most).
    Writes(usize),
    /// A list does not show the writes of the last so many milliseconds.
    #[serde(rename = "duration_ms", with = "millis")]
    Duration(Duration),
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListOrder {
    /// The oldest first.
    #[default]
    Created,
    /// The newest first.
    Reversed,
    /// Another order at every call.
    Shuffled,
}

/// What becomes of a POST whose `env_key` the vault has already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duplicate {
    /// A second secret of that `env_key` is created.
    Allowed,
    /// It is refused with this status: 400 or 409.
    Refused(u16),
}
