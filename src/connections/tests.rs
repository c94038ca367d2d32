use std::sync::Arc;

use super::*;

fn connections() -> Connections {
    let gates = Gates::new(1, Arc::new(|_| {})).expect("random bytes");
    Connections::new(gates, Box::new(|_| {}))
}

fn usable(connections: &Connections) -> Known {
    let key = ApiKey::parse(b"nr_key").expect("a key");
    Known::Usable(connections.credential(key, KeySource::made_up("one")))
}

#[test]
fn a_key_is_that_of_the_connection_it_was_read_for() {
    let usable = usable(&connections());
    assert!(
        usable
            .clone()
            .from(Some(&KeySource::made_up("one")))
            .is_some()
    );
    for other in [Some(KeySource::made_up("made again")), None] {
        assert!(usable.clone().from(other.as_ref()).is_none());
    }
    let unusable = Known::Unusable(ConnectionReason::KeyNotFound);
    assert!(unusable.from(None).is_some());
}

fn id() -> ConnectionId {
    ConnectionId::Namespaced {
        namespace: "ns".to_owned(),
        name: "name".to_owned(),
    }
}

#[test]
fn a_key_that_was_read_for_a_connection_that_is_gone_is_not_kept() {
    let connections = connections();
    assert!(!connections.set(id(), usable(&connections), || false));
    assert!(connections.get(&id()).is_none());
    assert!(connections.last(&id()).is_none());
    assert_eq!(connections.gates().closed_count(Instant::now()), 0);
    let known = connections.known.read().len() + connections.last.lock().len();
    assert_eq!(known, 0);
}

#[test]
fn the_last_key_of_a_connection_that_is_gone_is_kept_while_it_is_used() {
    let connections = connections();
    assert!(connections.set(id(), usable(&connections), || true));
    assert!(
        !connections.set(id(), usable(&connections), || true),
        "no news"
    );
    connections.unused(&id());
    assert!(connections.last(&id()).is_some(), "it is there");
    connections.retire(&id(), Some(&[]));
    assert!(connections.get(&id()).is_none());
    assert!(connections.last(&id()).is_some());
    assert_eq!(connections.last_grants(&id()), Some(Vec::new()));
    connections.unused(&id());
    assert!(connections.last(&id()).is_none());
}

#[test]
fn of_keys_that_nobody_has_few_are_remembered_and_of_others_all() {
    let connections = connections();
    let refused = |number: usize, kept: bool| {
        let key = ApiKey::parse(format!("nr_{number}").as_bytes()).expect("a key");
        let credential = connections.credential(key, KeySource::made_up("one"));
        let key = credential.gate.key_id();
        assert_eq!(connections.may_ask(key, false), Ok(()));
        connections.unverified(key, true);
        if kept {
            let id = ConnectionId::Cluster {
                name: number.to_string(),
            };
            connections.set(id, Known::Usable(credential), || true);
        }
        key
    };
    let kept: Vec<_> = (0..50).map(|number| refused(number, true)).collect();
    for number in 50..2000 {
        refused(number, false);
        assert!(connections.health.lock().len() <= 2 * kept.len());
    }
    for key in kept {
        assert!(
            connections.may_ask(key, true).is_err(),
            "it was just asked about"
        );
    }
}
