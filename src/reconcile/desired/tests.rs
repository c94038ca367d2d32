use secrecy::ExposeSecret as _;

use super::*;
use crate::api::{SecretKeyRef, SecretRef, Template, ValueFrom};

fn spec(domains: Option<&[&str]>) -> VaultSecretSpec {
    VaultSecretSpec {
        vault_id: "vlt_1".into(),
        env_key: Some("KEY".into()),
        allowed_domains: domains.map(|all| all.iter().map(|d| (*d).to_owned()).collect()),
        ..VaultSecretSpec::default()
    }
}

#[test]
fn values_that_no_environment_variable_can_hold_are_refused() {
    for (bytes, words) in [
        (&b""[..], "is empty"),
        (b"\xff\xfe", "not UTF-8"),
        (b"before\0after", "NUL"),
        (b"\0", "NUL"),
    ] {
        let refusal =
            value(bytes.to_vec(), &"Key \"url\" of Secret \"database\"").expect_err("refused");
        assert_eq!(refusal.reason, Reason::InvalidValue);
        assert!(refusal.message.contains(words), "{}", refusal.message);
        let origin = "Key \"url\" of Secret \"database\" ";
        assert!(refusal.message.starts_with(origin), "{}", refusal.message);
        assert!(!refusal.message.contains("before"), "{}", refusal.message);
    }
}

#[test]
fn other_values_stay_as_they_are() {
    for text in [" ", "\n", "a\nb\n", "ü✓", "{\"a\":1}"] {
        let value = value(text.as_bytes().to_vec(), &"It").expect("a value");
        assert_eq!(value.expose_secret(), text);
    }
}

#[test]
fn what_is_absent_is_not_managed() {
    let desired = Desired::from_spec(&spec(None)).expect("valid");
    assert!(!desired.value.is_managed());
    assert_eq!(desired.allowed_domains, None);
    let mut with_value = spec(Some(&["a.com", "*.b.com"]));
    with_value.value_from = Some(ValueFrom {
        secret_key_ref: Some(SecretKeyRef::default()),
        template: None,
    });
    let desired = Desired::from_spec(&with_value).expect("valid");
    assert!(matches!(desired.value, Value::Unread));
    assert_eq!(desired.allowed_domains, with_value.allowed_domains);
    assert_eq!(desired.target.env_key.as_deref(), Some("KEY"));
}

#[test]
fn domains_are_host_names_only() {
    for bad in [
        "https://a.com",
        "a.com/x",
        "a.com:443",
        "u@a.com",
        "a .com",
        "a.com\n",
        "\t",
        "",
        "a\u{1b}[31m.com",
        "a\u{200b}.com",
        "a\u{202e}moc",
        "a\u{fe0f}.com",
    ] {
        let refusal = Desired::from_spec(&spec(Some(&["b.com", bad]))).expect_err("refused");
        assert_eq!(refusal.reason, Reason::Rejected, "{bad:?}");
        assert!(
            refusal.message.contains(&format!("{bad:?}")),
            "{}",
            refusal.message
        );
    }
}

/// An answer with more than fits counts as none, and the object would be sent again for ever.
#[test]
fn as_many_domains_as_an_answer_can_show() {
    for (letter, fits) in ["x", "\u{fc}"].into_iter().zip([true, false]) {
        let longest = letter.repeat(250);
        let domains: Vec<_> = (0..100).map(|n| format!("{n:03}{longest}")).collect();
        let domains: Vec<_> = domains.iter().map(String::as_str).collect();
        let desired = Desired::from_spec(&spec(Some(&domains)));
        assert_eq!(desired.is_ok(), fits, "{letter}");
    }
}

#[test]
fn no_restriction_has_to_be_meant() {
    let wide: [&[&str]; 5] = [&[], &["*"], &["a.com", "*"], &["**"], &["*.*"]];
    for domains in wide {
        let mut spec = spec(Some(domains));
        let refusal = Desired::from_spec(&spec).expect_err("refused");
        assert_eq!(refusal.reason, Reason::Rejected);
        assert!(refusal.message.contains("allowUnrestricted"));
        spec.allow_unrestricted = true;
        assert_eq!(
            Desired::from_spec(&spec).expect("meant").allowed_domains,
            spec.allowed_domains
        );
    }
}

#[test]
fn a_template_is_checked_before_there_is_a_value() {
    let mut spec = spec(None);
    let mut from = |text: &str| {
        spec.value_from = Some(ValueFrom {
            secret_key_ref: None,
            template: Some(Template {
                text: text.into(),
                secret_ref: SecretRef::default(),
            }),
        });
        Desired::from_spec(&spec)
    };
    let desired = from("{{ a }}").expect("valid");
    assert!(matches!(desired.value, Value::Unread));
    let refusal = from("{{ a").expect_err("refused");
    assert_eq!(refusal.reason, Reason::InvalidTemplate);
}
