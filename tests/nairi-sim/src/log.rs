//! The request log: what arrived, byte for byte, and what became of it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use hyper::http::request::Parts;
use tokio::sync::watch;
use tokio::time::{Instant as Deadline, timeout_at};

use crate::entry::{Entries, Entry, Mark, Outcome};
use crate::lock;

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

    /// Watches for so long that the log stays as wanted: returns at once, with the log, when it does not.
    ///
    /// # Errors
    /// With the log as it was when it was no longer as wanted.
    pub async fn stays(
        &self,
        mut wanted: impl FnMut(&Entries) -> bool,
        so_long: Duration,
    ) -> Result<Entries, Entries> {
        match self.wait_for(|entries| !wanted(entries), so_long).await {
            Ok(entries) => Err(entries),
            Err(TimedOut { entries, .. }) => Ok(entries),
        }
    }

    pub(crate) fn begin(&self, head: &Parts, body: Bytes, connection: u64) -> Ticket {
        let mut entry = Entry::new(connection, head, body);
        let mut kept = self.kept();
        let seq = kept.next;
        entry.seq = seq;
        kept.next += 1;
        if kept.entries.len() >= self.0.limit {
            kept.entries.pop_front();
        }
        kept.entries.push_back(Arc::new(entry));
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
