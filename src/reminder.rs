//! A log line that is said now and then, instead of each time.

use std::time::{Duration, Instant};

use tracing::warn;

/// How often a line says what is still missing.
const SAY_AGAIN: Duration = Duration::from_secs(30);

/// Says what is missing while it is waited for.
#[derive(Debug, Default)]
pub struct Reminder {
    said: Option<(String, Instant)>,
}

impl Reminder {
    /// Says it, unless that was said a moment ago.
    pub fn say(&mut self, message: String) {
        let repeated = self
            .said
            .as_ref()
            .is_some_and(|(said, at)| *said == message && at.elapsed() < SAY_AGAIN);
        if !repeated {
            warn!("{message}");
            self.said = Some((message, Instant::now()));
        }
    }
}
