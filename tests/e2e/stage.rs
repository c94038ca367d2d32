//! What runs during the test, and the checks that its steps share.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};
use nairi_sim::{Entries, Mark, Sim, Stored};
use vaultsecret_operator::api::{Status, VaultSecret, condition};

use crate::{
    commands,
    names::Names,
    requests,
    screen::Screen,
    support::{Cluster, SOON, eventually, objects::wait_for},
};

// As in the files of examples/.
pub(crate) const NAMESPACE: &str = "payments";
pub(crate) const SYSTEM: &str = "vaultsecret-system";
pub(crate) const API_KEY: &str = "nr_replace-me";
pub(crate) const VAULT_ID: &str = "vlt_01KQ27AQH800XQTQPJZ0DH14SJ";
pub(crate) const ENV_KEY: &str = "DATABASE_URL";
const SECRET: &str = "database";
const VAULT_SECRET: &str = "database-url";

/// The id of that secret in the vault.
pub(crate) const SECRET_ID: &str = "sec_01KQ27AQH800XQTQPJZ0DH14SJ";

pub(crate) const RELEASE: &str = "vaultsecret-operator";

/// What runs, and the images that the node has.
pub(crate) struct Stage {
    pub(crate) images: Vec<PathBuf>,
    pub(crate) cluster: Option<&'static Cluster>,
    pub(crate) sim: Option<Sim>,
    pub(crate) names: Option<Names>,
}

impl Stage {
    pub(crate) fn new(images: Vec<PathBuf>) -> Self {
        Self {
            images,
            cluster: None,
            sim: None,
            names: None,
        }
    }

    pub(crate) fn cluster(&self) -> &'static Cluster {
        self.cluster.expect("an earlier step started it")
    }

    pub(crate) fn sim(&self) -> &Sim {
        self.sim.as_ref().expect("an earlier step started it")
    }

    /// Runs kubectl, shown with what it prints.
    pub(crate) async fn kubectl(&self, screen: &Screen, args: &[&str]) -> Result<(), String> {
        commands::kubectl(self.cluster(), screen, args).await
    }

    /// Runs kubectl, and returns what it prints.
    pub(crate) async fn ask(&self, args: &[&str]) -> Result<String, String> {
        commands::ask(self.cluster(), args).await
    }

    /// Runs helm, shown; returns what it prints.
    pub(crate) async fn helm(&self, screen: &Screen, args: &[&str]) -> Result<String, String> {
        screen.call("helm", args);
        let output = screen.wait("helm", self.cluster().helm(args)).await.0;
        if output.success {
            Ok(output.stdout)
        } else {
            Err(format!("helm failed: {}", output.stderr.trim()))
        }
    }

    /// The operator's Pods, also those that are about to go.
    pub(crate) async fn pods(&self) -> Result<Vec<Pod>, String> {
        let pods: Api<Pod> = Api::namespaced(self.cluster().client().await, SYSTEM);
        let ours = ListParams::default().labels(&format!("app.kubernetes.io/instance={RELEASE}"));
        let list = pods.list(&ours).await.map_err(|error| error.to_string())?;
        Ok(list.items)
    }

    /// Gives the source Secret a new value; returns it, and when the API server's answer was there.
    pub(crate) async fn set_value(&self) -> (String, Instant) {
        commands::set_value(self.cluster(), (NAMESPACE, SECRET)).await
    }

    /// Waits for PATCHes with just these fields, shows them, and makes sure that nothing else was written since.
    pub(crate) async fn sent(
        &self,
        screen: &Screen,
        since: Mark,
        fields: &[&[&str]],
        deadline: Duration,
    ) -> Result<Entries, String> {
        let arrived = requests::arrived(self.sim(), since, fields.len(), deadline);
        screen.wait("the PATCH", arrived).await.0?;
        let writes = requests::exactly(self.sim(), since, fields).await?.writes();
        for entry in writes.iter() {
            screen.request(&requests::request(entry));
        }
        Ok(writes)
    }

    /// Waits until the status says that the vault holds `value`.
    pub(crate) async fn synced(&self, value: &str) -> Result<(), String> {
        let stored = self.stored()?;
        if stored.value != value {
            return Err("the vault holds another value".to_owned());
        }
        let objects: Api<VaultSecret> = Api::namespaced(self.cluster().client().await, NAMESPACE);
        let as_stored = |object: Option<&VaultSecret>| {
            let status = object.and_then(|object| object.status.as_ref());
            status.is_some_and(|status| {
                let ready = condition::find(&status.conditions, condition::ConditionType::Ready);
                status.updated_at.as_ref() == Some(&stored.updated_at)
                    && ready.is_some_and(|ready| ready.status == Status::True.as_str())
            })
        };
        let object = wait_for(&objects, VAULT_SECRET, SOON, as_stored).await;
        object.flatten().map(|_| ()).ok_or_else(|| {
            let updated = stored.updated_at.clone();
            format!("the status does not say Ready with {updated}")
        })
    }

    /// What the vault holds.
    pub(crate) fn stored(&self) -> Result<Stored, String> {
        let stored = self.sim().secret(SECRET_ID);
        stored.ok_or_else(|| "the secret is gone from the vault".to_owned())
    }

    /// Waits until there are two Pods and none besides, ready, with so many restarts in all; shows them.
    pub(crate) async fn two_run(&self, screen: &Screen, restarts: i32) -> Result<Duration, String> {
        let both = until("two Pods", || async {
            let pods = self.pods().await.ok()?;
            (pods.len() == 2 && pods.iter().all(is_ready)).then_some(pods)
        });
        let (pods, took) = screen.wait("both replicas", both).await;
        self.kubectl(screen, &["get", "pods", "-n", SYSTEM, "-o", "wide"])
            .await?;
        let restarted: i32 = pods.iter().map(restarts_of).sum();
        if restarted == restarts {
            Ok(took)
        } else {
            Err(format!("{restarted} restarts, not {restarts}"))
        }
    }

    /// What somebody needs who wants to go on alone: everything is in namespaces that only a process of theirs sees.
    pub(crate) fn introduce(&self, screen: &Screen) {
        screen.say("");
        screen.title(
            "It keeps running until you press Enter or Ctrl-C. In another terminal, as root:",
        );
        screen.command("nsenter --all --target \"$(pgrep -fo init-sandbox)\"");
        let cluster = self.cluster();
        let kubeconfig = cluster.kubeconfig().display();
        screen.command(&format!("export KUBECONFIG={kubeconfig}"));
        let kubectl = cluster.kubectl_program().display();
        screen.command(&format!("{kubectl} get pods -A -o wide"));
    }

    /// What the Pods are like, for whoever has to find out why a step failed.
    pub(crate) async fn explain(&self, screen: &Screen) {
        if self.cluster.is_none() {
            return;
        }
        let label = format!("app.kubernetes.io/instance={RELEASE}");
        for args in [
            &["get", "pods", "-A", "-o", "wide"][..],
            &["get", "events", "-n", SYSTEM, "--sort-by=.lastTimestamp"],
            &["logs", "-n", SYSTEM, "-l", &label, "--tail=15", "--prefix"],
        ] {
            if let Ok(text) = self.ask(args).await {
                screen.call("kubectl", args);
                screen.output(&text);
            }
        }
    }

    /// The end, in any case; `tidy` removes the logs as well.
    pub(crate) async fn end(&mut self, tidy: bool) {
        if let Some(cluster) = self.cluster.take() {
            cluster.end().await;
            if tidy {
                let _ = std::fs::remove_dir_all(cluster.files());
            }
        }
        if let Some(sim) = self.sim.take() {
            sim.stop().await;
        }
        self.names = None;
    }
}

/// Waits for what a check finds, for as long as an image takes to start on a busy machine.
pub(crate) async fn until<T, F>(what: &str, check: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    eventually(what, 2 * SOON, check).await
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|it| it.conditions.as_ref());
    conditions.is_some_and(|all| {
        all.iter()
            .any(|it| it.type_ == "Ready" && it.status == "True")
    })
}

fn restarts_of(pod: &Pod) -> i32 {
    let statuses = pod
        .status
        .as_ref()
        .and_then(|it| it.container_statuses.as_ref());
    statuses.map_or(0, |all| all.iter().map(|it| it.restart_count).sum())
}
