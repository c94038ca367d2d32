//! `run`: puts the parts together, waits for what they need, and ends them in order.

mod parts;
mod prepare;

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use kube::Client;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinSet,
};
use tracing::{Instrument as _, error, info, warn};

use self::parts::AllDue;
use crate::{
    args::Run,
    claims::Claims,
    connections::{Connections, check},
    context::{Context, Queues, Settings},
    events::Events,
    http::{self, Readiness},
    lease::{Candidate, Fence, Leader, Lost},
    ledger::Ledger,
    metrics::{Metrics, live::Live},
    nairi, queue, reconcile, spans,
    sweep::{self, Sweeps},
    vaults::Vaults,
    watch::{self as watches, Index, Stores, Writers},
};

/// How long one request to Kubernetes may take.
const KUBE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long what is under way at the end may take: less than the 20 s in which the process has to be gone.
const GRACE: Duration = Duration::from_secs(18);

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
    /// Another replica acts from here on, or may do so at any moment.
    #[error(
        "the lease is lost ({0}): nothing more is sent; a new process takes part in the election again"
    )]
    Lease(Lost),
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
    tokio::time::timeout(GRACE, operator)
        .await
        .unwrap_or_else(|_| {
            warn!(
                "what was under way did not finish in time; it is taken up again at the next start"
            );
            Ok(())
        })
}

async fn operate(args: Run, ending: watch::Receiver<bool>) -> Result<(), Error> {
    let process = Process::begin(args).await?;
    let leader = if process.args.leader_elect {
        let Some(leader) = process.win(&ending).await else {
            return Ok(());
        };
        Some(leader)
    } else {
        None
    };
    let fence = leader.as_ref().map_or_else(Fence::open, Leader::fence);
    let outcome = tokio::select! {
        biased;
        lost = fence.lost() => Err(Error::Lease(lost)),
        outcome = process.act(fence.clone(), &ending) => outcome,
    };
    if outcome.is_ok()
        && let Some(leader) = leader
    {
        leader.give_back().await;
    }
    outcome
}

/// What there is before it is known whether this process is to act.
struct Process {
    args: Run,
    replica: String,
    namespace: String,
    client: Client,
    nairi: nairi::Client,
    metrics: Metrics,
    queues: Queues,
    due: AllDue,
    connections: Arc<Connections>,
    writers: Writers,
    stores: Stores,
    sweeps: Arc<Sweeps>,
    readiness: watch::Sender<Readiness>,
    /// These run until this is dropped.
    parts: JoinSet<&'static str>,
}

impl Process {
    async fn begin(args: Run) -> Result<Self, Error> {
        let (metrics, mut registry) = Metrics::new();
        let replica = prepare::replica();
        let agent = format!(
            "vaultsecret-operator/{} ({replica})",
            env!("CARGO_PKG_VERSION")
        );
        let client = prepare::kubernetes(&agent).await?;
        let namespace = args
            .namespace
            .clone()
            .unwrap_or_else(|| client.default_namespace().to_owned());
        let nairi = parts::nairi_client(&args, agent, &metrics)?;
        let listener = TcpListener::bind(args.http_addr)
            .await
            .map_err(|error| Error::Port {
                addr: args.http_addr,
                error,
            })?;
        let addr = listener.local_addr()?;
        let (queues, due) = parts::queues(args.concurrency);
        let connections = Arc::new(parts::connections(&args, &queues)?);
        let writers = Writers::default();
        let stores = writers.stores();
        let sweeps = Arc::new(Sweeps::new(args.resync_interval));
        registry.register_collector(Box::new(Live {
            stores: stores.clone(),
            queues: queues.clone(),
            connections: Arc::clone(&connections),
            sweeps: Arc::clone(&sweeps),
        }));

        let mut parts = JoinSet::new();
        let (readiness, shown) = watch::channel(Readiness::Starting);
        let serving = http::serve(listener, registry, shown);
        parts.spawn(async move { match serving.await {} });
        let watching = match &*args.watch_namespaces {
            [] => "all namespaces".to_owned(),
            some => some.join(","),
        };
        info!(version = env!("CARGO_PKG_VERSION"), api = args.api_url, http = %addr, namespace, watching, replica, "starting");
        if args.dry_run {
            warn!(
                "this is a dry run (--dry-run): nothing is sent to Nairi, and status says what would be"
            );
        }
        Ok(Self {
            args,
            replica,
            namespace,
            client,
            nairi,
            metrics,
            queues,
            due,
            connections,
            writers,
            stores,
            sweeps,
            readiness,
            parts,
        })
    }

    /// Stands by until the lease is ours, or the process is to end.
    async fn win(&self, ending: &watch::Receiver<bool>) -> Option<Leader> {
        let candidate = Candidate::new(
            self.client.clone(),
            &self.namespace,
            &self.args.lease_name,
            &self.replica,
        );
        let standing_by = || {
            self.readiness.send_replace(Readiness::StandingBy);
        };
        candidate.win(standing_by, ended(ending.clone())).await
    }

    /// Does what the operator is for, under `fence`, until the process is to end.
    async fn act(self, fence: Fence, ending: &watch::Receiver<bool>) -> Result<(), Error> {
        let Self {
            args,
            replica,
            namespace,
            client,
            nairi,
            metrics,
            queues,
            due,
            connections,
            writers,
            stores,
            sweeps,
            readiness,
            mut parts,
        } = self;
        metrics.leads();
        readiness.send_replace(Readiness::Filling);
        let prepared = async {
            prepare::wait_for_crds(&client, &args.watch_namespaces).await;
            prepare::fingerprint_key(&client, &namespace, &fence).await
        };
        let Some(fingerprints) = unless_ended(ending, prepared).await else {
            return Ok(());
        };
        let (listed, lists) = mpsc::unbounded_channel();
        let vaults = Vaults::new(
            nairi.clone(),
            Arc::clone(&connections),
            stores.objects.clone(),
            queues.objects.clone(),
            listed,
        );
        let ctx = Arc::new(Context {
            vaults: Arc::new(vaults),
            events: Events::new(client.clone(), &replica, fence.clone(), KUBE_TIMEOUT),
            settings: Settings {
                kube_timeout: KUBE_TIMEOUT,
                reconcile_timeout: 3 * args.api_timeout + 2 * KUBE_TIMEOUT,
                deletion_grace: args.deletion_grace,
                dry_run: args.dry_run,
                resync_interval: args.resync_interval,
            },
            client,
            nairi,
            fence,
            stores: stores.clone(),
            index: Index::default(),
            sweeps,
            connections,
            claims: Claims::new(queues.objects.clone()),
            ledger: Ledger::default(),
            watch_namespaces: args.watch_namespaces,
            namespace,
            fingerprints: Arc::new(fingerprints),
            queues,
            metrics: Arc::new(metrics),
        });
        let (watching, filled) = watches::watches(&ctx, writers);
        for watching in watching {
            parts.spawn(async move {
                watching.await;
                "a watch"
            });
        }
        parts.spawn(tick(Arc::clone(&ctx)));
        if unless_ended(ending, filled).await.is_none() {
            return Ok(());
        }
        parts.spawn(sweep::sweep(Arc::clone(&ctx), lists));
        readiness.send_replace(Readiness::Ready);
        info!(objects = stores.objects.len(), "ready");

        tokio::select! {
            () = work(&ctx, due, ending) => {}
            Some(part) = parts.join_next() => {
                let part = part.unwrap_or("a part that panicked");
                error!(part, "a part of the operator ended");
                return Err(Error::Ended(part));
            }
        }
        info!("ended");
        Ok(())
    }
}

/// Reconciles what is due until the end, and finishes what is under way then.
async fn work(ctx: &Arc<Context>, due: AllDue, ending: &watch::Receiver<bool>) {
    let panicked = || ctx.metrics.panicked();
    let until_end = || ended(ending.clone());
    let (objects, connections, cluster_connections) = (
        ctx.stores.objects.clone(),
        ctx.stores.connections.clone(),
        ctx.stores.cluster_connections.clone(),
    );
    tokio::join!(
        queue::drain(
            due.objects,
            objects,
            until_end(),
            |object, since| {
                let span = spans::pass(&object, since);
                reconcile::reconcile(object, since, Arc::clone(ctx)).instrument(span)
            },
            panicked,
        ),
        queue::drain(
            due.connections,
            connections,
            until_end(),
            |connection, _| check::check(connection, Arc::clone(ctx)),
            panicked,
        ),
        queue::drain(
            due.cluster_connections,
            cluster_connections,
            until_end(),
            |connection, _| check::check(connection, Arc::clone(ctx)),
            panicked,
        ),
    );
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
