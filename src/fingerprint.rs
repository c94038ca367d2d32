//! Keyed fingerprints of values: how the operator knows that a value is the one it last sent, without
//! keeping the value.
//!
//! `v1:` + base64(HMAC-SHA256(key, uid, vault id, remote secret id, value)), each part prefixed by its length.
//! A fingerprint says nothing without the key, and is worth nothing for another object or remote secret.

pub mod keeper;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    hmac,
    rand::{SecureRandom as _, SystemRandom},
};
use secrecy::{ExposeSecret as _, SecretBox, SecretString};

/// Length of the key in bytes: that of the hash's output (RFC 2104 section 3).
pub const KEY_BYTES: usize = 32;

const VERSION: &str = "v1:";

/// The key of this installation's fingerprints.
pub struct FingerprintKey {
    bytes: SecretBox<[u8; KEY_BYTES]>,
    key: hmac::Key,
}

/// The randomness source of the system failed, or a stored key has another length than [`KEY_BYTES`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// No random bytes.
    #[error("the system's source of randomness failed")]
    Random,
    /// Another length.
    #[error("the key has {0} bytes, not {KEY_BYTES}")]
    Length(usize),
}

/// Which remote secret of which object a value is for.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// uid of the VaultSecret.
    pub uid: &'a str,
    /// The vault.
    pub vault_id: &'a str,
    /// The remote secret.
    pub secret_id: &'a str,
}

impl FingerprintKey {
    /// A new random key.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = Box::new([0; KEY_BYTES]);
        SystemRandom::new()
            .fill(bytes.as_mut_slice())
            .map_err(|_| KeyError::Random)?;
        Ok(Self::new(bytes))
    }

    /// The key that `bytes` hold.
    ///
    /// # Errors
    /// When the length is another: a shorter key would be a weak one, a longer one is not ours.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes =
            <[u8; KEY_BYTES]>::try_from(bytes).map_err(|_| KeyError::Length(bytes.len()))?;
        Ok(Self::new(Box::new(bytes)))
    }

    fn new(bytes: Box<[u8; KEY_BYTES]>) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, bytes.as_slice());
        Self {
            bytes: SecretBox::new(bytes),
            key,
        }
    }

    /// The key's bytes, for the Secret that keeps it.
    #[must_use]
    pub fn bytes(&self) -> &SecretBox<[u8; KEY_BYTES]> {
        &self.bytes
    }

    /// The fingerprint of `value` for one object and remote secret.
    #[must_use]
    pub fn of(&self, binding: Binding<'_>, value: &SecretString) -> String {
        let Binding {
            uid,
            vault_id,
            secret_id,
        } = binding;
        let mut context = hmac::Context::with_key(&self.key);
        for part in [uid, vault_id, secret_id, value.expose_secret()] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        format!("{VERSION}{}", STANDARD.encode(context.sign()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(key: &FingerprintKey, uid: &str, vault_id: &str, secret_id: &str, value: &str) -> String {
        key.of(
            Binding {
                uid,
                vault_id,
                secret_id,
            },
            &SecretString::from(value),
        )
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        for length in [0, 16, 31, 33, 64] {
            assert_eq!(
                FingerprintKey::from_bytes(&vec![7; length]).err(),
                Some(KeyError::Length(length))
            );
        }
    }

    #[test]
    fn the_form_is_fixed() {
        let key = FingerprintKey::from_bytes(&[0; KEY_BYTES]).expect("32 bytes");
        // Computed with Python's hmac module over the same length-prefixed parts.
        assert_eq!(of(&key, "u", "vlt_1", "sec_1", "value"), EXPECTED);
    }

    const EXPECTED: &str = "v1:ULBDuk4EqARFGHUEnYggu4dOsWn6nl+hBs4ypqvzttQ=";

    proptest! {
        #[test]
        fn moving_a_character_between_parts_changes_it(a in "[a-z]{1,6}", b in "[a-z]{0,6}", c in "[a-z]{1,6}") {
            let key = FingerprintKey::generate().expect("randomness");
            let moved = of(&key, &format!("{a}{b}"), "v", "s", &c);
            let other = of(&key, &a, &format!("{b}v"), "s", &c);
            prop_assert_eq!(moved == other, b.is_empty());
        }

        #[test]
        fn another_key_or_object_gives_another(value in ".{1,40}") {
            let (one, two) = (FingerprintKey::generate().expect("randomness"), FingerprintKey::generate().expect("randomness"));
            let here = of(&one, "u", "v", "s", &value);
            prop_assert_eq!(&here, &of(&one, "u", "v", "s", &value));
            prop_assert_ne!(&here, &of(&two, "u", "v", "s", &value));
            prop_assert_ne!(&here, &of(&one, "w", "v", "s", &value));
            prop_assert!(!here.contains(&value) || value.len() < 4);
        }
    }
}
