//! The HTTP client, and the certificate authorities it trusts: the CA file may be replaced while the process runs.
//!
//! A bundle of authorities is rotated by an update of the ConfigMap or Secret it is mounted from. The file is looked
//! at again with the first request after a while; if it holds something else, requests from then on go over new
//! connections that trust exactly what it holds, besides what the platform does. A file that can't be read, or holds
//! no certificate, changes nothing: what it held before stays trusted.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderValue;
use parking_lot::Mutex;
use reqwest::{Certificate, redirect, retry};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tracing::{info, warn};

use super::config::ConfigError;

/// How often the CA file is looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The size of a CA file at most: all public authorities together have a quarter of it.
const MAX_FILE: u64 = 1024 * 1024;

/// A server that does not take a connection in this time will not.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that died silently is noticed by a ping, or every request would run into its
/// timeout on it.
const PING_INTERVAL: Duration = Duration::from_secs(15);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// The size of the headers of one answer at most, under HTTP/2; HTTP/1 has a limit of its own, and 100 of them.
const MAX_HEADERS: u32 = 16 * 1024;

/// How an HTTP client is to be.
#[derive(Clone, Debug)]
pub(super) struct Blueprint {
    pub(super) user_agent: HeaderValue,
    pub(super) https_only: bool,
    pub(super) proxied: bool,
    pub(super) timeout: Duration,
}

/// The HTTP client of the moment.
pub(super) struct Transport {
    blueprint: Blueprint,
    ca_file: Option<PathBuf>,
    now: Mutex<Now>,
}

struct Now {
    http: reqwest::Client,
    /// What the CA file held when it was last looked at; none if it could not be read.
    read: Option<Vec<u8>>,
    looked: Instant,
}

impl Transport {
    /// Reads the CA file; sends nothing.
    pub(super) fn new(blueprint: Blueprint, ca_file: Option<PathBuf>) -> Result<Self, ConfigError> {
        let read = ca_file.as_deref().map(read).transpose()?;
        let authorities = match (&ca_file, &read) {
            (Some(path), Some(pem)) => certificates(path, pem)?,
            _ => Vec::new(),
        };
        let http = blueprint.client(authorities)?;
        Ok(Self {
            blueprint,
            ca_file,
            now: Mutex::new(Now {
                http,
                read,
                looked: Instant::now(),
            }),
        })
    }

    /// The client for the next request.
    pub(super) async fn client(&self) -> reqwest::Client {
        if let Some(path) = self.to_be_looked_at() {
            // An error means that the process ends.
            if let Ok(found) = spawn_blocking(move || read(&path)).await {
                self.found(found);
            }
        }
        self.now.lock().http.clone()
    }

    fn to_be_looked_at(&self) -> Option<PathBuf> {
        let path = self.ca_file.clone()?;
        let mut now = self.now.lock();
        let due = now.looked.elapsed() >= LOOK_EVERY;
        due.then(|| {
            now.looked = Instant::now();
            path
        })
    }

    /// Takes over what the CA file holds, if that is anything new and of use.
    fn found(&self, found: Result<Vec<u8>, ConfigError>) {
        let path = self.ca_file.as_deref().unwrap_or(Path::new(""));
        let read = found.as_ref().ok().cloned();
        if self.now.lock().read == read {
            return;
        }
        let next = found
            .and_then(|pem| certificates(path, &pem))
            .and_then(|authorities| self.blueprint.client(authorities));
        let ca_file = path.display();
        // In one step: of two looks at a time the later to end may be the one that saw less, which the next look mends.
        let mut now = self.now.lock();
        now.read = read;
        match next {
            Ok(http) => {
                now.http = http;
                info!(%ca_file, "the CA file was replaced, and is trusted from now on");
            }
            Err(error) => {
                warn!(%ca_file, %error, "the CA file was replaced by something that can't be used; what it held before stays trusted");
            }
        }
    }

    /// As if the time had come to look at the file again.
    #[cfg(test)]
    pub(super) fn look_again(&self) {
        let mut now = self.now.lock();
        now.looked = now.looked.checked_sub(LOOK_EVERY).unwrap_or(now.looked);
    }
}

impl Blueprint {
    fn client(&self, authorities: Vec<Certificate>) -> Result<reqwest::Client, ConfigError> {
        let Self {
            user_agent,
            https_only,
            proxied,
            timeout,
        } = self;
        let mut builder = reqwest::Client::builder()
            .user_agent(user_agent.clone())
            .redirect(redirect::Policy::none())
            // Not even what HTTP/2 says was not worked on: a server could have a value sent three times.
            .retry(retry::never())
            .referer(false)
            .https_only(*https_only)
            .connect_timeout(CONNECT_TIMEOUT.min(*timeout))
            .http2_max_header_list_size(MAX_HEADERS)
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_keep_alive_while_idle(true);
        if !proxied {
            builder = builder.no_proxy();
        }
        if !authorities.is_empty() {
            builder = builder.tls_certs_merge(authorities);
        }
        builder.build().map_err(|_| ConfigError::Tls)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let mut pem = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut pem));
    read.map_err(|error| ConfigError::CaFile {
        path: path.display().to_string(),
        kind: error.kind(),
    })?;
    Ok(pem)
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<Certificate>, ConfigError> {
    match Certificate::from_pem_bundle(pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(ConfigError::NoCertificate {
            path: path.display().to_string(),
        }),
    }
}
