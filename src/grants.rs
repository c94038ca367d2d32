//! Which namespace may use a ClusterVaultConnection for which vault. Pure.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt as _};

use crate::api::Grant;

/// Every vault of the organisation.
const EVERY_VAULT: &str = "*";

/// Whether one of `grants` lets `namespace`, with these `labels`, use `vault_id`.
#[must_use]
pub fn permit(
    grants: &[Grant],
    namespace: &str,
    labels: &BTreeMap<String, String>,
    vault_id: &str,
) -> bool {
    let vault = |grant: &Grant| match grant.vault_ids.as_slice() {
        [only] if only == EVERY_VAULT => true,
        ids => ids.iter().any(|id| id == vault_id),
    };
    grants
        .iter()
        .any(|grant| vault(grant) && concerns(grant, namespace, labels))
}

/// Whether one of `grants` is for `namespace`, whatever the vault.
#[must_use]
pub fn concern(grants: &[Grant], namespace: &str, labels: &BTreeMap<String, String>) -> bool {
    grants
        .iter()
        .any(|grant| concerns(grant, namespace, labels))
}

fn concerns(grant: &Grant, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
    let Grant {
        namespaces,
        namespace_selector,
        vault_ids: _,
    } = grant;
    namespaces.iter().any(|name| name == namespace)
        || namespace_selector
            .as_ref()
            .is_some_and(|selector| selects(selector, labels))
}

/// Whether `selector` matches; one that is empty or that nobody can read matches nothing, though
/// Kubernetes' own rule is that an empty selector matches everything.
fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let empty = selector
        .match_labels
        .as_ref()
        .is_none_or(BTreeMap::is_empty)
        && selector
            .match_expressions
            .as_ref()
            .is_none_or(Vec::is_empty);
    !empty && Selector::try_from(selector.clone()).is_ok_and(|selector| selector.matches(labels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn permits(grants: Value, namespace: &str, labels: Value, vault: &str) -> bool {
        let grants: Vec<Grant> = serde_json::from_value(grants).expect("grants");
        permit(
            &grants,
            namespace,
            &serde_json::from_value(labels).expect("labels"),
            vault,
        )
    }

    #[test]
    fn no_grant_no_access() {
        assert!(!permits(json!([]), "payments", json!({}), "vlt_1"));
    }

    #[test]
    fn a_name_lets_in_for_the_named_vaults_only() {
        let grants = json!([{"namespaces": ["payments"], "vaultIds": ["vlt_1", "vlt_2"]}]);
        assert!(permits(grants.clone(), "payments", json!({}), "vlt_2"));
        assert!(!permits(grants.clone(), "payments", json!({}), "vlt_3"));
        assert!(!permits(grants, "payments-2", json!({}), "vlt_1"));
    }

    #[test]
    fn one_grant_does_not_lend_its_vaults_to_another() {
        let grants = json!([
            {"namespaces": ["payments"], "vaultIds": ["vlt_1"]},
            {"namespaces": ["search"], "vaultIds": ["vlt_2"]},
        ]);
        assert!(!permits(grants, "payments", json!({}), "vlt_2"));
    }

    #[test]
    fn a_star_means_every_vault_only_alone() {
        assert!(permits(
            json!([{"namespaces": ["a"], "vaultIds": ["*"]}]),
            "a",
            json!({}),
            "vlt_9"
        ));
        assert!(!permits(
            json!([{"namespaces": ["a"], "vaultIds": ["*", "vlt_1"]}]),
            "a",
            json!({}),
            "vlt_9"
        ));
        assert!(!permits(
            json!([{"namespaces": ["a"], "vaultIds": []}]),
            "a",
            json!({}),
            "vlt_9"
        ));
    }

    #[test]
    fn a_selector_lets_in_by_label_and_an_empty_one_nobody() {
        let by_label =
            json!([{"namespaceSelector": {"matchLabels": {"team": "x"}}, "vaultIds": ["*"]}]);
        assert!(permits(
            by_label.clone(),
            "a",
            json!({"team": "x", "b": "c"}),
            "v"
        ));
        assert!(!permits(by_label, "a", json!({"team": "y"}), "v"));
        for empty in [
            json!({}),
            json!({"matchLabels": {}}),
            json!({"matchLabels": {}, "matchExpressions": []}),
        ] {
            assert!(!permits(
                json!([{"namespaceSelector": empty, "vaultIds": ["*"]}]),
                "a",
                json!({"team": "x"}),
                "v"
            ));
        }
        let unreadable = json!([{"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}, "vaultIds": ["*"]}]);
        assert!(!permits(unreadable, "a", json!({"a": "b"}), "v"));
    }

    #[test]
    fn every_requirement_of_a_selector_counts() {
        let grants = json!([{"namespaceSelector": {
            "matchLabels": {"team": "x"},
            "matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["dev"]}],
        }, "vaultIds": ["*"]}]);
        assert!(permits(
            grants.clone(),
            "a",
            json!({"team": "x", "env": "prod"}),
            "v"
        ));
        assert!(!permits(
            grants.clone(),
            "a",
            json!({"team": "x", "env": "dev"}),
            "v"
        ));
        assert!(!permits(grants, "a", json!({"env": "prod"}), "v"));
    }
}
