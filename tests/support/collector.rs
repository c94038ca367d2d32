//! An OpenTelemetry collector: takes traces as OTLP over HTTP, and keeps them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value},
    trace::v1::Span,
};
use prost::Message as _;
use tokio::{net::TcpListener, task::JoinSet};

type Bodies = Arc<Mutex<Vec<Bytes>>>;

/// The running collector; ends with this.
#[derive(Debug)]
pub struct Collector {
    url: String,
    bodies: Bodies,
    _serving: JoinSet<()>,
}

impl Collector {
    /// On a port of its own.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let bodies = Bodies::default();
        let router = Router::new()
            .route("/v1/traces", post(keep))
            .with_state(Arc::clone(&bodies));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self {
            url,
            bodies,
            _serving: serving,
        }
    }

    /// What goes into `--otlp-endpoint`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// All that came, as it came.
    pub fn received(&self) -> Vec<u8> {
        lock(&self.bodies).concat()
    }

    /// The spans that came, each with its resource's attributes.
    pub fn spans(&self) -> Vec<(Vec<KeyValue>, Span)> {
        let mut spans = Vec::new();
        for body in lock(&self.bodies).iter() {
            let request = ExportTraceServiceRequest::decode(body.clone()).expect("OTLP");
            for resource_spans in request.resource_spans {
                let resource = resource_spans.resource.unwrap_or_default().attributes;
                let scopes = resource_spans.scope_spans.into_iter();
                let found = scopes.flat_map(|scope| scope.spans);
                spans.extend(found.map(|span| (resource.clone(), span)));
            }
        }
        spans
    }
}

/// The attribute of that name, as text.
pub fn attribute(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    match found.value.clone()?.value? {
        any_value::Value::StringValue(text) => Some(text),
        any_value::Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{name} is {other:?}"),
    }
}

async fn keep(State(bodies): State<Bodies>, body: Bytes) -> StatusCode {
    lock(&bodies).push(body);
    StatusCode::OK
}

fn lock(bodies: &Bodies) -> MutexGuard<'_, Vec<Bytes>> {
    bodies.lock().unwrap_or_else(PoisonError::into_inner)
}
