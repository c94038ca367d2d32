//! Where the API is, and how it may be reached.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use reqwest::{Certificate, Url, redirect};
use thiserror::Error;

use super::client::{Client, Observer};

/// The path of the API below the base address.
const API_PATH: &str = "/api/public/v1";
/// A server that does not take a connection in this time will not.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that died silently is noticed by a ping, or every request would run into its
/// timeout on it.
const PING_INTERVAL: Duration = Duration::from_secs(15);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// How to reach the API.
#[derive(Clone)]
pub struct Config {
    /// The address: scheme, host, and a path in front of `/api/public/v1` if there is one.
    pub base_url: String,
    /// A PEM file of certificate authorities to trust besides the platform's.
    pub ca_file: Option<PathBuf>,
    /// Lets plain http leave the machine: key and values can be read on the way.
    pub allow_insecure_http: bool,
    /// The end of a request, from connecting to the last byte of the answer.
    pub timeout: Duration,
    /// The `User-Agent`.
    pub user_agent: String,
    /// Told of every request.
    pub observer: Observer,
}

/// Why there can be no client.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// No absolute URL with a host.
    #[error("the API's address is not a URL such as https://api.nairi.ai")]
    NotAUrl,
    /// Neither https nor http.
    #[error("the API's address must begin with https://")]
    Scheme,
    /// Plain http to another machine.
    #[error(
        "the API's address is plain http, which would show the API key and every value on the \
         way: use https, or --allow-insecure-http for a test"
    )]
    InsecureHttp,
    /// `user:password@`
    #[error("the API's address must not hold a user name or password")]
    UserInfo,
    /// `?query` or `#fragment`
    #[error("the API's address must not hold a query or a fragment")]
    QueryOrFragment,
    /// The CA file can't be read.
    #[error("the CA file {path} can't be read: {kind}")]
    CaFile {
        /// The file.
        path: String,
        /// What the system says.
        kind: std::io::ErrorKind,
    },
    /// The CA file holds no certificate.
    #[error("the CA file {path} holds no certificate in PEM")]
    NoCertificate {
        /// The file.
        path: String,
    },
    /// The user agent is no header.
    #[error("the user agent can't be sent as a header")]
    UserAgent,
    /// No TLS provider was installed for the process.
    #[error("no TLS provider is installed")]
    NoTlsProvider,
    /// TLS can't be set up.
    #[error("TLS can't be set up: are the system's CA certificates installed?")]
    Tls,
}

impl Client {
    /// A client for the API at this address. Reads the CA file; sends nothing.
    ///
    /// # Errors
    /// When the address, the CA file or the user agent can't be used.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let Config {
            base_url,
            ca_file,
            allow_insecure_http,
            timeout,
            user_agent,
            observer,
        } = config;
        let url = base(&base_url, allow_insecure_http)?;
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(ConfigError::NoTlsProvider);
        }
        let mut user_agent =
            HeaderValue::from_str(&user_agent).map_err(|_| ConfigError::UserAgent)?;
        user_agent.set_sensitive(false);
        let mut builder = reqwest::Client::builder()
            .user_agent(user_agent)
            .redirect(redirect::Policy::none())
            .referer(false)
            .https_only(url.scheme() == "https")
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_keep_alive_while_idle(true);
        if is_loopback(&url) {
            // A proxy's loopback is another machine: it would be handed the key in plain http.
            builder = builder.no_proxy();
        }
        if let Some(path) = ca_file {
            builder = builder.tls_certs_merge(certificates(&path)?);
        }
        let http = builder.build().map_err(|_| ConfigError::Tls)?;
        let path = url.path().trim_end_matches('/');
        let path = path.strip_suffix(API_PATH).unwrap_or(path);
        let host = host(&url);
        let base = format!("{}://{host}{path}{API_PATH}", url.scheme());
        Ok(Self {
            http,
            base: base.into(),
            host: host.into(),
            timeout,
            observer,
        })
    }
}

fn base(text: &str, allow_insecure_http: bool) -> Result<Url, ConfigError> {
    let url = Url::parse(text.trim()).map_err(|_| ConfigError::NotAUrl)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ConfigError::UserInfo);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(ConfigError::QueryOrFragment);
    }
    match url.scheme() {
        _ if url.host_str().is_none_or(str::is_empty) => Err(ConfigError::NotAUrl),
        "https" => Ok(url),
        "http" if allow_insecure_http || is_loopback(&url) => Ok(url),
        "http" => Err(ConfigError::InsecureHttp),
        _ => Err(ConfigError::Scheme),
    }
}

/// 127.0.0.0/8, `::1`, `localhost`.
fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn certificates(path: &std::path::Path) -> Result<Vec<Certificate>, ConfigError> {
    let name = || path.display().to_string();
    let pem = std::fs::read(path).map_err(|error| ConfigError::CaFile {
        path: name(),
        kind: error.kind(),
    })?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(ConfigError::NoCertificate { path: name() }),
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("ca_file", &self.ca_file)
            .field("allow_insecure_http", &self.allow_insecure_http)
            .field("timeout", &self.timeout)
            .field("user_agent", &self.user_agent)
            .finish_non_exhaustive()
    }
}

/// An observer that looks away.
#[must_use]
pub fn unobserved() -> Observer {
    Arc::new(|_, _, _| {})
}
