//! The documents say what the code does: each reason, event and flag has its place (metrics, alerts and log lines: `observability`), each link leads somewhere,
//! and what readers are told to type, or to apply, works.
//!
//! | file | what is tried |
//! |---|---|
//! | `main` | that nothing is missing |
//! | `commands` | the commands of docs/lifecycle.md and docs/security.md |
//! | `examples` | the manifests in examples/ |

mod commands;
mod examples;

use std::{collections::BTreeSet, fs, path::Path};

use clap::CommandFactory as _;
use vaultsecret_operator::{
    api::{ConnectionReason, EventReason, Reason},
    args::Cli,
};

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

#[test]
fn every_flag_has_its_row() {
    let readme = document("README.md");
    let table = rows(section(&readme, "## Flags"));
    let cli = Cli::command();
    let run = cli.find_subcommand("run").expect("a command");
    let flags = run.get_arguments().filter_map(|flag| flag.get_long());
    let flags = flags
        .filter(|flag| *flag != "help")
        .map(|flag| format!("--{flag}"));
    assert_eq!(words(table), words(flags));
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

/// As GitHub makes them.
fn anchors(document: &str) -> BTreeSet<String> {
    let titles = document.lines().filter(|line| line.starts_with('#'));
    let anchor = |title: &str| {
        let text = title.trim_start_matches('#').trim().to_lowercase();
        let kept = text
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().replace(' ', "-")
    };
    titles.map(anchor).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "docs/architecture.md",
        "docs/lifecycle.md",
        "docs/observability.md",
        "docs/security.md",
        "docs/threat-model.md",
        "docs/troubleshooting.md",
    ] {
        let content = document(file);
        for link in content.split("](").skip(1) {
            let link = link.split(')').next().expect("a link");
            if link.starts_with("http") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() {
                root.join(file)
            } else {
                root.join(file).parent().expect("a folder").join(path)
            };
            assert!(target.exists(), "{file}: {link}");
            if !anchor.is_empty() {
                let content = fs::read_to_string(&target).expect("a text file");
                assert!(anchors(&content).contains(anchor), "{file}: {link}");
            }
        }
    }
}
