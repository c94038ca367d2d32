//! The steps about a secret's life: what somebody else changed is put right, and one is created and deleted.

use std::time::Instant;

use crate::{
    requests::{arrival, request},
    screen::Screen,
    stage::{Moment, Stage},
    steps::{NAMESPACE, SECRET_ID, VAULT_ID},
    support::{SOON, eventually},
};

/// Which secret the object in examples/more/create-and-delete.yaml creates, and its value.
const CREATED: (&str, &str) = ("database-password", "change-me");

impl Stage {
    pub(crate) async fn meddle(&mut self, screen: &mut Screen) -> Result<(), String> {
        screen.step("Somebody else opens the secret to another domain");
        let operator = self.operator_mut();
        operator.stop().await;
        operator.launch().args.push("--resync-interval=1s".into());
        operator.start().await;
        screen.say(
            "the operator was started again, to list the vault every second, not every 5 minutes",
        );
        self.synced().await?;
        let since = self.moment();
        let began = Instant::now();
        let changed = self.sim().outsider();
        let changed = changed.set_domains(SECRET_ID, &["evil.example.com"]);
        changed.map_err(|error| error.to_string())?;
        let both: &[&str] = &["allowed_domains", "value"];
        let log = self.sent(screen, &since, &[both]).await?;
        screen.say("A list may lag, so PATCH {} asks the secret itself. Its value may have been changed, too.");
        self.synced().await?;
        let about = ["get", "events", "-n", NAMESPACE, "--field-selector"];
        let told = [
            &about[..],
            &[
                "reason=DriftCorrected",
                "-o",
                "custom-columns=REASON:.reason,MESSAGE:.message",
            ],
        ]
        .concat();
        let there = eventually("the event", SOON, || async {
            let told = self.ask(&told).await.ok()?;
            told.contains("Somebody").then_some(())
        });
        screen.wait("the event", there).await;
        self.kubectl(screen, &told).await?;
        screen.good(
            "one PATCH put the declared state back. After the change in the vault:",
            arrival(&log, began),
        );
        Ok(())
    }

    pub(crate) async fn create_and_delete(&mut self, screen: &mut Screen) -> Result<(), String> {
        let (name, value) = CREATED;
        screen.step("Create a secret in the vault, and delete it there, by kubectl");
        self.values.push(value.to_owned());
        let since = self.moment();
        let file = "examples/more/create-and-delete.yaml";
        self.kubectl(screen, &["apply", "--server-side", "-f", file])
            .await?;
        self.one(screen, &since, "POST").await?;
        let ready = format!("vaultsecret/{name}");
        let ready = ["wait", "--for=condition=Ready", &ready, "-n", NAMESPACE];
        self.kubectl(screen, &ready).await?;
        let since = self.moment();
        self.kubectl(screen, &["delete", "nvs", name, "-n", NAMESPACE])
            .await?;
        self.one(screen, &since, "DELETE").await?;
        let left = self.sim().secrets(VAULT_ID);
        if left.len() != 1 || left[0].id != SECRET_ID {
            return Err(format!("the vault does not hold just {SECRET_ID}"));
        }
        screen.good(
            "created once, deleted with its object; the other secret is untouched",
            None,
        );
        Ok(())
    }

    /// Waits for one write by this method, shows it, and makes sure that it is all.
    async fn one(&self, screen: &Screen, since: &Moment, method: &str) -> Result<(), String> {
        let arrived = self.arrived(since, 1);
        let log = screen.wait(&format!("the {method}"), arrived).await.0?;
        let writes = log.writes();
        for entry in writes.iter() {
            screen.request(&request(entry));
        }
        let as_wanted = writes.len() == 1 && writes.iter().all(|entry| entry.method == method);
        if as_wanted {
            Ok(())
        } else {
            Err(format!(
                "the vault got these writes, not one {method}: {writes:#?}"
            ))
        }
    }
}
