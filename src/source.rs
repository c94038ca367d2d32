//! Keys of one Secret, read so that their content is never logged, cached or left in memory.
//!
//! kube's typed client logs the whole body of an answer that fails to decode; here the body is read as
//! text, decoded here, and no decoding error is passed on, since it could quote a value.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, decoded_len_estimate, engine::general_purpose::STANDARD};
use k8s_openapi::api::core::v1::Secret;
use kube::{Client, Resource as _, core::Request};
use serde::Deserialize;
use tracing::Instrument as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{spans, template::Data};

#[cfg(any(test, fuzzing))]
pub mod fuzzing;

/// One key of a Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyOf<'a> {
    /// The Secret's namespace.
    pub namespace: &'a str,
    /// The Secret's name.
    pub name: &'a str,
    /// The key in its data.
    pub key: &'a str,
}

/// What was read.
pub struct Content {
    /// The key's content, where the Secret has the key.
    pub bytes: Option<Vec<u8>>,
    /// uid/resourceVersion of the Secret.
    pub version: String,
}

/// Several keys of one Secret, at one instant.
pub struct Contents {
    /// The keys that were wanted and are there.
    pub data: Data,
    /// uid/resourceVersion of the Secret.
    pub version: String,
}

/// Why a Secret could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none of that name.
    #[error("it does not exist")]
    NotFound,
    /// The operator may not read it.
    #[error("the operator may not read it (RBAC)")]
    Forbidden,
    /// The API server's answer is not a Secret.
    #[error("the API server's answer is not a Secret")]
    Undecodable,
    /// The API server could not be asked.
    #[error("the Kubernetes API server could not be asked: {0}")]
    Unavailable(String),
}

/// Reads one key of one Secret, within `limit`.
///
/// # Errors
/// See [`Error`]; none holds any content.
pub async fn read(client: &Client, of: KeyOf<'_>, limit: Duration) -> Result<Content, Error> {
    let text = get(client, of.namespace, of.name, limit).await?;
    decode(&text, of.key).ok_or(Error::Undecodable)
}

/// Reads the `wanted` keys of one Secret, within `limit`.
///
/// # Errors
/// See [`Error`]; none holds any content.
pub async fn read_keys(
    client: &Client,
    (namespace, name): (&str, &str),
    wanted: impl Fn(&str) -> bool,
    limit: Duration,
) -> Result<Contents, Error> {
    let text = get(client, namespace, name, limit).await?;
    decode_keys(&text, wanted).ok_or(Error::Undecodable)
}

/// The text of a Secret.
async fn get(
    client: &Client,
    namespace: &str,
    name: &str,
    limit: Duration,
) -> Result<Zeroizing<String>, Error> {
    let late = || Err(Error::Unavailable("it did not answer in time".to_owned()));
    let request = request(client, namespace, name).instrument(spans::kubernetes(
        "GET",
        "Secret",
        Some(namespace),
        name,
    ));
    tokio::time::timeout(limit, request)
        .await
        .unwrap_or_else(|_| late())
}

async fn request(client: &Client, namespace: &str, name: &str) -> Result<Zeroizing<String>, Error> {
    let path = Secret::url_path(&(), Some(namespace));
    let request = Request::new(path)
        .get(name, &kube::api::GetParams::default())
        .map_err(|error| Error::Unavailable(error.to_string()))?;
    client
        .request_text(request)
        .await
        .map(Zeroizing::new)
        .map_err(|error| match error {
            kube::Error::Api(status) if status.code == 404 => Error::NotFound,
            kube::Error::Api(status) if status.code == 403 => Error::Forbidden,
            kube::Error::Api(status) => Error::Unavailable(format!("HTTP {}", status.code)),
            kube::Error::FromUtf8(error) => {
                // The bytes are the Secret's.
                error.into_bytes().zeroize();
                Error::Undecodable
            }
            other => Error::Unavailable(brief(&other)),
        })
}

/// What went wrong with a request to Kubernetes, without anything of its content.
#[must_use]
pub fn brief(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            "the operator is not allowed to (RBAC)".to_owned()
        }
        kube::Error::Api(status) => format!("HTTP {}", status.code),
        kube::Error::HyperError(_) | kube::Error::Service(_) => "it can't be reached".to_owned(),
        kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => {
            "its answer can't be decoded".to_owned()
        }
        _ => "the request failed".to_owned(),
    }
}

/// No copy of another key's content is made.
fn decode(text: &str, key: &str) -> Option<Content> {
    let Encoded { data, version } = parse(text)?;
    let bytes = match data.get(key) {
        Some(encoded) => Some(decoded(encoded)?),
        None => None,
    };
    Some(Content { bytes, version })
}

/// The same for several keys.
fn decode_keys(text: &str, wanted: impl Fn(&str) -> bool) -> Option<Contents> {
    let Encoded { data, version } = parse(text)?;
    let entries = data.into_iter().filter(|(key, _)| wanted(key));
    let decoded = |(key, encoded): (&str, &str)| {
        let bytes = Zeroizing::new(decoded(encoded)?);
        Some((key.to_owned(), bytes))
    };
    Some(Contents {
        data: entries.map(decoded).collect::<Option<_>>()?,
        version,
    })
}

/// A Secret's data as it is on the wire.
struct Encoded<'a> {
    data: BTreeMap<&'a str, &'a str>,
    version: String,
}

/// Everything is borrowed from `text`, which is zeroed by its owner. Base64 and the names of keys hold no character
/// that JSON escapes.
fn parse(text: &str) -> Option<Encoded<'_>> {
    #[derive(Deserialize)]
    struct Body<'a> {
        metadata: Metadata<'a>,
        #[serde(borrow, default)]
        data: Option<BTreeMap<&'a str, &'a str>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Metadata<'a> {
        uid: &'a str,
        resource_version: &'a str,
    }
    let Body { metadata, data } = serde_json::from_str(text).ok()?;
    Some(Encoded {
        data: data.unwrap_or_default(),
        version: version(metadata.uid, metadata.resource_version),
    })
}

/// The content, in a buffer of just its size: one that had to shrink later would leave a copy behind.
fn decoded(encoded: &str) -> Option<Vec<u8>> {
    let mut buffer = Zeroizing::new(vec![0; decoded_len_estimate(encoded.len())]);
    let length = STANDARD.decode_slice(encoded, &mut buffer).ok()?;
    Some(buffer[..length].to_vec())
}

/// The form in which a Secret's version is kept in status.
#[must_use]
pub fn version(uid: &str, resource_version: &str) -> String {
    format!("{uid}/{resource_version}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = r#"{"kind":"Secret","metadata":{"name":"s","uid":"u","resourceVersion":"7","annotations":{"a":"\"quoted\""}},
        "data":{"one":"b25l","two":"dHdv","empty":""},"type":"Opaque"}"#;

    fn bytes(text: &str, key: &str) -> Result<Option<Vec<u8>>, &'static str> {
        decode(text, key)
            .map(|content| content.bytes)
            .ok_or("undecodable")
    }

    #[test]
    fn one_key_is_read_and_the_version_with_it() {
        assert_eq!(bytes(SECRET, "two"), Ok(Some(b"two".to_vec())));
        assert_eq!(bytes(SECRET, "empty"), Ok(Some(vec![])));
        assert_eq!(
            decode(SECRET, "one").map(|content| content.version),
            Some("u/7".to_owned())
        );
    }

    #[test]
    fn only_the_keys_that_are_wanted_are_read() {
        let contents = decode_keys(SECRET, |key| key != "two").expect("a Secret");
        let of = ["one", "two", "empty", "three"].map(|key| contents.data.get(key));
        assert_eq!(of, [Some(&b"one"[..]), None, Some(b""), None]);
        assert_eq!(contents.version, "u/7");
        assert!(decode_keys("{}", |_| true).is_none());
    }

    #[test]
    fn a_missing_key_is_not_an_error_of_the_secret() {
        assert_eq!(bytes(SECRET, "three"), Ok(None));
        assert_eq!(
            bytes(r#"{"metadata":{"uid":"u","resourceVersion":"7"}}"#, "one"),
            Ok(None)
        );
        assert_eq!(
            bytes(
                r#"{"metadata":{"uid":"u","resourceVersion":"7"},"data":null}"#,
                "one"
            ),
            Ok(None)
        );
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"metadata":{"uid":"u","resourceVersion":"7"},"data":{"one":3}}"#,
            r#"{"metadata":{"uid":"u","resourceVersion":"7"},"data":{"one":"*"}}"#,
        ] {
            assert_eq!(bytes(text, "one"), Err("undecodable"), "{text}");
        }
    }
}
