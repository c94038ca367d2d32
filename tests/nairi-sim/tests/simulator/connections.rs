//! Connections: TLS, right and wrong; HTTP/2; outages.

use std::error::Error;
use std::iter::successors;

use nairi_sim::{Certificate, Fault, Options, Outcome, Sim, Tls};
use reqwest::Version;
use serde_json::json;
use tokio::net::TcpStream;

use crate::world::{SOON, World, builder};

fn with(certificate: Certificate) -> Options {
    Options {
        tls: Some(Tls::with(certificate)),
        ..Options::default()
    }
}

#[tokio::test]
async fn https_speaks_http_2() {
    let world = World::with(Options::tls()).await;
    assert!(world.sim.url().starts_with("https://127.0.0.1:"));
    let response = world
        .patching(&json!({"value": "second"}))
        .send()
        .await
        .expect("answered");
    assert_eq!(
        (response.status().as_u16(), response.version()),
        (200, Version::HTTP_2)
    );
    assert_eq!(world.list().await.len(), 1);
    assert_eq!(world.sim.log().all()[0].version, Version::HTTP_2);
    assert_eq!(world.sim.connections(), 1);
}

#[tokio::test]
async fn https_speaks_http_1_where_asked() {
    let tls = Tls {
        alpn: vec![String::from("http/1.1")],
        ..Tls::default()
    };
    let world = World::with(Options {
        tls: Some(tls),
        ..Options::default()
    })
    .await;
    let response = world.patching(&json!({})).send().await.expect("answered");
    assert_eq!(
        (response.status().as_u16(), response.version()),
        (200, Version::HTTP_11)
    );
}

#[tokio::test]
async fn wrong_certificates_are_wrong() {
    let cases = [
        (Certificate::WrongName, "NotValidForName"),
        (Certificate::Expired, "Expired"),
        (Certificate::UnknownCa, "UnknownIssuer"),
    ];
    for (certificate, reason) in cases {
        let world = World::with(with(certificate)).await;
        let error = world
            .patching(&json!({"value": "x"}))
            .send()
            .await
            .expect_err("refused");
        let reasons: Vec<String> = successors(error.source(), |&error| error.source())
            .map(|error| format!("{error:?}"))
            .collect();
        let reasons = reasons.join(" < ");
        assert!(reasons.contains(reason), "{certificate:?}: {reasons}");
        assert_eq!(
            (world.sim.connections(), world.sim.log().all().len()),
            (1, 0)
        );
    }
}

#[tokio::test]
async fn a_client_that_does_not_know_the_ca_refuses() {
    let world = World::with(Options::tls()).await;
    let stranger = builder().tls_certs_only([]).build().expect("a client");
    let url = format!("{}{}", world.sim.url(), world.list_path());
    stranger
        .get(url)
        .bearer_auth(world.sim.api_key())
        .send()
        .await
        .expect_err("refused");
    assert_eq!(world.sim.log().all().len(), 0);
}

#[tokio::test]
async fn many_requests_share_one_http_2_connection() {
    let world = World::with(Options::tls()).await;
    world.patch(json!({})).await;
    let fault = world.sim.fault(Fault::stall());
    let asking: Vec<_> = (0..200)
        .map(|_| tokio::spawn(world.patching(&json!({})).send()))
        .collect();
    fault.wait_stalled(200, SOON).await.expect("all of them");
    fault.release();
    for asked in asking {
        assert_eq!(
            asked.await.expect("joined").expect("answered").status(),
            200
        );
    }
    assert_eq!(
        (world.sim.connections(), world.sim.log().all().len()),
        (1, 201)
    );
}

#[tokio::test]
async fn a_stalled_http_2_request_notices_its_client_leaving() {
    let world = World::with(Options::tls()).await;
    let fault = world.sim.fault(Fault::stall());
    let asking = tokio::spawn(world.patching(&json!({"value": "x"})).send());
    fault.wait_stalled(1, SOON).await.expect("stalled");
    asking.abort();
    let ended = world
        .sim
        .log()
        .wait_for(|all| all.ended().len() == 1, SOON)
        .await
        .expect("ended");
    assert_eq!(ended[0].outcome, Outcome::Abandoned);
}

#[tokio::test]
async fn an_outage_and_its_end_on_the_same_port() {
    for options in [Options::default(), Options::tls()] {
        let world = World::with(options).await;
        world.patch(json!({"value": "second"})).await;
        for _ in 0..3 {
            world.sim.pause().await.expect("paused");
            let error = world
                .patching(&json!({"value": "lost"}))
                .send()
                .await
                .expect_err("refused");
            assert!(error.is_connect(), "{error:?}");
            world.sim.resume().await.expect("resumed");
            assert_eq!(world.patch(json!({})).await.0, 200);
        }
        assert_eq!(world.sim.value(&world.secret).as_deref(), Some("second"));
        assert_eq!(world.sim.log().writes().len(), 1);
        assert_eq!(world.sim.connections(), 4);
    }
}

#[tokio::test]
async fn an_outage_abandons_what_is_under_way() {
    let world = World::new().await;
    let fault = world.sim.fault(Fault::stall().after());
    let asking = tokio::spawn(world.patching(&json!({"value": "second"})).send());
    fault.wait_stalled(1, SOON).await.expect("stalled");
    world.sim.pause().await.expect("paused");
    asking.await.expect("joined").expect_err("cut");
    let log = world.sim.log().all();
    assert_eq!(
        (log[0].outcome, log[0].applied, fault.stalled()),
        (Outcome::Abandoned, true, 0)
    );
}

#[tokio::test]
async fn connections_can_be_cut_without_an_outage() {
    let world = World::new().await;
    let fault = world.sim.fault(Fault::stall().once());
    let asking = tokio::spawn(world.patching(&json!({})).send());
    fault.wait_stalled(1, SOON).await.expect("stalled");
    world.sim.cut_connections().await;
    asking.await.expect("joined").expect_err("cut");
    assert_eq!(world.patch(json!({})).await.0, 200);
    assert_eq!(world.sim.connections(), 2);
}

#[tokio::test]
async fn stop_ends_everything_and_the_port_can_be_had_again() {
    let world = World::new().await;
    world.patch(json!({"value": "second"})).await;
    let clone = world.sim.clone();
    world.sim.stop().await;
    TcpStream::connect(clone.address())
        .await
        .expect_err("nobody listens");
    assert_eq!(clone.value(&world.secret).as_deref(), Some("second"));
    let options = Options {
        listen: clone.address(),
        ..Options::default()
    };
    let next = Sim::try_start(options).await.expect("a free port");
    assert_eq!(next.url(), clone.url());
    let again = Sim::try_start(Options {
        listen: next.address(),
        ..Options::default()
    })
    .await;
    assert!(again.is_err(), "one listener a port");
}

#[tokio::test]
async fn dropping_the_last_clone_ends_everything() {
    let sim = Sim::start(Options::default()).await;
    let clone = sim.clone();
    let address = sim.address();
    drop(sim);
    let mut open = TcpStream::connect(address).await.expect("a clone keeps it");
    assert_eq!(clone.log().all().len(), 0);
    drop(clone);
    let mut nothing = [0];
    let read = tokio::io::AsyncReadExt::read(&mut open, &mut nothing).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}
