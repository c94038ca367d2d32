//! The Secret that keeps the fingerprint key: read or made at the start, put back if somebody deletes it.
//!
//! Losing it means one more PATCH per object after the next start, nothing else.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use secrecy::ExposeSecret as _;
use tracing::{info, warn};
use zeroize::Zeroizing;

use super::{FingerprintKey, KeyError};
use crate::{
    backoff,
    lease::Fence,
    source::{self, KeyOf, brief},
};

/// The Secret's name, in the operator's own namespace.
pub const SECRET: &str = "vaultsecret-fingerprint-key";

const KEY: &str = "key";

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be read or made; that may go well later.
    #[error("the Secret {SECRET:?} could not be read or created: {0}")]
    Unavailable(String),
    /// What the Secret holds is not a key of ours.
    #[error(
        "the Secret {SECRET:?} holds no fingerprint key ({0}): delete it, and a new one is made"
    )]
    Unusable(String),
}

/// Reads the key, or makes it. Of several who make it at once, one wins and all use that one's.
///
/// # Errors
/// See [`Error`].
pub async fn load(
    client: &Client,
    namespace: &str,
    fence: &Fence,
) -> Result<FingerprintKey, Error> {
    if let Some(key) = read(client, namespace).await? {
        return Ok(key);
    }
    let key = FingerprintKey::generate()
        .map_err(|error: KeyError| Error::Unavailable(error.to_string()))?;
    if create(client, namespace, &key, fence).await? {
        info!(namespace, secret = SECRET, "made the fingerprint key");
        return Ok(key);
    }
    let gone = || Error::Unavailable("it came and went".to_owned());
    read(client, namespace).await?.ok_or_else(gone)
}

/// Puts the key back after somebody deleted its Secret; tries until it is there.
pub async fn put_back(client: Client, namespace: String, key: Arc<FingerprintKey>, fence: Fence) {
    for failures in 1.. {
        match create(&client, &namespace, &key, &fence).await {
            Ok(_) => {
                let message = "the fingerprint key was deleted; put back";
                warn!(namespace, secret = SECRET, "{message}");
                return;
            }
            Err(error) => {
                let message =
                    "the fingerprint key was deleted and could not be put back; trying again";
                warn!(namespace, secret = SECRET, %error, "{message}");
                tokio::time::sleep(backoff::jittered(backoff::delay(failures))).await;
            }
        }
    }
}

async fn read(client: &Client, namespace: &str) -> Result<Option<FingerprintKey>, Error> {
    let of = KeyOf {
        namespace,
        name: SECRET,
        key: KEY,
    };
    let bytes = match source::read(client, of, LIMIT).await {
        Ok(content) => content.bytes.map(Zeroizing::new).unwrap_or_default(),
        Err(source::Error::NotFound) => return Ok(None),
        Err(error) => return Err(Error::Unavailable(error.to_string())),
    };
    FingerprintKey::from_bytes(&bytes)
        .map(Some)
        .map_err(|error| Error::Unusable(error.to_string()))
}

/// Whether it was made; not, if there is one already.
async fn create(
    client: &Client,
    namespace: &str,
    key: &FingerprintKey,
    fence: &Fence,
) -> Result<bool, Error> {
    let bytes = key.bytes().expose_secret().to_vec();
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(SECRET.to_owned()),
            labels: Some(
                [(
                    "app.kubernetes.io/managed-by".to_owned(),
                    "vaultsecret-operator".to_owned(),
                )]
                .into(),
            ),
            ..ObjectMeta::default()
        },
        data: Some([(KEY.to_owned(), ByteString(bytes))].into()),
        ..Secret::default()
    };
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let params = PostParams::default();
    match fence.bounded(LIMIT, secrets.create(&params, &secret)).await {
        Ok(Ok(_)) => Ok(true),
        Ok(Err(kube::Error::Api(status))) if status.is_already_exists() => Ok(false),
        Ok(Err(error)) => Err(Error::Unavailable(brief(&error))),
        Err(_) => Err(Error::Unavailable(
            "the API server did not answer in time".to_owned(),
        )),
    }
}
