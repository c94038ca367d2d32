//! The documented calls: a request in, an answer out, without any fault.

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::http::request::Parts;
use serde_json::{Map, Value, json};

use crate::behaviour::{Behaviour, ListOrder};
use crate::ids::{TimeFormat, well_formed};
use crate::lock;
use crate::sim::Shared;
use crate::state::{NewSecret, Refusal, Secret};

/// Where the API begins (doc).
pub const BASE: &str = "/api/public/v1";

/// How much later `created_at` is shown under [`Behaviour::updated_before_created`]: as in the documentation's example.
const SHOWN_LATER: i64 = 12 * 24 * 60 * 60 * 1000 + 60_919_000;

/// An answer of the API.
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// None: no body, as with 204.
    pub(crate) body: Option<Value>,
    /// Whether the request changed what is stored.
    pub(crate) applied: bool,
    /// The secret it created.
    pub(crate) created: Option<String>,
}

/// A documented call.
enum Call<'a> {
    Vaults,
    List(&'a str),
    Create(&'a str),
    Patch(&'a str, &'a str),
    Delete(&'a str, &'a str),
}

/// The vault that a path names.
pub(crate) fn vault_in(path: &str) -> Option<&str> {
    let vault = path
        .strip_prefix(BASE)?
        .strip_prefix("/vaults/")?
        .split('/')
        .next()?;
    (!vault.is_empty()).then_some(vault)
}

/// The secret that a path names.
pub(crate) fn secret_in(path: &str) -> Option<&str> {
    let rest = path.strip_prefix(BASE)?.strip_prefix("/vaults/")?;
    let secret = rest.split_once('/')?.1.strip_prefix("secrets/")?;
    (!secret.is_empty() && !secret.contains('/')).then_some(secret)
}

/// Works on a request.
pub(crate) fn answer(shared: &Shared, head: &Parts, body: &[u8]) -> Answered {
    work(shared, head, body).unwrap_or_else(|answered| answered)
}

fn work(shared: &Shared, head: &Parts, body: &[u8]) -> Result<Answered, Answered> {
    let path = head.uri.path();
    if !path.starts_with(BASE) {
        return Err(error(404, "not found"));
    }
    let key = head
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let key = key
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or_default();
    if !lock(&shared.keys).contains(key) {
        return Err(error(401, "invalid API key"));
    }
    let call = call(head.method.as_str(), path).ok_or_else(|| error(404, "not found"))?;
    let behaviour = lock(&shared.behaviour).clone();
    match call {
        Call::Vaults => Ok(vaults(shared, &behaviour)),
        Call::List(vault) => list(shared, vault, &behaviour),
        Call::Create(vault) => {
            vault_exists(shared, vault)?;
            let fields = Fields::read(
                head,
                body,
                &["env_key", "value", "allowed_domains"],
                &behaviour,
            )?;
            create(shared, vault, fields, &behaviour)
        }
        Call::Patch(vault, secret) => {
            secret_exists(shared, vault, secret)?;
            let fields = Fields::read(head, body, &["value", "allowed_domains"], &behaviour)?;
            patch(shared, secret, fields, &behaviour)
        }
        Call::Delete(vault, secret) => {
            secret_exists(shared, vault, secret)?;
            lock(&shared.store).delete(secret).map_err(refused)?;
            Ok(Answered {
                status: 204,
                body: None,
                applied: true,
                created: None,
            })
        }
    }
}

fn call<'a>(method: &str, path: &'a str) -> Option<Call<'a>> {
    let mut parts = path.strip_prefix(BASE)?.split('/').skip(1);
    let parts = [
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
    ];
    match (method, parts) {
        ("GET", [Some("vaults"), None, ..]) => Some(Call::Vaults),
        ("GET", [Some("vaults"), Some(vault), Some("secrets"), None, _]) => Some(Call::List(vault)),
        ("POST", [Some("vaults"), Some(vault), Some("secrets"), None, _]) => {
            Some(Call::Create(vault))
        }
        (
            "PATCH",
            [
                Some("vaults"),
                Some(vault),
                Some("secrets"),
                Some(secret),
                None,
            ],
        ) => Some(Call::Patch(vault, secret)),
        (
            "DELETE",
            [
                Some("vaults"),
                Some(vault),
                Some("secrets"),
                Some(secret),
                None,
            ],
        ) => Some(Call::Delete(vault, secret)),
        _ => None,
    }
}

fn vaults(shared: &Shared, behaviour: &Behaviour) -> Answered {
    let store = lock(&shared.store);
    let all = store.vaults().map(|(id, vault)| {
        let mut shown = Map::new();
        shown.insert(String::from("id"), id.into());
        shown.insert(String::from("name"), vault.name.clone().into());
        shown.insert(
            String::from("description"),
            vault.description.clone().into(),
        );
        shown.insert(behaviour.vault_count_field.clone(), vault.count().into());
        Value::Object(shown)
    });
    ok(200, all.collect())
}

fn list(shared: &Shared, vault: &str, behaviour: &Behaviour) -> Result<Answered, Answered> {
    vault_exists(shared, vault)?;
    let secrets = lock(&shared.store).list(vault, behaviour.list_lag);
    let mut secrets = secrets.ok_or_else(|| error(404, "vault not found"))?;
    secrets.retain(|secret| !behaviour.list_omits.contains(&secret.id));
    match behaviour.list_order {
        ListOrder::Created => {}
        ListOrder::Reversed => secrets.reverse(),
        ListOrder::Shuffled => fastrand::shuffle(&mut secrets),
    }
    secrets.truncate(behaviour.list_truncated.unwrap_or(usize::MAX));
    Ok(ok(
        200,
        secrets
            .iter()
            .map(|secret| shown(secret, behaviour, behaviour.list_time))
            .chain(behaviour.list_adds.iter().cloned())
            .collect(),
    ))
}

fn create(
    shared: &Shared,
    vault: &str,
    fields: Fields,
    behaviour: &Behaviour,
) -> Result<Answered, Answered> {
    let env_key = fields
        .env_key
        .ok_or_else(|| error(400, "env_key is required"))?;
    let value = fields
        .value
        .ok_or_else(|| error(400, "value is required"))?;
    if !is_env_key(&env_key) {
        return Err(error(400, "env_key is invalid or reserved"));
    }
    let allowed_domains = fields.domains.unwrap_or_default();
    let new = NewSecret {
        id: None,
        env_key,
        value,
        allowed_domains,
    };
    let secret = lock(&shared.store)
        .create(vault, new, behaviour)
        .map_err(refused)?;
    Ok(Answered {
        status: 201,
        body: Some(shown(&secret, behaviour, behaviour.object_time)),
        applied: true,
        created: Some(secret.id),
    })
}

fn patch(
    shared: &Shared,
    secret: &str,
    fields: Fields,
    behaviour: &Behaviour,
) -> Result<Answered, Answered> {
    let changed = lock(&shared.store).change(secret, fields.value, fields.domains, behaviour);
    let changed = changed.map_err(refused)?;
    let body = Some(shown(&changed.secret, behaviour, behaviour.object_time));
    Ok(Answered {
        status: 200,
        body,
        applied: changed.moved,
        created: None,
    })
}

/// 400 for a malformed id, 404 for an absent vault (doc). A chosen id of another form is well-formed once it exists.
fn vault_exists(shared: &Shared, vault: &str) -> Result<(), Answered> {
    match lock(&shared.store).has_vault(vault) {
        true => Ok(()),
        false if well_formed("vlt_", vault) => Err(error(404, "vault not found")),
        false => Err(error(400, "invalid vault id")),
    }
}

fn secret_exists(shared: &Shared, vault: &str, secret: &str) -> Result<(), Answered> {
    vault_exists(shared, vault)?;
    let store = lock(&shared.store);
    match store.vault_of(secret) {
        Some(holder) if holder == vault => Ok(()),
        None if !well_formed("sec_", secret) => Err(error(400, "invalid secret id")),
        Some(_) | None => Err(error(404, "secret not found")),
    }
}

/// The rule that the documentation gives for environment variables.
fn is_env_key(key: &str) -> bool {
    let first = key.bytes().next();
    first.is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !key.starts_with("NAIRI_")
        && !key.starts_with("CCAGENT_")
}

/// The fields of a request.
#[derive(Default)]
struct Fields {
    env_key: Option<String>,
    value: Option<String>,
    domains: Option<Vec<String>>,
}

impl Fields {
    fn read(
        head: &Parts,
        body: &[u8],
        known: &[&str],
        behaviour: &Behaviour,
    ) -> Result<Self, Answered> {
        let kind = head
            .headers
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default();
        if !kind.starts_with("application/json") {
            return Err(error(400, "content-type must be application/json"));
        }
        let Ok(Value::Object(sent)) = serde_json::from_slice(body) else {
            return Err(error(400, "the body must be a JSON object"));
        };
        let mut fields = Self::default();
        for (name, value) in sent {
            match name.as_str() {
                known_name if !known.contains(&known_name) => {
                    if behaviour.unknown_fields_refused {
                        return Err(error(400, "unknown field"));
                    }
                }
                _ if value.is_null() && behaviour.null_is_absent => {}
                "env_key" => fields.env_key = Some(text(value, "env_key")?),
                "value" => fields.value = Some(text(value, "value")?),
                _ => fields.domains = Some(texts(value)?),
            }
        }
        if behaviour.empty_value_refused && fields.value.as_deref() == Some("") {
            return Err(error(400, "value must not be empty"));
        }
        Ok(fields)
    }
}

fn text(value: Value, name: &str) -> Result<String, Answered> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(error(400, &format!("{name} must be a string"))),
    }
}

fn texts(value: Value) -> Result<Vec<String>, Answered> {
    serde_json::from_value(value)
        .map_err(|_| error(400, "allowed_domains must be an array of strings"))
}

/// A secret as an answer shows it; never its value (doc).
fn shown(secret: &Secret, behaviour: &Behaviour, format: TimeFormat) -> Value {
    let mut shown = behaviour.extra_fields.clone();
    let created = secret.created
        + if behaviour.updated_before_created {
            SHOWN_LATER
        } else {
            0
        };
    shown.insert(String::from("id"), secret.id.clone().into());
    shown.insert(String::from("env_key"), secret.env_key.clone().into());
    shown.insert(
        String::from("allowed_domains"),
        secret.allowed_domains.clone().into(),
    );
    shown.insert(String::from("created_at"), format.spell(created).into());
    shown.insert(
        String::from("updated_at"),
        format.spell(secret.updated).into(),
    );
    shown.retain(|name, _| !behaviour.missing_fields.contains(name));
    Value::Object(shown)
}

/// `created_at` and `updated_at` as the answer of a PATCH would show them.
pub(crate) fn stamps(secret: &Secret, behaviour: &Behaviour) -> (String, String) {
    let created = secret.created
        + if behaviour.updated_before_created {
            SHOWN_LATER
        } else {
            0
        };
    let format = behaviour.object_time;
    (format.spell(created), format.spell(secret.updated))
}

fn refused(refusal: Refusal) -> Answered {
    match refusal {
        Refusal::Absent => error(404, "not found"),
        Refusal::Duplicate(status) => error(status, "env_key already exists in this vault"),
        Refusal::IdTaken => error(500, "internal error"),
    }
}

fn ok(status: u16, body: Value) -> Answered {
    Answered {
        status,
        body: Some(body),
        applied: false,
        created: None,
    }
}

/// The documented form of an error.
fn error(status: u16, message: &str) -> Answered {
    ok(status, json!({ "error": message }))
}

impl Answered {
    /// The body's bytes.
    pub(crate) fn bytes(&self) -> Bytes {
        self.body
            .as_ref()
            .map_or_else(Bytes::new, |body| Bytes::from(body.to_string()))
    }
}
