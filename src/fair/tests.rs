//! The laws of fair slots.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

/// Namespace and number.
type Object = (String, u8);

impl Member for Object {
    fn group(&self) -> &str {
        &self.0
    }
}

fn object(group: &str, number: u8) -> Object {
    (group.to_owned(), number)
}

fn given(fair: &mut Fair<Object>) -> Vec<Object> {
    std::iter::from_fn(|| fair.give()).collect()
}

#[test]
fn groups_take_turns_and_each_is_first_come_first_served() {
    let mut fair = Fair::new(1);
    let (a, b) = (|n| object("a", n), |n| object("b", n));
    for n in 0..3 {
        fair.wait(a(n));
    }
    fair.wait(b(0));
    fair.wait(b(1));
    for expected in [a(0), b(0), a(1), b(1), a(2)] {
        assert_eq!(fair.give(), Some(expected.clone()));
        assert_eq!(fair.give(), None, "the slot is taken");
        fair.free(&expected);
    }
    assert_eq!((fair.give(), fair.groups.len()), (None, 0));
}

#[test]
fn one_group_alone_leaves_an_eighth() {
    for (slots, most) in [
        (1, 1),
        (2, 1),
        (3, 2),
        (4, 3),
        (8, 7),
        (16, 14),
        (32, 28),
        (64, 56),
    ] {
        let mut fair = Fair::new(slots);
        for n in 0..100 {
            fair.wait(object("a", n));
        }
        assert_eq!(given(&mut fair).len(), most, "of {slots}");
        if slots > 1 {
            assert!(fair.take(&object("b", 0)), "of {slots}");
        }
    }
}

#[test]
fn the_more_hold_slots_the_less_each_may_hold() {
    let mut fair = Fair::new(32);
    for n in 0..100 {
        for group in ["a", "b", "c", "d"] {
            fair.wait(object(group, n));
        }
    }
    let given = given(&mut fair);
    assert_eq!(given.len(), 30);
    fair.wait(object("e", 0));
    assert_eq!(fair.give(), Some(object("e", 0)), "it holds nothing");
    assert_eq!(fair.give(), None);
}

#[test]
fn who_is_passed_over_keeps_its_turn() {
    let mut fair = Fair::new(4);
    for n in 0..4 {
        fair.wait(object("a", n));
    }
    assert_eq!(given(&mut fair).len(), 3);
    fair.wait(object("b", 0));
    fair.wait(object("b", 1));
    assert_eq!(
        fair.give(),
        Some(object("b", 0)),
        "a waits for one of its own"
    );
    fair.free(&object("a", 0));
    fair.free(&object("a", 1));
    assert_eq!(
        fair.give(),
        Some(object("a", 3)),
        "it came before b's second"
    );
}

#[test]
fn who_leaves_is_given_nothing() {
    let mut fair = Fair::new(8);
    for n in 0..3 {
        fair.wait(object("a", n));
        fair.wait(object("b", n));
    }
    fair.leave(&object("a", 0));
    fair.leave(&object("a", 7));
    assert_eq!(fair.dismiss("b").len(), 3);
    assert_eq!(fair.waiting(), 2);
    assert!(fair.is_awaited("a") && !fair.is_awaited("b"));
    assert_eq!(given(&mut fair), [object("a", 1), object("a", 2)]);
    fair.wait(object("a", 3));
    assert_eq!(fair.dismiss_all(), [object("a", 3)]);
    assert_eq!(fair.give(), None);
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u8, u8),
    Take(u8, u8),
    Give,
    Free(usize),
    Leave(u8, u8),
    Dismiss(u8),
    DismissAll,
}

fn step() -> impl Strategy<Value = Step> {
    let one = || (0..5u8, 0..20u8);
    prop_oneof![
        8 => one().prop_map(|(group, n)| Step::Wait(group, n)),
        2 => one().prop_map(|(group, n)| Step::Take(group, n)),
        8 => Just(Step::Give),
        5 => any::<usize>().prop_map(Step::Free),
        1 => one().prop_map(|(group, n)| Step::Leave(group, n)),
        1 => (0..5u8).prop_map(Step::Dismiss),
        1 => Just(Step::DismissAll),
    ]
}

/// What is true, kept beside it.
#[derive(Default)]
struct Model {
    slots: usize,
    holding: Vec<Object>,
    waiting: Vec<Object>,
}

impl Model {
    fn held_by(&self, group: &str) -> usize {
        self.holding.iter().filter(|held| held.0 == group).count()
    }

    fn may_take(&self, group: &str) -> bool {
        let left = self.slots - self.holding.len();
        let holds = self.held_by(group);
        left > 0 && (holds == 0 || holds < 7 * (left - 1))
    }

    fn given(&mut self, to: &Object) {
        assert!(self.may_take(&to.0), "more than its share");
        self.holding.push(to.clone());
    }

    fn take(&mut self, fair: &mut Fair<Object>, step: &Step) {
        match step {
            Step::Wait(group, n) => {
                let new = object(&group.to_string(), *n);
                if !self.waiting.contains(&new) && !self.holding.contains(&new) {
                    self.waiting.push(new.clone());
                    fair.wait(new);
                }
            }
            Step::Take(group, n) => {
                let new = object(&group.to_string(), *n);
                if !self.waiting.contains(&new) && !self.holding.contains(&new) {
                    let nobody = !self.waiting.iter().any(|other| self.may_take(&other.0));
                    let expected = nobody && self.may_take(&new.0);
                    assert_eq!(fair.take(&new), expected);
                    if expected {
                        self.given(&new);
                    }
                }
            }
            Step::Give => match fair.give() {
                Some(next) => {
                    let at = self.waiting.iter().position(|other| other.0 == next.0);
                    let first = at.map(|at| self.waiting.remove(at));
                    assert_eq!(first.as_ref(), Some(&next), "out of order");
                    self.given(&next);
                }
                None => assert!(
                    !self.waiting.iter().any(|other| self.may_take(&other.0)),
                    "a slot is left unused"
                ),
            },
            Step::Free(at) if !self.holding.is_empty() => {
                let holder = self.holding.swap_remove(at % self.holding.len());
                fair.free(&holder);
            }
            Step::Free(_) => {}
            Step::Leave(group, n) => {
                let gone = object(&group.to_string(), *n);
                self.waiting.retain(|other| *other != gone);
                fair.leave(&gone);
            }
            Step::Dismiss(group) => {
                let group = group.to_string();
                let dismissed: Vec<_> = fair.dismiss(&group).into();
                let all = self.waiting.extract_if(.., |other| other.0 == group);
                assert_eq!(dismissed, all.collect::<Vec<_>>());
            }
            Step::DismissAll => {
                let dismissed: HashSet<_> = fair.dismiss_all().into_iter().collect();
                assert_eq!(dismissed, self.waiting.drain(..).collect());
            }
        }
        assert_eq!(fair.held(), self.holding.len());
        assert_eq!(fair.waiting(), self.waiting.len());
        let known: HashSet<_> = self
            .holding
            .iter()
            .chain(&self.waiting)
            .map(|one| &one.0)
            .collect();
        assert_eq!(fair.groups.len(), known.len(), "what is over is not kept");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn nothing_is_lost_and_no_share_is_exceeded(slots in 1..12usize, steps in prop::collection::vec(step(), 0..120)) {
        let mut fair = Fair::new(slots);
        let mut model = Model { slots, ..Model::default() };
        for step in &steps {
            model.take(&mut fair, step);
        }
        // In the end all that waits is given a slot.
        while !(model.waiting.is_empty() && model.holding.is_empty()) {
            model.take(&mut fair, &Step::Free(0));
            model.take(&mut fair, &Step::Give);
        }
    }

    /// Whoever holds nothing is served after at most as many others as there are groups, whatever they are and
    /// whichever slot becomes free.
    #[test]
    fn nobody_starves(
        slots in 1..12usize,
        lines in prop::collection::vec(1..50u8, 1..10),
        begun in 0..40usize,
        freed in prop::collection::vec(any::<usize>(), 100),
    ) {
        let mut fair = Fair::new(slots);
        for (group, length) in lines.iter().enumerate() {
            for n in 0..*length {
                fair.wait(object(&group.to_string(), n));
            }
        }
        let mut holding = Vec::new();
        let mut freed = freed.into_iter();
        let mut next = |fair: &mut Fair<Object>, holding: &mut Vec<Object>| loop {
            if let Some(given) = fair.give() {
                holding.push(given.clone());
                return Some(given);
            }
            if holding.is_empty() {
                return None;
            }
            let at = freed.next().unwrap_or(0) % holding.len();
            fair.free(&holding.swap_remove(at));
        };
        for _ in 0..begun {
            next(&mut fair, &mut holding);
        }
        let late = object("late", 0);
        fair.wait(late.clone());
        let mut before = HashMap::<String, usize>::new();
        while let Some(given) = next(&mut fair, &mut holding) {
            if given == late {
                break;
            }
            *before.entry(given.0).or_default() += 1;
        }
        prop_assert!(holding.contains(&late), "never served");
        prop_assert!(before.values().all(|count| *count == 1), "twice before: {before:?}");
    }
}
