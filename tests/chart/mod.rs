//! The chart: what it renders, what it refuses, and what becomes of it on a real API server, with helm 3 and helm 4.
//!
//! | file | what is shown |
//! |---|---|
//! | `golden` | what each value set renders, as in the files of `golden/`, the same with both versions of helm |
//! | `values` | every value is described: in values.yaml, in the schema and in the table of the chart's README alike |
//! | `refused` | wrong values, and the words they are refused with |
//! | `admitted` | the API server takes what is rendered, in a namespace that enforces Pod Security's `restricted` |
//! | `life` | install, upgrade, rollback, uninstall |
//!
//! `make bless` writes what `golden` and `values` hold against files.

mod admitted;
mod golden;
mod life;
mod refused;
mod values;

use std::{env, fs, path::Path};

use crate::support::{
    rights::{CHART, RELEASE},
    *,
};

/// The value sets in the chart's folder `ci`, which are linted, too.
const SETS: [&str; 6] = [
    "default",
    "namespaced",
    "production",
    "locked-down",
    "simulator",
    "everything",
];

/// The namespace of the release in what is rendered.
const NAMESPACE: &str = "vaultsecret-system";

fn values_of(set: &str) -> String {
    format!("{CHART}/ci/{set}-values.yaml")
}

/// What that helm renders of the chart with a value set.
async fn render(helm: Helm, set: &str) -> String {
    let cluster = Cluster::shared().await;
    let values = values_of(set);
    let args = [
        "template", RELEASE, CHART, "-n", NAMESPACE, "--values", &values,
    ];
    cluster.helm_of(helm, &args).await.ok()
}

/// The file at `path` holds `text`; or is written so, where `BLESS` is set.
#[track_caller]
fn holds(path: &Path, text: &str) {
    if env::var_os("BLESS").is_some() {
        fs::write(path, text).expect("a file that can be written");
        return;
    }
    let there = fs::read_to_string(path).unwrap_or_default();
    let differs = there.lines().zip(text.lines()).position(|(a, b)| a != b);
    let line = differs.unwrap_or_else(|| there.lines().count().min(text.lines().count()));
    let at = |text: &str| text.lines().nth(line).unwrap_or("(the end)").to_owned();
    assert!(
        there == text,
        "{}:{}: is\n{}\nand should be\n{}\nrun `make bless`, and look at the difference",
        path.display(),
        line + 1,
        at(&there),
        at(text)
    );
}

/// The value sets are those in the folder, each with a comment that says what it is for.
#[test]
fn each_value_set_is_here() {
    let files = fs::read_dir(format!("{CHART}/ci")).expect("a folder");
    let mut there: Vec<_> = files
        .map(|file| file.expect("a file").path().display().to_string())
        .collect();
    let mut expected = SETS.map(values_of);
    there.sort();
    expected.sort();
    assert_eq!(there, expected);
    for file in there {
        let text = fs::read_to_string(&file).expect("a text");
        assert!(text.starts_with("# "), "{file}");
    }
}
