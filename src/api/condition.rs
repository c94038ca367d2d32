//! Conditions: their types, their closed lists of reasons, and how one is set.

use std::{fmt, str::FromStr};

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

/// An enum of words that appear verbatim in Kubernetes objects: `as_str`, `meaning`, `ALL`, `Display`,
/// `FromStr`. What a doc comment says of a word, the API reference says, too.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[doc = $meaning:literal])+ $word:ident),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[doc = $meaning])+ $word),+ }

        impl $name {
            /// All of them, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$word),+];

            /// The word as it stands in the object.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$word => stringify!($word)),+ }
            }

            /// What it says, in a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$word => concat!($($meaning),+).trim_ascii()),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|known| known.as_str() == word).ok_or(UnknownWord)
            }
        }
    };
}

/// A word that is not on the closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a known word")]
pub struct UnknownWord;

words! {
    /// The types of conditions on our resources.
    ConditionType {
        /// The declared state is what the API last confirmed for this generation.
        Ready,
        /// Nothing will change without a human.
        Stalled,
        /// A retry is due.
        Reconciling,
        /// `spec.suspend` is true.
        Suspended,
        /// Somebody outside keeps writing to the remote secret.
        Contended,
    }
}

words! {
    /// The status of a condition.
    Status {
        /// It holds.
        True,
        /// It does not hold.
        False,
        /// It is not known whether it holds.
        Unknown,
    }
}

words! {
    /// Why a VaultSecret is `Ready` or not.
    Reason {
        /// The vault holds what is declared.
        Synced,

        /// The API could not be reached, or failed.
        ApiUnavailable,
        /// The API asked to wait.
        RateLimited,
        /// The API refused the key.
        Unauthorized,
        /// The connection's key can't be used at present.
        ConnectionNotReady,
        /// The object is being deleted, and there is no usable key to delete its remote secret with.
        DeletionBlocked,

        /// The Secret the value comes from does not exist.
        SourceNotFound,
        /// The Secret the value comes from lacks a key that is named.
        SourceKeyNotFound,
        /// The value is empty, not UTF-8, or holds NUL.
        InvalidValue,
        /// The template does not parse, uses what is not available, or makes a text too large.
        InvalidTemplate,
        /// The connection does not exist.
        ConnectionNotFound,
        /// No grant gives this namespace that vault.
        NotPermitted,
        /// An older VaultSecret has the remote secret.
        Conflict,
        /// The vault has no such secret, or there is no such vault.
        RemoteNotFound,
        /// `secretId` and `envKey` name different remote secrets.
        EnvKeyMismatch,
        /// Several remote secrets have this `envKey`.
        AmbiguousEnvKey,
        /// The API refused what was sent, or the deletion; tried again each hour, too.
        Rejected,
        /// Somebody else changed the remote secret, and `driftPolicy` is `Report`.
        DriftDetected,

        /// Not decided yet.
        Pending,
        /// Something would be sent, but this is a dry run.
        DryRun,
        /// Suspended before it was ever synced.
        Suspended,
    }
}

/// What happens next for a `Ready` reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Nothing to do. `Ready=True`.
    Synced,
    /// Tried again by itself. `Ready=False`, `Reconciling=True`.
    Retried,
    /// Waits for a change by a human. `Ready=False`, `Stalled=True`.
    Waits,
    /// Not decided. `Ready=Unknown`.
    Unknown,
}

impl Reason {
    /// What happens next.
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::Synced => Class::Synced,
            Self::ApiUnavailable
            | Self::RateLimited
            | Self::Unauthorized
            | Self::ConnectionNotReady
            | Self::DeletionBlocked => Class::Retried,
            Self::SourceNotFound
            | Self::SourceKeyNotFound
            | Self::InvalidValue
            | Self::InvalidTemplate
            | Self::ConnectionNotFound
            | Self::NotPermitted
            | Self::Conflict
            | Self::RemoteNotFound
            | Self::EnvKeyMismatch
            | Self::AmbiguousEnvKey
            | Self::Rejected
            | Self::DriftDetected => Class::Waits,
            Self::Pending | Self::DryRun | Self::Suspended => Class::Unknown,
        }
    }

    /// The status of `Ready` that goes with this reason.
    #[must_use]
    pub const fn status(self) -> Status {
        match self.class() {
            Class::Synced => Status::True,
            Class::Retried | Class::Waits => Status::False,
            Class::Unknown => Status::Unknown,
        }
    }
}

words! {
    /// What is told of a VaultSecret by an event, beside the reasons that `Ready` comes to have.
    EventReason {
        /// The remote secret was created.
        Created,
        /// The remote secret was deleted, and the object with it.
        Deleted,
        /// The object is gone, and its remote secret stays behind.
        Released,
        /// Somebody else's change was put right.
        DriftCorrected,
        /// A secret that was restricted may be sent anywhere now.
        DomainsWidened,
        /// The value that was sent ends with a newline.
        TrailingNewline,
        /// Somebody else keeps changing the remote secret.
        Contended,
    }
}

words! {
    /// Why a connection is `Ready` or not.
    ConnectionReason {
        /// The API accepted the key.
        Verified,
        /// The API refused the key.
        Unauthorized,
        /// The Secret that holds the key does not exist.
        SecretNotFound,
        /// The Secret lacks the key's entry.
        KeyNotFound,
        /// The entry is empty, or can't be an API key.
        InvalidKey,
        /// The API could not be reached, or failed.
        Unreachable,
    }
}

impl ConnectionReason {
    /// The status of `Ready` that goes with this reason.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::Verified => Status::True,
            Self::Unauthorized
            | Self::SecretNotFound
            | Self::KeyNotFound
            | Self::InvalidKey
            | Self::Unreachable => Status::False,
        }
    }
}

/// The condition of that type, if there is one.
#[must_use]
pub fn find(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|c| c.type_ == type_.as_str())
}

/// The longest message, in characters: the API server refuses more than 32768 bytes, and nobody reads half as many.
const MAX_MESSAGE: usize = 1024;

/// A message without its end, if it is too long.
fn bounded(message: String) -> String {
    match message.char_indices().nth(MAX_MESSAGE) {
        None => message,
        Some((end, _)) => {
            let end = message.floor_char_boundary(end - 1);
            format!("{}…", &message[..end])
        }
    }
}

/// Sets the condition of that type, in its place. Where the status stays the same, so does
/// `lastTransitionTime`: a condition that says nothing new stays equal to what it was.
pub fn set(
    conditions: &mut Vec<Condition>,
    type_: ConditionType,
    status: Status,
    reason: &str,
    message: impl Into<String>,
    generation: Option<i64>,
    now: Timestamp,
) {
    let mut next = Condition {
        type_: type_.as_str().to_owned(),
        status: status.as_str().to_owned(),
        reason: reason.to_owned(),
        message: bounded(message.into()),
        observed_generation: generation,
        last_transition_time: whole_seconds(now),
    };
    match conditions.iter_mut().find(|c| c.type_ == next.type_) {
        Some(current) => {
            if current.status == next.status {
                next.last_transition_time = current.last_transition_time.clone();
            }
            *current = next;
        }
        None => conditions.push(next),
    }
}

/// Sets `Ready`, and beside it, for the same reason, `beside`: the one of `Stalled` and `Reconciling` that goes with
/// it, if any. The other is removed, so that at most one of them stands beside `Ready`.
pub fn set_ready(
    conditions: &mut Vec<Condition>,
    status: Status,
    beside: Option<ConditionType>,
    reason: &str,
    message: &str,
    generation: Option<i64>,
    now: Timestamp,
) {
    let mut say = |type_, status| {
        set(conditions, type_, status, reason, message, generation, now);
    };
    say(ConditionType::Ready, status);
    if let Some(type_) = beside {
        say(type_, Status::True);
    }
    for type_ in [ConditionType::Stalled, ConditionType::Reconciling] {
        if beside != Some(type_) {
            remove(conditions, type_);
        }
    }
}

/// Removes the condition of that type, if there is one.
pub fn remove(conditions: &mut Vec<Condition>, type_: ConditionType) {
    conditions.retain(|c| c.type_ != type_.as_str());
}

/// A time as Kubernetes stores it, so that what was written equals what is read back.
#[must_use]
pub fn whole_seconds(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::new(second, 999).expect("a valid time")
    }

    #[test]
    fn words_are_spelled_as_documented() {
        assert_eq!(Reason::ALL.len(), 21);
        assert_eq!(Reason::AmbiguousEnvKey.to_string(), "AmbiguousEnvKey");
        assert_eq!("DryRun".parse(), Ok(Reason::DryRun));
        assert_eq!("dryrun".parse::<Reason>(), Err(UnknownWord));
        assert_eq!(format!("{:>6}", Status::True), "  True");
        for reason in Reason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(*reason));
        }
    }

    #[test]
    fn status_follows_the_class() {
        for reason in Reason::ALL {
            let expected = match reason.class() {
                Class::Synced => "True",
                Class::Retried | Class::Waits => "False",
                Class::Unknown => "Unknown",
            };
            assert_eq!(reason.status().as_str(), expected, "{reason}");
        }
        assert_eq!(Reason::Rejected.class(), Class::Waits);
        assert_eq!(Reason::DriftDetected.class(), Class::Waits);
    }

    #[test]
    fn the_transition_time_moves_with_the_status_only() {
        let mut all = vec![];
        let mut ready = |status, reason: Reason, generation, second| {
            let (type_, reason) = (ConditionType::Ready, reason.as_str());
            set(
                &mut all,
                type_,
                status,
                reason,
                "…",
                Some(generation),
                at(second),
            );
            all.clone()
        };
        let first = ready(Status::False, Reason::SourceNotFound, 1, 10);
        assert_eq!(
            first[0].last_transition_time,
            Time(Timestamp::from_second(10).expect("valid"))
        );
        let same = ready(Status::False, Reason::SourceNotFound, 1, 20);
        assert_eq!(same, first);
        let other_reason = ready(Status::False, Reason::NotPermitted, 2, 30);
        assert_eq!(
            other_reason[0].last_transition_time,
            first[0].last_transition_time
        );
        assert_eq!(other_reason[0].reason, "NotPermitted");
        assert_eq!(other_reason[0].observed_generation, Some(2));
        let flipped = ready(Status::True, Reason::Synced, 2, 40);
        assert_eq!(flipped.len(), 1);
        assert_eq!(flipped[0].last_transition_time, whole_seconds(at(40)));
    }

    #[test]
    fn conditions_keep_their_places() {
        let mut all = vec![];
        for type_ in [
            ConditionType::Ready,
            ConditionType::Stalled,
            ConditionType::Contended,
        ] {
            set(&mut all, type_, Status::True, "Why", "", None, at(1));
        }
        set(
            &mut all,
            ConditionType::Stalled,
            Status::False,
            "Why",
            "",
            None,
            at(2),
        );
        remove(&mut all, ConditionType::Ready);
        remove(&mut all, ConditionType::Suspended);
        let types: Vec<_> = all.iter().map(|c| c.type_.as_str()).collect();
        assert_eq!(types, ["Stalled", "Contended"]);
        assert!(find(&all, ConditionType::Ready).is_none());
        assert_eq!(
            find(&all, ConditionType::Stalled).map(|c| c.status.as_str()),
            Some("False")
        );
    }

    #[test]
    fn a_message_is_bounded() {
        let short = "ü".repeat(MAX_MESSAGE);
        assert_eq!(bounded(short.clone()), short);
        let long = bounded(format!("{short}ü"));
        assert_eq!(long.chars().count(), MAX_MESSAGE);
        assert!(long.ends_with("ü…"));
    }
}
