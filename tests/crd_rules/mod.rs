//! What the API server accepts of the three kinds and what it refuses, and with which words. Every rule of their
//! CustomResourceDefinitions has a case here that it refuses.

mod cases;

use std::{collections::BTreeSet, path::Path};

use crate::support::*;
use cases::*;
use kube::Client;

const GROUP: &str = "/apis/nairi.ai/v1alpha1";
const STRICT: &str = "fieldManager=test&fieldValidation=Strict";

/// Sends `body`; what the API server says if it refuses, without the name of the object.
async fn send(client: &Client, method: &str, path: &str, body: &Value) -> Option<String> {
    let content = match method {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    let request = http::Request::builder()
        .method(method)
        .uri(format!("{GROUP}{path}"))
        .header("content-type", content)
        .body(serde_json::to_vec(body).expect("JSON"))
        .expect("a request");
    match client.request::<Value>(request).await {
        Ok(_) => None,
        Err(kube::Error::Api(status)) => {
            let said = status.message.split_once(" is invalid: ");
            Some(said.map_or(&*status.message, |(_, said)| said).to_owned())
        }
        Err(error) => panic!("{error}"),
    }
}

fn path(object: &Value) -> &'static str {
    match object["kind"].as_str() {
        Some("VaultSecret") => "/namespaces/default/vaultsecrets",
        Some("VaultConnection") => "/namespaces/default/vaultconnections",
        _ => "/clustervaultconnections",
    }
}

async fn hold(cases: Vec<Case>) {
    let client = Cluster::shared().await.client().await;
    for (name, object, expected) in cases {
        let path = format!("{}?dryRun=All&{STRICT}", path(&object));
        let said = send(&client, "POST", &path, &object).await;
        assert_eq!(said, expected, "{name}: {object}");
    }
}

#[tokio::test]
async fn the_target() {
    hold(target_cases()).await;
}

#[tokio::test]
async fn the_domains() {
    hold(domain_cases()).await;
}

#[tokio::test]
async fn the_creation() {
    hold(creation_cases()).await;
}

#[tokio::test]
async fn the_source() {
    hold(source_cases()).await;
}

#[tokio::test]
async fn the_grants() {
    hold(grant_cases()).await;
}

#[tokio::test]
async fn what_is_granted() {
    hold(granted_cases()).await;
}

#[tokio::test]
async fn the_connections() {
    hold(connection_cases()).await;
}

/// A value in the object would be in Git, in an annotation and unencrypted in etcd.
#[tokio::test]
async fn a_value_in_the_object_is_refused() {
    let object = vault_secret(json!({"envKey": "A", "valueFrom": key_ref(), "value": "x"}));
    let client = Cluster::shared().await.client().await;
    let path = format!("{}?dryRun=All&{STRICT}", path(&object));
    let said = send(&client, "POST", &path, &object).await;
    assert_eq!(
        said.as_deref(),
        Some(
            "VaultSecret in version \"v1alpha1\" cannot be handled as a VaultSecret: strict decoding error: unknown field \"spec.value\""
        )
    );
}

/// What says which remote secret an object is about is fixed while it is bound, and only then.
#[tokio::test]
async fn the_binding() {
    let client = Cluster::shared().await.client().await;
    let mut object =
        vault_secret(json!({"vaultId": "vlt_1", "envKey": "A", "valueFrom": key_ref()}));
    let name = format!("bound-{:08x}", fastrand::u32(..));
    object["metadata"]["name"] = json!(name);
    let path = path(&object);
    assert_eq!(
        send(&client, "POST", &format!("{path}?{STRICT}"), &object).await,
        None
    );
    for (part, change, expected) in bound_cases() {
        let path = format!("{path}/{name}{part}?{STRICT}");
        let said = send(&client, "PATCH", &path, &change).await;
        assert_eq!(said.as_deref(), expected, "{change}");
    }
    let delete = send(&client, "DELETE", &format!("{path}/{name}"), &json!({})).await;
    assert_eq!(delete, None);
}

/// No rule without a case that it refuses.
#[test]
fn every_rule_has_a_case() {
    fn rules(schema: &Value, messages: &mut BTreeSet<String>) {
        for (name, part) in schema.as_object().into_iter().flatten() {
            if name == "x-kubernetes-validations" {
                let rules = part.as_array().expect("a list");
                messages.extend(
                    rules
                        .iter()
                        .map(|rule| rule["message"].as_str().expect("a message").to_owned()),
                );
            } else {
                rules(part, messages);
            }
        }
    }
    let mut messages = BTreeSet::new();
    for crd in vaultsecret_operator::crds::all() {
        let crd = serde_json::to_value(crd).expect("JSON");
        let versions = crd["spec"]["versions"].as_array().expect("versions");
        for version in versions {
            rules(&version["schema"]["openAPIV3Schema"], &mut messages);
        }
    }
    assert_eq!(messages.len(), 13, "{messages:#?}");
    let cases = [
        target_cases(),
        domain_cases(),
        creation_cases(),
        source_cases(),
        grant_cases(),
        granted_cases(),
        connection_cases(),
    ];
    let refused = cases
        .into_iter()
        .flatten()
        .filter_map(|(.., message)| message);
    let bound = bound_cases()
        .into_iter()
        .filter_map(|(.., message)| message.map(str::to_owned));
    let refused: Vec<_> = refused.chain(bound).collect();
    for message in messages {
        assert!(
            refused.iter().any(|refused| refused.ends_with(&message)),
            "no case for: {message}"
        );
    }
}

/// As users install them: by either kind of `kubectl apply`, in any order, again and again.
#[tokio::test]
async fn the_files_can_be_applied_again_and_again() {
    let cluster = Cluster::shared().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    let folder = folder.to_str().expect("UTF-8");
    let kinds = vaultsecret_operator::crds::all().len();
    let apply = ["apply", "-f", folder];
    cluster.kubectl(&apply).await.ok();
    let again = cluster.kubectl(&apply).await.ok();
    assert_eq!(again.matches(" unchanged").count(), kinds, "{again}");
    let server_side = ["apply", "--server-side", "-f", folder];
    cluster.kubectl(&server_side).await.ok();
    let again = cluster.kubectl(&apply).await.ok();
    assert_eq!(again.lines().count(), kinds, "{again}");
    let wait = [
        "wait",
        "--for=condition=Established",
        "--timeout=30s",
        "-f",
        folder,
    ];
    cluster.kubectl(&wait).await.ok();
}

#[tokio::test]
async fn kubectl_explains_every_kind() {
    let cluster = Cluster::shared().await;
    for (what, said) in [
        (
            "nvs.spec.allowedDomains",
            "Without it the domains are not managed here and never sent.",
        ),
        (
            "nvs.status.updatedAt",
            "When the secret last changed in the vault, as the API returned it.",
        ),
        (
            "nvc.spec.apiKeySecretRef",
            "one key of a Secret in this namespace.",
        ),
        (
            "cnvc.spec.grants",
            "Which namespaces may use this key for which vaults. Without a grant nobody may.",
        ),
    ] {
        // The API server publishes what is explained a moment after it serves the kind.
        let explained = eventually(what, SOON, || async {
            let output = cluster.kubectl(&["explain", what]).await;
            output.success.then_some(output.stdout)
        })
        .await;
        let words: Vec<_> = explained.split_whitespace().collect();
        assert!(words.join(" ").contains(said), "{explained}");
    }
}
