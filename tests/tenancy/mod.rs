//! Nobody writes where they were not allowed to, whatever brings the operator to look: and nobody learns anything of
//! what is not theirs.
//!
//! | file | holds |
//! |---|---|
//! | `main` | tenants; an operator for some namespaces leaves the keys of others alone |
//! | `paths` | everything that makes the operator send something, at once |
//! | `matrix` | each reason for not being permitted, against all of these paths, and back |
//! | `moment` | a grant that is narrowed while something is queued, retried or under way |
//! | `learns` | what a tenant sees |
//! | `attacks` | what a tenant might try with what it may write |

mod attacks;
mod learns;
mod matrix;
mod moment;
mod paths;

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api,
    api::{DeleteParams, ListParams, PostParams},
};
use vaultsecret_operator::api::{VaultConnection, VaultSecret};

use crate::support::*;

/// How soon what a watch brings has to take effect: a second, and a busy machine gets a few more. All that is tried
/// again without it comes later, or far more often.
const PROMPT: Duration = Duration::from_secs(6);

/// A namespace that the operator watches, and what is in it. A world has two: its own, and the operator's.
struct Tenant<'a> {
    world: &'a World,
    namespace: &'a str,
}

impl<'a> Tenant<'a> {
    /// The tenant of the world's own namespace.
    fn ours(world: &'a World) -> Self {
        let namespace = &world.namespace;
        Self { world, namespace }
    }

    /// The other one.
    fn theirs(world: &'a World) -> Self {
        let namespace = &world.system;
        Self { world, namespace }
    }

    fn vault_secrets(&self) -> Api<VaultSecret> {
        Api::namespaced(self.world.client.clone(), self.namespace)
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.world.client.clone(), self.namespace)
    }

    fn connections(&self) -> Api<VaultConnection> {
        Api::namespaced(self.world.client.clone(), self.namespace)
    }

    async fn create(&self, object: impl Into<VaultSecret>) {
        let api = self.vault_secrets();
        let created = api.create(&PostParams::default(), &object.into()).await;
        created.expect("a free name");
    }

    async fn create_secret(&self, name: &str, data: &[(&str, &str)]) {
        let secret = objects::secret(name, data);
        let created = self.secrets().create(&PostParams::default(), &secret).await;
        created.expect("a free name");
    }

    async fn set_secret(&self, name: &str, key: &str, value: &str) {
        let change = json!({"stringData": {key: value}});
        objects::merge(&self.secrets(), name, change).await;
    }

    async fn delete(&self, name: &str) {
        let (api, params) = (self.vault_secrets(), DeleteParams::default());
        api.delete(name, &params).await.expect("it exists");
    }

    /// Waits until `Ready` has this reason at the present generation.
    async fn reason(&self, name: &str, reason: &str) -> VaultSecret {
        let says = |object: Option<&VaultSecret>| {
            object.is_some_and(|object| objects::current_reason(object) == Some(reason))
        };
        let waited = objects::wait_for(&self.vault_secrets(), name, SOON, says).await;
        let waited = waited.flatten();
        waited.unwrap_or_else(|| panic!("{}/{name} is not {reason}", self.namespace))
    }

    /// Type, reason and note of every event about an object of that name, the oldest first.
    async fn events(&self, name: &str) -> Vec<String> {
        event_lines(&self.world.client, self.namespace, name).await
    }

    /// A VaultSecret in the making with the world's connection.
    fn declare(&self, name: &str, vault: &str) -> VaultSecretBuilder {
        let reference = &self.world.connection;
        VaultSecretBuilder::new(name, vault).connection(reference.kind, &reference.name)
    }

    /// Puts a secret into `vault` and declares it: its value is key `key` of a Secret of the object's name. It is in
    /// sync; returns its id.
    async fn in_sync(&self, name: &str, vault: &str) -> String {
        let key = env_key(name);
        let id = NewSecret::new(&key, "old", &["old.example.com"]);
        let id = self.world.sim.add_secret(vault, id);
        self.create_secret(name, &[("key", "first")]).await;
        let declared = self.declare(name, vault).env_key(&key);
        self.create(declared.value_from(name, "key")).await;
        self.reason(name, "Synced").await;
        id
    }
}

/// Gives the world's cluster connection these grants, and no others.
async fn grant(world: &World, grants: Value) {
    let connections = world.cluster_vault_connections();
    let change = json!({"spec": {"grants": grants}});
    objects::merge(&connections, &world.connection.name, change).await;
}

/// A grant of these vaults for this namespace.
fn granted(namespace: &str, vaults: &[&str]) -> Value {
    json!({"namespaces": [namespace], "vaultIds": vaults})
}

/// Sets a label of the world's namespace, or takes it away.
async fn label(world: &World, team: Value) {
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let change = json!({"metadata": {"labels": {"team": team}}});
    objects::merge(&namespaces, &world.namespace, change).await;
}

/// The env key of the remote secret for an object of that name.
fn env_key(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

/// What was sent, whatever the order, the lists of vaults' secrets aside: how many of them there are goes by the time.
fn besides_lists(seen: &Seen) -> Vec<String> {
    let mut sent = seen.sent();
    sent.retain(|sent| !matches!(sent, Sent::List(_)));
    in_any_order(sent)
}

fn in_any_order(sent: impl IntoIterator<Item = Sent>) -> Vec<String> {
    let mut sent: Vec<_> = sent.into_iter().map(|sent| format!("{sent:?}")).collect();
    sent.sort_unstable();
    sent
}

/// Says at once: since `began` no more time may have passed than a watch takes.
#[track_caller]
fn prompt(what: &str, began: Instant) {
    let took = began.elapsed();
    assert!(took < PROMPT, "{what} after {took:?}");
}

/// Another operator of the same cluster, for another namespace and with another API, never sends our key there.
#[tokio::test]
async fn a_connection_without_a_grant_for_its_namespaces_is_left_alone() {
    let world = Setup::new().cluster_connection().start().await;
    let theirs = Sim::start(Options::default()).await;
    let mut other = world.replica("other");
    let launch = other.launch();
    launch
        .args
        .retain(|arg| !arg.starts_with("--watch-namespace="));
    launch
        .args
        .push(format!("--watch-namespace={}", world.system));
    launch.args.push(format!("--api-url={}", theirs.url()));
    launch
        .args
        .retain(|arg| !arg.starts_with(&format!("--api-url={}", world.sim.url())));

    let mark = world.mark().await;
    other.start().await;
    // The other operator reconciles every connection before it could have anything else to do.
    let id = world.remote("TOKEN", "old", &[]);
    world.create_secret("source", &[("key", "new")]).await;
    let declared = world.vault_secret("token").env_key("TOKEN");
    world.create(declared.value_from("source", "key")).await;
    world.synced("token").await;
    other.stop().await;

    let seen = world.since(&mark).await;
    seen.sent_exactly(&[list(&world.vault), patch(&id, json!({"value": "new"}))]);
    assert_eq!(theirs.log().all().len(), 0, "our key stayed with us");
    world.connected("Verified").await;
}
