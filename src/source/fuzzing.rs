//! What holds for whatever the API server says a Secret is.

#![expect(clippy::missing_panics_doc, reason = "to panic is what a law is for")]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{decode, decode_keys};
use crate::fuzzing::two_texts;

/// A Secret, decoded as if by the book. Input: the name of a key, the text.
pub fn secret(input: &[u8]) {
    let [key, text] = two_texts(input);
    let Some(content) = decode(&text, &key) else {
        return;
    };
    let read: Value = serde_json::from_str(&text).expect("what was decoded is JSON");
    let metadata = &read["metadata"];
    // serde takes an array for a struct, too.
    if !metadata.is_object() {
        return;
    }
    let [uid, version] =
        ["uid", "resourceVersion"].map(|field| metadata[field].as_str().expect("a text"));
    assert_eq!(content.version, format!("{uid}/{version}"));
    let expected = read["data"].get(&key).map(|encoded| {
        let encoded = encoded.as_str().expect("a text");
        STANDARD.decode(encoded).expect("base64")
    });
    assert!(content.bytes == expected);
    let wanted = decode_keys(&text, |name| name == key).expect("the same text");
    assert!(wanted.data.get(&key) == expected.as_deref());
}
