//! A running operator, scraped by a real Prometheus, goes through what can go wrong. Alerts fire, every panel of the
//! dashboard has something to show, and there are as many series at the end as at the beginning.

use std::{collections::BTreeMap, time::Duration};

use kube::api::PostParams;
use vaultsecret_operator::api::{VaultConnection, VaultConnectionSpec};

use super::{ALERTS, alerts_of_the_chart, dashboard, file, logs, metrics, prometheus::Prometheus};
use crate::support::*;

/// The chart's alerts without patience: they fire in seconds.
fn impatient() -> String {
    let rules = file(ALERTS);
    let lines = rules
        .lines()
        .filter(|line| !line.trim().starts_with("for: "));
    let lines: Vec<_> = lines.collect();
    // What shows for an hour may.
    lines
        .join("\n")
        .replace("[10m]", "[3s]")
        .replace("[15m]", "[3s]")
}

/// An operator, one that stands by, and a Prometheus that sees both.
struct Scene {
    world: World,
    standby: Operator,
    prometheus: Prometheus,
}

impl Scene {
    async fn start() -> Self {
        let setup = Setup::new().flag("--resync-interval=1s").elects();
        let setup = setup.also_watching(&["second"]);
        let (world, prometheus) = tokio::join!(setup.start(), async {
            Prometheus::start(&impatient()).await
        });
        let mut standby = world.replica("second");
        standby.start().await;
        prometheus.scrape(&world.namespace, [&world.operator, &standby]);
        let scene = Self {
            world,
            standby,
            prometheus,
        };
        scene
            .shows("sum(vaultsecret_leader) == 1 and count(vaultsecret_leader) == 2")
            .await;
        scene
    }

    /// Waits until `query` gives something.
    async fn shows(&self, query: &str) {
        eventually(query, SOON, || async {
            let found = self.prometheus.now(query).await;
            (!found.is_empty()).then_some(())
        })
        .await;
    }

    /// Waits until an alert fires, and looks whether a person could read it.
    async fn fires(&self, name: &str) {
        for alert in self.prometheus.fires(name).await {
            for (what, text) in alert["annotations"].as_object().expect("annotations") {
                let text = text.as_str().expect("text");
                let raw = ["{{", "<no value>", "<error", "%!"];
                assert!(!raw.iter().any(|raw| text.contains(raw)), "{what}: {text}");
            }
        }
    }

    /// Objects with all that can be said of them, in two namespaces and vaults.
    async fn declare(&self) {
        let world = &self.world;
        world.create_secret("source", &[("key", "first")]).await;
        let other = world.sim.add_vault(NewVault::default());
        for (name, vault) in [("plain", &world.vault), ("other-vault", &other)] {
            let key = name.to_uppercase().replace('-', "_");
            let new = NewSecret::new(&key, "old", &["api.example.com"]);
            world.sim.add_secret(vault, new);
            let object = world.vault_secret(name).vault(vault).env_key(&key);
            world.create(object.value_from("source", "key")).await;
            world.synced(name).await;
        }
        world.remote("MISSING", "old", &["api.example.com"]);
        let missing = world.vault_secret("missing").env_key("MISSING");
        world.create(missing.value_from("nowhere", "key")).await;
        world.reason("missing", "SourceNotFound").await;
        self.declare_next_door().await;
    }

    async fn declare_next_door(&self) {
        let world = &self.world;
        let next_door = world.neighbour("second");
        let (name, key) = API_KEY_SECRET;
        let connection = VaultConnectionSpec {
            api_key_secret_ref: vaultsecret_operator::api::SecretKeyRef {
                name: name.to_owned(),
                key: key.to_owned(),
            },
        };
        let connection = VaultConnection::new(&world.connection.name, connection);
        let post = PostParams::default();
        let secrets = kube::Api::namespaced(world.client.clone(), &next_door);
        let api_key = objects::secret(name, &[(key, world.sim.api_key())]);
        secrets.create(&post, &api_key).await.expect("a Secret");
        let connections = kube::Api::namespaced(world.client.clone(), &next_door);
        connections
            .create(&post, &connection)
            .await
            .expect("a connection");
        world.remote("NEXT_DOOR", "old", &["api.example.com"]);
        let object = world.vault_secret("next-door").env_key("NEXT_DOOR");
        let object = object.domains(["next.example.com"]).build();
        let objects = kube::Api::namespaced(world.client.clone(), &next_door);
        objects.create(&post, &object).await.expect("an object");
        let synced = |object: Option<&vaultsecret_operator::api::VaultSecret>| {
            object.and_then(objects::current_reason) == Some("Synced")
        };
        let waited = objects::wait_for(&objects, "next-door", SOON, synced).await;
        assert!(waited.is_some(), "{}", world.operator.tail(30));
    }

    /// Somebody else changes secrets: one is reported, one corrected until that is a habit.
    async fn others_write(&self) {
        let world = &self.world;
        let reported = world.remote("REPORTED", "old", &["api.example.com"]);
        let object = world.vault_secret("reported").env_key("REPORTED");
        let object = object.domains(["a.example.com"]).report_drift();
        world.create(object).await;
        world.synced("reported").await;
        let outsider = world.sim.outsider();
        let theirs = ["evil.example.com"];
        outsider.set_domains(&reported, &theirs).expect("it exists");
        world.reason("reported", "DriftDetected").await;

        let contended = world.remote("CONTENDED", "old", &["api.example.com"]);
        let object = world.vault_secret("contended").env_key("CONTENDED");
        world.create(object.domains(["a.example.com"])).await;
        for _ in 0..3 {
            world.synced("contended").await;
            outsider
                .set_domains(&contended, &theirs)
                .expect("it exists");
            eventually("it is put right", SOON, || async {
                let domains = world.sim.domains(&contended)?;
                (domains == ["a.example.com"]).then_some(())
            })
            .await;
        }
        self.fires("VaultSecretContended").await;
    }

    async fn leave_one_behind(&self) {
        let world = &self.world;
        world.remote("KEPT", "old", &["api.example.com"]);
        let object = world.vault_secret("kept").env_key("KEPT");
        let object = object.value_from("source", "key").delete_remote();
        world.create(object).await;
        world.synced("kept").await;
        world.edit_spec("kept", json!({"suspend": true})).await;
        world.delete("kept").await;
        world.gone("kept").await;
        self.fires("VaultSecretReleased").await;
    }

    /// The API is slow, then away, then refuses the key.
    async fn the_api_fails(&self) {
        let world = &self.world;
        let slow = Fault {
            writes_only: true,
            ..Fault::delay(Duration::from_secs(6))
        };
        let slow = world.sim.fault(slow);
        world.set_secret("source", "key", "slowly").await;
        self.fires("VaultSecretPropagationSlow").await;
        slow.remove();

        world.sim.fault(Fault::status(500));
        self.fires("VaultSecretApiErrors").await;
        self.fires("VaultSecretSweepTooOld").await;
        world.sim.clear_faults();
        self.shows("max(vaultsecret_sweep_age_seconds) < 3").await;

        world.sim.revoke_key(world.sim.api_key());
        self.fires("VaultSecretGateClosed").await;
    }

    /// The replicas: nobody acts, two do, none is left.
    async fn replicas_fail(&mut self) {
        // The lease holds as long as it does; whoever answers Prometheus stands by.
        self.world.operator.signal("STOP");
        self.fires("VaultSecretNoLeader").await;
        self.world.operator.signal("CONT");
        self.standby.stop().await;
        let elects = |arg: &mut String| {
            if arg.starts_with("--leader-elect=") {
                "--leader-elect=false".clone_into(arg);
            }
        };
        self.standby.launch().args.iter_mut().for_each(elects);
        self.standby.start().await;
        let (namespace, both) = (&self.world.namespace, [&self.world.operator, &self.standby]);
        self.prometheus.scrape(namespace, both);
        self.fires("VaultSecretSeveralLeaders").await;
        self.standby.stop().await;
        self.world.operator.kill();
        self.fires("VaultSecretOperatorAbsent").await;
    }

    /// Prometheus has the types that the document has.
    async fn is_understood(&self) {
        let targets = self.prometheus.ask("targets", &[("state", "active")]).await;
        for target in targets["activeTargets"].as_array().expect("targets") {
            assert_eq!(target["health"], "up", "{target}");
            assert_eq!(target["lastError"], "", "{target}");
        }
        let metadata = self.prometheus.ask("metadata", &[]).await;
        for (name, metric) in metrics::documented() {
            // It knows a counter by the name of its family.
            let known = metadata.get(name.strip_suffix("_total").unwrap_or(&name));
            let known = known.or_else(|| metadata.get(&name));
            let known = known.unwrap_or_else(|| panic!("{name}: {metadata}"));
            assert_eq!(known[0]["type"], metric.kind(), "{name}");
        }
    }

    /// Every panel had something to show, and what can be chosen above them can be.
    async fn the_dashboard_answers(&self) {
        let chosen = |query: &str| {
            query
                .replace("$namespace", &self.world.namespace)
                .replace("$job", "operator")
                .replace("$__rate_interval", "5s")
        };
        for query in dashboard::queries() {
            let asked = chosen(&query.expr);
            assert!(!asked.contains('$'), "{asked}");
            let found = self.prometheus.ever(&asked).await;
            let some = found.iter().any(|(_, values)| !values.is_empty());
            assert!(some, "{}: {asked}: {found:?}", query.panel);
        }
        for (label, series) in dashboard::variables() {
            let path = format!("label/{label}/values");
            let series = chosen(&series);
            let values = self.prometheus.ask(&path, &[("match[]", &series)]).await;
            let wanted = match &*label {
                "namespace" => &self.world.namespace,
                _ => "operator",
            };
            assert_eq!(values, json!([wanted]), "{label}");
        }
    }

    /// Each rule can be evaluated, and which alerts there were.
    async fn the_rules_work(&self) -> BTreeMap<String, usize> {
        let rules = self.prometheus.ask("rules", &[]).await;
        let mut fired: BTreeMap<_, _> = BTreeMap::new();
        for rule in rules["groups"][0]["rules"].as_array().expect("rules") {
            assert_eq!(rule["health"], "ok", "{rule}");
            fired.insert(rule["name"].as_str().expect("a name").to_owned(), 0);
        }
        let firing = "count_over_time(ALERTS{alertstate=\"firing\"}[10m])";
        for (labels, _) in self.prometheus.now(firing).await {
            let name = labels["alertname"].as_str().expect("a name");
            *fired.get_mut(name).expect("a rule") += 1;
        }
        fired
    }
}

#[tokio::test]
async fn what_goes_wrong_is_seen() {
    let mut scene = Scene::start().await;
    let text = scene.world.operator.metrics().await.0;
    assert_eq!(metrics::shown(&text), metrics::documented());
    let series = metrics::series(&text);

    scene.declare().await;
    scene.fires("VaultSecretNotReady").await;
    scene.others_write().await;
    scene.leave_one_behind().await;
    scene.is_understood().await;
    scene.the_api_fails().await;
    // Objects, namespaces, vaults, incidents came, and no series.
    for operator in [&scene.world.operator, &scene.standby] {
        let text = operator.metrics().await.0;
        assert_eq!(metrics::series(&text), series);
    }
    scene.replicas_fail().await;

    scene.the_dashboard_answers().await;
    let fired = scene.the_rules_work().await;
    // A bug, and a queue that never gets empty, can't be had on demand.
    let quiet: Vec<_> = fired.iter().filter(|(_, count)| **count == 0).collect();
    let quiet: Vec<_> = quiet.into_iter().map(|(name, _)| &**name).collect();
    assert_eq!(quiet, ["VaultSecretPanicked", "VaultSecretQueueStuck"]);
    assert_eq!(fired.len(), alerts_of_the_chart().len());
    assert_eq!(scene.prometheus.complaints(), Vec::<String>::new());
    logs::are_documented(&scene.world.operator.log_lines());
}
