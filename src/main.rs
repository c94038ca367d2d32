//! The `vaultsecret-operator` program: parse, install the TLS provider, run.

use std::{io::Write as _, process::ExitCode};

use clap::Parser as _;
use tracing::error;
use vaultsecret_operator::{
    args::{Cli, Command, Run},
    crds, run, seal, telemetry,
};

fn main() -> ExitCode {
    // Before anything else, and so before there is anything to be seen.
    if let Err(error) = seal::seal() {
        return failed(&format!("can't keep its memory out of core dumps: {error}"));
    }
    let cli = Cli::parse();
    let outcome = match cli.command {
        None => operate(cli.run),
        Some(Command::Run(args)) => operate(*args),
        Some(Command::Crds {
            output_dir: Some(dir),
        }) => crds::write(&dir).map_err(|error| format!("{}: {error}", dir.display())),
        Some(Command::Crds { output_dir: None }) => print(&crds::yaml()),
        Some(Command::Version) => print(concat!(
            "vaultsecret-operator ",
            env!("CARGO_PKG_VERSION"),
            "\n"
        )),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => failed(&message),
    }
}

fn failed(message: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "vaultsecret-operator: {message}");
    ExitCode::FAILURE
}

fn print(text: &str) -> Result<(), String> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| error.to_string())
}

fn operate(args: Run) -> Result<(), String> {
    // kube and reqwest both use rustls; with one provider for the process neither has to choose.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let traces = telemetry::start(&args).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let outcome = runtime.block_on(run::run(args));
    // Whatever still runs was given its time.
    runtime.shutdown_background();
    traces.end();
    outcome.map_err(|error| {
        error!(%error, "the operator ends");
        error.to_string()
    })
}
