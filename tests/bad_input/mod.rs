//! What is wrong is said once, in one place and with what to do about it; nothing is sent that must not be; the
//! others go on; and the cure takes effect at once.
//!
//! | file | what is wrong |
//! |---|---|
//! | `source` | the Secret with the value |
//! | `connection` | the connection, its Secret, its key |
//! | `revoked` | the key, as the API sees it |
//! | `remote` | the vault and the secret in it that are named |
//! | `answers` | what the API answers |
//! | `silence` | the API asks for a pause |
//! | `grants` | what the namespace may use |
//! | `kubernetes` | Kubernetes itself, and an object that does not parse |

mod answers;
mod connection;
mod grants;
mod kubernetes;
mod remote;
mod revoked;
mod silence;
mod source;

use std::time::{Duration, Instant};

use crate::support::*;
use k8s_openapi::{
    ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{Api, api::PostParams};
use vaultsecret_operator::api::VaultSecret;

/// How soon a cure that a watch brings has to take effect: a second or two, and a busy machine gets a few more. All
/// that is tried again without a cure comes later, or far more often.
const PROMPT: Duration = Duration::from_secs(6);

const SYNCED: &str = "Normal Synced: The vault holds what is declared.";

/// What `Ready` says of what is wrong, and which condition stands beside it.
#[derive(Clone, Debug)]
struct Trouble {
    reason: &'static str,
    message: String,
    beside: &'static str,
}

/// Nothing changes without a human.
fn stalled(reason: &'static str, message: impl Into<String>) -> Trouble {
    Trouble {
        reason,
        message: message.into(),
        beside: "Stalled",
    }
}

/// It is tried again.
fn retried(reason: &'static str, message: impl Into<String>) -> Trouble {
    Trouble {
        reason,
        message: message.into(),
        beside: "Reconciling",
    }
}

impl Trouble {
    /// The event about it, with its type.
    fn event(&self) -> String {
        format!("Warning {}: {}", self.reason, self.message)
    }

    #[track_caller]
    fn is_all_of(&self, conditions: &[Condition], generation: Option<i64>) {
        let said: Vec<_> = conditions
            .iter()
            .map(|condition| {
                assert_eq!(condition.observed_generation, generation);
                let Condition {
                    type_,
                    status,
                    reason,
                    message,
                    ..
                } = condition;
                format!("{type_}={status} {reason}: {message}")
            })
            .collect();
        let Self {
            reason,
            message,
            beside,
        } = self;
        let expected = [
            format!("Ready=False {reason}: {message}"),
            format!("{beside}=True {reason}: {message}"),
        ];
        assert_eq!(said, expected);
    }
}

/// Waits until a VaultSecret says this, and nothing else.
async fn says(world: &World, name: &str, trouble: &Trouble) -> VaultSecret {
    let object = world.reason(name, trouble.reason).await;
    let status = object.status.as_ref().expect("it has conditions");
    trouble.is_all_of(&status.conditions, object.metadata.generation);
    object
}

/// Waits until the world's VaultConnection says this, and nothing else.
async fn connection_says(world: &World, trouble: &Trouble) {
    world.connected(trouble.reason).await;
    let connections = world.vault_connections();
    let connection = connections.get(&world.connection.name).await;
    let connection = connection.expect("it exists");
    let status = connection.status.expect("it has conditions");
    trouble.is_all_of(&status.conditions, connection.metadata.generation);
}

/// Type, reason and note of every event about an object of that name in the world's namespace, the oldest first.
async fn events(world: &World, name: &str) -> Vec<String> {
    event_lines(&world.client, &world.namespace, name).await
}

/// Makes this the whole content of a Secret, which is created if it is missing.
async fn fill(api: &Api<Secret>, name: &str, data: &[(&str, &[u8])]) {
    let bytes = |(key, value): &(&str, &[u8])| ((*key).to_owned(), ByteString(value.to_vec()));
    let data = Some(data.iter().map(bytes).collect());
    let post = PostParams::default();
    if let Some(secret) = api.get_opt(name).await.expect("an answer") {
        let secret = Secret { data, ..secret };
        api.replace(name, &post, &secret).await.expect("it exists");
    } else {
        let mut secret = objects::secret(name, &[]);
        secret.data = data;
        api.create(&post, &secret).await.expect("a free name");
    }
}

/// The env key of the remote secret for an object of that name.
fn env_key(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

/// Puts a secret into the vault and declares it, its value being key `key` of a Secret of the object's name. Returns
/// its id.
async fn declare(world: &World, name: &str) -> String {
    let id = world.remote(&env_key(name), "old", &["old.example.com"]);
    let declared = world.vault_secret(name).env_key(&env_key(name));
    world.create(declared.value_from(name, "key")).await;
    id
}

/// The same, with its Secret, and in sync.
async fn in_sync(world: &World, name: &str, value: &str) -> String {
    fill(&world.secrets(), name, &[("key", value.as_bytes())]).await;
    let id = declare(world, name).await;
    world.synced(name).await;
    id
}

/// Waits until a VaultSecret is in sync, which a cure since `began` has to bring about at once.
async fn cured(world: &World, name: &str, began: Instant) -> VaultSecret {
    let object = world.synced(name).await;
    let took = began.elapsed();
    assert!(took < PROMPT, "{name} was cured after {took:?}");
    let status = object.status.as_ref().expect("it is in sync");
    assert_eq!(status.conditions.len(), 1, "{:?}", status.conditions);
    assert_eq!(status.pending_fields, []);
    object
}

/// What was sent, the lists of vaults' secrets aside: those that were not needed would be harmless.
fn without_lists(seen: &Seen) -> Vec<Sent> {
    let mut sent = seen.sent();
    sent.retain(|sent| !matches!(sent, Sent::List(_)));
    sent
}

/// None of these texts is anywhere a user without access to Secrets could see it.
async fn nowhere(world: &World, secrets: &[&str]) {
    let kinds = "vaultsecrets,vaultconnections,events,events.events.k8s.io";
    let objects = world.kubectl(&["get", kinds, "-o", "json"]).await.ok();
    let metrics = world.operator.metrics().await.0;
    for (place, text) in [
        ("the objects and events", objects),
        ("the metrics", metrics),
        ("the log", world.operator.log()),
    ] {
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} is in {place}");
        }
    }
}
