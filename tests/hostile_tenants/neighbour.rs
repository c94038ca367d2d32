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
const AT_ONCE: usize = 8;

/// A namespace with a connection of its own, named as it is.
pub(super) struct Neighbour<'a> {
    pub(super) world: &'a World,
    pub(super) namespace: String,
    name: String,
}

impl<'a> Neighbour<'a> {
    /// With the world's API key: its requests pass the same gate.
    pub(super) async fn arrive(world: &'a World, name: &str) -> Self {
        let neighbour = Self {
            world,
            namespace: world.neighbour(name),
            name: name.to_owned(),
        };
        neighbour.connect(name, world.sim.api_key()).await;
        neighbour
    }

    /// A connection with this API key.
    pub(super) async fn connect(&self, name: &str, key: &str) {
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

    pub(super) fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.world.client.clone(), &self.namespace)
    }

    pub(super) fn connections(&self) -> Api<VaultConnection> {
        Api::namespaced(self.world.client.clone(), &self.namespace)
    }

    pub(super) fn objects(&self) -> Api<VaultSecret> {
        Api::namespaced(self.world.client.clone(), &self.namespace)
    }

    /// An object with its own connection.
    pub(super) fn object(&self, name: &str) -> VaultSecretBuilder {
        VaultSecretBuilder::new(name, &self.world.vault)
            .connection(ConnectionKind::VaultConnection, &self.name)
    }

    pub(super) async fn create_secret(&self, name: &str, data: &[(&str, &str)]) {
        let data = secret(name, data);
        let created = self.secrets().create(&PostParams::default(), &data).await;
        created.expect("a Secret");
    }

    pub(super) async fn set_secret(&self, name: &str, key: &str, value: &str) {
        let change = json!({"stringData": {key: value}});
        objects::merge(&self.secrets(), name, change).await;
    }

    /// Waits until one of its objects has this reason at its present generation.
    pub(super) async fn reason(&self, name: &str, reason: &str) -> VaultSecret {
        let objects = self.objects();
        let waited = objects::wait_for(&objects, name, 2 * SOON, |object| {
            object
                .is_some_and(|object: &VaultSecret| objects::current_reason(object) == Some(reason))
        });
        let found = waited.await.flatten();
        found.unwrap_or_else(|| panic!("{name} is not {reason}"))
    }

    /// Creates these, many at once.
    pub(super) async fn create_all(&self, objects: impl IntoIterator<Item = VaultSecretBuilder>) {
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
    pub(super) async fn change_key(&self, key: &str) {
        let name = format!("{}-key", self.name);
        self.set_secret(&name, "apiKey", key).await;
    }
}
