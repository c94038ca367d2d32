//! PATCH: every status but the one of success.

use std::time::Duration;

use super::server::{Server, answer, raw};
use super::*;

#[tokio::test]
async fn every_status_says_nothing_of_what_was_sent() {
    let echo = format!("{{\"error\":\"echo {VALUE} {KEY}\",\"value\":\"{VALUE}\"}}");
    let pause = Class::Throttled {
        retry_after: Duration::from_secs(7),
    };
    for (status, class, maybe_applied, code) in [
        (400, Class::Rejected, false, "400"),
        (401, Class::Unauthorized, false, "401"),
        (403, Class::Rejected, false, "403"),
        (404, Class::NotFound, false, "404"),
        (408, Class::Transient, true, "408"),
        (409, Class::Rejected, false, "409"),
        (413, Class::Rejected, false, "413"),
        (418, Class::Rejected, false, "4xx"),
        (422, Class::Rejected, false, "422"),
        (429, pause, false, "429"),
        (500, Class::Transient, true, "500"),
        (503, pause, true, "503"),
        (599, Class::Transient, true, "5xx"),
        (201, Class::InvalidResponse, true, "2xx"),
        (302, Class::InvalidResponse, true, "3xx"),
        (999, Class::InvalidResponse, true, "error"),
    ] {
        let (error, bench) = failure(answer(status, "retry-after: 7\r\n", &echo)).await;
        assert_eq!(error.class(), class, "{status}");
        assert_eq!(error.status(), Some(status));
        assert_eq!(error.maybe_applied(), maybe_applied, "{status}");
        assert!(error.to_string().contains(&status.to_string()), "{error}");
        assert_eq!(bench.codes(), [code]);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::new(vec![answer(200, "", GOOD)]);
    for status in [301, 302, 303, 307, 308] {
        let location = format!("location: {}/echo\r\n", elsewhere.url);
        let (error, _) = failure(answer(status, &location, "")).await;
        assert_eq!(error.class(), Class::InvalidResponse);
        assert!(error.to_string().contains("--api-url"), "{error}");
        assert!(error.maybe_applied());
    }
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn only_the_documented_404_says_that_nothing_is_there() {
    let json = "content-type: application/json\r\n";
    let (error, _) = failure(answer(404, json, "{\"error\":\"not found\"}")).await;
    assert_eq!(error.class(), Class::NotFound);
    for (headers, body) in [
        ("content-type: text/html\r\n", "<html>no such page</html>"),
        (json, ""),
        (json, "{\"message\":\"echo\"}"),
        (json, "{\"error\":{\"code\":404}}"),
        (json, "\"error\""),
        (json, "{\"error\":\"cut"),
    ] {
        let (error, bench) = failure(answer(404, headers, body)).await;
        assert_eq!(error.class(), Class::Transient, "{body}");
        assert!(error.to_string().contains("not in the form"), "{error}");
        assert!(!error.maybe_applied());
        assert_eq!(bench.codes(), ["404"]);
    }
    let cut = "HTTP/1.1 404 X\r\ncontent-length: 99\r\n\r\n{\"error\":\"gone\"}";
    assert_eq!(failure(raw(cut)).await.0.class(), Class::Transient);
}

#[tokio::test]
async fn throttled_with_and_without_a_time() {
    let seconds = |s| Class::Throttled {
        retry_after: Duration::from_secs(s),
    };
    for (status, headers, class) in [
        (429, "", seconds(10)),
        (429, "retry-after: soon\r\n", seconds(10)),
        (429, "retry-after: 0\r\n", seconds(1)),
        (429, "retry-after: 100000\r\n", seconds(300)),
        (
            429,
            "date: Sun, 06 Nov 1994 08:49:37 GMT\r\nretry-after: Sun, 06 Nov 1994 08:49:57 GMT\r\n",
            seconds(20),
        ),
        (503, "", Class::Transient),
        (503, "retry-after: soon\r\n", Class::Transient),
        (503, "retry-after: 3\r\n", seconds(3)),
        (500, "retry-after: 3\r\n", Class::Transient),
    ] {
        assert_eq!(
            failure(answer(status, headers, "")).await.0.class(),
            class,
            "{status} {headers}"
        );
    }
}
