//! The client against a server that misbehaves in every way a server can.

mod broken;
mod creates;
mod deletes;
mod hostile;
mod http2;
mod lists;
mod log;
mod server;
mod statuses;
mod tls;

use std::error::Error as _;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::SecretString;

use self::server::{Reply, Server, answer, raw};
use super::*;

const VAULT: &str = "vlt_01KQ27AQH800XQTQPJZ0DH14SJ";
const SECRET: &str = "sec_1";
const GOOD: &str = r#"{"id":"sec_1","env_key":"A","allowed_domains":["a.com"],"created_at":"2026-04-25T11:45:19.000Z","updated_at":"2026-04-12T18:50:00.000Z"}"#;
const VALUE: &str = "canary-value-1f2e";
const KEY: &str = "nr_CanaryKey0123456789";

type Seen = Arc<Mutex<Vec<(Method, &'static str)>>>;

/// A client, the server it talks to, and what the observer was told.
struct Bench {
    server: Server,
    client: Client,
    key: ApiKey,
    seen: Seen,
}

impl Bench {
    fn new(replies: Vec<Reply>) -> Self {
        Self::with_timeout(replies, Duration::from_secs(10))
    }

    fn with_timeout(replies: Vec<Reply>, timeout: Duration) -> Self {
        let server = Server::new(replies);
        let (client, seen) = client(&server.url, timeout);
        Self {
            server,
            client,
            key: ApiKey::parse(KEY).expect("a key"),
            seen,
        }
    }

    async fn patch(&self, patch: &SecretPatch) -> Result<RemoteSecret, Error> {
        self.client
            .patch_secret(&self.key, VAULT, SECRET, patch)
            .await
    }

    async fn create(&self) -> Result<RemoteSecret, Error> {
        let new = new_secret();
        self.client.create_secret(&self.key, VAULT, &new).await
    }

    async fn delete(&self) -> Result<(), Error> {
        self.client.delete_secret(&self.key, VAULT, SECRET).await
    }

    /// The secrets, and how many elements can't be read.
    async fn list_torn(&self) -> Result<(Vec<RemoteSecret>, usize), Error> {
        let (mut all, mut unreadable) = (Vec::new(), 0);
        self.client
            .list_secrets(&self.key, VAULT, |element| match element {
                Ok(secret) => all.push(secret),
                Err(_) => unreadable += 1,
            })
            .await?;
        Ok((all, unreadable))
    }

    async fn list(&self) -> Result<Vec<RemoteSecret>, Error> {
        let (all, unreadable) = self.list_torn().await?;
        assert_eq!(unreadable, 0);
        Ok(all)
    }

    fn codes(&self) -> Vec<&'static str> {
        self.seen
            .lock()
            .expect("a lock")
            .iter()
            .map(|(_, code)| *code)
            .collect()
    }
}

fn client(url: &str, timeout: Duration) -> (Client, Seen) {
    trusting(url, None, timeout)
}

/// The same, which trusts the authorities in that file.
fn trusting(url: &str, ca_file: Option<PathBuf>, timeout: Duration) -> (Client, Seen) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let seen = Seen::default();
    let told = Arc::clone(&seen);
    let client = Client::new(Config {
        base_url: url.to_owned(),
        ca_file,
        allow_insecure_http: false,
        timeout,
        user_agent: "vaultsecret-operator/0 (replica)".to_owned(),
        observer: Arc::new(move |method, code, _| {
            told.lock().expect("a lock").push((method, code));
        }),
    });
    (client.expect("a client"), seen)
}

fn value() -> SecretPatch {
    SecretPatch {
        value: Some(SecretString::from(VALUE)),
        allowed_domains: None,
    }
}

fn domains() -> SecretPatch {
    SecretPatch {
        value: None,
        allowed_domains: Some(vec!["a.com".to_owned()]),
    }
}

fn new_secret() -> NewSecret {
    NewSecret {
        env_key: "A".to_owned(),
        value: SecretString::from(VALUE),
        allowed_domains: vec!["a.com".to_owned()],
    }
}

/// The error of a PATCH with a value; nothing of what was sent is in it.
async fn failure(reply: Reply) -> (Error, Bench) {
    failure_of(reply, async |bench| bench.patch(&value()).await).await
}

/// The error of one request; nothing of what was sent is in it.
async fn failure_of<T: fmt::Debug>(
    reply: Reply,
    send: impl AsyncFnOnce(&Bench) -> Result<T, Error>,
) -> (Error, Bench) {
    let bench = Bench::new(vec![reply]);
    let error = send(&bench).await.expect_err("an error");
    assert_eq!(bench.server.requests().len(), 1, "sent once");
    assert_eq!(bench.codes().len(), 1, "observed once");
    assert_silent(&error);
    (error, bench)
}

fn assert_silent(error: &Error) {
    let mut shown = format!("{error} {error:?} {error:#?}");
    let mut source = error.source();
    while let Some(error) = source {
        shown = format!("{shown} {error} {error:?}");
        source = error.source();
    }
    for secret in [VALUE, KEY, "anary", "echo"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn the_calls_can_be_spawned() {
    fn is_send<T: Send>(_: T) {}
    let bench = Bench::new(vec![]);
    let patch = value();
    is_send(bench.patch(&patch));
    is_send(bench.create());
    is_send(bench.delete());
    is_send(bench.list());
    is_send(bench.client.list_vaults(&bench.key));
}

#[tokio::test]
async fn one_patch_is_one_request_with_the_fields_alone() {
    let bench = Bench::new(vec![answer(200, "", GOOD), answer(200, "", GOOD)]);
    let secret = bench.patch(&value()).await.expect("a secret");
    assert_eq!(secret.updated_at, "2026-04-12T18:50:00.000Z");
    bench
        .patch(&SecretPatch::default())
        .await
        .expect("a secret");
    let requests = bench.server.requests();
    assert_eq!(requests.len(), 2);
    let (head, body) = requests[0].split_once("\r\n\r\n").expect("head and body");
    assert_eq!(body, format!("{{\"value\":\"{VALUE}\"}}"));
    assert!(head.starts_with(&format!(
        "PATCH /api/public/v1/vaults/{VAULT}/secrets/{SECRET} HTTP/1.1\r\n"
    )));
    let head = head.to_ascii_lowercase();
    for header in [
        &format!("authorization: bearer {}", KEY.to_ascii_lowercase()),
        "content-type: application/json",
        "accept: application/json",
        "user-agent: vaultsecret-operator/0 (replica)",
    ] {
        assert!(
            head.lines().any(|line| line == header),
            "{header} in {head}"
        );
    }
    assert!(
        !head.contains("accept-encoding") && !head.contains("cookie") && !head.contains("referer")
    );
    assert!(requests[1].ends_with("\r\n\r\n{}"));
    assert_eq!(bench.codes(), ["200", "200"]);
}

#[tokio::test]
async fn no_id_reaches_another_path() {
    let bench = Bench::new(vec![]);
    for bad in [
        "",
        ".",
        "..",
        "a/b",
        "a%2fb",
        "a?b",
        "a#b",
        "a b",
        "\u{e9}",
        &"x".repeat(129),
    ] {
        for error in [
            bench
                .client
                .patch_secret(&bench.key, bad, SECRET, &value())
                .await
                .expect_err("refused"),
            bench
                .client
                .patch_secret(&bench.key, VAULT, bad, &value())
                .await
                .expect_err("refused"),
            bench
                .client
                .list_secrets(&bench.key, bad, |_| {})
                .await
                .expect_err("refused"),
            bench
                .client
                .create_secret(&bench.key, bad, &new_secret())
                .await
                .expect_err("refused"),
            bench
                .client
                .delete_secret(&bench.key, bad, SECRET)
                .await
                .expect_err("refused"),
            bench
                .client
                .delete_secret(&bench.key, VAULT, bad)
                .await
                .expect_err("refused"),
        ] {
            assert_eq!(error.class(), Class::Rejected);
            assert_eq!(error.status(), None);
            assert!(!error.maybe_applied());
        }
    }
    assert!(bench.server.requests().is_empty());
    assert!(bench.codes().is_empty());
}

#[tokio::test]
async fn a_200_nobody_can_rely_on_is_no_success() {
    let deep = format!("{{\"x\":{}", "[".repeat(100_000));
    for (body, sentence) in [
        ("", "is not a secret"),
        ("<html>echo</html>", "is not a secret"),
        ("null", "is not a secret"),
        ("[]", "is not a secret"),
        (
            "{\"id\":\"sec_1\",\"env_key\":\"A\",\"allowed_domains\":[]}",
            "updated_at",
        ),
        (
            "{\"id\":\"sec_1\",\"env_key\":\"A\",\"updated_at\":null}",
            "updated_at",
        ),
        (&GOOD.replace("sec_1", "sec_2-echo"), "another secret"),
        (&format!("{GOOD}{GOOD}"), "is not a secret"),
        (&GOOD[..GOOD.len() - 1], "is not a secret"),
        (
            &GOOD.replace("18:50:00.000Z", "\\u001b[31mecho"),
            "no timestamp",
        ),
        (&deep, "is not a secret"),
    ] {
        let (error, bench) = failure(answer(200, "", body)).await;
        assert_eq!(error.class(), Class::InvalidResponse, "{body:.80}");
        assert_eq!(error.status(), Some(200));
        assert!(error.maybe_applied());
        assert!(error.to_string().contains(sentence), "{error}");
        assert_eq!(bench.codes(), ["invalid"]);
    }
    let mut bad_utf8 = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
    bad_utf8.extend(GOOD.bytes().map(|b| if b == b'A' { 0xff } else { b }));
    assert_eq!(
        failure(raw(bad_utf8)).await.0.class(),
        Class::InvalidResponse
    );
}

#[tokio::test]
async fn a_request_without_a_value_relays_the_message_scrubbed() {
    let said = format!(
        "{{\"error\":\"bad \\u001b[31mdomain\\u202e a.com for {KEY} {}\"}}",
        "x".repeat(999)
    );
    let bench = Bench::new(vec![
        answer(400, "", &said),
        answer(400, "", &said),
        answer(400, "", "<p>echo</p>"),
    ]);
    for error in [
        bench.patch(&domains()).await.expect_err("an error"),
        bench.list().await.expect_err("an error"),
    ] {
        let sentence = error.to_string();
        assert!(
            sentence.contains("(\"bad domain a.com for *** xxx"),
            "{sentence}"
        );
        assert!(sentence.chars().count() < 256 + 100);
        assert!(!sentence.chars().any(char::is_control));
        assert_silent(&error);
    }
    // What is not of the documented form is not relayed either.
    assert_silent(&bench.patch(&domains()).await.expect_err("an error"));
}

#[tokio::test]
async fn reads_can_not_have_been_applied() {
    let bench = Bench::new(vec![
        answer(500, "", ""),
        answer(500, "", ""),
        answer(500, "", ""),
    ]);
    assert!(
        !bench
            .patch(&SecretPatch::default())
            .await
            .expect_err("an error")
            .maybe_applied()
    );
    assert!(!bench.list().await.expect_err("an error").maybe_applied());
    assert!(
        bench
            .patch(&domains())
            .await
            .expect_err("an error")
            .maybe_applied()
    );
}
