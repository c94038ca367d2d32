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
    let bad_element = format!("[{GOOD},{{\"id\":\"echo\"}}]");
    let unclosed = format!("[{GOOD}");
    let deep = format!("[{}", "{\"x\":".repeat(100_000));
    for (body, sentence) in [
        ("", "JSON array"),
        ("{\"data\":[]}", "JSON array"),
        ("<html>echo</html>", "JSON array"),
        ("[\"echo\"]", "JSON array"),
        (&bad_element, "holds an element"),
        (&unclosed, "JSON array"),
        (&deep, "too deep"),
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
