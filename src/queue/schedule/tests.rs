//! The laws of the schedule.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

/// Namespace and name.
type Object = (u8, u8);

impl Member for Object {
    fn group(&self) -> &str {
        ["a", "b", "c", "d"][usize::from(self.0)]
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_object_is_due_since_the_first_wake_or_what_was_kept() {
    let (mut schedule, now) = (Schedule::new(1), Instant::now());
    let object = (0, 0);
    schedule.wake(object, now + SECOND);
    schedule.wake(object, now + 2 * SECOND);
    assert_eq!(schedule.depth(), 1);
    assert_eq!(schedule.begin(now), Some((object, now + SECOND)));
    schedule.keep(&object, now);
    schedule.end(&object, None, now);
    assert_eq!(schedule.depth(), 1, "it waits for its wake");
    assert_eq!(schedule.begin(now), None);
    schedule.wake(object, now + 3 * SECOND);
    assert_eq!(schedule.begin(now), Some((object, now)));
    schedule.end(&object, None, now);
    assert!(schedule.entries.is_empty());
}

#[test]
fn who_sleeps_comes_back_at_its_time_or_when_woken_and_once() {
    let (mut schedule, now) = (Schedule::new(8), Instant::now());
    for object in [(0, 0), (0, 1)] {
        schedule.wake(object, now);
        schedule.begin(now);
        schedule.end(&object, Some(SECOND), now);
    }
    assert_eq!((schedule.begin(now), schedule.depth()), (None, 0));
    assert_eq!(schedule.alarm(), Some(now + SECOND));
    schedule.wake((0, 1), now);
    assert_eq!(schedule.begin(now), Some(((0, 1), now)));
    schedule.end(&(0, 1), None, now);
    let then = now + SECOND;
    assert_eq!(schedule.begin(then), Some(((0, 0), then)));
    assert_eq!((schedule.begin(then), schedule.alarm()), (None, None));
    schedule.end(&(0, 0), Some(Duration::MAX), then);
    assert!(schedule.entries.is_empty(), "it never comes");
}

#[test]
fn of_one_that_is_gone_nothing_is_kept_until_its_time() {
    let (mut schedule, now) = (Schedule::new(8), Instant::now());
    schedule.wake((0, 0), now);
    schedule.begin(now);
    schedule.end(&(0, 0), Some(SECOND), now);
    schedule.forget(&(0, 0));
    assert!(schedule.entries.is_empty());
    assert_eq!(schedule.alarm(), None);
}

#[test]
fn one_that_was_woken_while_it_ran_runs_again_whatever_it_asked_for() {
    let (mut schedule, now) = (Schedule::new(8), Instant::now());
    schedule.wake((0, 0), now);
    schedule.begin(now);
    schedule.wake((0, 0), now + SECOND);
    assert_eq!(schedule.begin(now), None, "never twice at a time");
    schedule.end(&(0, 0), Some(9 * SECOND), now);
    assert_eq!(schedule.alarm(), None);
    assert_eq!(schedule.begin(now), Some(((0, 0), now + SECOND)));
}

#[derive(Clone, Debug)]
enum Step {
    Wake(Object),
    Begin,
    End(usize, Option<u64>),
    Keep(Object),
    Forget(Object),
    Later(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let one = || (0..4u8, 0..5u8);
    prop_oneof![
        8 => one().prop_map(Step::Wake),
        8 => Just(Step::Begin),
        6 => (any::<usize>(), prop::option::of(0..5u64)).prop_map(|(at, after)| Step::End(at, after)),
        1 => one().prop_map(Step::Keep),
        1 => one().prop_map(Step::Forget),
        3 => (0..4u64).prop_map(Step::Later),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    /// Whatever happens: nothing runs twice at a time, whoever was woken or whose time came runs after that, nothing
    /// else runs, and of what is over nothing is kept.
    #[test]
    fn every_wake_is_followed_by_a_run(slots in 1..6usize, steps in prop::collection::vec(step(), 0..120)) {
        let mut schedule = Schedule::new(slots);
        let mut now = Instant::now();
        let mut running = Vec::new();
        // Woken, or its time came, and not begun since; and those whose time comes.
        let mut woken = HashSet::new();
        let mut sleeping = HashMap::new();
        let drained = (0..200).flat_map(|_| [Step::Begin, Step::End(0, None), Step::Later(1)]);
        for step in steps.into_iter().chain(drained) {
            match step {
                Step::Wake(object) => {
                    schedule.wake(object, now);
                    woken.insert(object);
                    sleeping.remove(&object);
                }
                Step::Begin => {
                    woken.extend(sleeping.extract_if(|_, at| *at <= now).map(|(object, _)| object));
                    if let Some((object, since)) = schedule.begin(now) {
                        prop_assert!(!running.contains(&object), "twice at a time");
                        prop_assert!(since <= now);
                        prop_assert!(woken.remove(&object), "for nothing");
                        running.push(object);
                        prop_assert!(running.len() <= slots);
                    }
                }
                Step::End(at, after) if !running.is_empty() => {
                    let object = running.swap_remove(at % running.len());
                    let after = after.map(Duration::from_secs);
                    schedule.end(&object, after, now);
                    if let (Some(after), false) = (after, woken.contains(&object)) {
                        sleeping.insert(object, now + after);
                    }
                }
                Step::End(..) => {}
                Step::Keep(object) => schedule.keep(&object, now),
                Step::Forget(object) => {
                    schedule.forget(&object);
                    sleeping.remove(&object);
                }
                Step::Later(seconds) => now += Duration::from_secs(seconds),
            }
        }
        prop_assert!(woken.is_empty() && sleeping.is_empty() && running.is_empty());
        prop_assert_eq!(schedule.alarm(), None);
        for namespace in 0..4 {
            for name in 0..5 {
                schedule.forget(&(namespace, name));
            }
        }
        prop_assert!(schedule.entries.is_empty());
    }
}
