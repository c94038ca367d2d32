use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;

use super::*;

fn data(entries: &[(&str, &[u8])]) -> Data {
    let entry = |(key, bytes): &(&str, &[u8])| ((*key).to_owned(), Zeroizing::new(bytes.to_vec()));
    entries.iter().map(entry).collect()
}

fn render(text: &str, data: &Data) -> Result<String, Error> {
    let rendered = Template::parse(text)?.render(data)?;
    assert_eq!(
        rendered.capacity(),
        rendered.len(),
        "what has to shrink leaves a copy behind"
    );
    Ok(String::from_utf8(rendered.to_vec()).expect("a value is text"))
}

fn sample() -> Data {
    data(&[
        ("user", b"app"),
        ("password", b"p/w&\"d\" \xc3\xbc"),
        ("tls.crt", b"  cert\n"),
        ("encoded", b"aGVs\nbG8"),
        ("binary", b"\xff\x00"),
        ("data", b"the key named data"),
        ("true", b"the key named true"),
    ])
}

#[test]
fn text_keys_and_filters() {
    for (text, expected) in [
        ("", ""),
        ("plain", "plain"),
        ("ends\n", "ends"),
        (
            "postgresql://{{ user | urlencode }}:{{ password|urlencode }}@db/app",
            "postgresql://app:p%2Fw%26%22d%22%20%C3%BC@db/app",
        ),
        ("{{ data[\"tls.crt\"] | trim }}", "cert"),
        ("{{ data['user'] }}{{ data.user }}", "appapp"),
        (
            "{{ data.data }}, {{ data['true'] }}",
            "the key named data, the key named true",
        ),
        (
            "Basic {{ (user ~ ':' ~ user) | b64encode }}",
            "Basic YXBwOmFwcA==",
        ),
        ("{{ user ~ ':' | b64encode }}", "appOg=="),
        ("{{ encoded | b64decode }}", "hello"),
        ("{{ binary | b64encode }}", "/wA="),
        (
            "{{ binary | b64encode | b64decode | b64encode | urlencode }}",
            "%2FwA%3D",
        ),
        (
            "{\"p\":{{ password | tojson }}}",
            "{\"p\":\"p/w&\\\"d\\\" ü\"}",
        ),
        (
            "{{ '{{' }} {% raw %}{{ user }}{% endraw %}",
            "{{ {{ user }}",
        ),
        ("a {#- a comment {{ user }} -#} b", "ab"),
        ("{{- user -}}  \n x", "appx"),
    ] {
        assert_eq!(render(text, &sample()).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn all_keys_as_json() {
    let data = data(&[("b", b"2\""), ("a", b"1")]);
    let rendered = render("{{ data | tojson }}", &data);
    assert_eq!(rendered.as_deref(), Ok(r#"{"a":"1","b":"2\""}"#));
}

#[test]
fn what_is_not_available_is_refused_by_line_and_name() {
    let filter = |name: &str| Error::Filter(1, name.to_owned());
    for (text, error) in [
        ("{{", Error::Syntax(1)),
        ("a\n\n{{ user", Error::Syntax(3)),
        ("{{ }}", Error::Syntax(1)),
        ("{{ user | }}", Error::Syntax(1)),
        ("{{ user user }}", Error::Syntax(1)),
        ("{{ data[] }}", Error::Syntax(1)),
        ("{% if user %}{% endif %}", Error::Statement(1)),
        (
            "\n{% for x in data %}{{ x }}{% endfor %}",
            Error::Statement(2),
        ),
        ("{% set x = user %}{{ x }}", Error::Statement(1)),
        ("{% include 'a' %}", Error::Statement(1)),
        ("{% import 'a' as b %}", Error::Statement(1)),
        ("{% extends 'a' %}", Error::Statement(1)),
        ("{% macro a() %}{% endmacro %}", Error::Statement(1)),
        ("{% filter trim %}{% endfilter %}", Error::Statement(1)),
        ("{{ data }}", Error::Expression(1)),
        ("{{ data | trim }}", Error::Expression(1)),
        ("{{ data[user] }}", Error::Expression(1)),
        ("{{ data['us' ~ 'er'] }}", Error::Expression(1)),
        ("{{ data[0] }}", Error::Expression(1)),
        ("{{ data.user.x }}", Error::Expression(1)),
        ("{{ tls.crt }}", Error::Expression(1)),
        ("{{ db-password }}", Error::Expression(1)),
        ("{{ user[0] }}{{ user[1:] }}", Error::Expression(1)),
        ("{{ user * 3 }}", Error::Expression(1)),
        ("{{ user + user }}", Error::Expression(1)),
        ("{{ user == user }}", Error::Expression(1)),
        ("{{ user if user else user }}", Error::Expression(1)),
        ("{{ user is defined }}", Error::Expression(1)),
        ("{{ not user }}", Error::Expression(1)),
        ("{{ 3 }}{{ true }}", Error::Expression(1)),
        ("{{ [user] }}", Error::Expression(1)),
        ("{{ {'a': user} | tojson }}", Error::Expression(1)),
        ("{{ range(9) }}", Error::Expression(1)),
        ("{{ user.upper() }}", Error::Expression(1)),
        ("{{ lipsum() }}", Error::Expression(1)),
        ("\n{{ user | upper }}", Error::Filter(2, "upper".to_owned())),
        ("{{ user | default('x') }}", filter("default")),
        ("{{ user | safe }}", filter("safe")),
        (
            "{{ user | trim('x') }}",
            Error::Arguments(1, "trim".to_owned()),
        ),
    ] {
        assert_eq!(render(text, &sample()), Err(error), "{text}");
    }
}

#[test]
fn what_the_content_does_not_allow_is_said_by_key_and_line() {
    for (text, error) in [
        ("{{ absent }}", Error::Missing("absent".to_owned())),
        (
            "{{ encoded | b64decode | b64decode }}{{ data['not there'] | trim }}",
            Error::Missing("not there".to_owned()),
        ),
        ("{{ binary }}", Error::Binary("binary".to_owned())),
        ("{{ binary | trim }}", Error::Binary("binary".to_owned())),
        ("{{ 'a' ~ binary }}", Error::Binary("binary".to_owned())),
        ("{{ data | tojson }}", Error::Binary("binary".to_owned())),
        ("\n{{ '/wA=' | b64decode }}", Error::Decoded(2)),
        ("{{ '/wA=' | b64decode | urlencode }}", Error::Decoded(1)),
        ("{{ password | b64decode }}", Error::NotBase64(1)),
        ("{{ 'a' | b64decode }}", Error::NotBase64(1)),
    ] {
        assert_eq!(render(text, &sample()), Err(error), "{text}");
    }
}

#[test]
fn only_what_is_named_is_used() {
    let template = Template::parse("{{ a ~ data.b | trim }} {{ data['c.d'] }} x").expect("valid");
    for key in ["a", "b", "c.d"] {
        assert!(template.uses(key), "{key}");
    }
    for key in ["data", "x", "c", "trim"] {
        assert!(!template.uses(key), "{key}");
    }
    let all = Template::parse("{{ '' ~ (data | tojson) | trim }}").expect("valid");
    assert!(all.uses("anything"));
}

/// Texts of the greatest length a template may have, each made to exhaust something.
fn bombs() -> Vec<String> {
    const LENGTH: usize = 16_384;
    let fill = |before: &str, unit: &str, after: &str| {
        let times = (LENGTH - before.len() - after.len()) / unit.len();
        [before, &unit.repeat(times), after].concat()
    };
    let nested = |open: &str, close: &str| {
        let times = (LENGTH - 8) / (open.len() + close.len());
        ["{{", &open.repeat(times), "big", &close.repeat(times), "}}"].concat()
    };
    vec![
        fill("{{ ", "-", "big }}"),
        fill("{{ ", "not ", "big }}"),
        fill("{{ big", "**2", " }}"),
        fill("{{ big", "|b64encode", " }}"),
        fill("{{ big", "|urlencode", " }}"),
        fill("{{ big", "|tojson", " }}"),
        fill("{{ big", "|trim", " }}"),
        fill("{{ big", "~big", " }}"),
        fill("{{ big", ".a", " }}"),
        fill("{{ big", "[0]", " }}"),
        fill("{{ big", " if big", " }}"),
        fill("{{ big", " if big else big", " }}"),
        fill("{{ big", "()", " }}"),
        fill("", "{{ big }}", ""),
        fill("", "{{big|trim}}", ""),
        fill("", "{{data|tojson}}", ""),
        fill("", "{{big~big~big}}", ""),
        fill("", "{{", ""),
        fill("", "{#", ""),
        fill("", "{% if a %}", ""),
        fill("", "{% raw %}", ""),
        nested("(", ")"),
        nested("[", "]"),
        nested("{'a':", "}"),
        nested("data[", "]"),
        nested("f(", ")"),
        "{{ big * 1000000000 }}".to_owned(),
        "{{ 'a' * 9999999999999 }}".to_owned(),
        "{{ 9 ** 9 ** 9 ** 9 }}".to_owned(),
        "{% for a in big %}{% for b in big %}{{ big }}{% endfor %}{% endfor %}".to_owned(),
        ["{% set x = big %}", &"{% set x = x ~ x %}".repeat(60)].concat(),
    ]
}

/// In a thread with as small a stack as those that reconcile have.
#[test]
fn bombs_end_at_once_in_little_memory() {
    let run = || {
        let data = data(&[("big", &vec![b'/'; 1 << 20])]);
        for bomb in bombs() {
            let began = Instant::now();
            let rendered = Template::parse(&bomb).and_then(|template| template.render(&data));
            let took = began.elapsed();
            let start = &bomb[..bomb.len().min(40)];
            assert!(rendered.is_err(), "{start}");
            assert!(took < Duration::from_secs(2), "{start} took {took:?}");
        }
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(run);
    thread.expect("a thread").join().expect("no bomb went off");
}

#[test]
fn expressions_as_long_as_they_may_be_are_read() {
    let joined = ["{{ a", &" ~ a".repeat(99), " }}"].concat();
    let keys = data(&[("a", b"x")]);
    assert_eq!(render(&joined, &keys), Ok("x".repeat(100)));
    let longer = ["{{ a", &" ~ a".repeat(100), " }}"].concat();
    assert_eq!(render(&longer, &keys), Err(Error::Long(1)));
}

#[test]
fn the_largest_value_is_rendered_and_none_larger() {
    let keys = data(&[("big", &vec![b'x'; 1 << 20])]);
    for text in ["{{ big }}", "{{ big | trim }}", "{{ big | urlencode }}"] {
        assert_eq!(render(text, &keys).map(|text| text.len()), Ok(1 << 20));
    }
    for text in ["{{ big }}x", "{{ big | b64encode }}", "{{ big | tojson }}"] {
        assert_eq!(render(text, &keys), Err(Error::Large), "{text}");
    }
}

/// Anything that looks a little like a template.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "{{",
            "}}",
            "{%",
            "%}",
            "{#",
            "#}",
            "{{ k }}",
            "{{ data[k] }}",
            "{{ data[\"k\"] | b64decode }}",
            "k",
            "data",
            " | b64decode",
            " | tojson",
            " | urlencode",
            " | trim",
            " | b64encode",
            " ~ ",
            ".",
            "[",
            "]",
            "(",
            ")",
            "\"",
            "'",
            "\n",
            "-",
            "*",
            "absent",
            "| nosuch",
            "data.k",
            "{{ k.x }}",
            "{{ k | b64decode }}",
            "{{ k | b64decode | trim }}",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,4}",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// A word that is in no template and no sentence by chance, in bytes of all kinds.
fn marked() -> impl Strategy<Value = Vec<u8>> {
    let around = || prop::collection::vec(any::<u8>(), 0..6);
    (around(), around())
        .prop_map(|(before, after)| [&before[..], b"MaRkEr0123", &after[..]].concat())
}

proptest! {
    /// No error holds anything of a value, neither in its sentence nor in its debug form.
    #[test]
    fn errors_show_no_value(text in hostile(), value in marked()) {
        let keys = data(&[("k", &value), ("other", &value)]);
        if let Err(error) = render(&text, &keys) {
            let said = format!("{error} {error:?}").to_lowercase();
            prop_assert!(!said.contains("marker"), "{}", said);
            for form in [STANDARD.encode(&value).to_lowercase(), format!("{value:?}")] {
                prop_assert!(!said.contains(&form), "{}", said);
            }
        }
    }

    /// Nothing but unreserved characters and escapes is left, and it reads back as what it was.
    #[test]
    fn urlencode_can_be_undone(value in ".{0,40}") {
        let encoded = render("{{ k | urlencode }}", &data(&[("k", value.as_bytes())])).expect("text");
        let mut decoded = Vec::new();
        let mut rest = encoded.bytes();
        while let Some(byte) = rest.next() {
            if byte == b'%' {
                let digits = [rest.next(), rest.next()].map(|digit| digit.expect("two digits"));
                let digits = std::str::from_utf8(&digits).expect("ASCII");
                prop_assert!(!digits.contains(char::is_lowercase));
                decoded.push(u8::from_str_radix(digits, 16).expect("digits"));
            } else {
                prop_assert!(byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
                decoded.push(byte);
            }
        }
        prop_assert_eq!(decoded, value.into_bytes());
    }

    #[test]
    fn base64_can_be_undone(value in any::<Vec<u8>>()) {
        let keys = data(&[("k", &value)]);
        let encoded = render("{{ k | b64encode }}", &keys).expect("text");
        prop_assert_eq!(&encoded, &STANDARD.encode(&value));
        let again = render("{{ k | b64encode | b64decode | b64encode }}", &keys);
        prop_assert_eq!(again, Ok(encoded.clone()));
        let bare = encoded.trim_end_matches('=').as_bytes();
        let decoded = render("{{ k | b64decode | b64encode }}", &data(&[("k", bare)]));
        prop_assert_eq!(decoded, Ok(encoded));
    }

    #[test]
    fn json_can_be_undone(value in any::<String>()) {
        let keys = data(&[("k", value.as_bytes())]);
        let text = render("{{ k | tojson }}", &keys).expect("text");
        prop_assert_eq!(serde_json::from_str::<String>(&text).expect("JSON"), value.clone());
        let all = render("{{ data | tojson }}", &keys).expect("text");
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&all).expect("JSON"), serde_json::json!({"k": value}));
    }

    /// A text without anything of Jinja's is itself, but for one newline at the end.
    #[test]
    fn other_text_stays_as_it_is(text in "[^{}]{0,40}[^{}\n\r]") {
        prop_assert_eq!(render(&text, &Data::default()), Ok(text.clone()));
        prop_assert_eq!(render(&format!("{text}\n"), &Data::default()), Ok(text));
    }
}
