//! How long to wait after failures in a row.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(5);

/// The delay after the `failures`th failure in a row: doubling from 1 s to 5 min.
#[must_use]
pub fn delay(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (FIRST * 2u32.pow(doublings)).min(LONGEST)
}

/// How soon a write that met a newer object is tried again: the watch brings that object in a moment. It does not grow:
/// an object that somebody keeps changing would get its status ever later.
pub const AFTER_CONFLICT: Duration = Duration::from_millis(200);

/// `delay`, shortened at random by up to half, so that many who failed together don't come back together.
#[must_use]
pub fn jittered(delay: Duration) -> Duration {
    delay.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_from_a_second_to_five_minutes() {
        let seconds: Vec<_> = (0..12).map(|failures| delay(failures).as_secs()).collect();
        assert_eq!(seconds, [1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(delay(u32::MAX), LONGEST);
    }

    #[test]
    fn jitter_only_shortens_and_never_below_half() {
        for _ in 0..1000 {
            let jittered = jittered(LONGEST);
            assert!(
                jittered <= LONGEST && jittered >= LONGEST / 2,
                "{jittered:?}"
            );
        }
    }
}
