//! The text of docs/api-reference.md: the CustomResourceDefinitions, and the closed lists of words in status.

use std::fmt::Write as _;

use serde_json::Value;
use vaultsecret_operator::{
    api::{Class, ConditionType, ConnectionReason, EventReason, FINALIZER, Reason},
    crds,
    sync_request::ANNOTATION,
};

const HEADER: &str = "\
# API reference

<!-- Generated from the Rust types by `make crds`: change those, not this. -->

The kinds of the group `nairi.ai`, version `v1alpha1`: every field, its limits, and every sentence with which the API server refuses one. `kubectl explain vaultsecret.spec --recursive` shows the same fields. What they do together is in [concepts.md](concepts.md), what each policy does in [lifecycle.md](lifecycle.md), examples are in [examples/](../examples).

";

/// The page.
pub(crate) fn page() -> String {
    let crds: Vec<Value> = crds::all()
        .into_iter()
        .map(|crd| serde_json::to_value(crd).expect("plain data"))
        .collect();
    let mut page = HEADER.to_owned();
    kinds(&mut page, &crds);
    for crd in &crds {
        kind(&mut page, crd);
    }
    words(&mut page);
    page
}

/// One line of text.
macro_rules! line {
    ($page:expr, $($text:tt)*) => { writeln!($page, $($text)*).expect("a String takes everything") };
}

fn kinds(page: &mut String, crds: &[Value]) {
    line!(page, "| kind | short name | scope | `kubectl get` shows |");
    line!(page, "|---|---|---|---|");
    for crd in crds {
        let names = &crd["spec"]["names"];
        let kind = text(&names["kind"]);
        let columns = columns(crd).map(|column| text(&column["name"]).to_owned());
        line!(
            page,
            "| [{kind}](#{}) | `{}` | {} | {} |",
            kind.to_lowercase(),
            text(&names["shortNames"][0]),
            text(&crd["spec"]["scope"]).to_lowercase(),
            columns.collect::<Vec<_>>().join(", "),
        );
    }
    line!(page, "\n`kubectl get nairi -A` shows all of them.");
}

fn kind(page: &mut String, crd: &Value) {
    let kind = text(&crd["spec"]["names"]["kind"]);
    let schema = &version(crd)["schema"]["openAPIV3Schema"];
    line!(page, "\n## {kind}\n\n{}", text(&schema["description"]));
    for part in ["spec", "status"] {
        line!(page, "\n### {kind}: {part}\n");
        line!(
            page,
            "{}\n",
            text(&schema["properties"][part]["description"])
        );
        line!(page, "| field | type | default | | limits |");
        line!(page, "|---|---|---|---|---|");
        fields(page, "", &schema["properties"][part]);
    }
    let mut found = Vec::new();
    rules("", schema, &mut found);
    if !found.is_empty() {
        line!(page, "\n### {kind}: rules\n");
        line!(
            page,
            "What the API server refuses, the sentence it says, and the rule (CEL).\n"
        );
        for (path, message, rule) in found {
            line!(
                page,
                "- `{path}`: {}.<br>`{rule}`",
                message.replace('*', r"\*"),
                path = path.trim_start_matches('.')
            );
        }
    }
    line!(page, "\n### {kind}: columns\n");
    line!(page, "| column | shows | |");
    line!(page, "|---|---|---|");
    for column in columns(crd) {
        let wide = column["priority"].as_i64().unwrap_or_default() > 0;
        line!(
            page,
            "| {} | `{}` | {}{} |",
            text(&column["name"]),
            text(&column["jsonPath"]),
            if wide { "With `-o wide`. " } else { "" },
            column["description"]
                .as_str()
                .unwrap_or("Since it was created."),
        );
    }
}

/// A row for each field below `schema`, the fields of objects under theirs.
fn fields(page: &mut String, prefix: &str, schema: &Value) {
    let required: Vec<_> = list(&schema["required"]).map(text).collect();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{prefix}{name}");
        let mut limits = limits(field);
        if required.contains(&name.as_str()) {
            limits.insert(0, "required".to_owned());
        }
        line!(
            page,
            "| `{path}` | {} | {} | {} | {} |",
            type_of(field),
            default(&field["default"]),
            text(&field["description"]).replace('|', r"\|"),
            limits.join("; ").replace('|', r"\|"),
        );
        // What a condition is, is Kubernetes' own.
        if name != "conditions" {
            fields(page, &format!("{path}."), field);
            fields(page, &format!("{path}[]."), &field["items"]);
        }
    }
}

fn type_of(field: &Value) -> String {
    let set = field["x-kubernetes-list-type"] == "set";
    match (text(&field["type"]), field["format"].as_str()) {
        ("array", _)
            if field["items"]["properties"]
                .get("lastTransitionTime")
                .is_some() =>
        {
            "list of conditions, by `type`".to_owned()
        }
        ("array", _) if set => format!("set of {}s", type_of(&field["items"])),
        ("array", _) => format!("list of {}s", type_of(&field["items"])),
        ("object", _) if field.get("additionalProperties").is_some() => {
            format!("map of {}s", type_of(&field["additionalProperties"]))
        }
        ("string", Some("date-time")) => "time".to_owned(),
        (plain, _) => plain.to_owned(),
    }
}

/// As one writes it in YAML, on one line.
fn default(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| format!("{name}: {}", plain(value)));
            format!("`{{{}}}`", fields.collect::<Vec<_>>().join(", "))
        }
        value => format!("`{}`", plain(value)),
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn limits(field: &Value) -> Vec<String> {
    let mut limits = Vec::new();
    let one_of: Vec<_> = list(&field["enum"])
        .map(|word| format!("`{}`", plain(word)))
        .collect();
    if !one_of.is_empty() {
        limits.push(one_of.join(", "));
    }
    let bounds = [
        ("minLength", "maxLength", "characters"),
        ("minItems", "maxItems", "items"),
        ("minProperties", "maxProperties", "entries"),
    ];
    for (least, most, unit) in bounds {
        match (field[least].as_i64(), field[most].as_i64()) {
            (Some(least), Some(most)) => limits.push(format!("{least} to {most} {unit}")),
            (None, Some(most)) => limits.push(format!("at most {most} {unit}")),
            (Some(least), None) => limits.push(format!("at least {least} {unit}")),
            (None, None) => {}
        }
    }
    if let Some(pattern) = field["pattern"].as_str() {
        limits.push(format!("`{pattern}`"));
    }
    for within in ["items", "additionalProperties"] {
        if field[within]["type"] == "string" {
            limits.extend(
                self::limits(&field[within])
                    .into_iter()
                    .map(|limit| format!("each {limit}")),
            );
        }
    }
    limits
}

/// Each rule below `schema`: where, with which message, and what it is.
fn rules(path: &str, schema: &Value, found: &mut Vec<(String, String, String)>) {
    for rule in list(&schema["x-kubernetes-validations"]) {
        let path = format!("{path}{}", rule["fieldPath"].as_str().unwrap_or_default());
        found.push((
            path,
            text(&rule["message"]).to_owned(),
            text(&rule["rule"]).to_owned(),
        ));
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        rules(&format!("{path}.{name}"), field, found);
    }
    if let Some(items) = schema.get("items") {
        rules(&format!("{path}[]"), items, found);
    }
}

/// What stands in conditions, events and metadata.
fn words(page: &mut String) {
    line!(page, "\n## Conditions\n");
    line!(
        page,
        "`Ready` is always there, the others where they are true. A condition is Kubernetes' own: `type`, `status`, `reason`, `message`, `observedGeneration`, `lastTransitionTime`. The message is one sentence that says what is wrong and what to do.\n"
    );
    line!(page, "| type | is true when |");
    line!(page, "|---|---|");
    for condition in ConditionType::ALL {
        line!(page, "| `{condition}` | {} |", condition.meaning());
    }
    line!(page, "\n### Reasons on a VaultSecret\n");
    line!(
        page,
        "A closed list. Each has its entry in [troubleshooting.md](troubleshooting.md#reasons-on-a-vaultsecrets-ready).\n"
    );
    line!(page, "| reason | `Ready` | beside it | |");
    line!(page, "|---|---|---|---|");
    for reason in Reason::ALL {
        let beside = match reason.class() {
            Class::Synced | Class::Unknown => "",
            Class::Retried => "`Reconciling`",
            Class::Waits => "`Stalled`",
        };
        line!(
            page,
            "| [`{reason}`](troubleshooting.md#{}) | {} | {beside} | {} |",
            reason.as_str().to_lowercase(),
            reason.status(),
            reason.meaning(),
        );
    }
    line!(page, "\n### Reasons on a connection\n");
    line!(
        page,
        "Each has its entry in [troubleshooting.md](troubleshooting.md#reasons-on-a-connections-ready).\n"
    );
    line!(page, "| reason | `Ready` | |");
    line!(page, "|---|---|---|");
    for reason in ConnectionReason::ALL {
        line!(
            page,
            "| `{reason}` | {} | {} |",
            reason.status(),
            reason.meaning()
        );
    }
    line!(page, "\n## Events\n");
    line!(
        page,
        "A VaultSecret whose `Ready` comes to have another reason gets an event with that reason, and beside those:\n"
    );
    line!(page, "| event | |");
    line!(page, "|---|---|");
    for event in EventReason::ALL {
        line!(page, "| `{event}` | {} |", event.meaning());
    }
    line!(
        page,
        "\nAn ordinary PATCH makes no event: `status.lastPatch`, the log and a metric tell of it."
    );
    line!(page, "\n## Annotation and finalizer\n");
    line!(page, "| on a VaultSecret | |");
    line!(page, "|---|---|");
    line!(
        page,
        "| annotation `{ANNOTATION}` | Yours to set, to any new text: [a sync on request](lifecycle.md#a-sync-on-request). |"
    );
    line!(
        page,
        "| finalizer `{FINALIZER}` | The operator's, under `deletionPolicy: Delete` only: [deletion](lifecycle.md#deletion). |"
    );
}

fn version(crd: &Value) -> &Value {
    &crd["spec"]["versions"][0]
}

fn columns(crd: &Value) -> impl Iterator<Item = &Value> {
    list(&version(crd)["additionalPrinterColumns"])
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
