//! The two kinds of connections, as far as they are alike.

use std::fmt::Debug;

use kube::{Api, Client, Resource, ResourceExt as _};
use kube_runtime::reflector::Store;
use serde::de::DeserializeOwned;

use super::ConnectionId;
use crate::{
    api::{ClusterVaultConnection, ConnectionStatus, Grant, VaultConnection},
    source::KeyOf,
    watch::Stores,
};

/// A connection of either kind.
pub trait Connection:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
    /// How objects refer to it.
    fn id(&self) -> ConnectionId;
    /// Where its key is.
    fn key(&self) -> KeyOf<'_>;
    /// Its status.
    fn status(&self) -> Option<&ConnectionStatus>;
    /// Who else than its own namespace may use it; `None` where nobody else may.
    fn grants(&self) -> Option<&[Grant]>;
    /// The API of its kind in its namespace.
    fn api(client: &Client, namespace: Option<&str>) -> Api<Self>;
    /// What is watched of its kind.
    fn store(stores: &Stores) -> &Store<Self>;
}

/// Where a key is, and in whose name: that of a connection that was made again, or has its key in another place now, is
/// another key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySource {
    uid: Option<String>,
    namespace: String,
    name: String,
    key: String,
}

impl KeySource {
    /// That of the connection as it is.
    pub fn of(connection: &impl Connection) -> Self {
        let KeyOf {
            namespace,
            name,
            key,
        } = connection.key();
        Self {
            uid: connection.uid(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            key: key.to_owned(),
        }
    }

    #[cfg(test)]
    pub(crate) fn made_up(uid: &str) -> Self {
        Self {
            uid: Some(uid.to_owned()),
            namespace: "ns".to_owned(),
            name: "secret".to_owned(),
            key: "key".to_owned(),
        }
    }
}

impl Connection for VaultConnection {
    fn id(&self) -> ConnectionId {
        ConnectionId::Namespaced {
            namespace: self.namespace().unwrap_or_default(),
            name: self.name_any(),
        }
    }

    fn key(&self) -> KeyOf<'_> {
        let namespace = self.metadata.namespace.as_deref().unwrap_or_default();
        let reference = &self.spec.api_key_secret_ref;
        KeyOf {
            namespace,
            name: &reference.name,
            key: &reference.key,
        }
    }

    fn status(&self) -> Option<&ConnectionStatus> {
        self.status.as_ref()
    }

    fn grants(&self) -> Option<&[Grant]> {
        None
    }

    fn api(client: &Client, namespace: Option<&str>) -> Api<Self> {
        Api::namespaced(client.clone(), namespace.unwrap_or_default())
    }

    fn store(stores: &Stores) -> &Store<Self> {
        &stores.connections
    }
}

impl Connection for ClusterVaultConnection {
    fn id(&self) -> ConnectionId {
        ConnectionId::Cluster {
            name: self.name_any(),
        }
    }

    fn key(&self) -> KeyOf<'_> {
        let reference = &self.spec.api_key_secret_ref;
        KeyOf {
            namespace: &reference.namespace,
            name: &reference.name,
            key: &reference.key,
        }
    }

    fn status(&self) -> Option<&ConnectionStatus> {
        self.status.as_ref()
    }

    fn grants(&self) -> Option<&[Grant]> {
        Some(&self.spec.grants)
    }

    fn api(client: &Client, _namespace: Option<&str>) -> Api<Self> {
        Api::all(client.clone())
    }

    fn store(stores: &Stores) -> &Store<Self> {
        &stores.cluster_connections
    }
}
