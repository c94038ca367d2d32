//! Every link between the documents leads somewhere, and every document is named in the index.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use super::document;

/// Folders with nothing of ours in them.
const FOREIGN: [&str; 3] = ["target", ".git", "node_modules"];

/// All documents of the repository.
fn documents(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        if path.is_dir() && !FOREIGN.contains(&&*name) {
            documents(&path, found);
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// The text of a document without its blocks of code.
fn prose(document: &str) -> String {
    let mut within = false;
    let outside = document.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        within ^= fence;
        !within && !fence
    });
    outside.collect::<Vec<_>>().join("\n")
}

/// As GitHub makes them; of those that would be the same the second ends with `-1`, and so on.
fn anchors(document: &str) -> BTreeSet<String> {
    let prose = prose(document);
    let titles = prose.lines().filter(|line| line.starts_with('#'));
    let mut seen = BTreeMap::<String, usize>::new();
    let anchor = |title: &str| {
        let text = title.trim_start_matches('#').trim().to_lowercase();
        let kept = text
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor = kept.collect::<String>().replace(' ', "-");
        let before = seen.entry(anchor.clone()).or_default();
        *before += 1;
        match *before {
            1 => anchor,
            count => format!("{anchor}-{}", count - 1),
        }
    };
    titles.map(anchor).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    documents(root, &mut all);
    assert!(all.len() >= 15, "{all:?}");
    let mut broken = Vec::new();
    for file in all {
        let prose = prose(&fs::read_to_string(&file).expect("text"));
        let code = prose.matches('`').count();
        assert_eq!(code % 2, 0, "{}: code without an end", file.display());
        // A pattern may look like a link, but not outside of code.
        let content: String = prose.split('`').step_by(2).collect();
        for link in content.split("](").skip(1) {
            let link = link.split(')').next().expect("a link");
            if link.starts_with("http") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() {
                file.clone()
            } else {
                file.parent().expect("a folder").join(path)
            };
            let leads = target.exists()
                && (anchor.is_empty()
                    || fs::read_to_string(&target)
                        .is_ok_and(|content| anchors(&content).contains(anchor)));
            if !leads {
                broken.push(format!("{}: {link}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_page_is_in_the_index() {
    let index = document("docs/README.md");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    for entry in fs::read_dir(folder).expect("docs/") {
        let name = entry.expect("an entry").file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".md") && name != "README.md" {
            assert!(index.contains(&format!("]({name})")), "{name}");
        }
    }
}
