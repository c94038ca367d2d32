//! What holds for any template over any Secret.

#![expect(clippy::missing_panics_doc, reason = "to panic is what a law is for")]

use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::{Data, Error, Template};
use crate::fuzzing::parts;

/// The keys whose content is in the input.
const KEYS: [&str; 3] = ["k", "data", "tls.crt"];

/// The most that the API server takes for a template's text.
const LONGEST: usize = 16_384;

/// Far more than it takes; what is not bounded takes for ever.
const LONG: Duration = Duration::from_secs(20);

/// Stands in every content that must not be seen.
const MARK: &str = "MaRkEr0123";

/// A template and what it makes. Input: its text, the content of the keys `k`, `data` and `tls.crt`.
pub fn template(input: &[u8]) {
    let mut parts = parts(input);
    let Ok(text) = std::str::from_utf8(parts.next().unwrap_or_default()) else {
        return;
    };
    if text.chars().count() > LONGEST {
        return;
    }
    let began = Instant::now();
    let Ok(template) = Template::parse(text) else {
        return;
    };
    let mut content = KEYS.map(|key| (key, parts.next().unwrap_or_default().to_vec()));
    let rendered = template.render(&data(&content));
    assert!(began.elapsed() < LONG);
    match &rendered {
        Ok(value) => {
            assert!(value.len() <= 1 << 20);
            assert_eq!(value.capacity(), value.len());
            assert!(std::str::from_utf8(value).is_ok());
        }
        Err(Error::Missing(key)) => assert!(!KEYS.contains(&key.as_str())),
        Err(_) => {}
    }
    // What it does not use makes no difference.
    for (key, content) in &mut content {
        if !template.uses(key) {
            content.reverse();
            content.extend(b"\xfe another");
        }
    }
    assert!(template.render(&data(&content)) == rendered);

    // Nothing of any content is in an error.
    for (_, content) in &mut content {
        content.extend(MARK.as_bytes());
    }
    if text.to_lowercase().contains("mark") {
        return;
    }
    if let Err(error) = template.render(&data(&content)) {
        assert!(!format!("{error} {error:?}").contains(MARK));
    }
}

fn data(content: &[(&str, Vec<u8>)]) -> Data {
    let entry = |(key, bytes): &(&str, Vec<u8>)| {
        let bytes = Zeroizing::new(bytes.clone());
        ((*key).to_owned(), bytes)
    };
    content.iter().map(entry).collect()
}
