//! The API key.

use std::fmt;

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use zeroize::Zeroizing;

/// Far above any real key; keeps a whole file that was pasted by mistake out of a header.
const MAX_KEY_LEN: usize = 4096;

/// An API key that can be sent: trimmed, not empty, visible ASCII. Never printed, zeroed on drop.
#[derive(Clone)]
pub struct ApiKey(SecretString);

/// Why a text is not an API key. Says nothing of the text itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidKey {
    /// Nothing, or nothing but white space.
    #[error("the API key is empty")]
    Empty,
    /// A space, a line break, a control character or a character outside ASCII within the key.
    #[error("the API key holds a character that is not visible ASCII")]
    NotVisibleAscii,
    /// Longer than any API key.
    #[error("the API key is longer than {MAX_KEY_LEN} bytes")]
    TooLong,
}

impl ApiKey {
    /// Takes the key as it stands in a Secret: white space around it (a final line break, mostly)
    /// is dropped.
    ///
    /// # Errors
    /// When what is left can't be an API key.
    pub fn parse(raw: impl AsRef<[u8]>) -> Result<Self, InvalidKey> {
        let key = raw.as_ref().trim_ascii();
        if key.is_empty() {
            return Err(InvalidKey::Empty);
        }
        if key.len() > MAX_KEY_LEN {
            return Err(InvalidKey::TooLong);
        }
        if !key.iter().all(u8::is_ascii_graphic) {
            return Err(InvalidKey::NotVisibleAscii);
        }
        match std::str::from_utf8(key) {
            Ok(key) => Ok(Self(SecretString::from(key))),
            Err(_) => Err(InvalidKey::NotVisibleAscii),
        }
    }

    pub(super) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// `Bearer …`, marked sensitive: never printed, never put into HTTP/2's header table.
    pub(super) fn authorization(&self) -> Result<HeaderValue, InvalidKey> {
        let text = Zeroizing::new(["Bearer ", self.expose()].concat());
        let mut value = HeaderValue::from_str(&text).map_err(|_| InvalidKey::NotVisibleAscii)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey([REDACTED])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_around_a_key_is_dropped() {
        let key = ApiKey::parse(" \t\r\nnr_abc\n").expect("a key");
        assert_eq!(key.expose(), "nr_abc");
        let header = key.authorization().expect("a header");
        assert_eq!(header.as_bytes(), b"Bearer nr_abc");
        assert!(header.is_sensitive());
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        for (raw, why) in [
            (&b""[..], InvalidKey::Empty),
            (b" \n\t ", InvalidKey::Empty),
            (b"nr_a b", InvalidKey::NotVisibleAscii),
            (b"nr_a\r\nX-Evil: 1", InvalidKey::NotVisibleAscii),
            (b"nr_\0", InvalidKey::NotVisibleAscii),
            ("nr_\u{e9}".as_bytes(), InvalidKey::NotVisibleAscii),
            (b"nr_\xff", InvalidKey::NotVisibleAscii),
            (&[b'a'; MAX_KEY_LEN + 1], InvalidKey::TooLong),
        ] {
            assert_eq!(ApiKey::parse(raw).expect_err("refused"), why);
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        let key = ApiKey::parse("nr_canary").expect("a key");
        assert!(!format!("{key:?}").contains("canary"));
        assert!(!format!("{:?}", key.authorization()).contains("canary"));
    }
}
