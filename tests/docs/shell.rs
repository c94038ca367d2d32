//! A shell as the reader of a document has it: kubectl and helm are found, and the root of the repository is the
//! working directory.

use std::{
    env, fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::*;

/// `kubectl logs` asks the node, and there is none: it shows the logs of the processes that [`super::node`] runs for
/// the Pods it means. Everything else is kubectl's own.
const KUBECTL: &str = r#"#!/bin/bash
set -euo pipefail
[ "$1" = logs ] || exec KUBECTL "$@"
shift; which=()
for word; do case "$word" in --tail=*|--prefix) ;; *) which+=("$word") ;; esac; done
pods=$(KUBECTL get pods -o name "${which[@]}"); [ -n "$pods" ]
for pod in $pods; do sed "s|^|[$pod/operator] |" "LOGS/${pod#pod/}.log"; done
"#;

/// What is exported in one command is there in the next.
#[derive(Clone)]
pub(super) struct Shell {
    path: String,
    kubeconfig: PathBuf,
    variables: PathBuf,
}

impl Shell {
    /// `logs` has a file for each Pod. What the shell needs is in the folder `own`.
    pub(super) fn new(cluster: &Cluster, own: &Path, logs: &Path) -> Self {
        let tools = own.join("tools");
        fs::create_dir_all(&tools).expect("a folder");
        let real = cluster.kubectl_program().display().to_string();
        let script = KUBECTL
            .replace("KUBECTL", &real)
            .replace("LOGS", &logs.display().to_string());
        let kubectl = tools.join("kubectl");
        fs::write(&kubectl, script).expect("a file");
        fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755)).expect("its mode");
        let variables = own.join("variables");
        fs::write(&variables, "").expect("a file");
        let helm = cluster.helm_program().parent().expect("a folder");
        let path = env::var("PATH").unwrap_or_default();
        Self {
            path: format!("{}:{}:{path}", tools.display(), helm.display()),
            kubeconfig: cluster.kubeconfig().to_owned(),
            variables,
        }
    }

    /// Runs `command`, which has to end well, with `input`; what it prints.
    pub(super) async fn run(&self, command: &str, input: &str) -> String {
        let variables = self.variables.display();
        let script = format!("set -a; . {variables}\n{command}\nexport -p > {variables}");
        let mut shell = Command::new("bash");
        shell
            .args(["-euo", "pipefail", "-c", &script])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("PATH", &self.path)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let input = input.to_owned();
        let run = move || {
            let mut shell = shell.spawn().expect("bash");
            let mut stdin = shell.stdin.take().expect("piped");
            // Most commands read none.
            let _ = stdin.write_all(input.as_bytes());
            drop(stdin);
            shell.wait_with_output().expect("its output")
        };
        let output = tokio::task::spawn_blocking(run).await;
        let output = output.expect("it does not panic");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}\n{said}{complaint}");
        said
    }
}
