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
    // Sweeps, so that there is always a request that looks at the file.
    let setup = Setup::new().options(Options::tls()).without_barrier();
    let setup = setup.flag("--api-timeout=2s").flag("--resync-interval=1s");
    let mut world = setup.start().await;
    let id = in_sync(&world, "token", &world.vault).await;
    let (host, pid) = (world.sim.address(), world.operator.pid());
    let unknown = "is not signed by a trusted authority (see --api-ca-file)";
    let mut round = 0;
    for (certificate, says) in [
        (Certificate::Valid, unknown),
        (Certificate::WrongName, "is for another name"),
        (Certificate::Expired, "has expired"),
        (Certificate::UnknownCa, unknown),
    ] {
        replaced(&mut world, &id, Tls::with(certificate)).await;
        if certificate != Certificate::Valid {
            // Its own authority is trusted: what is wrong is the certificate.
            trust(&world).await;
        }
        round += 1;
        let value = format!("round-{round}");
        world.set_secret("token", "key", &value).await;
        let what = format!("could not connect to {host}: its TLS certificate {says}");
        unavailable(&world, "token", &what).await;
        assert_eq!(world.sim.log().all().len(), 0, "nothing is sent");
        if certificate == Certificate::Valid {
            trust(&world).await;
            world.set_secret("token", "key", "trusted").await;
            stored(&world, &id, "trusted").await;
            world.synced("token").await;
            let sent = world.sim.log().all().secret(&id).writes();
            let bodies = [value.as_str(), "trusted"].map(|value| json!({"value": value}));
            let known =
                |entry: &nairi_sim::Entry| entry.json().is_some_and(|it| bodies.contains(&it));
            assert!(
                sent.len() <= 2 && sent.iter().all(|it| known(it)),
                "{sent:?}"
            );
        }
    }
    replaced(&mut world, &id, Tls::default()).await;
    trust(&world).await;
    // A file that is of no use takes nothing away.
    fs::write(ca_file(&world), "no PEM").expect("written");
    logged(&world, "by something that can't be used", 1).await;
    world.sim.cut_connections().await;
    world.set_secret("token", "key", "last").await;
    stored(&world, &id, "last").await;
    world.synced("token").await;
    assert_eq!(world.operator.pid(), pid, "it was not restarted");
    // What a certificate says is nobody's text.
    assert!(!world.operator.log().contains("elsewhere.invalid"));
}

/// Puts the server's authority into the CA file, and waits until the operator has taken it over.
async fn trust(world: &World) {
    let line = "is trusted from now on";
    let before = world.operator.log().matches(line).count();
    fs::write(ca_file(world), world.sim.ca_pem().expect("with TLS")).expect("written");
    logged(world, line, before + 1).await;
}

/// Waits until a line is in the log so often.
async fn logged(world: &World, line: &str, times: usize) {
    eventually(line, SOON, || async {
        (world.operator.log().matches(line).count() >= times).then_some(())
    })
    .await;
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
