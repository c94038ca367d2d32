//! What goes over the wire.

use std::fmt;
use std::io::{self, Write};

use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// Timestamps are kept verbatim; longer ones than this are no timestamps.
const MAX_TIMESTAMP_LEN: usize = 64;

/// The most domains of one secret, the longest of its texts in bytes, and all of them together, that are kept: far
/// more than is of any use, and little enough for a status.
const MAX_DOMAINS: usize = 1000;
const MAX_TEXT: usize = 1024;
const MAX_TEXTS: usize = 64 * 1024;

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
        let secret: Self = serde_json::from_slice(json)
            .map_err(|_| "is not a secret in JSON with id, env_key and updated_at")?;
        if secret.id.is_empty() || secret.env_key.is_empty() {
            return Err("has an empty id or env_key");
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
        let value = Zeroizing::new(value.expose_secret().trim().to_lowercase());
        // Shorter ones are in any text by chance, and are no secrets.
        value.len() >= SHORTEST_SECRET
            && self
                .texts()
                .filter(|text| !known(text))
                .any(|text| text.to_lowercase().contains(value.as_str()))
    }

    /// Whether it can be kept, in memory and in a status: nothing in it is too much, too long or not printable.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.allowed_domains.len() <= MAX_DOMAINS
            && self.texts().map(String::len).sum::<usize>() <= MAX_TEXTS
            && self
                .texts()
                .all(|text| text.len() <= MAX_TEXT && !text.contains(char::is_control))
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

/// Loose on purpose, as times are shown verbatim: short, and visible ASCII or spaces.
fn is_timestamp_like(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_TIMESTAMP_LEN
        && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
}

/// The fields to change. An absent field is left out of the body; `null` is never sent.
///
/// Without any field the body is `{}`, the documented no-op, which reads the secret.
#[derive(Clone, Default)]
pub struct SecretPatch {
    /// The new value.
    pub value: Option<SecretString>,
    /// The new domains. An empty list lifts every restriction.
    pub allowed_domains: Option<Vec<String>>,
}

impl SecretPatch {
    /// Whether nothing would change: the body is `{}`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.value.is_none() && self.allowed_domains.is_none()
    }

    /// The body. Measured before it is written, so that no growing buffer leaves copies of the
    /// value behind, and zeroed when the last reference to it goes.
    pub(super) fn body(&self) -> io::Result<Bytes> {
        let mut length = Length(0);
        self.write(&mut length)?;
        let mut body = Zeroizing::new(Vec::with_capacity(length.0));
        self.write(&mut *body)?;
        Ok(Bytes::from_owner(Body(body)))
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Self {
            value,
            allowed_domains,
        } = self;
        out.write_all(b"{")?;
        if let Some(value) = value {
            out.write_all(b"\"value\":")?;
            serde_json::to_writer(&mut *out, value.expose_secret())?;
        }
        if let Some(domains) = allowed_domains {
            if value.is_some() {
                out.write_all(b",")?;
            }
            out.write_all(b"\"allowed_domains\":")?;
            serde_json::to_writer(&mut *out, domains)?;
        }
        out.write_all(b"}")
    }
}

impl fmt::Debug for SecretPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretPatch")
            .field("value", &self.value.as_ref().map(|_| "[REDACTED]"))
            .field("allowed_domains", &self.allowed_domains)
            .finish()
    }
}

struct Body(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Counts what is written.
struct Length(usize);

impl Write for Length {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0 += buf.len();
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn patch(value: Option<&str>, domains: Option<&[&str]>) -> SecretPatch {
        SecretPatch {
            value: value.map(SecretString::from),
            allowed_domains: domains.map(|all| all.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn only_the_fields_to_change_are_in_the_body() {
        for (patch, body) in [
            (patch(None, None), "{}"),
            (patch(Some("a\"\\\n"), None), r#"{"value":"a\"\\\n"}"#),
            (patch(None, Some(&[])), r#"{"allowed_domains":[]}"#),
            (
                patch(Some("v"), Some(&["*.a.com", "b.com"])),
                r#"{"value":"v","allowed_domains":["*.a.com","b.com"]}"#,
            ),
        ] {
            assert_eq!(patch.body().expect("a body"), body);
            assert_eq!(patch.is_empty(), body == "{}");
        }
    }

    #[test]
    fn a_value_is_never_printed() {
        let shown = format!("{:?}", patch(Some("canary"), Some(&["a.com"])));
        assert!(!shown.contains("canary"));
        assert!(shown.contains("a.com"));
    }

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
    }

    #[test]
    fn what_no_status_could_hold_does_not_fit() {
        let fits = |field, value| with(field, Some(value)).expect("a secret").fits();
        let of = |length| "x".repeat(length);
        assert!(fits("allowed_domains", json!(vec![of(60); MAX_DOMAINS])));
        assert!(!fits("allowed_domains", json!(vec!["a"; MAX_DOMAINS + 1])));
        assert!(!fits("allowed_domains", json!(vec![of(MAX_TEXT); 64])));
        assert!(fits("env_key", json!(of(MAX_TEXT))));
        assert!(!fits("env_key", json!(of(MAX_TEXT + 1))));
        for hidden in ["A\nlevel=INFO", "\u{1b}[2J", "\u{9b}1m"] {
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
            twice,
            "{\"id\":\"\u{1}canary",
        ] {
            let error = RemoteSecret::parse(bad.as_bytes()).expect_err("an error");
            assert!(!error.contains("canary"));
        }
    }

    proptest! {
        #[test]
        fn the_body_says_what_the_patch_says(
            value in prop::option::of(".*"),
            domains in prop::option::of(prop::collection::vec(".*", 0..4)),
        ) {
            let patch = SecretPatch {
                value: value.clone().map(SecretString::from),
                allowed_domains: domains.clone(),
            };
            let body = patch.body().expect("a body");
            let mut expected = serde_json::Map::new();
            expected.extend(value.map(|value| ("value".to_owned(), json!(value))));
            expected.extend(domains.map(|all| ("allowed_domains".to_owned(), json!(all))));
            let read: Value = serde_json::from_slice(&body).expect("JSON");
            prop_assert_eq!(read, Value::Object(expected));
            // The buffer had its final size from the start.
            let mut length = Length(0);
            patch.write(&mut length).expect("counted");
            prop_assert_eq!(length.0, body.len());
        }

        #[test]
        fn no_answer_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = RemoteSecret::parse(&bytes);
        }
    }
}
