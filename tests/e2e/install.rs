//! The first steps and the last: the node, the vault, the release, and its end.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    time::Instant,
};

use nairi_sim::{NewSecret, NewVault, Options, Sim, Tls};
use serde_json::Value;

use crate::{
    names::Names,
    pods::Process,
    screen::Screen,
    stage::{API_KEY, ENV_KEY, NAMESPACE, RELEASE, SECRET_ID, SYSTEM, Stage, VAULT_ID, until},
    support::Cluster,
};

/// The node, as its Pods see it; as in tests/cluster/sandbox.go.
const NODE: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
const DNS: u16 = 53;
/// Where the API is said to be.
const API_NAME: &str = "api.nairi.example";
/// The ConfigMap with the CA that the API's certificate is signed by.
const API_CA: &str = "nairi-ca";
const CHART: &str = "charts/vaultsecret-operator";
/// The image of the operator, without its tag.
const IMAGE: &str = "localhost/vaultsecret-operator";
/// Both replicas may take this much, idle, each.
const LIGHTER_THAN: u64 = 20_000_000;

impl Stage {
    pub(crate) async fn node(&mut self, screen: &mut Screen) -> Result<(), String> {
        screen.step("A Kubernetes of one node: control plane, scheduler, containerd, kubelet");
        let start = Cluster::with_node(self.images.clone());
        let (cluster, took) = screen.wait_beside("the node to be ready", start).await;
        self.cluster = Some(cluster);
        self.kubectl(screen, &["get", "nodes", "-o", "wide"])
            .await?;
        screen.good("the node is Ready", Some(took));
        for image in &self.images {
            let size =
                fs::metadata(image).map_err(|error| format!("{}: {error}", image.display()))?;
            screen.say(&format!(
                "its images, without a registry: {} ({})",
                image.display(),
                megabytes(size.len())
            ));
        }
        Ok(())
    }

    pub(crate) async fn vault(&mut self, screen: &mut Screen) -> Result<(), String> {
        screen.step("The Nairi API: a simulator with HTTPS, and a name server that knows its name");
        let began = Instant::now();
        let tls = Tls {
            names: vec![API_NAME.to_owned()],
            ..Tls::default()
        };
        let sim = Sim::try_start(Options {
            listen: SocketAddr::from((NODE, 0)),
            api_key: Some(API_KEY.to_owned()),
            tls: Some(tls),
            ..Options::default()
        })
        .await
        .map_err(|error| format!("the simulator: {error}"))?;
        sim.add_vault(NewVault {
            id: Some(VAULT_ID.to_owned()),
            ..NewVault::default()
        });
        let old = NewSecret::new(ENV_KEY, "made-by-hand-long-ago", &["*.olddomain.com"]);
        sim.add_secret(VAULT_ID, old.with_id(SECRET_ID));
        let names = Names::serve(SocketAddr::from((NODE, DNS)), API_NAME, NODE).await;
        self.names = Some(names.map_err(|error| format!("the name server: {error}"))?);
        screen.good(
            &format!("{API_NAME} is {NODE}; its vault has an old secret {ENV_KEY}"),
            Some(began.elapsed()),
        );
        self.sim = Some(sim);
        Ok(())
    }

    pub(crate) async fn install(&mut self, screen: &mut Screen) -> Result<(), String> {
        screen.step("Install the chart into a namespace that enforces the level restricted");
        self.kubectl(screen, &["create", "namespace", SYSTEM])
            .await?;
        let enforce = "pod-security.kubernetes.io/enforce=restricted";
        self.kubectl(screen, &["label", "namespace", SYSTEM, enforce])
            .await?;
        let ca = self.sim().ca_pem().ok_or("the simulator has no CA")?;
        let ca = format!("--from-literal=ca.crt={ca}");
        self.ask(&["create", "configmap", API_CA, "-n", SYSTEM, &ca])
            .await?;
        screen.say(&format!(
            "the ConfigMap {API_CA} holds the CA of the API's certificate"
        ));
        let began = Instant::now();
        let values = self.values();
        let mut args = vec!["install", RELEASE, CHART, "-n", SYSTEM];
        args.extend(["--wait", "--timeout=2m"]);
        args.extend(values.iter().map(String::as_str));
        self.helm(screen, &args).await?;
        let took = began.elapsed();
        self.two_run(screen, 0).await?;
        screen.good(
            "helm install --wait ended well: two Pods, Running and ready, no restarts",
            Some(took),
        );
        Ok(())
    }

    /// The values that this node and this API take.
    pub(crate) fn values(&self) -> Vec<String> {
        let port = self.sim().address().port();
        vec![
            format!("--set=image.repository={IMAGE}"),
            "--set=image.pullPolicy=Never".to_owned(),
            format!("--set=apiUrl=https://{API_NAME}:{port}"),
            format!("--set=apiCa.configMapName={API_CA}"),
        ]
    }

    pub(crate) async fn look_inside(&self, screen: &mut Screen) -> Result<(), String> {
        screen.step("Look at the processes from the node");
        let processes = until("two processes", || async {
            Some(Process::all()).filter(|all| all.len() == 2)
        })
        .await;
        for process in &processes {
            let wrong = process.too_free();
            if !wrong.is_empty() {
                return Err(format!("{}: {}", process.pod, wrong.join("; ")));
            }
        }
        screen.good(
            "user 65532, no capability, no new privileges, seccomp, a root that is read-only",
            None,
        );
        for process in &processes {
            let resident = process.resident();
            let text = format!("{}: {} resident", process.pod, megabytes(resident));
            if resident >= LIGHTER_THAN {
                return Err(format!("{text}, not under {}", megabytes(LIGHTER_THAN)));
            }
            screen.good(&text, None);
        }
        Ok(())
    }

    pub(crate) async fn uninstall(&mut self, screen: &mut Screen) -> Result<(), String> {
        screen.step("Uninstall the release");
        let since = self.sim().mark();
        let began = Instant::now();
        self.helm(
            screen,
            &["uninstall", RELEASE, "-n", SYSTEM, "--wait", "--timeout=2m"],
        )
        .await?;
        let gone = until("no Pod of the operator", || async {
            let none = self.pods().await.ok()?.is_empty() && Process::all().is_empty();
            none.then_some(())
        });
        screen.wait("the Pods to end", gone).await;
        screen.good(
            "the Pods and their processes are gone",
            Some(began.elapsed()),
        );
        self.kubectl(screen, &["get", "crds"]).await?;
        self.kubectl(screen, &["get", "nvs", "-n", NAMESPACE])
            .await?;
        let objects: Value = self.json(&["get", "nvs", "-n", NAMESPACE]).await?;
        let deleted = objects["items"][0]["metadata"]["deletionTimestamp"].is_string();
        if objects["items"].as_array().map(Vec::len) != Some(1) || deleted {
            return Err("the VaultSecret is not there as it was".to_owned());
        }
        screen.good(
            "the CustomResourceDefinitions and the VaultSecret stay",
            None,
        );
        self.stored()?;
        if !self.sim().log().since(since).writes().is_empty() {
            return Err("something was written to the vault".to_owned());
        }
        screen.good("nothing was deleted in the vault, nor changed", None);
        Ok(())
    }

    async fn json(&self, args: &[&str]) -> Result<Value, String> {
        let args = [args, &["-o", "json"]].concat();
        let text = self.ask(&args).await?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}
