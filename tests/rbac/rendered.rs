//! Which manifests the chart has under which values.

use std::collections::BTreeSet;

use super::*;

/// Kind, namespace and name of all that is about rights, of a release in namespace `here`; each once.
async fn rights(set: &[&str]) -> BTreeSet<String> {
    let cluster = Cluster::shared().await;
    let rendered = rights::render(cluster, "here", set).await;
    let read = ["create", "--dry-run=client", "-o", "json", "-f", "-"];
    let objects = cluster.kubectl_with(&read, &rendered).await.ok();
    let mut found = BTreeSet::new();
    for object in serde_json::Deserializer::from_str(&objects).into_iter::<Value>() {
        let object = object.expect("JSON");
        for object in object["items"].as_array().unwrap_or(&vec![object.clone()]) {
            if object["apiVersion"] != "rbac.authorization.k8s.io/v1" {
                continue;
            }
            let meta = &object["metadata"];
            let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            let (kind, namespace) = (text(&object["kind"]), text(&meta["namespace"]));
            let is_new = found.insert(format!("{kind} {namespace} {}", text(&meta["name"])));
            assert!(is_new, "twice under {set:?}: {meta}");
        }
    }
    found
}

fn all(lists: &[&[&str]]) -> BTreeSet<String> {
    lists.concat().into_iter().map(str::to_owned).collect()
}

const OPERATOR: [&str; 4] = [
    "ClusterRole - here:vaultsecret-operator",
    "ClusterRoleBinding - here:vaultsecret-operator",
    "Role here vaultsecret-operator",
    "RoleBinding here vaultsecret-operator",
];

const PEOPLE: [&str; 2] = [
    "ClusterRole - here:vaultsecret-operator:edit",
    "ClusterRole - here:vaultsecret-operator:view",
];

/// A Role beside that of the release, and its binding.
macro_rules! beside {
    ($namespace:literal) => {
        [
            concat!("Role ", $namespace, " here:vaultsecret-operator"),
            concat!("RoleBinding ", $namespace, " here:vaultsecret-operator"),
        ]
    };
}

#[tokio::test]
async fn each_value_brings_its_own() {
    let (one, here, default) = (beside!("one"), beside!("here"), beside!("default"));
    for (set, expected) in [
        (vec![], all(&[&OPERATOR, &PEOPLE])),
        (vec!["rbac.create=false"], all(&[&PEOPLE])),
        (vec!["rbac.aggregate=false"], all(&[&OPERATOR])),
        (vec!["rbac.create=false", "rbac.aggregate=false"], all(&[])),
        (
            vec![
                "rbac.create=false",
                "rbac.aggregate=false",
                "watchNamespaces={one}",
            ],
            all(&[]),
        ),
        (
            vec!["watchNamespaces={one}"],
            all(&[&OPERATOR, &PEOPLE, &one, &default]),
        ),
        // Named twice; the release's own; the one in which Kubernetes keeps events.
        (
            vec!["watchNamespaces={one,one,here,default}"],
            all(&[&OPERATOR, &PEOPLE, &one, &here, &default]),
        ),
    ] {
        assert_eq!(rights(&set).await, expected, "{set:?}");
    }
}
