//! A node made of processes: for each Pod of the operator's Deployment it runs the operator of this build, with the
//! Pod's arguments and the rights of its ServiceAccount, and tells Kubernetes when that is ready. So `helm --wait`,
//! `kubectl rollout status` and a deleted Pod mean what they mean to a user.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    time::Duration,
};

use k8s_openapi::{
    api::core::v1::{Container, Pod},
    jiff::Timestamp,
};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use tokio::task::JoinHandle;

use crate::support::{operator::Launch, *};

/// How often it looks at the Pods.
const PERIOD: Duration = Duration::from_millis(100);

/// Where the Pods run, until this is dropped.
pub(super) struct Node {
    task: JoinHandle<()>,
    logs: PathBuf,
}

struct Kubelet {
    cluster: &'static Cluster,
    pods: Api<Pod>,
    namespace: String,
    api_url: String,
    logs: PathBuf,
    /// The Pods', which is there once their ServiceAccount is.
    kubeconfig: Option<PathBuf>,
    running: BTreeMap<String, Operator>,
}

impl Node {
    /// Runs the Pods of `namespace`; where their arguments name the Nairi API, `api_url` takes its place.
    pub(super) async fn start(cluster: &'static Cluster, namespace: &str, api_url: &str) -> Self {
        assert!(
            !cluster.is_existing(),
            "a cluster with nodes would run the Pods itself: unset USE_EXISTING_CLUSTER"
        );
        let logs = cluster.files().join(format!("{namespace}.pods"));
        fs::create_dir_all(&logs).expect("a folder");
        let mut kubelet = Kubelet {
            cluster,
            pods: Api::namespaced(cluster.client().await, namespace),
            namespace: namespace.to_owned(),
            api_url: api_url.to_owned(),
            logs: logs.clone(),
            kubeconfig: None,
            running: BTreeMap::new(),
        };
        let task = tokio::spawn(async move {
            let mut next = tokio::time::interval(PERIOD);
            loop {
                next.tick().await;
                kubelet.look().await;
            }
        });
        Self { task, logs }
    }

    /// A folder with the log of each Pod, in `NAME.log`.
    pub(super) fn logs(&self) -> &std::path::Path {
        &self.logs
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Kubelet {
    async fn look(&mut self) {
        let Ok(pods) = self.pods.list(&ListParams::default()).await else {
            return;
        };
        let pods: Vec<Pod> = pods
            .into_iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            .collect();
        let there: BTreeSet<String> = pods.iter().map(Pod::name_any).collect();
        let gone: Vec<String> = (self.running.keys())
            .filter(|name| !there.contains(*name))
            .cloned()
            .collect();
        for name in gone {
            if let Some(mut operator) = self.running.remove(&name) {
                operator.stop().await;
            }
        }
        for pod in &pods {
            let name = pod.name_any();
            if !self.running.contains_key(&name) {
                let operator = self.run(&name, container(pod)).await;
                self.running.insert(name.clone(), operator);
            }
            if !is_ready(pod) {
                self.report(&name, container(pod)).await;
            }
        }
    }

    /// Starts the container's command.
    async fn run(&mut self, pod: &str, container: &Container) -> Operator {
        let namespace = &self.namespace;
        let kubeconfig = if let Some(kubeconfig) = &self.kubeconfig {
            kubeconfig.clone()
        } else {
            let client = self.pods.clone().into_client();
            rights::operators_kubeconfig(self.cluster, &client, namespace).await
        };
        self.kubeconfig = Some(kubeconfig.clone());
        let args = container.args.iter().flatten().map(|arg| {
            match arg.split_once('=').map_or(&**arg, |(flag, _)| flag) {
                "--api-url" => format!("--api-url={}", self.api_url),
                // All of them are on this machine.
                "--http-addr" => "--http-addr=127.0.0.1:0".to_owned(),
                _ => arg.replace("$(POD_NAMESPACE)", namespace),
            }
        });
        let env = [
            ("KUBECONFIG".to_owned(), kubeconfig.into_os_string()),
            ("POD_NAME".to_owned(), pod.into()),
        ];
        let mut operator = Operator::new(Launch {
            program: self.cluster.operator().to_owned(),
            args: args.collect(),
            env: env.into(),
            log_file: self.logs.join(format!("{pod}.log")),
        });
        operator.start_unready();
        operator
    }

    /// Says that the container runs, and is ready if it is.
    async fn report(&self, pod: &str, container: &Container) {
        let answer = self.running[pod].get("/readyz").await;
        if answer.is_none_or(|(status, _)| status != 200) {
            return;
        }
        let (name, image) = (&container.name, &container.image);
        let now = Timestamp::now().to_string();
        let holds = |condition: &str| json!({"type": condition, "status": "True", "lastTransitionTime": now});
        let status = json!({"status": {
            "phase": "Running",
            "startTime": now,
            "conditions": [holds("Ready"), holds("ContainersReady")],
            "containerStatuses": [{
                "name": name,
                "image": image,
                "imageID": "",
                "ready": true,
                "started": true,
                "restartCount": 0,
                "state": {"running": {"startedAt": now}},
            }],
        }});
        // A Pod that goes meanwhile is nobody's concern.
        let params = PatchParams::default();
        let _ = (self.pods.patch_status(pod, &params, &Patch::Merge(status))).await;
    }
}

fn container(pod: &Pod) -> &Container {
    let spec = pod.spec.as_ref().expect("a Pod has a spec");
    spec.containers.first().expect("a Pod has a container")
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| &status.conditions);
    (conditions.flatten()).any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
