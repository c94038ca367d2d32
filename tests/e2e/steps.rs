//! The steps between: a secret's life while the replicas that sync it come and go.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use nairi_sim::Entry;
use tokio::task::JoinHandle;

use crate::{
    names::Names,
    pods::Process,
    requests::{self, arrival},
    screen::Screen,
    stage::{NAMESPACE, RELEASE, SYSTEM, Stage, until},
    support::{Output, SOON},
};

const VALUE: &[&str] = &["value"];

/// How soon another replica acts after one died, at the most.
const TAKEOVER: Duration = Duration::from_secs(20);

/// Between two rotations during a rollout.
const PAUSE: Duration = Duration::from_millis(500);

impl Stage {
    pub(crate) async fn declare(&mut self, screen: &mut Screen) -> Result<(), String> {
        screen.step("Declare what DATABASE_URL shall be");
        let since = self.sim().mark();
        let began = Instant::now();
        let apply = ["apply", "--server-side", "-f", "examples/"];
        self.kubectl(screen, &apply).await?;
        let both: &[&str] = &["allowed_domains", "value"];
        let log = self.sent(screen, since, &[both], SOON).await?;
        self.synced("postgresql://app:change-me@db.example.com/app")
            .await?;
        self.kubectl(screen, &["get", "nvs", "-n", NAMESPACE])
            .await?;
        screen.good(
            "one PATCH, both fields. After kubectl was started:",
            arrival(&log, began),
        );
        let asked = self.names.as_ref().map_or(0, Names::asked);
        if asked == 0 {
            return Err("the operator got there without asking for the name".to_owned());
        }
        screen.good(
            "the image without any library resolved the name, and trusts the CA of the ConfigMap",
            None,
        );
        Ok(())
    }

    pub(crate) async fn rotate(&mut self, screen: &mut Screen) -> Result<(), String> {
        screen.step("Rotate the value");
        let since = self.sim().mark();
        let (value, answered) = self.set_value().await;
        let log = self.sent(screen, since, &[VALUE], SOON).await?;
        self.synced(&value).await?;
        screen.good(
            "one PATCH, value only. After the API server's answer to the change:",
            arrival(&log, answered),
        );
        Ok(())
    }

    pub(crate) async fn delete_the_leader(&mut self, screen: &mut Screen) -> Result<(), String> {
        screen.step("Delete the leader's Pod, and rotate at once");
        self.delete(screen, &["--wait=false"]).await?;
        screen.step("The same by force, without a grace");
        self.delete(screen, &["--force", "--grace-period=0", "--wait=false"])
            .await
    }

    async fn delete(&self, screen: &Screen, how: &[&str]) -> Result<(), String> {
        let (holder, leader) = self.leader().await?;
        let since = self.sim().mark();
        let began = Instant::now();
        let delete = [&["delete", "pod", &leader, "-n", SYSTEM], how].concat();
        self.kubectl(screen, &delete).await?;
        let (value, _) = self.set_value().await;
        self.takes_over(screen, &holder, began).await;
        let log = self.sent(screen, since, &[VALUE], TAKEOVER).await?;
        self.synced(&value).await?;
        screen.good(
            "the rotation travelled, in one PATCH. After the deletion:",
            arrival(&log, began),
        );
        let took = self.two_run(screen, 0).await?;
        screen.good("two replicas again, without a restart", Some(took));
        Ok(())
    }

    pub(crate) async fn kill_the_leader(&mut self, screen: &mut Screen) -> Result<(), String> {
        screen.step("Kill the leader's process by SIGKILL, and rotate at once");
        screen.say("It gives nothing back: its lease has to run out.");
        let (holder, leader) = self.leader().await?;
        let process = Process::all().into_iter().find(|it| it.pod == leader);
        let process = process.ok_or("the leader has no process")?;
        let since = self.sim().mark();
        let kill = ["-KILL", &process.pid];
        screen.call("kill", &kill);
        let began = Instant::now();
        let killed = Command::new("kill").args(kill).status();
        if !killed.is_ok_and(|status| status.success()) {
            return Err("it can't be killed".to_owned());
        }
        let (value, _) = self.set_value().await;
        self.takes_over(screen, &holder, began).await;
        let log = self.sent(screen, since, &[VALUE], TAKEOVER).await?;
        self.synced(&value).await?;
        let after = arrival(&log, began);
        if after.is_none_or(|after| after > TAKEOVER) {
            return Err(format!("after {after:?}, not within {TAKEOVER:?}"));
        }
        screen.good(
            "the rotation travelled, in one PATCH. After the kill:",
            after,
        );
        let took = self.two_run(screen, 1).await?;
        screen.good("the kubelet restarted its container, once", Some(took));
        Ok(())
    }

    pub(crate) async fn upgrade(&mut self, screen: &mut Screen) -> Result<(), String> {
        screen.step("Upgrade the release to other values, and rotate during the rollout");
        let before: Vec<_> = self.pods().await?.iter().map(name_of).collect();
        let since = self.sim().mark();
        let began = Instant::now();
        let mut args = vec!["upgrade".to_owned(), RELEASE.to_owned()];
        args.extend(["charts/vaultsecret-operator", "-n", SYSTEM].map(str::to_owned));
        args.extend(["--wait", "--timeout=2m", "--reuse-values"].map(str::to_owned));
        args.extend(["--set=resyncInterval=1m", "--set=logFormat=text"].map(str::to_owned));
        let said: Vec<_> = args.iter().map(String::as_str).collect();
        screen.call("helm", &said);
        let cluster = self.cluster();
        let upgrade: JoinHandle<Output> = tokio::spawn(async move {
            let args: Vec<_> = args.iter().map(String::as_str).collect();
            cluster.helm(&args).await
        });
        let mut from = Vec::new();
        let mut value = String::new();
        let mut slowest = Duration::ZERO;
        // Until the release is upgraded, and a Pod that came with it leads.
        while !upgrade.is_finished() || from.last().is_none_or(|last| before.contains(last)) {
            let answered;
            (value, answered) = self.set_value().await;
            let arrived = requests::arrived(self.sim(), since, from.len() + 1, TAKEOVER);
            let log = screen.wait("the PATCH", arrived).await.0?.writes();
            slowest = slowest.max(arrival(&log, answered).unwrap_or_default());
            from.push(log.last().and_then(|it| replica(it)).unwrap_or_default());
            tokio::time::sleep(PAUSE).await;
        }
        let upgraded = upgrade.await.map_err(|error| error.to_string())?;
        if !upgraded.success {
            return Err(format!("helm failed: {}", upgraded.stderr.trim()));
        }
        let took = began.elapsed();
        self.two_run(screen, 0).await?;
        if (self.pods().await?.iter().map(name_of)).any(|name| before.contains(&name)) {
            return Err("a Pod was not replaced".to_owned());
        }
        screen.good("both Pods were replaced, without a restart", Some(took));
        let rotations = from.len();
        requests::exactly(self.sim(), since, &vec![VALUE; rotations]).await?;
        self.synced(&value).await?;
        from.dedup();
        let from = from.join(", then ");
        screen.good(
            &format!("{rotations} rotations meanwhile, {rotations} PATCHes. The slowest:"),
            Some(slowest),
        );
        screen.say(&format!("from {from}"));
        Ok(())
    }

    /// Who leads by the Lease, and in which Pod.
    async fn leader(&self) -> Result<(String, String), String> {
        let holder = self.holder().await.ok_or("nobody holds the Lease")?;
        let pods = self.pods().await?;
        let mut names = pods.iter().map(name_of);
        let leader = names.find(|name| holder.starts_with(name.as_str()));
        let leader = leader.ok_or_else(|| format!("{holder} is none of the Pods"))?;
        Ok((holder, leader))
    }

    async fn holder(&self) -> Option<String> {
        let leases: Api<Lease> = Api::namespaced(self.cluster().client().await, SYSTEM);
        let spec = leases.get(RELEASE).await.ok()?.spec?;
        spec.holder_identity.filter(|holder| !holder.is_empty())
    }

    /// Waits until another holds the Lease. A process that was started again is another, too.
    async fn takes_over(&self, screen: &Screen, before: &str, began: Instant) {
        let other = until("another leader", || async {
            self.holder().await.filter(|holder| holder != before)
        });
        let holder = screen.wait("another leader", other).await.0;
        screen.good(&format!("{holder} took over"), Some(began.elapsed()));
    }
}

fn name_of(pod: &k8s_openapi::api::core::v1::Pod) -> String {
    pod.metadata.name.clone().unwrap_or_default()
}

/// The replica that a request says it is from.
fn replica(entry: &Entry) -> Option<String> {
    let agent = entry.header("user-agent")?;
    let (_, replica) = agent.rsplit_once('(')?;
    Some(replica.trim_end_matches(')').to_owned())
}
