//! What the operator needs before it can begin, and waits for: an API server, its CRDs, its fingerprint key.

use std::{error::Error as StdError, time::Duration};

use http::{HeaderValue, header::USER_AGENT};
use kube::{
    Api, Client, Resource,
    api::ListParams,
    config::{InferConfigError, KubeconfigError},
    core::PartialObjectMeta,
};
use serde::de::DeserializeOwned;

use super::{Error, KUBE_TIMEOUT};
use crate::{
    api::{ClusterVaultConnection, VaultConnection, VaultSecret},
    fingerprint::{FingerprintKey, keeper},
    lease::Fence,
    reminder::Reminder,
    source::brief,
    watch,
};

/// How often what is missing is looked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Kubernetes: the service account in a cluster, the kubeconfig elsewhere. `agent` names us in the API server's log.
pub(super) async fn kubernetes(agent: &str) -> Result<Client, Error> {
    let mut config = kube::Config::infer()
        .await
        .map_err(|error| Error::Kubeconfig(unread(&error)))?;
    // We have our own, which know when to stop.
    config.default_retry = false;
    if let Ok(agent) = HeaderValue::from_str(agent) {
        config.headers.push((USER_AGENT, agent));
    }
    Client::try_from(config).map_err(|error| Error::Kubeconfig(unusable(&error)))
}

/// What keeps a configuration from being read. One that does not parse is not quoted, as its error would: there are
/// credentials in it.
fn unread(error: &InferConfigError) -> String {
    let kubeconfig = error.source().and_then(<dyn StdError>::downcast_ref);
    match kubeconfig {
        Some(KubeconfigError::Parse(error)) => {
            let line = error
                .location()
                .map_or_else(String::new, |at| format!(": see its line {}", at.line()));
            format!("the kubeconfig does not parse{line}")
        }
        _ => error.to_string(),
    }
}

/// What keeps a configuration from being used. A proxy's address may hold a password.
fn unusable(error: &kube::Error) -> String {
    match error {
        kube::Error::ProxyProtocolUnsupported { .. }
        | kube::Error::ProxyProtocolDisabled { .. } => {
            "its proxy speaks another protocol than HTTP: set an http:// proxy, or none".to_owned()
        }
        error => error.to_string(),
    }
}

/// The name of this replica: the Pod's, which the chart tells by `POD_NAME`; elsewhere the machine's.
pub(super) fn replica() -> String {
    let pod = std::env::var("POD_NAME")
        .ok()
        .filter(|name| !name.is_empty());
    let name = pod.unwrap_or_else(|| {
        std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default()
    });
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

/// Ends once the API server answers and has our three kinds. It is asked in the first of `namespaces`, where there are
/// some: nothing else is sure to be allowed.
pub(super) async fn wait_for_crds(client: &Client, namespaces: &[String]) {
    let scope = namespaces.first().map(String::as_str);
    let mut reminder = Reminder::default();
    loop {
        let found = tokio::join!(
            missing(watch::namespaced::<PartialObjectMeta<VaultSecret>>(
                client, scope
            )),
            missing(watch::namespaced::<PartialObjectMeta<VaultConnection>>(
                client, scope
            )),
            missing(Api::<PartialObjectMeta<ClusterVaultConnection>>::all(
                client.clone()
            )),
        );
        let Some(what) = found.0.or(found.1).or(found.2) else {
            return;
        };
        reminder.say(what);
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// What keeps a kind from being listed.
async fn missing<K>(api: Api<PartialObjectMeta<K>>) -> Option<String>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let (kind, plural) = (K::kind(&()), K::plural(&()));
    match tokio::time::timeout(
        KUBE_TIMEOUT,
        api.list_metadata(&ListParams::default().limit(1)),
    )
    .await
    {
        Ok(Ok(_)) => None,
        // It is there, perhaps: the watches say what they may not see.
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => None,
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Some(format!(
            "waiting for the CustomResourceDefinition {plural}.nairi.ai ({kind}): install it with `vaultsecret-operator crds | kubectl apply --server-side -f -`"
        )),
        Ok(Err(error)) => Some(format!(
            "waiting for the Kubernetes API server: {}",
            brief(&error)
        )),
        Err(_) => Some("waiting for the Kubernetes API server: it does not answer".to_owned()),
    }
}

/// The key of fingerprints, once it could be read or made.
pub(super) async fn fingerprint_key(
    client: &Client,
    namespace: &str,
    fence: &Fence,
) -> FingerprintKey {
    let mut reminder = Reminder::default();
    loop {
        match keeper::load(client, namespace, fence).await {
            Ok(key) => return key,
            Err(error) => reminder.say(format!(
                "waiting for the fingerprint key in namespace {namespace}: {error}"
            )),
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
