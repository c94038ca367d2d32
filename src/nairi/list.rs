//! A JSON array, taken apart while it streams in: memory is bounded by one element.

/// The size of one element at most, as for a body of one object.
pub(super) const MAX_ELEMENT: usize = 256 * 1024;
/// The size of the whole list at most.
pub(super) const MAX_LIST: usize = 16 * 1024 * 1024;
/// How deep an element may be nested; a secret is flat but for its domains.
pub(super) const MAX_DEPTH: usize = 32;

/// Splits the array into its elements, which have to be objects. Looks at brackets and strings
/// only: whether an element is sound is up to whoever parses it.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    place: Place,
    element: Vec<u8>,
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
    Within,
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
        mut each: impl FnMut(&[u8]) -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        self.read = self.read.saturating_add(piece.len());
        if self.read > MAX_LIST {
            return Err("is larger than 16 MiB");
        }
        for &byte in piece {
            if self.place == Place::Within {
                if self.within(byte)? {
                    each(&self.element)?;
                    self.element.clear();
                    self.place = Place::Behind;
                }
                continue;
            }
            self.place = match (self.place, byte) {
                (place, b' ' | b'\t' | b'\r' | b'\n') => place,
                (Place::Before, b'[') => Place::First,
                (Place::First | Place::Next, b'{') => {
                    self.element.push(byte);
                    self.depth = 1;
                    Place::Within
                }
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

    /// Whether the element ends with this byte.
    fn within(&mut self, byte: u8) -> Result<bool, &'static str> {
        if self.element.len() >= MAX_ELEMENT {
            return Err("holds an element larger than 256 KiB");
        }
        self.element.push(byte);
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return Ok(false);
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => {
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err("is nested too deep");
                }
            }
            b'}' | b']' => self.depth -= 1,
            _ => {}
        }
        Ok(self.depth == 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn split(pieces: &[&[u8]]) -> Result<Vec<Value>, &'static str> {
        let mut splitter = Splitter::default();
        let mut found = Vec::new();
        for piece in pieces {
            splitter.feed(piece, |element| {
                found.push(serde_json::from_slice(element).map_err(|_| "no JSON")?);
                Ok(())
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
    fn anything_else_does_not() {
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
            "[1]",
            "[[]]",
            "[null]",
            "[\"a\"]",
            "{}",
            "{\"data\":[]}",
            "<html>",
            "[{\"a\":1]",
            "[{\"a\"}]",
            "\u{feff}[]",
            "[{}],",
        ] {
            assert!(split(&[bad.as_bytes()]).is_err(), "{bad}");
        }
        assert!(split(&[b"[{\"a\":\"\xff\"}]"]).is_err());
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let deep = format!("[{}", "{\"a\":".repeat(1_000_000));
        assert_eq!(split(&[deep.as_bytes()]), Err("is nested too deep"));
        let long = format!("[{{\"a\":\"{}\"}}]", "x".repeat(MAX_ELEMENT));
        assert_eq!(
            split(&[long.as_bytes()]),
            Err("holds an element larger than 256 KiB")
        );
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
            // Whatever passes is what serde takes for an array of objects.
            let whole = serde_json::from_str::<Vec<serde_json::Map<String, Value>>>(&text);
            prop_assert_eq!(split(&[text.as_bytes()]).is_ok(), whole.is_ok());
        }
    }
}
