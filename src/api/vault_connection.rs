//! VaultConnection and ClusterVaultConnection: who may use which API key for which vaults.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies the struct into a function"
)]
#![expect(
    clippy::duplicated_attributes,
    reason = "every printcolumn has a type_"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{
    NAMESPACE_NAME, OBJECT_NAME, SECRET_KEY, conditions_schema, vault_secret::SecretKeyRef,
};

/// An API key for the VaultSecrets of one namespace.
#[derive(
    CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq,
)]
#[kube(
    group = "nairi.ai",
    version = "v1alpha1",
    kind = "VaultConnection",
    namespaced,
    status = "ConnectionStatus",
    derive = "PartialEq",
    derive = "Default",
    shortname = "nvc",
    category = "nairi",
    doc = "A VaultConnection holds the Nairi API key that the VaultSecrets of its namespace use. Whoever can read the key's Secret can reach every vault of the organisation: to narrow that, use a ClusterVaultConnection.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "True when the API accepted the key."
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        description = "Why it is ready or not."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct VaultConnectionSpec {
    /// Where the API key is: one key of a Secret in this namespace. White space around the API key
    /// is ignored.
    pub api_key_secret_ref: SecretKeyRef,
}

/// An API key shared by namespaces, each narrowed to the vaults it was granted.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "nairi.ai",
    version = "v1alpha1",
    kind = "ClusterVaultConnection",
    status = "ConnectionStatus",
    derive = "PartialEq",
    derive = "Default",
    shortname = "cnvc",
    category = "nairi",
    doc = "A ClusterVaultConnection holds a Nairi API key and says which namespaces may use it for which vaults.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "True when the API accepted the key."
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        description = "Why it is ready or not."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterVaultConnectionSpec {
    /// Where the API key is: one key of a Secret. White space around the API key is ignored.
    pub api_key_secret_ref: ApiKeySecretRef,

    /// Which namespaces may use this key for which vaults. Without a grant nobody may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "atomic"))]
    pub grants: Vec<Grant>,
}

/// One key of a Secret in a named namespace.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeySecretRef {
    /// The Secret's namespace.
    #[schemars(regex(pattern = NAMESPACE_NAME), length(min = 1, max = 63))]
    pub namespace: String,

    /// The Secret's name.
    #[schemars(regex(pattern = OBJECT_NAME), length(min = 1, max = 253))]
    pub name: String,

    /// The key in the Secret's data.
    #[schemars(regex(pattern = SECRET_KEY), length(min = 1, max = 253))]
    pub key: String,
}

/// Some namespaces and the vaults they may use.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.namespaces) && size(self.namespaces) > 0) || has(self.namespaceSelector)")
        .message("a grant names its namespaces: set namespaces, namespaceSelector, or both"),
)]
pub struct Grant {
    /// The namespaces, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "namespaces_schema")]
    pub namespaces: Vec<String>,

    /// The namespaces, by their labels, in addition to those in `namespaces`. An empty selector is
    /// refused; for all namespaces ask for the label `kubernetes.io/metadata.name` to exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "selector_schema")]
    pub namespace_selector: Option<LabelSelector>,

    /// The ids of the vaults, or `["*"]` for every vault of the organisation.
    #[schemars(schema_with = "vault_ids_schema")]
    pub vault_ids: Vec<String>,
}

/// The state of a connection.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionStatus {
    /// The generation of the spec this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// `Ready`: whether the API accepted the key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
}

fn namespaces_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 100,
        "x-kubernetes-list-type": "set",
        "items": {"type": "string", "minLength": 1, "maxLength": 63, "pattern": NAMESPACE_NAME},
    })
}

fn vault_ids_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 100,
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": 128,
            "pattern": r"^(\*|[A-Za-z0-9_-]{1,128})$",
        },
        "x-kubernetes-validations": [{
            "rule": "size(self) == 1 || !self.exists(v, v == '*')",
            "message": "\"*\" already means every vault: leave it alone in the list, or name the vaults",
        }],
    })
}

/// A label selector that is bounded, not empty, and has no operator that nobody knows.
fn selector_schema(_: &mut SchemaGenerator) -> Schema {
    let label_value = json_schema!({"type": "string", "maxLength": 63});
    json_schema!({
        "type": "object",
        "properties": {
            "matchLabels": {
                "description": "Labels and the values they must have.",
                "type": "object",
                "maxProperties": 32,
                "additionalProperties": {"type": "string", "maxLength": 63},
            },
            "matchExpressions": {
                "description": "Requirements on labels; all must hold.",
                "type": "array",
                "maxItems": 32,
                "x-kubernetes-list-type": "atomic",
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": {"description": "The label.", "type": "string", "minLength": 1, "maxLength": 317},
                        "operator": {
                            "description": "How the label relates to the values.",
                            "type": "string",
                            "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
                        },
                        "values": {
                            "description": "The values, for `In` and `NotIn`.",
                            "type": "array",
                            "maxItems": 100,
                            "x-kubernetes-list-type": "atomic",
                            "items": label_value,
                        },
                    },
                    "x-kubernetes-validations": [{
                        "rule": "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
                        "message": "In and NotIn need values; Exists and DoesNotExist take none",
                    }],
                },
            },
        },
        "x-kubernetes-map-type": "atomic",
        "x-kubernetes-validations": [{
            "rule": "(has(self.matchLabels) && size(self.matchLabels) > 0) || (has(self.matchExpressions) && size(self.matchExpressions) > 0)",
            "message": "an empty selector would let every namespace in: set matchLabels or matchExpressions, or leave namespaceSelector out",
        }],
    })
}
