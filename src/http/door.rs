//! Lets connections in: so many at a time, each for so long and for one request.
//!
//! Whoever can reach the port can open connections and say nothing on them, or little, or much. None of that may grow
//! the operator's memory, or keep the kubelet's probes from being answered. So there are few places, and where all are
//! taken the visitor that came first has to go: a probe is the last to come, and is answered in less time than it takes
//! to send that many more after it. To turn the newcomers away instead would turn the probes away.

use std::{collections::VecDeque, convert::Infallible, future::Future, io, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, Id, JoinError, JoinSet},
    time::{sleep, timeout},
};

/// Connections at a time: far more than probes and scrapes need, and at most some 2 MiB.
const PLACES: usize = 128;

/// From the connection to the end of its answer, however it is spent. A scrape takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// The largest head of a request, in bytes: the least that hyper can be told.
const LARGEST_HEAD: usize = 8 * 1024;

/// Where no connection can be taken (no file descriptor is left), the next try comes after this.
const PAUSE: Duration = Duration::from_millis(100);

/// The bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Door {
    pub(super) places: usize,
    pub(super) patience: Duration,
}

impl Default for Door {
    fn default() -> Self {
        Self {
            places: PLACES,
            patience: PATIENCE,
        }
    }
}

impl Door {
    /// Lets everybody in, for ever. The body of a request is never read.
    pub(super) async fn open<A, F>(self, listener: TcpListener, answer: A) -> Infallible
    where
        A: Fn(Request<()>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let mut visitors = Visitors::default();
        loop {
            tokio::select! {
                () = visitors.leave(), if !visitors.is_empty() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        visitors.make_room(self.places).await;
                        visitors.enter(serve(stream, answer.clone()), self.patience);
                    }
                    Err(error) => self.turned_away(&error).await,
                },
            }
        }
    }

    /// A connection that was gone before it was taken is nobody's trouble.
    async fn turned_away(self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
        if !matches!(
            error.kind(),
            ConnectionAborted | ConnectionRefused | ConnectionReset
        ) {
            sleep(PAUSE).await;
        }
    }
}

/// Who is in.
#[derive(Default)]
struct Visitors {
    tasks: JoinSet<()>,
    /// In the order in which they came; none whose task has ended and was seen to.
    queue: VecDeque<AbortHandle>,
}

impl Visitors {
    fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    fn enter(&mut self, visit: impl Future<Output = ()> + Send + 'static, patience: Duration) {
        let task = self.tasks.spawn(async move {
            let _ = timeout(patience, visit).await;
        });
        self.queue.push_back(task);
    }

    /// Waits for one to leave.
    async fn leave(&mut self) {
        if let Some(left) = self.tasks.join_next_with_id().await {
            let id = id(left);
            self.queue.retain(|visitor| visitor.id() != id);
        }
    }

    /// Sends away who came first until one of so many places is free.
    async fn make_room(&mut self, places: usize) {
        if self.tasks.len() < places {
            return;
        }
        if let Some(first) = self.queue.pop_front() {
            first.abort();
        }
        while self.tasks.len() >= places {
            self.leave().await;
        }
    }
}

fn id(left: Result<(Id, ()), JoinError>) -> Id {
    match left {
        Ok((id, ())) => id,
        Err(error) => error.id(),
    }
}

/// Answers one request, and hangs up.
async fn serve<A, F>(stream: TcpStream, answer: A)
where
    A: Fn(Request<()>) -> F,
    F: Future<Output = Response<Full<Bytes>>>,
{
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        let answered = answer(request.map(drop));
        async move { Ok::<_, Infallible>(answered.await) }
    });
    // How it ends is nobody's concern but the visitor's.
    let _ = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
