//! A throwaway CA and a server certificate, right or wrong.

use std::io;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// HTTPS (plain HTTP is refused by the service, doc).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The names and addresses the certificate is for.
    pub names: Vec<String>,
    /// What is wrong with it, if anything.
    pub certificate: Certificate,
    /// The protocols offered by ALPN, the preferred one first.
    pub alpn: Vec<String>,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            names: ["localhost", "127.0.0.1", "::1"].map(String::from).to_vec(),
            certificate: Certificate::Valid,
            alpn: ["h2", "http/1.1"].map(String::from).to_vec(),
        }
    }
}

impl Tls {
    /// With this certificate.
    #[must_use]
    pub fn with(certificate: Certificate) -> Self {
        Self {
            certificate,
            ..Self::default()
        }
    }
}

impl Tls {
    /// What a server of one's own needs, and in PEM the CA that its clients are to trust.
    ///
    /// # Errors
    /// When no certificate can be made for the names.
    pub fn server(&self) -> io::Result<(Arc<ServerConfig>, String)> {
        let Material { config, ca_pem } = material(self)?;
        Ok((config, ca_pem))
    }
}

/// What is wrong with a server certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Certificate {
    /// Nothing.
    #[default]
    Valid,
    /// It is for another host.
    WrongName,
    /// It ended years ago.
    Expired,
    /// It is signed by another CA than the one that [`Sim::ca_pem`](crate::Sim::ca_pem) gives.
    UnknownCa,
}

/// What a server needs, and what its clients need.
pub(crate) struct Material {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) ca_pem: String,
}

pub(crate) fn material(tls: &Tls) -> io::Result<Material> {
    let (ca, ca_key) = authority("nairi-sim throwaway CA")?;
    let ca_pem = ca.self_signed(&ca_key).map_err(io::Error::other)?.pem();
    let issuer = match tls.certificate {
        Certificate::UnknownCa => authority("another CA")?,
        Certificate::Valid | Certificate::WrongName | Certificate::Expired => (ca, ca_key),
    };
    let issuer = Issuer::new(issuer.0, issuer.1);
    let names = match tls.certificate {
        Certificate::WrongName => vec![String::from("elsewhere.invalid")],
        _ => tls.names.clone(),
    };
    let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
    (params.not_before, params.not_after) = match tls.certificate {
        Certificate::Expired => (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1)),
        _ => (date_time_ymd(2020, 1, 1), date_time_ymd(2120, 1, 1)),
    };
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let certificate = params.signed_by(&key, &issuer).map_err(io::Error::other)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .map_err(io::Error::other)?;
    config.alpn_protocols = tls
        .alpn
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    Ok(Material {
        config: Arc::new(config),
        ca_pem,
    })
}

fn authority(name: &str) -> io::Result<(CertificateParams, KeyPair)> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2120, 1, 1);
    Ok((params, KeyPair::generate().map_err(io::Error::other)?))
}
