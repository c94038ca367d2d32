use proptest::prelude::*;

use kube_runtime::reflector::ObjectRef;

use super::*;
use crate::{
    api::VaultSecret,
    nairi::{ApiKey, Gates},
};

const INTERVAL: Duration = Duration::from_secs(100);

fn vault(name: &str) -> VaultId {
    let gates =
        Gates::<ObjectRef<VaultSecret>>::new(1, std::sync::Arc::new(|_| {})).expect("randomness");
    let key = ApiKey::parse(b"nr_key").expect("a key");
    (gates.key_id(&key), name.to_owned())
}

fn used(sweeps: &Sweeps, vaults: &[&VaultId], now: Instant) {
    sweeps.in_use(|it| vaults.contains(&it), vaults.iter().copied(), now);
}

/// One vault, in use since the instant, and when it is due.
fn world() -> (Sweeps, VaultId, Instant, Instant) {
    let (sweeps, vault, now) = (Sweeps::new(INTERVAL), vault("vlt_1"), Instant::now());
    used(&sweeps, &[&vault], now);
    let due = sweeps.next(now).expect("in use");
    (sweeps, vault, now, due)
}

/// About so many intervals after `then`.
fn about_after(due: Option<Instant>, then: Instant, intervals: f64) -> bool {
    let after = due.expect("in use").duration_since(then).as_secs_f64();
    let expected = INTERVAL.as_secs_f64() * intervals;
    (0.89 * expected..1.11 * expected).contains(&after)
}

#[test]
fn a_vault_has_its_first_turn_within_an_interval_and_none_when_nobody_uses_it() {
    let (sweeps, vault, now, due) = world();
    assert!(due > now + INTERVAL / 3 && due <= now + INTERVAL);
    assert_eq!(sweeps.due(now), []);
    assert_eq!(sweeps.due(due), std::slice::from_ref(&vault));
    used(&sweeps, &[&vault], now + INTERVAL);
    assert_eq!(sweeps.next(now), Some(due), "it keeps its turn");
    assert_eq!(sweeps.oldest(due), Some(due - now));
    used(&sweeps, &[], now);
    assert_eq!((sweeps.next(now), sweeps.oldest(now)), (None, None));
}

#[test]
fn any_list_that_succeeds_is_the_vaults_sweep() {
    let (sweeps, vault, now, _) = world();
    let began = now + INTERVAL / 4;
    sweeps.succeeded(&vault, false, began, began + Duration::from_secs(1));
    assert!(about_after(sweeps.next(now), began, 1.0));
    assert_eq!(
        sweeps.oldest(began + Duration::from_secs(3)),
        Some(Duration::from_secs(2))
    );
}

#[test]
fn a_vault_that_is_not_there_is_asked_for_less_and_less_up_to_an_hour() {
    for class in [Class::NotFound, Class::Rejected] {
        let (sweeps, vault, now, _) = world();
        for intervals in [2.0, 4.0, 8.0, 16.0, 32.0, 36.0, 36.0] {
            sweeps.failed(&vault, false, class, now);
            assert!(about_after(sweeps.next(now), now, intervals), "{intervals}");
        }
        sweeps.succeeded(&vault, false, now, now);
        sweeps.failed(&vault, true, class, now);
        assert!(about_after(sweeps.next(now), now, 2.0), "from the start");
    }
}

#[test]
fn a_list_that_failed_for_an_object_leaves_the_turn_as_it_is() {
    let pause = Duration::from_secs(7);
    for class in [
        Class::Transient,
        Class::InvalidResponse,
        Class::Unauthorized,
        Class::Throttled { retry_after: pause },
    ] {
        let (sweeps, vault, now, due) = world();
        sweeps.failed(&vault, false, class, now);
        assert_eq!(sweeps.next(now), Some(due));
    }
    // The sweep's own: soon, at latest after an interval; and as soon as the gate lets it through.
    let (sweeps, vault, now, _) = world();
    for _ in 0..20 {
        sweeps.failed(&vault, true, Class::Transient, now);
        let next = sweeps.next(now).expect("in use");
        assert!(next > now + Duration::from_secs(3) && next <= now + INTERVAL);
    }
    sweeps.failed(&vault, true, Class::Unauthorized, now);
    assert_eq!(sweeps.due(now), [vault]);
}

proptest! {
    /// However late each turn is taken, there is one an interval on average.
    #[test]
    fn delays_do_not_add_up(delays in prop::collection::vec(0..10_000u64, 50..100)) {
        let (sweeps, vault, now, mut due) = world();
        let first = due;
        for delay in &delays {
            let taken = due + Duration::from_millis(*delay);
            prop_assert_eq!(sweeps.due(taken), [vault.clone()]);
            sweeps.begun(&vault, taken);
            sweeps.succeeded(&vault, true, taken, taken);
            due = sweeps.next(now).expect("in use");
            prop_assert!(due >= taken + INTERVAL / 2);
        }
        let turns = f64::from(u32::try_from(delays.len()).expect("a few"));
        let mean = due.duration_since(first).as_secs_f64() / turns;
        prop_assert!((mean / INTERVAL.as_secs_f64() - 1.0).abs() < 0.05, "{}", mean);
    }
}
