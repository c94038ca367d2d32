//! The YAML in the documents is what the API server, or the chart, takes.

use std::fs;

use super::{blocks, document};
use crate::support::*;

const DOCUMENTS: [&str; 6] = [
    "README.md",
    "docs/comparison.md",
    "docs/concepts.md",
    "docs/configuration.md",
    "docs/faq.md",
    "docs/getting-started.md",
];

/// A part of the spec of a VaultSecret, as a whole one.
fn whole(value_from: &str) -> String {
    let spec = value_from.trim_end().replace('\n', "\n  ");
    format!(
        "apiVersion: nairi.ai/v1alpha1\nkind: VaultSecret\nmetadata:\n  name: part\nspec:\n  vaultId: vlt_1\n  envKey: PART\n  {spec}\n"
    )
}

#[tokio::test]
async fn every_manifest_is_accepted() {
    let _undisturbed = undisturbed().await;
    let cluster = Cluster::shared().await;
    let (mut objects, mut values) = (Vec::new(), String::new());
    for name in DOCUMENTS {
        for block in blocks(&document(name), "yaml") {
            if block.starts_with("apiVersion: nairi.ai/") {
                objects.push(block.replace("namespace: payments", "namespace: default"));
            } else if block.starts_with("valueFrom:") {
                objects.push(whole(&block));
            } else {
                values.push_str(&block);
            }
        }
    }
    let apply = ["create", "--dry-run=server", "--validate=strict", "-f", "-"];
    let accepted = cluster
        .kubectl_with(&apply, &objects.join("---\n"))
        .await
        .ok();
    assert_eq!(accepted.lines().count(), objects.len(), "{accepted}");
    assert!(objects.len() >= 3, "{accepted}");

    let file = cluster.files().join("docs.values.yaml");
    fs::write(&file, values).expect("a file");
    let file = file.to_str().expect("text");
    let template = ["template", rights::RELEASE, rights::CHART, "--values", file];
    let set = ["--set", "image.repository=unused"];
    let rendered = cluster.helm(&[&template[..], &set].concat()).await.ok();
    for part in ["name: HTTPS_PROXY", "--api-ca-file=", "name: \"nairi-ca\""] {
        assert!(rendered.contains(part), "{part}: {rendered}");
    }
}
