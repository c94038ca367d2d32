//! A sync that somebody asks for: a new value of the annotation `nairi.ai/sync-requested-at`.
//!
//! What the value says is nobody's business here; that it is another than the one last acted upon is the request.

use std::collections::BTreeMap;

use kube::core::ObjectMeta;

use crate::api::{VaultSecret, VaultSecretStatus};

/// The annotation.
pub const ANNOTATION: &str = "nairi.ai/sync-requested-at";

/// How much of its value counts: it is kept in memory and in status.
const LONGEST: usize = 128;

/// The annotation's value on an object that was pruned by [`keep_only`].
#[must_use]
pub fn of(object: &VaultSecret) -> Option<&str> {
    let annotations = object.metadata.annotations.as_ref()?;
    annotations.get(ANNOTATION).map(String::as_str)
}

/// Whether `object` asks for a sync that `status` does not show as carried out.
#[must_use]
pub fn is_pending(object: &VaultSecret, status: &VaultSecretStatus) -> bool {
    let asked = of(object);
    asked.is_some() && asked != status.last_handled_sync_request.as_deref()
}

/// Drops all annotations but this one, and of this one what is too long.
pub fn keep_only(meta: &mut ObjectMeta) {
    let mut all = meta.annotations.take().unwrap_or_default();
    meta.annotations = all.remove(ANNOTATION).map(|mut value| {
        if let Some((end, _)) = value.char_indices().nth(LONGEST) {
            value.truncate(end);
        }
        BTreeMap::from([(ANNOTATION.to_owned(), value)])
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::VaultSecretSpec;

    fn annotated(value: Option<&str>) -> VaultSecret {
        let mut object = VaultSecret::new("object", VaultSecretSpec::default());
        let own = value.map(|value| (ANNOTATION.to_owned(), value.to_owned()));
        let other = ("other".to_owned(), "a value, perhaps".to_owned());
        object.metadata.annotations = Some(own.into_iter().chain([other]).collect());
        keep_only(&mut object.metadata);
        object
    }

    fn handled(value: Option<&str>) -> VaultSecretStatus {
        VaultSecretStatus {
            last_handled_sync_request: value.map(str::to_owned),
            ..VaultSecretStatus::default()
        }
    }

    #[test]
    fn nothing_else_is_kept() {
        assert_eq!(annotated(None).metadata.annotations, None);
        let kept = annotated(Some("now")).metadata.annotations;
        assert_eq!(
            kept,
            Some(BTreeMap::from([(ANNOTATION.to_owned(), "now".to_owned())]))
        );
    }

    #[test]
    fn a_long_value_is_cut_between_characters_and_is_one_request_all_the_same() {
        let object = annotated(Some(&"ä".repeat(LONGEST + 1)));
        let cut = "ä".repeat(LONGEST);
        assert_eq!(of(&object), Some(&*cut));
        assert!(is_pending(&object, &handled(None)));
        assert!(!is_pending(&object, &handled(Some(&cut))));
        let short = "ä".repeat(LONGEST);
        assert_eq!(of(&annotated(Some(&short))), Some(&*short));
    }

    #[test]
    fn a_new_value_asks_and_its_removal_does_not() {
        for (value, last, asks) in [
            (Some("2"), None, true),
            (Some("2"), Some("1"), true),
            (Some(""), None, true),
            (Some("1"), Some("1"), false),
            (None, Some("1"), false),
            (None, None, false),
        ] {
            assert_eq!(
                is_pending(&annotated(value), &handled(last)),
                asks,
                "{value:?} after {last:?}"
            );
        }
    }
}
