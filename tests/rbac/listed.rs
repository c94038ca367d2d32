//! What `kubectl auth can-i --list` says, where in the cluster.

use std::{collections::BTreeSet, fmt::Write as _};

use super::*;

/// One row for each kind of thing that `user` may do something with in `namespace`.
async fn rows(world: &World, user: &str, namespace: &str) -> BTreeSet<String> {
    let list = [
        "auth",
        "can-i",
        "--list",
        "--as",
        user,
        "--namespace",
        namespace,
    ];
    let table = world.cluster.kubectl(&list).await.ok();
    let (header, rows) = table.split_once('\n').expect("a table");
    assert!(header.starts_with("Resources "), "{table}");
    let row = |row: &str| {
        let words: Vec<_> = row.split_whitespace().collect();
        let row = words.join(" ");
        // In the order of the rules, which is nobody's business.
        let (what, verbs) = row.rsplit_once('[').expect("verbs");
        let mut verbs: Vec<_> = verbs.trim_end_matches(']').split(' ').collect();
        verbs.sort_unstable();
        format!("{what}[{}]", verbs.join(" "))
    };
    rows.lines().map(row).collect()
}

/// What the world's operator may do is what `expected` says; what everybody may is left out.
pub(super) async fn as_in(world: &World, expected: &str) {
    let anybody = format!("system:serviceaccount:{}:default", world.system);
    let mut said = String::new();
    for (title, namespace) in [
        ("the release's namespace", &*world.system),
        ("a namespace that it is for", &world.namespace),
        ("namespace default", "default"),
        ("any other namespace", "kube-public"),
    ] {
        let _ = writeln!(said, "# In {title}");
        let all = rows(world, &world.user, namespace).await;
        for row in all.difference(&rows(world, &anybody, namespace).await) {
            let row = row.replace(&world.system, "SYSTEM");
            let _ = writeln!(said, "{}", row.replace(&world.namespace, "NAMESPACE"));
        }
    }
    assert_eq!(said, expected, "got:\n{said}");
}
