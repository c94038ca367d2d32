//! The cases: an object, and what the API server says of it.

#![expect(
    clippy::needless_pass_by_value,
    reason = "`json!` goes in without a reference"
)]

use serde_json::{Value, json};

// What the rules say.
const NO_TARGET: &str =
    "spec: Invalid value: nothing says which remote secret this is: set envKey, secretId, or both";
const NOTHING_MANAGED: &str =
    "spec: Invalid value: there is nothing to manage: set valueFrom, allowedDomains, or both";
const UNRESTRICTED: &str = "spec.allowedDomains: Invalid value: allowedDomains that is empty or holds \"*\" lets the secret go to any destination: name the domains, or, if that is meant, set allowUnrestricted: true";
const NO_DOMAIN: &str = "not a domain: leave out scheme, user, port, path, white space and characters that don't print, as in api.example.com or *.example.com";
const INCOMPLETE: &str = "spec.creationPolicy: Invalid value: creationPolicy: IfMissing needs envKey, valueFrom and allowedDomains, and no secretId: set what is missing, or use creationPolicy: Never";
const ONE_SOURCE: &str =
    "spec.valueFrom: Invalid value: set exactly one of secretKeyRef and template";
const NO_NAMESPACES: &str = "spec.grants[0]: Invalid value: a grant names its namespaces: set namespaces, namespaceSelector, or both";
const EMPTY_SELECTOR: &str = "spec.grants[0].namespaceSelector: Invalid value: an empty selector would let every namespace in: set matchLabels or matchExpressions, or leave namespaceSelector out";
const VALUES: &str = "spec.grants[0].namespaceSelector.matchExpressions[0]: Invalid value: In and NotIn need values; Exists and DoesNotExist take none";
const STAR_ALONE: &str = "spec.grants[0].vaultIds: Invalid value: \"*\" already means every vault: leave it alone in the list, or name the vaults";
const BOUND_VAULT: &str = "spec.vaultId: Invalid value: vaultId can't change once this object is bound to a remote secret (status.secretId): create another VaultSecret and delete this one";
const BOUND_SECRET: &str = "spec.secretId: Invalid value: secretId can't change once this object is bound to a remote secret (status.secretId): create another VaultSecret and delete this one";
const BOUND_KEY: &str = "spec.envKey: Invalid value: envKey can't change once this object is bound to a remote secret (status.secretId): create another VaultSecret and delete this one";
/// What the API server adds where a value is none the schema knows.
const UNCHECKED: &str = "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";

/// A name, the object, and what the API server says of it, `None` if it takes it.
pub(crate) type Case = (&'static str, Value, Option<String>);

fn takes(name: &'static str, object: Value) -> Case {
    (name, object, None)
}

fn refuses(name: &'static str, object: Value, message: impl Into<String>) -> Case {
    (name, object, Some(message.into()))
}

/// Where the schema refuses, the rules are not looked at, and the API server says so.
fn schema_refuses(name: &'static str, object: Value, message: &str) -> Case {
    refuses(name, object, format!("[{message}, {UNCHECKED}]"))
}

/// A VaultSecret with this `spec`, which is merged over its `vaultId`.
pub(crate) fn vault_secret(spec: Value) -> Value {
    let mut all = json!({"vaultId": "vlt_01KQ27AQH800XQTQPJZ0DH14SJ"});
    let fields = all.as_object_mut().expect("an object");
    for (name, value) in spec.as_object().expect("an object") {
        fields.insert(name.clone(), value.clone());
    }
    object("VaultSecret", all)
}

/// A ClusterVaultConnection with this grant.
fn granting(grant: Value) -> Value {
    cluster_connection(json!([grant]))
}

fn cluster_connection(grants: Value) -> Value {
    let key = json!({"namespace": "n", "name": "a", "key": "k"});
    object(
        "ClusterVaultConnection",
        json!({"apiKeySecretRef": key, "grants": grants}),
    )
}

fn object(kind: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "nairi.ai/v1alpha1",
        "kind": kind,
        "metadata": {"name": "t"},
        "spec": spec,
    })
}

/// `spec.valueFrom` with a `secretKeyRef`.
pub(crate) fn key_ref() -> Value {
    json!({"secretKeyRef": {"name": "a", "key": "k"}})
}

/// `spec.valueFrom` with a `template`.
fn template() -> Value {
    json!({"template": {"text": "x{{ a }}", "secretRef": {"name": "a"}}})
}

pub(crate) fn target_cases() -> Vec<Case> {
    let value = key_ref();
    let id = "in body should match '^[A-Za-z0-9_-]{1,128}$'";
    vec![
        refuses(
            "no target",
            vault_secret(json!({"valueFrom": value})),
            NO_TARGET,
        ),
        takes(
            "envKey",
            vault_secret(json!({"envKey": "A", "valueFrom": value})),
        ),
        takes(
            "secretId",
            vault_secret(json!({"secretId": "sec_1", "valueFrom": value})),
        ),
        takes(
            "both",
            vault_secret(json!({"secretId": "sec_1", "envKey": "A", "valueFrom": value})),
        ),
        schema_refuses(
            "no vaultId",
            object("VaultSecret", json!({"envKey": "A", "valueFrom": value})),
            "spec.vaultId: Required value",
        ),
        refuses(
            "a vaultId that is a path",
            vault_secret(json!({"vaultId": "../x", "envKey": "A", "valueFrom": value})),
            format!("spec.vaultId: Invalid value: \"../x\": spec.vaultId {id}"),
        ),
        refuses(
            "a secretId that is a path",
            vault_secret(json!({"secretId": "a/b", "valueFrom": value})),
            format!("spec.secretId: Invalid value: \"a/b\": spec.secretId {id}"),
        ),
        refuses(
            "an envKey that is no name",
            vault_secret(json!({"envKey": "a-b", "valueFrom": value})),
            "spec.envKey: Invalid value: \"a-b\": spec.envKey in body should match '^[A-Za-z_][A-Za-z0-9_]*$'",
        ),
        schema_refuses(
            "an unknown kind of connection",
            vault_secret(
                json!({"envKey": "A", "valueFrom": value, "connectionRef": {"kind": "X"}}),
            ),
            "spec.connectionRef.kind: Unsupported value: \"X\": supported values: \"VaultConnection\", \"ClusterVaultConnection\"",
        ),
        takes(
            "null for what has a default",
            vault_secret(
                json!({"envKey": "A", "valueFrom": value, "allowedDomains": null, "suspend": null, "connectionRef": null}),
            ),
        ),
    ]
}

pub(crate) fn domain_cases() -> Vec<Case> {
    let domains = |domains: Value| vault_secret(json!({"envKey": "A", "allowedDomains": domains}));
    let unrestricted = |domains: Value| {
        vault_secret(json!({"envKey": "A", "allowedDomains": domains, "allowUnrestricted": true}))
    };
    let mut cases = vec![
        refuses(
            "nothing managed",
            vault_secret(json!({"envKey": "A"})),
            NOTHING_MANAGED,
        ),
        refuses("null is absent", domains(Value::Null), NOTHING_MANAGED),
        takes("domains alone", domains(json!(["a.com"]))),
        takes("a wildcard", domains(json!(["*.x.com"]))),
        refuses("no domains", domains(json!([])), UNRESTRICTED),
        refuses("any domain", domains(json!(["a.com", "*"])), UNRESTRICTED),
        refuses(
            "any domain, otherwise",
            domains(json!(["*.*"])),
            UNRESTRICTED,
        ),
        takes("no domains, as meant", unrestricted(json!([]))),
        takes("any domain, as meant", unrestricted(json!(["*"]))),
        refuses(
            "an empty domain",
            domains(json!([""])),
            "spec.allowedDomains[0]: Invalid value: \"\": spec.allowedDomains[0] in body should be at least 1 chars long",
        ),
        refuses(
            "a domain twice",
            domains(json!(["a.com", "a.com"])),
            "spec.allowedDomains[1]: Duplicate value: \"a.com\"",
        ),
        schema_refuses(
            "101 domains",
            domains((0..101).map(|n| format!("a{n}.com")).collect()),
            "spec.allowedDomains: Too many: 101: must have at most 100 items",
        ),
        takes(
            "100 domains of 253",
            domains((0..100).map(|n| format!("{n:x<249}.com")).collect()),
        ),
    ];
    for domain in [
        "https://a.com",
        "a.com/x",
        "u@a.com",
        "a.com:443",
        "a .com",
        "a.com\n",
    ] {
        cases.push(refuses(
            "no domain",
            domains(json!([domain])),
            format!("spec.allowedDomains[0]: Invalid value: {domain:?}: {NO_DOMAIN}"),
        ));
    }
    // An answer that shows one of these counts as none.
    for (domain, shown) in [
        ("a\u{1b}[31m.com", r"a\x1b[31m.com"),
        ("a\u{7f}.com", r"a\x7f.com"),
        ("a\u{85}.com", r"a\u0085.com"),
        ("a\u{a0}.com", r"a\u00a0.com"),
        ("a\u{ad}.com", r"a\u00ad.com"),
        ("a\u{200b}.com", r"a\u200b.com"),
        ("a\u{202e}moc", r"a\u202emoc"),
        ("a\u{2066}.com", r"a\u2066.com"),
        ("\u{feff}a.com", r"\ufeffa.com"),
        ("a\u{e0041}.com", r"a\U000e0041.com"),
    ] {
        cases.push(refuses(
            "what does not print",
            domains(json!([domain])),
            format!("spec.allowedDomains[0]: Invalid value: \"{shown}\": {NO_DOMAIN}"),
        ));
    }
    for domain in ["m\u{fc}nchen.de", "\u{4f8b}\u{3048}.jp"] {
        cases.push(takes("letters of other scripts", domains(json!([domain]))));
    }
    cases
}

pub(crate) fn creation_cases() -> Vec<Case> {
    let creating = |spec: Value| {
        let mut object = vault_secret(spec);
        object["spec"]["creationPolicy"] = json!("IfMissing");
        object
    };
    let (value, domains) = (key_ref(), json!(["a.com"]));
    vec![
        takes(
            "all there",
            creating(json!({"envKey": "A", "allowedDomains": domains, "valueFrom": value})),
        ),
        takes(
            "unrestricted, as meant",
            creating(
                json!({"envKey": "A", "allowedDomains": [], "allowUnrestricted": true, "valueFrom": value}),
            ),
        ),
        refuses(
            "no domains",
            creating(json!({"envKey": "A", "valueFrom": value})),
            INCOMPLETE,
        ),
        refuses(
            "no value",
            creating(json!({"envKey": "A", "allowedDomains": domains})),
            INCOMPLETE,
        ),
        refuses(
            "no envKey",
            creating(json!({"secretId": "s", "allowedDomains": domains, "valueFrom": value})),
            INCOMPLETE,
        ),
        refuses(
            "a secretId",
            creating(
                json!({"secretId": "s", "envKey": "A", "allowedDomains": domains, "valueFrom": value}),
            ),
            INCOMPLETE,
        ),
        schema_refuses(
            "an unknown policy",
            vault_secret(json!({"envKey": "A", "valueFrom": value, "creationPolicy": "Always"})),
            "spec.creationPolicy: Unsupported value: \"Always\": supported values: \"Never\", \"IfMissing\"",
        ),
    ]
}

pub(crate) fn source_cases() -> Vec<Case> {
    let from = |source: Value| vault_secret(json!({"envKey": "A", "valueFrom": source}));
    let both =
        json!({"secretKeyRef": key_ref()["secretKeyRef"], "template": template()["template"]});
    let elsewhere = json!({"secretKeyRef": {"name": "../../kube-system/secrets/x", "key": "k"}});
    vec![
        takes("secretKeyRef", from(key_ref())),
        takes("template", from(template())),
        refuses("neither", from(json!({})), ONE_SOURCE),
        refuses("both", from(both), ONE_SOURCE),
        refuses(
            "a Secret's name that is a path",
            from(elsewhere),
            "spec.valueFrom.secretKeyRef.name: Invalid value: \"../../kube-system/secrets/x\": spec.valueFrom.secretKeyRef.name in body should match '^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'",
        ),
    ]
}

pub(crate) fn grant_cases() -> Vec<Case> {
    let named = |ids: Value| granting(json!({"namespaces": ["a"], "vaultIds": ids}));
    let selecting = |selector: Value| {
        granting(json!({"namespaces": ["a"], "namespaceSelector": selector, "vaultIds": ["v"]}))
    };
    let requiring = |requirement: Value| selecting(json!({"matchExpressions": [requirement]}));
    let labels = json!({"matchLabels": {"a": "b"}});
    let mut cases = vec![
        takes("no grants", cluster_connection(json!([]))),
        takes("by name", named(json!(["v"]))),
        takes(
            "by selector",
            granting(json!({"namespaceSelector": labels, "vaultIds": ["*"]})),
        ),
        takes(
            "by either",
            selecting(
                json!({"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "Exists"}]}),
            ),
        ),
        takes(
            "no names and a selector",
            granting(json!({"namespaces": [], "namespaceSelector": labels, "vaultIds": ["v"]})),
        ),
        takes("null for a selector", selecting(Value::Null)),
        refuses(
            "to nobody",
            granting(json!({"vaultIds": ["v"]})),
            NO_NAMESPACES,
        ),
        refuses(
            "to nobody, in a list",
            granting(json!({"namespaces": [], "vaultIds": ["v"]})),
            NO_NAMESPACES,
        ),
        takes(
            "In",
            requiring(json!({"key": "a", "operator": "In", "values": ["b"]})),
        ),
        takes(
            "Exists",
            requiring(json!({"key": "a", "operator": "Exists"})),
        ),
        refuses(
            "In without values",
            requiring(json!({"key": "a", "operator": "In"})),
            VALUES,
        ),
        refuses(
            "NotIn with no values",
            requiring(json!({"key": "a", "operator": "NotIn", "values": []})),
            VALUES,
        ),
        refuses(
            "Exists with values",
            requiring(json!({"key": "a", "operator": "Exists", "values": ["b"]})),
            VALUES,
        ),
        schema_refuses(
            "an unknown operator",
            requiring(json!({"key": "a", "operator": "Equals", "values": ["b"]})),
            "spec.grants[0].namespaceSelector.matchExpressions[0].operator: Unsupported value: \"Equals\": supported values: \"In\", \"NotIn\", \"Exists\", \"DoesNotExist\"",
        ),
    ];
    for empty in [
        json!({}),
        json!({"matchLabels": {}}),
        json!({"matchExpressions": []}),
        json!({"matchLabels": {}, "matchExpressions": []}),
    ] {
        cases.push(refuses(
            "an empty selector",
            selecting(empty),
            EMPTY_SELECTOR,
        ));
    }
    cases
}

pub(crate) fn granted_cases() -> Vec<Case> {
    let named = |ids: Value| granting(json!({"namespaces": ["a"], "vaultIds": ids}));
    let largest = json!({
        "namespaces": (0..100).map(|n| format!("n{n}")).collect::<Vec<_>>(),
        "vaultIds": (0..100).map(|n| format!("v{n}")).collect::<Vec<_>>(),
        "namespaceSelector": {"matchLabels": (0..32).map(|n| (format!("l{n}"), json!("v"))).collect::<serde_json::Map<_, _>>()},
    });
    vec![
        takes("every vault", named(json!(["*"]))),
        refuses(
            "every vault and one more",
            named(json!(["*", "v"])),
            STAR_ALONE,
        ),
        refuses(
            "a pattern of vaults",
            named(json!(["v*"])),
            "spec.grants[0].vaultIds[0]: Invalid value: \"v*\": spec.grants[0].vaultIds[0] in body should match '^(\\*|[A-Za-z0-9_-]{1,128})$'",
        ),
        refuses(
            "no vaults",
            named(json!([])),
            "spec.grants[0].vaultIds: Invalid value: 0: spec.grants[0].vaultIds in body should have at least 1 items",
        ),
        schema_refuses(
            "vaults left out",
            granting(json!({"namespaces": ["a"]})),
            "spec.grants[0].vaultIds: Required value",
        ),
        refuses(
            "a pattern of namespaces",
            granting(json!({"namespaces": ["*"], "vaultIds": ["v"]})),
            "spec.grants[0].namespaces[0]: Invalid value: \"*\": spec.grants[0].namespaces[0] in body should match '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'",
        ),
        takes(
            "100 grants of 100 and 100",
            cluster_connection(json!(vec![largest.clone(); 100])),
        ),
        schema_refuses(
            "101 grants",
            cluster_connection(json!(vec![largest; 101])),
            "spec.grants: Too many: 101: must have at most 100 items",
        ),
    ]
}

pub(crate) fn connection_cases() -> Vec<Case> {
    let connection = |key: Value| object("VaultConnection", json!({"apiKeySecretRef": key}));
    vec![
        takes("a key", connection(json!({"name": "a", "key": "apiKey"}))),
        // This kind has no rules to look at.
        refuses(
            "no key",
            connection(json!({"name": "a"})),
            "spec.apiKeySecretRef.key: Required value",
        ),
        refuses(
            "a key that is a path",
            connection(json!({"name": "a", "key": "../b"})),
            "spec.apiKeySecretRef.key: Invalid value: \"../b\": spec.apiKeySecretRef.key in body should match '^[-._a-zA-Z0-9]+$'",
        ),
    ]
}

/// What happens to one object, in this order: where it is patched, the change, and what the API server says.
pub(crate) fn bound_cases() -> Vec<(&'static str, Value, Option<&'static str>)> {
    let (spec, status) = (
        |change: Value| json!({ "spec": change }),
        |change: Value| json!({ "status": change }),
    );
    let bind = json!({
        "secretId": "sec_9", "envKey": "B", "updatedAt": "2026-04-12T18:50:00.000Z",
        "allowedDomains": ["*.newdomain.com", "a.com"],
        "lastPatch": {"time": "2025-01-01T00:00:00Z", "fields": ["value"]},
        "conditions": [{"type": "Ready", "status": "True", "reason": "Synced", "message": "m", "lastTransitionTime": "2025-01-01T00:00:00Z"}],
    });
    vec![
        // A typo can be corrected.
        ("", spec(json!({"vaultId": "vlt_2"})), None),
        ("", spec(json!({"envKey": "B"})), None),
        ("", spec(json!({"secretId": "sec_2"})), None),
        ("", spec(json!({"secretId": "sec_3"})), None),
        ("", spec(json!({"secretId": null})), None),
        ("/status", status(json!({"observedGeneration": 1})), None),
        ("", spec(json!({"vaultId": "vlt_1"})), None),
        // Bound.
        ("/status", status(bind), None),
        ("", spec(json!({"vaultId": "vlt_2"})), Some(BOUND_VAULT)),
        ("", spec(json!({"envKey": "C"})), Some(BOUND_KEY)),
        (
            "",
            spec(json!({"envKey": null, "secretId": "sec_9"})),
            Some(BOUND_KEY),
        ),
        ("", spec(json!({"secretId": "sec_9"})), None),
        ("", spec(json!({"secretId": "sec_8"})), Some(BOUND_SECRET)),
        ("", spec(json!({"secretId": null})), Some(BOUND_SECRET)),
        (
            "",
            spec(
                json!({"allowedDomains": ["a.com"], "suspend": true, "connectionRef": {"name": "other"}}),
            ),
            None,
        ),
        ("/status", status(json!({"updatedAt": "x"})), None),
        // The binding is given up, and taken up again.
        ("/status", status(json!({"secretId": null})), None),
        ("", spec(json!({"vaultId": "vlt_5"})), None),
        ("/status", status(json!({"secretId": "sec_9"})), None),
        ("", spec(json!({"vaultId": "vlt_6"})), Some(BOUND_VAULT)),
        // Whatever the API returned can be stored.
        (
            "/status",
            status(json!({"allowedDomains": ["a", "a", ""], "pendingFields": ["value", "value"]})),
            None,
        ),
    ]
}
