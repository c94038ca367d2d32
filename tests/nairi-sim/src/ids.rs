//! Ids, API keys and time stamps as the API shows them.

use std::iter::repeat_with;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The alphabet of a ULID (Crockford's base 32).
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// How many characters a ULID has.
const ULID: usize = 26;

/// A new vault id: `vlt_` and a ULID (doc).
#[must_use]
pub fn vault_id() -> String {
    format!("vlt_{}", ulid())
}

/// A new secret id: `sec_` and a ULID (doc).
#[must_use]
pub fn secret_id() -> String {
    format!("sec_{}", ulid())
}

/// A new API key: `nr_` and 40 letters and digits (the prefix is doc, the rest is open).
#[must_use]
pub fn api_key() -> String {
    let mut key = String::from("nr_");
    key.extend(repeat_with(fastrand::alphanumeric).take(40));
    key
}

/// Whether an id is `prefix` and a ULID; one that is not gives 400 (doc).
#[must_use]
pub fn well_formed(prefix: &str, id: &str) -> bool {
    id.strip_prefix(prefix).is_some_and(|ulid| {
        ulid.len() == ULID
            && ulid.bytes().all(|byte| CROCKFORD.contains(&byte))
            && ulid.as_bytes()[0] <= b'7'
    })
}

/// 48 bits of milliseconds and 80 random bits.
fn ulid() -> String {
    let millis = u128::try_from(now_millis()).unwrap_or_default() & ((1 << 48) - 1);
    let mut rest = millis << 80 | fastrand::u128(..1 << 80);
    let mut text = [0; ULID];
    for place in text.iter_mut().rev() {
        *place = CROCKFORD[(rest & 31) as usize];
        rest >>= 5;
    }
    text.iter().map(|&byte| char::from(byte)).collect()
}

/// Milliseconds since 1970.
pub(crate) fn now_millis() -> i64 {
    Timestamp::now().as_millisecond()
}

/// How an instant is spelled. The examples of the documentation show [`TimeFormat::Millis`]; that it stays so, and
/// that the list and the answer of a PATCH spell it alike, is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeFormat {
    /// `2026-04-25T11:45:19.000Z`
    #[default]
    Millis,
    /// `2026-04-25T11:45:19.000000Z`
    Micros,
    /// `2026-04-25T11:45:19.000+00:00`
    MillisOffset,
    /// `2026-04-25T11:45:19Z`: the same instant only under [`whole_seconds`](crate::Behaviour::whole_seconds).
    Seconds,
    /// `2026-04-25T11:45:19+00:00`: the same instant only under [`whole_seconds`](crate::Behaviour::whole_seconds).
    SecondsOffset,
    /// No RFC 3339 at all: milliseconds since 1970 as digits in a string.
    EpochMillis,
}

impl TimeFormat {
    /// Spells the instant, given in milliseconds since 1970.
    #[must_use]
    pub fn spell(self, millis: i64) -> String {
        let pattern = match self {
            Self::Millis => "%Y-%m-%dT%H:%M:%S.%3fZ",
            Self::Micros => "%Y-%m-%dT%H:%M:%S.%6fZ",
            Self::MillisOffset => "%Y-%m-%dT%H:%M:%S.%3f+00:00",
            Self::Seconds => "%Y-%m-%dT%H:%M:%SZ",
            Self::SecondsOffset => "%Y-%m-%dT%H:%M:%S+00:00",
            Self::EpochMillis => return millis.to_string(),
        };
        let instant = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH);
        instant.strftime(pattern).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_well_formed() {
        let (vault, secret) = (vault_id(), secret_id());
        assert!(well_formed("vlt_", &vault), "{vault}");
        assert!(well_formed("sec_", &secret), "{secret}");
        assert!(!well_formed("sec_", &vault));
        assert!(!well_formed("sec_", "sec_01KQ27AQH800XQTQPJZ0DH14SU"));
        assert!(!well_formed("sec_", "sec_01KQ27AQH800XQTQPJZ0DH14S"));
        assert!(well_formed("sec_", "sec_01KQ27AQH800XQTQPJZ0DH14SJ"));
    }

    #[test]
    fn one_instant_has_many_spellings() {
        let spelled = |format: TimeFormat| format.spell(1_777_117_519_000);
        assert_eq!(spelled(TimeFormat::Millis), "2026-04-25T11:45:19.000Z");
        assert_eq!(spelled(TimeFormat::Micros), "2026-04-25T11:45:19.000000Z");
        assert_eq!(
            spelled(TimeFormat::MillisOffset),
            "2026-04-25T11:45:19.000+00:00"
        );
        assert_eq!(spelled(TimeFormat::Seconds), "2026-04-25T11:45:19Z");
        assert_eq!(
            spelled(TimeFormat::SecondsOffset),
            "2026-04-25T11:45:19+00:00"
        );
        assert_eq!(spelled(TimeFormat::EpochMillis), "1777117519000");
    }
}
