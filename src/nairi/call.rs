//! One request: sent once, observed once, and what came of it.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use reqwest::Response;
use tokio::time::{Instant, timeout_at};
use tracing::Span;

use super::client::{Client, Method};
use super::code;
use super::error::{Class, Error, class_of, documented_error, may_be_applied, retry_after};
use super::failure::describe;
use super::key::ApiKey;
use super::list::MAX_ELEMENT;
use super::scrub::scrub;
use super::span;
use crate::deadline;

/// The size of the body of one object at most.
const MAX_BODY: usize = MAX_ELEMENT;
/// How long the body of an answer that is an error anyway is waited for.
const ERROR_BODY_PATIENCE: Duration = Duration::from_secs(2);

/// A request under way. Dropped before its end it counts as cancelled.
pub(super) struct Call<'a> {
    client: &'a Client,
    key: &'a ApiKey,
    method: Method,
    /// Whether anything would be changed.
    carries: bool,
    /// Whether a value is on its way: nothing the server says is relayed.
    carries_value: bool,
    started: Instant,
    deadline: Instant,
    status: Option<StatusCode>,
    code: Option<&'static str>,
    span: Span,
}

impl<'a> Call<'a> {
    pub(super) fn new(client: &'a Client, key: &'a ApiKey, method: Method) -> Self {
        Self {
            client,
            key,
            method,
            carries: false,
            carries_value: false,
            started: Instant::now(),
            deadline: client.deadline(),
            status: None,
            code: Some(code::CANCELLED),
            span: Span::none(),
        }
    }

    pub(super) fn carrying(mut self, anything: bool, value: bool) -> Self {
        self.carries = anything;
        self.carries_value = value;
        self
    }

    /// Sends it; any status but the one the method is documented with is an error.
    pub(super) async fn send(
        &mut self,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<Response, Error> {
        let http = self.client.transport.client().await;
        let request = self.request(&http, path, body)?;
        let response = self.bounded(request.send()).await?;
        let status = response.status();
        self.status = Some(status);
        if status == self.method.success().0 {
            return Ok(response);
        }
        Err(self.refusal(status, response).await)
    }

    fn request(
        &mut self,
        http: &reqwest::Client,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<reqwest::RequestBuilder, Error> {
        let url = [&*self.client.base, path].concat();
        let method = match self.method {
            Method::Get => http::Method::GET,
            Method::Post => http::Method::POST,
            Method::Patch => http::Method::PATCH,
            Method::Delete => http::Method::DELETE,
        };
        let authorization = self.key.authorization().map_err(|invalid| {
            self.code = None;
            Error::new(
                Class::Unauthorized,
                None,
                format!("nothing was sent: {invalid}"),
            )
        })?;
        self.span = span::begin(self.method, &self.client.host, path);
        let json = HeaderValue::from_static("application/json");
        let mut request = http
            .request(method, url)
            .header(header::AUTHORIZATION, authorization)
            .header(header::ACCEPT, json.clone());
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, json).body(body);
        }
        Ok(request)
    }

    /// The next piece of the body.
    pub(super) async fn chunk(&mut self, response: &mut Response) -> Result<Option<Bytes>, Error> {
        self.bounded(response.chunk()).await
    }

    /// The body of one object.
    pub(super) async fn read(&mut self, response: &mut Response) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        while let Some(piece) = self.chunk(response).await? {
            if body.len() + piece.len() > MAX_BODY {
                return Err(self.invalid("is larger than 256 KiB"));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    /// The answer was what it should be.
    pub(super) fn succeeded(&mut self) {
        self.code = Some(self.method.success().1);
    }

    /// A list was what it should be, but for some of its elements.
    pub(super) fn succeeded_in_part(&mut self) {
        self.code = Some(code::INVALID);
    }

    /// The right status, and an answer nobody can rely on.
    pub(super) fn invalid(&mut self, what: &str) -> Error {
        self.code = Some(code::INVALID);
        let sentence = format!("the answer of {} {what}: check --api-url", self.client.host);
        self.error(Class::InvalidResponse, sentence)
            .maybe_applied_if(self.carries)
    }

    fn error(&self, class: Class, sentence: String) -> Error {
        Error::new(class, self.status.map(|status| status.as_u16()), sentence)
    }

    /// Waits, no longer than to the deadline; after it nothing more is sent either.
    async fn bounded<T>(
        &mut self,
        step: impl Future<Output = reqwest::Result<T>>,
    ) -> Result<T, Error> {
        let host = &self.client.host;
        match deadline::before(self.deadline, step).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                let failure = describe(&error, host);
                self.code = Some(failure.code);
                Err(self
                    .error(Class::Transient, failure.cause)
                    .maybe_applied_if(self.carries && failure.maybe_sent))
            }
            Err(_) => {
                self.code = Some(code::TIMEOUT);
                let sentence = if self.client.shortened {
                    format!("the request to {host} did not end in the time that was left")
                } else {
                    format!(
                        "the request to {host} timed out after {:?}",
                        self.client.timeout
                    )
                };
                Err(self
                    .error(Class::Transient, sentence)
                    .maybe_applied_if(self.carries))
            }
        }
    }

    /// What an answer with another status means.
    async fn refusal(&mut self, status: StatusCode, mut response: Response) -> Error {
        self.code = Some(code::of(status));
        let host = Arc::clone(&self.client.host);
        let pause = retry_after(response.headers(), SystemTime::now());
        let said = self
            .error_body(&mut response)
            .await
            .as_deref()
            .and_then(documented_error);
        let number = status.as_u16();
        let class = match status {
            StatusCode::NOT_FOUND if said.is_some() => Class::NotFound,
            StatusCode::NOT_FOUND => Class::Transient,
            status => class_of(status, pause),
        };
        let mut sentence = match (class, number) {
            (Class::NotFound, _) => {
                let missing = self.method.missing();
                format!("{host} answered 404: there is no such {missing}")
            }
            (_, 404) => format!(
                "{host} answered 404, but not in the form of the Nairi API: check --api-url and \
                 what stands in between"
            ),
            (Class::Throttled { .. }, 429) => format!("{host} answered 429: too many requests"),
            (Class::Throttled { .. }, _) => {
                format!("{host} answered {number}: it is unavailable and asks for a pause")
            }
            (Class::Unauthorized, _) => {
                format!("{host} answered {number}: it does not accept the API key")
            }
            (Class::Rejected, _) => format!("{host} answered {number}: it refuses the request"),
            (Class::Transient, _) => {
                format!("{host} answered {number}: it can't serve the request now")
            }
            (Class::InvalidResponse, 300..=399) => format!(
                "{host} answered with a redirect ({number}), and redirects are not followed: \
                 check --api-url"
            ),
            (Class::InvalidResponse, _) => {
                let expected = self.method.success().1;
                format!("{host} answered {number} where {expected} was expected: check --api-url")
            }
        };
        if let Some(said) = said.filter(|_| !self.carries_value) {
            let said = scrub(&said, self.key.expose());
            if !said.is_empty() {
                sentence = format!("{sentence} (\"{said}\")");
            }
        }
        self.error(class, sentence)
            .maybe_applied_if(self.carries && may_be_applied(status))
    }

    /// The body of an error, as far as it can be had quickly.
    async fn error_body(&self, response: &mut Response) -> Option<Vec<u8>> {
        let patience = self.deadline.min(Instant::now() + ERROR_BODY_PATIENCE);
        let mut body = Vec::new();
        while let Some(piece) = timeout_at(patience, response.chunk()).await.ok()?.ok()? {
            if body.len() + piece.len() > MAX_BODY {
                return None;
            }
            body.extend_from_slice(&piece);
        }
        Some(body)
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if let Some(code) = self.code {
            span::end(&self.span, self.method, self.status, code);
            (self.client.observer)(self.method, code, self.started.elapsed());
        }
    }
}
