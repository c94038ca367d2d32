//! Which event an occurrence repeats. Pure.
//!
//! kube's own recorder leaves the note out of this: an event that says something new under the same reason would be
//! counted as a repetition of one whose note is no longer true.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// For how long after an event the same is counted as its repetition.
const KEPT: Duration = Duration::from_mins(6);

/// How many are remembered at most: objects in any number may change in these minutes, each with a text of its own.
const MOST: usize = 4096;

/// What two events have in common that are one series.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Same {
    /// uid of the object.
    pub(super) uid: String,
    pub(super) reason: String,
    pub(super) note: String,
}

/// An event that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Published {
    /// Its name.
    pub(super) name: String,
    /// How often it occurred.
    pub(super) count: i32,
}

/// The events of the last minutes.
#[derive(Debug, Default)]
pub(super) struct Series {
    published: HashMap<Same, (Published, Instant)>,
    swept: Option<Instant>,
}

impl Series {
    /// The event that one like `same` repeats.
    pub(super) fn find(&mut self, same: &Same, now: Instant) -> Option<Published> {
        let fresh = |then: Instant| now.saturating_duration_since(then) < KEPT;
        if !self.swept.is_some_and(fresh) {
            self.swept = Some(now);
            self.published.retain(|_, (_, last)| fresh(*last));
        }
        let (event, last) = self.published.get(same)?;
        fresh(*last).then(|| event.clone())
    }

    /// It was published, or counted.
    pub(super) fn note(&mut self, same: Same, event: Published, now: Instant) {
        if self.published.len() >= MOST && !self.published.contains_key(&same) {
            // What is forgotten begins a series of its own when it occurs again.
            self.published.clear();
        }
        self.published.insert(same, (event, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(note: &str) -> Same {
        Same {
            uid: "uid".to_owned(),
            reason: "Created".to_owned(),
            note: note.to_owned(),
        }
    }

    fn published(count: i32) -> Published {
        Published {
            name: "token.1".to_owned(),
            count,
        }
    }

    #[test]
    fn only_what_says_the_same_is_a_repetition() {
        let (mut series, now) = (Series::default(), Instant::now());
        series.note(same("Created sec_1."), published(1), now);
        assert_eq!(
            series.find(&same("Created sec_1."), now),
            Some(published(1))
        );
        assert_eq!(series.find(&same("Created sec_2."), now), None);
    }

    #[test]
    fn a_series_ends_when_it_has_been_quiet() {
        let (mut series, now) = (Series::default(), Instant::now());
        series.note(same("a"), published(1), now);
        let later = now + KEPT / 2;
        assert_eq!(series.find(&same("a"), later), Some(published(1)));
        series.note(same("a"), published(2), later);
        assert_eq!(series.find(&same("a"), now + KEPT), Some(published(2)));
        assert_eq!(series.find(&same("a"), later + KEPT), None);
    }

    #[test]
    fn no_more_is_kept_than_fits() {
        let (mut series, now) = (Series::default(), Instant::now());
        for number in 0..=MOST {
            series.note(same(&number.to_string()), published(1), now);
            assert!(series.published.len() <= MOST);
        }
        let last = same(&MOST.to_string());
        assert_eq!(series.find(&last, now), Some(published(1)));
    }

    #[test]
    fn what_is_over_is_not_kept() {
        let (mut series, now) = (Series::default(), Instant::now());
        for note in ["a", "b", "c"] {
            series.note(same(note), published(1), now);
        }
        assert_eq!(series.find(&same("d"), now + KEPT), None);
        assert!(series.published.is_empty());
    }
}
