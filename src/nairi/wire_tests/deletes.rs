//! DELETE: what is sent, and every answer to it.

use std::time::Duration;

use super::server::{Reply, answer, endless, raw, stall};
use super::*;

async fn failure(reply: Reply) -> (Error, Bench) {
    failure_of(reply, async |bench| bench.delete().await).await
}

#[tokio::test]
async fn one_deletion_is_one_request_without_a_body() {
    let bench = Bench::new(vec![
        raw("HTTP/1.1 204 No Content\r\n\r\n"),
        answer(204, "", "<p>echo</p>"),
    ]);
    bench.delete().await.expect("deleted");
    bench.delete().await.expect("deleted, whatever the body is");
    let requests = bench.server.requests();
    assert_eq!(requests.len(), 2);
    let (head, body) = requests[0].split_once("\r\n\r\n").expect("head and body");
    assert!(head.starts_with(&format!(
        "DELETE /api/public/v1/vaults/{VAULT}/secrets/{SECRET} HTTP/1.1\r\n"
    )));
    assert!(!head.to_ascii_lowercase().contains("content-type"));
    assert_eq!(body, "");
    assert_eq!(
        *bench.seen.lock().expect("a lock"),
        [(Method::Delete, "204"); 2]
    );
}

#[tokio::test]
async fn only_a_204_is_a_deletion() {
    let json = "{\"error\":\"no\"}";
    let pause = Class::Throttled {
        retry_after: Duration::from_secs(7),
    };
    for (status, body, class, maybe_applied, code) in [
        // The sign-in page of something in between, say.
        (200, "<html>", Class::InvalidResponse, true, "2xx"),
        (200, GOOD, Class::InvalidResponse, true, "2xx"),
        (202, "", Class::InvalidResponse, true, "2xx"),
        (302, "", Class::InvalidResponse, true, "3xx"),
        (400, json, Class::Rejected, false, "400"),
        (401, json, Class::Unauthorized, false, "401"),
        (403, json, Class::Rejected, false, "403"),
        (404, json, Class::NotFound, false, "404"),
        (404, "<html>", Class::Transient, false, "404"),
        (404, "", Class::Transient, false, "404"),
        (405, json, Class::Rejected, false, "4xx"),
        (408, json, Class::Transient, true, "408"),
        (409, json, Class::Rejected, false, "409"),
        (429, json, pause, false, "429"),
        (500, json, Class::Transient, true, "500"),
        (503, json, pause, true, "503"),
    ] {
        let (error, bench) = failure(answer(status, "retry-after: 7\r\n", body)).await;
        assert_eq!(error.class(), class, "{status} {body}");
        assert_eq!(error.status(), Some(status));
        assert_eq!(error.maybe_applied(), maybe_applied, "{status} {body}");
        assert!(error.to_string().contains(&status.to_string()), "{error}");
        assert_eq!(
            *bench.seen.lock().expect("a lock"),
            [(Method::Delete, code)]
        );
    }
    let (error, _) = failure(answer(202, "", "")).await;
    assert!(error.to_string().contains("where 204 was"), "{error}");
}

#[tokio::test]
async fn what_the_server_says_is_relayed_scrubbed() {
    let said = format!("{{\"error\":\"in use \\u001b[31mby {KEY}\"}}");
    let (error, _) = failure(answer(409, "", &said)).await;
    assert!(error.to_string().contains("(\"in use by ***\")"), "{error}");
}

#[tokio::test]
async fn a_lost_answer_may_have_deleted_it() {
    for cut in ["", "HTTP/1.1 204 No Content\r\n"] {
        let (error, bench) = failure(raw(cut)).await;
        assert_eq!(error.class(), Class::Transient, "{cut}");
        assert!(error.maybe_applied());
        assert_eq!(bench.codes(), ["error"]);
    }
    let head = "HTTP/1.1 404 X\r\nconnection: close\r\n\r\n{\"error\":\"";
    let (error, _) = failure(endless(head, "echo")).await;
    assert_eq!(error.class(), Class::Transient);
    let bench = Bench::with_timeout(vec![stall("")], Duration::from_millis(200));
    let error = bench.delete().await.expect_err("an error");
    assert_eq!(error.class(), Class::Transient);
    assert!(error.maybe_applied());
    assert_eq!(bench.codes(), ["timeout"]);
    let (gone, _) = client("http://127.0.0.1:1", Duration::from_secs(10));
    let nothing = gone.delete_secret(&bench.key, VAULT, SECRET).await;
    assert!(!nothing.expect_err("an error").maybe_applied());
}
