//! Creating, changing and awaiting Kubernetes objects.

use std::{collections::BTreeMap, fmt::Debug, time::Duration};

use k8s_openapi::{ByteString, api::core::v1::Secret, jiff::Timestamp};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use kube_runtime::wait::await_condition;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use vaultsecret_operator::api::{
    ConnectionKind, ConnectionRef, CreationPolicy, DeletionPolicy, DriftPolicy, SecretKeyRef,
    SecretRef, Template, ValueFrom, VaultSecret, VaultSecretSpec,
};

use super::{
    wait::{SOON, eventually},
    world::World,
};

/// A VaultSecret in the making.
#[derive(Clone, Debug)]
pub struct VaultSecretBuilder(VaultSecret);

impl VaultSecretBuilder {
    /// In that vault, with the default connection and nothing managed.
    pub fn new(name: &str, vault: &str) -> Self {
        let spec = VaultSecretSpec {
            vault_id: vault.to_owned(),
            ..VaultSecretSpec::default()
        };
        Self(VaultSecret::new(name, spec))
    }

    /// In another vault.
    #[must_use]
    pub fn vault(mut self, id: &str) -> Self {
        id.clone_into(&mut self.0.spec.vault_id);
        self
    }

    /// With another connection.
    #[must_use]
    pub fn connection(mut self, kind: ConnectionKind, name: &str) -> Self {
        let name = name.to_owned();
        self.0.spec.connection_ref = ConnectionRef { kind, name };
        self
    }

    /// `spec.secretId`
    #[must_use]
    pub fn secret_id(mut self, id: &str) -> Self {
        self.0.spec.secret_id = Some(id.to_owned());
        self
    }

    /// `spec.envKey`
    #[must_use]
    pub fn env_key(mut self, key: &str) -> Self {
        self.0.spec.env_key = Some(key.to_owned());
        self
    }

    /// The value is one key of a Secret.
    #[must_use]
    pub fn value_from(mut self, secret: &str, key: &str) -> Self {
        self.0.spec.value_from = Some(ValueFrom {
            secret_key_ref: Some(SecretKeyRef {
                name: secret.to_owned(),
                key: key.to_owned(),
            }),
            template: None,
        });
        self
    }

    /// The value is a text made with the keys of a Secret.
    #[must_use]
    pub fn template(mut self, text: &str, secret: &str) -> Self {
        self.0.spec.value_from = Some(ValueFrom {
            secret_key_ref: None,
            template: Some(Template {
                text: text.to_owned(),
                secret_ref: SecretRef {
                    name: secret.to_owned(),
                },
            }),
        });
        self
    }

    /// `spec.allowedDomains`
    #[must_use]
    pub fn domains<const N: usize>(mut self, domains: [&str; N]) -> Self {
        self.0.spec.allowed_domains = Some(domains.map(str::to_owned).to_vec());
        self
    }

    /// `spec.allowUnrestricted: true`
    #[must_use]
    pub fn allow_unrestricted(mut self) -> Self {
        self.0.spec.allow_unrestricted = true;
        self
    }

    /// `spec.creationPolicy: IfMissing`
    #[must_use]
    pub fn create_if_missing(mut self) -> Self {
        self.0.spec.creation_policy = CreationPolicy::IfMissing;
        self
    }

    /// `spec.deletionPolicy: Delete`
    #[must_use]
    pub fn delete_remote(mut self) -> Self {
        self.0.spec.deletion_policy = DeletionPolicy::Delete;
        self
    }

    /// `spec.driftPolicy: Report`
    #[must_use]
    pub fn report_drift(mut self) -> Self {
        self.0.spec.drift_policy = DriftPolicy::Report;
        self
    }

    /// `spec.suspend: true`
    #[must_use]
    pub fn suspended(mut self) -> Self {
        self.0.spec.suspend = true;
        self
    }

    /// An annotation.
    #[must_use]
    pub fn annotation(mut self, name: &str, value: &str) -> Self {
        self.0
            .annotations_mut()
            .insert(name.to_owned(), value.to_owned());
        self
    }

    /// A label.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.0
            .labels_mut()
            .insert(name.to_owned(), value.to_owned());
        self
    }

    /// Any other change.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut VaultSecret)) -> Self {
        change(&mut self.0);
        self
    }

    /// The object.
    pub fn build(self) -> VaultSecret {
        self.0
    }
}

impl From<VaultSecretBuilder> for VaultSecret {
    fn from(builder: VaultSecretBuilder) -> Self {
        builder.0
    }
}

/// A Secret with these keys.
pub fn secret(name: &str, data: &[(&str, &str)]) -> Secret {
    let bytes = |value: &str| ByteString(value.as_bytes().to_vec());
    let data: BTreeMap<_, _> = data
        .iter()
        .map(|(key, value)| ((*key).to_owned(), bytes(value)))
        .collect();
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(data),
        ..Secret::default()
    }
}

/// The reason on the object's `Ready`, if that is about its present generation.
pub fn current_reason(object: &VaultSecret) -> Option<&str> {
    let status = object.status.as_ref()?;
    let ready = condition(object, "Ready")?;
    (status.observed_generation == object.metadata.generation).then_some(ready.reason.as_str())
}

/// Waits until `object` is older than whatever is created from now on: Kubernetes counts whole seconds.
pub async fn older(object: &VaultSecret) {
    let created = object.metadata.creation_timestamp.as_ref().expect("stored");
    eventually("a second has passed", SOON, || async {
        (Timestamp::now().as_second() > created.0.as_second()).then_some(())
    })
    .await;
}

/// One of the object's conditions.
pub fn condition<'a>(
    object: &'a VaultSecret,
    type_: &str,
) -> Option<&'a k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
    let conditions = &object.status.as_ref()?.conditions;
    conditions.iter().find(|condition| condition.type_ == type_)
}

impl World {
    /// The VaultSecrets of the world's namespace.
    pub fn vault_secrets(&self) -> Api<VaultSecret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The Secrets of the world's namespace.
    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A VaultSecret in the making, in the world's vault, with the world's connection.
    pub fn vault_secret(&self, name: &str) -> VaultSecretBuilder {
        let ConnectionRef { kind, name: of } = &self.connection;
        VaultSecretBuilder::new(name, &self.vault).connection(*kind, of)
    }

    /// Creates a VaultSecret.
    pub async fn create(&self, object: impl Into<VaultSecret>) -> VaultSecret {
        let object = object.into();
        self.vault_secrets()
            .create(&PostParams::default(), &object)
            .await
            .unwrap_or_else(|error| panic!("creating {}: {error}", object.name_any()))
    }

    /// Tries to create a VaultSecret: the API server's refusal, as a sentence.
    pub async fn create_refused(&self, object: impl Into<VaultSecret>) -> String {
        let object = object.into();
        match self
            .vault_secrets()
            .create(&PostParams::default(), &object)
            .await
        {
            Ok(_) => panic!("{} was accepted", object.name_any()),
            Err(kube::Error::Api(status)) => status.message.clone(),
            Err(error) => panic!("{}: {error}", object.name_any()),
        }
    }

    /// Changes a VaultSecret by a merge patch.
    pub async fn edit(&self, name: &str, change: Value) -> VaultSecret {
        merge(&self.vault_secrets(), name, change).await
    }

    /// Changes the `spec` of a VaultSecret by a merge patch.
    pub async fn edit_spec(&self, name: &str, change: Value) -> VaultSecret {
        self.edit(name, json!({ "spec": change })).await
    }

    /// A VaultSecret as it is.
    pub async fn get(&self, name: &str) -> VaultSecret {
        self.vault_secrets()
            .get(name)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Deletes a VaultSecret, without waiting for its end.
    pub async fn delete(&self, name: &str) {
        remove(&self.vault_secrets(), name).await;
    }

    /// Waits until a VaultSecret is gone.
    pub async fn gone(&self, name: &str) {
        self.wait("is gone", name, |object| object.is_none()).await;
    }

    /// Waits until a VaultSecret is in sync at its present generation.
    pub async fn synced(&self, name: &str) -> VaultSecret {
        self.reason(name, "Synced").await
    }

    /// Waits until `Ready` of a VaultSecret has this reason at its present generation.
    pub async fn reason(&self, name: &str, reason: &str) -> VaultSecret {
        let wanted = reason.to_owned();
        self.until(name, reason, move |object| {
            current_reason(object) == Some(&wanted)
        })
        .await
    }

    /// Waits until a VaultSecret is as wanted; `what` says how, for the message.
    pub async fn until(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&VaultSecret) -> bool + Send + Sync,
    ) -> VaultSecret {
        let object = self
            .wait(what, name, move |object: Option<&VaultSecret>| {
                object.is_some_and(&wanted)
            })
            .await;
        object.expect("it is as wanted, so it exists")
    }

    async fn wait(
        &self,
        what: &str,
        name: &str,
        wanted: impl Fn(Option<&VaultSecret>) -> bool + Send + Sync,
    ) -> Option<VaultSecret> {
        if let Some(object) = wait_for(&self.vault_secrets(), name, SOON, wanted).await {
            return object;
        }
        let now = self.vault_secrets().get_opt(name).await;
        let status = now.map(|object| object.map(|object| object.status));
        panic!("{name}: not {what} within {SOON:?}; its status:\n{status:#?}")
    }

    /// Creates a Secret.
    pub async fn create_secret(&self, name: &str, data: &[(&str, &str)]) -> Secret {
        self.secrets()
            .create(&PostParams::default(), &secret(name, data))
            .await
            .unwrap_or_else(|error| panic!("creating {name}: {error}"))
    }

    /// Creates or changes a Secret by client-side `kubectl apply`, which keeps its content in an annotation too.
    pub async fn apply_secret(&self, name: &str, data: &[(&str, &str)]) {
        let manifest = serde_json::to_string(&secret(name, data)).expect("JSON");
        self.kubectl_with(&["apply", "-f", "-"], &manifest)
            .await
            .ok();
    }

    /// Sets one key of a Secret.
    pub async fn set_secret(&self, name: &str, key: &str, value: &str) -> Secret {
        merge(&self.secrets(), name, json!({"stringData": {key: value}})).await
    }

    /// Changes a Secret by a merge patch.
    pub async fn edit_secret(&self, name: &str, change: Value) -> Secret {
        merge(&self.secrets(), name, change).await
    }

    /// Deletes a Secret.
    pub async fn delete_secret(&self, name: &str) {
        remove(&self.secrets(), name).await;
    }

    /// Applies any manifests to the world's namespace by `kubectl apply`.
    pub async fn apply(&self, manifests: &str) {
        self.kubectl_with(&["apply", "-f", "-"], manifests)
            .await
            .ok();
    }

    /// Runs kubectl as the administrator, in the world's namespace.
    pub async fn kubectl(&self, args: &[&str]) -> super::Output {
        self.kubectl_with(args, "").await
    }

    /// Runs kubectl as the administrator, in the world's namespace, with `input`.
    pub async fn kubectl_with(&self, args: &[&str], input: &str) -> super::Output {
        let mut all = vec!["--namespace", &self.namespace];
        all.extend(args);
        self.cluster.kubectl_with(&all, input).await
    }
}

/// Changes an object by a merge patch.
pub async fn merge<K>(api: &Api<K>, name: &str, change: Value) -> K
where
    K: Clone + Debug + DeserializeOwned,
{
    api.patch(name, &PatchParams::default(), &Patch::Merge(&change))
        .await
        .unwrap_or_else(|error| panic!("changing {name}: {error}"))
}

async fn remove<K>(api: &Api<K>, name: &str)
where
    K: Clone + Debug + DeserializeOwned,
{
    api.delete(name, &DeleteParams::default())
        .await
        .unwrap_or_else(|error| panic!("deleting {name}: {error}"));
}

/// Waits, by a watch, until the object of that name is as wanted; none if it was not within `deadline`. An API
/// server that is away meanwhile is waited for.
pub async fn wait_for<K>(
    api: &Api<K>,
    name: &str,
    deadline: Duration,
    wanted: impl Fn(Option<&K>) -> bool,
) -> Option<Option<K>>
where
    K: Clone + Debug + Send + DeserializeOwned + Resource + 'static,
{
    let waiting = async {
        loop {
            match await_condition(api.clone(), name, &wanted).await {
                Ok(object) => return object,
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    };
    tokio::time::timeout(deadline, waiting).await.ok()
}
