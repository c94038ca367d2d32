//! Requests that got no answer: what went wrong, in words of our own.
//!
//! The texts of the libraries are left out: some quote the address, the certificate or the bytes
//! they stumbled over.

use std::error::Error as StdError;
use std::io;

use rustls::CertificateError;

use super::code;

/// Deeper than any chain of causes in practice.
const MAX_CAUSES: usize = 16;

/// What is to be said of a request that got no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The label for metrics.
    pub(super) code: &'static str,
    /// Whether the request may have reached the server.
    pub(super) maybe_sent: bool,
    /// The rest of the sentence.
    pub(super) cause: String,
}

/// What `error` says of a request to `host`.
pub(super) fn describe(error: &reqwest::Error, host: &str) -> Failure {
    let cause = cause(error);
    if error.is_connect() {
        let cause = cause.unwrap_or_else(|| "the connection failed".to_owned());
        return Failure {
            code: code::CONNECT,
            maybe_sent: false,
            cause: format!("could not connect to {host}: {cause}"),
        };
    }
    if error.is_builder() {
        return Failure {
            code: code::ERROR,
            maybe_sent: false,
            cause: format!("the request to {host} could not be built"),
        };
    }
    let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
    Failure {
        code: code::ERROR,
        maybe_sent: true,
        cause: format!("the connection to {host} broke before the answer was complete{cause}"),
    }
}

/// The deepest cause there are words for.
fn cause(error: &reqwest::Error) -> Option<String> {
    let mut found = None;
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    for _ in 0..MAX_CAUSES {
        let Some(error) = next else { break };
        if let Some(words) = words_for(error) {
            found = Some(words);
        }
        // An io::Error skips what it wraps when asked for its source.
        next = match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    if found.is_none() && error.is_dns() {
        found = Some("its name can't be resolved".to_owned());
    }
    if found.is_none() && error.is_timeout() {
        found = Some("timed out".to_owned());
    }
    found
}

fn words_for(error: &(dyn StdError + 'static)) -> Option<String> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(tls_words(tls).to_owned());
    }
    if let Some(io) = error.downcast_ref::<io::Error>() {
        return match io.kind() {
            io::ErrorKind::Other | io::ErrorKind::InvalidData => None,
            kind => Some(kind.to_string()),
        };
    }
    // The types are not within reach; their texts are fixed.
    match error.to_string().as_str() {
        "tunnel error: proxy authorization required" => {
            Some("the proxy asks for credentials".to_owned())
        }
        "tunnel error: unsuccessful" => Some("the proxy refused to connect to it".to_owned()),
        "tunnel error: unexpected end of file"
        | "tunnel error: proxy response headers too long" => {
            Some("the proxy gave no answer that can be used".to_owned())
        }
        "message head is too large" => Some("its headers are too large".to_owned()),
        "invalid HTTP version parsed"
        | "invalid HTTP status-code parsed"
        | "invalid HTTP header parsed" => Some("it does not speak HTTP there".to_owned()),
        "error resolving DNS" => Some("its name can't be resolved".to_owned()),
        _ => None,
    }
}

fn tls_words(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its TLS certificate has expired"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its TLS certificate is not valid yet (is the clock right?)"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its TLS certificate is for another name"
            }
            // The latter: an authority of the same name, as one has that was rotated.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "its TLS certificate is not signed by a trusted authority (see --api-ca-file)"
            }
            CertificateError::Revoked => "its TLS certificate was revoked",
            _ => "its TLS certificate is not acceptable",
        },
        rustls::Error::InvalidMessage(_) => "it does not speak TLS there (is the port right?)",
        rustls::Error::AlertReceived(_) => "it refused the TLS handshake",
        rustls::Error::PeerIncompatible(_) => "it offers no TLS version or cipher in common",
        _ => "the TLS handshake failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_problems_are_said_plainly() {
        let say = |certificate| tls_words(&rustls::Error::InvalidCertificate(certificate));
        assert!(say(CertificateError::Expired).contains("expired"));
        assert!(say(CertificateError::UnknownIssuer).contains("--api-ca-file"));
        assert!(say(CertificateError::BadSignature).contains("--api-ca-file"));
        assert!(say(CertificateError::NotValidForName).contains("another name"));
        assert!(say(CertificateError::BadEncoding).contains("not acceptable"));
    }

    #[test]
    fn what_an_io_error_wraps_is_found() {
        let tls = rustls::Error::InvalidCertificate(CertificateError::Revoked);
        let io = io::Error::other(tls);
        assert_eq!(words_for(&io), None);
        let inner = io.get_ref().expect("the wrapped error");
        assert_eq!(
            words_for(inner),
            Some("its TLS certificate was revoked".to_owned())
        );
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(words_for(&reset), Some("connection reset".to_owned()));
    }
}
