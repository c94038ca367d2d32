//! What an answer, or none, means for the caller: a closed set of classes.

use std::fmt;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

use super::model::is_object;

/// No server may silence a key for longer than this at a time.
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_mins(5);
/// Zero, or a date that has passed, would be no pause at all.
const MIN_RETRY_AFTER: Duration = Duration::from_secs(1);
/// For a 429 that does not say how long.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(10);

/// What to do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 429, or 503 with `Retry-After`: nothing more with this key until the time is over.
    Throttled {
        /// How long, at most five minutes.
        retry_after: Duration,
    },
    /// It may go well next time: 408, other 5xx, timeouts, resets, a body cut short, a 404 that
    /// is not the API's.
    Transient,
    /// 401: the key is not, or no longer, accepted.
    Unauthorized,
    /// 400, 403, 422 and other 4xx, or refused here before anything was sent: the request itself
    /// has to change.
    Rejected,
    /// A 404 of the documented form, the only one that says a secret or vault is not there.
    NotFound,
    /// An answer nobody can rely on: not JSON, without `updated_at`, about another secret, too
    /// large, or a redirect. Tried again like [`Class::Transient`].
    InvalidResponse,
}

/// A failed request. It has no source: what lies below may quote the request or the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    class: Class,
    status: Option<u16>,
    maybe_applied: bool,
    sentence: String,
}

impl Error {
    pub(super) fn new(class: Class, status: Option<u16>, sentence: impl Into<String>) -> Self {
        Self {
            class,
            status,
            maybe_applied: false,
            sentence: sentence.into(),
        }
    }

    /// An answer that repeats the value it was sent: nothing of it may be kept.
    #[must_use]
    pub fn repeats_the_value() -> Self {
        let sentence = "the answer repeats the value that was sent, so nothing of it is kept";
        Self::new(Class::InvalidResponse, Some(200), sentence).maybe_applied_if(true)
    }

    /// An error as any request may end with.
    #[cfg(test)]
    pub(crate) fn of_class(class: Class, sentence: &str) -> Self {
        Self::new(class, None, sentence)
    }

    /// A list with an element that can't be read, which may be the secret somebody asks for, or one more of that name.
    #[must_use]
    pub fn unreadable_element() -> Self {
        let sentence = "the vault's list has an element that can't be read, so it does not tell what the vault lacks";
        Self::new(Class::InvalidResponse, Some(200), sentence)
    }

    /// An answer by which the secret may go anywhere, though domains were sent: it is not believed to be in sync.
    #[must_use]
    pub fn lifts_the_restriction() -> Self {
        let sentence = "the answer says that the secret may go anywhere, though domains were sent";
        Self::new(Class::InvalidResponse, Some(200), sentence).maybe_applied_if(true)
    }

    /// Only for requests that carry something: a read can't be applied.
    pub(super) fn maybe_applied_if(mut self, carried: bool) -> Self {
        self.maybe_applied = carried;
        self
    }

    /// What to do about it.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// The HTTP status, if an answer came.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        self.status
    }

    /// Whether what the request carried may have been stored all the same. False only when it
    /// certainly was not; always false for requests that carry nothing.
    #[must_use]
    pub const fn maybe_applied(&self) -> bool {
        self.maybe_applied
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for Error {}

/// The class of an answer that is no success, 404 aside, whose body has to be looked at.
pub(super) fn class_of(status: StatusCode, retry_after: Option<Duration>) -> Class {
    match (status.as_u16(), retry_after) {
        (429, pause) => Class::Throttled {
            retry_after: pause.unwrap_or(DEFAULT_RETRY_AFTER),
        },
        (503, Some(retry_after)) => Class::Throttled { retry_after },
        (401, _) => Class::Unauthorized,
        (408 | 500..=599, _) => Class::Transient,
        (400..=499, _) => Class::Rejected,
        _ => Class::InvalidResponse,
    }
}

/// Whether what a request carried may have been stored although the answer has this status. A
/// definite 4xx says it was not; 408 and a 5xx may come from something between.
pub(super) fn may_be_applied(status: StatusCode) -> bool {
    !status.is_client_error() || status == StatusCode::REQUEST_TIMEOUT
}

/// `Retry-After`, in seconds or as a date, within one second and five minutes. A date is read
/// against the server's own clock where it tells it.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // Too many digits are a long time, too.
        text.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs)
    } else {
        let until = httpdate::parse_http_date(text).ok()?;
        let date = headers
            .get(header::DATE)
            .and_then(|date| date.to_str().ok());
        let now = date
            .and_then(|date| httpdate::parse_http_date(date).ok())
            .unwrap_or(now);
        until.duration_since(now).unwrap_or_default()
    };
    Some(pause.clamp(MIN_RETRY_AFTER, MAX_RETRY_AFTER))
}

/// The text of an error body of the documented form, `{"error": "…"}`.
pub(super) fn documented_error(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Documented {
        error: String,
    }
    if !is_object(body) {
        return None;
    }
    serde_json::from_slice::<Documented>(body)
        .ok()
        .map(|documented| documented.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(header_text: &str) -> Option<Duration> {
        pause_at(header_text, None)
    }

    fn pause_at(retry: &str, date: Option<&str>) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, retry.parse().expect("a header"));
        if let Some(date) = date {
            headers.insert(header::DATE, date.parse().expect("a header"));
        }
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").expect("a date");
        retry_after(&headers, now)
    }

    #[test]
    fn retry_after_in_every_form() {
        let seconds = |s| Some(Duration::from_secs(s));
        assert_eq!(retry_after(&HeaderMap::new(), SystemTime::now()), None);
        assert_eq!(pause("7"), seconds(7));
        assert_eq!(pause(" 7 "), seconds(7));
        assert_eq!(pause("0"), seconds(1));
        assert_eq!(pause("86400"), seconds(300));
        assert_eq!(pause("99999999999999999999999"), seconds(300));
        for nonsense in ["", "-1", "1.5", "soon", "+7"] {
            assert_eq!(pause(nonsense), None, "{nonsense}");
        }
        assert_eq!(pause("Sun, 06 Nov 1994 08:50:07 GMT"), seconds(30));
        assert_eq!(pause("Sunday, 06-Nov-94 08:50:07 GMT"), seconds(30));
        assert_eq!(pause("Mon, 07 Nov 1994 08:50:07 GMT"), seconds(300));
        assert_eq!(pause("Sun, 06 Nov 1994 08:00:00 GMT"), seconds(1));
        // The server's clock is an hour ahead of ours, and it says so.
        let (until, date) = (
            "Sun, 06 Nov 1994 09:50:07 GMT",
            "Sun, 06 Nov 1994 09:50:00 GMT",
        );
        assert_eq!(pause_at(until, Some(date)), seconds(7));
        assert_eq!(pause_at(until, Some("nonsense")), seconds(300));
    }

    #[test]
    fn every_status_has_a_class() {
        let long = Duration::from_secs(9);
        for number in 100..1000 {
            let status = StatusCode::from_u16(number).expect("a status");
            let class = class_of(status, None);
            let expected = match number {
                401 => Class::Unauthorized,
                429 => Class::Throttled {
                    retry_after: DEFAULT_RETRY_AFTER,
                },
                408 | 500..=599 => Class::Transient,
                400..=499 => Class::Rejected,
                _ => Class::InvalidResponse,
            };
            assert_eq!(class, expected, "{number}");
            let pausing = class_of(status, Some(long));
            if matches!(number, 429 | 503) {
                assert_eq!(pausing, Class::Throttled { retry_after: long });
            } else {
                assert_eq!(pausing, expected, "{number}");
            }
            let definite = (400..500).contains(&number) && number != 408;
            assert_eq!(may_be_applied(status), !definite, "{number}");
        }
    }

    #[test]
    fn only_the_documented_form_is_the_apis_own_error() {
        assert_eq!(
            documented_error(br#" {"error":"gone","x":1}"#).as_deref(),
            Some("gone")
        );
        assert_eq!(documented_error(br#"{"error":""}"#).as_deref(), Some(""));
        for other in [
            "",
            "{}",
            "null",
            "\"error\"",
            "[\"gone\"]",
            "{\"error\":null}",
            "{\"error\":{}}",
            "{\"message\":\"gone\"}",
            "<html>404</html>",
            "{\"error\":\"cut",
            "{\"error\":\"a\"}x",
        ] {
            assert_eq!(documented_error(other.as_bytes()), None, "{other}");
        }
    }
}
