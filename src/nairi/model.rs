//! What comes back.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::scrub::is_plain;

/// Timestamps are kept verbatim; longer ones than this are no timestamps.
const MAX_TIMESTAMP_LEN: usize = 64;

/// The most domains of one secret, the longest of its texts in bytes, and all of them together, that are kept: far
/// more than is of any use, and little enough for a status.
const MAX_DOMAINS: usize = 1000;
const MAX_TEXT: usize = 1024;
const MAX_TEXTS: usize = 32 * 1024;

/// The most text of domains, in bytes, that may be declared: what the CustomResourceDefinition allows in ASCII, which
/// fits with all else. In other scripts it would allow more than fits.
pub(crate) const MAX_DECLARED: usize = 100 * 253;

/// The shortest value, in bytes, that is looked for in an answer.
const SHORTEST_SECRET: usize = 6;

/// A secret as the API shows it. The value never comes back.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RemoteSecret {
    /// The opaque id.
    pub id: String,
    /// The name of the environment variable.
    pub env_key: String,
    /// Where the value may be sent. `null` and absence read as the empty list, which is what they
    /// would mean: no restriction.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub allowed_domains: Vec<String>,
    /// When it was created, verbatim.
    #[serde(default)]
    pub created_at: Option<String>,
    /// When it was changed last, verbatim. For [`same_instant`](super::same_instant), never for
    /// ordering.
    pub updated_at: String,
}

fn null_as_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl RemoteSecret {
    /// One object of an answer. What is wrong is said in words of our own: serde's would quote
    /// what the server sent.
    pub(super) fn parse(json: &[u8]) -> Result<Self, &'static str> {
        const NO_SECRET: &str = "is not a secret in JSON with id, env_key and updated_at";
        if !is_object(json) {
            return Err(NO_SECRET);
        }
        let secret: Self = serde_json::from_slice(json).map_err(|_| NO_SECRET)?;
        if !sendable(&secret.id) {
            return Err(NO_ID);
        }
        if secret.env_key.is_empty() {
            return Err("has an empty env_key");
        }
        if !is_timestamp_like(&secret.updated_at)
            || !secret.created_at.as_deref().is_none_or(is_timestamp_like)
        {
            return Err("has an updated_at or created_at that is no timestamp");
        }
        Ok(secret)
    }
}

impl RemoteSecret {
    /// Whether the answer to a request that carried `value` repeats it in a text that is not `known`:
    /// what an answer holds goes into status, and a value never may. Case and the white space around it don't
    /// count: a service that takes it for a domain may fold and trim it.
    #[must_use]
    pub fn repeats(&self, value: &SecretString, known: impl Fn(&str) -> bool) -> bool {
        let value = Zeroizing::new(folded(value.expose_secret().trim()));
        // Shorter ones are in any text by chance, and are no secrets.
        value.len() >= SHORTEST_SECRET
            && self
                .texts()
                .filter(|text| !known(text))
                .any(|text| folded(text).contains(value.as_str()))
    }

    /// Whether it can be kept, in memory and in a status: nothing in it is too much, too long or not printable.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.allowed_domains.len() <= MAX_DOMAINS
            && self.size() <= MAX_TEXTS
            && self
                .texts()
                .all(|text| text.len() <= MAX_TEXT && is_plain(text))
    }

    /// The size of all its texts in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.texts().map(String::len).sum()
    }

    fn texts(&self) -> impl Iterator<Item = &String> {
        let Self {
            id,
            env_key,
            allowed_domains,
            created_at,
            updated_at,
        } = self;
        [id, env_key, updated_at]
            .into_iter()
            .chain(created_at)
            .chain(allowed_domains)
    }
}

/// An element of a vault's list that is not a secret anybody can rely on, or can't be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// What it is called, where at least that can be read: it says nothing of any other secret then.
    pub name: Option<Name>,
}

/// What a secret is called.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Name {
    /// Its id.
    pub id: String,
    /// The name of the environment variable.
    pub env_key: String,
}

impl Unreadable {
    /// One of which nothing is known.
    pub(super) const UNNAMED: Self = Self { name: None };

    fn new(json: &[u8]) -> Self {
        Self {
            name: serde_json::from_slice(json).ok(),
        }
    }
}

/// One element of a list.
pub(super) fn element(json: &[u8]) -> Result<RemoteSecret, Unreadable> {
    let secret = RemoteSecret::parse(json).ok().filter(RemoteSecret::fits);
    secret.ok_or_else(|| Unreadable::new(json))
}

pub(super) const NO_ID: &str = "shows an id that is not made of 1 to 128 letters, digits, _ and -";

/// Whether it can be an id, and a segment of a path as it is. Ids are opaque, yet nothing but these characters is
/// sent: no id can reach another path.
pub(crate) fn sendable(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// In lower case, letter by letter: `str::to_lowercase` looks at what follows a sigma, so that a text would be folded
/// otherwise within another. As large as it can get from the start, so that no copy of it is left behind.
fn folded(text: &str) -> String {
    let mut folded = String::with_capacity(2 * text.len());
    folded.extend(text.chars().flat_map(char::to_lowercase));
    folded
}

/// Whether JSON is an object, if it is sound at all: serde also takes an array for a struct.
pub(super) fn is_object(json: &[u8]) -> bool {
    json.trim_ascii_start().first() == Some(&b'{')
}

/// Loose on purpose, as times are shown verbatim: short, and visible ASCII or spaces.
fn is_timestamp_like(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_TIMESTAMP_LEN
        && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const WHOLE: &str = r#"{"id":"sec_1","env_key":"A","allowed_domains":["a.com"],"created_at":"c","updated_at":"u"}"#;

    /// `WHOLE` with a field set, or taken out.
    fn with(field: &str, value: Option<Value>) -> Result<RemoteSecret, &'static str> {
        let mut object: Value = serde_json::from_str(WHOLE).expect("JSON");
        let map = object.as_object_mut().expect("an object");
        match value {
            Some(value) => map.insert(field.to_owned(), value),
            None => map.remove(field),
        };
        RemoteSecret::parse(&serde_json::to_vec(&object).expect("JSON"))
    }

    #[test]
    fn what_may_be_missing_and_what_may_not() {
        let whole = RemoteSecret::parse(WHOLE.as_bytes()).expect("a secret");
        assert_eq!(whole.allowed_domains, ["a.com"]);
        assert_eq!(with("surprise", Some(json!({"deep": [1]}))), Ok(whole));
        for field in ["id", "env_key", "updated_at"] {
            assert!(with(field, None).is_err(), "{field}");
            for bad in [Value::Null, json!(""), json!(7), json!([])] {
                assert!(with(field, Some(bad)).is_err(), "{field}");
            }
        }
        for absent in [None, Some(Value::Null)] {
            let secret = with("created_at", absent.clone()).expect("a secret");
            assert_eq!(secret.created_at, None);
            let secret = with("allowed_domains", absent).expect("a secret");
            assert!(secret.allowed_domains.is_empty());
        }
        assert!(with("allowed_domains", Some(json!("a.com"))).is_err());
        assert!(with("allowed_domains", Some(json!([null]))).is_err());
    }

    #[test]
    fn an_id_is_a_segment_of_a_path() {
        for bad in [
            "..",
            "../../vaults",
            "a/b",
            "a%2fb",
            "a?b",
            "a#b",
            "a b",
            "\u{1b}[31m",
            "\u{e9}",
            &"x".repeat(129),
        ] {
            assert_eq!(with("id", Some(json!(bad))), Err(NO_ID), "{bad}");
        }
        assert!(with("id", Some(json!("x".repeat(128)))).is_ok());
    }

    #[test]
    fn an_element_that_is_no_secret_may_have_a_name() {
        let read = |text: &str| element(text.as_bytes());
        assert!(read(WHOLE).is_ok());
        let named = |id: &str, env_key: &str| {
            let (id, env_key) = (id.to_owned(), env_key.to_owned());
            let name = Some(Name { id, env_key });
            Err(Unreadable { name })
        };
        assert_eq!(read(r#"{"id":"sec_1","env_key":"A"}"#), named("sec_1", "A"));
        assert_eq!(
            read(&WHOLE.replace("sec_1", "../x")),
            named("../x", "A"),
            "not an id"
        );
        assert_eq!(
            read(&WHOLE.replace("a.com", &"x".repeat(MAX_TEXT + 1))),
            named("sec_1", "A"),
            "too long"
        );
        for nameless in [
            "{}",
            r#"{"id":7,"env_key":"A","updated_at":"u"}"#,
            r#"{"id":"sec_1","id":"sec_2","env_key":"A","updated_at":"u"}"#,
            r#"{"id":"sec_1","env_key":"A","updated_at":"u""#,
            "{\"id\":\"sec_1\",\"env_key\":\"\u{1}\"}",
        ] {
            assert_eq!(read(nameless), Err(Unreadable::UNNAMED), "{nameless}");
        }
        assert_eq!(
            element(b"{\"id\":\"sec_1\",\"env_key\":\"\xff\"}"),
            Err(Unreadable::UNNAMED)
        );
    }

    #[test]
    fn a_timestamp_is_short_and_visible() {
        for bad in [
            "a\u{1b}[31m",
            "a\nb",
            "\u{202e}",
            &"x".repeat(MAX_TIMESTAMP_LEN + 1),
        ] {
            assert!(with("updated_at", Some(json!(bad))).is_err());
            assert!(with("created_at", Some(json!(bad))).is_err());
        }
        assert!(with("updated_at", Some(json!("2026-04-12 18:50 UTC"))).is_ok());
    }

    #[test]
    fn a_value_is_recognised_however_it_is_spelled() {
        let value = SecretString::from(" \"Hunter2\" ünd MEHR\n");
        let nothing = |_: &str| false;
        for domain in [
            "\"Hunter2\" ünd MEHR",
            "*.\"hunter2\" ünd mehr.com",
            "\"HUNTER2\" ÜND MEHR\n",
        ] {
            let secret = with("allowed_domains", Some(json!(["a.com", domain]))).expect("a secret");
            assert!(secret.repeats(&value, nothing), "{domain}");
            assert!(!secret.repeats(&value, |text| text == domain));
        }
        let secret = with("allowed_domains", None).expect("a secret");
        assert!(!secret.repeats(&value, nothing));
        assert!(!secret.repeats(&SecretString::from(" sec_1\n"), nothing));
        let (sigma, domain) = (SecretString::from("ΚΩΔΙΚΟΣ"), "ΚΩΔΙΚΟΣα.com");
        let secret = with("allowed_domains", Some(json!([domain]))).expect("a secret");
        assert!(secret.repeats(&sigma, nothing));
    }

    #[test]
    fn what_no_status_could_hold_does_not_fit() {
        let fits = |field, value| with(field, Some(value)).expect("a secret").fits();
        let of = |length| "x".repeat(length);
        // As many as can be declared, of the greatest length.
        assert!(fits("allowed_domains", json!(vec![of(253); 100])));
        assert!(fits("allowed_domains", json!(vec![of(30); MAX_DOMAINS])));
        assert!(!fits("allowed_domains", json!(vec!["a"; MAX_DOMAINS + 1])));
        assert!(!fits("allowed_domains", json!(vec![of(MAX_TEXT); 32])));
        assert!(fits("env_key", json!(of(MAX_TEXT))));
        assert!(!fits("env_key", json!(of(MAX_TEXT + 1))));
        for hidden in ["A\nlevel=INFO", "\u{1b}[2J", "\u{9b}1m", "a\u{202e}b"] {
            assert!(!fits("env_key", json!(hidden)));
            assert!(!fits("allowed_domains", json!([hidden])));
        }
    }

    #[test]
    fn what_was_sent_is_not_in_the_error() {
        let twice = r#"{"id":"canary","id":"canary","env_key":"A","updated_at":"u"}"#;
        for bad in [
            r#"{"id":7,"env_key":"canary"}"#,
            "canary",
            "[\"canary\",\"A\",[],\"c\",\"u\"]",
            twice,
            "{\"id\":\"\u{1}canary",
        ] {
            let error = RemoteSecret::parse(bad.as_bytes()).expect_err("an error");
            assert!(!error.contains("canary"));
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = RemoteSecret::parse(&bytes);
        }
    }
}
