//! Logs, and what a panic may say.
//!
//! Lines go to standard error. The libraries that carry secret values over the network are capped: at their
//! lowest levels they could log what they carry, and kube's client logs a whole body that fails to decode.

use std::panic;

use tracing::{Level, Metadata, error, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::filter_fn, fmt, layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::args::LogFormat;

/// Targets that see bodies, and the most they may log.
const CAPPED: &[(&str, LevelFilter)] = &[
    // Its WARN is the body of an answer that fails to decode; its failures reach us as errors all the same.
    ("kube_client", LevelFilter::ERROR),
    ("h2", LevelFilter::INFO),
    ("hyper", LevelFilter::INFO),
    ("hyper_util", LevelFilter::INFO),
    ("reqwest", LevelFilter::INFO),
    ("rustls", LevelFilter::INFO),
    ("tower", LevelFilter::INFO),
    ("tokio_util", LevelFilter::INFO),
];

/// The filter does not parse.
#[derive(Debug, thiserror::Error)]
#[error(
    "--log-filter {filter:?} is not a level (error, warn, info, debug, trace) or a list of target=level"
)]
pub struct BadFilter {
    filter: String,
}

/// Starts logging, and keeps panics from printing their payloads.
///
/// # Errors
/// When `filter` does not parse.
pub fn start(format: LogFormat, filter: &str) -> Result<(), BadFilter> {
    let filter = EnvFilter::try_new(filter).map_err(|_| BadFilter {
        filter: filter.to_owned(),
    })?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed(),
        LogFormat::Text => lines.with_ansi(false).boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines.with_filter(filter_fn(may_log)))
        .init();
    panic::set_hook(Box::new(report));
    Ok(())
}

/// Whether a line is under its target's cap.
fn may_log(line: &Metadata<'_>) -> bool {
    let target = line.target();
    let within = |name: &str| {
        target
            .strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    let level: &Level = line.level();
    CAPPED
        .iter()
        .find(|(name, _)| within(name))
        .is_none_or(|(_, cap)| level <= cap)
}

/// The place of a panic, and nothing of its payload: that may be made of anything.
fn report(panic: &panic::PanicHookInfo<'_>) {
    let (file, line) = panic
        .location()
        .map_or(("unknown", 0), |place| (place.file(), place.line()));
    error!(file, line, "panicked");
}
