//! `/metrics` is a closed list: names, types, labels and their values are those of the document, whatever happens.

use std::collections::{BTreeMap, BTreeSet};

use vaultsecret_operator::metrics::{self, Metrics};

use super::{prometheus::Programs, table, words};

/// A metric as it is declared: its type, and the values of each label.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Metric {
    kind: String,
    labels: BTreeMap<String, BTreeSet<String>>,
}

impl Metric {
    pub(super) fn kind(&self) -> &str {
        &self.kind
    }
}

/// What the document says there is, by name with the prefix.
pub(super) fn documented() -> BTreeMap<String, Metric> {
    let values: BTreeMap<_, _> = table("### Values of labels")
        .into_iter()
        .map(|row| (words(&row[0]), words(&row[1])))
        .flat_map(|(names, values)| names.into_iter().map(move |name| (name, values.clone())))
        .collect();
    let rows = table("## Metrics").into_iter();
    let metric = |row: Vec<String>| {
        let name = words(&row[0]).pop_first().expect("a name");
        let labels = words(&row[2]).into_iter().map(|label| {
            let known = values.get(&label);
            let known = known.unwrap_or_else(|| panic!("no values of {label}"));
            (label, known.clone())
        });
        let metric = Metric {
            kind: row[1].clone(),
            labels: labels.collect(),
        };
        (format!("vaultsecret_{name}"), metric)
    };
    let all: BTreeMap<_, _> = rows.map(metric).collect();
    assert!(all.len() >= 15, "{all:?}");
    all
}

/// What a text shows there is. The name of a counter ends with `_total`, that of a histogram stands for its parts.
pub(super) fn shown(text: &str) -> BTreeMap<String, Metric> {
    let mut all = BTreeMap::<String, Metric>::new();
    for line in text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').expect("a type");
            let end = if kind == "counter" { "_total" } else { "" };
            let metric = all.entry(format!("{name}{end}")).or_default();
            kind.clone_into(&mut metric.kind);
        }
        if line.starts_with('#') {
            continue;
        }
        let (series, _) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let parts = ["", "_bucket", "_sum", "_count"];
        let family = parts
            .iter()
            .filter_map(|part| name.strip_suffix(part))
            .find(|family| all.contains_key(*family));
        let family = family.unwrap_or_else(|| panic!("undeclared: {line}"));
        let metric = all.get_mut(family).expect("it was found");
        for label in labels.trim_end_matches('}').split("\",") {
            let Some((key, value)) = label.split_once("=\"") else {
                continue;
            };
            // Where a histogram's buckets end is no label of its own.
            if key != "le" {
                let values = metric.labels.entry(key.to_owned()).or_default();
                values.insert(value.trim_end_matches('"').to_owned());
            }
        }
    }
    all
}

/// All series, without their values.
pub(super) fn series(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned()))
        .collect()
}

/// The text of a registry in which nothing has happened.
fn at_first() -> String {
    let (_, registry) = Metrics::new();
    metrics::text(&registry).expect("text")
}

/// What a running operator adds is in the other test of the list, in `incidents`.
#[test]
fn what_is_counted_is_there_from_the_start() {
    let counted = shown(&at_first());
    let mut documented = documented();
    documented.retain(|name, _| counted.contains_key(name));
    assert_eq!(counted, documented);
}

#[tokio::test]
async fn promtool_finds_nothing_to_say() {
    // It reads the older format, in which a counter's whole name is declared.
    let mut text = at_first();
    for (name, metric) in shown(&text) {
        let family = name.strip_suffix("_total").unwrap_or(&name);
        if metric.kind == "counter" {
            for word in ["HELP", "TYPE"] {
                text = text.replace(&format!("# {word} {family} "), &format!("# {word} {name} "));
            }
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("metrics");
    std::fs::write(&file, text).expect("a file");
    let programs = Programs::get().await;
    let said = programs.promtool(&["check", "metrics"], &file);
    assert_eq!(said, "");
}

#[test]
fn the_buckets_are_the_documented_ones() {
    let text = at_first();
    let bounds: Vec<f64> = text
        .lines()
        .filter_map(|line| line.strip_prefix("vaultsecret_propagation_seconds_bucket{le=\""))
        .filter_map(|rest| rest.split('"').next()?.parse().ok())
        .collect();
    let doubled = (0..16).map(|power| 0.001 * f64::from(1 << power));
    let doubled: Vec<_> = doubled.chain([f64::INFINITY]).collect();
    assert_eq!(bounds, doubled);
}
