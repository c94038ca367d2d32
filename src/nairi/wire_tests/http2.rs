//! HTTP/2 frames that no honest server sends.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nairi_sim::Tls;
use rustls::{ServerConnection, StreamOwned};
use tempfile::NamedTempFile;

use super::*;

const LIMIT: Duration = Duration::from_secs(2);
const BUSY: Duration = Duration::from_secs(4);

const END_HEADERS: u8 = 4;
const STATUS_200: u8 = 0x88;

#[derive(Clone, Copy)]
enum Kind {
    Data = 0,
    Headers = 1,
    Reset = 3,
    Settings = 4,
    Ping = 6,
    GoAway = 7,
    Continuation = 9,
}

fn frame(kind: Kind, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("small").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind as u8, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header field that enters no table.
fn field(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| {
        let length = u8::try_from(text.len()).expect("short");
        assert!(length < 127);
        [&[length], text.as_bytes()].concat()
    };
    [vec![0], text(name), text(value)].concat()
}

/// A server that answers the first request on each connection with these bytes, then with the others over and over
/// (none: it waits until the client leaves). Counts the requests.
struct Hostile {
    url: String,
    ca: NamedTempFile,
    requests: Arc<AtomicUsize>,
}

impl Hostile {
    fn new(first: Vec<u8>, over_and_over: Vec<u8>) -> Self {
        let (config, ca_pem) = Tls::default().server().expect("a certificate");
        let ca = NamedTempFile::new().expect("a file");
        std::fs::write(ca.path(), ca_pem).expect("written");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("https://{}", listener.local_addr().expect("bound"));
        let requests = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { break };
                let (config, count) = (Arc::clone(&config), Arc::clone(&count));
                let (first, over_and_over) = (first.clone(), over_and_over.clone());
                thread::spawn(move || {
                    let tls = ServerConnection::new(config).expect("a server");
                    let mut stream = StreamOwned::new(tls, stream);
                    let greeting = [
                        frame(Kind::Settings, 0, 0, &[]),
                        frame(Kind::Settings, 1, 0, &[]),
                    ];
                    if !read_request(&mut stream) {
                        return;
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                    let mut sent = stream.write_all(&[greeting.concat(), first].concat());
                    if over_and_over.is_empty() {
                        let _ = stream.flush();
                        while stream.read(&mut [0; 1024]).is_ok_and(|n| n > 0) {}
                    }
                    while sent.is_ok() && !over_and_over.is_empty() {
                        sent = stream.write_all(&over_and_over);
                    }
                });
            }
        });
        Self { url, ca, requests }
    }

    async fn patch(&self) -> (Error, Seen) {
        let (client, seen) = trusting(&self.url, Some(self.ca.path().into()), LIMIT);
        let key = ApiKey::parse(KEY).expect("a key");
        let began = Instant::now();
        let answer = client.patch_secret(&key, VAULT, SECRET, &value()).await;
        assert!(began.elapsed() < LIMIT + BUSY, "{:?}", began.elapsed());
        (answer.expect_err("an error"), seen)
    }
}

/// The preface, and frames up to the headers of a request, as far as they come.
fn read_request(stream: &mut StreamOwned<ServerConnection, std::net::TcpStream>) -> bool {
    let mut preface = [0; 24];
    if stream.read_exact(&mut preface).is_err() {
        return false;
    }
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).is_err() {
            return false;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).expect("small")];
        if stream.read_exact(&mut payload).is_err() {
            return false;
        }
        if head[3] == Kind::Headers as u8 {
            return true;
        }
    }
}

/// How much memory this process has in use, in KiB.
fn rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    number.expect("a line VmRSS")
}

/// Floods take the time that a request may take, or less, and no memory; nothing is sent twice.
#[tokio::test]
async fn floods_end_and_take_no_memory() {
    let hints = frame(
        Kind::Headers,
        END_HEADERS,
        1,
        &[&[0x08, 3][..], b"103", &field("link", &"echo".repeat(30))].concat(),
    );
    let filler = field("x-echo", &"x".repeat(120)).repeat(100);
    let ping = frame(Kind::Ping, 0, 0, b"pingping");
    let settings = frame(Kind::Settings, 0, 0, &[0, 4, 0, 1, 0, 0]);
    let headers = frame(Kind::Headers, END_HEADERS, 1, &[STATUS_200]);
    let reset = |stream| frame(Kind::Reset, 0, stream, &7_u32.to_be_bytes());
    for (what, first, over_and_over) in [
        ("early hints", vec![], hints.repeat(100)),
        (
            "headers without an end",
            frame(Kind::Headers, 0, 1, &[STATUS_200]),
            frame(Kind::Continuation, 0, 1, &filler),
        ),
        (
            "headers in nothing",
            frame(Kind::Headers, 0, 1, &[STATUS_200]),
            frame(Kind::Continuation, 0, 1, &[]).repeat(100),
        ),
        ("pings", vec![], ping.repeat(100)),
        ("settings", vec![], settings.repeat(100)),
        ("resets of others", vec![], reset(3).repeat(100)),
        (
            "data of nothing",
            headers.clone(),
            frame(Kind::Data, 0, 1, &[]).repeat(100),
        ),
        (
            "data without an end",
            headers,
            frame(Kind::Data, 0, 1, &[b' '; 16_000]),
        ),
    ] {
        let server = Hostile::new(first, over_and_over);
        let before = rss_kib();
        let (error, seen) = server.patch().await;
        let grown = rss_kib().saturating_sub(before) / 1024;
        // Alone it is 8 at most; other tests of this process take some meanwhile.
        assert!(grown < 256, "{what}: {grown} MiB");
        assert_silent(&error);
        assert!(server.requests.load(Ordering::Relaxed) <= 1, "{what}");
        let [(Method::Patch, "timeout" | "error" | "invalid")] = seen.lock().expect("a lock")[..]
        else {
            panic!("{what}: {seen:?}");
        };
    }
}

/// Even what the protocol says was not worked on is sent once: who says so may lie.
#[tokio::test]
async fn what_is_refused_unseen_is_not_sent_again() {
    let refused = frame(Kind::Reset, 0, 1, &7_u32.to_be_bytes());
    let away = frame(Kind::GoAway, 0, 0, &[0; 8]);
    let large = frame(
        Kind::Headers,
        END_HEADERS,
        1,
        &[
            vec![STATUS_200],
            field("x-echo", &"x".repeat(100)).repeat(150),
        ]
        .concat(),
    );
    for first in [refused, away, large, b"HTTP/1.1 400 echo\r\n\r\n".to_vec()] {
        let server = Hostile::new(first, vec![]);
        let (error, seen) = server.patch().await;
        assert_eq!(error.class(), Class::Transient, "{error}");
        assert_silent(&error);
        assert!(error.maybe_applied());
        assert_eq!(server.requests.load(Ordering::Relaxed), 1);
        assert_eq!(seen.lock().expect("a lock").len(), 1);
    }
}
