//! Every value is described, once: the comment above it in values.yaml is its description in the schema and its row in
//! the chart's README.

use super::*;

/// A value, or a group of them, as values.yaml has it.
struct Entry {
    /// Such as `image.tag`.
    path: String,
    /// None for a group.
    default: Option<String>,
    comment: String,
}

/// Groups are in block style, values in flow style on one line, and each has a comment right above it.
fn entries() -> Vec<Entry> {
    let text = fs::read_to_string(format!("{CHART}/values.yaml")).expect("a file");
    let mut comment: Vec<&str> = Vec::new();
    let mut path: Vec<&str> = Vec::new();
    let mut entries = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim_start();
        if let Some(words) = trimmed.strip_prefix("# ") {
            comment.push(words);
            continue;
        }
        if let Some((key, value)) = trimmed.split_once(':') {
            path.truncate((line.len() - trimmed.len()) / 2);
            path.push(key);
            let value = value.trim();
            entries.push(Entry {
                path: path.join("."),
                default: (!value.is_empty()).then(|| value.to_owned()),
                comment: comment.join(" "),
            });
        }
        comment.clear();
    }
    entries
}

fn schema() -> Value {
    let text = fs::read_to_string(format!("{CHART}/values.schema.json")).expect("a file");
    serde_json::from_str(&text).expect("JSON")
}

/// Visits each schema of a value, with its path.
fn visit(path: &str, schema: &Value, see: &mut impl FnMut(&str, &Value)) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let path = path.trim_start_matches('.');
        see(path, property);
        visit(path, property, see);
    }
    if schema["items"].is_object() {
        visit(&format!("{path}[]"), &schema["items"], see);
    }
    for (name, definition) in schema["definitions"].as_object().into_iter().flatten() {
        visit(&format!("#{name}"), definition, see);
    }
}

#[test]
fn the_schema_says_of_each_what_its_comment_says() {
    let schema = schema();
    let mut undescribed = Vec::new();
    let mut open = Vec::new();
    visit("", &schema, &mut |path, property| {
        if property["description"].as_str().is_none_or(str::is_empty) {
            undescribed.push(path.to_owned());
        }
        // Whose keys are named has no others.
        if property["properties"].is_object() && property["additionalProperties"] != false {
            open.push(path.to_owned());
        }
    });
    assert_eq!(undescribed, [""; 0]);
    assert_eq!(open, [""; 0]);
    assert_eq!(schema["additionalProperties"], false);

    let entries = entries();
    assert!(entries.len() > 100, "{}", entries.len());
    for Entry { path, comment, .. } in &entries {
        let pointer = format!("/properties/{}", path.replace('.', "/properties/"));
        let described = schema.pointer(&pointer).map(|it| &it["description"]);
        assert_eq!(described, Some(&json!(comment)), "{path}");
    }
    // What is not in values.yaml: for a chart that this one is a part of.
    let names = schema["properties"].as_object().expect("values").keys();
    let others = names.filter(|name| !entries.iter().any(|entry| entry.path == **name));
    assert_eq!(others.collect::<Vec<_>>(), ["enabled", "global"]);
}

#[test]
fn the_readme_has_a_row_for_each() {
    let rows = entries().into_iter().map(|entry| {
        let Entry {
            path,
            default,
            comment,
        } = entry;
        let default = default.map_or(String::new(), |default| format!("`{default}`"));
        format!("| `{path}` | {default} | {comment} |\n")
    });
    let table = format!(
        "| value | default | |\n|---|---|---|\n{}",
        rows.collect::<String>()
    );
    let path = Path::new(CHART).join("README.md");
    let readme = fs::read_to_string(&path).expect("a file");
    let (begin, end) = ("<!-- values: `make bless` -->\n", "<!-- end of values -->");
    let (before, rest) = readme.split_once(begin).expect("the begin of the table");
    let (_, after) = rest.split_once(end).expect("its end");
    holds(&path, &format!("{before}{begin}{table}{end}{after}"));
}
