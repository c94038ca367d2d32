//! What holds for whatever the server, or a Secret with an API key, holds.

#![expect(clippy::missing_panics_doc, reason = "to panic is what a law is for")]

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, header};
use secrecy::SecretString;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::{
    error::{MAX_RETRY_AFTER, documented_error, retry_after},
    key::ApiKey,
    list::{MAX_DEPTH, MAX_ELEMENT, Splitter},
    model::RemoteSecret,
    same_instant,
    scrub::{self, MAX_MESSAGE_CHARS, is_invisible},
};
use crate::fuzzing::{parts, two_texts};

/// An answer about one secret, or an error. Input: a value that was sent, the body.
pub fn response(input: &[u8]) {
    let mut parts = parts(input);
    let value = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let body = parts.next().unwrap_or_default();
    // Where it is too deep for serde, or a number too large, in what is passed over.
    let object = serde_json::from_slice::<Map<String, Value>>(body).ok();
    let says = |field: &str, text: &str| {
        assert!(serde_json::from_slice::<IgnoredAny>(body).is_ok());
        assert!(body.trim_ascii_start().starts_with(b"{"));
        assert!(object.as_ref().is_none_or(|object| object[field] == text));
    };
    if let Some(said) = documented_error(body) {
        says("error", &said);
    }
    let Ok(secret) = RemoteSecret::parse(body) else {
        return;
    };
    says("id", &secret.id);
    says("env_key", &secret.env_key);
    says("updated_at", &secret.updated_at);
    assert!(!secret.id.is_empty() && !secret.env_key.is_empty());
    let again = json!({
        "id": secret.id,
        "env_key": secret.env_key,
        "allowed_domains": secret.allowed_domains,
        "created_at": secret.created_at,
        "updated_at": secret.updated_at,
    });
    assert_eq!(
        RemoteSecret::parse(again.to_string().as_bytes()),
        Ok(secret.clone())
    );
    let texts: Vec<&String> = [&secret.id, &secret.env_key, &secret.updated_at]
        .into_iter()
        .chain(&secret.created_at)
        .chain(&secret.allowed_domains)
        .collect();
    if secret.fits() {
        assert!(texts.iter().all(|text| text.len() <= 1024));
        assert!(!texts.iter().any(|text| text.contains(char::is_control)));
        assert!(secret.allowed_domains.len() <= 1000);
    }
    repeated(&secret, &texts, value);
}

/// A value that stands in an answer is seen, whatever stands around it.
fn repeated(secret: &RemoteSecret, texts: &[&String], value: String) {
    let trimmed = value.trim();
    let there = trimmed.len() >= 12 && texts.iter().any(|text| text.contains(trimmed));
    let value = SecretString::from(value);
    assert!(!there || secret.repeats(&value, |_| false));
    assert!(!secret.repeats(&value, |_| true));
}

/// A list, in pieces. Input: the sizes of the pieces, the body.
pub fn list(input: &[u8]) {
    let mut parts = parts(input);
    let sizes = parts.next().unwrap_or_default();
    let body = parts.next().unwrap_or_default();
    if body.len() > MAX_ELEMENT {
        return;
    }
    let whole = split([body]);
    assert_eq!(split(body.chunks(1)), whole);
    assert_eq!(split(pieces(body, sizes)), whole);

    let (elements, outcome) = whole;
    let object = |element: &Option<Vec<u8>>| serde_json::from_slice(element.as_ref()?).ok();
    let objects: Vec<Option<Map<String, Value>>> = elements.iter().map(object).collect();
    if let Ok(expected) = serde_json::from_slice::<Vec<Value>>(body) {
        let expected = expected.into_iter().map(|element| match element {
            Value::Object(object) => Some(object).filter(|object| depth(object) <= MAX_DEPTH),
            _ => None,
        });
        assert_eq!((objects, outcome), (expected.collect(), Ok(())));
    } else {
        assert!(outcome.is_err() || objects.contains(&None));
    }
}

/// The elements, `None` for those that are passed over.
fn split<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Option<Vec<u8>>>, Result<(), &'static str>) {
    let mut splitter = Splitter::default();
    let mut elements = Vec::new();
    let mut keep = |element: Option<&[u8]>| elements.push(element.map(<[u8]>::to_vec));
    let fed = pieces
        .into_iter()
        .try_for_each(|piece| splitter.feed(piece, &mut keep));
    let outcome = fed.and_then(|()| splitter.finish());
    (elements, outcome)
}

fn pieces<'a>(body: &'a [u8], sizes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = body;
    let mut sizes = sizes.iter().cycle();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let size = sizes.next().map_or(rest.len(), |size| usize::from(*size));
        let piece;
        // None is empty for ever.
        (piece, rest) = rest.split_at(size.clamp(1, rest.len()));
        Some(piece)
    })
}

fn depth(object: &Map<String, Value>) -> usize {
    fn of(value: &Value) -> usize {
        match value {
            Value::Array(all) => 1 + all.iter().map(of).max().unwrap_or(0),
            Value::Object(object) => depth(object),
            _ => 0,
        }
    }
    1 + object.values().map(of).max().unwrap_or(0)
}

/// A message of the server that is passed on. Input: the API key, the message.
pub fn scrub(input: &[u8]) {
    let [key, message] = two_texts(input);
    let Ok(key) = ApiKey::parse(&key) else {
        return;
    };
    let key = key.expose();
    let left = scrub::scrub(&message, key);
    assert!(left.chars().count() <= MAX_MESSAGE_CHARS);
    assert!(!left.chars().any(|c| c.is_control() || is_invisible(c)));
    let folded = left.to_ascii_lowercase();
    assert!(!folded.contains("nr_"));
    // The mask itself would be the key, or make it up with what stands around it.
    if !key.contains('*') {
        assert!(!folded.contains(&key.to_ascii_lowercase()));
        assert_eq!(scrub::scrub(&left, key), left);
    }
}

/// What a Secret has for an API key.
pub fn api_key(input: &[u8]) {
    let Ok(key) = ApiKey::parse(input) else {
        return;
    };
    let trimmed = input.trim_ascii();
    assert_eq!(key.expose().as_bytes(), trimmed);
    let header = key.authorization().expect("a key can be sent");
    assert_eq!(header.as_bytes(), [b"Bearer ", trimmed].concat());
    assert!(header.is_sensitive());
    assert_eq!(format!("{key:?}"), "ApiKey([REDACTED])");
}

/// Times. Input: two of them, of which the first is `Retry-After` and the second `Date` as well.
pub fn times(input: &[u8]) {
    let [a, b] = two_texts(input);
    assert!(same_instant(&a, &a) && same_instant(&b, &b));
    assert_eq!(same_instant(&a, &b), same_instant(&b, &a));
    let mut headers = HeaderMap::new();
    for (name, text) in [(header::RETRY_AFTER, a), (header::DATE, b)] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
        }
    }
    for now in [SystemTime::UNIX_EPOCH, SystemTime::now()] {
        if let Some(pause) = retry_after(&headers, now) {
            assert!((Duration::from_secs(1)..=MAX_RETRY_AFTER).contains(&pause));
        }
    }
}
