//! The CustomResourceDefinitions, as objects, as YAML and as files.

use std::{fs, io, path::Path};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use serde_json::json;

use crate::api::{ClusterVaultConnection, VaultConnection, VaultSecret};

const HEADER: &str = "# Generated from the Rust types by `make crds`: change those, not this.\n";

/// All our CustomResourceDefinitions.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    let mut crds = vec![
        VaultSecret::crd(),
        VaultConnection::crd(),
        ClusterVaultConnection::crd(),
    ];
    for version in crds.iter_mut().flat_map(|crd| &mut crd.spec.versions) {
        if let Some(schema) = version
            .schema
            .as_mut()
            .and_then(|s| s.open_api_v3_schema.as_mut())
        {
            tidy(schema);
            begin_unobserved(schema);
        }
    }
    crds
}

/// All of them in one YAML stream, as `kubectl apply -f -` takes it.
#[must_use]
pub fn yaml() -> String {
    let mut stream = String::new();
    for (_, content) in files() {
        stream.push_str("---\n");
        stream.push_str(&content);
    }
    stream
}

/// One file each: its name, such as `nairi.ai_vaultsecrets.yaml`, and its content.
#[must_use]
pub fn files() -> Vec<(String, String)> {
    all()
        .iter()
        .map(|crd| (file_name(crd), file_content(crd)))
        .collect()
}

/// Writes the files into a folder, which is created if it is missing.
///
/// # Errors
/// If the folder or a file can't be written.
pub fn write(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    files()
        .into_iter()
        .try_for_each(|(name, content)| fs::write(dir.join(name), content))
}

fn file_name(crd: &CustomResourceDefinition) -> String {
    format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural)
}

fn file_content(crd: &CustomResourceDefinition) -> String {
    let yaml = serde_saphyr::to_string(crd).expect("a CustomResourceDefinition is plain data");
    format!("{HEADER}{yaml}")
}

/// Gives a new object a status that says that no generation of it was observed. kstatus, which GitOps tools go by,
/// takes an object without a status for one that is done.
fn begin_unobserved(schema: &mut JSONSchemaProps) {
    let status = schema.properties.as_mut();
    if let Some(status) = status.and_then(|properties| properties.get_mut("status")) {
        status.default = Some(JSON(json!({"observedGeneration": -1})));
    }
}

/// Removes `nullable`, which comes with every `Option`: without it the API server drops a null
/// (Helm charts leave some) instead of storing it, and applies the default. Removes titles, which
/// are Rust names, and the line breaks of doc comments.
fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.title = None;
    if let Some(description) = &mut schema.description {
        *description = description.replace('\n', " ");
    }
    let properties = schema
        .properties
        .iter_mut()
        .flat_map(|map| map.values_mut());
    properties.for_each(tidy);
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => tidy(items),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(tidy),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        tidy(values);
    }
}
