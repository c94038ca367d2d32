//! docs/gitops.md: what it shows is what the examples hold, the examples are what they should be, and its commands work.

use std::{collections::BTreeSet, fs, path::Path};

use super::{blocks, commands::shell, document};
use crate::support::*;

/// Every file of examples/gitops: its path there and its content.
fn examples() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/gitops");
    let folders = fs::read_dir(&root).expect("a folder");
    let files = folders.flat_map(|folder| {
        let folder = folder.expect("an entry").path();
        fs::read_dir(folder).expect("a folder")
    });
    let content = |file: std::io::Result<fs::DirEntry>| {
        let path = file.expect("an entry").path();
        let name = path.strip_prefix(&root).expect("below").display();
        (name.to_string(), fs::read_to_string(&path).expect("text"))
    };
    files.map(content).collect()
}

/// The documents of all YAML files there.
fn objects() -> Vec<(String, Value)> {
    let mut objects = Vec::new();
    for (name, content) in examples() {
        if Path::new(&name)
            .extension()
            .is_some_and(|end| end == "yaml")
        {
            let documents: Vec<Value> = serde_saphyr::from_multiple(&content)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            objects.extend(documents.into_iter().map(|object| (name.clone(), object)));
        }
    }
    objects
}

#[test]
fn what_it_shows_is_in_the_examples() {
    let (shown, examples) = (blocks(&document("docs/gitops.md"), "yaml"), examples());
    assert_eq!(shown.len(), 6);
    for block in shown {
        let found = examples.iter().any(|(_, content)| content.contains(&block));
        assert!(found, "in no file of examples/gitops:\n{block}");
    }
}

#[test]
fn each_example_is_named() {
    let gitops = document("docs/gitops.md");
    for (name, content) in examples() {
        // These are shown, or are what others name.
        let known = [
            "app/database.env",
            "app/vault-secrets.yaml",
            "flux/operator.yaml",
        ];
        let named = gitops.contains(&format!("../examples/gitops/{name}"));
        assert!(named || known.contains(&&*name), "{name}\n{content}");
    }
}

/// What the kinds that no API server here knows must have, as far as anything can be known without it.
#[test]
fn the_tools_own_kinds_are_complete() {
    let mut kinds = BTreeSet::new();
    for (file, object) in objects() {
        let text = |path: &str| {
            object
                .pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let kind = format!("{} {}", text("/apiVersion"), text("/kind"));
        let needs: &[&str] = match &*kind {
            "source.toolkit.fluxcd.io/v1 GitRepository" => {
                &["/spec/interval", "/spec/url", "/spec/ref/branch"]
            }
            "helm.toolkit.fluxcd.io/v2 HelmRelease" => &[
                "/spec/interval",
                "/spec/chart/spec/chart",
                "/spec/chart/spec/sourceRef/name",
                "/spec/values/image/repository",
            ],
            "kustomize.toolkit.fluxcd.io/v1 Kustomization" => {
                assert_eq!(object["spec"]["prune"], true, "{file}");
                &[
                    "/spec/interval",
                    "/spec/timeout",
                    "/spec/path",
                    "/spec/sourceRef/kind",
                ]
            }
            "argoproj.io/v1alpha1 Application" => &[
                "/spec/project",
                "/spec/source/repoURL",
                "/spec/source/path",
                "/spec/destination/server",
                "/spec/destination/namespace",
            ],
            "v1 ConfigMap" => &["/data/resource.customizations.health.nairi.ai_VaultSecret"],
            // Kustomize and the API server judge these: tests/gitops/generated.rs.
            "kustomize.config.k8s.io/v1alpha1 Component"
            | "kustomize.config.k8s.io/v1beta1 Kustomization"
            | "nairi.ai/v1alpha1 VaultSecret"
            | " " => continue,
            other => panic!("{file}: {other}"),
        };
        for path in needs
            .iter()
            .chain(&["/metadata/name", "/metadata/namespace"])
        {
            if !(kind == "v1 ConfigMap" && path.contains('/')) {
                assert_ne!(text(path), "", "{file}: {kind} has no {path}");
            }
        }
        kinds.insert(kind);
    }
    assert_eq!(kinds.len(), 5);
}

/// Each Kustomization waits for one that there is.
#[test]
fn each_dependency_is_there() {
    let kustomizations = objects()
        .into_iter()
        .filter(|(file, _)| file == "flux/kustomizations.yaml");
    let kustomizations: Vec<_> = kustomizations.map(|(_, object)| object).collect();
    let name = |object: &Value| {
        object["metadata"]["name"]
            .as_str()
            .expect("a name")
            .to_owned()
    };
    let names: BTreeSet<_> = kustomizations.iter().map(name).collect();
    assert_eq!(names.len(), 3);
    let on = kustomizations.iter().flat_map(|it| {
        it["spec"]["dependsOn"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    });
    let on: Vec<_> = on
        .map(|it| it["name"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(on.len(), 2);
    assert!(on.iter().all(|name| names.contains(name)), "{on:?}");
}

/// The three health checks are one and the same.
#[test]
fn one_health_check_for_all_kinds() {
    let config = objects()
        .into_iter()
        .find(|(file, _)| file == "argocd/argocd-cm.yaml");
    let (_, config) = config.expect("it is there");
    let data = config["data"].as_object().expect("a ConfigMap");
    let checks: BTreeSet<_> = data.values().filter_map(Value::as_str).collect();
    assert_eq!((data.len(), checks.len()), (3, 1));
}

#[tokio::test]
async fn its_commands_work() {
    let world = Setup::new().without_barrier().start().await;
    world.create_secret("source", &[("key", "value")]).await;
    let id = world.remote("TOKEN", "old", &["api.example.com"]);
    let declared = world.vault_secret("token").env_key("TOKEN");
    world.create(declared.value_from("source", "key")).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let backup = folder.path().join("backup.json").display().to_string();
    let here = |command: &String| {
        command
            .replace("NAMESPACE", &world.namespace)
            .replace("NAME", "token")
            .replace("-n argocd", &format!("-n {}", world.namespace))
            .replace("backup.json", &backup)
    };
    let commands: Vec<_> = blocks(&document("docs/gitops.md"), "sh")
        .iter()
        .map(here)
        .collect();
    let [check, wait, save] = &commands[..] else {
        panic!("each has to be tried here: {commands:#?}");
    };
    shell(&world, wait).await;
    assert_eq!(world.sim.value(&id).as_deref(), Some("value"));

    // The patch keeps what the ConfigMap holds. The file names the namespace, which is another here.
    let create = [
        "create",
        "configmap",
        "argocd-cm",
        "--from-literal=url=theirs",
    ];
    world.kubectl(&create).await.ok();
    let file = "examples/gitops/argocd/argocd-cm.yaml";
    let patched = folder.path().join("patch.yaml");
    let content = document(file).replace(
        "namespace: argocd",
        &format!("namespace: {}", world.namespace),
    );
    fs::write(&patched, content).expect("a file");
    shell(&world, &check.replace(file, &patched.display().to_string())).await;
    let map = world
        .kubectl(&["get", "configmap", "argocd-cm", "-o", "json"])
        .await
        .ok();
    let map: Value = serde_json::from_str(&map).expect("JSON");
    assert_eq!(map["data"].as_object().map(serde_json::Map::len), Some(4));

    // What was saved can be applied, and finds its secret.
    shell(&world, save).await;
    world.delete("token").await;
    world.gone("token").await;
    let mark = world.mark_now();
    world
        .kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &backup])
        .await
        .ok();
    world.synced("token").await;
    let sent = world.requests().since(mark.sim).writes();
    let sent: Vec<_> = sent.iter().map(|entry| Sent::from(&**entry)).collect();
    assert_eq!(sent, [patch(&id, json!({"value": "value"}))]);
}
