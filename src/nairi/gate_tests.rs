//! The laws of the gate.

#[path = "gate_tests/groups.rs"]
mod groups;
#[path = "gate_tests/spare.rs"]
mod spare;

use std::collections::{HashMap, VecDeque};

use proptest::prelude::*;

use super::super::gates::Gates;
use super::super::key::ApiKey;
use super::*;

/// The first twenty have a namespace each, and then four share one.
impl Member for u8 {
    fn group(&self) -> &str {
        const NAMES: &str = "0123456789abcdefghijklm";
        let at = usize::from(if *self < 20 { *self } else { self / 4 + 15 });
        &NAMES[at..=at]
    }
}

/// A gate, the clock, and what the callback was told.
struct World {
    gates: Gates<u8>,
    gate: Arc<Gate<u8>>,
    now: Instant,
    woken: Arc<Mutex<VecDeque<u8>>>,
}

impl World {
    fn new(limit: usize) -> Self {
        let woken = Arc::new(Mutex::new(VecDeque::new()));
        let told = Arc::clone(&woken);
        let wake: Wake<u8> = Arc::new(move |w| told.lock().expect("a lock").push_back(w));
        let gates = Gates::new(limit, wake).expect("random bytes");
        let now = Instant::now();
        let gate = gates.for_key(&key("nr_a"), now);
        Self {
            gates,
            gate,
            now,
            woken,
        }
    }

    fn admit(&self, waiter: u8) -> Admission<u8> {
        self.gate.admit(&waiter, self.now)
    }

    fn pass(&self, waiter: u8) -> Permit<u8> {
        match self.admit(waiter) {
            Admission::Pass(permit) => permit,
            other => panic!("{waiter}: {other:?}"),
        }
    }

    fn full(&self, waiter: u8) {
        let admission = self.admit(waiter);
        assert!(
            matches!(admission, Admission::Full),
            "{waiter}: {admission:?}"
        );
    }

    fn woken(&self) -> Vec<u8> {
        self.woken.lock().expect("a lock").drain(..).collect()
    }

    fn later(&mut self, by: Duration) {
        self.now += by;
    }
}

fn key(text: &str) -> ApiKey {
    ApiKey::parse(text).expect("a key")
}

#[test]
fn a_freed_slot_goes_to_whoever_waits_longest() {
    let world = World::new(2);
    let (a, b) = (world.pass(1), world.pass(2));
    world.full(3);
    world.full(4);
    world.full(3);
    assert!(world.woken().is_empty());
    drop(a);
    assert_eq!(world.woken(), [3]);
    // A newcomer can't take it, nor can the one behind.
    world.full(5);
    world.full(4);
    let c = world.pass(3);
    drop(b);
    drop(c);
    assert_eq!(world.woken(), [4, 5]);
    let _both = (world.pass(5), world.pass(4));
    world.full(6);
}

#[test]
fn a_promise_lapses_and_the_next_is_woken() {
    let mut world = World::new(1);
    let permit = world.pass(1);
    world.full(2);
    world.full(3);
    drop(permit);
    assert_eq!(world.woken(), [2]);
    world.gate.tick(world.now);
    world.later(PATIENCE);
    world.gate.tick(world.now);
    assert_eq!(world.woken(), [3]);
    // Too late: to the end of the queue.
    world.full(2);
    drop(world.pass(3));
    assert_eq!(world.woken(), [2]);
    drop(world.pass(2));
    let _free = world.pass(4);
}

#[test]
fn a_waiter_that_is_gone_is_forgotten() {
    let world = World::new(1);
    let permit = world.pass(1);
    for waiter in [2, 3, 4] {
        world.full(waiter);
    }
    world.gates.forget(&3);
    drop(permit);
    assert_eq!(world.woken(), [2]);
    world.gates.forget(&2);
    assert_eq!(world.woken(), [4]);
}

#[test]
fn silence_is_kept_never_shortened_and_bounded() {
    let mut world = World::new(1);
    let start = world.now;
    let permit = world.pass(1);
    world.full(2);
    world.gate.throttle(None, Duration::from_mins(1), world.now);
    assert_eq!(world.woken(), [2], "it has to learn of the pause");
    world.gate.throttle(None, Duration::from_secs(1), world.now);
    drop(permit);
    world.later(Duration::from_secs(59));
    assert!(world.gate.is_closed(world.now));
    assert_eq!(world.gates.closed_count(world.now), 1);
    match world.admit(2) {
        Admission::ClosedUntil(until) => assert_eq!(until, start + Duration::from_mins(1)),
        other => panic!("{other:?}"),
    }
    world.later(Duration::from_secs(1));
    assert_eq!(world.gates.closed_count(world.now), 0);
    drop(world.pass(3));
    world.gate.throttle(None, Duration::MAX, world.now);
    match world.admit(2) {
        Admission::ClosedUntil(until) => assert_eq!(until, world.now + MAX_RETRY_AFTER),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_closes_a_refused_gate_and_only_opening_helps() {
    let mut world = World::new(2);
    let (a, b) = (world.pass(1), world.pass(2));
    world.full(3);
    assert!(world.gate.refuse());
    assert!(!world.gate.refuse());
    assert_eq!(world.woken(), [3]);
    drop((a, b));
    world.later(Duration::from_hours(1000));
    for waiter in 1..=5 {
        assert!(matches!(world.admit(waiter), Admission::Unauthorized));
    }
    assert_eq!(world.gates.closed_count(world.now), 1);
    assert!(world.gate.open());
    assert!(!world.gate.open());
    let _open = world.pass(4);
}

#[test]
fn gates_go_by_the_key() {
    let world = World::new(1);
    assert!(Arc::ptr_eq(
        &world.gate,
        &world.gates.for_key(&key(" nr_a\n"), world.now)
    ));
    let other = world.gates.for_key(&key("nr_b"), world.now);
    assert!(!Arc::ptr_eq(&world.gate, &other));
    assert_ne!(other.key_id(), world.gate.key_id());
    assert_eq!(other.key_id(), world.gates.key_id(&key("nr_b")));
    assert_ne!(World::new(1).gate.key_id(), world.gate.key_id());
    let shown = format!("{:?} {:?} {:?}", world.gates, other, other.key_id());
    assert!(!shown.contains("nr_"));
    assert!(other.refuse());
    assert!(!world.gate.is_closed(world.now));
}

#[test]
fn a_throttled_gate_outlives_its_holders_and_others_do_not() {
    let mut world = World::new(1);
    for n in 0..1000 {
        let gate = world.gates.for_key(&key(&format!("nr_{n}")), world.now);
        if n == 7 {
            gate.throttle(None, Duration::from_mins(1), world.now);
        }
        if n == 8 {
            assert!(gate.refuse());
        }
    }
    assert_eq!(world.gates.closed_count(world.now), 1);
    assert_eq!(
        world.gates.len(),
        2,
        "the throttled one and the one that is held"
    );
    assert!(
        world
            .gates
            .for_key(&key("nr_7"), world.now)
            .is_closed(world.now)
    );
    world.later(Duration::from_mins(1));
    world.gates.tick(world.now);
    assert_eq!(world.gates.len(), 1);
}

#[derive(Clone, Debug)]
enum Step {
    Admit(u8),
    Spare(u8),
    Finish(usize),
    Throttle(Option<u8>, u64),
    Refuse,
    Open,
    Forget(u8),
    Later(u64),
    Tick,
    /// The one woken first comes.
    Come,
    /// The one woken first never comes.
    Ignore,
}

/// Twelve, of three namespaces.
fn waiter() -> impl Strategy<Value = u8> {
    20..32u8
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => waiter().prop_map(Step::Admit),
        2 => waiter().prop_map(Step::Spare),
        5 => any::<usize>().prop_map(Step::Finish),
        1 => (prop::option::of(waiter()), 0..20u64).prop_map(|(by, after)| Step::Throttle(by, after)),
        1 => Just(Step::Refuse),
        2 => Just(Step::Open),
        1 => waiter().prop_map(Step::Forget),
        2 => (0..8u64).prop_map(Step::Later),
        2 => Just(Step::Tick),
        5 => Just(Step::Come),
        1 => Just(Step::Ignore),
    ]
}

fn waiter_groups() -> [&'static str; 3] {
    ["k", "l", "m"]
}

/// What is true of the gate, kept beside it.
struct Model {
    world: World,
    limit: usize,
    permits: Vec<Permit<u8>>,
    /// Told "full" and not woken since, in that order.
    waiting: VecDeque<u8>,
    /// Woken and not come since.
    coming: VecDeque<u8>,
}

impl Model {
    fn admit(&mut self, waiter: u8) {
        let admission = self.world.admit(waiter);
        let woken = self.world.woken();
        if matches!(admission, Admission::Pass(_))
            && let Some(at) = self.waiting.iter().position(|w| *w == waiter)
        {
            // It came when its turn was: it needs no waking, those before it do.
            let before = self.waiting.iter().take(at);
            let mut before = before.filter(|w| w.group() == waiter.group());
            assert!(before.all(|w| woken.contains(w)), "out of turn");
            self.waiting.remove(at);
            self.coming.retain(|w| *w != waiter);
        }
        // Others are woken before this one is queued.
        self.hear(woken);
        match admission {
            Admission::Pass(permit) => {
                assert!(!self.world.gate.is_closed_to(&waiter, self.world.now));
                self.permits.push(permit);
            }
            Admission::Full => {
                if !self.waiting.contains(&waiter) {
                    self.waiting.push_back(waiter);
                }
            }
            Admission::ClosedUntil(until) => {
                assert!(until > self.world.now);
                assert!(until <= self.world.now + MAX_RETRY_AFTER);
                assert!(
                    !self.waiting.contains(&waiter),
                    "forgotten in a closed gate"
                );
            }
            Admission::Unauthorized => {
                assert!(self.world.gate.is_refused());
                assert!(
                    !self.waiting.contains(&waiter),
                    "forgotten in a closed gate"
                );
            }
        }
        self.is_within_limits();
    }

    fn is_within_limits(&self) {
        assert!(self.permits.len() <= self.limit, "over the limit");
        let of = |group| {
            self.permits
                .iter()
                .filter(move |permit| permit.holder().group() == group)
        };
        let most = waiter_groups()
            .into_iter()
            .map(|group| of(group).count())
            .max();
        assert!(
            most <= Some(1.max(self.limit - 1)),
            "one namespace holds all"
        );
    }

    /// Everybody is woken in the order of arrival, among those of a namespace.
    fn listen(&mut self) {
        let woken = self.world.woken();
        self.hear(woken);
    }

    fn hear(&mut self, woken: Vec<u8>) {
        for waiter in woken {
            let mut group = self.waiting.iter().enumerate();
            let first = group.find(|(_, other)| other.group() == waiter.group());
            let at = first
                .filter(|(_, first)| **first == waiter)
                .map(|(at, _)| at);
            self.waiting.remove(at.expect("in its order"));
            self.coming.push_back(waiter);
        }
    }

    fn take(&mut self, step: &Step) {
        let now = self.world.now;
        match step {
            Step::Admit(waiter) => {
                self.coming.retain(|w| w != waiter);
                self.admit(*waiter);
            }
            Step::Finish(at) if !self.permits.is_empty() => {
                drop(self.permits.swap_remove(at % self.permits.len()));
            }
            Step::Spare(holder) => {
                if let Some(permit) = self.world.gate.spare(holder, now) {
                    assert!(!self.world.gate.is_closed_to(holder, now));
                    let mut waiting = self.waiting.iter();
                    let in_the_way = waiting.any(|w| w.group() == holder.group());
                    assert!(!in_the_way, "in the way of those who wait");
                    self.permits.push(permit);
                    self.is_within_limits();
                }
            }
            Step::Throttle(by, seconds) => {
                let after = Duration::from_secs(*seconds);
                self.world.gate.throttle(by.as_ref(), after, now);
            }
            Step::Refuse => drop(self.world.gate.refuse()),
            Step::Open => drop(self.world.gate.open()),
            Step::Forget(waiter) => {
                self.waiting.retain(|w| w != waiter);
                self.world.gates.forget(waiter);
            }
            Step::Later(seconds) => self.world.later(Duration::from_secs(*seconds)),
            Step::Tick => self.world.gates.tick(now),
            Step::Come => {
                if let Some(waiter) = self.coming.pop_front() {
                    self.admit(waiter);
                }
            }
            Step::Ignore => drop(self.coming.pop_front()),
            Step::Finish(_) => {}
        }
        self.listen();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn limit_order_and_nobody_is_lost(limit in 1..9usize, steps in prop::collection::vec(step(), 0..80)) {
        let mut model = Model {
            world: World::new(limit),
            limit,
            permits: Vec::new(),
            waiting: VecDeque::new(),
            coming: VecDeque::new(),
        };
        for step in &steps {
            model.take(step);
        }
        // In the end all requests end, and half of those that are woken never come: all who
        // wait are woken nevertheless.
        model.take(&Step::Open);
        model.world.later(MAX_RETRY_AFTER);
        model.permits.clear();
        model.listen();
        for round in 0..200 {
            model.take(if round % 2 == 0 { &Step::Come } else { &Step::Ignore });
            model.permits.clear();
            model.listen();
            model.take(&Step::Tick);
            model.world.later(PATIENCE);
        }
        prop_assert!(model.waiting.is_empty(), "lost: {:?}", model.waiting);
        // And every slot is free again.
        let count: HashMap<u8, _> = (1..=u8::try_from(limit).expect("few"))
            .map(|waiter| (waiter, model.world.pass(waiter)))
            .collect();
        prop_assert_eq!(count.len(), limit);
    }
}
