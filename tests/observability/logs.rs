//! Log lines are structured: their fields are a closed list, which the document has.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{table, words};

/// The macros that write lines.
const MACROS: [&str; 5] = ["error!(", "warn!(", "info!(", "debug!(", "trace!("];

/// What every line has.
const ALWAYS: [&str; 4] = ["timestamp", "level", "target", "message"];

pub(super) fn documented() -> BTreeSet<String> {
    let rows = table("## Logs");
    let names: Vec<_> = rows.iter().flat_map(|row| words(&row[0])).collect();
    let all: BTreeSet<_> = names.iter().cloned().collect();
    assert_eq!(names.len(), all.len(), "each once: {names:?}");
    all
}

/// Our sources, without tests.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.expect("a name").to_owned();
        if path.is_dir() {
            if !name.ends_with("tests") {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|it| it == "rs") && !name.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

/// The arguments of a call, from behind its parenthesis; none holds a comma of its own after this.
fn arguments(rest: &str) -> Vec<String> {
    let (mut arguments, mut depth, mut quoted, mut last) = (vec![String::new()], 0, false, ' ');
    for c in rest.chars() {
        if c == '"' && last != '\\' {
            quoted = !quoted;
        }
        match c {
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted && depth == 0 => break,
            ')' | ']' | '}' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                arguments.push(String::new());
                continue;
            }
            _ => {}
        }
        arguments.last_mut().expect("one").push(c);
        last = c;
    }
    let trimmed = arguments.iter().map(|it| it.trim().to_owned());
    trimmed.filter(|it| !it.is_empty()).collect()
}

/// The field that an argument is.
fn field(argument: &str) -> Option<String> {
    if argument.starts_with('"') {
        return None;
    }
    let (name, _) = argument.split_once(" = ").unwrap_or((argument, ""));
    Some(name.trim_start_matches(['%', '?']).to_owned())
}

#[test]
fn every_field_is_documented() {
    let mut files = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    let mut used = BTreeSet::from(ALWAYS.map(str::to_owned));
    let mut lines = 0;
    for file in files {
        let text = fs::read_to_string(&file).expect("a file");
        let code = text.split("#[cfg(test)]\nmod tests {").next();
        let code = code.expect("a part");
        for called in MACROS {
            for (at, _) in code.match_indices(called) {
                // Of our own macros, and of no other's: `log_error!(`.
                let before = code[..at].chars().last().unwrap_or(' ');
                if before.is_alphanumeric() || before == '_' {
                    continue;
                }
                lines += 1;
                let arguments = arguments(&code[at + called.len()..]);
                used.extend(arguments.iter().filter_map(|it| field(it)));
            }
        }
    }
    assert!(lines > 40, "only {lines}");
    assert_eq!(used, documented());
}

/// The lines of a run have no other fields.
pub(super) fn are_documented(lines: &[serde_json::Value]) {
    let documented = documented();
    for line in lines {
        let fields = line.as_object().expect("a line");
        for name in ALWAYS {
            assert!(fields.contains_key(name), "{line}");
        }
        for name in fields.keys() {
            assert!(documented.contains(name), "{name}: {line}");
        }
    }
}

#[test]
fn arguments_are_told_apart() {
    let call =
        r#"namespace = it.namespace(), %error, ?verdict, api = f(a, "x, y"), "said {x}, so");"#;
    let fields: Vec<_> = arguments(call).iter().filter_map(|it| field(it)).collect();
    assert_eq!(fields, ["namespace", "error", "verdict", "api"]);
}
