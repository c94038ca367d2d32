//! The chart's Grafana dashboard: what a person would stumble over.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{file, table};

/// One question that a panel asks Prometheus.
pub(super) struct Query {
    pub(super) panel: String,
    pub(super) expr: String,
}

fn dashboard() -> Value {
    let text = file("charts/vaultsecret-operator/files/dashboard.json");
    serde_json::from_str(&text).expect("JSON")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The panels that are no heads of rows.
fn panels(dashboard: &Value) -> Vec<&Value> {
    let panels = list(&dashboard["panels"]);
    panels.filter(|panel| panel["type"] != "row").collect()
}

/// All questions of all panels.
pub(super) fn queries() -> Vec<Query> {
    let dashboard = dashboard();
    let of = |panel: &Value| {
        let name = text(&panel["title"]).to_owned();
        let targets: Vec<_> = list(&panel["targets"]).cloned().collect();
        targets.into_iter().map(move |target| Query {
            panel: name.clone(),
            expr: text(&target["expr"]).to_owned(),
        })
    };
    panels(&dashboard).into_iter().flat_map(of).collect()
}

/// What the variables ask: a label, of which series.
pub(super) fn variables() -> Vec<(String, String)> {
    let dashboard = dashboard();
    let variables = list(&dashboard["templating"]["list"]);
    let asked = variables.filter(|variable| variable["type"] == "query");
    let parts = asked.map(|variable| {
        let query = text(&variable["query"]["query"]);
        assert_eq!(query, text(&variable["definition"]));
        let inner = query.strip_prefix("label_values(").expect("a query");
        let (series, label) = inner.trim_end_matches(')').rsplit_once(", ").expect("two");
        assert_eq!(label, variable["name"]);
        (label.to_owned(), series.to_owned())
    });
    parts.collect()
}

#[test]
fn every_panel_says_what_it_answers() {
    let dashboard = dashboard();
    let mut titles = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in list(&dashboard["panels"]) {
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{panel}");
    }
    for panel in panels(&dashboard) {
        let title = text(&panel["title"]);
        assert!(titles.insert(title.to_owned()), "{title} twice");
        assert!(text(&panel["description"]).ends_with('.'), "{title}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        let unit = if panel["type"] == "heatmap" {
            &panel["options"]["yAxis"]["unit"]
        } else {
            &panel["fieldConfig"]["defaults"]["unit"]
        };
        assert_ne!(text(unit), "", "{title}");
        let mut ids = BTreeSet::new();
        for target in list(&panel["targets"]) {
            assert!(ids.insert(text(&target["refId"])), "{title}");
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            let expr = text(&target["expr"]);
            let selectors = expr.matches("vaultsecret_").count();
            let selected = expr
                .matches(r#"namespace=~"$namespace", job=~"$job""#)
                .count();
            assert_eq!(selected, selectors, "{title}: {expr}");
            // A graph of several lines has to tell them apart.
            let named = !text(&target["legendFormat"]).is_empty();
            assert!(named || panel["type"] == "stat", "{title}");
        }
        assert!(!ids.is_empty(), "{title}");
    }
    let rows = table("## Dashboard").into_iter();
    let documented: BTreeSet<_> = rows.map(|row| row[0].clone()).collect();
    assert_eq!(documented, titles);
}

#[test]
fn no_panel_lies_on_another() {
    let dashboard = dashboard();
    let mut taken = BTreeSet::new();
    let mut last = 0;
    for panel in list(&dashboard["panels"]) {
        let at = |name: &str| panel["gridPos"][name].as_u64().expect("a number");
        assert!(at("x") + at("w") <= 24, "{panel}");
        assert!(at("y") >= last, "in the order of the page: {panel}");
        last = at("y");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{panel}");
            }
        }
    }
    // And nothing is left free between them.
    let height = taken.iter().map(|(_, y)| y + 1).max().unwrap_or_default();
    assert_eq!(taken.len() as u64, 24 * height);
}

#[test]
fn grafana_can_import_it() {
    let dashboard = dashboard();
    assert_eq!(dashboard["id"], Value::Null);
    assert_eq!(dashboard["uid"], "vaultsecret-operator");
    assert!(
        dashboard["schemaVersion"]
            .as_u64()
            .is_some_and(|it| it >= 39)
    );
    let names: Vec<_> = list(&dashboard["templating"]["list"])
        .map(|variable| text(&variable["name"]))
        .collect();
    assert_eq!(names, ["datasource", "namespace", "job"]);
    assert_eq!(variables().len(), 2);
}
