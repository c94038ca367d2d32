//! The values of labels: closed sets, each value of which has its series from the start, so that no first increment is
//! lost to `rate()` and no series comes or goes with what happens.

use prometheus_client::encoding::EncodeLabelSet;

use crate::{
    api::{Class, ManagedField, Reason},
    nairi::{self, Method},
    reconcile::{fields::Fields, verdict::Verdict},
};

/// An enum of the values of one label: `ALL`, `as_str`.
macro_rules! values {
    ($(#[$meta:meta])* $vis:vis $name:ident { $($(#[$value_meta:meta])* $value:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name { $($(#[$value_meta])* $value),+ }

        impl $name {
            /// All of them.
            $vis const ALL: &'static [Self] = &[$(Self::$value),+];

            /// The value as it stands in the label.
            #[must_use]
            $vis const fn as_str(self) -> &'static str {
                match self { $(Self::$value => $text),+ }
            }
        }
    };
}

values! {
    /// How a pass over an object ended, for metrics and traces.
    pub Outcome {
        /// The vault holds what is declared.
        Synced = "synced",
        /// It goes on by itself.
        Retried = "retried",
        /// It waits for a slot or an answer.
        Waiting = "waiting",
        /// In sync, and the question whether it still is failed.
        Unchecked = "unchecked",
        /// The object changed meanwhile.
        Outdated = "outdated",
        /// It waits for a change.
        Blocked = "blocked",
        /// `spec.suspend` is set.
        Suspended = "suspended",
        /// A dry run would have sent something.
        DryRun = "dry_run",
        /// Somebody else's change is left in place.
        Drifted = "drifted",
        /// A deleted object was let go.
        Released = "released",
        /// A bug.
        Panicked = "panicked",
    }
}

impl From<&Verdict> for Outcome {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Synced(_) => Self::Synced,
            Verdict::Drifted { .. } => Self::Drifted,
            Verdict::Blocked { refusal, .. } if refusal.reason == Reason::DryRun => Self::DryRun,
            Verdict::Blocked { refusal, .. } => match refusal.reason.class() {
                Class::Retried => Self::Retried,
                Class::Waits | Class::Synced | Class::Unknown => Self::Blocked,
            },
            Verdict::Suspended => Self::Suspended,
            Verdict::Waiting => Self::Waiting,
            Verdict::Unchecked(_) => Self::Unchecked,
            Verdict::Outdated => Self::Outdated,
            Verdict::Released => Self::Released,
        }
    }
}

values! {
    /// What came of a change by somebody else.
    pub(super) Action {
        /// It was put right.
        Corrected = "corrected",
        /// It was left in place, and told.
        Reported = "reported",
        /// It became a habit.
        Contended = "contended",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ResultLabel {
    result: &'static str,
}

impl ResultLabel {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        Outcome::ALL.iter().copied().map(Self::from)
    }
}

impl From<Outcome> for ResultLabel {
    fn from(outcome: Outcome) -> Self {
        let result = outcome.as_str();
        Self { result }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    method: &'static str,
    code: &'static str,
}

impl RequestLabels {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let of = |method| nairi::codes(method).map(move |code| Self::new(method, code));
        Method::ALL.into_iter().flat_map(of)
    }

    pub(super) fn new(method: Method, code: &'static str) -> Self {
        let method = method.as_str();
        Self { method, code }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct MethodLabel {
    method: &'static str,
}

impl MethodLabel {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        Method::ALL.into_iter().map(Self::from)
    }
}

impl From<Method> for MethodLabel {
    fn from(method: Method) -> Self {
        let method = method.as_str();
        Self { method }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct FieldLabel {
    field: &'static str,
}

impl FieldLabel {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        Fields::ALL.names().into_iter().map(Self::from)
    }
}

impl From<ManagedField> for FieldLabel {
    fn from(field: ManagedField) -> Self {
        let field = field.as_str();
        Self { field }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ActionLabel {
    action: &'static str,
}

impl ActionLabel {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        Action::ALL.iter().copied().map(Self::from)
    }
}

impl From<Action> for ActionLabel {
    fn from(action: Action) -> Self {
        let action = action.as_str();
        Self { action }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReadyLabels {
    ready: &'static str,
    reason: &'static str,
}

impl ReadyLabels {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        Reason::ALL.iter().copied().map(Self::from)
    }
}

impl From<Reason> for ReadyLabels {
    fn from(reason: Reason) -> Self {
        Self {
            ready: reason.status().as_str(),
            reason: reason.as_str(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct VersionLabel {
    version: &'static str,
}

impl VersionLabel {
    /// The one there is.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let version = env!("CARGO_PKG_VERSION");
        std::iter::once(Self { version })
    }
}
