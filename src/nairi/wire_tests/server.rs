//! A server that says byte for byte what a test wants, one connection for each request.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// What to do with a connection once its request was read.
pub(super) type Reply = Box<dyn FnOnce(&mut TcpStream) + Send>;

pub(super) struct Server {
    pub(super) url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers the first request with the first reply, and so on. Requests beyond the last are
    /// counted, too, and get no answer.
    pub(super) fn new(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            let mut replies = replies.into_iter();
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { break };
                let request = request(&mut stream);
                seen.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(request);
                if let Some(reply) = replies.next() {
                    reply(&mut stream);
                }
            }
        });
        Self { url, requests }
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Head and body of a request; empty if the client hung up.
fn request(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&seen).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length:")?
                        .trim()
                        .parse()
                        .ok()
                })
                .unwrap_or(0_usize);
            if body.len() >= length {
                return text;
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return text,
            Ok(n) => seen.extend_from_slice(&buffer[..n]),
        }
    }
}

/// Sends these bytes and closes.
pub(super) fn raw(bytes: impl Into<Vec<u8>>) -> Reply {
    let bytes = bytes.into();
    Box::new(move |stream| {
        let _ = stream.write_all(&bytes);
    })
}

/// A whole answer.
pub(super) fn answer(status: u16, headers: &str, body: &str) -> Reply {
    raw(format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    ))
}

/// Sends these bytes and then nothing until the client hangs up.
pub(super) fn stall(bytes: impl Into<Vec<u8>>) -> Reply {
    let bytes = bytes.into();
    Box::new(move |stream| {
        let _ = stream.write_all(&bytes);
        while stream.read(&mut [0; 64]).is_ok_and(|n| n > 0) {}
    })
}

/// Sends the head, then the text byte by byte, and then nothing until the client hangs up.
pub(super) fn drip(head: &str, text: &str, pause: Duration) -> Reply {
    let (head, text) = (head.to_owned(), text.to_owned());
    Box::new(move |stream| {
        let mut sent = stream.write_all(head.as_bytes());
        for byte in text.bytes() {
            if sent.is_err() {
                return;
            }
            thread::sleep(pause);
            sent = stream.write_all(&[byte]);
        }
        while stream.read(&mut [0; 64]).is_ok_and(|n| n > 0) {}
    })
}

/// Sends the piece a thousand times a second until the client hangs up.
pub(super) fn flood(piece: &str) -> Reply {
    let piece = piece.to_owned();
    Box::new(move |stream| {
        while stream.write_all(piece.as_bytes()).is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
    })
}

/// Sends the head, then the piece over and over until the client hangs up.
pub(super) fn endless(head: &str, piece: &str) -> Reply {
    let (head, piece) = (head.to_owned(), piece.to_owned());
    Box::new(move |stream| {
        let mut sent = stream.write_all(head.as_bytes());
        while sent.is_ok() {
            sent = stream.write_all(piece.as_bytes());
        }
    })
}

/// A body in chunks of these sizes, over and over.
pub(super) fn chunked(body: &str, sizes: &[usize]) -> Reply {
    let mut bytes =
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let mut rest = body.as_bytes();
    for size in sizes.iter().cycle() {
        let (piece, more) = rest.split_at((*size).min(rest.len()));
        rest = more;
        bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        bytes.extend_from_slice(piece);
        bytes.extend_from_slice(b"\r\n");
        if piece.is_empty() {
            break;
        }
    }
    raw(bytes)
}
