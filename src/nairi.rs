//! The Nairi public API: requests, answers, what an error means, and how hard a key may be used.
//!
//! What it is for: turning "patch this secret" into exactly one HTTP request, and whatever comes
//! back, honest or hostile, into a [`RemoteSecret`] or an [`Error`] of a closed set of classes.
//!
//! What it must not do:
//! - know anything of Kubernetes, or decide what is to be written and when;
//! - retry: the caller has the backoff, the gate and the lease;
//! - follow a redirect, which would carry the key and a value to another place;
//! - let a value or an API key into an error, a log line or a `Debug` output. No text of the
//!   server is relayed at all for a request that carried a value.
//!
//! The pieces: [`Client`] sends, [`SecretPatch`] and [`NewSecret`] are what goes out,
//! [`RemoteSecret`] what comes back, [`Error`] the classes of what went wrong, [`Gate`] the state
//! of one API key: how many requests are in flight, until when the server asked for silence, and
//! whether the key was refused.

mod body;
mod call;
mod client;
mod code;
mod config;
mod domains;
mod error;
mod failure;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod gate;
mod gates;
mod key;
mod list;
mod model;
mod scrub;
mod silence;
mod span;
mod transport;

pub use body::{NewSecret, SecretPatch};
pub use client::{Client, Config, ConfigError, Method, Observer};
pub use code::codes;
pub use config::unobserved;
pub use domains::{is_unrestricted, same_domains, same_instant};
pub use error::{Class, Error};
pub use gate::{Admission, Gate, Permit, Wake};
pub use gates::{Gates, KeyId, NoRandomness};
pub use key::{ApiKey, InvalidKey};
pub use model::{Name, RemoteSecret, Unreadable};

pub(crate) use model::MAX_DECLARED;
#[cfg(any(test, fuzzing))]
pub(crate) use model::sendable;
pub(crate) use scrub::is_plain;

#[cfg(test)]
mod wire_tests;
