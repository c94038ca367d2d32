//! `run`: puts the parts together, waits for what they need, and ends them in order.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use kube::{Api, Client, Resource, api::ListParams};
use serde::de::DeserializeOwned;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
};
use tracing::{error, info, warn};

use crate::{
    api::{ClusterVaultConnection, VaultConnection, VaultSecret},
    args::Run,
    connections::{Connections, check},
    context::{Context, Queues, Settings},
    events::Events,
    fingerprint::{FingerprintKey, keeper},
    http,
    ledger::Ledger,
    metrics::{Live, Metrics},
    nairi,
    queue::{self, Queue},
    reconcile,
    source::brief,
    vaults::Vaults,
    watch::{self as watches, Index, Writers},
};

/// How long one request to Kubernetes may take.
const KUBE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often what is missing at the start is looked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// How often a line says what is still missing.
const SAY_AGAIN: Duration = Duration::from_secs(30);

/// How long what is under way at the end may take: less than the 20 s in which the process has to be gone.
const GRACE: Duration = Duration::from_secs(18);

/// How often connections are checked at once: there are few, and each is one request.
const CONNECTION_CONCURRENCY: u16 = 8;

/// Why the operator can't run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither a service account nor a kubeconfig.
    #[error("no way to reach Kubernetes: {0}")]
    Kubeconfig(String),
    /// The Nairi client could not be made.
    #[error(transparent)]
    Nairi(#[from] nairi::ConfigError),
    /// No randomness.
    #[error(transparent)]
    Randomness(#[from] nairi::NoRandomness),
    /// The HTTP port is taken.
    #[error("--http-addr {addr} can't be used: {error}")]
    Port {
        /// The address.
        addr: std::net::SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// The system refused something else.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A part that runs as long as the process ended.
    #[error("{0} ended")]
    Ended(&'static str),
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// See [`Error`]; an API server or CRDs that are not there are waited for instead.
pub async fn run(args: Run) -> Result<(), Error> {
    let (end, ending) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut operator = pin!(operate(args, ending));
    tokio::select! {
        outcome = &mut operator => return outcome,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    info!("ending: no new work is begun, what is under way is finished");
    let _ = end.send(true);
    match tokio::time::timeout(GRACE, operator).await {
        Ok(outcome) => outcome,
        Err(_) => {
            warn!(
                "what was under way did not finish in time; it is taken up again at the next start"
            );
            Ok(())
        }
    }
}

async fn operate(args: Run, ending: watch::Receiver<bool>) -> Result<(), Error> {
    let (metrics, mut registry) = Metrics::new();
    let client = kubernetes().await?;
    let namespace = args
        .namespace
        .clone()
        .unwrap_or_else(|| client.default_namespace().to_owned());
    let replica = replica();
    let nairi = nairi::Client::new(nairi::Config {
        base_url: args.api_url.clone(),
        ca_file: args.api_ca_file.clone(),
        allow_insecure_http: args.allow_insecure_http,
        timeout: args.api_timeout,
        user_agent: format!(
            "vaultsecret-operator/{} ({replica})",
            env!("CARGO_PKG_VERSION")
        ),
        observer: {
            let metrics = metrics.clone();
            Arc::new(move |method, code, took| metrics.requested(method, code, took))
        },
    })?;
    let listener = TcpListener::bind(args.http_addr)
        .await
        .map_err(|error| Error::Port {
            addr: args.http_addr,
            error,
        })?;
    let addr = listener.local_addr()?;

    let (objects, due_objects) = Queue::new();
    let (connections, due_connections) = Queue::new();
    let (cluster_connections, due_cluster_connections) = Queue::new();
    let queues = Queues {
        objects,
        connections,
        cluster_connections,
    };
    let known = Arc::new({
        let (wake, refused) = (queues.objects.clone(), queues.clone());
        let gates = nairi::Gates::new(
            args.api_concurrency.into(),
            Arc::new(move |object| wake.wake(object)),
        )?;
        Connections::new(gates, Box::new(move |id| refused.wake_connection(&id)))
    });
    let writers = Writers::default();
    let stores = writers.stores();
    registry.register_collector(Box::new(Live {
        stores: stores.clone(),
        queues: queues.clone(),
        connections: Arc::clone(&known),
    }));

    // These run until this function returns, and end with it.
    let mut parts = JoinSet::new();
    let ready = Arc::new(AtomicBool::new(false));
    let serving = http::serve(
        listener,
        registry,
        Arc::clone(&ready),
        ended(ending.clone()),
    );
    parts.spawn(async move {
        let _ = serving.await;
        "the HTTP server"
    });
    info!(version = env!("CARGO_PKG_VERSION"), api = args.api_url, http = %addr, namespace, replica, "starting");

    let prepared = async {
        wait_for_crds(&client).await;
        fingerprint_key(&client, &namespace).await
    };
    let Some(fingerprints) = unless_ended(&ending, prepared).await else {
        return Ok(());
    };
    let ctx = Arc::new(Context {
        vaults: Arc::new(Vaults::new(
            nairi.clone(),
            Arc::clone(&known),
            stores.objects.clone(),
            queues.objects.clone(),
        )),
        events: Events::new(client.clone(), &replica, KUBE_TIMEOUT),
        settings: Settings {
            kube_timeout: KUBE_TIMEOUT,
            reconcile_timeout: 3 * args.api_timeout + 2 * KUBE_TIMEOUT,
            resync_interval: args.resync_interval,
        },
        client,
        nairi,
        stores: stores.clone(),
        index: Index::default(),
        connections: known,
        ledger: Ledger::default(),
        namespace,
        fingerprints: Arc::new(fingerprints),
        queues,
        metrics: Arc::new(metrics),
    });
    for watching in watches::watches(&ctx, writers, &args.watch_namespaces) {
        parts.spawn(async move {
            watching.await;
            "a watch"
        });
    }
    parts.spawn(tick(Arc::clone(&ctx)));
    if unless_ended(&ending, stores.wait_until_ready())
        .await
        .is_none()
    {
        return Ok(());
    }
    ready.store(true, Ordering::Relaxed);
    info!(objects = stores.objects.len(), "ready");

    let panicked = || ctx.metrics.panicked();
    let objects = queue::drain(
        due_objects.take_until(ended(ending.clone())),
        stores.objects,
        args.concurrency,
        |object| reconcile::reconcile(object, Arc::clone(&ctx)),
        panicked,
    );
    let connections = queue::drain(
        due_connections.take_until(ended(ending.clone())),
        stores.connections,
        CONNECTION_CONCURRENCY,
        |connection| check::check(connection, Arc::clone(&ctx)),
        panicked,
    );
    let cluster_connections = queue::drain(
        due_cluster_connections.take_until(ended(ending.clone())),
        stores.cluster_connections,
        CONNECTION_CONCURRENCY,
        |connection| check::check(connection, Arc::clone(&ctx)),
        panicked,
    );
    tokio::select! {
        _ = async { tokio::join!(objects, connections, cluster_connections) } => {}
        Some(part) = parts.join_next(), if !*ending.borrow() => {
            let part = part.unwrap_or("a part that panicked");
            error!(part, "a part of the operator ended");
            return Err(Error::Ended(part));
        }
    }
    info!("ended");
    Ok(())
}

/// Kubernetes: the service account in a cluster, the kubeconfig elsewhere.
async fn kubernetes() -> Result<Client, Error> {
    let mut config = kube::Config::infer()
        .await
        .map_err(|error| Error::Kubeconfig(error.to_string()))?;
    // We have our own, which know when to stop.
    config.default_retry = false;
    Client::try_from(config).map_err(|error| Error::Kubeconfig(error.to_string()))
}

/// The name of this replica: in a cluster, the Pod's.
fn replica() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name
        .trim()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || "-.".contains(*c))
        .collect();
    if name.is_empty() {
        "unknown".to_owned()
    } else {
        name
    }
}

/// Ends when the process is to end.
async fn ended(mut ending: watch::Receiver<bool>) {
    // An error means that nobody is left to say so, which is the end as well.
    let _ = ending.wait_for(|ending| *ending).await;
}

async fn unless_ended<T>(
    ending: &watch::Receiver<bool>,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = ended(ending.clone()) => None,
    }
}

/// Lets the gates' promises lapse.
async fn tick(ctx: Arc<Context>) -> &'static str {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    loop {
        seconds.tick().await;
        ctx.connections.gates().tick(Instant::now());
    }
}

/// Says `message` now and then while something is waited for.
#[derive(Default)]
struct Reminder {
    said: Option<(String, Instant)>,
}

impl Reminder {
    fn say(&mut self, message: String) {
        let repeated = self
            .said
            .as_ref()
            .is_some_and(|(said, at)| *said == message && at.elapsed() < SAY_AGAIN);
        if !repeated {
            warn!("{message}");
            self.said = Some((message, Instant::now()));
        }
    }
}

/// Ends once the API server answers and has our three kinds.
async fn wait_for_crds(client: &Client) {
    let mut reminder = Reminder::default();
    loop {
        let found = tokio::join!(
            missing::<VaultSecret>(client),
            missing::<VaultConnection>(client),
            missing::<ClusterVaultConnection>(client),
        );
        let Some(what) = found.0.or(found.1).or(found.2) else {
            return;
        };
        reminder.say(what);
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// What keeps a kind from being listed.
async fn missing<K>(client: &Client) -> Option<String>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let api: Api<kube::core::PartialObjectMeta<K>> = Api::all(client.clone());
    let (kind, plural) = (K::kind(&()), K::plural(&()));
    match tokio::time::timeout(
        KUBE_TIMEOUT,
        api.list_metadata(&ListParams::default().limit(1)),
    )
    .await
    {
        Ok(Ok(_)) => None,
        // Allowed in its own namespaces only, perhaps; the watches say so if not.
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => None,
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Some(format!(
            "waiting for the CustomResourceDefinition {plural}.nairi.ai ({kind}): install it with `vaultsecret-operator crds | kubectl apply -f -`"
        )),
        Ok(Err(error)) => Some(format!(
            "waiting for the Kubernetes API server: {}",
            brief(&error)
        )),
        Err(_) => Some("waiting for the Kubernetes API server: it does not answer".to_owned()),
    }
}

async fn fingerprint_key(client: &Client, namespace: &str) -> FingerprintKey {
    let mut reminder = Reminder::default();
    loop {
        match keeper::load(client, namespace).await {
            Ok(key) => return key,
            Err(error) => reminder.say(format!(
                "waiting for the fingerprint key in namespace {namespace}: {error}"
            )),
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
