//! The proxy on the way, as the environment names it. It is asked for a tunnel, and sees nothing of what is in it.

use std::sync::{Arc, Mutex, PoisonError};

use nairi_sim::Tls;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use super::*;

/// What the proxy does with the next connection.
#[derive(Clone, Copy, Debug)]
enum Does {
    Tunnel,
    Say(&'static str),
    Hang,
}

#[derive(Clone)]
struct Proxy {
    does: Arc<Mutex<Does>>,
    heard: Arc<Mutex<Vec<u8>>>,
    to: std::net::SocketAddr,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    async fn serve(self, listener: TcpListener) {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(self.clone().tunnel(connection));
        }
    }

    async fn tunnel(self, mut client: TcpStream) {
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            let Ok(byte) = client.read_u8().await else {
                return;
            };
            asked.push(byte);
        }
        lock(&self.heard).extend(asked);
        let does = *lock(&self.does);
        match does {
            Does::Tunnel => {
                let Ok(mut server) = TcpStream::connect(self.to).await else {
                    return;
                };
                let _ = client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
            Does::Say(what) => {
                let mut said = client.write_all(what.as_bytes()).await;
                // Whatever comes after that is heard, and gets the same answer.
                let mut more = [0; 1024];
                while said.is_ok()
                    && !what.is_empty()
                    && let Ok(length @ 1..) = client.read(&mut more).await
                {
                    lock(&self.heard).extend(&more[..length]);
                    said = client.write_all(what.as_bytes()).await;
                }
            }
            Does::Hang => {
                let _ = client.read_u8().await;
            }
        }
    }
}

#[tokio::test]
async fn a_proxy_can_only_be_in_the_way() {
    let tls = Tls {
        names: vec!["nairi.example".to_owned()],
        ..Tls::default()
    };
    let options = Options {
        tls: Some(tls),
        ..Options::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let proxy = format!("http://{}", listener.local_addr().expect("bound"));
    let setup = Setup::new().options(options).without_barrier().unstarted();
    let setup = setup
        .env("HTTPS_PROXY", &proxy)
        .env("NO_PROXY", "127.0.0.1");
    let mut world = setup.flag("--api-timeout=2s").start().await;
    let (to, port) = (world.sim.address(), world.sim.address().port());
    let host = format!("nairi.example:{port}");
    let args = &mut world.operator.launch().args;
    args.retain(|arg| !arg.starts_with("--api-url="));
    args.push(format!("--api-url=https://{host}"));
    let (does, heard) = (Arc::new(Mutex::new(Does::Tunnel)), Arc::default());
    let proxy = Proxy { does, heard, to };
    let serving = tokio::spawn(proxy.clone().serve(listener));
    world.start_operator().await;
    let id = in_sync(&world, "token", &world.vault).await;

    let mut round = 0;
    let fails = |what: &str| format!("could not connect to {host}: {what}");
    let late = format!("the request to {host} timed out after 2s");
    let says = "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\n\r\n";
    let moves = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\n\r\n";
    let refused = fails("the proxy refused to connect to it");
    for (next, what) in [
        (Does::Hang, late),
        (Does::Say(says), fails("the proxy asks for credentials")),
        (Does::Say(moves), refused.clone()),
        (Does::Say("\u{1b}[31mgarbage\r\n\r\n"), refused),
        (
            Does::Say(""),
            fails("the proxy gave no answer that can be used"),
        ),
        (
            Does::Say("HTTP/1.1 200 OK\r\n\r\n"),
            fails("it does not speak TLS there (is the port right?)"),
        ),
    ] {
        *lock(&proxy.does) = next;
        world.sim.cut_connections().await;
        let mark = world.sim.mark();
        round += 1;
        let value = format!("canary-{round}");
        world.set_secret("token", "key", &value).await;
        unavailable(&world, "token", &what).await;
        *lock(&proxy.does) = Does::Tunnel;
        stored(&world, &id, &value).await;
        world.synced("token").await;
        let sent = world.sim.log().all().since(mark).secret(&id);
        assert_eq!(sent.len(), 1, "{next:?}: {sent:?}");
    }
    serving.abort();
    let heard = lock(&proxy.heard).clone();
    let heard = String::from_utf8_lossy(&heard);
    assert!(
        heard.starts_with(&format!("CONNECT {host} HTTP/1.1\r\n")),
        "{heard}"
    );
    for secret in ["canary", "uthorization", world.sim.api_key()] {
        assert!(!heard.contains(secret), "{secret}");
    }
}
