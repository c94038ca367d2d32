use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;

use super::*;
use crate::api::{LastPatch, Status};

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(minute * 60).expect("a time")
}

/// A status, contended since then or not.
fn status(contended_since: Option<i64>) -> VaultSecretStatus {
    let mut status = VaultSecretStatus::default();
    if let Some(minute) = contended_since {
        let (type_, is) = (ConditionType::Contended, Status::True);
        condition::set(
            &mut status.conditions,
            type_,
            is,
            "Contended",
            "…",
            None,
            at(minute),
        );
    }
    status
}

fn corrections(minutes: &[i64]) -> Corrections {
    let mut corrections = Corrections::default();
    for minute in minutes {
        corrections.add(at(*minute));
    }
    corrections
}

#[test]
fn three_within_an_hour_are_one_too_many() {
    let none = status(None);
    for (minutes, now, expected) in [
        (&[][..], 100, None),
        (&[0, 59], 59, None),
        (&[0, 30, 59], 59, Some(119)),
        (&[0, 30, 60], 60, None),
        (&[0, 30, 60, 61], 61, Some(121)),
        (&[0, 30, 59], 100, None),
    ] {
        let until = until(&corrections(minutes), &none, at(now));
        assert_eq!(until, expected.map(at), "{minutes:?} at {now}");
    }
}

#[test]
fn it_ends_an_hour_after_the_last_correction() {
    let standing = status(Some(59));
    for (minutes, now, expected) in [
        (&[0, 30, 59][..], 118, Some(119)),
        (&[0, 30, 59], 119, None),
        // Fewer than three within the hour are enough to go on.
        (&[30, 59, 118], 119, Some(178)),
        (&[30, 59, 118], 178, None),
    ] {
        let until = until(&corrections(minutes), &standing, at(now));
        assert_eq!(until, expected.map(at), "{minutes:?} at {now}");
    }
}

#[test]
fn a_new_process_goes_by_the_status() {
    let none = Corrections::default();
    let mut standing = status(Some(0));
    assert_eq!(until(&none, &standing, at(59)), Some(at(60)));
    assert_eq!(until(&none, &standing, at(60)), None);
    // It was still being put right long after it had begun.
    standing.last_patch = Some(LastPatch {
        time: Time(at(50)),
        fields: vec![],
    });
    assert_eq!(until(&none, &standing, at(60)), Some(at(110)));
    assert_eq!(until(&corrections(&[61]), &standing, at(62)), Some(at(121)));
}

proptest! {
    /// Run through time with the condition fed back: it holds exactly from the third correction within an hour until
    /// an hour after the last one.
    #[test]
    fn the_condition_follows_the_corrections(pauses in prop::collection::vec(1..100i64, 0..12)) {
        let (mut now, mut all, mut known) = (0, Vec::<i64>::new(), Corrections::default());
        let mut since = None;
        for pause in pauses {
            for _ in 0..pause {
                now += 1;
                let holds = until(&known, &status(since), at(now)).is_some();
                let expected = since.is_some() && all.last().is_some_and(|last| now - last < 60);
                prop_assert_eq!(holds, expected, "{:?} at {}", all, now);
                since = since.filter(|_| holds);
            }
            all.push(now);
            known.add(at(now));
            let many = all.iter().filter(|minute| now - **minute < 60).count() >= 3;
            let holds = until(&known, &status(since), at(now));
            prop_assert_eq!(holds, (many || since.is_some()).then(|| at(now + 60)));
            since = since.or(holds.map(|_| now));
        }
    }
}
