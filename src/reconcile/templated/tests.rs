use secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use super::*;
use crate::api::SecretRef;

type Entries<'a> = &'a [(&'a str, &'a [u8])];

fn over(text: &str, entries: Entries<'_>) -> Result<String, Refusal> {
    let template = api::Template {
        text: text.to_owned(),
        secret_ref: SecretRef {
            name: "db".to_owned(),
        },
    };
    let data: Data = entries
        .iter()
        .map(|(key, bytes)| ((*key).to_owned(), Zeroizing::new(bytes.to_vec())))
        .collect();
    let value = value(&parse(&template)?, &data, "db")?;
    Ok(value.expose_secret().to_owned())
}

#[test]
fn what_is_wrong_is_said_in_one_sentence() {
    let long = "x".repeat(16_000);
    let named_at_length = format!("{{{{ {long} }}}}");
    let cases: [(&str, Entries<'_>, Reason, &str); 8] = [
        (
            "{{ password }}",
            &[("user", b"canary")],
            Reason::SourceKeyNotFound,
            "Secret \"db\" has no key \"password\", which spec.valueFrom.template uses: add it, or correct the template.",
        ),
        (
            "a\n{{ password",
            &[],
            Reason::InvalidTemplate,
            "The template over Secret \"db\" has a syntax error in line 2: correct it.",
        ),
        (
            "{{ key | upper }}",
            &[("key", b"canary")],
            Reason::InvalidTemplate,
            "The template over Secret \"db\" uses the filter \"upper\" in line 1, which is not available: use urlencode, b64encode, b64decode, trim or tojson.",
        ),
        (
            "{{ key }}",
            &[("key", b"canary\xff")],
            Reason::InvalidValue,
            "The template over Secret \"db\" uses the key \"key\" as text, which is not UTF-8: use it with b64encode only.",
        ),
        (
            "{{ key | b64decode }}",
            &[("key", b"canary!")],
            Reason::InvalidValue,
            "The template over Secret \"db\" decodes base64 in line 1, but what is there is not base64: leave b64decode out, or correct the Secret.",
        ),
        (
            "{{ key }}",
            &[("key", b"")],
            Reason::InvalidValue,
            "The text that the template makes of Secret \"db\" is empty: give it a value.",
        ),
        (
            "{{ key }}",
            &[("key", b"canary\0")],
            Reason::InvalidValue,
            "The text that the template makes of Secret \"db\" holds a NUL character, which no environment variable can: remove it.",
        ),
        (
            &named_at_length,
            &[],
            Reason::SourceKeyNotFound,
            &format!(
                "Secret \"db\" has no key \"{}\", which spec.valueFrom.template uses: add it, or correct the template.",
                &long[..253]
            ),
        ),
    ];
    for (text, data, reason, message) in cases {
        let refusal = over(text, data).expect_err("refused");
        assert_eq!(
            (refusal.reason, refusal.message.as_str()),
            (reason, message)
        );
    }
}

#[test]
fn a_value_is_what_the_template_makes() {
    let value = over("{{ a }}-{{ b }}", &[("a", b"1"), ("b", b"2")]);
    assert_eq!(value.as_deref(), Ok("1-2"));
}
