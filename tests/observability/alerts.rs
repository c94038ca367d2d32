//! The chart's alerts: they fire when they should, and somebody who gets one finds out what to do.

use std::{collections::BTreeSet, fs, path::Path};

use super::{ALERTS, alerts_of_the_chart, file, prometheus::Programs, table, words};

#[tokio::test]
async fn they_fire_when_they_should_and_not_just_below() {
    let programs = Programs::get().await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let none = Path::new("/dev/null");
    let rules = root.join(ALERTS).display().to_string();
    programs.promtool(
        &["check", "rules", "--lint=all", "--lint-fatal", &rules],
        none,
    );
    let tests = root.join("tests/observability/alerts.yaml");
    let tests = tests.to_str().expect("text");
    programs.promtool(&["test", "rules", tests], none);

    // Each has its test, in which it fires once and is silent before and after.
    let text = fs::read_to_string(tests).expect("a file");
    let mut tested = BTreeSet::new();
    for test in text.split("  - name: ").skip(1) {
        let (name, body) = test.split_once('\n').expect("a line");
        assert!(tested.insert(name.to_owned()), "{name} twice");
        assert_eq!(
            body.matches(&format!("alertname=\"{name}\", alertstate"))
                .count(),
            3,
            "{name}"
        );
        let fires = body.matches("exp_samples:\n").count();
        let silent = body.matches("exp_samples: []\n").count();
        assert_eq!((fires, silent), (1, 2), "{name}");
    }
    assert_eq!(tested, alerts_of_the_chart());
}

#[test]
fn each_leads_to_its_entry() {
    let text = file(ALERTS);
    let troubleshooting = file("docs/troubleshooting.md");
    let documented = table("## Alerts");
    let documented: BTreeSet<_> = documented.iter().flat_map(|row| words(&row[0])).collect();
    let alerts = alerts_of_the_chart();
    assert_eq!(documented, alerts);
    let mut seen = BTreeSet::new();
    for alert in text.split("      - alert: ").skip(1) {
        let (name, alert) = alert.split_once('\n').expect("a line");
        let anchor = name.to_lowercase();
        let runbook = format!("runbook: docs/troubleshooting.md#{anchor}\n");
        assert!(alert.contains(&runbook), "{name}");
        assert!(
            troubleshooting.contains(&format!("\n### {name}\n")),
            "{name}"
        );
        for part in ["expr: ", "severity: ", "summary: ", "description: "] {
            assert_eq!(alert.matches(part).count(), 1, "{name}: {part}");
        }
        let (_, severity) = alert.split_once("severity: ").expect("there is one");
        let severity = severity.lines().next().expect("a line");
        assert!(["critical", "warning"].contains(&severity), "{name}");
        seen.insert(name.to_owned());
    }
    assert_eq!(seen, alerts);
}
