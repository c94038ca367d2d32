//! Traces: one for each pass, with the requests it made; what they hold is a closed list.

use std::collections::BTreeSet;

use crate::aftermath::*;
use crate::observability::{table, words};
use crate::support::*;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};

/// A world whose operator sends its traces there.
fn traced(collector: &Collector) -> Setup {
    Setup::new()
        .flag(&format!("--otlp-endpoint={}", collector.url()))
        .env("OTEL_BSP_SCHEDULE_DELAY", "100")
        .env("OTEL_SERVICE_NAME", "vaultsecret-operator")
        // Spans don't hang on what is logged; the line with the port is what the start waits for.
        .log_filter("error,vaultsecret_operator::run=info")
}

/// The words in the first column of the first table below that heading of the document.
fn documented(title: &str) -> BTreeSet<String> {
    let rows = table(title);
    rows.iter().flat_map(|row| words(&row[0])).collect()
}

fn is(span: &Span, attributes: &[(&str, &str)]) -> bool {
    attributes
        .iter()
        .all(|(name, wanted)| attribute(&span.attributes, name).as_deref() == Some(*wanted))
}

/// Method and path or kind of each request below `pass`.
fn requests(all: &[Span], pass: &Span) -> BTreeSet<(String, String)> {
    let below = all
        .iter()
        .filter(|span| span.parent_span_id == pass.span_id);
    below
        .map(|span| {
            assert_eq!(span.trace_id, pass.trace_id);
            assert_eq!(span.kind(), SpanKind::Client, "{span:?}");
            let path = attribute(&span.attributes, "url.path");
            (span.name.clone(), path.unwrap_or_default())
        })
        .collect()
}

#[tokio::test]
async fn a_rotation_is_a_trace_and_what_it_holds_is_known() {
    let collector = Collector::start().await;
    let (mut world, id) = token(traced(&collector)).await;
    let mark = world.mark().await;
    rotate(&world, "second").await;
    let seen = world.since(&mark).await;
    seen.sent_exactly(&[patch(&id, json!({"value": "second"}))]);
    let refused = world.vault_secret("other").env_key("NOBODY");
    world.create(refused.value_from("source", "key")).await;
    world.reason("other", "RemoteNotFound").await;
    // The last ones are sent before it ends.
    world.operator.stop().await;

    let (resources, spans): (Vec<_>, Vec<_>) = collector.spans().into_iter().unzip();
    for resource in &resources {
        let service = attribute(resource, "service.name");
        assert_eq!(service.as_deref(), Some("vaultsecret-operator"));
        let version = attribute(resource, "service.version");
        assert_eq!(version.as_deref(), Some(env!("CARGO_PKG_VERSION")));
    }
    let path = format!("/vaults/{}/secrets/{id}", world.vault);
    let patches = spans
        .iter()
        .filter(|span| {
            is(
                span,
                &[("url.path", &path), ("http.request.method", "PATCH")],
            )
        })
        .collect::<Vec<_>>();
    assert_eq!(patches.len(), 2, "{patches:#?}");
    for patch in patches {
        assert!(
            is(patch, &[("http.response.status_code", "200")]),
            "{patch:?}"
        );
        let pass = spans
            .iter()
            .find(|span| span.span_id == patch.parent_span_id);
        let pass = pass.expect("it was made in a pass");
        let named = [
            ("k8s.namespace.name", &*world.namespace),
            ("vaultsecret.name", "token"),
            ("vaultsecret.generation", "1"),
            ("vaultsecret.result", "synced"),
        ];
        assert!(pass.name == "reconcile" && is(pass, &named), "{pass:?}");
        let expected = [
            ("GET Secret", ""),
            ("PATCH", &*path),
            ("PATCH VaultSecret", ""),
        ];
        let made = requests(&spans, pass);
        let expected = expected.map(|(name, path)| (name.to_owned(), path.to_owned()));
        assert!(made.is_superset(&expected.into()), "{made:?}");
    }
    let refused = [
        ("vaultsecret.name", "other"),
        ("vaultsecret.reason", "RemoteNotFound"),
        ("vaultsecret.result", "blocked"),
    ];
    let pass = spans.iter().find(|span| is(span, &refused));
    let status = pass.and_then(|pass| pass.status.clone());
    assert_eq!(status.map(|status| status.code()), Some(StatusCode::Error));

    // Whatever is added has to be thought about: values and keys are near.
    let names = spans.iter().flat_map(|span| &span.attributes);
    let names: BTreeSet<_> = names.map(|attribute| &*attribute.key).collect();
    let known = documented("### Attributes");
    assert!(names.iter().all(|name| known.contains(*name)), "{names:?}");
    let known = documented("### Spans");
    let kinds: BTreeSet<_> = spans.iter().map(|span| &*span.name).collect();
    assert!(kinds.iter().all(|name| known.contains(*name)), "{kinds:?}");
    assert!(spans.iter().all(|span| span.events.is_empty()));
}

#[tokio::test]
async fn a_collector_that_is_away_holds_up_nothing() {
    let setup = Setup::new()
        .flag("--otlp-endpoint=http://127.0.0.1:9")
        .env("OTEL_BSP_SCHEDULE_DELAY", "100");
    let (mut world, _) = token(setup).await;
    let said = || async { world.operator.log().contains("opentelemetry").then_some(()) };
    eventually("the log says that it is away", SOON, said).await;
    world.operator.stop().await;
}

#[tokio::test]
async fn a_collector_that_never_answers_holds_up_no_work_and_no_end() {
    // It takes connections, and that is all.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("it is bound");
    let setup = Setup::new()
        .flag(&format!("--otlp-endpoint=http://{address}"))
        // What a filter says of spans, for lines it says nothing.
        .log_filter("[reconcile{vaultsecret.name=token}]=trace,info")
        .env("OTEL_BSP_SCHEDULE_DELAY", "100");
    let (mut world, _) = token(setup).await;
    world.operator.stop().await;
}
