//! Which `updated_at`s a remote secret had before, so that a list that shows one is known to lag behind.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::nairi::same_instant;

/// How many are kept of one object.
const KEPT: usize = 8;

/// How long a list may lag behind and be known for it. What lags further is asked about.
const LATELY: Duration = Duration::from_mins(10);

/// The `updated_at`s that an answer has refuted or superseded lately.
#[derive(Clone, Debug, Default)]
pub struct Outdated(VecDeque<(String, Instant)>);

impl Outdated {
    /// The secret's `updated_at` is this no more.
    pub fn add(&mut self, updated_at: &str, now: Instant) {
        self.0.retain(|(old, _)| !same_instant(old, updated_at));
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back((updated_at.to_owned(), now));
    }

    /// Whether the secret had this `updated_at` before another one, lately.
    #[must_use]
    pub fn contains(&self, updated_at: &str, now: Instant) -> bool {
        self.0.iter().any(|(old, since)| {
            now.saturating_duration_since(*since) < LATELY && same_instant(old, updated_at)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_remembered_for_a_while_however_they_are_spelled() {
        let (mut outdated, began) = (Outdated::default(), Instant::now());
        outdated.add("2026-04-12T18:50:00.000Z", began);
        assert!(outdated.contains("2026-04-12T18:50:00Z", began));
        assert!(!outdated.contains("2026-04-12T18:50:01Z", began));
        let later = began + LATELY;
        assert!(!outdated.contains("2026-04-12T18:50:00Z", later));

        outdated.add("2026-04-12T18:50:00Z", later);
        assert!(outdated.contains("2026-04-12T18:50:00Z", later), "again");
        for number in 0..KEPT {
            outdated.add(&number.to_string(), later);
        }
        assert_eq!(outdated.0.len(), KEPT);
        assert!(!outdated.contains("2026-04-12T18:50:00Z", later));
        assert!(outdated.contains("0", later));
    }
}
