//! The documents say what the code does: each reason, event and flag has its place (`observability` has metrics,
//! alerts and log lines), each link leads somewhere, and what readers are told to type, or to apply, works.
//!
//! | file | what is tried |
//! |---|---|
//! | `mod` | that nothing is missing |
//! | `links` | that every link leads somewhere, and the index has every page |
//! | `manifests` | the YAML in the documents |
//! | `examples` | the manifests in examples/ |
//! | `commands` | the commands of docs/lifecycle.md and docs/security.md |
//! | `gitops` | docs/gitops.md and examples/gitops/ |
//! | `walk` | docs/getting-started.md and docs/operations.md, from top to bottom |
//! | `node`, `shell` | what a reader of those has |

mod commands;
mod examples;
mod gitops;
mod links;
mod manifests;
mod node;
#[path = "../../examples/reference/page.rs"]
mod reference;
mod shell;
mod walk;

use std::{collections::BTreeSet, fs, path::Path};

use clap::CommandFactory as _;
use vaultsecret_operator::{
    api::{ConnectionReason, EventReason, Reason},
    args::Cli,
};

/// There is one ClusterVaultConnection `default` in a cluster, and several tests that want theirs.
static DEFAULT_CONNECTION: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn document(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The part of a document below the heading `title`, up to the next one of its level.
fn section<'a>(document: &'a str, title: &str) -> &'a str {
    let level = title.split(' ').next().expect("a heading");
    let begin = document
        .find(&format!("\n{title}\n"))
        .unwrap_or_else(|| panic!("no heading {title:?}"));
    let rest = &document[begin + 1 + title.len()..];
    let end = rest.find(&format!("\n{level} ")).unwrap_or(rest.len());
    &rest[..end]
}

/// What stands in the blocks of that language.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let mut blocks: Vec<(&str, String)> = Vec::new();
    let mut within = false;
    for line in document.lines() {
        let trimmed = line.trim_start();
        if let Some(language) = trimmed.strip_prefix("```") {
            within = !within;
            if within {
                blocks.push((language, String::new()));
            }
        } else if within && let Some((_, block)) = blocks.last_mut() {
            block.push_str(line);
            block.push('\n');
        }
    }
    let of_it = blocks.into_iter().filter(|(other, _)| *other == language);
    of_it.map(|(_, block)| block).collect()
}

/// The headings `### X` of a part of a document; several names may share one.
fn headings(part: &str) -> BTreeSet<&str> {
    let titles = part.lines().filter_map(|line| line.strip_prefix("### "));
    titles.flat_map(|title| title.split(", ")).collect()
}

/// The names in code at the begin of each row of the tables in a part of a document.
fn rows(part: &str) -> Vec<&str> {
    let named = part.lines().filter_map(|line| {
        let name = line.strip_prefix("| `")?;
        name.split('`').next()
    });
    named.collect()
}

fn words<T: AsRef<str>>(all: impl IntoIterator<Item = T>) -> BTreeSet<String> {
    all.into_iter()
        .map(|word| word.as_ref().to_owned())
        .collect()
}

#[test]
fn every_reason_has_its_entry() {
    let reasons = words(Reason::ALL.iter().map(|reason| reason.as_str()));
    let troubleshooting = document("docs/troubleshooting.md");
    let of_objects = section(&troubleshooting, "## Reasons on a VaultSecret's `Ready`");
    assert_eq!(words(headings(of_objects)), reasons);

    let lifecycle = document("docs/lifecycle.md");
    let table = rows(section(&lifecycle, "## The states"));
    assert_eq!(table.len(), reasons.len(), "each once: {table:?}");
    assert_eq!(words(table), reasons);

    let connections = section(&troubleshooting, "## Reasons on a connection's `Ready`");
    let reasons = ConnectionReason::ALL.iter().map(|reason| reason.as_str());
    assert_eq!(words(headings(connections)), words(reasons));
}

/// Somebody who is woken at night has something to paste. What says that all is well needs no cure.
#[test]
fn every_entry_has_a_command_to_paste() {
    let troubleshooting = document("docs/troubleshooting.md");
    let mut without = BTreeSet::new();
    for title in [
        "## Reasons on a VaultSecret's `Ready`",
        "## Beside `Ready`",
        "## Reasons on a connection's `Ready`",
        "## Alerts",
    ] {
        let part = section(&troubleshooting, title);
        for entry in part.split("\n### ").skip(1) {
            let name = entry.lines().next().expect("a heading");
            if blocks(entry, "sh").is_empty() {
                without.insert((title.split(' ').nth(1), name.to_owned()));
            }
        }
    }
    let well = [("Reasons", "Synced"), ("Reasons", "Verified")];
    // The entry of an object's reason of that name has it.
    let elsewhere = [("Reasons", "Unauthorized")];
    let fine = well.into_iter().chain(elsewhere);
    let fine = fine.map(|(title, name)| (Some(title), name.to_owned()));
    assert_eq!(without, fine.collect());
}

#[test]
fn every_event_has_its_row() {
    let troubleshooting = document("docs/troubleshooting.md");
    let table = rows(section(
        &troubleshooting,
        "## Events beside those of `Ready`",
    ));
    let events = EventReason::ALL.iter().map(|event| event.as_str());
    assert_eq!(words(table), words(events));
}

/// The cells of a row.
fn cells(row: &str) -> Vec<&str> {
    row.split('|').skip(1).map(str::trim).collect()
}

#[test]
fn every_flag_has_its_row() {
    let configuration = document("docs/configuration.md");
    let part = section(&configuration, "## Flags");
    let cli = Cli::command();
    let run = cli.find_subcommand("run").expect("a command");
    let flags: Vec<_> = (run.get_arguments())
        .filter(|flag| !matches!(flag.get_id().as_str(), "help" | "version"))
        .collect();
    let names = flags.iter().filter_map(|flag| flag.get_long());
    let names = names.map(|flag| format!("--{flag}"));
    assert_eq!(words(rows(part)), words(names));

    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/vaultsecret-operator");
    let values = fs::read_to_string(chart.join("values.yaml")).expect("the chart's values");
    let templates = fs::read_dir(chart.join("templates")).expect("the chart's templates");
    let templates: String = templates
        .filter_map(|file| fs::read_to_string(file.expect("an entry").path()).ok())
        .collect();
    for flag in flags {
        let name = format!("--{}", flag.get_long().expect("each has one"));
        let begin = format!("| `{name}` |");
        let row = part.lines().find(|line| line.starts_with(&begin));
        let row = cells(row.expect("there is a row"));
        let [_, env, default, value, ..] = row[..] else {
            panic!("{row:?}");
        };
        let variable = flag.get_env().expect("each has one").to_string_lossy();
        assert_eq!(env, format!("`{variable}`"));
        match flag.get_default_values() {
            [one] if one != "false" => {
                assert_eq!(default, format!("`{}`", one.to_string_lossy()), "{name}");
            }
            _ => assert!(!default.starts_with('`'), "{name} has no default"),
        }
        if !value.is_empty() {
            let value = value.trim_matches('`');
            assert!(values.contains(&format!("\n{value}:")), "{name}: {value}");
            assert!(templates.contains(&format!(".Values.{value}")), "{value}");
        }
        assert!(value.is_empty() || templates.contains(&name), "{name}");
    }
}

#[test]
fn the_reference_is_up_to_date() {
    let written = document("docs/api-reference.md");
    assert!(
        written == reference::page(),
        "docs/api-reference.md is out of date: run `make crds`"
    );
    for kind in vaultsecret_operator::crds::all() {
        let kind = kind.spec.names.kind;
        assert!(written.contains(&format!("\n## {kind}\n")), "{kind}");
    }
}
