//! The names that kustomize generates, with `examples/gitops/nairi`.

use std::{fs, path::Path};

use super::*;

const FILES: [&str; 3] = ["kustomization.yaml", "vault-secrets.yaml", "database.env"];

/// The example in `folder`, with the namespace, the vault and the connection of the world.
fn copy(world: &World, folder: &Path) {
    for (name, files) in [
        ("app", &FILES[..]),
        ("nairi", &["kustomization.yaml", "name-reference.yaml"]),
    ] {
        fs::create_dir(folder.join(name)).expect("a new folder");
        for file in files {
            let path = format!("{name}/{file}");
            let connection = format!(
                "spec:\n  connectionRef: {{kind: VaultConnection, name: {}}}\n  vaultId: {}",
                world.connection.name, world.vault
            );
            let content = example(&path)
                .replace(
                    "spec:\n  vaultId: vlt_01KQ27AQH800XQTQPJZ0DH14SJ",
                    &connection,
                )
                .replace(
                    "namespace: payments",
                    &format!("namespace: {}", world.namespace),
                );
            fs::write(folder.join(path), content).expect("a file");
        }
    }
}

/// What kustomize makes of it, and the name of the Secret in there.
async fn build(world: &World, folder: &Path) -> (String, String) {
    let app = folder.join("app").display().to_string();
    let yaml = world.cluster.kubectl(&["kustomize", &app]).await.ok();
    let objects = documents(&yaml);
    let secret = objects.iter().find(|object| object["kind"] == "Secret");
    let secret = secret.and_then(|secret| secret["metadata"]["name"].as_str());
    let secret = secret.expect("a Secret").to_owned();
    (yaml, secret)
}

/// A value that changes in Git gives the Secret another name, and arrives as one PATCH of that value.
#[tokio::test]
async fn a_new_name_is_one_patch_of_what_changed() {
    let world = World::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    copy(&world, folder.path());
    let domains = ["*.newdomain.com"];
    let [url, reports] = ["DATABASE_URL", "REPORTING_DATABASE_URL"]
        .map(|env_key| world.remote(env_key, "old", &domains));
    let apply = [
        "apply",
        "--prune",
        "--selector=app.kubernetes.io/part-of=payments",
        "--prune-allowlist=core/v1/Secret",
        "--prune-allowlist=nairi.ai/v1alpha1/VaultSecret",
        "-f",
        "-",
    ];
    let names = ["database-url", "reporting-database-url"];
    let applied = async || {
        let (yaml, secret) = build(&world, folder.path()).await;
        let said = world.kubectl_with(&apply, &yaml).await.ok();
        for name in names {
            world.synced(name).await;
        }
        (secret, said)
    };
    let mark = world.mark().await;
    let (first, _) = applied().await;
    assert!(first.starts_with("database-") && first.len() > "database-".len());
    let seen = world.since(&mark).await;
    assert_eq!(seen.requests.writes().len(), 2);
    let value = "postgresql://app:change-me@reports.example.com/app";
    assert_eq!(world.sim.value(&reports).as_deref(), Some(value));

    let mark = world.mark().await;
    let env = folder.path().join("app/database.env");
    let changed = example("app/database.env").replace("db.example.com", "db2.example.com");
    fs::write(&env, changed).expect("a file");
    let (second, said) = applied().await;
    assert_ne!(second, first);
    assert!(said.contains(&format!("secret/{first} pruned")), "{said}");
    let left = world.secrets().get_opt(&first).await.expect("an answer");
    assert!(left.is_none(), "the old Secret is pruned");
    let seen = world.since(&mark).await;
    let value = "postgresql://app:change-me@db2.example.com/app";
    seen.sent_exactly(&[patch(&url, json!({ "value": value }))]);
    let statuses = names.map(|name| format!("patch vaultsecrets/status {name}"));
    seen.wrote_exactly(&statuses.each_ref().map(String::as_str));

    // The same once more is nothing.
    let mark = world.mark().await;
    applied().await;
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    seen.wrote_nothing();
}

/// Each place where one of our objects names a Secret or a connection follows.
#[tokio::test]
async fn every_reference_follows() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let nairi = folder.path().join("nairi");
    fs::create_dir(&nairi).expect("a new folder");
    for file in ["kustomization.yaml", "name-reference.yaml"] {
        fs::write(nairi.join(file), example(&format!("nairi/{file}"))).expect("a file");
    }
    let kustomization = "
namePrefix: prod-
components: [nairi]
resources: [objects.yaml]
secretGenerator:
  - {name: key, literals: [apiKey=nr_x]}
";
    let objects = "
apiVersion: nairi.ai/v1alpha1
kind: VaultConnection
metadata: {name: nairi}
spec: {apiKeySecretRef: {name: key, key: apiKey}}
---
apiVersion: nairi.ai/v1alpha1
kind: ClusterVaultConnection
metadata: {name: shared}
spec: {apiKeySecretRef: {namespace: default, name: key, key: apiKey}}
---
apiVersion: nairi.ai/v1alpha1
kind: VaultSecret
metadata: {name: token}
spec:
  connectionRef: {kind: VaultConnection, name: nairi}
  valueFrom: {secretKeyRef: {name: key, key: apiKey}}
---
apiVersion: nairi.ai/v1alpha1
kind: VaultSecret
metadata: {name: text}
spec:
  connectionRef: {kind: ClusterVaultConnection, name: shared}
  valueFrom: {template: {text: '{{ apiKey }}', secretRef: {name: key}}}
";
    fs::write(folder.path().join("kustomization.yaml"), kustomization).expect("a file");
    fs::write(folder.path().join("objects.yaml"), objects).expect("a file");
    let cluster = Cluster::shared().await;
    let path = folder.path().display().to_string();
    let built = documents(&cluster.kubectl(&["kustomize", &path]).await.ok());
    let of = |name: &str, path: &str| {
        let object = built
            .iter()
            .find(|it| it["metadata"]["name"] == format!("prod-{name}"));
        let object = object.unwrap_or_else(|| panic!("{name} in {built:#?}"));
        object
            .pointer(path)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let secret = built.iter().find(|it| it["kind"] == "Secret").expect("one");
    let secret = secret["metadata"]["name"].as_str().map(str::to_owned);
    assert!(
        secret
            .as_ref()
            .is_some_and(|name| name.starts_with("prod-key-"))
    );
    assert_eq!(of("nairi", "/spec/apiKeySecretRef/name"), secret);
    assert_eq!(of("shared", "/spec/apiKeySecretRef/name"), secret);
    assert_eq!(of("token", "/spec/valueFrom/secretKeyRef/name"), secret);
    assert_eq!(
        of("text", "/spec/valueFrom/template/secretRef/name"),
        secret
    );
    let connection = |name: &str| of(name, "/spec/connectionRef/name");
    assert_eq!(connection("token").as_deref(), Some("prod-nairi"));
    assert_eq!(connection("text").as_deref(), Some("prod-shared"));
}
