//! What is sent.

use std::fmt;
use std::io::{self, Write};

use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

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

/// A secret to be created. The domains are always in the body: left out they would mean that the
/// secret may go anywhere.
#[derive(Clone)]
pub struct NewSecret {
    /// The name of the environment variable.
    pub env_key: String,
    /// The value.
    pub value: SecretString,
    /// Where it may be sent. An empty list is no restriction.
    pub allowed_domains: Vec<String>,
}

impl SecretPatch {
    /// Whether nothing would change: the body is `{}`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.value.is_none() && self.allowed_domains.is_none()
    }

    pub(super) fn body(&self) -> io::Result<Bytes> {
        self.fields().body()
    }

    fn fields(&self) -> Fields<'_> {
        let Self {
            value,
            allowed_domains,
        } = self;
        Fields {
            env_key: None,
            value: value.as_ref(),
            allowed_domains: allowed_domains.as_deref(),
        }
    }
}

impl NewSecret {
    pub(super) fn body(&self) -> io::Result<Bytes> {
        self.fields().body()
    }

    fn fields(&self) -> Fields<'_> {
        let Self {
            env_key,
            value,
            allowed_domains,
        } = self;
        Fields {
            env_key: Some(env_key),
            value: Some(value),
            allowed_domains: Some(allowed_domains),
        }
    }
}

/// The fields of a body.
struct Fields<'a> {
    env_key: Option<&'a str>,
    value: Option<&'a SecretString>,
    allowed_domains: Option<&'a [String]>,
}

impl Fields<'_> {
    /// Measured before it is written, so that no growing buffer leaves copies of the value behind,
    /// and zeroed when the last reference to it goes.
    fn body(&self) -> io::Result<Bytes> {
        let mut length = Length(0);
        self.write(&mut length)?;
        let mut body = Zeroizing::new(Vec::with_capacity(length.0));
        self.write(&mut *body)?;
        Ok(Bytes::from_owner(Body(body)))
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Self {
            env_key,
            value,
            allowed_domains,
        } = self;
        let mut before: &[u8] = b"{";
        if let Some(env_key) = env_key {
            out.write_all(before)?;
            out.write_all(b"\"env_key\":")?;
            serde_json::to_writer(&mut *out, env_key)?;
            before = b",";
        }
        if let Some(value) = value {
            out.write_all(before)?;
            out.write_all(b"\"value\":")?;
            serde_json::to_writer(&mut *out, value.expose_secret())?;
            before = b",";
        }
        if let Some(domains) = allowed_domains {
            out.write_all(before)?;
            out.write_all(b"\"allowed_domains\":")?;
            serde_json::to_writer(&mut *out, domains)?;
            before = b",";
        }
        out.write_all(if before == b"{" { b"{}" } else { b"}" })
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

impl fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewSecret")
            .field("env_key", &self.env_key)
            .field("value", &"[REDACTED]")
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

    fn new(domains: &[&str]) -> NewSecret {
        NewSecret {
            env_key: "A_KEY".to_owned(),
            value: SecretString::from("canary"),
            allowed_domains: domains.iter().map(ToString::to_string).collect(),
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
    fn every_field_of_a_new_secret_is_in_the_body() {
        assert_eq!(
            new(&["a.com"]).body().expect("a body"),
            r#"{"env_key":"A_KEY","value":"canary","allowed_domains":["a.com"]}"#
        );
        assert_eq!(
            new(&[]).body().expect("a body"),
            r#"{"env_key":"A_KEY","value":"canary","allowed_domains":[]}"#
        );
    }

    #[test]
    fn a_value_is_never_printed() {
        for shown in [
            format!("{:?}", patch(Some("canary"), Some(&["a.com"]))),
            format!("{:?}", new(&["a.com"])),
        ] {
            assert!(!shown.contains("canary"));
            assert!(shown.contains("a.com"));
        }
    }

    proptest! {
        #[test]
        fn the_body_says_what_is_to_be_sent(
            env_key in prop::option::of(".*"),
            value in prop::option::of(".*"),
            domains in prop::option::of(prop::collection::vec(".*", 0..4)),
        ) {
            let secret = value.clone().map(SecretString::from);
            let fields = Fields {
                env_key: env_key.as_deref(),
                value: secret.as_ref(),
                allowed_domains: domains.as_deref(),
            };
            let body = fields.body().expect("a body");
            let mut expected = serde_json::Map::new();
            expected.extend(env_key.as_ref().map(|key| ("env_key".to_owned(), json!(key))));
            expected.extend(value.map(|value| ("value".to_owned(), json!(value))));
            expected.extend(domains.as_ref().map(|all| ("allowed_domains".to_owned(), json!(all))));
            let read: Value = serde_json::from_slice(&body).expect("JSON");
            prop_assert_eq!(read, Value::Object(expected));
            // The buffer had its final size from the start.
            let mut length = Length(0);
            fields.write(&mut length).expect("counted");
            prop_assert_eq!(length.0, body.len());
        }
    }
}
