//! The commands of docs/lifecycle.md, and all of docs/security.md, as they stand there.

use std::fs;

use super::{blocks, document, section, shell::Shell};
use crate::support::*;

/// The command in the block after `text` in that document, for an object of the world.
fn command(world: &World, name: &str, text: &str) -> String {
    let lifecycle = document("docs/lifecycle.md");
    assert_eq!(lifecycle.matches(text).count(), 1, "{text}");
    let rest = lifecycle.split(text).nth(1).expect("it is there");
    let block = rest.split("```sh\n").nth(1).expect("a block after it");
    let command = block.split("```").next().expect("its end");
    command
        .replace("NAMESPACE", &world.namespace)
        .replace("NAME", name)
        .replace("vaultsecret-system", &world.system)
}

/// Runs `command` as a reader does; what it prints.
pub(super) async fn shell(world: &World, command: &str) -> String {
    let own = world
        .cluster
        .files()
        .join(format!("{}.shell", world.namespace));
    Shell::new(world.cluster, &own, &own).run(command, "").await
}

/// Creates an object whose secret is deleted with it, in sync.
async fn doomed(world: &World, name: &str) -> String {
    let env_key = name.to_uppercase();
    let id = world.remote(&env_key, "old", &["api.example.com"]);
    let object = world.vault_secret(name).env_key(&env_key);
    world
        .create(object.value_from("source", "key").delete_remote())
        .await;
    world.synced(name).await;
    id
}

async fn world(setup: Setup) -> World {
    let world = setup.alone().without_barrier().start().await;
    world.create_secret("source", &[("key", "value")]).await;
    world
}

#[tokio::test]
async fn what_frees_an_object_that_is_being_deleted() {
    let mut world = world(Setup::new()).await;
    let blocked = doomed(&world, "blocked").await;
    let orphan = doomed(&world, "orphan").await;
    world.sim.revoke_key(world.sim.api_key());
    world.delete("blocked").await;
    world.reason("blocked", "DeletionBlocked").await;

    let told = shell(&world, &command(&world, "", "### What is in the way")).await;
    let said = format!(
        "{}/blocked vault={} secret={blocked} key=BLOCKED: The secret",
        world.namespace, world.vault
    );
    assert!(told.starts_with(&said), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    shell(
        &world,
        &command(&world, "blocked", "and leave its secret in the vault.**"),
    )
    .await;
    world.gone("blocked").await;
    assert!(world.sim.secret(&blocked).is_some());

    world.operator.stop().await;
    world.delete("orphan").await;
    assert!(world.get("orphan").await.metadata.finalizers.is_some());
    shell(
        &world,
        &command(&world, "orphan", "No operator runs, or it can't reach"),
    )
    .await;
    world.gone("orphan").await;
    assert!(world.sim.secret(&orphan).is_some());
}

#[tokio::test]
async fn what_goes_before_an_uninstallation() {
    let mut world = world(Setup::new()).await;
    for name in ["one", "two"] {
        doomed(&world, name).await;
    }
    let finalizers = command(&world, "", "This shows what still has a finalizer:");
    // Other worlds left some, too.
    let ours = || async {
        let all = shell(&world, &finalizers).await;
        all.matches(&format!("{}/", world.namespace)).count()
    };
    assert_eq!(ours().await, 2);
    let retain = command(&world, "", "or let everything stay:");
    shell(&world, &retain).await;
    eventually("no finalizer is left", SOON, || async {
        (ours().await == 0).then_some(())
    })
    .await;
    world.operator.stop().await;

    // The operator is gone, and somebody still said `Delete`.
    for name in ["one", "two"] {
        let held = json!({
            "metadata": {"finalizers": ["nairi.ai/remote-secret"]},
            "spec": {"deletionPolicy": "Delete"},
        });
        world.edit(name, held).await;
        world.delete(name).await;
    }
    let lifecycle = document("docs/lifecycle.md");
    let uninstalling = section(&lifecycle, "### Uninstalling");
    let instead = r#"-p '{"metadata":{"finalizers":null}}'"#;
    assert!(uninstalling.contains(&format!("use the same loop with `{instead}`")));
    let free = retain.replace(r#"-p '{"spec":{"deletionPolicy":"Retain"}}'"#, instead);
    assert_ne!(free, retain);
    shell(&world, &free).await;
    world.gone("one").await;
    world.gone("two").await;
    assert_eq!(world.sim.secrets(&world.vault).len(), 2);
}

#[tokio::test]
async fn the_others() {
    let world = world(Setup::new().elects()).await;
    doomed(&world, "token").await;
    let mark = world.mark_now();
    shell(&world, &command(&world, "token", "### A sync on request")).await;
    let handled = |object: &vaultsecret_operator::api::VaultSecret| {
        let status = object.status.as_ref();
        status.is_some_and(|status| status.last_handled_sync_request.is_some())
    };
    world.until("token", "handled", handled).await;
    let sent = world.requests().since(mark.sim).writes();
    assert_eq!(sent.len(), 1, "{sent:#?}");

    // Other worlds left some, too.
    let pending = shell(&world, &command(&world, "", "### A dry run")).await;
    assert!(
        !pending.contains(&format!("{}/", world.namespace)),
        "{pending}"
    );
    let holder = command(&world, "", "its `vaultsecret_leader` is 0.");
    let holder = shell(&world, &holder).await;
    assert!(holder.starts_with("first_"), "{holder}");

    all_of_security(&world).await;
}

/// The object `token` goes, and the world's namespace.
async fn all_of_security(world: &World) {
    let operator = format!("system:serviceaccount:{}:{}", world.system, rights::RELEASE);
    let security = document("docs/security.md");
    let here = |block: &String| {
        block
            .replace("NAMESPACE", &world.namespace)
            .replace("USER", &operator)
            .replace("vaultsecret-system", &world.system)
            .replace("payments", &world.namespace)
    };
    let commands: Vec<_> = blocks(&security, "sh").iter().map(here).collect();
    let [install, rights, delete, status, label, unrestricted] = &commands[..] else {
        panic!("each has to be tried here: {commands:#?}");
    };

    let install = shell(world, &format!("{} --dry-run=client", install.trim_end())).await;
    let watched = format!("it acts in the namespaces {}, search only", world.namespace);
    assert!(install.contains(&watched), "{install}");
    let rights = shell(world, rights).await;
    assert!(rights.contains("vaultsecrets.nairi.ai/status"), "{rights}");
    assert_eq!(shell(world, status).await, "yes\n");
    let labelled = shell(world, label).await;
    assert!(labelled.ends_with(" labeled\n"), "{labelled}");
    let open = json!({"spec": {"allowUnrestricted": true}});
    world.edit("token", open).await;
    let open = shell(world, unrestricted).await;
    let token = format!("{}/token", world.namespace);
    assert!(open.lines().any(|line| line == token), "{open}");

    let yaml: Vec<_> = blocks(&security, "yaml").iter().map(here).collect();
    let [policy, network] = &yaml[..] else {
        panic!("each has to be tried here: {yaml:#?}");
    };
    for (values, expected) in [
        (policy, "- sandbox\n"),
        (network, "kubernetes.io/metadata.name: monitoring\n"),
    ] {
        let file = world.cluster.files();
        let file = file.join(format!("{}.yaml", world.namespace));
        fs::write(&file, values).expect("a file");
        let template = ["template", rights::RELEASE, rights::CHART, "--values"];
        let set = ["--set", "image.repository=REGISTRY/vaultsecret-operator"];
        let file = [file.to_str().expect("text")];
        let template = [&template[..], &file, &set].concat();
        let rendered = world.cluster.helm(&template).await.ok();
        assert!(rendered.contains(expected), "{rendered}");
    }

    // The namespace is emptied in the background.
    shell(world, &format!("{} --wait=false", delete.trim_end())).await;
    assert_eq!(world.sim.secrets(&world.vault).len(), 0);
}
