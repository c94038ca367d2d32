//! Whom the server asked for silence (`Retry-After`): everybody who uses the key, or one namespace. Pure.
//!
//! The server means the key, as far as anybody knows, so at first everybody is silent. But a limit may be one of a
//! vault or of a secret, and then a tenant who keeps running into it would keep all others silent. So a namespace that
//! runs into it again, within an hour, is silent alone, until another namespace of the key is told the same meanwhile.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// For how long after its silence a namespace is remembered as having drawn one.
const REMEMBERED: Duration = Duration::from_hours(1);

/// Who is silent until when.
#[derive(Debug, Default)]
pub(super) struct Silence {
    all: Option<Instant>,
    groups: HashMap<String, Instant>,
    /// The first that used the key, and whether there was ever another.
    first: Option<String>,
    shared: bool,
}

impl Silence {
    /// `group` uses the key.
    pub(super) fn seen(&mut self, group: &str) {
        match &self.first {
            None => self.first = Some(group.to_owned()),
            Some(first) => self.shared |= first != group,
        }
    }

    /// The server asks `group` for silence, or whoever it may be. Never shortens one. Says whether all are silent.
    pub(super) fn ask(&mut self, group: Option<&str>, until: Instant, now: Instant) -> bool {
        self.groups.retain(|_, until| *until + REMEMBERED > now);
        let alone = group.is_some_and(|group| {
            let mut others = self.groups.iter().filter(|(other, _)| *other != group);
            self.shared
                && self.groups.contains_key(group)
                && self.until(None, now).is_none()
                && !others.any(|(_, until)| *until > now)
        });
        if let Some(group) = group {
            let old = self.groups.entry(group.to_owned()).or_insert(until);
            *old = until.max(*old);
        }
        if !alone {
            self.all = self.all.max(Some(until));
        }
        !alone
    }

    /// Until when all are silent, or `group` is.
    pub(super) fn until(&self, group: Option<&str>, now: Instant) -> Option<Instant> {
        let own = group.and_then(|group| self.groups.get(group)).copied();
        self.all.max(own).filter(|until| *until > now)
    }

    /// Whether anybody is silent.
    pub(super) fn is_kept(&self, now: Instant) -> bool {
        let mut groups = self.groups.values();
        self.until(None, now).is_some() || groups.any(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn seen(groups: &[&str]) -> Silence {
        let mut silence = Silence::default();
        for group in groups {
            silence.seen(group);
        }
        silence
    }

    #[test]
    fn everybody_is_silent_and_no_silence_is_shortened() {
        let (mut silence, now) = (seen(&["a", "b"]), Instant::now());
        assert!(silence.ask(Some("a"), now + 2 * MINUTE, now));
        assert!(
            silence.ask(Some("a"), now + MINUTE, now),
            "of those on their way"
        );
        for group in [None, Some("a"), Some("b")] {
            assert_eq!(silence.until(group, now), Some(now + 2 * MINUTE));
        }
        let later = now + 2 * MINUTE;
        assert_eq!(silence.until(Some("a"), later), None);
        assert!(!silence.is_kept(later));
    }

    #[test]
    fn who_draws_it_again_is_silent_alone() {
        let (mut silence, mut now) = (seen(&["a", "b"]), Instant::now());
        assert!(silence.ask(Some("a"), now + MINUTE, now));
        for _ in 0..100 {
            now += 2 * MINUTE;
            assert!(!silence.ask(Some("a"), now + MINUTE, now));
            assert_eq!(silence.until(Some("a"), now), Some(now + MINUTE));
            assert_eq!(silence.until(Some("b"), now), None);
            assert!(silence.is_kept(now));
        }
        now += MINUTE + REMEMBERED;
        assert!(
            silence.ask(Some("a"), now + MINUTE, now),
            "that is long ago"
        );
    }

    #[test]
    fn two_who_draw_it_at_a_time_speak_for_the_key() {
        let (mut silence, now) = (seen(&["a", "b", "c"]), Instant::now());
        for group in ["a", "b"] {
            silence.ask(Some(group), now + MINUTE, now);
        }
        let now = now + 2 * MINUTE;
        assert!(!silence.ask(Some("a"), now + MINUTE, now));
        assert!(silence.ask(Some("b"), now + MINUTE, now));
        assert_eq!(silence.until(Some("c"), now), Some(now + MINUTE));
    }

    #[test]
    fn where_one_uses_the_key_alone_or_nobody_is_known_it_is_the_key_each_time() {
        let now = Instant::now();
        let mut alone = seen(&["a", "a"]);
        let mut unknown = seen(&["a", "b"]);
        for round in 0..3 {
            let now = now + 2 * round * MINUTE;
            assert!(alone.ask(Some("a"), now + MINUTE, now));
            assert!(unknown.ask(None, now + MINUTE, now));
        }
    }
}
