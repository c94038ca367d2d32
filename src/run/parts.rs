//! The parts that are made the same way whatever comes after: queues, the Nairi client, connections.

use std::sync::Arc;

use crate::{
    api::{ClusterVaultConnection, VaultConnection, VaultSecret},
    args::Run,
    connections::Connections,
    context::Queues,
    metrics::Metrics,
    nairi,
    queue::{Due, Queue},
};

/// How many connections are checked at once: there are few, and each is one request.
const CONNECTION_CONCURRENCY: u16 = 8;

/// What is due, by kind.
pub(super) struct AllDue {
    pub(super) objects: Due<VaultSecret>,
    pub(super) connections: Due<VaultConnection>,
    pub(super) cluster_connections: Due<ClusterVaultConnection>,
}

pub(super) fn queues(concurrency: u16) -> (Queues, AllDue) {
    let (objects, due_objects) = Queue::new(concurrency);
    let (connections, due_connections) = Queue::new(CONNECTION_CONCURRENCY);
    let (cluster_connections, due_cluster_connections) = Queue::new(CONNECTION_CONCURRENCY);
    let queues = Queues {
        objects,
        connections,
        cluster_connections,
    };
    let due = AllDue {
        objects: due_objects,
        connections: due_connections,
        cluster_connections: due_cluster_connections,
    };
    (queues, due)
}

pub(super) fn nairi_client(
    args: &Run,
    user_agent: String,
    metrics: &Metrics,
) -> Result<nairi::Client, nairi::ConfigError> {
    let metrics = metrics.clone();
    nairi::Client::new(nairi::Config {
        base_url: args.api_url.clone(),
        ca_file: args.api_ca_file.clone(),
        allow_insecure_http: args.allow_insecure_http,
        timeout: args.api_timeout,
        user_agent,
        observer: Arc::new(move |method, code, took| metrics.requested(method, code, took)),
    })
}

pub(super) fn connections(args: &Run, queues: &Queues) -> Result<Connections, nairi::NoRandomness> {
    let (free, check) = (queues.objects.clone(), queues.clone());
    let gates = nairi::Gates::new(
        args.api_concurrency.into(),
        Arc::new(move |object| free.wake(object)),
    )?;
    Ok(Connections::new(
        gates,
        Box::new(move |id| check.wake_connection(&id)),
    ))
}
