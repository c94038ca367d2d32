//! The decision about an object that is being deleted, and that our finalizer keeps: what becomes of its remote
//! secret.

use std::time::Duration;

use crate::{api::DeletionPolicy, reconcile::plan::Claim};

/// What is known of an object that is being deleted.
#[derive(Clone, Debug)]
pub struct Parting {
    /// Whether the remote secret is to go with it.
    pub policy: DeletionPolicy,
    /// Whether nothing may be sent for it.
    pub suspended: bool,
    /// The remote secret it is bound to.
    pub secret_id: Option<String>,
    /// Where it is bound to none: whether one may have been created for it that nobody has seen since.
    pub creating: bool,
    /// Whether its connection lets it use the vault, or did when it was deleted.
    pub permission: Permission,
    /// Where it stands among those that mean the same remote secret.
    pub claim: Claim,
    /// Whether another object is there to take the secret over.
    pub heir: Heir,
    /// The key to delete it with.
    pub key: Key,
    /// For how long there has been no such key.
    pub keyless: Duration,
    /// For how long that is waited for; zero: for ever.
    pub grace: Duration,
}

/// Whether the connection lets the object use the vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// It does, or did when it was deleted.
    Granted,
    /// It does not.
    Denied,
    /// It is gone, and this process never knew it.
    Unknown,
}

/// Whether another object means the same remote secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heir {
    /// None does.
    None,
    /// One claims it.
    Claims,
    /// One names it, and the API would show it to that one: it has the same key.
    Named,
    /// One names it, and has not been shown it so far.
    Unproven,
}

/// For how long an object that names the same secret gets to show that it may take it over, from when the deletion is
/// seen: also where an operator was away then.
const HEIRS_TIME: Duration = Duration::from_secs(30);

/// Whether another object is there for the secret: one renamed in Git, say. `awaited`: one that may use it was shown
/// it. `same_keys`: of each other that names it and may use it, whether that goes by the same key: what the API shows
/// to this one it would show to that one, too. With another key it has some time to see for itself.
#[must_use]
pub fn heir(awaited: bool, same_keys: impl IntoIterator<Item = bool>, leaving: Duration) -> Heir {
    if awaited {
        return Heir::Claims;
    }
    let mut heir = Heir::None;
    for same_key in same_keys {
        if same_key {
            return Heir::Named;
        }
        if leaving < HEIRS_TIME {
            heir = Heir::Unproven;
        }
    }
    heir
}

/// The key to delete the remote secret with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// There is one, as far as is known.
    Usable,
    /// Its first check is under way.
    Unchecked,
    /// There is none.
    Missing,
    /// The API refuses it.
    Refused,
}

/// What to do about an object that is being deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// Delete the remote secret first.
    Delete {
        /// Its id.
        secret_id: String,
    },
    /// Let the object go.
    Release(Why),
    /// Wait until the other object has been shown the secret, or not.
    AwaitHeir,
    /// Wait until the connection has been checked.
    AwaitCheck,
    /// Wait for a key: for so long at most, or for ever.
    AwaitKey(Key, Option<Duration>),
}

impl Farewell {
    /// Whether that secret is to be deleted.
    #[must_use]
    pub fn deletes(&self, secret: &str) -> bool {
        matches!(self, Self::Delete { secret_id } if secret_id == secret)
    }
}

/// Why an object is released without its remote secret being deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// `deletionPolicy: Retain`.
    Retained,
    /// There is none that it was bound to.
    NeverBound,
    /// There is none that it was bound to, but a creation was under way whose end nobody knows.
    PerhapsCreated,
    /// Another object takes it over, or has it.
    HandedOver,
    /// `spec.suspend` is set.
    Suspended,
    /// The connection does not grant the vault.
    NotPermitted,
    /// The present connection has not shown the secret.
    NotShown,
    /// There was no usable key for too long.
    NoKey,
}

impl Why {
    /// Whether something may stay behind that nobody here keeps any more and nobody asked to keep.
    #[must_use]
    pub const fn leaves(self) -> bool {
        match self {
            Self::Retained | Self::NeverBound | Self::HandedOver => false,
            Self::PerhapsCreated
            | Self::Suspended
            | Self::NotPermitted
            | Self::NotShown
            | Self::NoKey => true,
        }
    }

    /// The clause that explains it.
    #[must_use]
    pub const fn cause(self) -> &'static str {
        match self {
            Self::Retained => "deletionPolicy is Retain",
            Self::NeverBound => "it was never bound to a secret",
            Self::PerhapsCreated => {
                "its creation was under way, and it is not known whether it was carried out"
            }
            Self::HandedOver => "another VaultSecret keeps the secret",
            Self::Suspended => "spec.suspend is true",
            Self::NotPermitted => "its connection does not grant this vault any more",
            Self::NotShown => "its present connection has not shown it",
            Self::NoKey => "there was no usable API key for longer than --deletion-grace",
        }
    }
}

/// Decides about an object that is being deleted.
#[must_use]
pub fn parting(parting: &Parting) -> Farewell {
    let Parting {
        policy,
        suspended,
        secret_id,
        creating,
        permission,
        claim,
        heir,
        key,
        keyless,
        grace,
    } = parting;
    if *policy == DeletionPolicy::Retain {
        return Farewell::Release(Why::Retained);
    }
    let Some(secret_id) = secret_id.clone() else {
        let why = if *creating {
            Why::PerhapsCreated
        } else {
            Why::NeverBound
        };
        return Farewell::Release(why);
    };
    if matches!(claim, Claim::Lost { .. }) || matches!(heir, Heir::Claims | Heir::Named) {
        return Farewell::Release(Why::HandedOver);
    }
    if *suspended {
        return Farewell::Release(Why::Suspended);
    }
    if *permission == Permission::Denied {
        return Farewell::Release(Why::NotPermitted);
    }
    if *claim == Claim::Unproven {
        return Farewell::Release(Why::NotShown);
    }
    if *heir == Heir::Unproven {
        return Farewell::AwaitHeir;
    }
    let key = match permission {
        Permission::Unknown => Key::Missing,
        Permission::Granted | Permission::Denied => *key,
    };
    match (key, grace.is_zero()) {
        (Key::Usable, _) => Farewell::Delete { secret_id },
        (Key::Unchecked, _) => Farewell::AwaitCheck,
        (key, true) => Farewell::AwaitKey(key, None),
        (_, false) if keyless >= grace => Farewell::Release(Why::NoKey),
        (key, false) => Farewell::AwaitKey(key, Some(grace.saturating_sub(*keyless))),
    }
}

#[cfg(test)]
mod tests;
