use super::*;

const TIMING: Timing = Timing::DEFAULT;

/// One replica on a clock that is moved by hand.
struct Replica {
    rules: Rules,
    epoch: Instant,
}

fn replica() -> Replica {
    Replica {
        rules: Rules::new("me".to_owned(), TIMING),
        epoch: Instant::now(),
    }
}

fn record(version: u32, holder: Option<&str>) -> Record {
    Record {
        version: version.to_string(),
        holder: holder.map(str::to_owned),
        duration: Some(TIMING.duration),
        acquired: None,
        transitions: 0,
    }
}

impl Replica {
    fn at(&self, seconds: u64) -> Instant {
        self.epoch + Duration::from_secs(seconds)
    }

    fn next(&mut self, seconds: u64) -> Step {
        let now = self.at(seconds);
        self.rules.next(now)
    }

    fn saw(&mut self, seconds: u64, lease: Option<Record>) {
        let now = self.at(seconds);
        self.rules.saw(now, lease);
    }

    /// A write was sent and answered.
    fn wrote(&mut self, sent: u64, answered: u64, version: u32) {
        let (sent, answered) = (self.at(sent), self.at(answered));
        self.rules.sending();
        self.rules
            .accepted(sent, answered, record(version, Some("me")));
    }

    /// It leads, by a write that was sent at 0.
    fn leading() -> Self {
        let mut replica = replica();
        replica.saw(0, None);
        assert_eq!(replica.next(0), Step::Create);
        replica.wrote(0, 0, 1);
        replica
    }
}

fn wait(seconds: u64) -> Step {
    Step::Wait(Duration::from_secs(seconds))
}

fn not_renewed() -> Step {
    Step::Lose(Lost::NotRenewed(TIMING.deadline))
}

#[test]
fn a_lease_that_is_nobodys_is_taken_at_once() {
    for free in [None, Some(record(3, None))] {
        let mut it = replica();
        assert_eq!(it.next(0), Step::Look);
        it.saw(0, free.clone());
        assert_eq!(it.next(0), free.map_or(Step::Create, Step::Take));
    }
}

#[test]
fn somebody_elses_is_waited_for_since_it_was_seen_to_change() {
    let mut it = replica();
    let theirs = |version| Some(record(version, Some("they")));
    it.saw(100, theirs(1));
    assert_eq!(it.next(100), wait(2));
    assert_eq!(it.rules.other(), Some("they"));
    for second in [102, 104, 114] {
        assert_eq!(it.next(second), Step::Look);
        it.saw(second, theirs(1));
        assert_eq!(it.next(second), wait((115 - second).min(2)));
    }
    // They renewed it.
    it.saw(114, theirs(2));
    assert_eq!(it.next(115), wait(2));
    it.saw(128, theirs(2));
    assert_eq!(it.next(128), wait(1));
    it.saw(129, theirs(2));
    assert_eq!(it.next(129), Step::Take(record(2, Some("they"))));
}

/// Our own duration is the least, however the holder says it.
#[test]
fn a_holder_that_says_so_is_waited_for_longer() {
    let mut it = replica();
    let theirs = |seconds| {
        Some(Record {
            duration: Some(Duration::from_secs(seconds)),
            ..record(1, Some("they"))
        })
    };
    it.saw(0, theirs(60));
    it.saw(59, theirs(60));
    assert_eq!(it.next(59), wait(1));
    it.saw(60, theirs(60));
    assert_eq!(it.next(60), Step::Take(theirs(60).expect("a record")));
    let mut it = replica();
    it.saw(0, theirs(1));
    it.saw(14, theirs(1));
    assert_eq!(it.next(14), wait(1));
}

/// Its holder does not know of it yet.
#[test]
fn a_lease_that_was_deleted_is_waited_for_all_the_same() {
    let mut it = replica();
    it.saw(0, Some(record(1, Some("they"))));
    it.saw(2, None);
    assert_eq!(it.next(2), wait(2));
    it.saw(15, None);
    assert_eq!(it.next(15), Step::Create);
    let mut holder = Replica::leading();
    holder.saw(2, None);
    assert_eq!(holder.next(2), Step::Create);
}

#[test]
fn a_holder_renews_it_every_two_seconds() {
    let mut it = Replica::leading();
    assert_eq!(it.next(0), wait(2));
    assert_eq!(it.next(1), wait(1));
    assert_eq!(it.next(2), Step::Renew(record(1, Some("me"))));
    it.wrote(2, 3, 2);
    assert_eq!(it.next(3), wait(1));
    assert_eq!(it.next(4), Step::Renew(record(2, Some("me"))));
}

/// It counts from before the request, and an answer that comes too late is none.
#[test]
fn what_is_not_renewed_in_time_is_lost() {
    let mut it = Replica::leading();
    it.wrote(2, 9, 2);
    assert_eq!(it.next(11), Step::Renew(record(2, Some("me"))));
    assert_eq!(it.next(12), not_renewed());
    it.wrote(11, 12, 3);
    assert_eq!(it.next(12), not_renewed());
    // After a pause.
    let mut it = Replica::leading();
    assert_eq!(it.next(600), not_renewed());
}

#[test]
fn a_lost_answer_counts_for_nothing_until_a_read_shows_whose_it_is() {
    let mut it = Replica::leading();
    it.rules.sending();
    assert_eq!(it.next(3), Step::Look);
    // It had been accepted, and does not count: the next one does.
    it.saw(4, Some(record(2, Some("me"))));
    assert_eq!(it.next(4), Step::Renew(record(2, Some("me"))));
    assert_eq!(it.next(10), not_renewed());

    let mut it = Replica::leading();
    it.rules.sending();
    it.saw(4, Some(record(2, Some("they"))));
    assert_eq!(it.next(4), Step::Lose(Lost::Taken("they".to_owned())));

    // The same of the one that would have made it ours.
    let mut it = replica();
    it.saw(0, Some(record(1, None)));
    it.rules.sending();
    assert_eq!(it.next(1), Step::Look);
    it.saw(2, Some(record(2, Some("me"))));
    assert_eq!(it.next(2), Step::Take(record(2, Some("me"))));
    it.wrote(2, 12, 3);
    assert_eq!(it.rules.renewed(), None, "the answer took too long");
    assert_eq!(it.next(12), Step::Look);
}

#[test]
fn a_refused_write_is_followed_by_a_look() {
    let mut it = Replica::leading();
    it.rules.sending();
    it.rules.refused();
    assert_eq!(it.next(2), Step::Look);
    // Somebody wrote a label on it.
    it.saw(2, Some(record(7, Some("me"))));
    assert_eq!(it.next(2), Step::Renew(record(7, Some("me"))));
}

#[test]
fn what_may_be_ours_is_given_back() {
    assert_eq!(replica().rules.give_back(), Return::Nothing);
    let mut it = Replica::leading();
    assert_eq!(it.rules.give_back(), Return::Clear(record(1, Some("me"))));
    it.rules.sending();
    assert_eq!(it.rules.give_back(), Return::Look);
    it.saw(3, Some(record(2, Some("they"))));
    assert_eq!(it.rules.give_back(), Return::Nothing);

    let mut it = replica();
    it.saw(0, None);
    it.rules.sending();
    assert_eq!(it.rules.give_back(), Return::Look);
    it.rules.refused();
    assert_eq!(it.rules.give_back(), Return::Nothing);
}

#[test]
fn no_request_is_waited_for_beyond_the_deadline() {
    let it = Replica::leading();
    let patience = |seconds| it.rules.patience(it.at(seconds), Duration::from_secs(4));
    assert_eq!(patience(2), Duration::from_secs(4));
    assert_eq!(patience(9), Duration::from_secs(1));
    assert_eq!(patience(30), Duration::ZERO);
}

#[test]
fn room_for_a_write_ends_before_the_lease() {
    let renewed = Instant::now();
    let room = |seconds| TIMING.room(renewed, renewed + Duration::from_secs(seconds));
    assert_eq!(room(0), Some(Duration::from_secs(14)));
    assert_eq!(room(9), Some(Duration::from_secs(5)));
    assert_eq!(room(10), None);
    assert_eq!(room(1000), None);
}
