//! Connections that fail, stall or never end.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use super::server::{endless, raw, stall};
use super::*;

#[tokio::test]
async fn a_body_without_end_is_left() {
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"x\":\"";
    let (error, bench) = failure(endless(head, "echo")).await;
    assert_eq!(error.class(), Class::InvalidResponse);
    assert!(error.to_string().contains("256 KiB"), "{error}");
    assert!(error.maybe_applied());
    assert_eq!(bench.codes(), ["invalid"]);
    // Of an error, too: the status says enough.
    let head = "HTTP/1.1 401 X\r\nconnection: close\r\n\r\n{\"error\":\"";
    assert_eq!(
        failure(endless(head, "echo")).await.0.class(),
        Class::Unauthorized
    );
    let head = "HTTP/1.1 404 X\r\nconnection: close\r\n\r\n{\"error\":\"";
    assert_eq!(
        failure(endless(head, "echo")).await.0.class(),
        Class::Transient
    );
}

#[tokio::test]
async fn a_server_that_stalls_runs_into_the_timeout() {
    let limit = Duration::from_millis(200);
    for sent in ["", "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"id\":"] {
        let bench = Bench::with_timeout(vec![stall(sent)], limit);
        let error = bench.patch(&value()).await.expect_err("an error");
        assert_eq!(error.class(), Class::Transient);
        assert!(
            error.to_string().ends_with("timed out after 200ms"),
            "{error}"
        );
        assert!(error.maybe_applied());
        assert_eq!(bench.codes(), ["timeout"]);
        assert_silent(&error);
    }
    // A shorter limit for one request; and a stalled error body does not hide the status.
    let bench = Bench::new(vec![
        stall(""),
        stall("HTTP/1.1 401 X\r\ncontent-length: 9\r\n\r\n{"),
    ]);
    let brief = bench.client.within(limit);
    let error = brief.list_vaults(&bench.key).await.expect_err("an error");
    assert!(
        error.to_string().contains("the time that was left"),
        "{error}"
    );
    let error = brief.list_vaults(&bench.key).await.expect_err("an error");
    assert_eq!(error.class(), Class::Unauthorized);
    assert_eq!(bench.codes(), ["timeout", "401"]);
}

#[tokio::test]
async fn a_caller_that_gives_up_is_counted() {
    let bench = Bench::new(vec![stall("")]);
    let patch = value();
    let given_up = tokio::time::timeout(Duration::from_millis(50), bench.patch(&patch)).await;
    assert!(given_up.is_err());
    assert_eq!(bench.codes(), ["cancelled"]);
}

#[tokio::test]
async fn a_connection_that_is_cut_may_have_carried_the_change() {
    for cut in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"id\":",
        "echo\r\n\r\n",
    ] {
        let (error, bench) = failure(raw(cut)).await;
        assert_eq!(error.class(), Class::Transient, "{cut}");
        assert!(error.maybe_applied());
        assert_eq!(bench.codes(), ["error"]);
    }
}

#[tokio::test]
async fn without_a_connection_nothing_was_applied() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let (client, seen) = client(&format!("http://{address}"), Duration::from_secs(10));
    let key = ApiKey::parse(KEY).expect("a key");
    let error = client
        .patch_secret(&key, VAULT, SECRET, &value())
        .await
        .expect_err("an error");
    assert_eq!(error.class(), Class::Transient);
    assert_eq!(
        error.to_string(),
        format!("could not connect to {address}: connection refused")
    );
    assert!(!error.maybe_applied());
    assert_silent(&error);
    assert_eq!(*seen.lock().expect("a lock"), [(Method::Patch, "connect")]);
}

#[tokio::test]
async fn a_port_without_tls_is_said_plainly() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let plain = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\necho")
            .expect("written");
        while stream.read(&mut [0; 64]).is_ok_and(|n| n > 0) {}
    });
    let (client, seen) = client(&format!("https://{address}"), Duration::from_secs(10));
    let key = ApiKey::parse(KEY).expect("a key");
    let error = client
        .patch_secret(&key, VAULT, SECRET, &value())
        .await
        .expect_err("an error");
    plain.join().expect("the server ends");
    assert_eq!(error.class(), Class::Transient);
    assert!(error.to_string().contains("does not speak TLS"), "{error}");
    assert!(!error.maybe_applied());
    assert_silent(&error);
    assert_eq!(*seen.lock().expect("a lock"), [(Method::Patch, "connect")]);
}
