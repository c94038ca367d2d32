use super::*;
use crate::api::{ConnectionKind, ConnectionRef, VaultSecretSpec};

fn through(name: &str) -> ConnectionRef {
    ConnectionRef {
        kind: ConnectionKind::VaultConnection,
        name: name.to_owned(),
    }
}

/// Bound to `s` of vault `v`, which was shown through this connection.
fn bound(shown_through: Option<&str>) -> VaultSecret {
    let spec = VaultSecretSpec {
        connection_ref: through("a"),
        vault_id: "v".to_owned(),
        env_key: Some("K".to_owned()),
        ..VaultSecretSpec::default()
    };
    let mut object = VaultSecret::new("name", spec);
    object.metadata.uid = Some("uid".to_owned());
    object.status = Some(VaultSecretStatus {
        secret_id: Some("s".to_owned()),
        connection_ref: shown_through.map(through),
        ..VaultSecretStatus::default()
    });
    object
}

#[test]
fn only_what_its_connection_has_shown_is_a_claim_when_it_is_first_seen() {
    let secret = Subject::Secret {
        vault_id: "v".to_owned(),
        secret_id: "s".to_owned(),
    };
    assert_eq!(
        by_declaration(None, &bound(Some("a"))),
        Stake::On(secret.clone())
    );
    assert_eq!(by_declaration(None, &bound(Some("b"))), Stake::AsBefore);
    assert_eq!(by_declaration(None, &bound(None)), Stake::AsBefore);
    // Another one of that name is seen for the first time, too.
    let mut other = bound(None);
    other.metadata.uid = Some("other".to_owned());
    assert_eq!(
        by_declaration(Some(&other), &bound(Some("a"))),
        Stake::On(secret)
    );
}

#[test]
fn what_means_another_secret_or_goes_another_way_claims_nothing() {
    let now = bound(Some("a"));
    assert_eq!(by_declaration(Some(&now), &now), Stake::AsBefore);
    let changes: [fn(&mut VaultSecret); 3] = [
        |then| then.spec.connection_ref = through("b"),
        |then| then.spec.vault_id = "w".to_owned(),
        |then| then.spec.secret_id = Some("t".to_owned()),
    ];
    for change in changes {
        let mut then = now.clone();
        change(&mut then);
        assert_eq!(by_declaration(Some(&then), &now), Stake::Nothing);
    }
    let mut then = now.clone();
    then.spec.suspend = true;
    assert_eq!(by_declaration(Some(&then), &now), Stake::AsBefore);
}
