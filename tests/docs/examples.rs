//! The manifests in examples/, all at once, as they are.

use kube::api::ListParams;
use nairi_sim::{NewSecret, NewVault, Options};
use vaultsecret_operator::api::VaultSecret;

use crate::support::*;

const VAULT_ID: &str = "vlt_01KQ27AQH800XQTQPJZ0DH14SJ";

#[tokio::test]
async fn all_come_to_be_in_sync() {
    let _default = super::DEFAULT_CONNECTION.lock().await;
    let options = Options {
        api_key: Some("nr_replace-me".to_owned()),
        ..Options::default()
    };
    let setup = Setup::new().cluster_connection().options(options);
    let setup = setup.names("payments", "vaultsecret-system", "default");
    // The grants become those of the example.
    let world = setup.without_barrier().start().await;
    world.sim.add_vault(NewVault {
        id: Some(VAULT_ID.to_owned()),
        ..NewVault::default()
    });
    for env_key in [
        "DATABASE_URL",
        "REPORTING_DATABASE_URL",
        "STRIPE_API_KEY",
        "WEBHOOK_TOKEN",
    ] {
        let old = NewSecret::new(env_key, "old", &["old.example.com"]);
        world.sim.add_secret(VAULT_ID, old);
    }
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    for folder in [examples.to_owned(), format!("{examples}/more")] {
        let apply = ["apply", "--server-side", "--force-conflicts", "-f"];
        let apply = [&apply[..], &[&folder]].concat();
        world.cluster.kubectl(&apply).await.ok();
    }
    let (objects, all) = (world.vault_secrets(), ListParams::default());
    let declared = objects.list(&all).await.expect("a list").items;
    assert_eq!(declared.len(), 5);
    for VaultSecret { metadata, spec, .. } in &declared {
        let name = metadata.name.as_deref().expect("a name");
        let status = world.synced(name).await.status.expect("it is in sync");
        let stored = world.sim.secret(&status.secret_id.expect("it is bound"));
        let stored = stored.unwrap_or_else(|| panic!("{name} is not in the vault"));
        assert_eq!(Some(&stored.env_key), spec.env_key.as_ref());
        assert_eq!(stored.value == "old", spec.value_from.is_none(), "{name}");
        let old = ["old.example.com"];
        assert_eq!(
            stored.allowed_domains == old,
            spec.allowed_domains.is_none()
        );
    }
    // One was created, and goes with its object.
    let count = || world.sim.secrets(VAULT_ID).len();
    assert_eq!(count(), 5);
    world.delete("database-password").await;
    world.gone("database-password").await;
    assert_eq!(count(), 4);
}
