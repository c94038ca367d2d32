//! One request's way: log, latency, fault, call, answer.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::api::{self, Answered};
use crate::body::Reply;
use crate::entry::Outcome;
use crate::fault::{Answer, Effect, Moment};
use crate::faults::Met;
use crate::lock;
use crate::log::Ticket;
use crate::sim::Shared;
use crate::wire::Wire;

/// How large a request may be.
const LARGEST: usize = 64 << 20;

/// The connection a request came on.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) number: u64,
    /// Ends it at once.
    pub(crate) cut: CancellationToken,
    /// What it goes over.
    pub(crate) wire: Wire,
}

/// Answers a request, or cuts its connection.
pub(crate) async fn exchange(
    shared: Arc<Shared>,
    connection: Connection,
    request: Request<Incoming>,
) -> Result<Response<Reply>, Infallible> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, LARGEST)
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes);
    let broken = body.is_err();
    let body = body.unwrap_or_default();
    let ticket = shared.log.begin(&head, body.clone(), connection.number);
    if broken {
        // The client left in the middle of its request, or sent more than anybody should.
        drop(ticket);
        connection.cut.cancel();
        return pending().await;
    }
    let mut write = false;
    ticket.note(|entry| write = entry.is_write());
    let met = shared
        .faults
        .meet(head.method.as_str(), head.uri.path(), write);
    if let Some(met) = &met {
        ticket.note(|entry| entry.fault = Some(met.id()));
    }
    let latency = lock(&shared.behaviour).latency;
    if !latency.is_zero() {
        sleep(latency).await;
    }
    let request = Exchange {
        shared: &shared,
        ticket: &ticket,
        head: &head,
        body: &body,
    };
    let reply = match &met {
        None => Some(request.plain()),
        Some(met) => match met.effect() {
            Effect::Raw {
                first,
                repeat,
                every,
            } => {
                if met.moment() == Moment::After {
                    request.work();
                }
                ticket.end(Outcome::Cut);
                babble(&connection, first, repeat, *every).await;
                return pending().await;
            }
            _ => request.faulty(met).await,
        },
    };
    Ok(match reply {
        Some(response) => {
            ticket.end(Outcome::Answered(response.status().as_u16()));
            response
        }
        None => cut(ticket, &connection).await,
    })
}

/// Closes the connection; what asks for an answer waits in vain.
async fn cut(ticket: Ticket, connection: &Connection) -> Response<Reply> {
    ticket.end(Outcome::Cut);
    connection.cut.cancel();
    pending().await
}

/// Says these bytes where HTTP is expected, and the others over and over, until the client leaves.
async fn babble(connection: &Connection, first: &[u8], repeat: &[u8], every: Duration) {
    let mut wire = connection.wire.clone();
    let mut sent = wire.send(first).await;
    while sent.is_ok() && !repeat.is_empty() {
        if !every.is_zero() {
            sleep(every).await;
        }
        sent = wire.send(repeat).await;
    }
    if sent.is_err() {
        connection.cut.cancel();
    }
}

struct Exchange<'a> {
    shared: &'a Shared,
    ticket: &'a Ticket,
    head: &'a Parts,
    body: &'a Bytes,
}

impl Exchange<'_> {
    /// Works on the request.
    fn work(&self) -> Answered {
        let answered = api::answer(self.shared, self.head, self.body);
        self.ticket.note(|entry| {
            entry.applied = answered.applied;
            if answered.created.is_some() {
                entry.secret_id.clone_from(&answered.created);
            }
        });
        answered
    }

    fn plain(&self) -> Response<Reply> {
        let answered = self.work();
        let bytes = answered.bytes();
        respond(&answered, Reply::Whole(bytes))
    }

    /// None: cut.
    async fn faulty(&self, met: &Met) -> Option<Response<Reply>> {
        let done = (met.moment() == Moment::After).then(|| self.work());
        let truth = |done: Option<Answered>| done.unwrap_or_else(|| self.work());
        Some(match met.effect() {
            Effect::Answer(answer) => custom(answer),
            Effect::Delay { by } => {
                sleep(*by).await;
                whole(&truth(done))
            }
            Effect::Stall => {
                met.stall().await;
                whole(&truth(done))
            }
            // What is raw is no answer.
            Effect::Cut | Effect::Raw { .. } => return None,
            Effect::Echo { status, json } => self.echo(*status, *json),
            Effect::OtherId(id) => {
                let mut answered = truth(done);
                if let Some(shown) = answered.body.as_mut().and_then(|body| body.get_mut("id")) {
                    *shown = id.clone().into();
                }
                whole(&answered)
            }
            Effect::Endless { start, repeat } => json(200, Reply::endless(start, repeat)),
            Effect::Oversized { bytes, announced } => {
                let answered = truth(done);
                respond(
                    &answered,
                    Reply::padded(answered.bytes(), *bytes, *announced),
                )
            }
            Effect::Drip { bytes, every } => {
                let answered = truth(done);
                respond(&answered, Reply::drip(answered.bytes(), *bytes, *every))
            }
        })
    }

    /// What was sent, sent back.
    fn echo(&self, status: u16, as_json: bool) -> Response<Reply> {
        let key = self
            .head
            .headers
            .get(AUTHORIZATION)
            .map_or(&b""[..], HeaderValue::as_bytes);
        let key = String::from_utf8_lossy(key);
        let body = String::from_utf8_lossy(self.body);
        let text = format!("cannot process {body} sent with Authorization: {key}");
        if as_json {
            custom(&Answer::error(status, &text))
        } else {
            custom(&Answer::new(status, text).header("content-type", "text/plain"))
        }
    }
}

fn whole(answered: &Answered) -> Response<Reply> {
    respond(answered, Reply::Whole(answered.bytes()))
}

fn respond(answered: &Answered, reply: Reply) -> Response<Reply> {
    if answered.body.is_none() {
        let mut response = Response::new(Reply::Whole(Bytes::new()));
        *response.status_mut() = status(answered.status);
        return response;
    }
    json(answered.status, reply)
}

pub(crate) fn json(code: u16, reply: Reply) -> Response<Reply> {
    let mut response = Response::new(reply);
    *response.status_mut() = status(code);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn custom(answer: &Answer) -> Response<Reply> {
    let mut response = Response::new(Reply::Whole(Bytes::from(answer.body.clone())));
    *response.status_mut() = status(answer.status);
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
