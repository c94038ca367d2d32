//! Flags and their environment variables. No logic.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

/// Keeps secrets of the Nairi vault as VaultSecret objects declare them.
#[derive(Debug, Parser)]
#[command(version, about, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; `run` if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The flags of `run`.
    #[command(flatten)]
    pub run: Run,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator (the default).
    Run(Box<Run>),
    /// Print the CustomResourceDefinitions as YAML.
    Crds {
        /// Write one file per CustomResourceDefinition into this folder instead.
        #[arg(long)]
        output_dir: Option<PathBuf>,
    },
    /// Print the version.
    Version,
}

/// The flags of `run`. Durations are written like `10s`, `5m`, `1h`.
#[derive(Args, Clone, Debug)]
pub struct Run {
    /// Where the Nairi API is; `/api/public/v1` is added to it. HTTPS, or plain HTTP to a loopback address.
    #[arg(
        long,
        env = "VAULTSECRET_API_URL",
        default_value = "https://api.nairi.ai"
    )]
    pub api_url: String,

    /// A file with CA certificates (PEM) to trust for the API, beside the system's.
    #[arg(long, env = "VAULTSECRET_API_CA_FILE")]
    pub api_ca_file: Option<PathBuf>,

    /// Allow plain HTTP to any host: the API key and every value travel unencrypted.
    #[arg(long, env = "VAULTSECRET_ALLOW_INSECURE_HTTP")]
    pub allow_insecure_http: bool,

    /// How long one request to the API may take.
    #[arg(long, env = "VAULTSECRET_API_TIMEOUT", default_value = "10s", value_parser = humantime::parse_duration)]
    pub api_timeout: Duration,

    /// How many requests may be under way at once with one API key.
    #[arg(long, env = "VAULTSECRET_API_CONCURRENCY", default_value = "16", value_parser = clap::value_parser!(u16).range(1..))]
    pub api_concurrency: u16,

    /// Watch this namespace only. Repeatable; without it all namespaces are watched.
    #[arg(
        long = "watch-namespace",
        env = "VAULTSECRET_WATCH_NAMESPACE",
        value_delimiter = ','
    )]
    pub watch_namespaces: Vec<String>,

    /// How often each vault in use is listed, to find what others changed, removed or added there; at least 1s.
    #[arg(long, env = "VAULTSECRET_RESYNC_INTERVAL", default_value = "5m", value_parser = humantime::parse_duration)]
    pub resync_interval: Duration,

    /// How long an object under `deletionPolicy: Delete` that is being deleted waits for a usable API key before it is
    /// released, and its remote secret stays behind; 0s waits for ever.
    #[arg(long, env = "VAULTSECRET_DELETION_GRACE", default_value = "10m", value_parser = humantime::parse_duration)]
    pub deletion_grace: Duration,

    /// How many objects are worked on at once.
    #[arg(long, env = "VAULTSECRET_CONCURRENCY", default_value = "32", value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrency: u16,

    /// Send nothing to the API: status says what would be sent.
    #[arg(long, env = "VAULTSECRET_DRY_RUN")]
    pub dry_run: bool,

    /// Wait for a Lease before anything is done, so that of several replicas one acts. `--leader-elect=false` acts at
    /// once: never run two like that.
    #[arg(long, env = "VAULTSECRET_LEADER_ELECT", default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub leader_elect: bool,

    /// The name of that Lease, in the operator's own namespace.
    #[arg(
        long,
        env = "VAULTSECRET_LEASE_NAME",
        default_value = "vaultsecret-operator"
    )]
    pub lease_name: String,

    /// The operator's own namespace, which keeps its Lease and its fingerprint key. Default: the service account's, else `default`.
    #[arg(long, env = "VAULTSECRET_NAMESPACE")]
    pub namespace: Option<String>,

    /// Where to serve /livez, /readyz and /metrics.
    #[arg(long, env = "VAULTSECRET_HTTP_ADDR", default_value = "0.0.0.0:8080")]
    pub http_addr: SocketAddr,

    /// The form of the logs.
    #[arg(long, env = "VAULTSECRET_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,

    /// What to log: a level, or directives such as `info,vaultsecret_operator=debug`.
    #[arg(long, env = "VAULTSECRET_LOG_FILTER", default_value = "info")]
    pub log_filter: String,

    /// An OpenTelemetry collector that takes traces as OTLP over HTTP, such as `http://collector:4318`; `/v1/traces`
    /// is added. For programs built with the feature `otel`; the variables `OTEL_…` of its specification are honoured.
    #[arg(long, env = "VAULTSECRET_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
}

/// The form of the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Lines for people.
    Text,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_is_the_default_and_takes_the_same_flags() {
        let bare = Cli::parse_from([
            "vaultsecret-operator",
            "--watch-namespace",
            "a",
            "--watch-namespace",
            "b",
        ]);
        assert!(bare.command.is_none());
        assert_eq!(bare.run.watch_namespaces, ["a", "b"]);
        let named = Cli::parse_from(["vaultsecret-operator", "run", "--api-timeout", "1m"]);
        let Some(Command::Run(run)) = named.command else {
            panic!("no run: {:?}", named.command)
        };
        assert_eq!(run.api_timeout, Duration::from_mins(1));
        assert_eq!(run.concurrency, 32);
    }

    #[test]
    fn leader_election_is_on_unless_it_is_switched_off() {
        for (args, on) in [
            (&[][..], true),
            (&["--leader-elect"], true),
            (&["--leader-elect=true"], true),
            (&["--leader-elect=false"], false),
            (&["run", "--leader-elect=false"], false),
        ] {
            let args = ["vaultsecret-operator"].iter().chain(args);
            let cli = Cli::parse_from(args);
            let run = match cli.command {
                Some(Command::Run(run)) => *run,
                _ => cli.run,
            };
            assert_eq!(run.leader_elect, on);
            assert_eq!(run.lease_name, "vaultsecret-operator");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for args in [
            ["--concurrency", "0"],
            ["--api-timeout", "soon"],
            ["--http-addr", "8080"],
            ["--log-format", "xml"],
            ["--leader-elect", "false"],
        ] {
            let args = ["vaultsecret-operator"].into_iter().chain(args);
            assert!(Cli::try_parse_from(args).is_err());
        }
    }
}
