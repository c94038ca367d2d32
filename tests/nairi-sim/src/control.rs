//! The control endpoint of the program, `/sim/…`: what the library's handle does, by curl. It asks for no key, and
//! what it does is not logged. Only with [`Options::control`](crate::Options::control).

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Request, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::body::Reply;
use crate::entry::{Entries, Entry, Mark};
use crate::exchange;
use crate::fault::Fault;
use crate::faults::FaultHandle;
use crate::line::Line;
use crate::lock;
use crate::outsider::{Outsider, Refused};
use crate::sim::Shared;
use crate::state::{NewSecret, NewVault};

/// Where it begins.
const PREFIX: &str = "/sim/";

/// How long a wait for the log lasts unless told.
const PATIENCE: u64 = 10_000;

/// A status and a JSON body.
type Told = (u16, Value);

/// A change by an outsider.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    value: Option<String>,
    allowed_domains: Option<Vec<String>>,
}

/// A key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    key: String,
}

/// Whether a path is the control endpoint's.
pub(crate) fn is_for(path: &str) -> bool {
    path.starts_with(PREFIX)
}

/// Does what a request asks for.
pub(crate) async fn answer(
    shared: &Shared,
    request: Request<Incoming>,
) -> Result<Response<Reply>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let path = head.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    let query = head.uri.query().unwrap_or_default();
    let told = match (head.method.as_str(), parts.as_slice()) {
        ("GET", ["log"]) => log(shared, query).await,
        (method, parts) => act(shared, method, parts, &body),
    };
    let (status, value) = told.unwrap_or_else(|(status, text)| (status, json!({ "error": text })));
    Ok(exchange::json(
        status,
        Reply::Whole(Bytes::from(format!("{value}\n"))),
    ))
}

fn act(shared: &Shared, method: &str, parts: &[&str], body: &[u8]) -> Result<Told, (u16, String)> {
    let outsider = Outsider(shared);
    match (method, parts) {
        ("GET", ["state"]) => Ok((200, state(shared))),
        ("DELETE", ["log"]) => {
            shared.log.clear();
            Ok(done())
        }
        ("GET", ["behaviour"]) => tell(200, shared.behaviour()),
        ("PATCH", ["behaviour"]) => behave(shared, body),
        ("GET", ["faults"]) => Ok((200, shared.faults.handles().iter().map(fault).collect())),
        ("POST", ["faults"]) => Ok((201, fault(&shared.faults.add(read::<Fault>(body)?)))),
        ("DELETE", ["faults"]) => {
            shared.faults.handles().iter().for_each(FaultHandle::remove);
            Ok(done())
        }
        ("GET", ["faults", id]) => Ok((200, fault(&find(shared, id)?))),
        ("DELETE", ["faults", id]) => {
            find(shared, id)?.remove();
            Ok(done())
        }
        ("POST", ["faults", id, "release"]) => {
            let handle = find(shared, id)?;
            handle.release();
            Ok((200, fault(&handle)))
        }
        ("GET", ["keys"]) => tell(200, &*lock(&shared.keys)),
        ("POST", ["keys"]) => {
            lock(&shared.keys).insert(read::<Key>(body)?.key);
            Ok(done())
        }
        ("DELETE", ["keys", key]) => {
            let removed = lock(&shared.keys).remove(*key);
            removed
                .then(done)
                .ok_or_else(|| (404, String::from("no such key")))
        }
        ("POST", ["vaults"]) => {
            let id = outsider
                .create_vault(read::<NewVault>(body)?)
                .map_err(refused)?;
            Ok((201, json!({ "id": id })))
        }
        ("POST", ["vaults", vault, "secrets"]) => tell(
            201,
            outsider
                .create(vault, read::<NewSecret>(body)?)
                .map_err(refused)?,
        ),
        ("GET", ["secrets", id]) => tell(
            200,
            shared.secret(id).ok_or_else(|| refused(Refused::Absent))?,
        ),
        ("PATCH", ["secrets", id]) => {
            let set: Set = read(body)?;
            tell(
                200,
                outsider
                    .set(id, set.value, set.allowed_domains)
                    .map_err(refused)?,
            )
        }
        ("POST", ["secrets", id, "touch"]) => tell(200, outsider.touch(id).map_err(refused)?),
        ("DELETE", ["secrets", id]) => {
            outsider.delete(id).map_err(refused)?;
            Ok(done())
        }
        _ => Err((404, String::from("no such control"))),
    }
}

fn state(shared: &Shared) -> Value {
    let vaults: Vec<(String, String)> = {
        let store = lock(&shared.store);
        store
            .vaults()
            .map(|(id, vault)| (id.to_owned(), vault.name.clone()))
            .collect()
    };
    let told = vaults.into_iter().map(|(id, name)| {
        let secrets = shared.secrets(&id);
        json!({ "id": id, "name": name, "secrets": secrets })
    });
    json!({ "vaults": told.collect::<Vec<_>>() })
}

/// Changes the switches named, and no other.
fn behave(shared: &Shared, body: &[u8]) -> Result<Told, (u16, String)> {
    let changes: serde_json::Map<String, Value> = read(body)?;
    let mut behaviour = lock(&shared.behaviour);
    let Ok(Value::Object(mut all)) = serde_json::to_value(&*behaviour) else {
        return Err((500, String::from("behaviour is an object")));
    };
    all.extend(changes);
    *behaviour =
        serde_json::from_value(Value::Object(all)).map_err(|error| (400, error.to_string()))?;
    tell(200, &*behaviour)
}

/// `?since=SEQ`, `?writes=true`, `?secret=ID`; `?at_least=COUNT` waits until so many of those have an outcome, at
/// most `?timeout_ms=`; `?bodies=true` adds headers and bodies, key and values included.
async fn log(shared: &Shared, query: &str) -> Result<Told, (u16, String)> {
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|pair| pair.0 == name).map(|pair| pair.1)
    };
    let number = |name: &str, default: u64| match value(name) {
        None => Ok(default),
        Some(text) => text
            .parse()
            .map_err(|_| (400, format!("{name} must be a number"))),
    };
    let since = Mark(number("since", 0)?);
    let at_least = number("at_least", 0)?;
    let timeout = Duration::from_millis(number("timeout_ms", PATIENCE)?);
    let wanted = |entries: &Entries| {
        entries.only(|entry| {
            entry.seq >= since.0
                && (value("writes") != Some("true") || entry.is_write())
                && value("secret").is_none_or(|id| entry.secret_id.as_deref() == Some(id))
        })
    };
    let enough = |entries: &Entries| wanted(entries).ended().len() as u64 >= at_least;
    let Ok(entries) = shared.log.wait_for(enough, timeout).await else {
        return Err((504, String::from("not seen in time")));
    };
    let full = value("bodies") == Some("true");
    let lines: Result<Vec<Value>, _> = wanted(&entries)
        .iter()
        .map(|entry| told(entry, full))
        .collect();
    tell(200, lines.map_err(internal)?)
}

fn told(entry: &Entry, full: bool) -> Result<Value, serde_json::Error> {
    let mut line = serde_json::to_value(Line::of(entry))?;
    if full {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = entry.headers.iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), text(value.as_bytes()).into()));
        line["headers"] = Value::Object(headers.collect());
        line["body"] = text(&entry.body).into();
    }
    Ok(line)
}

fn fault(handle: &FaultHandle) -> Value {
    let state = handle.state();
    json!({
        "id": handle.id(),
        "fired": state.fired,
        "stalled": state.stalled,
        "released": state.released,
        "fault": handle.fault(),
    })
}

fn find(shared: &Shared, id: &str) -> Result<FaultHandle, (u16, String)> {
    let handle = id.parse().ok().and_then(|id| shared.faults.handle(id));
    handle.ok_or_else(|| (404, String::from("no such fault")))
}

fn done() -> Told {
    (200, json!({}))
}

fn tell(status: u16, what: impl Serialize) -> Result<Told, (u16, String)> {
    Ok((status, serde_json::to_value(what).map_err(internal)?))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, (u16, String)> {
    serde_json::from_slice(body).map_err(|error| (400, error.to_string()))
}

#[expect(clippy::needless_pass_by_value, reason = "passed to map_err")]
fn internal(error: serde_json::Error) -> (u16, String) {
    (500, error.to_string())
}

fn refused(refused: Refused) -> (u16, String) {
    let status = match refused {
        Refused::Absent => 404,
        Refused::Taken => 409,
    };
    (status, refused.to_string())
}
