//! A proxy on the way to Nairi sees that there is something, and nothing of it; whatever it answers, it gets no more.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{
    search::{Search, canary_key},
    setup,
};
use crate::support::*;

/// How it answers one connection after the other.
const ANSWERS: [&str; 4] = [
    "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:ITS_PORT/\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\n\r\n",
    // What follows is no TLS.
    "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]",
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n[]",
];

type Heard = Arc<Mutex<Vec<Vec<u8>>>>;

async fn listen(listener: TcpListener, heard: Heard) {
    let port = listener.local_addr().expect("bound").port().to_string();
    for answer in ANSWERS.iter().cycle() {
        let Ok((connection, _)) = listener.accept().await else {
            return;
        };
        let answer = answer.replace("ITS_PORT", &port);
        tokio::spawn(overhear(connection, answer, Arc::clone(&heard)));
    }
}

async fn overhear(mut connection: TcpStream, answer: String, heard: Heard) {
    let place = {
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push(Vec::new());
        heard.len() - 1
    };
    let mut buffer = [0; 4096];
    let mut answered = false;
    while let Ok(length @ 1..) = connection.read(&mut buffer).await {
        heard.lock().unwrap_or_else(PoisonError::into_inner)[place]
            .extend_from_slice(&buffer[..length]);
        if !answered && connection.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        answered = true;
    }
}

#[tokio::test]
async fn a_proxy_is_shown_nothing() {
    let key = canary_key();
    let mut search = Search::default();
    search.add("key", key.as_bytes());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let proxy = format!("http://{}", listener.local_addr().expect("bound"));
    let heard = Heard::default();
    let listening = tokio::spawn(listen(listener, Arc::clone(&heard)));

    let options = Options {
        api_key: Some(key.clone()),
        ..Options::default()
    };
    let setup = setup("json").options(options).without_barrier().unstarted();
    let setup = setup.env("HTTPS_PROXY", &proxy).env("HTTP_PROXY", &proxy);
    let mut world = setup.env("NO_PROXY", "127.0.0.1").start().await;
    let args = &mut world.operator.launch().args;
    args.retain(|arg| !arg.starts_with("--api-url="));
    args.push("--api-url=https://nairi.example".to_owned());
    world.operator.start().await;

    world.connected("Unreachable").await;
    eventually("the proxy was asked for every answer", SOON, || async {
        let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        (heard.len() >= ANSWERS.len()).then_some(())
    })
    .await;
    world.operator.stop().await;
    listening.abort();
    let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    for heard in &*heard {
        let text = String::from_utf8_lossy(heard);
        assert!(text.starts_with("CONNECT nairi.example:443 "), "{text}");
        assert!(
            !text.to_lowercase().contains("\r\nauthorization:"),
            "{text}"
        );
        assert_eq!(search.find(heard), None);
    }
    assert_eq!(world.sim.log().all().len(), 0);
    assert_eq!(search.find(world.operator.log().as_bytes()), None);
}
