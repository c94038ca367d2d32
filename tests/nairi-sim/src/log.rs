//! The request log: what arrived, byte for byte, and what became of it.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use hyper::header::HeaderMap;
use hyper::{Method, Version};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant as Deadline, timeout_at};

use crate::fault::FaultId;
use crate::lock;

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
pub struct Entries(Vec<Arc<Entry>>);

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

/// A wait ended before what was waited for; says what the log held instead.
#[derive(Clone, Debug)]
pub struct TimedOut {
    /// How long it waited.
    pub waited: Duration,
    /// What the log held at the end.
    pub entries: Entries,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "not seen within {:?}; the log holds {} requests, the last: {:#?}",
            self.waited,
            self.entries.len(),
            self.entries.iter().rev().take(10).rev().collect::<Vec<_>>()
        )
    }
}

impl std::error::Error for TimedOut {}

/// Called with every request whose outcome is known.
pub type Observer = Arc<dyn Fn(&Entry) + Send + Sync>;

/// The log. A clone is the same log.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

struct Inner {
    kept: Mutex<Kept>,
    changes: watch::Sender<u64>,
    limit: usize,
    observer: Option<Observer>,
}

#[derive(Default)]
struct Kept {
    entries: VecDeque<Arc<Entry>>,
    next: u64,
}

impl Log {
    pub(crate) fn new(limit: usize, observer: Option<Observer>) -> Self {
        let changes = watch::Sender::new(0);
        Self(Arc::new(Inner {
            kept: Mutex::default(),
            changes,
            limit,
            observer,
        }))
    }

    /// Everything logged.
    #[must_use]
    pub fn all(&self) -> Entries {
        Entries(self.kept().entries.iter().cloned().collect())
    }

    /// What arrived after the mark was taken.
    #[must_use]
    pub fn since(&self, mark: Mark) -> Entries {
        self.all().since(mark)
    }

    /// All that asked for a write: see [`Entry::is_write`].
    #[must_use]
    pub fn writes(&self) -> Entries {
        self.all().writes()
    }

    /// All about one secret.
    #[must_use]
    pub fn secret(&self, id: &str) -> Entries {
        self.all().secret(id)
    }

    /// The place where the next request will be logged.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.kept().next)
    }

    /// Forgets everything logged; marks stay valid.
    pub fn clear(&self) {
        self.kept().entries.clear();
        self.changed();
    }

    /// Waits until the log is as wanted, and returns it as it was then.
    ///
    /// # Errors
    /// When that did not happen within `timeout`.
    pub async fn wait_for(
        &self,
        mut wanted: impl FnMut(&Entries) -> bool,
        timeout: Duration,
    ) -> Result<Entries, TimedOut> {
        let deadline = Deadline::now() + timeout;
        let mut changes = self.0.changes.subscribe();
        loop {
            changes.borrow_and_update();
            let entries = self.all();
            if wanted(&entries) {
                return Ok(entries);
            }
            if !matches!(timeout_at(deadline, changes.changed()).await, Ok(Ok(()))) {
                return Err(TimedOut {
                    waited: timeout,
                    entries,
                });
            }
        }
    }

    pub(crate) fn begin(
        &self,
        head: &hyper::http::request::Parts,
        body: Bytes,
        connection: u64,
    ) -> Ticket {
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let noop = |body: &[u8]| matches!(serde_json::from_slice(body), Ok(Value::Object(fields)) if fields.is_empty());
        let write = match head.method.as_str() {
            "POST" | "DELETE" | "PUT" => true,
            "PATCH" => !noop(&body),
            _ => false,
        };
        let mut kept = self.kept();
        let seq = kept.next;
        kept.next += 1;
        if kept.entries.len() >= self.0.limit {
            kept.entries.pop_front();
        }
        kept.entries.push_back(Arc::new(Entry {
            seq,
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
        }));
        drop(kept);
        self.changed();
        Ticket {
            log: self.clone(),
            seq,
            open: true,
        }
    }

    fn update(&self, seq: u64, change: impl FnOnce(&mut Entry)) -> Option<Arc<Entry>> {
        let mut kept = self.kept();
        let first = kept.entries.front()?.seq;
        let index = usize::try_from(seq.checked_sub(first)?).ok()?;
        let entry = kept.entries.get_mut(index)?;
        change(Arc::make_mut(entry));
        let entry = entry.clone();
        drop(kept);
        self.changed();
        Some(entry)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        lock(&self.0.kept)
    }

    fn changed(&self) {
        self.0
            .changes
            .send_modify(|version| *version = version.wrapping_add(1));
    }
}

/// The entry of a request that is being worked on. Dropped without an outcome, the request was abandoned.
pub(crate) struct Ticket {
    log: Log,
    seq: u64,
    open: bool,
}

impl Ticket {
    pub(crate) fn note(&self, change: impl FnOnce(&mut Entry)) {
        self.log.update(self.seq, change);
    }

    pub(crate) fn end(mut self, outcome: Outcome) {
        self.close(outcome);
    }

    fn close(&mut self, outcome: Outcome) {
        self.open = false;
        let ended = self.log.update(self.seq, |entry| {
            entry.outcome = outcome;
            entry.ended = Some(Instant::now());
            entry.ended_at = Some(SystemTime::now());
        });
        if let (Some(entry), Some(observer)) = (ended, &self.log.0.observer) {
            observer(&entry);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.open {
            self.close(Outcome::Abandoned);
        }
    }
}
