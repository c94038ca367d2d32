//! A reverse proxy in front of the API server that garbles some of its answers into what no real one would send.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures::StreamExt as _;
use kube::{
    Client, Config,
    client::Body as KubeBody,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::{net::TcpListener, sync::Notify, task::JoinSet};

use crate::support::{SOON, json};

/// An answer, and what becomes of it.
type Change = Arc<dyn Fn(Answer) -> Answer + Send + Sync>;

/// An answer of the API server, or a piece of one that streams.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// Its status.
    pub(super) status: u16,
    /// Its body.
    pub(super) body: Vec<u8>,
}

#[derive(Clone)]
struct Garble {
    method: &'static str,
    path: String,
    change: Change,
    met: Arc<Notify>,
}

#[derive(Clone)]
struct Shared {
    client: Client,
    garble: Arc<Mutex<Option<Garble>>>,
}

/// The running proxy; ends with this.
pub(super) struct Proxy {
    shared: Shared,
    url: String,
    _serving: JoinSet<()>,
}

/// Answers are garbled until this is dropped.
#[must_use]
pub(super) struct Garbled<'a> {
    proxy: &'a Proxy,
    met: Arc<Notify>,
}

impl Proxy {
    /// In front of the API server of `kubeconfig`, with the rights of its user.
    pub(super) async fn start(kubeconfig: &Path) -> Self {
        let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .expect("a complete kubeconfig");
        config.proxy_url = None;
        let shared = Shared {
            client: Client::try_from(config).expect("a usable kubeconfig"),
            garble: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let routes = Router::new().fallback(pass).with_state(shared.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let _ = axum::serve(listener, routes).await;
        });
        Self {
            shared,
            url,
            _serving: serving,
        }
    }

    /// What to reach it with.
    pub(super) fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxy", "cluster": {"server": self.url}}],
            "users": [{"name": "nobody", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "nobody"}}],
            "current-context": "proxy",
        })
        .to_string()
    }

    /// Changes the answers to requests of this method whose path ends so, each piece of a watch by itself.
    pub(super) fn garble(
        &self,
        method: &'static str,
        path: &str,
        change: impl Fn(Answer) -> Answer + Send + Sync + 'static,
    ) -> Garbled<'_> {
        let met = Arc::new(Notify::new());
        *lock(&self.shared.garble) = Some(Garble {
            method,
            path: path.to_owned(),
            change: Arc::new(change),
            met: Arc::clone(&met),
        });
        Garbled { proxy: self, met }
    }
}

impl Garbled<'_> {
    /// Waits until an answer was garbled.
    pub(super) async fn met(&self) {
        tokio::time::timeout(SOON, self.met.notified())
            .await
            .expect("an answer was garbled");
    }
}

impl Drop for Garbled<'_> {
    fn drop(&mut self) {
        *lock(&self.proxy.shared.garble) = None;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn pass(State(shared): State<Shared>, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    let streams = head
        .uri
        .query()
        .is_some_and(|query| query.contains("watch=true"));
    let (method, path) = (head.method.clone(), head.uri.path().to_owned());
    head.headers.remove(header::AUTHORIZATION);
    head.headers.remove(header::HOST);
    head.headers.remove(header::CONTENT_LENGTH);
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let request = http::Request::from_parts(head, KubeBody::from(body.to_vec()));
    let Ok(answer) = shared.client.send(request).await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let garble = {
        let shared = shared.clone();
        move || {
            lock(&shared.garble)
                .clone()
                .filter(|garble| method == garble.method && path.ends_with(&garble.path))
        }
    };
    let (head, body) = answer.into_parts();
    let content_type = head.headers.get(header::CONTENT_TYPE).cloned();
    let mut answer = if streams {
        stream(Body::new(body), garble)
    } else {
        let Ok(body) = to_bytes(Body::new(body), usize::MAX).await else {
            return StatusCode::BAD_GATEWAY.into_response();
        };
        let mut answer = Answer {
            status: head.status.as_u16(),
            body: body.to_vec(),
        };
        if let Some(garble) = garble() {
            answer = (garble.change)(answer);
            garble.met.notify_one();
        }
        let status = StatusCode::from_u16(answer.status).expect("a status");
        (status, answer.body).into_response()
    };
    if let Some(content_type) = content_type {
        answer
            .headers_mut()
            .insert(header::CONTENT_TYPE, content_type);
    }
    answer
}

/// One event of a watch is one piece, as the API server sends them.
fn stream(body: Body, garble: impl Fn() -> Option<Garble> + Send + 'static) -> Response {
    let pieces = body.into_data_stream().map(move |piece| {
        let (piece, garble) = (piece?, garble());
        let Some(garble) = garble else {
            return Ok::<_, axum::Error>(piece);
        };
        let answer = Answer {
            status: 200,
            body: piece.to_vec(),
        };
        let answer = (garble.change)(answer);
        garble.met.notify_one();
        Ok(Bytes::from(answer.body))
    });
    Body::from_stream(pieces).into_response()
}
