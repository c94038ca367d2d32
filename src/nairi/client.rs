//! The calls of the API.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::time::Instant;

use super::body::{NewSecret, SecretPatch};
use super::call::Call;
use super::error::{Class, Error};
use super::key::ApiKey;
use super::list::Splitter;
use super::model::{RemoteSecret, Unreadable, element, sendable};
use super::transport::Transport;

pub use super::config::{Config, ConfigError};

/// Keeps any timeout within what a clock can count to.
const MAX_TIMEOUT: Duration = Duration::from_hours(24);

/// The method of a request, as a label for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Get, Self::Post, Self::Patch, Self::Delete];

    /// The name in HTTP.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// The documented status of success, and its label. No other one is taken for it: a 200 to a
    /// POST may be about a secret that was there before, with another value, and a 200 to a DELETE
    /// may be the page of something in between. Where it was the API all the same, the next look
    /// at the vault shows what came of it.
    pub(super) const fn success(self) -> (StatusCode, &'static str) {
        match self {
            Self::Get | Self::Patch => (StatusCode::OK, "200"),
            Self::Post => (StatusCode::CREATED, "201"),
            Self::Delete => (StatusCode::NO_CONTENT, "204"),
        }
    }

    /// What a 404 says is not there.
    pub(super) const fn missing(self) -> &'static str {
        match self {
            Self::Post => "vault",
            Self::Get | Self::Patch | Self::Delete => "vault or secret",
        }
    }
}

/// Told of every request that was sent, once: method, code, duration. The code is of a closed
/// set: the status of success (`200`, `201`, `204`), another status (`401`, …), a class of
/// statuses (`4xx`), or `timeout`, `connect` (nothing was sent), `error` (the connection broke),
/// `invalid` (the status of success, and an answer nobody can rely on, or a list with an element
/// that can't be read), `cancelled` (the caller gave up).
pub type Observer = Arc<dyn Fn(Method, &'static str, Duration) + Send + Sync>;

/// Talks to the API. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    pub(super) transport: Arc<Transport>,
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
        self.list(key, "/vaults", |_| {
            count += 1;
            true
        })
        .await?;
        Ok(count)
    }

    /// Lists the secrets of a vault. `sink` gets each element as it streams in, and keeps what it needs; after an
    /// error what it kept is incomplete and says nothing. An element that can't be read takes nothing from what the
    /// others show: but what is not among those may be there all the same.
    ///
    /// # Errors
    /// See [`Class`].
    pub async fn list_secrets(
        &self,
        key: &ApiKey,
        vault_id: &str,
        mut sink: impl FnMut(Result<RemoteSecret, Unreadable>) + Send,
    ) -> Result<(), Error> {
        let path = secrets_path(vault_id)?;
        self.list(key, &path, |json| {
            let element = json.map_or(Err(Unreadable::UNNAMED), element);
            let readable = element.is_ok();
            sink(element);
            readable
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
        let at = secret_path(vault_id, secret_id)?;
        let body = patch.body().map_err(unwritable)?;
        let call =
            Call::new(self, key, Method::Patch).carrying(!patch.is_empty(), patch.value.is_some());
        write(call, &at, body, |secret| {
            let wanted = secret.id == secret_id;
            wanted
                .then_some(())
                .ok_or("is about another secret than the one asked for")
        })
        .await
    }

    /// Creates a secret.
    ///
    /// # Errors
    /// See [`Class`]; [`Class::NotFound`] says that there is no such vault, and
    /// [`Error::status`] tells apart what is [`Class::Rejected`]. [`Error::maybe_applied`] says
    /// whether it may have been created all the same.
    pub async fn create_secret(
        &self,
        key: &ApiKey,
        vault_id: &str,
        new: &NewSecret,
    ) -> Result<RemoteSecret, Error> {
        let at = secrets_path(vault_id)?;
        let body = new.body().map_err(unwritable)?;
        let call = Call::new(self, key, Method::Post).carrying(true, true);
        write(call, &at, body, |secret| {
            if secret.env_key != new.env_key {
                return Err("is about another env_key than the one asked for");
            }
            Ok(())
        })
        .await
    }

    /// Deletes a secret. What the answer's body says doesn't matter.
    ///
    /// # Errors
    /// See [`Class`]; [`Class::NotFound`] says that it is gone already.
    /// [`Error::maybe_applied`] says whether it may be gone all the same.
    pub async fn delete_secret(
        &self,
        key: &ApiKey,
        vault_id: &str,
        secret_id: &str,
    ) -> Result<(), Error> {
        let at = secret_path(vault_id, secret_id)?;
        let mut call = Call::new(self, key, Method::Delete).carrying(true, false);
        call.send(&at, None).await?;
        call.succeeded();
        Ok(())
    }

    /// Hands each element to `each`, which says whether it could be read.
    async fn list(
        &self,
        key: &ApiKey,
        path: &str,
        mut each: impl FnMut(Option<&[u8]>) -> bool + Send,
    ) -> Result<(), Error> {
        let mut call = Call::new(self, key, Method::Get);
        let mut response = call.send(path, None).await?;
        let (mut splitter, mut readable) = (Splitter::default(), true);
        while let Some(piece) = call.chunk(&mut response).await? {
            splitter
                .feed(&piece, |element| readable &= each(element))
                .map_err(|what| call.invalid(what))?;
        }
        splitter.finish().map_err(|what| call.invalid(what))?;
        if readable {
            call.succeeded();
        } else {
            call.succeeded_in_part();
        }
        Ok(())
    }

    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.timeout.min(MAX_TIMEOUT)
    }
}

const UNFIT: &str =
    "shows a secret with too many domains, or with texts that are too long or not printable";

/// Sends what changes a secret, and reads what came of it. `expected` says what is wrong with a
/// secret that is not the one that was to be changed.
async fn write(
    mut call: Call<'_>,
    path: &str,
    body: Bytes,
    expected: impl FnOnce(&RemoteSecret) -> Result<(), &'static str>,
) -> Result<RemoteSecret, Error> {
    let mut response = call.send(path, Some(body)).await?;
    let body = call.read(&mut response).await?;
    let secret = RemoteSecret::parse(&body).map_err(|what| call.invalid(what))?;
    if !secret.fits() {
        return Err(call.invalid(UNFIT));
    }
    expected(&secret).map_err(|what| call.invalid(what))?;
    call.succeeded();
    Ok(secret)
}

fn unwritable(_: io::Error) -> Error {
    Error::new(
        Class::Rejected,
        None,
        "the request could not be written as JSON",
    )
}

fn secrets_path(vault_id: &str) -> Result<String, Error> {
    Ok(format!("/vaults/{}/secrets", segment(vault_id)?))
}

fn secret_path(vault_id: &str, secret_id: &str) -> Result<String, Error> {
    let secrets = secrets_path(vault_id)?;
    Ok(format!("{secrets}/{}", segment(secret_id)?))
}

fn segment(id: &str) -> Result<&str, Error> {
    if sendable(id) {
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
