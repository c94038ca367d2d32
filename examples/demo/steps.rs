//! The steps of the demo, in order. Each says what it does, does it, and checks what came of it.

use std::time::{Duration, Instant};

use nairi_sim::{NewSecret, NewVault, Options, Sim};
use serde_json::Value;

use crate::{
    requests::arrival,
    screen::{Screen, span},
    stage::{Stage, release_binary},
    support::{Cluster, Operator, Spaces, Watched, operator::Launch, rights::prepare},
};

// As in the files of examples/.
pub(crate) const NAMESPACE: &str = "payments";
pub(crate) const SYSTEM: &str = "vaultsecret-system";
pub(crate) const SECRET: &str = "database";
pub(crate) const VAULT_SECRET: &str = "database-url";
const API_KEY: &str = "nr_replace-me";
pub(crate) const VAULT_ID: &str = "vlt_01KQ27AQH800XQTQPJZ0DH14SJ";
const ENV_KEY: &str = "DATABASE_URL";

/// The id of that secret in the vault.
pub(crate) const SECRET_ID: &str = "sec_01KQ27AQH800XQTQPJZ0DH14SJ";

const ROTATIONS: usize = 20;
const FASTER_THAN: Duration = Duration::from_millis(100);
const LIGHTER_THAN: u64 = 20_000_000;

impl Stage {
    pub(crate) async fn control_plane(&mut self, screen: &mut Screen) -> Result<(), String> {
        screen.step("A Kubernetes control plane: etcd, API server, controller manager");
        let (cluster, took) = screen
            .wait_beside("the API server to serve", Cluster::shared())
            .await;
        self.cluster = Some(cluster);
        let version = self.ask(&["version", "-o", "json"]).await?;
        let version: Value =
            serde_json::from_str(&version).map_err(|error| format!("kubectl version: {error}"))?;
        let version = version["serverVersion"]["gitVersion"]
            .as_str()
            .unwrap_or("a version unknown");
        screen.good(
            &format!("{version}, with the CustomResourceDefinitions"),
            Some(took),
        );
        Ok(())
    }

    pub(crate) async fn vault(&mut self, screen: &mut Screen) -> Result<(), String> {
        screen.step("The Nairi API: a simulator that logs every request");
        let began = Instant::now();
        let sim = Sim::try_start(Options {
            api_key: Some(API_KEY.to_owned()),
            control: true,
            ..Options::default()
        })
        .await
        .map_err(|error| format!("the simulator: {error}"))?;
        sim.add_vault(NewVault {
            id: Some(VAULT_ID.to_owned()),
            ..NewVault::default()
        });
        let value = "postgresql://made-by-hand-long-ago";
        let old = NewSecret::new(ENV_KEY, value, &["*.olddomain.com"]);
        sim.add_secret(VAULT_ID, old.with_id(SECRET_ID));
        self.values.push(value.to_owned());
        screen.good(
            &format!("{}; its vault has an old secret {ENV_KEY}", sim.url()),
            Some(began.elapsed()),
        );
        self.sim = Some(sim);
        Ok(())
    }

    pub(crate) async fn start(&mut self, screen: &mut Screen) -> Result<(), String> {
        screen.step("The operator: its release binary, with the chart's ServiceAccount and RBAC");
        let cluster = self.cluster();
        let client = cluster.client().await;
        let spaces = Spaces {
            namespace: NAMESPACE,
            system: SYSTEM,
            neighbours: &[],
        };
        let rights = prepare(cluster, &client, &spaces, Watched::All);
        let (kubeconfig, took) = screen
            .wait("the rights of the ServiceAccount", rights)
            .await;
        screen.good("the roles of the chart, and a token", Some(took));
        let args = [
            "run",
            &format!("--namespace={SYSTEM}"),
            &format!("--api-url={}", self.sim().url()),
            "--http-addr=127.0.0.1:0",
        ];
        let mut operator = Operator::new(Launch {
            program: release_binary()?,
            args: args.map(str::to_owned).to_vec(),
            env: [("KUBECONFIG".to_owned(), kubeconfig.into_os_string())].into(),
            log_file: cluster.files().join("operator.log"),
        });
        let ((), took) = screen
            .wait("the operator to be ready", operator.start())
            .await;
        self.operator = Some(operator);
        screen.good("started and ready", Some(took));
        Ok(())
    }

    pub(crate) async fn declare(&mut self, screen: &mut Screen) -> Result<(), String> {
        screen.step("Declare what DATABASE_URL shall be");
        let since = self.moment();
        let began = Instant::now();
        let apply = ["apply", "--server-side", "-f", "examples/"];
        self.kubectl(screen, &apply).await?;
        let both: &[&str] = &["allowed_domains", "value"];
        let log = self.sent(screen, &since, &[both]).await?;
        screen.good(
            "one PATCH, both fields: both differed. After kubectl was started:",
            arrival(&log, began),
        );
        self.values.push(self.stored()?.value);
        let object = self.synced().await?;
        let get = ["get", "vaultsecrets", "-n", NAMESPACE];
        self.kubectl(screen, &get).await?;
        let shown = object.status.and_then(|status| status.updated_at);
        let answered = self.stored()?.updated_at;
        if shown.as_ref() != Some(&answered) {
            return Err(format!("status.updatedAt is {shown:?}, not {answered}"));
        }
        screen.good("status.updatedAt is what the API answered, verbatim", None);
        Ok(())
    }

    pub(crate) async fn rotate(&mut self, screen: &mut Screen) -> Result<(), String> {
        screen.step("Rotate the value: the key url of Secret database changes");
        let since = self.moment();
        let (value, answered) = self.set_value().await;
        let log = self.sent(screen, &since, &[&["value"]]).await?;
        screen.good(
            "one PATCH, value only. After the API server's answer to the change:",
            arrival(&log, answered),
        );
        if self.stored()?.value != value {
            return Err("the vault holds another value".to_owned());
        }
        self.synced().await?;
        Ok(())
    }

    pub(crate) async fn redirect(&mut self, screen: &mut Screen) -> Result<(), String> {
        screen.step("Change the domains: the value is not sent along");
        let since = self.moment();
        let began = Instant::now();
        let domains = r#"{"spec":{"allowedDomains":["api.newdomain.com"]}}"#;
        let patch = ["patch", "nvs", VAULT_SECRET, "-n", NAMESPACE];
        let patch = [&patch[..], &["--type=merge", "-p", domains]].concat();
        self.kubectl(screen, &patch).await?;
        let log = self.sent(screen, &since, &[&["allowed_domains"]]).await?;
        screen.say("PATCH {} is a read: has somebody else written meanwhile?");
        screen.good(
            "one PATCH, allowed_domains only. After kubectl was started:",
            arrival(&log, began),
        );
        self.synced().await?;
        Ok(())
    }

    pub(crate) async fn touch(&mut self, screen: &mut Screen) -> Result<(), String> {
        screen.step("Change what is no business of the vault's");
        let since = self.moment();
        let before = self.passes().await;
        for kind in [["vaultsecret", VAULT_SECRET], ["secret", SECRET]] {
            let label = ["label", kind[0], kind[1], "-n", NAMESPACE, "tier=gold"];
            self.kubectl(screen, &label).await?;
        }
        let key = r#"{"stringData":{"note":"another key of the Secret"}}"#;
        let patch = ["patch", "secret", SECRET, "-n", NAMESPACE, "-p", key];
        self.kubectl(screen, &patch).await?;
        self.looked(screen, before).await?;
        self.nothing(screen, &since).await
    }

    pub(crate) async fn restart(&mut self, screen: &mut Screen) -> Result<(), String> {
        screen.step("Restart the operator");
        let since = self.moment();
        let stop = self.operator_mut().stop();
        let ((), took) = screen.wait("the operator to end", stop).await;
        screen.good("SIGTERM: ended with status 0", Some(took));
        let start = self.operator_mut().start();
        let ((), took) = screen.wait("the operator to be ready", start).await;
        screen.good("started and ready", Some(took));
        self.looked(screen, 0.0).await?;
        self.nothing(screen, &since).await
    }

    pub(crate) async fn rotate_often(&mut self, screen: &mut Screen) -> Result<(), String> {
        screen.step(&format!("Rotate {ROTATIONS} times, one after another"));
        let since = self.moment();
        let series = async {
            let mut times = Vec::new();
            for rotation in 1..=ROTATIONS {
                let (_, answered) = self.set_value().await;
                let log = self.arrived(&since, rotation).await?;
                times.push(arrival(&log, answered).unwrap_or_default());
                self.synced().await?;
            }
            Ok::<_, String>(times)
        };
        let (times, took) = screen.wait("the rotations", series).await;
        let mut times = times?;
        self.exactly(&since, &vec![&["value"][..]; ROTATIONS])
            .await?;
        screen.good(
            &format!("{ROTATIONS} PATCHes, value only, each once"),
            Some(took),
        );
        times.sort();
        let median = (times[(ROTATIONS - 1) / 2] + times[ROTATIONS / 2]) / 2;
        if median >= FASTER_THAN {
            let limit = span(FASTER_THAN);
            return Err(format!("the median is {}, not under {limit}", span(median)));
        }
        screen.good(
            "median, from the API server's answer to the PATCH's arrival",
            Some(median),
        );
        let (least, most) = (span(times[0]), span(times[ROTATIONS - 1]));
        screen.say(&format!("fastest: {least}; slowest: {most}"));
        Ok(())
    }

    pub(crate) fn weigh(&self, screen: &mut Screen) -> Result<(), String> {
        screen.step("Weigh it, idle");
        let resident = self.operator().rss_kib() * 1024;
        let megabytes = format!("{}.{}", resident / 1_000_000, resident / 100_000 % 10);
        let limit = LIGHTER_THAN / 1_000_000;
        if resident >= LIGHTER_THAN {
            return Err(format!("{megabytes} MB resident, not under {limit} MB"));
        }
        screen.good(
            &format!("{megabytes} MB resident; the limit is {limit} MB"),
            None,
        );
        Ok(())
    }

    pub(crate) async fn search(&mut self, screen: &mut Screen) -> Result<(), String> {
        screen.step("Look for the values where none may be");
        let kinds = "vaultsecrets,vaultconnections,clustervaultconnections,events.events.k8s.io";
        let objects = self.ask(&["get", kinds, "-A", "-o", "yaml"]).await?;
        let metrics = self.operator().metrics().await.0;
        let mut lines = 0;
        for (place, content) in [
            ("the operator's log", self.operator().log()),
            ("its metrics", metrics),
            ("its objects and events", objects),
        ] {
            let mut wanted = self.values.iter().map(String::as_str).chain([API_KEY]);
            if wanted.any(|value| content.contains(value)) {
                return Err(format!("a value, or the API key, is in {place}"));
            }
            lines += content.lines().count();
        }
        let values = self.values.len();
        screen.good(
            &format!(
                "{lines} lines of log, metrics, objects, events: none of {values} values, no key"
            ),
            None,
        );
        Ok(())
    }

    /// What somebody needs who wants to go on alone.
    pub(crate) fn introduce(&self, screen: &Screen) {
        let url = self.sim().url();
        screen.say("");
        screen.title("It keeps running until you press Enter or Ctrl-C. In another terminal:");
        let cluster = self.cluster();
        let kubeconfig = cluster.kubeconfig().display();
        screen.command(&format!("export KUBECONFIG={kubeconfig}"));
        let kubectl = cluster.kubectl_program().display();
        screen.command(&format!("{kubectl} get nairi --all-namespaces"));
        screen.command(&format!("curl -s '{url}/sim/log?writes=true'"));
        screen.command(&format!("curl -s {url}/sim/secrets/{SECRET_ID}"));
        screen.command(&format!("tail -f {}", self.operator().log_file().display()));
    }

    pub(crate) async fn close(&mut self, screen: &mut Screen) -> Result<(), String> {
        screen.step("Put everything away");
        let writes = self.sim().log().writes().method("PATCH");
        let with = |name: &str| {
            let carries = |field: &String| field == name;
            writes
                .only(|entry| entry.fields().iter().any(carries))
                .len()
        };
        screen.say(&format!(
            "{} PATCHes wrote in all: {} with value, {} with allowed_domains",
            writes.len(),
            with("value"),
            with("allowed_domains")
        ));
        let stop = self.operator_mut().stop();
        let ((), took) = screen.wait("the operator to end", stop).await;
        screen.good("the operator ended with status 0", Some(took));
        let ending = self.end(true);
        let ((), took) = screen.wait_beside("the control plane to end", ending).await;
        screen.good("nothing is left running", Some(took));
        Ok(())
    }
}
