//! What holds for any bytes whatever, as functions that fail where it does not: for fuzzers, and for the tests below.
//!
//! `fuzz/` has a program for each, which libFuzzer feeds. The tests feed the seeds in `fuzz/corpus`, made by hand or
//! found by a fuzzer, and what is near them.
//!
//! An input of several parts has a line `---` between them, so that a seed can be read.

pub use crate::{
    nairi::fuzzing::{api_key, list, response, scrub, times},
    reconcile::fuzzing::ids_and_domains,
    source::fuzzing::secret,
    template::fuzzing::template,
};

/// Fails where something does not hold for these bytes.
pub type Law = fn(&[u8]);

/// All of them, by the names of their programs and of their folders of seeds.
pub const LAWS: [(&str, Law); 8] = [
    ("api_key", api_key),
    ("ids_and_domains", ids_and_domains),
    ("list", list),
    ("response", response),
    ("scrub", scrub),
    ("secret", secret),
    ("template", template),
    ("times", times),
];

const BORDER: &[u8] = b"\n---\n";

/// The parts of an input, of which there are as many as are asked for; one that is missing is empty.
pub(crate) fn parts(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(input);
    std::iter::from_fn(move || {
        let part = rest?;
        let border = part
            .windows(BORDER.len())
            .position(|window| window == BORDER);
        rest = border.map(|at| &part[at + BORDER.len()..]);
        Some(border.map_or(part, |at| &part[..at]))
    })
}

/// The first two parts, as text.
pub(crate) fn two_texts(input: &[u8]) -> [String; 2] {
    let mut parts = parts(input);
    let mut next = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    [next(), next()]
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::PathBuf};

    use proptest::prelude::*;

    use super::*;

    fn folder(path: &str) -> PathBuf {
        [env!("CARGO_MANIFEST_DIR"), "fuzz", path].iter().collect()
    }

    fn names(path: &str) -> BTreeSet<String> {
        let entries = fs::read_dir(folder(path)).expect("a folder");
        let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("UTF-8");
        entries
            .map(|entry| name(entry.expect("an entry")))
            .collect()
    }

    fn seeds(name: &str) -> Vec<(String, Vec<u8>)> {
        let path = format!("corpus/{name}");
        let seed = |file: String| {
            let content = fs::read(folder(&path).join(&file)).expect("a file");
            (file, content)
        };
        names(&path).into_iter().map(seed).collect()
    }

    /// As they are, cut off anywhere, and with any byte changed, as far as that takes no time.
    #[test]
    fn every_seed_and_what_is_near_it_keeps_the_law() {
        const MOST: usize = 32;
        for (name, law) in LAWS {
            let seeds = seeds(name);
            assert!(seeds.len() >= 5, "{name} has few seeds");
            for (file, seed) in seeds {
                // Says which it was, should it fail.
                println_on_failure(name, &file);
                law(&seed);
                let step = seed.len().div_ceil(MOST).max(1);
                for at in (0..seed.len()).step_by(step) {
                    law(&seed[..at]);
                    for other in [seed[at] ^ 1, b'"', b'\\', b'\n', 0, 0xff] {
                        let mut changed = seed.clone();
                        changed[at] = other;
                        law(&changed);
                    }
                }
            }
        }
    }

    #[expect(clippy::print_stdout, reason = "shown only for a test that fails")]
    fn println_on_failure(name: &str, file: &str) {
        println!("fuzz/corpus/{name}/{file}");
    }

    #[test]
    fn each_law_has_its_program_and_its_seeds() {
        let expected: BTreeSet<String> = LAWS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(names("corpus"), expected);
        let programs = names("fuzz_targets");
        let files = expected.iter().map(|name| format!("{name}.rs"));
        assert_eq!(programs, files.collect());
        let manifest = fs::read_to_string(folder("Cargo.toml")).expect("a file");
        for name in &expected {
            let program = format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\n");
            assert!(manifest.contains(&program), "{name}");
            let file = fs::read_to_string(folder("fuzz_targets").join(format!("{name}.rs")));
            let call = format!("vaultsecret_operator::fuzzing::{name}(");
            assert!(file.expect("a file").contains(&call), "{name}");
        }
    }

    #[test]
    fn parts_stand_between_borders() {
        let of = |text: &'static str| parts(text.as_bytes()).collect::<Vec<_>>();
        assert_eq!(of(""), [b""]);
        assert_eq!(of("a\n---\nb"), [b"a", b"b"]);
        assert_eq!(of("\n---\n\n---\n"), [b"", b"", b""]);
        assert_eq!(two_texts(b"a"), ["a", ""]);
    }

    proptest! {
        #[test]
        fn any_bytes_keep_every_law(input in prop::collection::vec(any::<u8>(), 0..64)) {
            for (_, law) in LAWS {
                law(&input);
            }
        }
    }
}
