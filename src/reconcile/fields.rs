//! Which of the two managed fields a decision is about.

use std::ops::{BitAnd, BitOr, Sub};

use crate::api::ManagedField;

/// A set of the fields that a PATCH can carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// The secret's value.
    pub value: bool,
    /// The domains the secret may be sent to.
    pub allowed_domains: bool,
}

impl Fields {
    /// Neither field.
    pub const NONE: Self = Self {
        value: false,
        allowed_domains: false,
    };

    /// Both fields.
    pub const ALL: Self = Self {
        value: true,
        allowed_domains: true,
    };

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// The set of these fields.
    #[must_use]
    pub fn of(names: &[ManagedField]) -> Self {
        Self {
            value: names.contains(&ManagedField::Value),
            allowed_domains: names.contains(&ManagedField::AllowedDomains),
        }
    }

    /// The names as users spell them in `spec`, for status and metrics.
    #[must_use]
    pub fn names(self) -> Vec<ManagedField> {
        let value = self.value.then_some(ManagedField::Value);
        let domains = self.allowed_domains.then_some(ManagedField::AllowedDomains);
        value.into_iter().chain(domains).collect()
    }
}

impl BitOr for Fields {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self {
            value: self.value | other.value,
            allowed_domains: self.allowed_domains | other.allowed_domains,
        }
    }
}

impl BitAnd for Fields {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self {
            value: self.value & other.value,
            allowed_domains: self.allowed_domains & other.allowed_domains,
        }
    }
}

impl Sub for Fields {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self {
            value: self.value && !other.value,
            allowed_domains: self.allowed_domains && !other.allowed_domains,
        }
    }
}
