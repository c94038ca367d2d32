use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use prometheus_client::metrics::counter::Counter;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};

use super::*;

/// A kubelet's probe gives up after this.
const PROBE: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_mins(10);

/// A server that ends with its test.
struct Server {
    address: SocketAddr,
    readiness: watch::Sender<Readiness>,
    task: JoinHandle<Infallible>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(door: Door) -> Self {
        let mut registry = Registry::default();
        registry.register(
            "seen",
            "Something that is counted",
            Counter::<u64>::default(),
        );
        let (readiness, shown) = watch::channel(Readiness::Ready);
        let pages = Arc::new(Pages::new(registry, shown));
        let answer = move |request: Request<()>| {
            let pages = Arc::clone(&pages);
            async move { pages.answer(&request).await }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let task = tokio::spawn(door.open(listener, answer));
        Self {
            address,
            readiness,
            task,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("it listens")
    }

    /// All that comes back for `head`, up to the end of the connection.
    async fn ask(&self, head: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(head.as_bytes()).await.expect("sent");
        rest(&mut stream).await
    }

    /// As the kubelet asks, within the time it has.
    async fn probe(&self, path: &str) -> String {
        let asked = Instant::now();
        let head = format!("GET {path} HTTP/1.1\r\nHost: it\r\n\r\n");
        let answer = tokio::time::timeout(PROBE, self.ask(&head)).await;
        answer.unwrap_or_else(|_| panic!("no answer after {:?}", asked.elapsed()))
    }
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text).await;
    String::from_utf8(text).expect("text")
}

/// Whether the other side has hung up.
fn is_closed(stream: &TcpStream) -> bool {
    match stream.try_read(&mut [0; 1]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

/// How many are closed, once so many are.
async fn closed(streams: &[TcpStream], expected: usize) -> usize {
    let began = Instant::now();
    loop {
        let closed = streams.iter().filter(|stream| is_closed(stream)).count();
        if closed >= expected || began.elapsed() > Duration::from_secs(20) {
            return closed;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn status(answer: &str) -> &str {
    answer.lines().next().unwrap_or_default()
}

const OK: &str = "HTTP/1.1 200 OK";

#[tokio::test]
async fn each_path_and_method_has_its_answer() {
    let server = Server::start(Door::default()).await;
    let method = |method: &str, path: &str| format!("{method} {path} HTTP/1.1\r\nHost: it\r\n\r\n");
    for path in ["/livez", "/readyz"] {
        let answer = server.probe(path).await;
        assert_eq!(status(&answer), OK);
        assert!(answer.ends_with("\r\n\r\nok\n"), "{answer}");
        let head = server.ask(&method("HEAD", path)).await;
        assert_eq!(status(&head), OK);
        assert!(head.ends_with("\r\n\r\n"), "{head}");
    }
    let metrics = server.probe("/metrics?all").await;
    assert!(metrics.contains("# HELP seen Something"), "{metrics}");
    assert!(metrics.to_lowercase().contains(OPEN_METRICS), "{metrics}");
    for path in ["/", "/livez/", "/metrics/x", "//livez", "/../livez", "*"] {
        let answer = server.probe(path).await;
        let refused = ["HTTP/1.1 404 Not Found", "HTTP/1.1 400 Bad Request"];
        assert!(refused.contains(&status(&answer)), "{path}: {answer}");
    }
    for name in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECTED"] {
        let answer = server.ask(&method(name, "/metrics")).await;
        assert_eq!(status(&answer), "HTTP/1.1 405 Method Not Allowed", "{name}");
        assert!(answer.contains("allow: GET, HEAD\r\n"), "{answer}");
    }
    for (readiness, says) in [
        (Readiness::Starting, "HTTP/1.1 503 Service Unavailable"),
        (Readiness::Filling, "HTTP/1.1 503 Service Unavailable"),
        (Readiness::StandingBy, OK),
    ] {
        server.readiness.send_replace(readiness);
        assert_eq!(status(&server.probe("/readyz").await), says);
        assert_eq!(status(&server.probe("/livez").await), OK);
    }
}

/// One request for each connection, and nothing is read beyond its head, which is small.
#[tokio::test]
async fn nothing_large_is_taken_in() {
    let server = Server::start(Door::default()).await;
    let twice = "GET /livez HTTP/1.1\r\nHost: it\r\n\r\n".repeat(2);
    let answer = server.ask(&twice).await;
    assert_eq!(answer.matches(OK).count(), 1, "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");

    let long = |length| format!("GET /livez HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(length));
    assert_eq!(status(&server.ask(&long(4096)).await), OK);
    let answer = server.ask(&long(8192)).await;
    assert_eq!(
        status(&answer),
        "HTTP/1.1 431 Request Header Fields Too Large"
    );
    let many = format!("GET /livez HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(200));
    assert!(server.ask(&many).await.starts_with("HTTP/1.1 4"));

    let mut stream = server.connect().await;
    let head = b"GET /livez HTTP/1.1\r\nContent-Length: 1000000000000\r\n\r\n";
    stream.write_all(head).await.expect("sent");
    assert_eq!(status(&rest(&mut stream).await), OK);
    let piece = vec![b'x'; 1 << 16];
    let mut sent = 0;
    while stream.write_all(&piece).await.is_ok() {
        sent += piece.len();
        assert!(sent < 64 << 20, "the body is taken in");
    }
}

/// Whoever came first goes: of a thousand that say nothing the last 128 stay, and a probe takes the place of one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_idle_connections_keep_no_probe_out() {
    let door = Door {
        patience: LONG,
        ..Door::default()
    };
    let places = door.places;
    let server = Server::start(door).await;
    let mut idle = Vec::new();
    for count in 1..=1000 {
        let mut stream = server.connect().await;
        // Half of them begin to say something.
        if count % 2 == 0 {
            stream.write_all(b"GET /livez HT").await.expect("sent");
        }
        idle.push(stream);
        if count % 100 == 0 {
            assert_eq!(status(&server.probe("/livez").await), OK);
        }
    }
    assert_eq!(status(&server.probe("/readyz").await), OK);
    let gone = 1000 - (places - 1);
    assert_eq!(closed(&idle, gone).await, gone);
    assert!(idle[..gone].iter().all(is_closed), "the first ones");
    drop(idle);
    for _ in 0..10 {
        assert_eq!(status(&server.probe("/livez").await), OK);
    }
}

/// However it is spent, the time is over at some time: with nothing said, with one byte after the other, with an answer
/// that is not read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_stays_longer_than_that() {
    let door = Door {
        places: 64,
        patience: Duration::from_millis(500),
    };
    let server = Server::start(door).await;
    let mut idle = Vec::new();
    for _ in 0..60 {
        idle.push(server.connect().await);
    }
    let mut slow = server.connect().await;
    let began = Instant::now();
    let mut said = 0;
    for byte in b"GET /livez HTTP/1.1\r\nX: "
        .iter()
        .chain(std::iter::repeat(&b'x'))
    {
        if slow.write_all(&[*byte]).await.is_err() || is_closed(&slow) {
            break;
        }
        said += 1;
        assert!(began.elapsed() < LONG / 20, "it still listens");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(said > 2);
    assert_eq!(closed(&idle, 60).await, 60);
    assert_eq!(status(&server.probe("/livez").await), OK);
}

/// Connections that come as fast as they can, each of them idle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_get_through_a_flood() {
    let server = Server::start(Door::default()).await;
    let address = server.address;
    let flood = tokio::spawn(async move {
        let mut open = VecDeque::new();
        let mut count = 0_usize;
        loop {
            if let Ok(stream) = TcpStream::connect(address).await {
                open.push_back(stream);
                count += 1;
            }
            if open.len() > 300 {
                open.pop_front();
            }
            if count.is_multiple_of(64) {
                tokio::task::yield_now().await;
            }
        }
    });
    // On a busy machine the flood may push one connection out before it is served. The kubelet takes no less than three
    // failures in a row for one.
    let (mut failed, mut in_a_row) = (0, 0);
    for _ in 0..50 {
        if status(&server.probe("/readyz").await) == OK {
            in_a_row = 0;
        } else {
            (failed, in_a_row) = (failed + 1, in_a_row + 1);
        }
        assert!(in_a_row < 3 && failed < 10, "{failed} of 50 failed");
    }
    assert!(!flood.is_finished());
    flood.abort();
}
