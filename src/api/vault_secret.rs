//! VaultSecret: one secret of a Nairi vault, declared.

#![expect(
    unreachable_pub,
    reason = "KubeSchema copies the struct into a function"
)]

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{NAIRI_ID, OBJECT_NAME, SECRET_KEY, conditions_schema};

/// The desired state of one secret in a Nairi vault.
#[derive(
    CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq,
)]
#[kube(
    group = "nairi.ai",
    version = "v1alpha1",
    kind = "VaultSecret",
    namespaced,
    status = "VaultSecretStatus",
    derive = "PartialEq",
    derive = "Default",
    shortname = "nvs",
    category = "nairi",
    doc = "A VaultSecret keeps one secret of a Nairi vault as declared: its value, taken from a Secret in the same namespace, and the domains it may be sent to. Only the fields that differ are sent.",
    printcolumn(
        name = "Env Key",
        type_ = "string",
        json_path = ".status.envKey",
        description = "The environment variable the secret is known by in the vault."
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "True when the vault holds what is declared here."
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        description = "Why it is ready or not."
    ),
    printcolumn(
        name = "Updated At",
        type_ = "string",
        json_path = ".status.updatedAt",
        description = "When the secret last changed in the vault, as the API returned it."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Vault",
        type_ = "string",
        json_path = ".spec.vaultId",
        description = "The vault's id.",
        priority = 1
    ),
    printcolumn(
        name = "Secret",
        type_ = "string",
        json_path = ".status.secretId",
        description = "The id of the secret in the vault.",
        priority = 1
    ),
    printcolumn(
        name = "Domains",
        type_ = "string",
        json_path = ".status.allowedDomains",
        description = "The domains the secret may be sent to, as the API returned them.",
        priority = 1
    ),
    printcolumn(
        name = "Last Patch",
        type_ = "date",
        json_path = ".status.lastPatch.time",
        description = "How long ago something was last sent.",
        priority = 1
    ),
    validation = Rule::new(
        "!has(oldSelf.status) || !has(oldSelf.status.secretId) || self.spec.vaultId == oldSelf.spec.vaultId"
    ).message("vaultId can't change once this object is bound to a remote secret (status.secretId): create another VaultSecret and delete this one").field_path(".spec.vaultId"),
    validation = Rule::new(
        "!has(oldSelf.status) || !has(oldSelf.status.secretId) || !has(oldSelf.spec.secretId) || (has(self.spec.secretId) && self.spec.secretId == oldSelf.spec.secretId)"
    ).message("secretId can't change once this object is bound to a remote secret (status.secretId): create another VaultSecret and delete this one").field_path(".spec.secretId"),
    validation = Rule::new(
        "!has(oldSelf.status) || !has(oldSelf.status.secretId) || !has(oldSelf.spec.envKey) || (has(self.spec.envKey) && self.spec.envKey == oldSelf.spec.envKey)"
    ).message("envKey can't change once this object is bound to a remote secret (status.secretId): create another VaultSecret and delete this one").field_path(".spec.envKey"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.secretId) || has(self.envKey)")
        .message("nothing says which remote secret this is: set envKey, secretId, or both"),
    validation = Rule::new("has(self.valueFrom) || has(self.allowedDomains)")
        .message("there is nothing to manage: set valueFrom, allowedDomains, or both"),
    validation = Rule::new("!has(self.allowedDomains) || self.allowUnrestricted || (size(self.allowedDomains) > 0 && !self.allowedDomains.exists(d, d.matches('^[*.]+$')))")
        .message("allowedDomains that is empty or holds \"*\" lets the secret go to any destination: name the domains, or, if that is meant, set allowUnrestricted: true")
        .field_path(".allowedDomains"),
    validation = Rule::new("self.creationPolicy != 'IfMissing' || (has(self.envKey) && has(self.valueFrom) && has(self.allowedDomains) && !has(self.secretId))")
        .message("creationPolicy: IfMissing needs envKey, valueFrom and allowedDomains, and no secretId: set what is missing, or use creationPolicy: Never")
        .field_path(".creationPolicy"),
)]
pub struct VaultSecretSpec {
    /// The connection that holds the API key. Default: the ClusterVaultConnection named `default`.
    #[serde(default)]
    pub connection_ref: ConnectionRef,

    /// The id of the vault, such as `vlt_01KQ27AQH800XQTQPJZ0DH14SJ`. Fixed once the object is
    /// bound to a remote secret.
    #[schemars(regex(pattern = NAIRI_ID), length(min = 1, max = 128))]
    pub vault_id: String,

    /// The id of the secret in the vault, such as `sec_01KQ27AQH800XQTQPJZ0DH14SJ`. Set this,
    /// `envKey`, or both (then they must name the same secret). Fixed once the object is bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = NAIRI_ID), length(min = 1, max = 128))]
    pub secret_id: Option<String>,

    /// The environment variable the secret is known by in the vault, such as `DATABASE_URL`. Set
    /// this, `secretId`, or both. Fixed once the object is bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"),
        length(min = 1, max = 253)
    )]
    pub env_key: Option<String>,

    /// Where the value comes from. Without it the value is not managed here and never sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ValueFrom>,

    /// The domains the secret may be sent to, such as `api.example.com` or `*.example.com`.
    /// Without it the domains are not managed here and never sent. An empty list, or `*`, means
    /// any destination and needs `allowUnrestricted: true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "domains_schema")]
    pub allowed_domains: Option<Vec<String>>,

    /// Must be true for an `allowedDomains` that lets the secret go to any destination: one that is
    /// empty or holds `*`.
    #[serde(default)]
    pub allow_unrestricted: bool,

    /// Whether to create the secret in the vault: `Never`, or `IfMissing` (needs `envKey`,
    /// `valueFrom` and `allowedDomains`, and no `secretId`): then it is created where the vault has
    /// none with that `envKey`, also after somebody deleted it there.
    #[serde(default)]
    pub creation_policy: CreationPolicy,

    /// What happens to the secret in the vault when this object is deleted: `Retain` leaves it,
    /// `Delete` deletes it too, by a finalizer that keeps this object meanwhile. `Retain` frees an
    /// object whose deletion is held up.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// What happens when somebody else changes the secret in the vault, which is looked at about
    /// every `--resync-interval`: `Correct` puts the declared state back, `Report` only says so in
    /// the status. Changes made here are sent under either.
    #[serde(default)]
    pub drift_policy: DriftPolicy,

    /// True stops all reading and writing for this object until it is false again. Meanwhile no
    /// other object may take its secret over, and if it is deleted its secret stays in the vault,
    /// whatever `deletionPolicy` says.
    #[serde(default)]
    pub suspend: bool,
}

impl VaultSecretSpec {
    /// The name of the Secret the value comes from, in the object's namespace.
    #[must_use]
    pub fn source_secret(&self) -> Option<&str> {
        let value_from = self.value_from.as_ref()?;
        let by_key = value_from.secret_key_ref.as_ref().map(|r| r.name.as_str());
        let by_template = value_from
            .template
            .as_ref()
            .map(|t| t.secret_ref.name.as_str());
        by_key.or(by_template)
    }
}

/// Which connection a VaultSecret uses.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionRef {
    /// `ClusterVaultConnection` (default), shared by the namespaces it grants vaults to, or
    /// `VaultConnection`, in this namespace.
    #[serde(default)]
    pub kind: ConnectionKind,

    /// The connection's name. Default: `default`.
    #[serde(default = "default_connection_name")]
    #[schemars(regex(pattern = OBJECT_NAME), length(min = 1, max = 253))]
    pub name: String,
}

impl Default for ConnectionRef {
    fn default() -> Self {
        Self {
            kind: ConnectionKind::default(),
            name: default_connection_name(),
        }
    }
}

impl fmt::Display for ConnectionRef {
    /// As in a message to somebody in the object's namespace.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.kind.as_str(), self.name)
    }
}

fn default_connection_name() -> String {
    "default".to_owned()
}

/// The kinds of connections.
#[derive(
    Serialize,
    Deserialize,
    JsonSchema,
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
)]
pub enum ConnectionKind {
    /// In the VaultSecret's own namespace.
    VaultConnection,
    /// Shared by the namespaces it grants vaults to.
    #[default]
    ClusterVaultConnection,
}

impl ConnectionKind {
    /// The kind's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VaultConnection => "VaultConnection",
            Self::ClusterVaultConnection => "ClusterVaultConnection",
        }
    }
}

/// Where a value comes from.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.secretKeyRef) != has(self.template)")
        .message("set exactly one of secretKeyRef and template"),
)]
pub struct ValueFrom {
    /// One key of a Secret in this namespace; its content is the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeyRef>,

    /// A text rendered with the keys of a Secret in this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
}

/// One key of a Secret in the same namespace.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// The Secret's name.
    #[schemars(regex(pattern = OBJECT_NAME), length(min = 1, max = 253))]
    pub name: String,

    /// The key in the Secret's data.
    #[schemars(regex(pattern = SECRET_KEY), length(min = 1, max = 253))]
    pub key: String,
}

/// A text rendered with the keys of a Secret.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// The text, with the Secret's keys as variables:
    /// `postgresql://{{ user | urlencode }}:{{ password | urlencode }}@db/app`. A key that is no
    /// plain name is written `{{ data["db-password"] }}`. Filters: `urlencode`, `b64encode`,
    /// `b64decode`, `trim`, `tojson`; `~` joins. Every key named has to exist. Put no secret value
    /// in the text itself.
    #[schemars(length(min = 1, max = 16384))]
    pub text: String,

    /// The Secret whose keys the text may use.
    pub secret_ref: SecretRef,
}

/// A Secret in the same namespace.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// The Secret's name.
    #[schemars(regex(pattern = OBJECT_NAME), length(min = 1, max = 253))]
    pub name: String,
}

/// Whether the remote secret is created.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CreationPolicy {
    /// It has to exist.
    #[default]
    Never,
    /// It is created where the vault has none with that `envKey`.
    IfMissing,
}

/// What happens to the remote secret when the VaultSecret is deleted.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeletionPolicy {
    /// It stays.
    #[default]
    Retain,
    /// It is deleted too.
    Delete,
}

/// What happens when somebody else changes the remote secret.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DriftPolicy {
    /// The declared state is put back.
    #[default]
    Correct,
    /// The status says so, and nothing is sent.
    Report,
}

/// A field that can be managed, spelled as in `spec`.
#[derive(
    Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord,
)]
#[serde(rename_all = "camelCase")]
pub enum ManagedField {
    /// The value.
    Value,
    /// The domains it may be sent to.
    AllowedDomains,
}

impl ManagedField {
    /// The field's name, as in `spec` and `status`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::AllowedDomains => "allowedDomains",
        }
    }
}

// The status has no limits and patterns on what the API returned: it has to be storable always.

/// What the API last confirmed, and the state of this object.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct VaultSecretStatus {
    /// The generation of the spec this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The id of the secret in the vault this object is bound to. From then on `vaultId`,
    /// `secretId` and `envKey` can't change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_id: Option<String>,

    /// The connection through which the API last showed that secret. After a change of
    /// `spec.connectionRef` the new one has to show it before anything is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_ref: Option<ConnectionRef>,

    /// The secret's environment variable, as the API returned it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env_key: Option<String>,

    /// The domains the secret may be sent to, as the API returned them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_domains: Option<Vec<String>>,

    /// The domains last sent by the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_domains: Option<Vec<String>>,

    /// When the secret was created in the vault, as the API returned it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,

    /// When the secret last changed in the vault, as the API returned it. Compare it for equality
    /// only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,

    /// What was last sent, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_patch: Option<LastPatch>,

    /// The fields that would be sent but are not, or not yet: under `driftPolicy: Report`, in a dry
    /// run, or while sending fails.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending_fields: Vec<ManagedField>,

    /// What somebody else left in the vault, while it is not corrected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,

    /// A keyed fingerprint of the value the API last accepted. It says nothing about the value to
    /// anybody without the operator's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_fingerprint: Option<String>,

    /// The uid and resourceVersion of the Secret the value was last read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_version: Option<String>,

    /// The last value of the annotation `nairi.ai/sync-requested-at` that was acted upon: a new
    /// one has everything that is managed here sent once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_sync_request: Option<String>,

    /// `Ready`, and where they apply `Stalled`, `Reconciling`, `Suspended`, `Contended`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
}

/// What was last sent.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LastPatch {
    /// When the API confirmed it.
    pub time: Time,

    /// The fields it carried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<ManagedField>,
}

/// What somebody else left in the vault.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// When the secret last changed in the vault, as the API returned it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,

    /// The domains found there, where they are not the confirmed ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_domains: Option<Vec<String>>,
}

/// What no domain holds: white space, what belongs to the rest of a URL, and what does not print. An answer of the API
/// that shows a text of the last kind counts as none, so that an object which declares one would never be in sync.
const NOT_IN_A_DOMAIN: &str = r"[\\p{Z}\\p{Cc}/@:\\x{ad}\\x{34f}\\x{61c}\\x{115f}\\x{1160}\\x{180b}-\\x{180f}\\x{200b}-\\x{200f}\\x{202a}-\\x{202e}\\x{2060}-\\x{206f}\\x{3164}\\x{fe00}-\\x{fe0f}\\x{feff}\\x{ffa0}\\x{fff0}-\\x{fffb}\\x{e0000}-\\x{e0fff}]";

/// A bounded set of domains. The rule on its items gives a sentence where a pattern would give
/// its regex.
fn domains_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 100,
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": 253,
            "x-kubernetes-validations": [{
                "rule": format!("!self.matches('{NOT_IN_A_DOMAIN}')"),
                "message": "not a domain: leave out scheme, user, port, path, white space and characters that don't print, as in api.example.com or *.example.com",
            }],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minimal_object_gets_the_defaults() {
        let spec: VaultSecretSpec =
            serde_json::from_value(serde_json::json!({"vaultId": "vlt_1"})).expect("valid");
        assert_eq!(
            spec,
            VaultSecretSpec {
                vault_id: "vlt_1".into(),
                ..Default::default()
            }
        );
        assert_eq!(
            spec.connection_ref.kind,
            ConnectionKind::ClusterVaultConnection
        );
        assert_eq!(spec.connection_ref.name, "default");
        assert_eq!(spec.source_secret(), None);
    }

    #[test]
    fn an_empty_list_of_domains_survives_the_round_trip() {
        let status = VaultSecretStatus {
            allowed_domains: Some(vec![]),
            ..Default::default()
        };
        let json = serde_json::to_value(&status).expect("serialises");
        assert_eq!(json, serde_json::json!({"allowedDomains": []}));
        assert_eq!(
            serde_json::from_value::<VaultSecretStatus>(json).expect("valid"),
            status
        );
    }

    #[test]
    fn the_source_is_found_either_way() {
        let mut spec = VaultSecretSpec {
            value_from: Some(ValueFrom {
                secret_key_ref: Some(SecretKeyRef {
                    name: "a".into(),
                    key: "k".into(),
                }),
                template: None,
            }),
            ..Default::default()
        };
        assert_eq!(spec.source_secret(), Some("a"));
        spec.value_from = Some(ValueFrom {
            secret_key_ref: None,
            template: Some(Template {
                text: "{{ k }}".into(),
                secret_ref: SecretRef { name: "b".into() },
            }),
        });
        assert_eq!(spec.source_secret(), Some("b"));
    }
}
