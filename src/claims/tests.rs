use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;

use super::*;
use crate::queue::Due;

fn object(name: &str, created: i64, uid: &str) -> VaultSecret {
    let mut object = VaultSecret::default();
    object.metadata.name = Some(name.to_owned());
    object.metadata.namespace = Some("ns".to_owned());
    object.metadata.uid = Some(uid.to_owned());
    let created = Timestamp::from_second(created).expect("a time");
    object.metadata.creation_timestamp = Some(Time(created));
    object
}

fn secret(id: &str) -> Subject {
    Subject::Secret {
        vault_id: "v".to_owned(),
        secret_id: id.to_owned(),
    }
}

fn claims() -> (Claims, Due<VaultSecret>) {
    let (queue, due) = Queue::new(8);
    (Claims::new(queue), due)
}

fn woken(due: &Due<VaultSecret>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    while let Some(object) = due.pass_one() {
        names.insert(object.name);
    }
    names
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[test]
fn the_oldest_holds_and_the_next_takes_over() {
    let (claims, due) = claims();
    let (old, young) = (object("old", 1, "z"), object("young", 2, "a"));
    assert_eq!(claims.standing("a", |_| true), Standing::Unproven);
    claims.stake(&young, secret("s"));
    assert_eq!(claims.standing("a", |_| true), Standing::Holds);
    claims.stake(&old, secret("s"));
    assert_eq!(woken(&due), names(["young"]), "it lost the secret");
    assert_eq!(claims.standing("z", |_| true), Standing::Holds);
    assert_eq!(
        claims.standing("a", |_| true),
        Standing::Waits(ObjectRef::from_obj(&old))
    );
    assert!(claims.is_awaited("z", |_| true));
    assert_eq!(
        claims.standing("a", |_| false),
        Standing::Holds,
        "a claim that does not count keeps nobody"
    );

    claims.permitted("z", true);
    assert_eq!(woken(&due), names([]), "nothing changed");
    claims.permitted("z", false);
    assert_eq!(woken(&due), names(["young"]));
    claims.permitted("z", false);
    assert_eq!(woken(&due), names([]));

    claims.stake(&old, secret("s"));
    assert_eq!(woken(&due), names([]), "the same claim again");
    claims.lapse("z");
    assert_eq!(woken(&due), names(["young"]));
    assert_eq!(claims.standing("a", |_| true), Standing::Holds);
}

#[test]
fn the_lower_uid_decides_between_two_of_one_second() {
    let (claims, _due) = claims();
    let (a, b) = (object("a", 1, "a"), object("b", 1, "b"));
    claims.stake(&b, secret("s"));
    claims.stake(&a, secret("s"));
    assert_eq!(claims.standing("a", |_| true), Standing::Holds);
    assert_eq!(
        claims.standing("b", |_| true),
        Standing::Waits(ObjectRef::from_obj(&a))
    );
}

#[test]
fn whoever_claims_something_else_gives_up_what_it_had() {
    let (claims, due) = claims();
    let (a, b) = (object("a", 1, "a"), object("b", 2, "b"));
    let key = Subject::EnvKey {
        vault_id: "v".to_owned(),
        env_key: "K".to_owned(),
    };
    claims.stake(&a, key.clone());
    claims.stake(&b, key);
    woken(&due);
    claims.stake(&a, secret("s"));
    assert_eq!(woken(&due), names(["b"]), "the key is free");
    assert_eq!(claims.subject("a"), Some(secret("s")));
    assert_eq!(claims.standing("b", |_| true), Standing::Holds);
}

#[test]
fn a_secret_is_left_only_to_somebody() {
    let (claims, due) = claims();
    let (a, b) = (object("a", 1, "a"), object("b", 2, "b"));
    claims.stake(&a, secret("s"));
    assert!(!claims.bequeath("a", |_| true), "nobody is there");
    claims.stake(&b, secret("s"));
    woken(&due);
    assert!(!claims.bequeath("a", |_| false), "nobody who counts");
    assert_eq!(claims.standing("a", |_| true), Standing::Holds);
    assert!(claims.bequeath("a", |_| true));
    assert_eq!(woken(&due), names(["b"]));
    assert_eq!(claims.standing("a", |_| true), Standing::Unproven);
    assert_eq!(claims.standing("b", |_| true), Standing::Holds);
}

#[test]
fn what_is_gone_is_nobodys() {
    let (claims, due) = claims();
    let (a, b) = (object("a", 1, "a"), object("b", 2, "b"));
    claims.stake(&a, secret("s"));
    claims.stake(&b, secret("s"));
    woken(&due);
    claims.vanished("a", &secret("s"), |_| true);
    assert_eq!(woken(&due), names(["b"]));
    for uid in ["a", "b"] {
        assert_eq!(claims.standing(uid, |_| true), Standing::Unproven);
    }
}

/// To one with another API key the API may say that of any secret.
#[test]
fn what_is_gone_for_one_is_not_for_those_who_see_it() {
    let (claims, due) = claims();
    let all = [
        object("a", 1, "a"),
        object("b", 2, "b"),
        object("c", 3, "c"),
    ];
    for object in &all {
        claims.stake(object, secret("s"));
    }
    woken(&due);
    claims.vanished("a", &secret("s"), |other| other.name == "c");
    assert_eq!(woken(&due), names(["b", "c"]));
    assert_eq!(claims.standing("a", |_| true), Standing::Unproven);
    assert_eq!(claims.standing("b", |_| true), Standing::Holds);
    assert_eq!(claims.standing("c", |_| true), Standing::Unproven);
}

#[test]
fn one_writes_at_a_time_and_the_others_are_woken_after() {
    let (claims, due) = claims();
    let (a, b) = (object("a", 1, "a"), object("b", 2, "b"));
    let (a, b) = (ObjectRef::from_obj(&a), ObjectRef::from_obj(&b));
    let turn = claims.begin(&a, secret("s")).expect("nobody writes");
    assert!(claims.begin(&b, secret("s")).is_err());
    assert!(claims.begin(&b, secret("t")).is_ok(), "another secret");
    assert_eq!(woken(&due), names([]));
    drop(turn);
    assert_eq!(woken(&due), names(["b"]));
    assert!(claims.begin(&b, secret("s")).is_ok());
}

#[derive(Clone, Debug)]
enum Step {
    Stake(u8, u8),
    Lapse(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..5u8, 0..3u8).prop_map(|(who, what)| Step::Stake(who, what)),
        (0..5u8).prop_map(Step::Lapse),
    ]
}

proptest! {
    /// After any sequence: one holder per subject, the oldest; all others wait for it; nothing is left of what
    /// lapsed; and everybody whose standing changed by what another did was woken.
    #[test]
    fn there_is_one_holder(steps in prop::collection::vec(step(), 0..60), ages in prop::collection::vec(0..3i64, 5)) {
        let (claims, due) = claims();
        let objects: Vec<_> = ages.iter().enumerate()
            .map(|(at, age)| object(&at.to_string(), *age, &at.to_string()))
            .collect();
        let mut model: HashMap<u8, u8> = HashMap::new();
        let standing = |claims: &Claims| -> Vec<_> {
            (0..5).map(|at| claims.standing(&at.to_string(), |_| true)).collect()
        };
        for step in steps {
            let before = standing(&claims);
            let actor = match step {
                Step::Stake(who, what) => {
                    claims.stake(&objects[usize::from(who)], secret(&what.to_string()));
                    model.insert(who, what);
                    who
                }
                Step::Lapse(who) => {
                    claims.lapse(&who.to_string());
                    model.remove(&who);
                    who
                }
            };
            let after = standing(&claims);
            let woken = woken(&due);
            for at in 0..5u8 {
                let oldest = model.get(&at).map(|what| {
                    model.iter().filter(|(_, other)| *other == what)
                        .map(|(who, _)| (ages[usize::from(*who)], *who)).min().expect("itself").1
                });
                let expected = match oldest {
                    None => Standing::Unproven,
                    Some(oldest) if oldest == at => Standing::Holds,
                    Some(oldest) => Standing::Waits(ObjectRef::from_obj(&objects[usize::from(oldest)])),
                };
                let now = &after[usize::from(at)];
                prop_assert_eq!(now, &expected);
                if at != actor && now != &before[usize::from(at)] {
                    prop_assert!(woken.contains(&at.to_string()));
                }
            }
        }
        let all = claims.all.lock();
        prop_assert_eq!(all.by_object.len(), model.len());
        prop_assert_eq!(all.by_subject.values().map(BTreeMap::len).sum::<usize>(), model.len());
        prop_assert!(all.by_subject.values().all(|claimants| !claimants.is_empty()));
    }
}
