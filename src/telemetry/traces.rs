//! Spans of this crate as OpenTelemetry traces, with the feature `otel` alone.
//!
//! A span holds what a log line may hold: names, ids, reasons, status codes. No event and no span of a library is sent.

#[cfg(feature = "otel")]
pub use self::otlp::Traces;
#[cfg(feature = "otel")]
pub(super) use self::otlp::layer;
#[cfg(not(feature = "otel"))]
pub use self::without::Traces;
#[cfg(not(feature = "otel"))]
pub(super) use self::without::layer;

#[cfg(feature = "otel")]
mod otlp {
    use std::time::Duration;

    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
    use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
    use tracing::{Metadata, Subscriber};
    use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

    use super::super::Error;

    /// How long the collector has for one batch, and for the last one.
    const PATIENCE: Duration = Duration::from_secs(2);

    /// The way to the collector, where there is one.
    #[derive(Debug)]
    pub struct Traces(Option<SdkTracerProvider>);

    impl Traces {
        /// Sends what was not sent yet, as far as that takes no longer than two seconds.
        pub fn end(self) {
            if let Some(provider) = self.0 {
                // The exporter has logged what it could not send.
                let _ = provider.shutdown_with_timeout(PATIENCE);
            }
        }
    }

    /// What sends spans to the collector at `endpoint`, where one is named.
    pub(in super::super) fn layer<S>(
        endpoint: Option<&str>,
    ) -> Result<(Option<impl Layer<S>>, Traces), Error>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let Some(endpoint) = endpoint else {
            return Ok((None, Traces(None)));
        };
        let provider = provider(endpoint)?;
        let spans = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(env!("CARGO_PKG_NAME")))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(is_ours));
        Ok((Some(spans), Traces(Some(provider))))
    }

    /// Libraries have spans too, made of what they carry.
    fn is_ours(span: &Metadata<'_>) -> bool {
        span.is_span()
            && span
                .target()
                .starts_with(concat!(env!("CARGO_CRATE_NAME"), "::"))
    }

    fn provider(endpoint: &str) -> Result<SdkTracerProvider, Error> {
        let url = reqwest::Url::parse(endpoint)
            .ok()
            .filter(is_collector)
            .and_then(|url| url.join("v1/traces").ok())
            .ok_or(Error::Endpoint)?;
        let failed = |error: &dyn std::error::Error| Error::Exporter(error.to_string());
        // A redirect could carry what `OTEL_EXPORTER_OTLP_HEADERS` holds elsewhere.
        let client = reqwest::blocking::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .build()
            .map_err(|error| failed(&error))?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(url)
            .build()
            .map_err(|error| failed(&error))?;
        // `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` go on top.
        let resource = Resource::builder()
            .with_attribute(opentelemetry::KeyValue::new(
                "service.version",
                env!("CARGO_PKG_VERSION"),
            ))
            .build();
        Ok(SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build())
    }

    /// Whether it can be the address of a collector, whose path is added to it. The exporter's errors repeat it, so it
    /// is no place for credentials: those go into `OTEL_EXPORTER_OTLP_HEADERS`.
    fn is_collector(url: &reqwest::Url) -> bool {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    }
}

#[cfg(not(feature = "otel"))]
mod without {
    use tracing_subscriber::layer::Identity;

    use super::super::Error;

    /// There are none.
    #[derive(Debug)]
    pub struct Traces;

    impl Traces {
        /// Nothing is left to be sent.
        pub fn end(self) {}
    }

    pub(in super::super) fn layer(
        endpoint: Option<&str>,
    ) -> Result<(Option<Identity>, Traces), Error> {
        match endpoint {
            Some(_) => Err(Error::NoTraces),
            None => Ok((None, Traces)),
        }
    }
}
