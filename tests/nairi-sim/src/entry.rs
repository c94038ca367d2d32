//! A request in the log, and some of them.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use hyper::header::HeaderMap;
use hyper::http::request::Parts;
use hyper::{Method, Version};
use serde_json::Value;

use crate::fault::FaultId;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is being worked on, or stalls.
    Pending,
    /// It was answered with this status; a body that streams may still be under way.
    Answered(u16),
    /// The connection was cut instead of an answer.
    Cut,
    /// The client left, or the simulator stopped, before there was an answer.
    Abandoned,
}

/// One request.
#[derive(Clone)]
pub struct Entry {
    /// Its place in the log, from 0, never reused.
    pub seq: u64,
    /// The number of its connection, from 1.
    pub connection: u64,
    /// Its protocol.
    pub version: Version,
    /// Its method.
    pub method: Method,
    /// Its path, and its query if any.
    pub path: String,
    /// Its headers, `authorization` and `user-agent` among them.
    pub headers: HeaderMap,
    /// Its body, byte for byte.
    pub body: Bytes,
    /// When it had arrived in full.
    pub arrived: Instant,
    /// The same by the wall clock.
    pub arrived_at: SystemTime,
    /// When its outcome was known.
    pub ended: Option<Instant>,
    /// The same by the wall clock.
    pub ended_at: Option<SystemTime>,
    /// What became of it.
    pub outcome: Outcome,
    /// Whether it changed what is stored: false for a no-op, a refused request, and one a fault kept from being worked on.
    pub applied: bool,
    /// The fault that met it.
    pub fault: Option<FaultId>,
    /// The secret it is about: named in its path, or created by it.
    pub secret_id: Option<String>,
    write: bool,
}

impl Entry {
    /// A request that has arrived; the log gives it its place.
    pub(crate) fn new(connection: u64, head: &Parts, body: Bytes) -> Self {
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let noop = |body: &[u8]| matches!(serde_json::from_slice(body), Ok(Value::Object(fields)) if fields.is_empty());
        let write = match head.method.as_str() {
            "POST" | "DELETE" | "PUT" => true,
            "PATCH" => !noop(&body),
            _ => false,
        };
        Self {
            seq: 0,
            connection,
            version: head.version,
            method: head.method.clone(),
            path: path.to_owned(),
            headers: head.headers.clone(),
            body,
            arrived: Instant::now(),
            arrived_at: SystemTime::now(),
            ended: None,
            ended_at: None,
            outcome: Outcome::Pending,
            applied: false,
            fault: None,
            secret_id: crate::api::secret_in(head.uri.path()).map(str::to_owned),
            write,
        }
    }

    /// The status it was answered with.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self.outcome {
            Outcome::Answered(status) => Some(status),
            Outcome::Pending | Outcome::Cut | Outcome::Abandoned => None,
        }
    }

    /// Whether it asked for a write: a PATCH whose body is not an empty object, a POST, or a DELETE.
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.write
    }

    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The body's field names, sorted; never values.
    #[must_use]
    pub fn fields(&self) -> Vec<String> {
        match self.json() {
            Some(Value::Object(fields)) => {
                let mut names: Vec<String> = fields.into_iter().map(|(name, _)| name).collect();
                names.sort();
                names
            }
            _ => Vec::new(),
        }
    }

    /// From arrival to outcome.
    #[must_use]
    pub fn took(&self) -> Option<Duration> {
        self.ended.map(|ended| ended.duration_since(self.arrived))
    }
}

/// Shows everything but the values and the key: a failed assertion may end in a public log.
impl fmt::Debug for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "#{} {} {} {:?} {} bytes → {:?}{}",
            self.seq,
            self.method,
            self.path,
            self.fields(),
            self.body.len(),
            self.outcome,
            if self.applied { ", applied" } else { "" }
        )
    }
}

/// A place in the log: everything after it is newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub u64);

/// Some requests, in the order of their arrival. Reads as a slice; the filters can be chained.
#[derive(Clone, Debug, Default)]
pub struct Entries(pub(crate) Vec<Arc<Entry>>);

impl Entries {
    /// Those that arrived after the mark was taken.
    #[must_use]
    pub fn since(&self, mark: Mark) -> Self {
        self.only(|entry| entry.seq >= mark.0)
    }

    /// Those that asked for a write: see [`Entry::is_write`].
    #[must_use]
    pub fn writes(&self) -> Self {
        self.only(Entry::is_write)
    }

    /// Those about one secret.
    #[must_use]
    pub fn secret(&self, id: &str) -> Self {
        self.only(|entry| entry.secret_id.as_deref() == Some(id))
    }

    /// Those of one method.
    #[must_use]
    pub fn method(&self, method: &str) -> Self {
        self.only(|entry| entry.method == method)
    }

    /// Those whose outcome is known.
    #[must_use]
    pub fn ended(&self) -> Self {
        self.only(|entry| entry.outcome != Outcome::Pending)
    }

    /// Those of which a test says yes.
    #[must_use]
    pub fn only(&self, test: impl Fn(&Entry) -> bool) -> Self {
        Self(self.0.iter().filter(|entry| test(entry)).cloned().collect())
    }
}

impl Deref for Entries {
    type Target = [Arc<Entry>];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
