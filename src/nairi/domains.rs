//! How two answers of the API are compared: domains as sets, times as instants.

use std::collections::HashSet;

use jiff::Timestamp;

/// Whether both lists allow the same destinations: order, repetition and ASCII case don't count.
#[must_use]
pub fn same_domains<A: AsRef<str>, B: AsRef<str>>(a: &[A], b: &[B]) -> bool {
    fn folded<S: AsRef<str>>(domains: &[S]) -> HashSet<String> {
        domains
            .iter()
            .map(|d| d.as_ref().to_ascii_lowercase())
            .collect()
    }
    folded(a) == folded(b)
}

/// Whether these domains restrict nothing: an empty list means "any destination", and so may one
/// made of nothing but `*` and dots. How the server reads `**` or `*.*` is documented nowhere.
#[must_use]
pub fn is_unrestricted<S: AsRef<str>>(domains: &[S]) -> bool {
    let any = |domain: &str| !domain.is_empty() && domain.chars().all(|c| matches!(c, '*' | '.'));
    domains.is_empty() || domains.iter().any(|domain| any(domain.as_ref().trim()))
}

/// Whether two timestamps name the same instant; as plain texts where one of them is no RFC 3339
/// timestamp. Equality is all that may be asked: the API's own examples are out of order.
#[must_use]
pub fn same_instant(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    match (a.parse::<Timestamp>(), b.parse::<Timestamp>()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn domains_are_sets_with_ascii_case_folded() {
        assert!(same_domains(
            &["a.com", "B.com"],
            &["b.COM", "a.com", "A.com"]
        ));
        assert!(same_domains::<&str, &str>(&[], &[]));
        assert!(!same_domains(&["a.com"], &[] as &[&str]));
        assert!(!same_domains(&["a.com"], &["*.a.com"]));
        // Only ASCII is folded: a Kelvin sign is no k.
        assert!(!same_domains(&["\u{212a}.com"], &["k.com"]));
    }

    #[test]
    fn nothing_and_a_star_restrict_nothing() {
        assert!(is_unrestricted::<&str>(&[]));
        assert!(is_unrestricted(&["a.com", "*"]));
        for wild in [" * ", "**", "*.*", "*."] {
            assert!(is_unrestricted(&[wild]), "{wild}");
        }
        assert!(!is_unrestricted(&["*.com"]));
        assert!(!is_unrestricted(&["*.a.com"]));
    }

    #[test]
    fn times_are_instants_where_both_parse() {
        let z = "2026-04-12T18:50:00.000Z";
        assert!(same_instant(z, "2026-04-12T18:50:00Z"));
        assert!(same_instant(z, "2026-04-12T20:50:00+02:00"));
        assert!(!same_instant(z, "2026-04-12T18:50:00.001Z"));
        assert!(same_instant("yesterday", "yesterday"));
        assert!(!same_instant("yesterday", z));
        assert!(!same_instant("2026-04-12", "2026-04-12T00:00:00Z"));
    }

    proptest! {
        #[test]
        fn sameness_is_symmetric_and_survives_shuffling(
            a in prop::collection::vec("[aAbB]{1,2}", 0..5),
            b in prop::collection::vec("[aAbB]{1,2}", 0..5),
        ) {
            prop_assert_eq!(same_domains(&a, &b), same_domains(&b, &a));
            let mut other: Vec<_> = a.iter().rev().map(|d| d.to_ascii_uppercase()).collect();
            other.extend(a.first().cloned());
            prop_assert!(same_domains(&a, &other));
        }

        #[test]
        fn any_text_is_the_same_instant_as_itself(a in ".*", b in ".*") {
            prop_assert!(same_instant(&a, &a));
            prop_assert_eq!(same_instant(&a, &b), same_instant(&b, &a));
        }
    }
}
