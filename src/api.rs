//! The Kubernetes contract: the custom resources of the group `nairi.ai`, types only.
//!
//! Doc comments of fields are what `kubectl explain` shows, so they speak to users of the
//! resources. No field of these types ever holds a secret value: `Debug` is safe.

pub mod condition;
pub mod vault_connection;
pub mod vault_secret;

pub use condition::{Class, ConditionType, ConnectionReason, EventReason, Reason, Status};
pub use vault_connection::{
    ApiKeySecretRef, ClusterVaultConnection, ClusterVaultConnectionSpec, ConnectionStatus, Grant,
    VaultConnection, VaultConnectionSpec,
};
pub use vault_secret::{
    ConnectionKind, ConnectionRef, CreationPolicy, DeletionPolicy, Drift, DriftPolicy, LastPatch,
    ManagedField, SecretKeyRef, SecretRef, Template, ValueFrom, VaultSecret, VaultSecretSpec,
    VaultSecretStatus,
};

use schemars::{Schema, SchemaGenerator, json_schema};

// Names and ids become parts of URLs, so their patterns are a safeguard as well as a help.

/// Keeps an object under `deletionPolicy: Delete` until its remote secret is gone.
pub const FINALIZER: &str = "nairi.ai/remote-secret";

/// The name of a Kubernetes object.
const OBJECT_NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// The name of a namespace.
const NAMESPACE_NAME: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

/// A key in the data of a Secret.
const SECRET_KEY: &str = "^[-._a-zA-Z0-9]+$";

/// An id of the Nairi API, opaque and safe in a URL.
const NAIRI_ID: &str = "^[A-Za-z0-9_-]{1,128}$";

/// The list of conditions, one per type.
fn conditions_schema(generator: &mut SchemaGenerator) -> Schema {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
    json_schema!({
        "type": "array",
        "items": generator.subschema_for::<Condition>(),
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    })
}
