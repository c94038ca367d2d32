//! A release from its installation to its end, on the real API server, with each version of helm and with both.

use super::*;

/// One release, in a namespace of its own.
struct Release<'a> {
    world: &'a World,
    namespace: String,
}

impl Release<'_> {
    /// Runs `helm VERB vaultsecret-operator …` in its namespace.
    async fn helm(&self, helm: Helm, verb: &str, args: &[&str]) -> String {
        let release = [verb, RELEASE, "--namespace", &self.namespace];
        let args = [&release[..], args].concat();
        self.world.cluster.helm_of(helm, &args).await.ok()
    }

    /// An object of the release, or what is said of its absence.
    async fn get(&self, kind: &str) -> Result<Value, String> {
        let get = ["get", kind, RELEASE, "-n", &self.namespace, "-o", "json"];
        let answer = self.world.kubectl(&get).await;
        if answer.success {
            Ok(serde_json::from_str(&answer.stdout).expect("JSON"))
        } else {
            Err(answer.stderr)
        }
    }

    async fn spec(&self, kind: &str) -> Value {
        self.get(kind).await.unwrap_or_else(|said| panic!("{said}"))["spec"].clone()
    }
}

/// The life of one release, by this version of helm, and, as others come to use helm 4, by that in the end.
async fn lives(world: &World, helm: Helm) {
    let namespace = format!("{}-{helm:?}", world.namespace).to_lowercase();
    let release = Release { world, namespace };
    let (few, many) = (values_of("default"), values_of("production"));
    // The CustomResourceDefinitions are there already, from `kubectl apply`.
    let new = ["--create-namespace", "--take-ownership", "-f", &few];
    let notes = release
        .helm(helm, "install", &[&[CHART], &new[..]].concat())
        .await;
    assert!(
        notes.contains("kubectl get clustervaultconnection default"),
        "{notes}"
    );
    assert!(notes.contains("Nothing scrapes them yet."), "{notes}");
    let installed = release.spec("deployment").await;
    assert_eq!(installed["replicas"], 2);
    let budget = release.spec("poddisruptionbudget").await;
    assert_eq!(budget["maxUnavailable"], 1);
    let declared = world.get("kept").await;

    // Its policy would be for other tests, too; the namespace `monitoring` is not there.
    let set = "admissionPolicy.enabled=false,metrics.dashboard.namespace=";
    let notes = release
        .helm(helm, "upgrade", &[CHART, "-f", &many, "--set", set])
        .await;
    assert!(
        notes.contains("Prometheus scrapes them by a PodMonitor; if it asks"),
        "{notes}"
    );
    let upgraded = release.spec("deployment").await;
    assert_eq!(upgraded["replicas"], 3);
    assert_eq!(upgraded["selector"], installed["selector"]);
    let image = &upgraded["template"]["spec"]["containers"][0]["image"];
    assert!(
        image
            .as_str()
            .is_some_and(|image| image.contains("@sha256:"))
    );
    let budget = release.spec("poddisruptionbudget").await;
    assert_eq!(
        (&budget["minAvailable"], &budget["maxUnavailable"]),
        (&json!(1), &Value::Null)
    );
    release.spec("podmonitor").await;
    release.spec("prometheusrule").await;

    release.helm(helm, "rollback", &["1"]).await;
    assert_eq!(release.spec("deployment").await, installed);
    let budget = release.spec("poddisruptionbudget").await;
    assert_eq!(
        (&budget["minAvailable"], &budget["maxUnavailable"]),
        (&Value::Null, &json!(1))
    );
    for kind in ["podmonitor", "prometheusrule"] {
        let gone = release.get(kind).await.expect_err(kind);
        assert!(gone.contains("not found"), "{gone}");
    }

    // The CustomResourceDefinitions stay when they are no part of the release any more, as when it ends with them.
    let set = format!("replicas=4,crds.enabled={}", helm == Helm::Four);
    let again = [CHART, "-f", &few, "--set", &set];
    release.helm(Helm::Four, "upgrade", &again).await;
    assert_eq!(release.spec("deployment").await["replicas"], 4);

    release.helm(Helm::Four, "uninstall", &[]).await;
    for kind in [
        "deployment",
        "poddisruptionbudget",
        "serviceaccount",
        "role",
    ] {
        let gone = release.get(kind).await.expect_err(kind);
        assert!(gone.contains("not found"), "{gone}");
    }
    for crd in vaultsecret_operator::crds::all() {
        let name = crd.metadata.name.expect("a name");
        let there = world.kubectl(&["get", "crd", &name, "-o", "json"]).await;
        let there: Value = serde_json::from_str(&there.ok()).expect("JSON");
        assert_eq!(
            there["metadata"]["deletionTimestamp"],
            Value::Null,
            "{name}"
        );
        // It was a part of this release: it stayed on purpose.
        let owner = &there["metadata"]["annotations"]["meta.helm.sh/release-namespace"];
        assert_eq!(*owner, json!(release.namespace), "{name}");
    }
    assert_eq!(world.get("kept").await.metadata, declared.metadata);
    let delete = ["delete", "namespace", &release.namespace, "--wait=false"];
    world.kubectl(&delete).await.ok();
}

/// Of a release that is installed, upgraded with other values, rolled back and uninstalled, all that should changes, and
/// nothing else does: above all no CustomResourceDefinition, and no VaultSecret.
#[tokio::test]
async fn what_is_declared_outlives_it() {
    let setup = Setup::new().without_barrier().unstarted();
    let world = setup.start().await;
    admitted::monitoring(world.cluster).await;
    let kept = world.vault_secret("kept").env_key("TOKEN");
    world.create(kept.value_from("source", "key")).await;
    for helm in Helm::ALL {
        lives(&world, helm).await;
    }
}
