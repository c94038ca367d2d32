//! Whom a connection is made to.

use std::fs;
use std::time::Duration;

use nairi_sim::{Certificate, NewSecret as Stored, NewVault, Options, Sim, Tls};
use tempfile::NamedTempFile;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// A simulator with that certificate, and the secret that the requests here are about.
async fn sim(tls: Tls, listen: Option<std::net::SocketAddr>) -> Sim {
    let mut options = Options {
        api_key: Some(KEY.to_owned()),
        tls: Some(tls),
        ..Options::default()
    };
    options.listen = listen.unwrap_or(options.listen);
    let sim = Sim::start(options).await;
    sim.add_vault(NewVault::with_id(VAULT));
    sim.add_secret(VAULT, Stored::new("A", "old", &["a.com"]).with_id(SECRET));
    sim
}

fn ca_file(of: &Sim) -> NamedTempFile {
    let file = NamedTempFile::new().expect("a file");
    fs::write(file.path(), of.ca_pem().expect("with TLS")).expect("written");
    file
}

async fn patch(client: &Client) -> Result<RemoteSecret, Error> {
    let key = ApiKey::parse(KEY).expect("a key");
    client.patch_secret(&key, VAULT, SECRET, &value()).await
}

#[tokio::test]
async fn only_the_right_certificate_gets_the_key() {
    for (certificate, says) in [
        (Certificate::WrongName, "is for another name"),
        (Certificate::Expired, "has expired"),
        (
            Certificate::UnknownCa,
            "is not signed by a trusted authority (see --api-ca-file)",
        ),
    ] {
        let sim = sim(Tls::with(certificate), None).await;
        let ca = ca_file(&sim);
        let (client, seen) = trusting(sim.url(), Some(ca.path().into()), PATIENCE);
        let error = patch(&client).await.expect_err("an error");
        let host = sim.address();
        assert_eq!(
            error.to_string(),
            format!("could not connect to {host}: its TLS certificate {says}")
        );
        assert_eq!(error.class(), Class::Transient);
        assert!(!error.maybe_applied(), "nothing was sent");
        assert_silent(&error);
        assert_eq!(*seen.lock().expect("a lock"), [(Method::Patch, "connect")]);
        assert_eq!(sim.connections(), 1, "once");
        assert!(sim.log().all().is_empty());
    }
}

#[tokio::test]
async fn the_platforms_authorities_and_other_files_are_not_enough() {
    let (sim, other) = (
        sim(Tls::default(), None).await,
        sim(Tls::default(), None).await,
    );
    let (right, wrong) = (ca_file(&sim), ca_file(&other));
    for (file, trusted) in [(None, false), (Some(&wrong), false), (Some(&right), true)] {
        let file = file.map(|file| file.path().into());
        let (client, _) = trusting(sim.url(), file, PATIENCE);
        let answer = patch(&client).await;
        assert_eq!(answer.is_ok(), trusted, "{answer:?}");
    }
    assert_eq!(sim.log().all().len(), 1);
}

#[tokio::test]
async fn either_version_of_http_will_do() {
    for (alpn, version) in [
        (&["h2", "http/1.1"][..], http::Version::HTTP_2),
        (&["http/1.1"], http::Version::HTTP_11),
        (&[], http::Version::HTTP_11),
    ] {
        let tls = Tls {
            alpn: alpn.iter().map(ToString::to_string).collect(),
            ..Tls::default()
        };
        let sim = sim(tls, None).await;
        let ca = ca_file(&sim);
        let (client, _) = trusting(sim.url(), Some(ca.path().into()), PATIENCE);
        patch(&client).await.expect("a secret");
        let sent = sim.log().all();
        assert_eq!((sent.len(), sent[0].version), (1, version), "{alpn:?}");
    }
}

/// A bundle of authorities is replaced while the process runs: what is new in it is trusted, what is gone from it is
/// not, and a file that can't be used takes nothing away.
#[tokio::test]
async fn a_ca_file_that_is_replaced_is_read_anew() {
    let old = sim(Tls::default(), None).await;
    let file = ca_file(&old);
    let (client, _) = trusting(old.url(), Some(file.path().into()), PATIENCE);
    patch(&client).await.expect("a secret");

    for unusable in ["", "no PEM"] {
        fs::write(file.path(), unusable).expect("written");
        client.transport.look_again();
        patch(&client).await.expect("what it held stays trusted");
    }
    old.cut_connections().await;
    // The first request may find a connection that it takes for a good one.
    let _ = patch(&client).await;
    patch(&client).await.expect("over new connections, too");

    old.stop().await;
    patch(&client).await.expect_err("nobody is there");
    let new = sim(Tls::default(), Some(old.address())).await;
    fs::write(file.path(), new.ca_pem().expect("with TLS")).expect("written");
    let error = patch(&client).await.expect_err("not looked at so far");
    assert!(error.to_string().contains("--api-ca-file"), "{error}");
    client.transport.look_again();
    patch(&client).await.expect("it is trusted now");
    let connections = new.connections();
    client.transport.look_again();
    patch(&client).await.expect("a secret");
    assert_eq!(new.connections(), connections, "nothing was new");

    let other = ca_file(&sim(Tls::default(), None).await);
    fs::copy(other.path(), file.path()).expect("copied");
    client.transport.look_again();
    let error = patch(&client).await.expect_err("no more");
    assert!(error.to_string().contains("--api-ca-file"), "{error}");
}
