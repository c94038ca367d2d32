//! The roles for people, by the cluster's own `edit`, `view` and `admin`.

use std::collections::BTreeSet;

use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
    rbac::v1::{ClusterRole, PolicyRule, Role},
};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, PostParams},
};

use super::*;

const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// Whether `user` may do that in the world's namespace.
async fn may(world: &World, user: &str, verb: &str, what: &str) -> bool {
    let (resource, subresource) = what.split_once('/').unwrap_or((what, ""));
    let attributes = ResourceAttributes {
        namespace: Some(world.namespace.clone()),
        verb: Some(verb.to_owned()),
        group: Some("nairi.ai".to_owned()),
        resource: Some(resource.to_owned()),
        subresource: Some(subresource.to_owned()),
        ..ResourceAttributes::default()
    };
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.to_owned()),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let api: Api<SubjectAccessReview> = Api::all(world.client.clone());
    let answer = api.create(&PostParams::default(), &review).await;
    answer
        .expect("an answer")
        .status
        .expect("a verdict")
        .allowed
}

/// One user for each of the cluster's roles, in the world's namespace.
async fn bind(world: &World, role: &str) -> String {
    let user = format!("{role}-of-{}", world.namespace);
    let (clusterrole, user_flag) = (format!("--clusterrole={role}"), format!("--user={user}"));
    let create = ["create", "rolebinding", role, &clusterrole, &user_flag];
    world.kubectl(&create).await.ok();
    // A controller puts the roles together.
    eventually("the role is bound", SOON, || async {
        may(world, &user, "list", "vaultsecrets")
            .await
            .then_some(())
    })
    .await;
    user
}

#[tokio::test]
async fn who_edits_a_namespace_declares_and_who_views_it_reads() {
    let setup = Setup::new().without_barrier().unstarted();
    let world = setup.start().await;
    for (role, writes) in [("edit", true), ("admin", true), ("view", false)] {
        let user = bind(&world, role).await;
        for kind in [
            "vaultsecrets",
            "vaultconnections",
            "clustervaultconnections",
        ] {
            let tenants = kind != "clustervaultconnections";
            let status = format!("{kind}/status");
            for verb in READ {
                assert_eq!(
                    may(&world, &user, verb, kind).await,
                    tenants,
                    "{role} {verb} {kind}"
                );
            }
            for verb in WRITE {
                let allowed = may(&world, &user, verb, kind).await;
                assert_eq!(allowed, tenants && writes, "{role} {verb} {kind}");
                assert!(
                    !may(&world, &user, verb, &status).await,
                    "{role} {verb} {status}"
                );
            }
        }
    }

    // And so it goes when they try.
    let user = format!("edit-of-{}", world.namespace);
    let object = world
        .vault_secret("token")
        .env_key("TOKEN")
        .value_from("source", "key");
    let mut object = serde_json::to_value(object.build()).expect("JSON");
    object["status"] = json!({"secretId": "sec_made_up"});
    let mine = async |args: &[&str], input: &str| {
        let mut all = vec!["--as", &user];
        all.extend(args);
        world.kubectl_with(&all, input).await
    };
    mine(&["create", "-f", "-"], &object.to_string()).await.ok();
    let status = world.get("token").await.status.unwrap_or_default();
    assert_eq!(status.secret_id, None, "a status of one's own making");
    let suspend = [
        "patch",
        "nvs",
        "token",
        "--type=merge",
        "-p",
        r#"{"spec":{"suspend":true}}"#,
    ];
    mine(&suspend, "").await.ok();
    let bound = [
        "--subresource=status",
        "-p",
        r#"{"status":{"secretId":"sec_made_up"}}"#,
    ];
    for kind in [
        "vaultsecret/token",
        &format!("vaultconnection/{}", world.connection.name),
    ] {
        let mut patch = vec!["patch", kind, "--type=merge"];
        patch.extend(bound);
        let said = mine(&patch, "").await.refused();
        assert!(
            said.contains("(Forbidden)") && said.contains("/status"),
            "{said}"
        );
    }
    let said = mine(&["get", "clustervaultconnections"], "")
        .await
        .refused();
    assert!(said.contains("(Forbidden)"), "{said}");
    mine(&["delete", "nvs", "token"], "").await.ok();
}

/// Whether the rule lets somebody write the status of one of our kinds.
fn writes_status(rule: &PolicyRule) -> bool {
    let any = |list: &Option<Vec<String>>, wanted: &dyn Fn(&str) -> bool| {
        list.iter().flatten().any(|it| wanted(it))
    };
    any(&rule.api_groups, &|it| ["*", "nairi.ai"].contains(&it))
        && any(&rule.resources, &|it| {
            let ours = it.starts_with("vault") || it.starts_with("clustervault");
            ["*", "*/status"].contains(&it) || ours && it.ends_with("/status")
        })
        && rule
            .verbs
            .iter()
            .any(|it| it == "*" || WRITE.contains(&&**it))
}

#[tokio::test]
async fn nobody_but_the_operator_writes_a_status() {
    let setup = Setup::new().without_barrier().unstarted();
    let world = setup.start().await;
    let every = ListParams::default();
    let cluster: Api<ClusterRole> = Api::all(world.client.clone());
    let namespaced: Api<Role> = Api::all(world.client.clone());
    let cluster = cluster.list(&every).await.expect("roles").into_iter();
    let namespaced = namespaced.list(&every).await.expect("roles").into_iter();
    let all = cluster
        .map(|role| (role.name_any(), role.rules))
        .chain(namespaced.map(|role| (role.name_any(), role.rules)));
    let writers: BTreeSet<_> = all
        .filter(|(_, rules)| rules.iter().flatten().any(writes_status))
        .map(|(name, _)| name)
        .collect();
    let own = format!("{}:vaultsecret-operator", world.system);
    assert!(writers.contains(&own), "{writers:?}");
    // The operators of other worlds, and Kubernetes' own parts.
    let others = writers
        .iter()
        .filter(|name| !name.ends_with(":vaultsecret-operator") && !name.starts_with("system:"));
    assert_eq!(others.collect::<Vec<_>>(), ["cluster-admin"]);
}
