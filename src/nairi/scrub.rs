//! Makes a text of the server fit for logs and conditions.

/// What is left of a server's message at most, in characters.
pub(super) const MAX_MESSAGE_CHARS: usize = 256;

const MASK: &str = "***";

/// Clears a text of the API key, of anything that looks like one, of control characters, terminal
/// escapes and characters that reorder or hide text, and cuts it.
pub(super) fn scrub(text: &str, key: &str) -> String {
    // All of it, however much is dropped afterwards: a part of the key at a cut would not be recognised.
    let plain = mask_tokens(&mask(&plain(text), key));
    let plain = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    if plain.chars().count() <= MAX_MESSAGE_CHARS {
        return plain;
    }
    plain
        .chars()
        .take(MAX_MESSAGE_CHARS - 1)
        .chain(['…'])
        .collect()
}

/// Whether all of a text prints as what it is.
pub(crate) fn is_plain(text: &str) -> bool {
    !text.contains(|c: char| c.is_control() || is_invisible(c))
}

/// Drops what does not print. First of all, or a key could be hidden by splitting it up.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' if chars.next_if_eq(&'[').is_some() => skip_sequence(&mut chars),
            '\u{9b}' => skip_sequence(&mut chars),
            '\n' | '\r' | '\t' => out.push(' '),
            c if c.is_control() || is_invisible(c) => {}
            c => out.push(c),
        }
    }
    out
}

/// The rest of a terminal's control sequence, up to its final byte.
fn skip_sequence(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while chars
        .next_if(|c| ('\u{20}'..='\u{3f}').contains(c))
        .is_some()
    {}
    chars.next_if(|c| ('\u{40}'..='\u{7e}').contains(c));
}

/// Zero width, bidirectional controls, line and paragraph separators, tags and the like.
pub(super) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Every occurrence of the key, in whatever ASCII case.
fn mask(text: &str, key: &str) -> String {
    if key.is_empty() {
        return text.to_owned();
    }
    let (folded, key) = (text.to_ascii_lowercase(), key.to_ascii_lowercase());
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    // Folding ASCII leaves every offset where it was.
    while let Some(at) = folded[from..].find(&key) {
        out.push_str(&text[from..from + at]);
        out.push_str(MASK);
        from += at + key.len();
    }
    out.push_str(&text[from..]);
    out
}

/// Whatever looks like an API key: `nr_` and what follows. Parts of a key, another key.
fn mask_tokens(text: &str) -> String {
    let folded = text.to_ascii_lowercase();
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    while let Some(at) = folded[from..].find("nr_") {
        let token = from + at;
        out.push_str(&text[from..token]);
        out.push_str(MASK);
        let rest = &text[token + 3..];
        let end = rest
            .find(|c: char| {
                !(c.is_ascii_alphanumeric()
                    || matches!(c, '_' | '-' | '.' | '~' | '+' | '/' | '=' | '%'))
            })
            .unwrap_or(rest.len());
        from = token + 3 + end;
    }
    out.push_str(&text[from..]);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "nr_Canary0123456789";

    #[test]
    fn no_part_of_a_key_is_left_however_long_the_text_is() {
        let key = "Canary\"0123456789/abcdef";
        for length in 0..3000 {
            for filler in [" ", "\u{200b}", key] {
                let text = format!("{}{key}{key}", filler.repeat(length / filler.len()));
                let left = scrub(&text, key);
                assert!(!left.contains("Canary"), "{length} {filler:?}: {left}");
            }
        }
    }

    #[test]
    fn the_key_and_its_like_are_masked() {
        assert_eq!(scrub(&format!("bad key {KEY}!"), KEY), "bad key ***!");
        assert_eq!(
            scrub(&format!("bad key {}!", KEY.to_uppercase()), KEY),
            "bad key ***!"
        );
        assert_eq!(scrub("other nr_abc-DEF_1.2 key", KEY), "other *** key");
        assert_eq!(
            scrub("the key s3cr3t$ is bad", "s3cr3t$"),
            "the key *** is bad"
        );
        assert_eq!(scrub("nr_", KEY), "***");
    }

    #[test]
    fn a_key_split_by_what_does_not_print_is_found() {
        let split = "s3\u{200b}cr\u{1b}[31m3t\u{0}$";
        assert_eq!(scrub(split, "s3cr3t$"), "***");
    }

    #[test]
    fn terminal_escapes_and_overrides_are_dropped() {
        assert_eq!(
            scrub("a\u{1b}[31;1mred\u{1b}[0m\u{9b}2Jb\u{7}", KEY),
            "aredb"
        );
        assert_eq!(scrub("a\u{202e}b\u{2066}c\u{2028}d\u{feff}e", KEY), "abcde");
        assert_eq!(scrub("one\r\ntwo\t three ", KEY), "one two three");
    }

    #[test]
    fn long_messages_are_cut() {
        let cut = scrub(&"\u{e9}".repeat(10_000), KEY);
        assert_eq!(cut.chars().count(), MAX_MESSAGE_CHARS);
        assert!(cut.ends_with('…'));
        // A key across the cut is gone before anything is cut.
        let text = format!("{}{KEY}", "x".repeat(MAX_MESSAGE_CHARS - 5));
        assert!(!scrub(&text, KEY).contains("nr_C"));
    }

    proptest! {
        #[test]
        fn nothing_gets_through(before in "\\PC{0,300}", after in ".{0,300}", noise in "\\p{C}{0,4}") {
            let key = "Zq7$k";
            let (a, b) = key.split_at(2);
            let out = scrub(&format!("{before}{key}{after}{a}{noise}{b}"), key);
            prop_assert!(!out.to_lowercase().contains(&key.to_lowercase()));
            prop_assert!(out.chars().count() <= MAX_MESSAGE_CHARS);
            prop_assert!(!out.chars().any(char::is_control));
        }
    }
}
