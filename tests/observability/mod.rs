//! What can be seen of the operator: metrics, alerts, dashboard, logs. Each is a closed list that the documents have.
//!
//! | file | what is tried |
//! |---|---|
//! | `main` | the tables of docs/observability.md, as the other files read them |
//! | `metrics` | `/metrics` has what the tables have, and as many series whatever there is |
//! | `alerts` | the chart's alerts by promtool, with `alerts.yaml`, and their runbook |
//! | `dashboard` | the chart's dashboard, panel by panel |
//! | `incidents` | a running operator, scraped by a real Prometheus, goes through all that can go wrong |
//! | `logs` | the fields of log lines |
//! | `prometheus` | a real Prometheus |

mod alerts;
mod dashboard;
mod incidents;
mod logs;
mod metrics;
mod prometheus;

use std::{collections::BTreeSet, fs, path::Path};

/// A file of the project.
fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

const ALERTS: &str = "charts/vaultsecret-operator/files/alerts.yaml";
const DOCUMENT: &str = "docs/observability.md";

/// The words in code in a text.
pub(crate) fn words(text: &str) -> BTreeSet<String> {
    let words = text.split('`').skip(1).step_by(2);
    words.map(ToOwned::to_owned).collect()
}

/// The cells of each row of the first table below the heading `title` in the document.
pub(crate) fn table(title: &str) -> Vec<Vec<String>> {
    let document = file(DOCUMENT);
    let begin = document.find(&format!("\n{title}\n"));
    let begin = begin.unwrap_or_else(|| panic!("no heading {title:?} in {DOCUMENT}"));
    let rows = document[begin..]
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'));
    let cells = rows.map(|row| {
        let row = row.trim_matches('|').replace("\\|", "\u{1}");
        let cells = row.split('|').map(|cell| cell.trim().replace('\u{1}', "|"));
        cells.collect()
    });
    // Without the heads and the line below them.
    cells.skip(2).collect()
}

/// The names of the chart's alerts.
fn alerts_of_the_chart() -> BTreeSet<String> {
    let text = file(ALERTS);
    let names = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    names.map(ToOwned::to_owned).collect()
}
