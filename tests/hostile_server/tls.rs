//! The server's certificate, and the CA file.

use std::{fs, path::PathBuf};

use nairi_sim::{Certificate, Tls};

use super::*;

/// Another server at the same address: with this certificate, and the same secret in its vault.
async fn replaced(world: &mut World, id: &str, tls: Tls) {
    let (listen, key) = (world.sim.address(), world.sim.api_key().to_owned());
    let (env_key, value) = {
        let secret = world.sim.secret(id).expect("it is there");
        (secret.env_key, secret.value)
    };
    world.sim.stop().await;
    let options = Options {
        listen,
        api_key: Some(key),
        tls: Some(tls),
        ..Options::default()
    };
    world.sim = Sim::start(options).await;
    world.sim.add_vault(NewVault::with_id(&world.vault));
    let secret = NewSecret::new(&env_key, &value, &["api.example.com"]).with_id(id);
    world.sim.add_secret(&world.vault, secret);
}

fn ca_file(world: &World) -> PathBuf {
    let mut args = world.operator.launched().args.iter();
    let file = args.find_map(|arg| arg.strip_prefix("--api-ca-file="));
    file.expect("it is given").into()
}

/// Nothing is sent to a server that can't show who it is, and a bundle of authorities that is replaced is taken over
/// without a restart.
#[tokio::test]
async fn only_the_server_that_is_meant_is_talked_to() {
    let setup = Setup::new().options(Options::tls()).without_barrier();
    let mut world = setup.flag("--api-timeout=2s").start().await;
    let id = in_sync(&world, "token", &world.vault).await;
    let (host, pid) = (world.sim.address(), world.operator.pid());
    let file = ca_file(&world);
    let mut round = 0;
    for (certificate, says) in [
        (Certificate::WrongName, "is for another name"),
        (Certificate::Expired, "has expired"),
        (
            Certificate::UnknownCa,
            "is not signed by a trusted authority (see --api-ca-file)",
        ),
        (
            Certificate::Valid,
            "is not signed by a trusted authority (see --api-ca-file)",
        ),
    ] {
        replaced(&mut world, &id, Tls::with(certificate)).await;
        if certificate != Certificate::Valid {
            // Its own authority is trusted: what is wrong is the certificate.
            fs::write(&file, world.sim.ca_pem().expect("with TLS")).expect("written");
        }
        round += 1;
        world
            .set_secret("token", "key", &format!("round-{round}"))
            .await;
        let what = format!("could not connect to {host}: its TLS certificate {says}");
        unavailable(&world, "token", &what).await;
        assert_eq!(world.sim.log().all().len(), 0, "nothing is sent");
    }
    fs::write(&file, world.sim.ca_pem().expect("with TLS")).expect("written");
    stored(&world, &id, "round-4").await;
    world.synced("token").await;
    let sent = world.sim.log().all();
    assert_eq!(sent.secret(&id).len(), 1, "{sent:?}");
    assert_eq!(world.operator.pid(), pid, "it was not restarted");
    // A file that is of no use takes nothing away.
    fs::write(&file, "no PEM").expect("written");
    world.sim.cut_connections().await;
    world.set_secret("token", "key", "last").await;
    stored(&world, &id, "last").await;
    world.synced("token").await;
}

/// Without the file that was asked for, nothing is begun.
#[tokio::test]
async fn a_ca_file_that_is_not_there_is_said_at_the_start() {
    let mut world = Setup::new().without_barrier().unstarted().start().await;
    let missing = "--api-ca-file=/nonexistent/ca.pem".to_owned();
    world.operator.launch().args.push(missing);
    world.operator.start_unready();
    let status = world.operator.wait_ended(SOON).await;
    assert!(!status.success());
    let log = world.operator.log();
    assert!(
        log.contains("the CA file /nonexistent/ca.pem can't be read: entity not found"),
        "{log}"
    );
    assert_eq!(world.sim.log().all().len(), 0);
}
