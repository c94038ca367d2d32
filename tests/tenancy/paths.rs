//! Everything that makes the operator send something: an object for each way, all of them set off at once.

use std::collections::BTreeMap;

use vaultsecret_operator::{api::ConnectionRef, sync_request::ANNOTATION};

use super::*;

/// Objects that stay, by what sets them off: a rotation, a rotation behind a template, a change of the declaration, a
/// sync on request, and somebody else's change that a sweep finds.
const STAYING: [&str; 5] = ["rotates", "templated", "respecified", "forced", "drifts"];

/// The world's objects in its vault. Two more come with each round, and one goes.
pub(super) struct Paths<'a> {
    pub(super) world: &'a World,
    /// The connection of all of them.
    pub(super) reference: ConnectionRef,
    round: u32,
    ids: BTreeMap<String, String>,
    names: Vec<String>,
}

impl<'a> Paths<'a> {
    /// All that stay, in sync.
    pub(super) async fn prepare(world: &'a World) -> Self {
        let mut paths = Self {
            world,
            reference: world.connection.clone(),
            round: 0,
            ids: BTreeMap::new(),
            names: Vec::new(),
        };
        world.create_secret("source", &[("key", "first")]).await;
        world.create_secret("rotates", &[("key", "first")]).await;
        let parts = [("user", "app"), ("password", "first")];
        world.create_secret("templated", &parts).await;
        for name in STAYING {
            let declared = paths.declare(name);
            let declared = match name {
                "rotates" => declared.value_from("rotates", "key"),
                "templated" => declared.template("{{ user }}:{{ password }}", "templated"),
                "respecified" => declared.domains(["first.example.com"]),
                "forced" => declared
                    .value_from("source", "key")
                    .domains(["forced.example.com"]),
                _ => declared.value_from("source", "key"),
            };
            paths.create(name, declared).await;
        }
        paths.all("Synced").await;
        paths
    }

    /// An object with its remote secret.
    fn declare(&mut self, name: &str) -> VaultSecretBuilder {
        let id = self
            .world
            .remote(&env_key(name), "old", &["old.example.com"]);
        self.ids.insert(name.to_owned(), id);
        let ConnectionRef { kind, name: of } = &self.reference;
        let declared = self.world.vault_secret(name).env_key(&env_key(name));
        declared.connection(*kind, of)
    }

    async fn create(&mut self, name: &str, declared: VaultSecretBuilder) {
        self.world.create(declared).await;
        self.names.push(name.to_owned());
    }

    /// Another round, with an object that is in sync, to be deleted in it with its secret.
    pub(super) async fn next(&mut self) {
        self.round += 1;
        let name = self.going_name();
        let declared = self.declare(&name).delete_remote();
        let declared = declared.value_from("source", "key");
        self.world.create(declared).await;
        self.world.synced(&name).await;
    }

    /// Waits until `Ready` of all objects has this reason.
    pub(super) async fn all(&self, reason: &str) {
        for name in &self.names {
            self.world.reason(name, reason).await;
        }
    }

    /// Waits until `Ready` has this reason also of the one that is to be deleted.
    pub(super) async fn all_and_the_going(&self, reason: &str) {
        self.all(reason).await;
        self.world.reason(&self.going_name(), reason).await;
    }

    /// Has all objects go by this connection.
    pub(super) async fn go_by(&mut self, reference: &ConnectionRef) {
        self.reference = reference.clone();
        let objects = self.world.vault_secrets();
        let list = objects.list(&ListParams::default()).await.expect("a list");
        let change = json!({"spec": {"connectionRef": reference}});
        for object in list {
            let name = object.metadata.name.expect("a name");
            if name != "barrier" {
                objects::merge(&objects, &name, change.clone()).await;
            }
        }
    }

    /// Sets all of them off. What is to be sent then: see [`Self::sent`] and [`Self::deleted`].
    pub(super) async fn set_off(&mut self) {
        let (world, round) = (self.world, self.round);
        let secrets = world.secrets();
        for (name, key) in [("rotates", "key"), ("templated", "password")] {
            let change = json!({"stringData": {key: format!("value-{round}")}});
            objects::merge(&secrets, name, change).await;
        }
        let domains = json!({"allowedDomains": [format!("round-{round}.example.com")]});
        world.edit_spec("respecified", domains).await;
        let request = json!({"metadata": {"annotations": {ANNOTATION: round.to_string()}}});
        world.edit("forced", request).await;
        let theirs = format!("theirs-{round}");
        let drifted = world.sim.outsider();
        let drifted = drifted.set_value(&self.ids["drifts"], &theirs);
        drifted.expect("it is there");
        let name = format!("new-{round}");
        let declared = self.declare(&name).value_from("source", "key");
        self.create(&name, declared).await;
        let name = format!("created-{round}");
        let ConnectionRef { kind, name: of } = &self.reference;
        let declared = world.vault_secret(&name).env_key(&env_key(&name));
        let declared = declared.value_from("source", "key").create_if_missing();
        let declared = declared.domains(["created.example.com"]);
        let declared = declared.connection(*kind, of);
        self.create(&name, declared).await;
        let name = self.going_name();
        world.delete(&name).await;
        world.gone(&name).await;
    }

    /// What this round has sent beside the deletion and lists, where it is permitted.
    pub(super) fn sent(&self) -> Vec<Sent> {
        let round = self.round;
        let to = |name: &str, body: Value| patch(&self.ids[name], body);
        let domains = [format!("round-{round}.example.com")];
        let forced = json!({"value": "first", "allowed_domains": ["forced.example.com"]});
        let created = json!({
            "env_key": format!("CREATED_{round}"),
            "value": "first",
            "allowed_domains": ["created.example.com"],
        });
        vec![
            to("rotates", json!({"value": format!("value-{round}")})),
            to("templated", json!({"value": format!("app:value-{round}")})),
            to("respecified", json!({"allowed_domains": domains})),
            to("forced", json!({})),
            to("forced", forced),
            to("drifts", json!({})),
            to("drifts", json!({"value": "first"})),
            to(&format!("new-{round}"), json!({"value": "first"})),
            post(&self.world.vault, created),
        ]
    }

    /// What the deletion sends, where it is permitted.
    pub(super) fn deleted(&self) -> Sent {
        delete(self.going())
    }

    /// The object that is deleted in this round.
    pub(super) fn going_name(&self) -> String {
        format!("going-{}", self.round)
    }

    /// Its secret.
    pub(super) fn going(&self) -> &str {
        &self.ids[&self.going_name()]
    }

    /// What the vault holds of them.
    pub(super) fn stored(&self) -> Vec<nairi_sim::Stored> {
        self.world.sim.secrets(&self.world.vault)
    }
}
