//! The listener and its connections.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::Request;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Mutex;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::control;
use crate::exchange::{Connection, exchange};
use crate::sim::Shared;
use crate::wire::Wire;

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Listens on one port for as long as the simulator lives.
pub(crate) struct Server {
    address: SocketAddr,
    context: Context,
    /// Ends everything.
    end: CancellationToken,
    phase: Mutex<Phase>,
}

/// What a connection needs.
#[derive(Clone)]
struct Context {
    shared: Arc<Shared>,
    tls: Option<TlsAcceptor>,
    control: bool,
    accepted: Arc<AtomicU64>,
}

/// Whether it listens.
enum Phase {
    Listening(Running),
    /// The socket keeps the port without listening on it.
    Paused(TcpSocket),
    Stopped,
}

/// The tasks between two outages.
struct Running {
    tasks: TaskTracker,
    /// Ends the listener.
    listener: CancellationToken,
    /// Ends the connections there are.
    connections: Arc<std::sync::Mutex<CancellationToken>>,
}

impl Server {
    pub(crate) async fn start(
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        shared: Arc<Shared>,
        control: bool,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let context = Context {
            shared,
            tls: tls.map(TlsAcceptor::from),
            control,
            accepted: Arc::default(),
        };
        let end = CancellationToken::new();
        let running = Running::start(listener, &context, &end);
        Ok(Self {
            address,
            context,
            end,
            phase: Mutex::new(Phase::Listening(running)),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn connections(&self) -> u64 {
        self.context.accepted.load(Ordering::Relaxed)
    }

    /// Ends everything when dropped.
    pub(crate) fn ends(&self) -> DropGuard {
        self.end.clone().drop_guard()
    }

    pub(crate) async fn stop(&self) {
        self.end.cancel();
        let mut phase = self.phase.lock().await;
        if let Phase::Listening(running) = &*phase {
            running.stop().await;
        }
        *phase = Phase::Stopped;
    }

    pub(crate) async fn pause(&self) -> io::Result<()> {
        let mut phase = self.phase.lock().await;
        if let Phase::Listening(running) = &*phase {
            running.stop().await;
            *phase = Phase::Stopped;
            *phase = Phase::Paused(socket(self.address)?);
        }
        Ok(())
    }

    pub(crate) async fn resume(&self) -> io::Result<()> {
        let mut phase = self.phase.lock().await;
        if matches!(&*phase, Phase::Paused(_))
            && let Phase::Paused(socket) = std::mem::replace(&mut *phase, Phase::Stopped)
        {
            let listener = socket.listen(BACKLOG)?;
            *phase = Phase::Listening(Running::start(listener, &self.context, &self.end));
        }
        Ok(())
    }

    pub(crate) async fn cut(&self) {
        if let Phase::Listening(running) = &*self.phase.lock().await {
            running.cut();
        }
    }
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

impl Running {
    fn start(listener: TcpListener, context: &Context, end: &CancellationToken) -> Self {
        let stop = end.child_token();
        let connections = Arc::new(std::sync::Mutex::new(stop.child_token()));
        let running = Self {
            tasks: TaskTracker::new(),
            listener: stop.clone(),
            connections,
        };
        let accept = accept(
            listener,
            context.clone(),
            running.tasks.clone(),
            running.connections.clone(),
        );
        running
            .tasks
            .spawn(async move { stop.run_until_cancelled(accept).await });
        running
    }

    async fn stop(&self) {
        self.listener.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn cut(&self) {
        let mut connections = crate::lock(&self.connections);
        connections.cancel();
        *connections = self.listener.child_token();
    }
}

async fn accept(
    listener: TcpListener,
    context: Context,
    tasks: TaskTracker,
    connections: Arc<std::sync::Mutex<CancellationToken>>,
) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let number = context.accepted.fetch_add(1, Ordering::Relaxed) + 1;
        let cut = crate::lock(&connections).child_token();
        let serve = serve(
            stream,
            context.clone(),
            (number, cut.clone()),
            tasks.clone(),
        );
        tasks.spawn(cut.run_until_cancelled_owned(serve));
    }
}

async fn serve(
    stream: TcpStream,
    context: Context,
    connection: (u64, CancellationToken),
    tasks: TaskTracker,
) {
    // An answer is a few small packets: none is to wait for the other side's acknowledgement.
    let _ = stream.set_nodelay(true);
    match context.tls.clone() {
        None => converse(stream, context, connection, tasks).await,
        Some(acceptor) => {
            if let Ok(stream) = acceptor.accept(stream).await {
                converse(stream, context, connection, tasks).await;
            }
        }
    }
}

async fn converse<S>(
    stream: S,
    context: Context,
    (number, cut): (u64, CancellationToken),
    tasks: TaskTracker,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let wire = Wire::new(stream);
    let connection = Connection {
        number,
        cut,
        wire: wire.clone(),
    };
    let executor = Spawn {
        tasks,
        cut: connection.cut.clone(),
    };
    let service = service_fn(move |request: Request<Incoming>| {
        let (shared, connection) = (context.shared.clone(), connection.clone());
        let controls = context.control && control::is_for(request.uri().path());
        async move {
            if controls {
                control::answer(&shared, request).await
            } else {
                exchange(shared, connection, request).await
            }
        }
    });
    let mut builder = Builder::new(executor);
    builder.http1().timer(TokioTimer::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(10_000);
    // Its errors are the client's business: it left, or spoke no HTTP.
    let _ = builder.serve_connection(TokioIo::new(wire), service).await;
}

/// Runs the requests of an HTTP/2 connection until the connection ends.
#[derive(Clone)]
struct Spawn {
    tasks: TaskTracker,
    cut: CancellationToken,
}

impl<F> Executor<F> for Spawn
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        self.tasks
            .spawn(self.cut.clone().run_until_cancelled_owned(task));
    }
}
