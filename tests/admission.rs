//! The chart's ValidatingAdmissionPolicy: what tenants may declare where it is on, and that it is never in the way of
//! the operator, nor of who wants to be rid of an object.

use crate::support::*;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{PatchParams, PostParams},
};
use vaultsecret_operator::api::VaultSecret;

const UNRESTRICTED: &str = "Unrestricted secrets are forbidden in this cluster: leave out allowUnrestricted, and name the hosts that may get the value in allowedDomains.";
const NO_VAULT: &str = "This namespace may use no vault: ask a cluster administrator to label it nairi.ai/vault-ids with the ids of its vaults, joined by dots.";
const NOT_THAT_VAULT: &str = "This namespace may not use that vault: correct vaultId, or ask a cluster administrator to add the vault to the namespace's label nairi.ai/vault-ids.";

/// Turns the policy on with these values beside `admissionPolicy.enabled`, for the namespaces that the world watches:
/// no other world meets it.
async fn policy(world: &World, set: &[&str]) {
    let watched = format!("watchNamespaces={{{}}}", world.namespace);
    let mut all = vec![
        "admissionPolicy.enabled=true",
        "rbac.create=false",
        "rbac.aggregate=false",
    ];
    all.push(&watched);
    all.extend(set);
    let rendered = rights::render(world.cluster, &world.system, &all).await;
    let policy: Vec<_> = rendered
        .split("\n---\n")
        .filter(|manifest| manifest.contains("\nkind: ValidatingAdmissionPolicy"))
        .collect();
    assert_eq!(policy.len(), 2, "{rendered}");
    let apply = ["apply", "--server-side", "-f", "-"];
    world
        .cluster
        .kubectl_with(&apply, &policy.join("\n---\n"))
        .await
        .ok();
}

/// Sets labels of the world's namespace.
async fn label(world: &World, labels: Value) {
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let change = json!({"metadata": {"labels": labels}});
    objects::merge(&namespaces, &world.namespace, change).await;
}

/// What the API server would answer to the creation of such an object: nothing, or its refusal.
async fn judged(world: &World, object: VaultSecretBuilder) -> Option<String> {
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    refusal(world.vault_secrets().create(&params, &object.build()).await)
}

/// The same for a change of an object.
async fn judged_change(world: &World, name: &str, change: Value) -> Option<String> {
    let (params, patch) = (PatchParams::default(), kube::api::Patch::Merge(change));
    let params = PatchParams {
        dry_run: true,
        ..params
    };
    refusal(world.vault_secrets().patch(name, &params, &patch).await)
}

fn refusal(answer: kube::Result<VaultSecret>) -> Option<String> {
    match answer {
        Ok(_) => None,
        Err(kube::Error::Api(status)) => Some(status.message.clone()),
        Err(error) => panic!("{error}"),
    }
}

/// The policy, and a namespace's labels, are in force a moment after they were stored.
async fn comes_to_be_judged(world: &World, object: &VaultSecretBuilder, verdict: Option<&str>) {
    let what = format!("{object:?} is judged: {verdict:?}");
    eventually(&what, SOON, || async {
        let refusal = judged(world, object.clone()).await;
        let (said, due) = (
            refusal.as_deref().unwrap_or("fine"),
            verdict.unwrap_or("fine"),
        );
        said.ends_with(due).then_some(())
    })
    .await;
}

/// Nobody is asked to change what is there when the policy is turned on.
#[tokio::test]
async fn what_was_declared_before_is_not_in_the_way() {
    let world = Setup::new().flag("--resync-interval=2s").start().await;
    world.create_secret("source", &[("key", "first")]).await;
    let open = |name: &str| {
        let declared = world.vault_secret(name).env_key(&name.to_uppercase());
        let declared = declared.value_from("source", "key").domains(["*"]);
        declared.allow_unrestricted().create_if_missing()
    };
    for name in ["doomed", "kept"] {
        world.create(open(name).delete_remote()).await;
        world.synced(name).await;
    }
    let id = world.get("kept").await.status.expect("synced").secret_id;
    let id = id.expect("it is bound");
    policy(&world, &[]).await;
    comes_to_be_judged(&world, &open("new"), Some(UNRESTRICTED)).await;

    // What others do to metadata, and what the operator writes into status.
    let labelled = json!({"metadata": {"labels": {"team": "payments"}}});
    world.edit("kept", labelled).await;
    world.set_secret("source", "key", "second").await;
    let object = world.until("kept", "rotated", |object| {
        let status = object.status.as_ref().expect("synced");
        status.updated_at == world.sim.updated_at(&id)
            && world.sim.value(&id).as_deref() == Some("second")
    });
    assert!(object.await.metadata.finalizers.is_some());
    // Its finalizer goes, and comes back: without it others' deletion would leave the secret behind.
    world
        .edit("kept", json!({"metadata": {"finalizers": null}}))
        .await;
    let held = |object: &VaultSecret| object.metadata.finalizers.is_some();
    world.until("kept", "held", held).await;
    world.delete("doomed").await;
    world.gone("doomed").await;
    assert_eq!(world.sim.secrets(&world.vault).len(), 1);

    // A change of what is declared is judged; one that ends it is not.
    let change = json!({"spec": {"driftPolicy": "Report"}});
    let said = judged_change(&world, "kept", change.clone()).await;
    assert!(said.is_some_and(|said| said.ends_with(UNRESTRICTED)));
    let suspended = json!({"spec": {"suspend": true}});
    world.edit("kept", suspended).await;
    world
        .until("kept", "suspended", |object| {
            objects::condition(object, "Suspended").is_some()
        })
        .await;
    assert_eq!(judged_change(&world, "kept", change.clone()).await, None);
    let resumed = json!({"spec": {"suspend": false}});
    let said = judged_change(&world, "kept", resumed).await;
    assert!(said.is_some_and(|said| said.ends_with(UNRESTRICTED)));
    assert_eq!(judged(&world, open("new").suspended()).await, None);

    // Somebody else's finalizer keeps it; `Retain` lets it go without its secret.
    let others =
        json!({"metadata": {"finalizers": ["nairi.ai/remote-secret", "example.com/keep"]}});
    world.edit("kept", others).await;
    world.delete("kept").await;
    let retained = json!({"spec": {"deletionPolicy": "Retain", "suspend": false}});
    world.edit("kept", retained).await;
    let free = json!({"metadata": {"finalizers": null}});
    world.edit("kept", free).await;
    world.gone("kept").await;
    assert!(world.sim.secret(&id).is_some());
}

/// Which vaults an object may name, by its namespace's labels.
#[tokio::test]
async fn vaults_go_by_the_labels_of_the_namespace() {
    let world = Setup::new().without_barrier().unstarted().start().await;
    let (own, second, third) = (&*world.vault, "vlt_01KQ27AQH800XQTQPJZ0DH14SJ", "vlt_3");
    let of = |vault: &str| {
        let declared = world.vault_secret("new").vault(vault).env_key("TOKEN");
        declared.value_from("source", "key")
    };
    let open = |vault: &str| of(vault).domains([]).allow_unrestricted();
    policy(&world, &[]).await;
    comes_to_be_judged(&world, &of(own), Some(NO_VAULT)).await;

    label(
        &world,
        json!({"nairi.ai/vault-ids": format!("{own}.{second}")}),
    )
    .await;
    comes_to_be_judged(&world, &of(own), None).await;
    comes_to_be_judged(&world, &of(second), None).await;
    for vault in [
        third,
        "vlt",
        &own[..own.len() - 1],
        &own.to_lowercase(),
        "nairi",
    ] {
        let said = judged(&world, of(vault)).await;
        assert!(
            said.is_some_and(|said| said.ends_with(NOT_THAT_VAULT)),
            "{vault}"
        );
    }
    let said = judged(&world, open(own)).await;
    assert!(said.is_some_and(|said| said.ends_with(UNRESTRICTED)));
    // An object that was made under these labels can't move on to another vault.
    let named =
        |object: VaultSecretBuilder| object.with(|it| it.metadata.name = Some("made".into()));
    world.create(named(of(own))).await;
    let change = json!({"spec": {"vaultId": third}});
    let said = judged_change(&world, "made", change).await;
    assert!(said.is_some_and(|said| said.ends_with(NOT_THAT_VAULT)));
    let said = world.create_refused(named(of(third))).await;
    assert!(
        said.starts_with("vaultsecrets.nairi.ai \"made\" is forbidden: "),
        "{said}"
    );
    assert!(said.ends_with(NOT_THAT_VAULT), "{said}");

    // More than fits into one label; another label that looks like it is none.
    label(
        &world,
        json!({"nairi.ai/vault-ids-2": third, "nairi.ai/vault-idsx": "vlt_4"}),
    )
    .await;
    comes_to_be_judged(&world, &of(third), None).await;
    comes_to_be_judged(&world, &of(own), None).await;
    comes_to_be_judged(&world, &of("vlt_4"), Some(NOT_THAT_VAULT)).await;
    // One that is empty names none.
    label(
        &world,
        json!({"nairi.ai/vault-ids": "", "nairi.ai/vault-ids-2": null}),
    )
    .await;
    comes_to_be_judged(&world, &of(own), Some(NOT_THAT_VAULT)).await;

    // A namespace without a label is free, if so wanted; one with a label is not.
    policy(&world, &["admissionPolicy.requireNamespaceLabel=false"]).await;
    label(&world, json!({"nairi.ai/vault-ids": null})).await;
    comes_to_be_judged(&world, &of(third), None).await;
    comes_to_be_judged(&world, &open(third), Some(UNRESTRICTED)).await;
    label(&world, json!({"nairi.ai/vault-ids": own})).await;
    comes_to_be_judged(&world, &of(third), Some(NOT_THAT_VAULT)).await;

    // Unrestricted secrets, if so wanted.
    policy(&world, &["admissionPolicy.forbidUnrestricted=false"]).await;
    comes_to_be_judged(&world, &open(own), None).await;
    comes_to_be_judged(&world, &open(third), Some(NOT_THAT_VAULT)).await;

    // For those namespaces only that a selector finds among the ones that are watched.
    let selected = "admissionPolicy.namespaceSelector.matchLabels.pinned=yes";
    policy(&world, &[selected]).await;
    comes_to_be_judged(&world, &open(third), None).await;
    label(&world, json!({"pinned": "yes"})).await;
    comes_to_be_judged(&world, &open(own), Some(UNRESTRICTED)).await;
    let beside = Api::<VaultSecret>::namespaced(world.client.clone(), &world.system);
    let made = beside
        .create(&PostParams::default(), &open(third).build())
        .await;
    made.expect("the operator's namespace is not watched here");

    // To see first whom it would refuse.
    policy(
        &world,
        &[selected, "admissionPolicy.validationActions={Warn}"],
    )
    .await;
    comes_to_be_judged(&world, &open(third), None).await;
    let manifest = serde_json::to_string(&open(third).build()).expect("JSON");
    let create = ["create", "--dry-run=server", "-f", "-"];
    let warned = world.kubectl_with(&create, &manifest).await;
    assert!(warned.stderr.contains(UNRESTRICTED), "{}", warned.stderr);
    warned.ok();
}

/// Nothing of it is rendered by default.
#[tokio::test]
async fn it_is_off_unless_it_is_turned_on() {
    let cluster = Cluster::shared().await;
    let rendered = rights::render(cluster, "here", &[]).await;
    assert!(!rendered.contains("Admission"), "{rendered}");
    // What the document shows is what is said.
    assert!(include_str!("../docs/security.md").contains(NOT_THAT_VAULT));
}
