//! What kstatus, Flux and Argo CD say of objects.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use serde::Deserialize;

use super::*;

/// What is said of one object.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Said {
    /// By kstatus.
    pub(super) kstatus: String,
    /// By Flux, with the expressions of `flux/tolerant.yaml`.
    pub(super) flux: String,
    /// By the health check in `argocd/argocd-cm.yaml`.
    pub(super) argo: String,
    /// What it says beside that.
    pub(super) message: String,
}

/// What is said of each of these objects.
pub(super) async fn judge(cluster: &'static Cluster, objects: Vec<Value>) -> Vec<Said> {
    let count = objects.len();
    let request = json!({"lua": checks(), "exprs": expressions(), "objects": objects}).to_string();
    let running = tokio::task::spawn_blocking(move || run(program(cluster), &request));
    let said = running.await.expect("it does not panic");
    let said: Vec<Said> = serde_json::from_str(&said).expect("verdicts");
    assert_eq!(said.len(), count);
    said
}

/// The health checks, by the names that they have in the ConfigMap.
fn checks() -> Value {
    let config = documents(&example("argocd/argocd-cm.yaml"));
    let data = config[0]["data"].as_object().expect("a ConfigMap");
    let name = |key: &String| {
        let name = key.strip_prefix("resource.customizations.health.");
        name.expect("a health check").to_owned()
    };
    let checks = data.iter().map(|(key, check)| (name(key), check.clone()));
    Value::Object(checks.collect())
}

fn expressions() -> Value {
    let kustomization = &documents(&example("flux/tolerant.yaml"))[0];
    kustomization["spec"]["healthCheckExprs"].clone()
}

/// The Go program, built once for this process: Go's cache makes that cheap.
fn program(cluster: &Cluster) -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let program = cluster.files().join("gitops");
        let status = Command::new("go")
            .args(["build", "-o"])
            .arg(&program)
            .arg(".")
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gitops"))
            .stdin(Stdio::null())
            .status()
            .unwrap_or_else(|error| panic!("go, which builds tests/gitops: {error}"));
        assert!(status.success(), "tests/gitops does not build");
        program
    })
}

fn run(program: &Path, request: &str) -> String {
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it was built");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(request.as_bytes()).expect("it reads all");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    String::from_utf8(output.stdout).expect("JSON")
}
