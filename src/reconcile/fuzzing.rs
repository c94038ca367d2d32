//! What holds for any id and any domains: the operator's own check and the API server's say the same.

#![expect(clippy::missing_panics_doc, reason = "to panic is what a law is for")]

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray,
};
use regex::Regex;

use super::desired::Desired;
use crate::{
    api::VaultSecretSpec,
    crds,
    fuzzing::parts,
    nairi::{MAX_DECLARED, is_unrestricted, sendable},
};

/// What the CustomResourceDefinition says.
struct Rules {
    id: Regex,
    no_domain: Regex,
    any_host: Regex,
}

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let crd = crds::all().swap_remove(0);
    let version = crd.spec.versions.into_iter().next().expect("one version");
    let schema = version.schema.and_then(|schema| schema.open_api_v3_schema);
    let spec = field(&schema.expect("a schema"), "spec");
    let id = field(&spec, "vaultId").pattern.expect("a pattern");
    assert_eq!(field(&spec, "secretId").pattern.as_ref(), Some(&id));
    let Some(JSONSchemaPropsOrArray::Schema(domain)) = field(&spec, "allowedDomains").items else {
        panic!("domains are a list");
    };
    Rules {
        id: regex(&id),
        no_domain: in_rule(&domain, "!self.matches('"),
        any_host: in_rule(&spec, "d.matches('"),
    }
});

fn field(schema: &JSONSchemaProps, name: &str) -> JSONSchemaProps {
    schema.properties.as_ref().expect("fields")[name].clone()
}

/// The expression in that call of the schema's one rule that has it.
fn in_rule(schema: &JSONSchemaProps, call: &str) -> Regex {
    let rules = schema.x_kubernetes_validations.iter().flatten();
    let mut expressions = rules.filter_map(|rule| rule.rule.split_once(call));
    let (_, rest) = expressions.next().expect("a rule with that call");
    let (expression, _) = rest.split_once("')").expect("its end");
    // A text of CEL, which escapes the backslash.
    regex(&expression.replace(r"\\", r"\"))
}

/// Nothing in these expressions means another thing to Go.
fn regex(expression: &str) -> Regex {
    Regex::new(expression).expect("an expression")
}

/// Ids and domains. Input: an id, the domains.
pub fn ids_and_domains(input: &[u8]) {
    let mut parts = parts(input).map(|part| String::from_utf8_lossy(part).into_owned());
    let id = parts.next().unwrap_or_default();
    assert_eq!(sendable(&id), RULES.id.is_match(&id), "{id:?}");

    let domains: Vec<String> = parts.collect();
    let accepted = |allow_unrestricted| {
        let spec = VaultSecretSpec {
            vault_id: id.clone(),
            allowed_domains: Some(domains.clone()),
            allow_unrestricted,
            ..VaultSecretSpec::default()
        };
        Desired::from_spec(&spec).is_ok()
    };
    let are_domains = domains
        .iter()
        .all(|domain| !domain.is_empty() && !RULES.no_domain.is_match(domain))
        && domains.iter().map(String::len).sum::<usize>() <= MAX_DECLARED;
    let any_host =
        domains.is_empty() || domains.iter().any(|domain| RULES.any_host.is_match(domain));
    assert_eq!(accepted(true), are_domains, "{domains:?}");
    assert_eq!(accepted(false), are_domains && !any_host, "{domains:?}");
    if are_domains {
        assert_eq!(is_unrestricted(&domains), any_host, "{domains:?}");
    }
}
