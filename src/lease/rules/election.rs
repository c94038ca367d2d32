//! The law of the election: whatever is slow, lost, paused or told to end, two never lead at once; and in calm weather
//! somebody leads soon.

use proptest::{collection::vec, prelude::*};

use super::*;

const TIMING: Timing = Timing::DEFAULT;
const TICK: u64 = 50;
/// From here on nothing goes wrong.
const CALM: u64 = 150_000;
const END: u64 = CALM + 60_000;
/// As the elector has it.
const LIMIT: Duration = Duration::from_secs(4);

/// What happens to one request, in milliseconds, and to its sender while it is under way and afterwards.
#[derive(Clone, Copy, Debug)]
struct Weather {
    there: u64,
    back: u64,
    request_lost: bool,
    answer_lost: bool,
    pause: u64,
    pause_after: u64,
    told_to_end: bool,
}

const FAIR: Weather = Weather {
    there: 1,
    back: 1,
    request_lost: false,
    answer_lost: false,
    pause: 0,
    pause_after: 0,
    told_to_end: false,
};

/// Something goes wrong with each part of so many requests in a hundred.
fn weather(trouble: u32) -> impl Strategy<Value = Weather> {
    let fair = 100 - trouble;
    let slow =
        move || prop_oneof![fair => 0..50_u64, trouble => 0..5_000_u64, trouble => 0..30_000_u64];
    let pause = move || prop_oneof![fair => Just(0), trouble => 0..40_000_u64];
    let some = move || prop::bool::weighted(f64::from(trouble) / 100.0);
    let times = (slow(), slow(), pause(), pause());
    (times, some(), some(), some()).prop_map(
        |((there, back, pause, pause_after), request_lost, answer_lost, told_to_end)| Weather {
            there,
            back,
            request_lost,
            answer_lost,
            pause,
            pause_after,
            told_to_end,
        },
    )
}

/// A machine: its clock began at any time and does not run at quite the right rate.
#[derive(Clone, Debug)]
struct Machine {
    epoch: Instant,
    per_mille: u64,
    weather: Vec<Weather>,
    requests: usize,
}

impl Machine {
    fn clock(&self, now: u64) -> Instant {
        self.epoch + Duration::from_micros(now * self.per_mille)
    }

    /// When its clock shows this, rounded up.
    fn real(&self, clock: Instant) -> u64 {
        let micros = clock.saturating_duration_since(self.epoch).as_micros();
        u64::try_from(micros).expect("a short time") / self.per_mille + 1
    }

    fn next_weather(&mut self, now: u64) -> Weather {
        self.requests += 1;
        if now >= CALM {
            return FAIR;
        }
        self.weather[self.requests % self.weather.len()]
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Answer {
    Seen(Option<Record>),
    Written(Record),
    Refused,
}

#[derive(Clone, Debug)]
struct Request {
    step: Step,
    /// Of a holder that gives the lease back.
    clears: bool,
    by: String,
    arrives: Option<u64>,
    answer: Option<Answer>,
    back: Option<u64>,
}

/// One process on a machine, and when it may have been writing.
struct Process {
    machine: usize,
    rules: Rules,
    idle_until: u64,
    paused_until: u64,
    waits_for: Option<(usize, Instant, u64)>,
    weather: Weather,
    leads_from: Option<u64>,
    leads_to: u64,
    over: bool,
}

struct World {
    machines: Vec<Machine>,
    processes: Vec<Process>,
    requests: Vec<Request>,
    lease: Option<Record>,
    version: u32,
}

impl World {
    fn new(machines: Vec<Machine>) -> Self {
        let mut world = Self {
            machines,
            processes: Vec::new(),
            requests: Vec::new(),
            lease: None,
            version: 0,
        };
        for machine in 0..world.machines.len() {
            world.start(machine, 0);
        }
        world
    }

    fn start(&mut self, machine: usize, now: u64) {
        let identity = format!("process-{}", self.processes.len());
        self.processes.push(Process {
            machine,
            rules: Rules::new(identity, TIMING),
            idle_until: now,
            paused_until: 0,
            waits_for: None,
            weather: FAIR,
            leads_from: None,
            leads_to: 0,
            over: false,
        });
    }

    fn run(&mut self) {
        for now in (0..END).step_by(usize::try_from(TICK).expect("small")) {
            for request in 0..self.requests.len() {
                if self.requests[request].arrives.is_some_and(|it| it <= now) {
                    self.requests[request].arrives = None;
                    let answer = self.serve(request);
                    self.requests[request].answer = Some(answer);
                }
            }
            for process in 0..self.processes.len() {
                let it = &self.processes[process];
                if !it.over && it.paused_until <= now {
                    self.go_on(process, now);
                }
            }
        }
    }

    /// The API server.
    fn serve(&mut self, request: usize) -> Answer {
        let Request {
            step, clears, by, ..
        } = &self.requests[request];
        let before = match step {
            Step::Look => return Answer::Seen(self.lease.clone()),
            Step::Create => None,
            Step::Take(record) | Step::Renew(record) => Some(&record.version),
            Step::Wait(_) | Step::Lose(_) => unreachable!("no request"),
        };
        if self.lease.as_ref().map(|lease| &lease.version) != before {
            return Answer::Refused;
        }
        self.version += 1;
        let written = Record {
            version: self.version.to_string(),
            holder: (!clears).then(|| by.clone()),
            duration: Some(TIMING.duration),
            acquired: None,
            transitions: 0,
        };
        self.lease = Some(written.clone());
        Answer::Written(written)
    }

    fn send(&mut self, process: usize, now: u64, step: Step, clears: bool) -> Weather {
        let it = &mut self.processes[process];
        let machine = &mut self.machines[it.machine];
        let weather = machine.next_weather(now);
        let clock = machine.clock(now);
        let gives_up = machine.real(clock + it.rules.patience(clock, LIMIT));
        if step != Step::Look {
            it.rules.sending();
        }
        it.waits_for = Some((self.requests.len(), clock, gives_up));
        let arrives = now + weather.there;
        self.requests.push(Request {
            step,
            clears,
            by: it.rules.identity().to_owned(),
            arrives: (!weather.request_lost).then_some(arrives),
            answer: None,
            back: (!weather.answer_lost).then_some(arrives + weather.back),
        });
        weather
    }

    fn go_on(&mut self, process: usize, now: u64) {
        let it = &mut self.processes[process];
        let machine = &self.machines[it.machine];
        let clock = machine.clock(now);
        if let Some((request, sent, gives_up)) = it.waits_for {
            let request = &mut self.requests[request];
            // As in `deadline`: the clock first.
            if now >= gives_up {
                it.idle_until = now + 1000;
            } else if request.back.is_some_and(|back| back <= now)
                && let Some(answer) = request.answer.take()
            {
                match answer {
                    Answer::Seen(lease) => it.rules.saw(clock, lease),
                    Answer::Written(lease) => it.rules.accepted(sent, clock, lease),
                    Answer::Refused => it.rules.refused(),
                }
                if let Some(renewed) = it.rules.renewed()
                    && let Some(room) = TIMING.room(renewed, clock)
                {
                    it.leads_from.get_or_insert(now);
                    it.leads_to = machine.real(clock + room);
                }
            } else {
                return;
            }
            it.waits_for = None;
            if it.weather.told_to_end {
                self.give_back(process, now);
                return;
            }
            if it.weather.pause_after > 0 {
                it.paused_until = now + it.weather.pause_after;
                return;
            }
        }
        if it.idle_until > now {
            return;
        }
        match it.rules.next(clock) {
            Step::Wait(wait) => it.idle_until = machine.real(clock + wait),
            Step::Lose(_) => self.end(process, now),
            step => {
                let weather = self.send(process, now, step, false);
                let it = &mut self.processes[process];
                it.paused_until = now + weather.pause;
                it.weather = weather;
            }
        }
    }

    /// What was under way has ended: nothing is written from here on, and the lease is given back, or not.
    fn give_back(&mut self, process: usize, now: u64) {
        let it = &mut self.processes[process];
        it.leads_to = it.leads_to.min(now);
        if let Return::Clear(record) = it.rules.give_back() {
            self.send(process, now, Step::Renew(record), true);
        }
        self.end(process, now);
    }

    fn end(&mut self, process: usize, now: u64) {
        self.processes[process].over = true;
        self.start(self.processes[process].machine, now + 500);
    }
}

fn machine() -> impl Strategy<Value = Machine> {
    let clock = (0..1_000_000_u64, 980..=1020_u64);
    let weather = prop_oneof![1_u32..3, 3_u32..10, 10_u32..40]
        .prop_flat_map(|trouble| vec(weather(trouble), 1..60));
    (clock, weather).prop_map(|((started, per_mille), weather)| Machine {
        epoch: Instant::now() + Duration::from_secs(started),
        per_mille,
        weather,
        requests: 0,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn two_never_lead_at_once_and_in_calm_weather_somebody_does(machines in vec(machine(), 2..4)) {
        let mut world = World::new(machines);
        world.run();
        let mut terms: Vec<_> = world
            .processes
            .iter()
            .filter_map(|it| Some((it.leads_from?, it.leads_to)))
            .collect();
        terms.sort_unstable();
        for pair in terms.windows(2) {
            prop_assert!(pair[0].1 <= pair[1].0, "{terms:?}");
        }
        let lead = |it: &&Process| !it.over && it.leads_to > END;
        prop_assert_eq!(world.processes.iter().filter(lead).count(), 1, "{:?}", terms);
    }
}
