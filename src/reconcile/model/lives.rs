//! Objects that come and go and mean one another's secrets: whatever happens, each secret has one writer, and it ends
//! as declared.

use proptest::prelude::*;

use super::{
    course::Course,
    events::{Event, KEYS, PLACES, event},
    laws::{names, seniority},
    quiet::switches,
    vault::{Blur, Switches},
    world::{StatusFault, World},
};
use crate::{
    api::{DeletionPolicy, DriftPolicy, Reason, VaultSecret},
    reconcile::{finalizer, status::ready_reason},
};

/// More passes than it takes all objects to come to rest once nothing happens any more.
const MOST_PASSES: usize = 60;

fn live(switches: Switches, there: [bool; 2], history: &[Event]) -> World {
    let env_keys = KEYS.iter().zip(there).filter(|(_, there)| *there);
    let env_keys: Vec<_> = env_keys.map(|(env_key, _)| *env_key).collect();
    let mut world = World::new(switches, PLACES, &env_keys);
    for event in history {
        world.happen(event);
    }
    world
}

/// What was in the way is out of it.
fn heal(world: &mut World) {
    world.trace.push("rest".into());
    world.vault.blur(Blur::Nothing);
    for key in 0..2 {
        if world.keys[key].revoked {
            world.revoke(key, false);
        }
    }
    for at in 0..PLACES {
        if !world.lives[at].permitted {
            world.permit(at, true);
        }
        world.respecify(at, |spec| spec.suspend = false);
    }
}

/// Lets everything come to rest, with sweeps or without: only those have a pass whom something woke.
fn calm(world: &mut World, sweep: bool) {
    for _ in 0..4 {
        for at in 0..PLACES {
            world.catch_up(at);
        }
        world.wait(60);
        if sweep {
            world.sweep();
        }
        let mut passes = 0;
        while let Some(at) = world.next_due() {
            world.happen(&Event::Pass(at));
            world.catch_up(at);
            passes += 1;
            assert!(passes < MOST_PASSES, "no rest: {:#?}", world.trace);
        }
    }
}

/// Before any list was made: who says that the vault holds what it declares, and was the last to write there, is right.
/// (What another object wrote there without the one knowing only a sweep shows.)
fn own_writes_hold(world: &World) {
    for (at, life) in world.lives.iter().enumerate() {
        let Some((object, status)) = (life.server.as_ref())
            .and_then(|object| Some((object, object.status.as_ref()?)))
            .filter(|(_, status)| ready_reason(status) == Some(Reason::Synced))
        else {
            continue;
        };
        let writer = (status.secret_id.as_ref()).and_then(|id| world.writers.get(id));
        assert!(
            writer != object.metadata.uid.as_ref() || world.as_declared(at),
            "{at}: {:#?} {:#?}",
            world.told(),
            world.trace
        );
    }
}

/// A further sweep, and a pass over every object, neither send nor write anything.
fn is_quiet(world: &mut World) {
    let done = world.done.clone();
    world.trace.push("quiet".into());
    world.sweep();
    for at in 0..world.lives.len() {
        world.pass(at, &mut Course::default(), StatusFault::None);
        world.catch_up(at);
    }
    assert_eq!(world.done, done, "{:#?} {:#?}", world.told(), world.trace);
}

/// Looks whether each object says what is so, and whether that is what is declared.
fn look(world: &World) {
    let all: Vec<(usize, &VaultSecret)> = (0..PLACES)
        .filter_map(|at| Some((at, world.lives[at].server.as_ref()?)))
        .collect();
    for (at, object) in &all {
        let must = |holds: bool, law: &str| {
            assert!(
                holds,
                "{at} {law}: {:#?} {:#?} {:#?}",
                world.told(),
                world.vault.secrets,
                world.trace
            );
        };
        must(
            object.metadata.deletion_timestamp.is_none(),
            "never goes away",
        );
        let deletes = object.spec.deletion_policy == DeletionPolicy::Delete;
        let status = object.status.clone().unwrap_or_default();
        let named: Vec<_> = (world.vault.secrets.iter())
            .filter(|secret| match &object.spec.secret_id {
                Some(id) => *id == secret.id,
                None => object.spec.env_key.as_ref() == Some(&secret.env_key),
            })
            .collect();
        let holder = |id: &str| {
            let holders = all.iter().filter(|(_, other)| {
                let status = other.status.as_ref();
                status.and_then(|status| status.secret_id.as_deref()) == Some(id)
            });
            holders.map(|(at, _)| *at).collect::<Vec<_>>()
        };
        let reason = ready_reason(&status);
        if let Some(id) = &status.secret_id {
            must(holder(id) == [*at], "shares its secret");
            must(
                named.iter().any(|secret| secret.id == *id),
                "is bound astray",
            );
            must(
                finalizer::is_set(object) == deletes,
                "is held otherwise than declared",
            );
        } else {
            must(deletes || !finalizer::is_set(object), "is held for nothing");
        }
        match reason {
            Some(Reason::Synced) => must(world.as_declared(*at), "is not in sync"),
            // Others are also those who had the secret in between.
            Some(Reason::DriftDetected) => must(
                object.spec.drift_policy == DriftPolicy::Report,
                "reports drift",
            ),
            Some(Reason::Conflict) => must(
                named.iter().any(|secret| {
                    let holders = holder(&secret.id);
                    holders
                        .iter()
                        .any(|holder| seniority(world.object(*holder)) < seniority(object))
                }),
                "waits for nobody",
            ),
            Some(Reason::RemoteNotFound) => {
                let creates = object.spec.creation_policy == crate::api::CreationPolicy::IfMissing;
                must(named.is_empty() && !creates, "finds nothing");
            }
            Some(Reason::EnvKeyMismatch) => must(
                (named.iter()).any(|secret| !names(object, &secret.id, &secret.env_key)),
                "finds another key",
            ),
            Some(Reason::AmbiguousEnvKey) => must(named.len() > 1, "finds several"),
            other => must(false, &format!("says {other:?}")),
        }
        // Who is the oldest of those that name a secret has it.
        if let [secret] = named[..]
            && names(object, &secret.id, &secret.env_key)
        {
            let senior = all.iter().all(|(_, other)| {
                other.metadata.uid == object.metadata.uid
                    || !names(other, &secret.id, &secret.env_key)
                    || seniority(object) < seniority(other)
            });
            must(
                !senior || status.secret_id.as_ref() == Some(&secret.id),
                "is the oldest and has nothing",
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Without others everything heals by what the operator itself remembers; no list is needed.
    #[test]
    fn lives_among_themselves(
        switches in switches(), there in any::<[bool; 2]>(),
        history in prop::collection::vec(event(false), 0..40),
    ) {
        let mut world = live(switches, there, &history);
        heal(&mut world);
        calm(&mut world, false);
        own_writes_hold(&world);
        // What was not there, and is now, only a list shows.
        calm(&mut world, true);
        is_quiet(&mut world);
        look(&world);
    }

    /// With others, lists show what they did.
    #[test]
    fn lives_among_others(
        switches in switches(), there in any::<[bool; 2]>(),
        history in prop::collection::vec(event(true), 0..40),
    ) {
        let mut world = live(switches, there, &history);
        heal(&mut world);
        calm(&mut world, true);
        is_quiet(&mut world);
        look(&world);
    }
}
