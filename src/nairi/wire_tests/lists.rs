//! Lists, whole and broken.

use std::time::Duration;

use super::server::{answer, chunked, endless, raw};
use super::*;

#[tokio::test]
async fn a_list_arrives_in_whatever_pieces() {
    for (length, sizes) in [
        (60, &[1_usize][..]),
        (3000, &[701, 1, 4096]),
        (3000, &[65_536]),
    ] {
        let elements: Vec<String> = (0..length)
            .map(|n| GOOD.replace("sec_1", &format!("sec_{n}")))
            .collect();
        let body = format!("[{}]", elements.join(","));
        let bench = Bench::new(vec![chunked(&body, sizes), chunked(&body, sizes)]);
        let all = bench.list().await.expect("a list");
        assert_eq!(all.len(), length);
        assert!(
            all.iter()
                .enumerate()
                .all(|(n, secret)| secret.id == format!("sec_{n}"))
        );
        assert_eq!(bench.client.list_vaults(&bench.key).await, Ok(length));
        assert_eq!(bench.codes(), ["200", "200"]);
        let requests = bench.server.requests();
        let (secrets, vaults) = (&requests[0], &requests[1]);
        let path = format!("GET /api/public/v1/vaults/{VAULT}/secrets HTTP/1.1\r\n");
        assert!(secrets.starts_with(&path));
        assert!(vaults.starts_with("GET /api/public/v1/vaults HTTP/1.1\r\n"));
    }
}

#[tokio::test]
async fn a_list_nobody_can_rely_on_is_an_error() {
    let unclosed = format!("[{GOOD}");
    let deep = format!("[{}", "{\"x\":".repeat(100_000));
    for (body, sentence) in [
        ("", "JSON array"),
        ("{\"data\":[]}", "JSON array"),
        ("<html>echo</html>", "JSON array"),
        ("[<echo>]", "JSON array"),
        (&unclosed, "JSON array"),
        (&deep, "JSON array"),
    ] {
        let bench = Bench::new(vec![answer(200, "", body)]);
        let error = bench.list().await.expect_err("an error");
        assert_eq!(error.class(), Class::InvalidResponse, "{body:.80}");
        assert!(error.to_string().contains(sentence), "{error}");
        assert_silent(&error);
        assert_eq!(bench.codes(), ["invalid"]);
    }
    let twice = format!("[{GOOD},{GOOD}]");
    assert_eq!(
        Bench::new(vec![answer(200, "", &twice)])
            .list()
            .await
            .map(|all| all.len()),
        Ok(2)
    );
    // A list that is cut says nothing, not even what it said.
    let cut = format!("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n[{GOOD},");
    let error = Bench::new(vec![raw(cut)])
        .list()
        .await
        .expect_err("an error");
    assert_eq!(error.class(), Class::Transient);
}

#[tokio::test]
async fn a_list_without_end_is_left() {
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n[{}";
    let piece = format!(",{GOOD}").repeat(100);
    let bench = Bench::with_timeout(
        vec![
            endless(&head.replace("{}", GOOD), &piece),
            endless(head, ",{}"),
        ],
        Duration::from_mins(1),
    );
    let mut count = 0_usize;
    let error = bench
        .client
        .list_secrets(&bench.key, VAULT, |_| count += 1)
        .await
        .expect_err("an error");
    assert!(error.to_string().contains("16 MiB"), "{error}");
    assert!(count > 1000);
    assert_eq!(error.class(), Class::InvalidResponse);
}

/// Whatever stands between good elements, the good ones are shown, and what can't be read is told.
#[tokio::test]
async fn an_element_that_cannot_be_read_is_passed_over() {
    let many = format!("[{}]", vec!["\"a.com\""; 100_000].join(","));
    let long = "x".repeat(10 * 1024 * 1024);
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let of = |field: &str, with: &str| GOOD.replace(field, with);
    for bad in [
        "null",
        "\"echo\"",
        "[]",
        "1e999999999",
        "{\"id\":\"echo\"}",
        &of("sec_1", "../../vaults"),
        &of("sec_1", "sec_1/../sec_2"),
        &of("sec_1", "\\u001b[31msec_1"),
        &of("\"A\"", "\"A\\nlevel=ERROR\""),
        &of("\"A\"", "\"\\u202eA\""),
        &of("\"A\"", "18446744073709551617"),
        &of("\"A\"", &format!("\"{long}\"")),
        &of("\"id\"", "\"id\":\"sec_2\",\"id\""),
        &of("2026-04-12T18:50:00.000Z", "\\u001b[2J"),
        &of("2026-04-12T18:50:00.000Z", &long),
        &of("[\"a.com\"]", &many),
        &of("[\"a.com\"]", &deep),
        &of("[\"a.com\"]", "[\"\\u009b1m\"]"),
        &GOOD.replace('A', "\u{1}"),
    ] {
        let (before, after) = (of("sec_1", "sec_0"), of("sec_1", "sec_9"));
        let body = format!("[{before},{bad},{after}]");
        let bench = Bench::new(vec![answer(200, "", &body), answer(200, "", &body)]);
        let (all, unreadable) = bench.list_torn().await.expect("a list");
        let ids: Vec<_> = all.iter().map(|secret| secret.id.as_str()).collect();
        assert_eq!((ids, unreadable), (vec!["sec_0", "sec_9"], 1), "{bad:.80}");
        // Of the vaults nothing is used but that they are listed.
        assert_eq!(bench.client.list_vaults(&bench.key).await, Ok(3));
        assert_eq!(bench.codes(), ["invalid", "200"]);
    }
    let mut body = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n[{GOOD},").into_bytes();
    body.extend(GOOD.bytes().map(|b| if b == b'A' { 0xff } else { b }));
    body.push(b']');
    let (all, unreadable) = Bench::new(vec![raw(body)])
        .list_torn()
        .await
        .expect("a list");
    assert_eq!((all.len(), unreadable), (1, 1));
}

#[tokio::test]
async fn a_list_of_fifty_thousand_secrets_is_read() {
    let elements: Vec<String> = (0..50_000)
        .map(|n| GOOD.replace("sec_1", &format!("sec_{n:026}")))
        .collect();
    let bench = Bench::new(vec![chunked(
        &format!("[{}]", elements.join(",")),
        &[16_384],
    )]);
    let mut count = 0;
    let listed = bench.client.list_secrets(&bench.key, VAULT, |secret| {
        assert!(secret.is_ok());
        count += 1;
    });
    listed.await.expect("a list");
    assert_eq!(count, 50_000);
}
