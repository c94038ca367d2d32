//! POST: what is sent, and every answer to it.

use std::time::Duration;

use super::server::{Reply, answer, endless, raw, stall};
use super::*;

async fn failure(reply: Reply) -> (Error, Bench) {
    failure_of(reply, async |bench| bench.create().await).await
}

#[tokio::test]
async fn one_creation_is_one_request_with_every_field() {
    let bench = Bench::new(vec![answer(201, "", GOOD), answer(201, "", GOOD)]);
    let secret = bench.create().await.expect("a secret");
    assert_eq!(secret.id, "sec_1");
    assert_eq!(secret.env_key, "A");
    assert_eq!(secret.updated_at, "2026-04-12T18:50:00.000Z");
    let everywhere = NewSecret {
        allowed_domains: vec![],
        ..new_secret()
    };
    let created = bench
        .client
        .create_secret(&bench.key, VAULT, &everywhere)
        .await;
    created.expect("a secret");
    let requests = bench.server.requests();
    let (head, body) = requests[0].split_once("\r\n\r\n").expect("head and body");
    assert!(head.starts_with(&format!(
        "POST /api/public/v1/vaults/{VAULT}/secrets HTTP/1.1\r\n"
    )));
    assert!(
        head.to_ascii_lowercase()
            .contains("content-type: application/json")
    );
    assert_eq!(
        body,
        format!("{{\"env_key\":\"A\",\"value\":\"{VALUE}\",\"allowed_domains\":[\"a.com\"]}}")
    );
    // No domains are said, too: left out they would be the service's to choose.
    assert!(requests[1].ends_with(",\"allowed_domains\":[]}"));
    assert_eq!(
        *bench.seen.lock().expect("a lock"),
        [(Method::Post, "201"); 2]
    );
}

#[tokio::test]
async fn only_a_201_is_a_creation() {
    let echo = format!("{{\"error\":\"echo {VALUE} {KEY}\",\"value\":\"{VALUE}\"}}");
    let pause = Class::Throttled {
        retry_after: Duration::from_secs(7),
    };
    for (status, body, class, maybe_applied, code) in [
        // What was there before, with another value, may be answered so.
        (200, GOOD, Class::InvalidResponse, true, "2xx"),
        (202, GOOD, Class::InvalidResponse, true, "2xx"),
        (204, "", Class::InvalidResponse, true, "2xx"),
        (302, "", Class::InvalidResponse, true, "3xx"),
        (400, &echo, Class::Rejected, false, "400"),
        (401, &echo, Class::Unauthorized, false, "401"),
        (403, &echo, Class::Rejected, false, "403"),
        (404, &echo, Class::NotFound, false, "404"),
        (408, &echo, Class::Transient, true, "408"),
        (409, &echo, Class::Rejected, false, "409"),
        (413, &echo, Class::Rejected, false, "413"),
        (422, &echo, Class::Rejected, false, "422"),
        (429, &echo, pause, false, "429"),
        (500, &echo, Class::Transient, true, "500"),
        (502, "<p>echo</p>", Class::Transient, true, "502"),
        (503, &echo, pause, true, "503"),
    ] {
        let (error, bench) = failure(answer(status, "retry-after: 7\r\n", body)).await;
        assert_eq!(error.class(), class, "{status}");
        assert_eq!(error.status(), Some(status));
        assert_eq!(error.maybe_applied(), maybe_applied, "{status}");
        assert!(error.to_string().contains(&status.to_string()), "{error}");
        assert_eq!(*bench.seen.lock().expect("a lock"), [(Method::Post, code)]);
    }
    let (error, _) = failure(answer(200, "", GOOD)).await;
    assert!(error.to_string().contains("where 201 was"), "{error}");
}

#[tokio::test]
async fn only_the_documented_404_says_that_there_is_no_vault() {
    let (error, _) = failure(answer(404, "", "{\"error\":\"echo\"}")).await;
    assert_eq!(error.class(), Class::NotFound);
    assert!(
        error.to_string().ends_with("there is no such vault"),
        "{error}"
    );
    for body in ["", "<html>echo</html>", "{\"message\":\"echo\"}"] {
        let (error, _) = failure(answer(404, "", body)).await;
        assert_eq!(error.class(), Class::Transient, "{body}");
        assert!(!error.maybe_applied());
    }
}

#[tokio::test]
async fn a_201_nobody_can_rely_on_may_have_created_it() {
    let long = "x".repeat(2000);
    let without = GOOD.replace(",\"updated_at\":\"2026-04-12T18:50:00.000Z\"", "");
    assert_ne!(without, GOOD);
    for (body, sentence) in [
        ("", "is not a secret"),
        ("<html>echo</html>", "is not a secret"),
        ("null", "is not a secret"),
        ("[]", "is not a secret"),
        (&format!("[{GOOD}]"), "is not a secret"),
        (&without, "updated_at"),
        (&GOOD[..GOOD.len() - 1], "is not a secret"),
        (&GOOD.replace("\"A\"", "\"ECHO_OTHER\""), "another env_key"),
        // Another spelling is another variable.
        (&GOOD.replace("\"A\"", "\"a\""), "another env_key"),
        (&GOOD.replace("sec_1", "sec/../echo"), "shows an id"),
        (&GOOD.replace("sec_1", &long), "shows an id"),
        (&GOOD.replace("a.com", "\\u001b[31mecho"), "not printable"),
    ] {
        let (error, bench) = failure(answer(201, "", body)).await;
        assert_eq!(error.class(), Class::InvalidResponse, "{body:.80}");
        assert_eq!(error.status(), Some(201));
        assert!(error.maybe_applied());
        assert!(error.to_string().contains(sentence), "{error}");
        assert_eq!(bench.codes(), ["invalid"]);
    }
    let head = "HTTP/1.1 201 X\r\nconnection: close\r\n\r\n{\"x\":\"";
    let (error, bench) = failure(endless(head, "echo")).await;
    assert_eq!(error.class(), Class::InvalidResponse);
    assert!(error.to_string().contains("256 KiB"), "{error}");
    assert!(error.maybe_applied());
    assert_eq!(bench.codes(), ["invalid"]);
}

#[tokio::test]
async fn a_lost_answer_may_have_created_it() {
    for cut in [
        "",
        "HTTP/1.1 201 Created\r\n",
        "HTTP/1.1 201 Created\r\ncontent-length: 99\r\n\r\n{\"id\":",
    ] {
        let (error, bench) = failure(raw(cut)).await;
        assert_eq!(error.class(), Class::Transient, "{cut}");
        assert!(error.maybe_applied());
        assert_eq!(bench.codes(), ["error"]);
    }
    let bench = Bench::with_timeout(vec![stall("")], Duration::from_millis(200));
    let error = bench.create().await.expect_err("an error");
    assert_eq!(error.class(), Class::Transient);
    assert!(error.maybe_applied());
    assert_eq!(bench.codes(), ["timeout"]);
    // Where nobody listens nothing was sent.
    let (gone, _) = client("http://127.0.0.1:1", Duration::from_secs(10));
    let nothing = gone.create_secret(&bench.key, VAULT, &new_secret()).await;
    let error = nothing.expect_err("an error");
    assert_eq!(error.class(), Class::Transient);
    assert!(!error.maybe_applied());
    assert_silent(&error);
}
