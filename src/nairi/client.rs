//! The calls of the API.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::IgnoredAny;
use tokio::time::Instant;

use super::call::Call;
use super::error::{Class, Error};
use super::key::ApiKey;
use super::list::Splitter;
use super::model::{RemoteSecret, SecretPatch};

pub use super::config::{Config, ConfigError};

/// Keeps any timeout within what a clock can count to.
const MAX_TIMEOUT: Duration = Duration::from_hours(24);

/// The method of a request, as a label for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `GET`
    Get,
    /// `PATCH`
    Patch,
}

impl Method {
    /// The name in HTTP.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Patch => "PATCH",
        }
    }
}

/// Told of every request that was sent, once: method, code, duration. The code is of a closed
/// set: a status (`200`, `401`, …), a class of statuses (`4xx`), or `timeout`, `connect` (nothing
/// was sent), `error` (the connection broke), `invalid` (a 200 nobody can rely on), `cancelled`
/// (the caller gave up).
pub type Observer = Arc<dyn Fn(Method, &'static str, Duration) + Send + Sync>;

/// Talks to the API. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    pub(super) http: reqwest::Client,
    /// Up to and including `/api/public/v1`.
    pub(super) base: Arc<str>,
    /// Host and port, for sentences.
    pub(super) host: Arc<str>,
    pub(super) timeout: Duration,
    /// The timeout was shortened by [`Client::within`].
    pub(super) shortened: bool,
    pub(super) observer: Observer,
}

impl Client {
    /// The same client, whose requests end within `limit` if that is sooner: a lease, say.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        if limit >= self.timeout {
            return self.clone();
        }
        Self {
            timeout: limit,
            shortened: true,
            ..self.clone()
        }
    }

    /// Asks for the vaults, to see whether the key is accepted; says how many there are.
    ///
    /// # Errors
    /// See [`Class`].
    pub async fn list_vaults(&self, key: &ApiKey) -> Result<usize, Error> {
        let mut count = 0;
        self.list(key, "/vaults", |element| {
            serde_json::from_slice::<IgnoredAny>(element).map_err(|_| "is not valid JSON")?;
            count += 1;
            Ok(())
        })
        .await?;
        Ok(count)
    }

    /// Lists the secrets of a vault. `sink` gets each as it streams in, and keeps what it needs;
    /// after an error what it kept is incomplete and says nothing.
    ///
    /// # Errors
    /// See [`Class`].
    pub async fn list_secrets(
        &self,
        key: &ApiKey,
        vault_id: &str,
        mut sink: impl FnMut(RemoteSecret) + Send,
    ) -> Result<(), Error> {
        let path = format!("/vaults/{}/secrets", segment(vault_id)?);
        self.list(key, &path, |element| {
            sink(RemoteSecret::parse(element).map_err(|_| NO_SECRET)?);
            Ok(())
        })
        .await
    }

    /// Changes the fields in `patch`; without any, reads the secret.
    ///
    /// # Errors
    /// See [`Class`]; [`Error::maybe_applied`] says whether the change may have been stored all
    /// the same.
    pub async fn patch_secret(
        &self,
        key: &ApiKey,
        vault_id: &str,
        secret_id: &str,
        patch: &SecretPatch,
    ) -> Result<RemoteSecret, Error> {
        let at = format!(
            "/vaults/{}/secrets/{}",
            segment(vault_id)?,
            segment(secret_id)?
        );
        let body = patch.body().map_err(|_| {
            Error::new(
                Class::Rejected,
                None,
                "the request could not be written as JSON",
            )
        })?;
        let mut call =
            Call::new(self, key, Method::Patch).carrying(!patch.is_empty(), patch.value.is_some());
        let mut response = call.send(&at, Some(body)).await?;
        let body = call.read(&mut response).await?;
        let secret = RemoteSecret::parse(&body).map_err(|what| call.invalid(what))?;
        if !secret.fits() {
            return Err(call.invalid(UNFIT));
        }
        if secret.id != secret_id {
            return Err(call.invalid("is about another secret than the one asked for"));
        }
        call.succeeded();
        Ok(secret)
    }

    async fn list(
        &self,
        key: &ApiKey,
        path: &str,
        mut each: impl FnMut(&[u8]) -> Result<(), &'static str> + Send,
    ) -> Result<(), Error> {
        let mut call = Call::new(self, key, Method::Get);
        let mut response = call.send(path, None).await?;
        let mut splitter = Splitter::default();
        while let Some(piece) = call.chunk(&mut response).await? {
            splitter
                .feed(&piece, &mut each)
                .map_err(|what| call.invalid(what))?;
        }
        splitter.finish().map_err(|what| call.invalid(what))?;
        call.succeeded();
        Ok(())
    }

    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.timeout.min(MAX_TIMEOUT)
    }
}

pub(super) const UNFIT: &str = "shows a secret with too many domains, too often, or with texts that are too long or not printable";
const NO_SECRET: &str = "holds an element that is not a secret with id, env_key and updated_at";

/// An id as a segment of a path. Ids are opaque, yet nothing but these characters is sent: no id
/// can reach another path.
fn segment(id: &str) -> Result<&str, Error> {
    let fits = (1..=128).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if fits {
        return Ok(id);
    }
    Err(Error::new(
        Class::Rejected,
        None,
        "a vault or secret id is not made of 1 to 128 letters, digits, _ and -, so nothing was sent",
    ))
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("base", &self.base)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
