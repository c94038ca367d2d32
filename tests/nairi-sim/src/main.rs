//! The simulator as a program: see the README beside it.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use nairi_sim::{Behaviour, Entry, Line, NewSecret, NewVault, Observer, Options, Sim, Tls};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// How many requests the log keeps: a program may run for days.
const LOG_LIMIT: usize = 10_000;

/// Simulates the Nairi API. The first line on stdout is a JSON object: url, api_key, ca (with --tls-dir) and vaults.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Where to listen; port 0: any free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The valid API key, repeatable; none: a new one, printed.
    #[arg(long)]
    api_key: Vec<String>,
    /// A vault to begin with, repeatable; none at all (here, by --secret or --seed): a new one, printed.
    #[arg(long, value_name = "ID[=NAME]")]
    vault: Vec<String>,
    /// A secret to begin with, repeatable; its vault is made if need be.
    #[arg(long, value_name = "VAULT/SECRET_ID/ENV_KEY", value_parser = seeded)]
    secret: Vec<Seeded>,
    /// A JSON file of vaults: [{"id", "name", "description", "secrets": [{"id", "env_key", "value", "allowed_domains"}]}].
    #[arg(long)]
    seed: Option<PathBuf>,
    /// Serves HTTPS with a throwaway certificate, and writes its CA to ca.pem in this folder.
    #[arg(long)]
    tls_dir: Option<PathBuf>,
    /// Prints each request on one line: method, path, field names (never values), status, milliseconds.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    log: Option<Format>,
    /// How long every request waits, such as 50ms.
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    latency: Duration,
    /// Ends when stdin does, besides SIGINT and SIGTERM.
    #[arg(long)]
    until_stdin_closes: bool,
}

/// How requests are printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// `PATCH /api/… {value} 200 0.123ms applied`
    Text,
    /// One JSON object a line.
    Json,
}

/// A secret given on the command line.
#[derive(Clone, Debug)]
struct Seeded {
    vault: String,
    secret: NewSecret,
}

fn seeded(text: &str) -> Result<Seeded, String> {
    match text.split('/').collect::<Vec<_>>().as_slice() {
        [vault, id, env_key] if !text.starts_with('/') && !id.is_empty() && !env_key.is_empty() => {
            Ok(Seeded {
                vault: (*vault).to_owned(),
                secret: NewSecret {
                    id: Some((*id).to_owned()),
                    env_key: (*env_key).to_owned(),
                    value: String::from("seeded"),
                    allowed_domains: Vec::new(),
                },
            })
        }
        _ => Err(String::from("expected VAULT/SECRET_ID/ENV_KEY")),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "nairi-sim: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let sim = Sim::try_start(Options {
        listen: args.listen,
        api_key: args.api_key.first().cloned(),
        tls: args.tls_dir.is_some().then(Tls::default),
        behaviour: Behaviour {
            latency: args.latency,
            ..Behaviour::default()
        },
        log_limit: LOG_LIMIT,
        control: true,
        observer: args.log.map(printer),
    })
    .await?;
    args.api_key.iter().for_each(|key| sim.add_key(key));
    let vaults = furnish(&sim, &args)?;
    let mut first = json!({ "url": sim.url(), "api_key": sim.api_key(), "vaults": vaults });
    if let (Some(folder), Some(pem)) = (&args.tls_dir, sim.ca_pem()) {
        let file = folder.join("ca.pem");
        fs::create_dir_all(folder)?;
        fs::write(&file, pem)?;
        first["ca"] = file.display().to_string().into();
    }
    writeln!(io::stdout(), "{first}")?;
    let stdin_closes = watch_stdin(args.until_stdin_closes);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = stdin_closes => {}
    }
    sim.stop().await;
    Ok(())
}

/// Makes the vaults and secrets asked for; the ids of all vaults.
fn furnish(sim: &Sim, args: &Args) -> Result<BTreeSet<String>, Box<dyn Error>> {
    let mut ids = BTreeSet::new();
    let outsider = sim.outsider();
    if let Some(file) = &args.seed {
        let vaults: Vec<NewVault> = serde_json::from_slice(&fs::read(file)?)?;
        for vault in vaults {
            ids.insert(outsider.create_vault(vault)?);
        }
    }
    for text in &args.vault {
        let (id, name) = text.split_once('=').unwrap_or((text, ""));
        let vault = NewVault {
            id: Some(id.to_owned()),
            name: name.to_owned(),
            ..NewVault::default()
        };
        ids.insert(outsider.create_vault(vault)?);
    }
    for Seeded { vault, secret } in &args.secret {
        if ids.insert(vault.clone()) {
            outsider.create_vault(NewVault {
                id: Some(vault.clone()),
                ..NewVault::default()
            })?;
        }
        outsider.create(vault, secret.clone())?;
    }
    if ids.is_empty() {
        ids.insert(outsider.create_vault(NewVault::default())?);
    }
    Ok(ids)
}

/// Prints each request. A reader that is gone is none of the API's business.
fn printer(format: Format) -> Observer {
    Arc::new(move |entry: &Entry| {
        let line = Line::of(entry);
        let mut out = io::stdout().lock();
        let _ = match format {
            Format::Text => writeln!(out, "{line}"),
            Format::Json => writeln!(out, "{}", serde_json::to_string(&line).unwrap_or_default()),
        };
        let _ = out.flush();
    })
}

/// Ends with stdin, or never. A thread of its own: a pending read must not keep the program from ending.
async fn watch_stdin(watched: bool) {
    if !watched {
        return std::future::pending().await;
    }
    let (closed, ended) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = closed.send(());
    });
    let _ = ended.await;
}
