//! Where the API is, and how it may be reached.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use reqwest::Url;
use thiserror::Error;

use super::client::{Client, Observer};
use super::transport::{Blueprint, Transport};

/// The path of the API below the base address.
const API_PATH: &str = "/api/public/v1";
/// How to reach the API.
#[derive(Clone)]
pub struct Config {
    /// The address: scheme, host, and a path in front of `/api/public/v1` if there is one.
    pub base_url: String,
    /// A PEM file of certificate authorities to trust besides the platform's; it may be replaced later.
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
        let user_agent = HeaderValue::from_str(&user_agent).map_err(|_| ConfigError::UserAgent)?;
        let blueprint = Blueprint {
            user_agent,
            https_only: url.scheme() == "https",
            // A proxy's loopback is another machine: it would be handed the key in plain http.
            proxied: !is_loopback(&url),
            timeout,
        };
        let transport = Transport::new(blueprint, ca_file)?;
        let path = url.path().trim_end_matches('/');
        let path = path.strip_suffix(API_PATH).unwrap_or(path);
        let host = host(&url);
        let base = format!("{}://{host}{path}{API_PATH}", url.scheme());
        Ok(Self {
            transport: Arc::new(transport),
            base: base.into(),
            host: host.into(),
            timeout,
            shortened: false,
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn client(
        base_url: &str,
        ca_file: Option<PathBuf>,
        insecure: bool,
    ) -> Result<Client, ConfigError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::new(Config {
            base_url: base_url.to_owned(),
            ca_file,
            allow_insecure_http: insecure,
            timeout: Duration::from_secs(10),
            user_agent: "test".to_owned(),
            observer: unobserved(),
        })
    }

    #[test]
    fn the_path_in_front_is_kept() {
        for (given, base) in [
            ("https://api.nairi.ai", "https://api.nairi.ai/api/public/v1"),
            (
                "https://api.nairi.ai/",
                "https://api.nairi.ai/api/public/v1",
            ),
            (
                "https://api.nairi.ai/api/public/v1/",
                "https://api.nairi.ai/api/public/v1",
            ),
            (
                "https://proxy:8443/nairi",
                "https://proxy:8443/nairi/api/public/v1",
            ),
            ("http://127.0.0.1:80", "http://127.0.0.1/api/public/v1"),
            ("http://[::1]:8080", "http://[::1]:8080/api/public/v1"),
        ] {
            assert_eq!(&*client(given, None, false).expect("a client").base, base);
        }
    }

    #[test]
    fn plain_http_stays_on_the_machine() {
        for loopback in [
            "http://127.0.0.1",
            "http://127.9.9.9:1",
            "http://[::1]",
            "http://LocalHost:8",
        ] {
            assert!(client(loopback, None, false).is_ok(), "{loopback}");
        }
        for remote in [
            "http://api.nairi.ai",
            "http://localhost.evil.com",
            "http://127.0.0.1.nip.io",
            "http://10.0.0.1",
            "http://0.0.0.0",
            "http://[::]",
            "http://[::ffff:10.0.0.1]",
        ] {
            assert!(
                matches!(client(remote, None, false), Err(ConfigError::InsecureHttp)),
                "{remote}"
            );
            assert!(client(remote, None, true).is_ok(), "{remote}");
        }
    }

    #[test]
    fn other_addresses_are_refused_and_not_repeated() {
        for (address, sentence) in [
            ("", "not a URL"),
            ("api.nairi.ai", "not a URL"),
            ("https://", "not a URL"),
            ("ftp://canary.example", "https://"),
            ("file:///canary", "not a URL"),
            ("https://canary:pw@a.com", "user name"),
            ("https://:canary@a.com", "user name"),
            ("https://a.com/?key=canary", "query"),
            ("https://a.com/#canary", "fragment"),
        ] {
            let error = client(address, None, true).expect_err(address);
            assert!(error.to_string().contains(sentence), "{address}: {error}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }

    #[test]
    fn a_ca_file_has_to_hold_certificates() {
        let missing = client("https://a.com", Some("/nonexistent/ca.pem".into()), false);
        let error = missing.expect_err("an error").to_string();
        assert!(error.contains("/nonexistent/ca.pem"), "{error}");
        for content in [
            "",
            "no PEM",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            let mut file = tempfile::NamedTempFile::new().expect("a file");
            file.write_all(content.as_bytes()).expect("written");
            assert!(
                client("https://a.com", Some(file.path().into()), false).is_err(),
                "{content}"
            );
        }
    }

    #[test]
    fn the_user_agent_has_to_be_a_header() {
        let config = Config {
            base_url: "https://a.com".to_owned(),
            ca_file: None,
            allow_insecure_http: false,
            timeout: Duration::from_secs(1),
            user_agent: "a\r\nX-Evil: 1".to_owned(),
            observer: unobserved(),
        };
        let _ = rustls::crypto::ring::default_provider().install_default();
        assert!(matches!(Client::new(config), Err(ConfigError::UserAgent)));
    }
}
