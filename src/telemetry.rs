//! Logs, traces, and what a panic may say.
//!
//! Lines go to standard error. Only this crate may log at the lowest levels: the libraries carry secret values
//! over the network, and could log what they carry. kube's crates are capped further: they log a whole body that
//! fails to decode, and decoding errors, which quote it.

mod traces;

use std::panic;

use tracing::{Metadata, error, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::filter_fn, fmt, layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

pub use self::traces::Traces;
use crate::args::{LogFormat, Run};

/// The most that some targets may log, whatever the filter says.
const CAPS: [(&str, LevelFilter); 5] = [
    (env!("CARGO_CRATE_NAME"), LevelFilter::TRACE),
    // Their failures reach us as errors all the same.
    ("kube_client", LevelFilter::ERROR),
    ("kube_core", LevelFilter::ERROR),
    ("kube_runtime", LevelFilter::ERROR),
    // It quotes the certificate of whoever answered. What is wrong with that our own error says.
    ("rustls_platform_verifier", LevelFilter::OFF),
];

/// The same for all others.
const CAP: LevelFilter = LevelFilter::INFO;

/// Why there can be no logs or traces.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter does not parse.
    #[error(
        "--log-filter {0:?} is not a level (error, warn, info, debug, trace) or a list of target=level"
    )]
    Filter(String),
    /// The collector's address is of no use.
    #[error(
        "--otlp-endpoint is not an address such as http://collector:4318, without path and without credentials"
    )]
    Endpoint,
    /// This program can't send traces.
    #[error(
        "--otlp-endpoint needs a program that was built with `cargo build --features otel`; this one was not"
    )]
    NoTraces,
    /// The exporter could not be made.
    #[error("the exporter of traces can't be made: {0}")]
    Exporter(String),
}

/// Starts logging and tracing, and keeps panics from printing their payloads. What is returned sends the last traces.
///
/// # Errors
/// See [`Error`].
pub fn start(args: &Run) -> Result<Traces, Error> {
    let filter = filter(&args.log_filter)?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match args.log_format {
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed(),
        LogFormat::Text => lines.with_ansi(false).boxed(),
    };
    let lines = lines.with_filter(filter).with_filter(filter_fn(may_log));
    let (spans, traces) = traces::layer(args.otlp_endpoint.as_deref())?;
    tracing_subscriber::registry()
        .with(spans)
        .with(lines)
        .init();
    panic::set_hook(Box::new(report));
    Ok(traces)
}

/// A word that is no level would be taken for the one target that may log, and the log would be empty: a typo is refused.
fn filter(text: &str) -> Result<EnvFilter, Error> {
    let is_word = |part: &str| {
        part.chars()
            .all(|c| c.is_alphanumeric() || "_-:".contains(c))
    };
    let typo = (text.split(',').map(str::trim))
        .any(|part| !part.is_empty() && is_word(part) && part.parse::<LevelFilter>().is_err());
    let filter = EnvFilter::try_new(text).ok().filter(|_| !typo);
    filter.ok_or_else(|| Error::Filter(text.to_owned()))
}

/// Whether it is a line, and under its target's cap. Spans are for traces alone: without those they cost nothing.
fn may_log(line: &Metadata<'_>) -> bool {
    line.is_event() && *line.level() <= cap(line.target())
}

fn cap(target: &str) -> LevelFilter {
    let within = |name: &str| {
        target
            .strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    CAPS.iter()
        .find(|(name, _)| within(name))
        .map_or(CAP, |(_, cap)| *cap)
}

/// The place of a panic, and nothing of its payload: that may be made of anything.
fn report(panic: &panic::PanicHookInfo<'_>) {
    let (file, line) = panic
        .location()
        .map_or(("unknown", 0), |place| (place.file(), place.line()));
    error!(file, line, "panicked");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_would_empty_the_log_is_refused() {
        for fine in [
            "info",
            "WARN",
            "off",
            "info,vaultsecret_operator=debug",
            "vaultsecret_operator::lease=trace, warn",
            "[reconcile{name}]=debug",
        ] {
            assert!(filter(fine).is_ok(), "{fine}");
        }
        for typo in ["verbose", "debg", "info,vaultsecret_operator", "x=verbose"] {
            assert!(
                matches!(filter(typo), Err(Error::Filter(said)) if said == typo),
                "{typo}"
            );
        }
    }

    #[test]
    fn only_our_own_lines_may_be_of_the_lowest_levels() {
        assert_eq!(cap("vaultsecret_operator::nairi::call"), LevelFilter::TRACE);
        assert_eq!(cap("vaultsecret_operator"), LevelFilter::TRACE);
        for target in ["kube_client::client", "kube_runtime::watcher", "kube_core"] {
            assert_eq!(cap(target), LevelFilter::ERROR, "{target}");
        }
        assert_eq!(
            cap("rustls_platform_verifier::verification::others"),
            LevelFilter::OFF
        );
        for target in [
            "h2::codec",
            "hyper_util",
            "reqwest",
            "vaultsecret_operator_2",
            "log",
            "",
        ] {
            assert_eq!(cap(target), LevelFilter::INFO, "{target}");
        }
    }
}
