//! What the watches keep of each kind.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::core::PartialObjectMeta;
use kube_runtime::reflector::{ObjectRef, Store, store::Writer};

use crate::{
    api::{ClusterVaultConnection, VaultConnection, VaultSecret},
    source,
};

/// What is watched, as last seen.
#[derive(Clone)]
pub struct Stores {
    /// VaultSecrets.
    pub objects: Store<VaultSecret>,
    /// Metadata of Secrets.
    pub secrets: Store<PartialObjectMeta<Secret>>,
    /// VaultConnections.
    pub connections: Store<VaultConnection>,
    /// ClusterVaultConnections.
    pub cluster_connections: Store<ClusterVaultConnection>,
    /// Metadata of Namespaces.
    pub namespaces: Store<PartialObjectMeta<Namespace>>,
}

/// The ends of the stores that the watches write to.
#[derive(Default)]
pub struct Writers {
    pub(super) objects: Writer<VaultSecret>,
    pub(super) secrets: Writer<PartialObjectMeta<Secret>>,
    pub(super) connections: Writer<VaultConnection>,
    pub(super) cluster_connections: Writer<ClusterVaultConnection>,
    pub(super) namespaces: Writer<PartialObjectMeta<Namespace>>,
}

impl Writers {
    /// The ends to read from.
    #[must_use]
    pub fn stores(&self) -> Stores {
        Stores {
            objects: self.objects.as_reader(),
            secrets: self.secrets.as_reader(),
            connections: self.connections.as_reader(),
            cluster_connections: self.cluster_connections.as_reader(),
            namespaces: self.namespaces.as_reader(),
        }
    }
}

impl Stores {
    /// The labels of a namespace, where that is known: an object may be seen before its namespace is.
    #[must_use]
    pub fn labels(&self, namespace: &str) -> Option<BTreeMap<String, String>> {
        let space = self.namespaces.get(&ObjectRef::new(namespace))?;
        Some(space.metadata.labels.clone().unwrap_or_default())
    }

    /// uid and resourceVersion of the Secret that the value of `object` comes from, where it is known.
    #[must_use]
    pub fn source_version(&self, object: &VaultSecret) -> Option<String> {
        let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
        let name = object.spec.source_secret()?;
        let secret = self.secrets.get(&ObjectRef::new(name).within(namespace))?;
        Some(source::version(
            secret.metadata.uid.as_deref()?,
            secret.metadata.resource_version.as_deref()?,
        ))
    }
}
