//! Finds a secret in any text, whole or in part, in whatever form: as it is, escaped, URL-encoded, in hex, in base64
//! at any alignment, or as a plain hash.
//!
//! A secret made by [`canary`] has random words between characters that every encoding treats in its own way. Each
//! 8 characters of a word are looked for, in either case, so an escaped or cut-off form is found as well.

use std::collections::HashMap;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use ring::digest;

/// How much of a secret as it is makes a leak.
const PART: usize = 8;

/// The same for its encodings: about eight bytes of the secret.
const ENCODED_PART: usize = 12;

const FILTER_BITS: u32 = 20;

/// A value that no encoding leaves as it is, and that cannot be anywhere by chance.
pub(super) fn canary() -> String {
    let between = ["\"", "/", "\\", "\n", "ü→", " +&%="];
    between.map(|it| word() + it).concat() + &word()
}

/// The same as far as a header may hold it. Not all begin with `nr_`: that is no promise of the API.
pub(super) fn canary_key() -> String {
    ["\"", "/", "+\\", "="].map(|it| word() + it).concat()
}

fn word() -> String {
    std::iter::repeat_with(fastrand::alphanumeric)
        .take(14)
        .collect()
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// What the secret is.
    pub(super) secret: String,
    /// In which form.
    pub(super) form: &'static str,
    /// What stands before it, without anything of the secret.
    pub(super) after: String,
}

/// The secrets to look for.
#[derive(Debug)]
pub(super) struct Search {
    parts: HashMap<Vec<u8>, (usize, &'static str)>,
    names: Vec<String>,
    /// Which four bytes a part can begin with, roughly: most places are told by it.
    filter: Vec<bool>,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            parts: HashMap::new(),
            names: Vec::new(),
            filter: vec![false; 1 << FILTER_BITS],
        }
    }
}

impl Search {
    /// Looks for `secret`, too.
    pub(super) fn add(&mut self, name: &str, secret: &[u8]) {
        self.names.push(name.to_owned());
        self.parts(&secret.to_ascii_lowercase(), PART, "as it is");
        self.parts(hex(secret).as_bytes(), ENCODED_PART, "hex");
        for shift in 0..3 {
            let shifted = [&b"\0\0\0"[..shift], secret].concat();
            for engine in [STANDARD, URL_SAFE] {
                let text = engine.encode(&shifted);
                // What depends on the neighbours is left out.
                let own = &text[(shift * 4).div_ceil(3)..text.len() - 4];
                self.parts(own.as_bytes(), ENCODED_PART, "base64");
            }
        }
        let trimmed = secret.trim_ascii();
        for algorithm in [
            &digest::SHA1_FOR_LEGACY_USE_ONLY,
            &digest::SHA256,
            &digest::SHA512,
        ] {
            for hashed in [secret, trimmed] {
                let hash = digest::digest(algorithm, hashed);
                self.parts(hex(hash.as_ref()).as_bytes(), ENCODED_PART, "hash");
                let text = STANDARD.encode(hash);
                self.parts(text.as_bytes(), ENCODED_PART, "hash");
            }
        }
    }

    fn parts(&mut self, text: &[u8], length: usize, form: &'static str) {
        for part in text.windows(length) {
            self.filter[start_of(part)] = true;
            self.parts
                .entry(part.to_vec())
                .or_insert((self.names.len() - 1, form));
        }
    }

    /// The first secret in `text`.
    pub(super) fn find(&self, text: &[u8]) -> Option<Found> {
        let folded = text.to_ascii_lowercase();
        (0..text.len()).find_map(|at| {
            let part = |text: &[u8], length: usize| {
                let part = text.get(at..at + length)?;
                let known = self.filter[start_of(part)];
                known.then(|| self.parts.get(part)).flatten().copied()
            };
            let (name, form) = part(&folded, PART)
                .or_else(|| part(&folded, ENCODED_PART))
                .or_else(|| part(text, ENCODED_PART))?;
            let before = &text[at.saturating_sub(200)..at];
            Some(Found {
                secret: self.names[name].clone(),
                form,
                after: String::from_utf8_lossy(before).into_owned(),
            })
        })
    }
}

fn start_of(part: &[u8]) -> usize {
    let start = u32::from_le_bytes([part[0], part[1], part[2], part[3]]);
    (start.wrapping_mul(0x9E37_79B1) >> (32 - FILTER_BITS)) as usize
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

mod tests {
    use super::*;

    /// Every form of the canary in a line of a log, and what is no form of it.
    #[test]
    fn a_leak_is_found_in_every_form() {
        let value = canary();
        let mut search = Search::default();
        search.add("value", value.as_bytes());
        let url = |byte: u8| {
            if byte.is_ascii_alphanumeric() {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        };
        let json = serde_json::json!(value).to_string();
        let alignments = ["", "x", "xx", "Bearer "];
        let mut forms: Vec<String> = vec![
            value.clone(),
            format!("{value:?}"),
            json.clone(),
            serde_json::json!(json).to_string(),
            value.bytes().map(url).collect(),
            value.to_uppercase(),
            hex(value.as_bytes()),
            hex(value.as_bytes()).to_uppercase(),
            value[..PART].to_owned(),
            value[value.len() - PART..].to_owned(),
            hex(digest::digest(&digest::SHA256, value.as_bytes()).as_ref()),
        ];
        for before in alignments {
            for after in ["", "y", "\n"] {
                let text = [before, &value, after].concat();
                forms.push(STANDARD.encode(&text));
                forms.push(URL_SAFE.encode(&text));
            }
        }
        for form in forms {
            let line = serde_json::json!({"message": format!("sent {form} to Nairi")}).to_string();
            for text in [line.as_bytes(), form.as_bytes()] {
                let found = search
                    .find(text)
                    .unwrap_or_else(|| panic!("not found: {form}"));
                assert_eq!(found.secret, "value");
            }
        }
        for other in [
            canary(),
            STANDARD.encode(canary()),
            value[..PART - 1].to_owned(),
        ] {
            assert_eq!(search.find(other.as_bytes()), None, "{other}");
        }
    }
}
