//! What is rendered goes to the API server, which takes all of it and keeps none: a dry run.

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::PostParams};

use super::*;

/// The kinds of the Prometheus operator, which the API server lacks.
pub(super) async fn monitoring(cluster: &'static Cluster) {
    if cluster.is_existing() {
        // It has its own, or the tests say that they are missing: these would take their place.
        return;
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/chart/monitoring.yaml");
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", file];
    cluster.kubectl(&apply).await.ok();
    let wait = ["wait", "--for=condition=Established", "--timeout=60s", "-f"];
    cluster.kubectl(&[&wait[..], &[file]].concat()).await.ok();
}

/// A namespace that takes pods of the level `restricted` only, and warns of what would make others; with the
/// ServiceAccounts that the value sets name.
async fn restricted(cluster: &'static Cluster) -> String {
    let name = format!("t-{:08x}-chart", fastrand::u32(..));
    let level = |mode: &str| format!("pod-security.kubernetes.io/{mode}");
    let space = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {level("enforce"): "restricted", level("warn"): "restricted"}},
    });
    let account = |account: &str| json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": name}});
    let items = [space, account(RELEASE), account("vaults")];
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    let create = ["create", "-f", "-"];
    cluster.kubectl_with(&create, &list.to_string()).await.ok();
    name
}

/// What the API server would make of a pod.
async fn judged(client: &Client, namespace: &str, pod: &Value) -> Result<Pod, String> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let pod: Pod = serde_json::from_value(pod.clone()).expect("a pod");
    let answer = pods.create(&dry_run, &pod).await;
    answer.map_err(|error| error.to_string())
}

/// The line of an object that is in that namespace.
fn in_namespace(name: &str) -> String {
    format!("namespace: \"{name}\"\n")
}

/// The pod that a Deployment would make.
fn pod_of(deployment: &Value) -> Value {
    let template = &deployment["spec"]["template"];
    let mut metadata = template["metadata"].clone();
    metadata["name"] = json!("pod");
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
}

#[tokio::test]
async fn each_value_set_in_a_restricted_namespace() {
    let _guard = undisturbed().await;
    let cluster = Cluster::shared().await;
    let client = cluster.client().await;
    monitoring(cluster).await;
    let namespace = restricted(cluster).await;
    for set in SETS {
        // All in one namespace: it is the rendering that is tried, and none of it stays.
        let mut here = render(Helm::Four, set).await.replace(NAMESPACE, &namespace);
        for other in ["monitoring", "payments", "search"] {
            here = here.replace(&in_namespace(other), &in_namespace(&namespace));
        }
        let apply = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
            "-o",
            "json",
            "-f",
            "-",
        ];
        let answer = cluster.kubectl_with(&apply, &here).await;
        assert_eq!(answer.stderr, "", "{set}");
        let list: Value = serde_json::from_str(&answer.ok()).expect("JSON");
        let items = list["items"].as_array().expect("a list");
        let deployment = items.iter().find(|item| item["kind"] == "Deployment");
        let pod = pod_of(deployment.expect("one"));
        let made = judged(&client, &namespace, &pod).await;
        made.unwrap_or_else(|said| panic!("{set}: {said}"));

        // That is enforced: with one thing less it is refused.
        if set == "default" {
            for (pointer, value) in [
                ("/spec/securityContext", json!({})),
                ("/spec/containers/0/securityContext", json!({})),
                ("/spec/hostNetwork", json!(true)),
            ] {
                let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
                let mut worse = pod.clone();
                worse.pointer_mut(parent).expect("it is there")[key] = value;
                let said = judged(&client, &namespace, &worse).await;
                let said = said.expect_err(pointer);
                let expected = "violates PodSecurity \"restricted:latest\"";
                assert!(said.contains(expected), "{said}");
            }
        }
    }
    let delete = ["delete", "namespace", &namespace, "--wait=false"];
    cluster.kubectl(&delete).await.ok();
}

/// The stand-ins for the Prometheus operator's kinds are strict enough to see a misspelt field.
#[tokio::test]
async fn a_misspelt_field_of_a_monitor_is_refused() {
    let _guard = undisturbed().await;
    let cluster = Cluster::shared().await;
    monitoring(cluster).await;
    let rendered = render(Helm::Four, "everything").await;
    let monitor = rendered
        .split("\n---\n")
        .find(|document| document.contains("\nkind: ServiceMonitor\n"))
        .expect("one");
    let monitor = monitor.replace(&in_namespace("monitoring"), &in_namespace("default"));
    let apply = ["apply", "--server-side", "--dry-run=server", "-f", "-"];
    cluster.kubectl_with(&apply, &monitor).await.ok();
    let misspelt = monitor.replace("scrapeTimeout:", "scrapeTimeOut:");
    assert_ne!(misspelt, monitor);
    let said = cluster.kubectl_with(&apply, &misspelt).await.refused();
    assert!(said.contains("scrapeTimeOut"), "{said}");
}
