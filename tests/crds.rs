//! The files in `crds/`, and their copies in the chart, are what the types generate.

use std::{collections::BTreeMap, fs, path::Path};

use vaultsecret_operator::crds;

/// The API server's limit for all annotations of an object; client-side `kubectl apply` keeps the
/// whole object in one.
const ANNOTATION_LIMIT: usize = 262_144;

fn yaml_files(folder: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries
        .map(|entry| entry.expect("a folder entry"))
        .map(|entry| {
            let content = fs::read_to_string(entry.path()).expect("a text file");
            (entry.file_name().to_string_lossy().into_owned(), content)
        })
        .collect()
}

#[test]
fn files_are_up_to_date() {
    let generated: BTreeMap<_, _> = crds::files().into_iter().collect();
    for folder in ["crds", "charts/vaultsecret-operator/files/crds"] {
        let written = yaml_files(folder);
        let names: Vec<_> = written.keys().collect();
        assert_eq!(
            names,
            generated.keys().collect::<Vec<_>>(),
            "files in {folder}: run `make crds`"
        );
        for (name, content) in &written {
            assert!(
                *content == generated[name],
                "{folder}/{name} is out of date: run `make crds`"
            );
        }
    }
}

#[test]
fn client_side_apply_can_keep_them_in_an_annotation() {
    for crd in crds::all() {
        let name = crd.metadata.name.clone().expect("a name");
        let size = serde_json::to_string(&crd).expect("serialises").len();
        assert!(size < ANNOTATION_LIMIT / 4, "{name} has {size} bytes");
    }
}

#[test]
fn the_stream_holds_every_file() {
    let stream = crds::yaml();
    for (name, content) in crds::files() {
        assert!(stream.contains(&content), "{name}");
    }
    assert_eq!(stream.matches("---\n").count(), crds::all().len());
}

#[test]
fn writing_gives_the_same_files() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = dir.path().join("new/folder");
    crds::write(&folder).expect("written");
    for (name, content) in crds::files() {
        assert_eq!(
            fs::read_to_string(folder.join(name)).expect("a file"),
            content
        );
    }
}

#[test]
fn every_field_is_described() {
    fn check(path: &str, schema: &serde_json::Value, missing: &mut Vec<String>) {
        assert!(schema.get("nullable").is_none(), "{path} is nullable");
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            if property["description"].as_str().is_none_or(str::is_empty) {
                missing.push(path.clone());
            }
            check(&path, property, missing);
        }
        if let Some(items) = schema.get("items") {
            check(&format!("{path}[]"), items, missing);
        }
    }
    let mut missing = vec![];
    for crd in crds::all() {
        let crd = serde_json::to_value(crd).expect("serialises");
        let kind = crd["spec"]["names"]["kind"].as_str().expect("a kind");
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        check(kind, schema, &mut missing);
    }
    assert!(missing.is_empty(), "no description: {missing:?}");
}
