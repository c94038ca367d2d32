//! Another tenant of the same API key.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, api::PostParams};
use vaultsecret_operator::api::{
    ConnectionKind, SecretKeyRef, VaultConnection, VaultConnectionSpec, VaultSecret,
};

use super::*;
use crate::support::objects::secret;

/// How many of its objects are created at once.
const AT_ONCE: usize = 16;

/// A namespace with a connection of its own, named as it is.
pub(crate) struct Neighbour<'a> {
    pub world: &'a World,
    pub namespace: String,
    name: String,
}

impl<'a> Neighbour<'a> {
    /// With the world's API key: its requests pass the same gate.
    pub async fn arrive(world: &'a World, name: &str) -> Self {
        let neighbour = Self {
            world,
            namespace: world.neighbour(name),
            name: name.to_owned(),
        };
        neighbour.connect(name, world.sim.api_key()).await;
        neighbour
    }

    /// A connection with this API key.
    pub async fn connect(&self, name: &str, key: &str) {
        let post = PostParams::default();
        let data = secret(&format!("{name}-key"), &[("apiKey", key)]);
        self.secrets().create(&post, &data).await.expect("a Secret");
        let spec = VaultConnectionSpec {
            api_key_secret_ref: SecretKeyRef {
                name: format!("{name}-key"),
                key: "apiKey".to_owned(),
            },
        };
        self.connections()
            .create(&post, &VaultConnection::new(name, spec))
            .await
            .expect("a connection");
    }

    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.world.client.clone(), &self.namespace)
    }

    pub fn connections(&self) -> Api<VaultConnection> {
        Api::namespaced(self.world.client.clone(), &self.namespace)
    }

    pub fn objects(&self) -> Api<VaultSecret> {
        Api::namespaced(self.world.client.clone(), &self.namespace)
    }

    /// An object with its own connection.
    pub fn object(&self, name: &str) -> VaultSecretBuilder {
        VaultSecretBuilder::new(name, &self.world.vault)
            .connection(ConnectionKind::VaultConnection, &self.name)
    }

    /// Creates these, many at once.
    pub async fn create_all(&self, objects: impl IntoIterator<Item = VaultSecretBuilder>) {
        let (api, post) = (self.objects(), PostParams::default());
        stream::iter(objects)
            .map(|object| {
                let (api, post) = (&api, &post);
                async move { api.create(post, &object.build()).await }
            })
            .buffer_unordered(AT_ONCE)
            .try_for_each(|_| async { Ok(()) })
            .await
            .expect("they are created");
    }

    /// Replaces the API key in its connection's Secret.
    pub async fn change_key(&self, key: &str) {
        let change = json!({"stringData": {"apiKey": key}});
        let name = format!("{}-key", self.name);
        objects::merge(&self.secrets(), &name, change).await;
    }
}
