//! Commands, shown as they are run.

use std::time::Instant;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::json;

use crate::{
    screen::Screen,
    support::{Cluster, objects::merge},
};

/// Runs kubectl, shown with what it prints.
pub(crate) async fn kubectl(
    cluster: &'static Cluster,
    screen: &Screen,
    args: &[&str],
) -> Result<(), String> {
    screen.call("kubectl", args);
    screen.output(&ask(cluster, args).await?);
    Ok(())
}

/// Runs kubectl, and returns what it prints.
pub(crate) async fn ask(cluster: &'static Cluster, args: &[&str]) -> Result<String, String> {
    let output = cluster.kubectl(args).await;
    if output.success {
        Ok(output.stdout)
    } else {
        Err(format!("kubectl failed: {}", output.stderr.trim()))
    }
}

/// Gives the key `url` of a Secret a new value; returns it, and when the API server's answer was there.
pub(crate) async fn set_value(
    cluster: &'static Cluster,
    (namespace, name): (&str, &str),
) -> (String, Instant) {
    let value = format!(
        "postgresql://app:{:016x}@db.example.com/app",
        fastrand::u64(..)
    );
    let secrets: Api<Secret> = Api::namespaced(cluster.client().await, namespace);
    merge(&secrets, name, json!({"stringData": {"url": value}})).await;
    (value, Instant::now())
}
