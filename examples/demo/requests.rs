//! What arrived at the vault, by the simulator's own log.

use std::time::{Duration, Instant};

use nairi_sim::{Entries, Entry, Mark, Sim};

/// How long nothing more must come for "exactly one".
const NO_MORE: Duration = Duration::from_millis(300);

/// Waits until so many writes arrived since, and were answered.
pub(crate) async fn arrived(
    sim: &Sim,
    since: Mark,
    count: usize,
    deadline: Duration,
) -> Result<Entries, String> {
    let there = |log: &Entries| log.since(since).writes().ended().len() >= count;
    let log = sim.log().wait_for(there, deadline).await;
    log.map(|log| log.since(since))
        .map_err(|error| format!("no PATCH arrived at the vault: {error}"))
}

/// Makes sure that PATCHes with just these fields, and no other write, arrived since; returns all requests since.
pub(crate) async fn exactly(sim: &Sim, since: Mark, fields: &[&[&str]]) -> Result<Entries, String> {
    let so_far = |log: &Entries| log.since(since).writes().len() <= fields.len();
    let _ = sim.log().stays(so_far, NO_MORE).await;
    let log = sim.log().since(since);
    let writes = log.writes();
    let as_wanted = writes.len() == fields.len()
        && writes.iter().zip(fields).all(|(entry, fields)| {
            entry.method == "PATCH" && entry.fields() == *fields && entry.status() == Some(200)
        });
    if as_wanted {
        Ok(log)
    } else {
        Err(format!(
            "the vault got these writes, not {fields:?}: {writes:#?}"
        ))
    }
}

/// How long after `since` the first write of `log` arrived; zero if it was there before.
pub(crate) fn arrival(log: &Entries, since: Instant) -> Option<Duration> {
    let writes = log.writes();
    writes
        .last()
        .map(|entry| entry.arrived.saturating_duration_since(since))
}

/// A request on one line: what it asked for by the names of its fields, and what came of it.
pub(crate) fn request(entry: &Entry) -> String {
    let path = entry.path.trim_start_matches("/api/public/v1");
    let short = path
        .rsplit_once("/secrets/")
        .map_or_else(|| path.to_owned(), |(_, id)| format!("…/secrets/{id}"));
    let fields = match (entry.method.as_str(), entry.fields()) {
        ("GET", _) => String::new(),
        (_, fields) => format!(" {{{}}}", fields.join(", ")),
    };
    let status = entry
        .status()
        .map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    format!("{} {short}{fields}  {status}", entry.method)
}
