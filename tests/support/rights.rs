//! What an operator may do: exactly what the chart allows it in its mode.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::OnceLock, time::Duration};

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
    core::v1::{Namespace, ServiceAccount},
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{
    cluster::{Cluster, blocking},
    wait::eventually,
};

/// The release's name, and so its ServiceAccount's.
pub const RELEASE: &str = "vaultsecret-operator";

/// The chart.
pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/vaultsecret-operator");

/// The namespaces the chart is rendered for, replaced by each world's own: the operator's, and the other.
const RENDERED_FOR: (&str, &str) = ("rendered-for-a-world-system", "rendered-for-a-world");

/// The namespaces of a world that its operator watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// The world's, and the operator's own.
    Both,
    /// The world's.
    One,
    /// Every one of the cluster.
    All,
}

/// The namespaces of a world.
#[derive(Clone, Copy, Debug)]
pub struct Spaces<'a> {
    /// The world's.
    pub namespace: &'a str,
    /// The operator's.
    pub system: &'a str,
    /// Those beside them, as [`neighbour_of`] names them.
    pub neighbours: &'a [String],
}

impl Spaces<'_> {
    fn neighbours(&self) -> impl Iterator<Item = String> {
        (self.neighbours.iter()).map(|neighbour| neighbour_of(self.namespace, neighbour))
    }
}

/// The namespace of that neighbour.
pub fn neighbour_of(namespace: &str, neighbour: &str) -> String {
    format!("{namespace}-{neighbour}")
}

impl Watched {
    /// Their names; none for all.
    pub fn names(self, spaces: &Spaces<'_>) -> Vec<String> {
        let (namespace, system) = (spaces.namespace.to_owned(), spaces.system.to_owned());
        let own = match self {
            Self::Both => vec![namespace, system],
            Self::One => vec![namespace],
            Self::All => return Vec::new(),
        };
        own.into_iter().chain(spaces.neighbours()).collect()
    }
}

/// Makes the namespaces and the operator's rights, and returns a kubeconfig with them.
pub async fn prepare(
    cluster: &'static Cluster,
    client: &Client,
    spaces: &Spaces<'_>,
    watched: Watched,
) -> PathBuf {
    let post = PostParams::default();
    let (namespace, system) = (spaces.namespace, spaces.system);
    let own = [namespace, system].map(str::to_owned);
    for name in own.into_iter().chain(spaces.neighbours()) {
        let space = Namespace {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        Api::all(client.clone())
            .create(&post, &space)
            .await
            .unwrap_or_else(|error| panic!("namespace {name}: {error}"));
    }
    let rights = rights(cluster, spaces.neighbours, watched)
        .await
        .replace(RENDERED_FOR.0, system)
        .replace(RENDERED_FOR.1, namespace);
    cluster
        .kubectl_with(&["create", "-f", "-"], &rights)
        .await
        .ok();
    let path = operators_kubeconfig(cluster, client, system).await;
    wait_for_rights(client, namespace, system).await;
    path
}

/// A kubeconfig with the rights of the operator's ServiceAccount in this namespace.
pub async fn operators_kubeconfig(
    cluster: &'static Cluster,
    client: &Client,
    system: &str,
) -> PathBuf {
    let post = PostParams::default();
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: Vec::new(),
            expiration_seconds: Some(86_400),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let token = Api::<ServiceAccount>::namespaced(client.clone(), system)
        .create_token_request(RELEASE, &post, &request)
        .await
        .expect("a token")
        .status
        .expect("a token's status")
        .token;
    let mut kubeconfig = blocking(move || kubeconfig(cluster)).await;
    kubeconfig["users"][0]["user"] = json!({ "token": token });
    let path = cluster.files().join(format!("{system}.kubeconfig"));
    fs::write(&path, kubeconfig.to_string()).expect("a file for the kubeconfig");
    path
}

/// The authorizer hears of new roles a moment later; an operator that starts before would wait for seconds.
async fn wait_for_rights(client: &Client, namespace: &str, system: &str) {
    let api: Api<SubjectAccessReview> = Api::all(client.clone());
    for (verb, group, resource, namespace) in [
        ("create", "", "secrets", Some(system)),
        ("get", "", "secrets", Some(system)),
        ("list", "nairi.ai", "vaultsecrets", Some(namespace)),
        ("list", "nairi.ai", "clustervaultconnections", None),
        ("create", "events.k8s.io", "events", Some("default")),
    ] {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(format!("system:serviceaccount:{system}:{RELEASE}")),
                resource_attributes: Some(ResourceAttributes {
                    namespace: namespace.map(str::to_owned),
                    verb: Some(verb.to_owned()),
                    group: Some(group.to_owned()),
                    resource: Some(resource.to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        eventually(
            "the operator has its rights",
            Duration::from_secs(10),
            || async {
                let answer = api.create(&PostParams::default(), &review).await.ok()?;
                answer.status?.allowed.then_some(())
            },
        )
        .await;
    }
}

/// The chart's manifests that are about rights, for [`RENDERED_FOR`] and these neighbours.
async fn rights(cluster: &'static Cluster, neighbours: &[String], watched: Watched) -> String {
    static RIGHTS: Mutex<BTreeMap<Vec<String>, String>> = Mutex::const_new(BTreeMap::new());
    let (system, namespace) = RENDERED_FOR;
    let spaces = Spaces {
        namespace,
        system,
        neighbours,
    };
    let watched = watched.names(&spaces);
    let mut all = RIGHTS.lock().await;
    if let Some(rights) = all.get(&watched) {
        return rights.clone();
    }
    let set = format!("watchNamespaces={{{}}}", watched.join(","));
    let set = (!watched.is_empty()).then_some(&*set);
    let rendered = render(cluster, system, set.as_slice()).await;
    let rights = rendered
        .split("\n---\n")
        .filter(|manifest| {
            manifest.contains("\nkind: ServiceAccount\n")
                || manifest.contains("\napiVersion: rbac.authorization.k8s.io/v1\n")
        })
        .collect::<Vec<_>>()
        .join("\n---\n");
    assert!(rights.contains("kind: ClusterRoleBinding"), "{rendered}");
    all.insert(watched, rights.clone());
    rights
}

/// The chart's manifests, without the CustomResourceDefinitions, of a release in `namespace` with these values.
pub async fn render(cluster: &'static Cluster, namespace: &str, set: &[&str]) -> String {
    let mut args = vec!["template", RELEASE, CHART, "--namespace", namespace];
    args.extend(["--set", "crds.enabled=false,image.repository=unused"]);
    args.extend(set.iter().flat_map(|set| ["--set", set]));
    cluster.helm(&args).await.ok()
}

/// The administrator's kubeconfig as JSON, with everything in it.
fn kubeconfig(cluster: &Cluster) -> Value {
    static KUBECONFIG: OnceLock<Value> = OnceLock::new();
    let read = || {
        let view = [
            "config",
            "view",
            "--raw",
            "--minify",
            "--flatten",
            "--output=json",
        ];
        let text = cluster.run_kubectl(&view, "").ok();
        serde_json::from_str(&text).expect("a kubeconfig in JSON")
    };
    KUBECONFIG.get_or_init(read).clone()
}
