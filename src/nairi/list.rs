//! A JSON array, taken apart while it streams in: memory is bounded by one element.

/// The size of one element at most, as for a body of one object.
pub(super) const MAX_ELEMENT: usize = 256 * 1024;
/// The size of the whole list at most.
pub(super) const MAX_LIST: usize = 16 * 1024 * 1024;
/// How deep an element may be nested; a secret is flat but for its domains.
pub(super) const MAX_DEPTH: usize = 32;

/// Splits the array into its elements. Looks at brackets and strings only: whether an element is sound is up to
/// whoever parses it. One that is no object, too large or nested too deep is not kept: it is handed out as `None`.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    place: Place,
    element: Vec<u8>,
    /// The element can't be one that is wanted: its end is looked for, and nothing of it kept.
    passed_over: bool,
    depth: usize,
    in_string: bool,
    escaped: bool,
    read: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Before,
    /// Just within the brackets: an element or the end.
    First,
    /// Behind a comma: an element.
    Next,
    /// Within an object, an array or a text.
    Within,
    /// Within a number or a word, which ends with what follows it.
    Bare,
    /// Behind an element: a comma or the end.
    Behind,
    After,
}

const NO_ARRAY: &str = "is not a JSON array of objects";

impl Splitter {
    /// Takes the next piece and hands every element that ends in it to `each`.
    pub(super) fn feed(
        &mut self,
        piece: &[u8],
        mut each: impl FnMut(Option<&[u8]>),
    ) -> Result<(), &'static str> {
        self.read = self.read.saturating_add(piece.len());
        if self.read > MAX_LIST {
            return Err("is larger than 16 MiB");
        }
        for &byte in piece {
            if self.place == Place::Within {
                if self.within(byte) {
                    each((!self.passed_over).then_some(self.element.as_slice()));
                    self.place = Place::Behind;
                }
                continue;
            }
            if self.place == Place::Bare {
                if is_bare(byte) {
                    continue;
                }
                each(None);
                self.place = Place::Behind;
            }
            self.place = match (self.place, byte) {
                (place, b' ' | b'\t' | b'\r' | b'\n') => place,
                (Place::Before, b'[') => Place::First,
                (Place::First | Place::Next, b'{' | b'[' | b'"') => {
                    self.begin(byte);
                    Place::Within
                }
                (Place::First | Place::Next, byte) if is_bare(byte) => Place::Bare,
                (Place::Behind, b',') => Place::Next,
                (Place::First | Place::Behind, b']') => Place::After,
                _ => return Err(NO_ARRAY),
            };
        }
        Ok(())
    }

    /// No more is to come: the array has to be complete.
    pub(super) fn finish(&self) -> Result<(), &'static str> {
        if self.place == Place::After {
            Ok(())
        } else {
            Err(NO_ARRAY)
        }
    }

    fn begin(&mut self, byte: u8) {
        self.element.clear();
        self.element.push(byte);
        self.passed_over = byte != b'{';
        self.in_string = byte == b'"';
        self.depth = usize::from(!self.in_string);
    }

    /// Whether the element ends with this byte.
    fn within(&mut self, byte: u8) -> bool {
        self.passed_over |= self.element.len() >= MAX_ELEMENT || self.depth > MAX_DEPTH;
        if !self.passed_over {
            self.element.push(byte);
        }
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
        } else {
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth -= 1,
                _ => {}
            }
        }
        self.depth == 0 && !self.in_string
    }
}

/// What numbers and words are made of: `null`, `true`, `-1.5e+3`.
fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// The objects, and `null` for each element that was passed over.
    fn split(pieces: &[&[u8]]) -> Result<Vec<Value>, &'static str> {
        let mut splitter = Splitter::default();
        let mut found = Vec::new();
        for piece in pieces {
            splitter.feed(piece, |element| {
                let object = element.and_then(|element| serde_json::from_slice(element).ok());
                found.push(object.unwrap_or_default());
            })?;
        }
        splitter.finish()?;
        Ok(found)
    }

    #[test]
    fn arrays_of_objects_pass() {
        assert_eq!(split(&[b" [ ] \n"]), Ok(vec![]));
        assert_eq!(
            split(&[b"[{},{\"a\":[1,{}]}]"]),
            Ok(vec![json!({}), json!({"a": [1, {}]})])
        );
        assert_eq!(
            split(&[br#"[{"a":"}]\"\\"}]"#]),
            Ok(vec![json!({"a": "}]\"\\"})])
        );
    }

    #[test]
    fn what_is_no_object_is_passed_over() {
        for other in [
            "1",
            "-1.5e+300",
            "99999999999999999999999999999999999999",
            "null",
            "true",
            "NaN",
            "\"a, ] \\\" {\"",
            "\"\"",
            "[]",
            "[[\"]\"], {}]",
            "{\"a\"}",
            "{\"a\":1]",
        ] {
            let list = format!("[{{}}, {other} ,{{\"b\":2}}]");
            let expected = vec![json!({}), Value::Null, json!({"b": 2})];
            assert_eq!(split(&[list.as_bytes()]), Ok(expected), "{other}");
            let list = format!("[{other}]");
            assert_eq!(split(&[list.as_bytes()]), Ok(vec![Value::Null]), "{other}");
        }
        let unreadable = b"[{\"a\":\"\xff\"},{\"a\":\"\x1b\"},{}]";
        let expected = vec![Value::Null, Value::Null, json!({})];
        assert_eq!(split(&[unreadable]), Ok(expected));
    }

    #[test]
    fn anything_else_does_not_pass() {
        for bad in [
            "",
            " ",
            "[",
            "[{}",
            "[{},]",
            "[,{}]",
            "[{}{}]",
            "[{}]x",
            "[{}][]",
            "[1",
            "[1 2]",
            "[\"a]",
            "[*]",
            "{}",
            "{\"data\":[]}",
            "<html>",
            "[<html>]",
            "\u{feff}[]",
            "[{}],",
        ] {
            assert!(split(&[bad.as_bytes()]).is_err(), "{bad}");
        }
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let good = json!({"a": 1});
        let deep = format!("[{}", "{\"a\":".repeat(1_000_000));
        assert_eq!(split(&[deep.as_bytes()]), Err(NO_ARRAY));
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        let long = "x".repeat(MAX_ELEMENT);
        for element in [nested(MAX_DEPTH), nested(10_000), long] {
            let list = format!("[{{\"a\":\"{element}\", \"b\":{element:?}}},{good}]");
            let list = list.replace(&format!("{element:?}"), &nested(MAX_DEPTH));
            let expected = vec![Value::Null, good.clone()];
            assert_eq!(split(&[list.as_bytes()]), Ok(expected));
        }
        let mut splitter = Splitter::default();
        let piece = [b"[{\"a\":\"", vec![b'x'; MAX_LIST / 2].as_slice()].concat();
        splitter.feed(&piece, |_| {}).expect("so far");
        assert!(splitter.element.capacity() <= 2 * MAX_ELEMENT, "not kept");
        let spaces = vec![b' '; MAX_LIST / 2];
        assert_eq!(
            split(&[b"[", &spaces, &spaces]),
            Err("is larger than 16 MiB")
        );
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[\\PC\\\\\"{}\\[\\],]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[\\PC\\\\\"{}\\[\\]]{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn elements_survive_every_cut(
            elements in prop::collection::vec(prop::collection::hash_map("\\PC{0,4}", any_json(), 0..4), 0..6),
            pretty in any::<bool>(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let elements: Vec<Value> =
                elements.into_iter().map(|map| Value::Object(map.into_iter().collect())).collect();
            let text = if pretty {
                serde_json::to_vec_pretty(&elements).expect("JSON")
            } else {
                serde_json::to_vec(&elements).expect("JSON")
            };
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            at.extend([0, text.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|w| &text[w[0]..w[1]]).collect();
            prop_assert_eq!(split(&pieces), Ok(elements.clone()));
            // Byte by byte, and without the last one.
            let bytes: Vec<&[u8]> = text.chunks(1).collect();
            prop_assert_eq!(split(&bytes), Ok(elements));
            prop_assert!(split(&bytes[..bytes.len() - 1]).is_err());
        }

        #[test]
        fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}\",\\\\a ]{0,60}") {
            let _ = split(&[&bytes]);
            // Whatever serde takes for an array passes, and no object is lost or made up.
            let passed = split(&[text.as_bytes()]);
            if let Ok(whole) = serde_json::from_str::<Vec<Value>>(&text) {
                let objects = whole.into_iter().map(|it| if it.is_object() { it } else { Value::Null });
                prop_assert_eq!(passed, Ok(objects.collect()));
            }
        }
    }
}
