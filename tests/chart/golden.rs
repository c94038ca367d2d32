//! What is rendered, held against files. A change of a template shows there as what it does.

use super::*;

/// What is elsewhere already, and is left out of the golden files: the kind, where it begins, and its place.
const ELSEWHERE: [(&str, &str, &str); 3] = [
    ("CustomResourceDefinition", "\nspec:\n", "files/crds"),
    ("PrometheusRule", "\nspec:\n", "files/alerts.yaml"),
    (
        "ConfigMap",
        "\n  vaultsecret-operator.json: |-\n",
        "files/dashboard.json",
    ),
];

/// The documents of a rendering, without empty lines around them: helm 3 and 4 differ in these.
fn documents(rendered: &str) -> Vec<&str> {
    let rendered = rendered.trim_start_matches("---\n");
    rendered.split("\n---\n").map(str::trim).collect()
}

fn golden(rendered: &str) -> String {
    let mut golden = String::new();
    for document in documents(rendered) {
        let elsewhere = ELSEWHERE.iter().find_map(|(kind, begins, place)| {
            let is_it = document.contains(&format!("\nkind: {kind}\n"));
            let at = document.find(begins).filter(|_| is_it)?;
            Some((at + begins.len(), place))
        });
        golden += "---\n";
        golden += elsewhere.map_or(document, |(at, _)| document[..at].trim_end());
        golden += &elsewhere.map_or(String::new(), |(_, place)| format!("  # {place}"));
        golden += "\n";
    }
    golden
}

#[tokio::test]
async fn as_in_the_files_with_both_versions_of_helm() {
    for set in SETS {
        let four = render(Helm::Four, set).await;
        let three = render(Helm::Three, set).await;
        assert_eq!(documents(&three), documents(&four), "{set}");
        let file = format!("tests/chart/golden/{set}.yaml");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        holds(&file, &golden(&four));
    }
}

/// Prometheus' and Grafana's own templates in them are theirs.
#[tokio::test]
async fn files_are_passed_on_to_the_letter() {
    let rendered = render(Helm::Four, "everything").await;
    for (file, indent) in [("alerts.yaml", 2), ("dashboard.json", 4)] {
        let text = fs::read_to_string(format!("{CHART}/files/{file}")).expect("a file");
        assert!(
            text.contains("{{"),
            "{file} has no template to be left alone"
        );
        let indent = format!("\n{}", " ".repeat(indent));
        let lines: Vec<_> = text.trim().lines().collect();
        let indented = format!("{indent}{}", lines.join(&indent));
        assert!(rendered.contains(&indented), "{file}");
    }
}

#[tokio::test]
async fn lint_finds_nothing() {
    let cluster = Cluster::shared().await;
    for set in SETS {
        let values = values_of(set);
        let lint = ["lint", "--strict", "--quiet", CHART, "--values", &values];
        for helm in Helm::ALL {
            assert_eq!(cluster.helm_of(helm, &lint).await.ok().trim(), "", "{set}");
        }
    }
}
