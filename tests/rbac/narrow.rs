//! An operator for some namespaces: what is kept from it, and that it says so.

use vaultsecret_operator::api::{ClusterVaultConnection, ConnectionStatus};

use super::*;

/// The message of `Ready` of the world's connection, once it has this reason.
async fn message(world: &World, reason: &str) -> String {
    world.connected(reason).await;
    let connections = world.cluster_vault_connections();
    let found: ClusterVaultConnection = connections.get(&world.connection.name).await.expect("it");
    let ConnectionStatus { conditions, .. } = found.status.expect("its status");
    let ready = conditions.into_iter().find(|it| it.type_ == "Ready");
    ready.expect("it is said").message
}

/// Among its namespaces is one that is gone, and its Role with it (or whose administrator took the Role away): the
/// others go on, also after a start. And it reads no API key in a namespace that is none of its own.
#[tokio::test]
async fn what_it_can_not_see_it_names_and_holds_nobody_up() {
    let gone = format!("gone-{:08x}", fastrand::u32(..));
    let setup = Setup::new().cluster_connection().without_barrier();
    let world = setup
        .flag(&format!("--watch-namespace={gone}"))
        .start()
        .await;
    for kind in ["VaultSecret", "VaultConnection", "Secret", "Namespace"] {
        let named = |line: &Value| {
            let text = "may not list these in this namespace (RBAC); going on without them";
            line["message"] == text && line["kind"] == kind && line["namespace"] == *gone
        };
        world
            .operator
            .wait_log("it names what it misses", named)
            .await;
    }
    let id = world.remote("TOKEN", "old", &[]);
    world.create_secret("source", &[("key", "first")]).await;
    let token = world.vault_secret("token").env_key("TOKEN");
    world.create(token.value_from("source", "key")).await;
    world.synced("token").await;
    assert_eq!(world.sim.value(&id).as_deref(), Some("first"));

    let key_in = async |namespace: &str| {
        let change = json!({"spec": {"apiKeySecretRef": {"namespace": namespace}}});
        let connections = world.cluster_vault_connections();
        objects::merge(&connections, &world.connection.name, change).await;
    };
    key_in("kube-public").await;
    let said = message(&world, "SecretNotFound").await;
    let (secret, system) = (API_KEY_SECRET.0, &world.system);
    assert_eq!(
        said,
        format!(
            "Secret \"{secret}\" in namespace kube-public can't be used: the operator may not read it (RBAC). Keep the key in the operator's own namespace, {system}, or allow it to get Secrets there; it is tried again."
        )
    );
    key_in(system).await;
    world.connected("Verified").await;
}
