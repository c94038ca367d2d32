//! What the rules allow, one thing at a time, held against what was asked for.

use std::{collections::BTreeSet, fmt};

use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, Subject,
};
use kube::{Api, ResourceExt as _, api::ListParams};

use super::*;

/// One thing that a rule allows.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Permit {
    verb: String,
    group: String,
    /// With its subresource.
    resource: String,
    /// None: in all, and of what has none.
    namespace: Option<String>,
    /// None: any.
    name: Option<String>,
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            verb,
            group,
            resource,
            namespace,
            name,
        } = self;
        let name = name
            .as_ref()
            .map_or(String::new(), |name| format!(" {name}"));
        let namespace = namespace.as_deref().unwrap_or("all namespaces");
        write!(f, "{verb} {group}/{resource}{name} in {namespace}")
    }
}

impl Permit {
    fn allows(&self, request: &AuditEvent) -> bool {
        let Self {
            verb,
            group,
            resource,
            namespace,
            name,
        } = self;
        *verb == request.verb
            && *group == request.group
            && *resource == request.what()
            && namespace.as_ref().is_none_or(|it| *it == request.namespace)
            && name.as_ref().is_none_or(|it| *it == request.name)
    }
}

/// Everything that `rule` allows in `namespace`.
fn each(rule: &PolicyRule, namespace: Option<&str>) -> Vec<Permit> {
    assert_eq!(rule.non_resource_urls, None);
    let of = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    let mut names: Vec<_> = of(&rule.resource_names).into_iter().map(Some).collect();
    if names.is_empty() {
        names.push(None);
    }
    let mut all = Vec::new();
    for group in of(&rule.api_groups) {
        for resource in of(&rule.resources) {
            for verb in &rule.verbs {
                for name in &names {
                    let any = [&group, &resource, verb].into_iter().any(|it| it == "*");
                    assert!(!any, "{rule:?}");
                    all.push(Permit {
                        verb: verb.clone(),
                        group: group.clone(),
                        resource: resource.clone(),
                        namespace: namespace.map(str::to_owned),
                        name: name.clone(),
                    });
                }
            }
        }
    }
    all
}

/// Everything that the world's operator is allowed, by whatever is bound to its ServiceAccount.
async fn permits(world: &World) -> Vec<Permit> {
    let (client, every) = (&world.client, ListParams::default());
    let ours = |subjects: &Option<Vec<Subject>>| {
        let mut subjects = subjects.iter().flatten();
        subjects
            .any(|it| it.kind == "ServiceAccount" && it.namespace.as_deref() == Some(&world.system))
    };
    let mut all = Vec::new();
    let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
    for binding in bindings.list(&every).await.expect("bindings") {
        if ours(&binding.subjects) {
            let roles: Api<ClusterRole> = Api::all(client.clone());
            let role = roles.get(&binding.role_ref.name).await.expect("its role");
            all.extend(
                role.rules
                    .iter()
                    .flatten()
                    .flat_map(|rule| each(rule, None)),
            );
        }
    }
    let bindings: Api<RoleBinding> = Api::all(client.clone());
    for binding in bindings.list(&every).await.expect("bindings") {
        if ours(&binding.subjects) {
            assert_eq!(binding.role_ref.kind, "Role");
            let namespace = binding.namespace().expect("it has one");
            let roles: Api<Role> = Api::namespaced(client.clone(), &namespace);
            let role = roles.get(&binding.role_ref.name).await.expect("its role");
            let allowed = role.rules.iter().flatten();
            all.extend(allowed.flat_map(|rule| each(rule, Some(&namespace))));
        }
    }
    all
}

/// Since `began`, the operator has used each of its rights, has had each from one rule alone, and was refused nothing.
pub(super) async fn exactly_used(world: &World, began: AuditMark) {
    let audit = world.cluster.audit();
    let permits = permits(world).await;
    assert!(permits.len() > 20, "{permits:#?}");
    // The last of what was asked may come a moment late.
    let spare = async || {
        let asked = audit.answered(&world.user, began);
        let unused = permits
            .iter()
            .filter(|permit| !asked.iter().any(|request| permit.allows(request)));
        unused.cloned().collect::<BTreeSet<_>>()
    };
    let waits = std::time::Instant::now();
    while !spare().await.is_empty() && waits.elapsed() < SOON {
        tokio::time::sleep(QUIET).await;
    }
    assert_eq!(spare().await, BTreeSet::new(), "allowed, and never used");
    for request in audit.answered(&world.user, began) {
        let by = permits.iter().filter(|permit| permit.allows(&request));
        assert_eq!(by.count(), 1, "{request:?}: this many rules allow it");
    }
    assert_eq!(audit.refused(&world.user, began), []);
}
