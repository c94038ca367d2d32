//! kubectl apply, diff, wait and prune, as people and pipelines use them.

use super::*;

/// The part of the objects that `--prune` looks at.
const PART: &str = "app.kubernetes.io/part-of=payments";

/// VaultSecret `name` as it stands in a file, with these domains.
fn manifest(world: &World, name: &str, domains: &[&str]) -> String {
    let declared = world.vault_secret(name).env_key(&name.to_uppercase());
    let mut object = json!(declared.value_from("source", "key").delete_remote().build());
    object["spec"]["allowedDomains"] = json!(domains);
    object["metadata"]["labels"] = json!({"app.kubernetes.io/part-of": "payments"});
    // As people write them.
    object.as_object_mut().expect("an object").remove("status");
    object.to_string()
}

async fn run(world: &World, args: &[&str], files: &[&String]) -> Output {
    let input: Vec<_> = files.iter().map(|file| file.as_str()).collect();
    world.kubectl_with(args, &input.join("\n---\n")).await
}

const APPLY: [&str; 3] = ["apply", "-f", "-"];
const SERVER_SIDE: [&str; 4] = ["apply", "--server-side", "-f", "-"];
const DIFF: [&str; 3] = ["diff", "-f", "-"];
const SERVER_SIDE_DIFF: [&str; 4] = ["diff", "--server-side", "-f", "-"];

/// `kubectl diff` prints nothing and ends with 0.
async fn no_difference(world: &World, diff: &[&str], files: &[&String]) {
    let said = run(world, diff, files).await;
    let nothing = (true, String::new());
    assert_eq!((said.success, said.stdout), nothing, "{}", said.stderr);
}

/// `token` and `other`, declared by client-side apply and in sync. Returns their manifests and ids.
async fn applied(world: &World) -> ([String; 2], [String; 2]) {
    let domains = ["api.example.com"];
    let ids = ["TOKEN", "OTHER"].map(|key| world.remote(key, "old", &domains));
    world.create_secret("source", &[("key", "value")]).await;
    let files = ["token", "other"].map(|name| manifest(world, name, &domains));
    let said = run(world, &APPLY, &[&files[0], &files[1]]).await.ok();
    assert_eq!(said.matches(" created").count(), 2, "{said}");
    for name in ["token", "other"] {
        world.synced(name).await;
    }
    (files, ids)
}

/// What was applied is no difference to kubectl, whichever way it applies, and applying it again is nothing to us.
#[tokio::test]
async fn what_is_applied_again_is_no_difference() {
    let world = World::start().await;
    let ([token, other], [id, _]) = applied(&world).await;
    let mark = world.mark().await;
    let files = [&token, &other];
    no_difference(&world, &DIFF, &files).await;
    let said = run(&world, &APPLY, &files).await.ok();
    assert_eq!(said.matches(" unchanged").count(), 2, "{said}");
    // The change of hands needs no force: nothing of it is ours.
    for _ in 0..2 {
        run(&world, &SERVER_SIDE, &files).await.ok();
        no_difference(&world, &SERVER_SIDE_DIFF, &files).await;
    }
    let seen = world.since(&mark).await;
    seen.sent_nothing();
    seen.wrote_nothing();

    // A change is one PATCH, and `wait` does not take the old answer for the new one.
    let mark = world.mark().await;
    let domains = ["new.example.com"];
    let changed = manifest(&world, "token", &domains);
    let said = run(&world, &SERVER_SIDE_DIFF, &[&changed]).await;
    assert!(
        !said.success && said.stdout.contains("+  - new.example.com"),
        "{said:?}"
    );
    run(&world, &SERVER_SIDE, &[&changed]).await.ok();
    let wait = [
        "wait",
        "--for=condition=Ready",
        "--timeout=30s",
        "nvs/token",
    ];
    world.kubectl(&wait).await.ok();
    assert_eq!(json!(world.sim.domains(&id)), json!(domains));
    let reason = r#"--for=jsonpath={.status.conditions[?(@.type=="Ready")].reason}=Synced"#;
    let wait = ["wait", reason, "--timeout=30s", "nvs/token", "nvs/other"];
    world.kubectl(&wait).await.ok();
    let seen = world.since(&mark).await;
    let change = patch(&id, json!({"allowed_domains": domains}));
    seen.sent_exactly(&[patch(&id, json!({})), change]);
    seen.wrote_exactly(&["patch vaultsecrets/status token"]);

    // Nor does it wait for what needs somebody to end well.
    let wrong = json!({"valueFrom": {"secretKeyRef": {"name": "none", "key": "key"}}});
    world.edit_spec("token", wrong).await;
    let stalled = [
        "wait",
        "--for=condition=Stalled",
        "--timeout=30s",
        "nvs/token",
    ];
    world.kubectl(&stalled).await.ok();
    let wait = ["wait", "--for=condition=Ready", "--timeout=1s", "nvs/token"];
    let said = world.kubectl(&wait).await.refused();
    assert!(said.contains("timed out"), "{said}");
}

/// What is not in the files any more is deleted, and its secret as the policy says.
#[tokio::test]
async fn what_is_pruned_goes_as_its_policy_says() {
    let world = World::start().await;
    let ([token, _], [_, id]) = applied(&world).await;
    let kept = token.replace(r#""Delete""#, r#""Retain""#);
    let prune = [
        "apply",
        "--prune",
        "--selector",
        PART,
        "--prune-allowlist=nairi.ai/v1alpha1/VaultSecret",
        "-f",
        "-",
    ];
    let mark = world.mark().await;
    let said = run(&world, &prune, &[&kept]).await.ok();
    assert!(said.contains("/other pruned"), "{said}");
    world.gone("other").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[delete(&id)]);
    seen.wrote_exactly(&[
        // Without the finalizer, as it is to stay now.
        "patch vaultsecrets token",
        "patch vaultsecrets/status token",
        "create events",
        "patch vaultsecrets other",
    ]);

    // `kept` goes, and its secret stays.
    let mark = world.mark().await;
    let another = manifest(&world, "other", &["api.example.com"]);
    let id = world.remote("OTHER", "old", &["api.example.com"]);
    let said = run(&world, &prune, &[&another]).await.ok();
    assert!(said.contains("/token pruned"), "{said}");
    world.gone("token").await;
    world.synced("other").await;
    let seen = world.since(&mark).await;
    assert_eq!(seen.requests.method("DELETE").len(), 0);
    assert_eq!(world.sim.secrets(&world.vault).len(), 2);

    // What has another name in the next commit hands its secret over, and it is sent once more.
    let mark = world.mark().await;
    let renamed = another.replace(r#""name":"other""#, r#""name":"renamed""#);
    let said = run(&world, &prune, &[&renamed]).await.ok();
    assert!(said.contains("/other pruned"), "{said}");
    world.gone("other").await;
    world.synced("renamed").await;
    let writes = world.since(&mark).await.requests.writes();
    let writes: Vec<_> = writes.iter().map(|entry| Sent::from(&**entry)).collect();
    assert_eq!(writes, [patch(&id, json!({"value": "value"}))]);
}
