//! What runs during the demo, and the checks that the steps share.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use kube::Api;
use nairi_sim::{Entries, Mark, Sim, Stored};
use vaultsecret_operator::api::{Status, VaultSecret, condition};

use crate::{
    commands,
    requests::{self, request},
    screen::Screen,
    steps::{NAMESPACE, SECRET, SECRET_ID, SYSTEM, VAULT_SECRET},
    support::{AuditMark, Cluster, Operator, SOON, objects::wait_for},
};

/// How long nothing must come for "nothing was sent".
const STILL: Duration = Duration::from_secs(1);

/// What runs.
#[derive(Default)]
pub(crate) struct Stage {
    pub(crate) cluster: Option<&'static Cluster>,
    pub(crate) sim: Option<Sim>,
    pub(crate) operator: Option<Operator>,
    /// Every value that was ever stored: none may be seen elsewhere.
    pub(crate) values: Vec<String>,
}

/// How much each side had seen at some moment.
pub(crate) struct Moment {
    vault: Mark,
    audit: AuditMark,
}

impl Stage {
    pub(crate) fn cluster(&self) -> &'static Cluster {
        self.cluster.expect("an earlier step started it")
    }

    pub(crate) fn sim(&self) -> &Sim {
        self.sim.as_ref().expect("an earlier step started it")
    }

    pub(crate) fn operator(&self) -> &Operator {
        self.operator.as_ref().expect("an earlier step started it")
    }

    pub(crate) fn operator_mut(&mut self) -> &mut Operator {
        self.operator.as_mut().expect("an earlier step started it")
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment {
            vault: self.sim().mark(),
            audit: self.cluster().audit().mark(),
        }
    }

    /// Runs kubectl, shown with what it prints.
    pub(crate) async fn kubectl(&self, screen: &Screen, args: &[&str]) -> Result<(), String> {
        commands::kubectl(self.cluster(), screen, args).await
    }

    /// Runs kubectl, and returns what it prints.
    pub(crate) async fn ask(&self, args: &[&str]) -> Result<String, String> {
        commands::ask(self.cluster(), args).await
    }

    /// Gives the source Secret a new value; returns it, and when the API server's answer was there.
    pub(crate) async fn set_value(&mut self) -> (String, Instant) {
        let (value, answered) = commands::set_value(self.cluster(), (NAMESPACE, SECRET)).await;
        self.values.push(value.clone());
        (value, answered)
    }

    /// Waits for PATCHes with just these fields, shows all that arrived since, and makes sure that it is all.
    pub(crate) async fn sent(
        &self,
        screen: &Screen,
        since: &Moment,
        fields: &[&[&str]],
    ) -> Result<Entries, String> {
        screen
            .wait("the PATCH", self.arrived(since, fields.len()))
            .await
            .0?;
        let log = self.exactly(since, fields).await?;
        for entry in log.iter() {
            screen.request(&request(entry));
        }
        Ok(log)
    }

    /// Waits until so many writes arrived at the vault since, and were answered.
    pub(crate) async fn arrived(&self, since: &Moment, count: usize) -> Result<Entries, String> {
        requests::arrived(self.sim(), since.vault, count, SOON).await
    }

    /// Makes sure that these, and no others, were written to the vault since; returns all requests since.
    pub(crate) async fn exactly(
        &self,
        since: &Moment,
        fields: &[&[&str]],
    ) -> Result<Entries, String> {
        requests::exactly(self.sim(), since.vault, fields).await
    }

    /// Makes sure that nothing was written since, neither to Nairi nor to Kubernetes, and shows what was read.
    pub(crate) async fn nothing(&self, screen: &Screen, since: &Moment) -> Result<(), String> {
        let quiet = |log: &Entries| log.since(since.vault).writes().is_empty();
        let watched = self.sim().log().stays(quiet, STILL);
        let (log, _) = screen.wait("anything that is sent", watched).await;
        let log =
            log.map_err(|log| format!("the vault got a write: {:#?}", log.since(since.vault)))?;
        let log = log.since(since.vault);
        for entry in log.iter() {
            screen.request(&request(entry));
        }
        let user = format!("system:serviceaccount:{SYSTEM}:vaultsecret-operator");
        let writes = self.cluster().audit().writes(&user, since.audit);
        if !writes.is_empty() {
            return Err(format!("the operator wrote to Kubernetes: {writes:#?}"));
        }
        let read = match log.len() {
            0 => String::new(),
            1 => "; it only read, once".to_owned(),
            n => format!("; it only read, {n} times"),
        };
        screen.good(
            &format!("nothing was written, neither to Nairi nor to Kubernetes{read}"),
            None,
        );
        Ok(())
    }

    /// How many passes the operator has made since its start.
    pub(crate) async fn passes(&self) -> f64 {
        self.operator()
            .metrics()
            .await
            .sum("vaultsecret_reconcile_total")
    }

    /// Waits until the operator has made a pass more than that.
    pub(crate) async fn looked(&self, screen: &Screen, before: f64) -> Result<(), String> {
        let looked = async {
            let end = Instant::now() + SOON;
            while self.passes().await <= before {
                if Instant::now() > end {
                    return Err("the operator did not look at the object".to_owned());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        };
        screen
            .wait("the operator to look at the object", looked)
            .await
            .0
    }

    /// Waits until the status says that the vault holds what is declared, and shows the vault's own `updated_at`.
    pub(crate) async fn synced(&self) -> Result<VaultSecret, String> {
        let stored = self.stored()?.updated_at;
        let objects: Api<VaultSecret> = Api::namespaced(self.cluster().client().await, NAMESPACE);
        let as_stored = |object: Option<&VaultSecret>| {
            let status = object.and_then(|object| object.status.as_ref());
            status.is_some_and(|status| {
                let ready = condition::find(&status.conditions, condition::ConditionType::Ready);
                status.updated_at.as_ref() == Some(&stored)
                    && ready.is_some_and(|ready| ready.status == Status::True.as_str())
            })
        };
        let object = wait_for(&objects, VAULT_SECRET, SOON, as_stored).await;
        object
            .flatten()
            .ok_or_else(|| format!("the status does not say Ready with {stored}"))
    }

    /// What the vault holds.
    pub(crate) fn stored(&self) -> Result<Stored, String> {
        let stored = self.sim().secret(SECRET_ID);
        stored.ok_or_else(|| "the secret is gone from the vault".to_owned())
    }

    /// The end of the operator's log.
    pub(crate) fn log_tail(&self) -> Option<String> {
        self.operator.as_ref().map(|operator| operator.tail(20))
    }

    /// The end, in any case; `tidy` removes the logs as well.
    pub(crate) async fn end(&mut self, tidy: bool) {
        // Killed by its drop, if it runs.
        self.operator = None;
        if let Some(cluster) = self.cluster.take() {
            cluster.end().await;
            if tidy {
                let _ = std::fs::remove_dir_all(cluster.files());
            }
        }
        if let Some(sim) = self.sim.take() {
            sim.stop().await;
        }
    }
}

/// The release build of the operator, in the folder beside that of this program's build.
pub(crate) fn release_binary() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = own
        .ancestors()
        .nth(3)
        .ok_or("this program stands in no target folder")?;
    let program = target.join("release/vaultsecret-operator");
    if program.exists() {
        Ok(program)
    } else {
        Err(format!(
            "{} is not there: run `make demo`, which builds it",
            program.display()
        ))
    }
}
