//! How often the API is asked whether it accepts a key. Pure.

use std::time::{Duration, Instant};

/// How soon a refused key is tried again: it may have been refused by mistake.
const PROBE: Duration = Duration::from_mins(1);

/// How long it is at most from one try of a key that was never accepted to the next.
const LONGEST: Duration = Duration::from_hours(1);

/// What the API said of a key, whichever connection asked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Health {
    /// It accepted the key when it was last asked, and nothing has raised a doubt since.
    pub(super) verified: bool,
    /// It accepted the key once.
    accepted: bool,
    /// How often it has refused it since.
    refusals: u32,
    asked: Option<Instant>,
}

impl Health {
    /// Asks to ask about the key, which is refused at present or not: `Err` with the time left, where it is too soon.
    pub(super) fn may_ask(&mut self, refused: bool, now: Instant) -> Result<(), Duration> {
        let pause = if refused {
            self.pause()
        } else {
            Duration::ZERO
        };
        let passed = self.asked.map(|asked| now.saturating_duration_since(asked));
        match passed.and_then(|passed| pause.checked_sub(passed)) {
            Some(left) if !left.is_zero() => Err(left),
            _ => {
                self.asked = Some(now);
                Ok(())
            }
        }
    }

    pub(super) fn accepts(&mut self) {
        self.verified = true;
        self.accepted = true;
        self.refusals = 0;
    }

    pub(super) fn refuses(&mut self) {
        self.verified = false;
        self.refusals = self.refusals.saturating_add(1);
    }

    /// Whether the key was good once: it is tried every minute then.
    pub(super) const fn was_accepted(&self) -> bool {
        self.accepted
    }

    /// From one try of a refused key to the next. One that was never accepted (as far as this process knows) grows ever
    /// less likely to be: anybody can have any number of those.
    pub(super) fn pause(&self) -> Duration {
        if self.accepted {
            return PROBE;
        }
        let doublings = self.refusals.saturating_sub(1).min(16);
        (PROBE * 2u32.pow(doublings)).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    /// When a refused key is tried, in minutes.
    fn tries(mut health: Health, minutes: u32) -> Vec<u32> {
        let now = Instant::now();
        let mut tried = Vec::new();
        for minute in 0..minutes {
            if health.may_ask(true, now + minute * MINUTE).is_ok() {
                health.refuses();
                tried.push(minute);
            }
        }
        tried
    }

    #[test]
    fn a_key_that_was_never_accepted_is_tried_ever_less() {
        let expected = [0, 1, 3, 7, 15, 31, 63, 123, 183];
        assert_eq!(tries(Health::default(), 240), expected);
    }

    #[test]
    fn one_that_was_is_tried_every_minute() {
        let mut health = Health::default();
        health.refuses();
        health.accepts();
        assert!(health.verified);
        assert_eq!(tries(health, 60), (0..60).collect::<Vec<_>>());
    }

    #[test]
    fn one_that_is_not_refused_is_asked_about_at_any_time() {
        let (mut health, now) = (Health::default(), Instant::now());
        for _ in 0..3 {
            assert_eq!(health.may_ask(false, now), Ok(()));
        }
        health.refuses();
        assert_eq!(health.may_ask(true, now), Err(MINUTE));
    }
}
