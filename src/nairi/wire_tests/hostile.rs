//! Answers that are made to take time, memory, or more than was asked for.

use std::time::{Duration, Instant};

use super::server::{Reply, Server, answer, drip, endless, flood, raw};
use super::*;

/// How long a request may take here, and how much later it may end on a busy machine.
const LIMIT: Duration = Duration::from_millis(500);
const BUSY: Duration = Duration::from_secs(4);

/// The error of a PATCH with a value, which takes no longer than the limit.
async fn outwaited(reply: Reply) -> Error {
    let bench = Bench::with_timeout(vec![reply], LIMIT);
    let began = Instant::now();
    let error = bench.patch(&value()).await.expect_err("an error");
    assert!(began.elapsed() < LIMIT + BUSY, "{:?}", began.elapsed());
    assert_silent(&error);
    assert!(error.maybe_applied());
    assert_eq!(bench.codes(), ["timeout"]);
    error
}

/// On two threads, as the operator runs: a flood keeps the task of its connection busy, and no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_is_for_the_whole_of_an_answer() {
    let head = "HTTP/1.1 200 OK\r\nx-echo: 1\r\ncontent-length: 999\r\n\r\n";
    let pause = Duration::from_millis(50);
    for slow in [
        drip("", head, pause),
        drip(head, GOOD, pause),
        // Statuses before the status, without an end.
        flood(&"HTTP/1.1 100 Continue\r\n\r\n".repeat(100)),
        flood(&"HTTP/1.1 103 Early Hints\r\nlink: <echo>\r\n\r\n".repeat(100)),
        drip("", &"HTTP/1.1 102 Processing\r\n\r\n".repeat(9), pause),
    ] {
        let error = outwaited(slow).await;
        assert_eq!(error.class(), Class::Transient);
        assert!(error.to_string().contains("timed out"), "{error}");
    }
}

#[tokio::test]
async fn headers_are_bounded() {
    let large = format!(
        "HTTP/1.1 200 OK\r\nx-echo: {}\r\n\r\n",
        "x".repeat(1024 * 1024)
    );
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x-echo: 1\r\n".repeat(5000));
    for head in [
        raw(large),
        raw(many),
        endless("HTTP/1.1 200 OK\r\nx: ", "echo"),
    ] {
        let (error, bench) = failure(head).await;
        assert_eq!(error.class(), Class::Transient);
        assert!(
            error.to_string().ends_with(": its headers are too large"),
            "{error}"
        );
        assert!(error.maybe_applied());
        assert_eq!(bench.codes(), ["error"]);
    }
    for none in [
        "SSH-2.0-echo\r\n",
        "HTTP/1.1 echo\r\n\r\n",
        "HTTP/1.1 200 OK\r\ne c h o\r\n\r\n",
    ] {
        let (error, _) = failure(raw(none)).await;
        assert_eq!(error.class(), Class::Transient);
        assert!(error.to_string().contains("does not speak HTTP"), "{error}");
    }
}

/// Nothing is unpacked that was not asked for: a body that is packed all the same is no JSON.
#[tokio::test]
async fn a_packed_body_is_not_unpacked() {
    // 1 GiB of white space takes a megabyte as gzip; its first bytes are enough here.
    let packed = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3], &[0xed; 1000][..]].concat();
    for encoding in ["gzip", "br", "deflate", "zstd", "gzip, gzip"] {
        let head = format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-encoding: {encoding}\r\ncontent-length: {}\r\n\r\n",
            packed.len()
        );
        let reply = [head.as_bytes(), &packed].concat();
        let (error, bench) = failure(raw(reply)).await;
        assert_eq!(error.class(), Class::InvalidResponse, "{encoding}");
        assert!(error.to_string().contains("is not a secret"), "{error}");
        assert!(!bench.server.requests()[0].contains("accept-encoding"));
    }
}

/// What counts is the body: no content type makes it another one.
#[tokio::test]
async fn a_content_type_says_nothing() {
    for content_type in ["text/html", "application/octet-stream", "echo", ""] {
        let header = format!("content-type: {content_type}\r\n");
        let bench = Bench::new(vec![answer(200, &header, GOOD)]);
        assert!(bench.patch(&value()).await.is_ok(), "{content_type}");
        let (error, _) = failure(answer(200, "content-type: application/json\r\n", "<p>")).await;
        assert_eq!(error.class(), Class::InvalidResponse);
    }
}

#[tokio::test]
async fn json_that_is_made_to_confuse_is_no_secret() {
    let twice = |field: &str| GOOD.replacen('{', &format!("{{{field},"), 1);
    for body in [
        twice("\"id\":\"sec_1\""),
        twice("\"updated_at\":\"2026-04-12T18:50:00.000Z\""),
        twice("\"allowed_domains\":[\"echo\"]"),
        GOOD.replace("\"A\"", "1e999999"),
        GOOD.replace("\"2026-04-12T18:50:00.000Z\"", "99999999999999999999999999"),
        GOOD.replace("\"A\"", "\"\u{1b}[31mecho\""),
        GOOD.replace("\"A\"", "\"\\ud800echo\""),
        GOOD.replace("a.com\"", &format!("a.com\",{}", "[".repeat(200_000))),
    ] {
        let (error, _) = failure(answer(200, "", &body)).await;
        assert_eq!(error.class(), Class::InvalidResponse, "{body:.80}");
        assert!(error.to_string().contains("is not a secret"), "{error}");
    }
    let domains = vec!["\"a.com\""; 5000].join(",");
    for body in [
        GOOD.replace("\"a.com\"", &domains),
        GOOD.replace("\"A\"", "\"\\u001b]0;echo\\u0007\""),
        GOOD.replace("\"a.com\"", "\"a.com\\u202e\""),
    ] {
        let (error, _) = failure(answer(200, "", &body)).await;
        assert_eq!(error.class(), Class::InvalidResponse, "{body:.80}");
        assert!(error.to_string().contains("not printable"), "{error}");
    }
    let larger = GOOD.replace("a.com", &"x".repeat(10 * 1024 * 1024));
    let (error, _) = failure(answer(200, "", &larger)).await;
    assert!(error.to_string().contains("256 KiB"), "{error}");
    // Unknown fields are nobody's business, whatever they are.
    let surprise = twice("\"x\":1e308,\"x\":{\"x\":[[[]]]}");
    assert!(
        Bench::new(vec![answer(200, "", &surprise)])
            .patch(&value())
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn no_request_follows_a_redirect() {
    let elsewhere = Server::new(vec![answer(200, "", GOOD)]);
    let plain = elsewhere.url.replace("127.0.0.1", "localhost");
    for (status, location) in [
        (301, elsewhere.url.as_str()),
        (302, plain.as_str()),
        (303, "//localhost/"),
        (307, "/api/public/v1/vaults"),
        (308, ""),
        (307, "https://127.0.0.1:1/"),
        (300, "echo"),
    ] {
        let location = format!("location: {location}\r\n");
        let redirects = || answer(status, &location, "[]");
        let replies = (0..5).map(|_| redirects()).collect();
        let bench = Bench::new(replies);
        let (key, client) = (&bench.key, &bench.client);
        for error in [
            bench.patch(&value()).await.err(),
            bench.create().await.err(),
            bench.delete().await.err(),
            bench.list().await.err(),
            client.list_vaults(key).await.err(),
        ] {
            let error = error.expect("an error");
            assert_eq!(error.class(), Class::InvalidResponse);
            assert!(error.to_string().contains("not followed"), "{error}");
            assert_silent(&error);
        }
        assert_eq!(bench.server.requests().len(), 5, "each was sent once");
        assert_eq!(bench.codes(), ["3xx"; 5]);
    }
    assert!(elsewhere.requests().is_empty());
}
