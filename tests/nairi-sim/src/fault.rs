//! Faults: what goes wrong, for which requests, and how often. The set of active ones is in `faults.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::millis;

/// The number of a fault.
pub type FaultId = u64;

/// One fault: an effect, the requests it meets, and how often. The API page promises none of these answers and
/// excludes none: a client must hold under every one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What happens.
    pub effect: Effect,
    /// Only requests of this method; absent: any.
    #[serde(default)]
    pub method: Option<String>,
    /// Only requests to here.
    #[serde(default)]
    pub target: Target,
    /// Only requests that ask for a write: a PATCH whose body is not an empty object, a POST, a DELETE.
    #[serde(default)]
    pub writes_only: bool,
    /// So many matching requests pass unharmed first.
    #[serde(default)]
    pub skip: u64,
    /// How often.
    #[serde(default)]
    pub times: Times,
    /// Before the request is worked on, or after.
    #[serde(default)]
    pub moment: Moment,
}

/// The requests a fault meets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Every request.
    #[default]
    Any,
    /// This path exactly, such as `/api/public/v1/vaults`.
    Path(String),
    /// Every path that begins so.
    Prefix(String),
    /// The calls of one secret, by its id.
    Secret(String),
    /// The list of a vault, creations in it, and the calls of its secrets, by its id.
    Vault(String),
}

/// How often a fault fires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Times {
    /// Until it is removed.
    #[default]
    Always,
    /// For the first so many matching requests.
    Count(u64),
    /// For a share of the matching requests.
    Share {
        /// From 0 to 1.
        share: f64,
        /// Makes the choice repeatable.
        seed: u64,
    },
}

/// When a fault takes place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Before the request is worked on, the key is not looked at either. An effect that ends the request keeps it
    /// from being applied.
    #[default]
    Before,
    /// After the request was worked on: the change is applied, and its answer is lost or delayed.
    After,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Another answer.
    Answer(Answer),
    /// The answer comes, but later.
    Delay {
        /// By how much.
        #[serde(rename = "ms", with = "millis")]
        by: Duration,
    },
    /// No answer until the fault is released or removed; then the request goes on as if nothing had been.
    Stall,
    /// The connection is closed without an answer. Under HTTP/2 its other requests go with it.
    Cut,
    /// The documented error form, holding the request's `authorization` header and body.
    Echo {
        /// Its status.
        status: u16,
        /// Whether as `{"error":"…"}`; otherwise as plain text, byte for byte.
        json: bool,
    },
    /// The true answer, its object carrying another id. The request is worked on in either moment.
    OtherId(String),
    /// A body without an end, with status 200.
    Endless {
        /// What it begins with, such as `[`.
        start: String,
        /// What it repeats: a space, or an element of a list.
        repeat: String,
    },
    /// The true answer behind so much white space that the body has this size: only a client that bounds what it
    /// reads fails. The request is worked on in either moment.
    Oversized {
        /// The size of the body.
        bytes: u64,
        /// Whether `content-length` tells it.
        announced: bool,
    },
    /// These bytes instead of an answer, in place of HTTP: nothing else is sent on the connection.
    Raw {
        /// At first.
        first: Vec<u8>,
        /// Then these, over and over; none: nothing more comes until the client leaves.
        repeat: Vec<u8>,
        /// The pause before each of them.
        #[serde(rename = "ms", with = "millis")]
        every: Duration,
    },
    /// The true answer, byte by byte. The request is worked on in either moment.
    Drip {
        /// How many bytes at a time, at least one.
        bytes: usize,
        /// The pause before each.
        #[serde(rename = "ms", with = "millis")]
        every: Duration,
    },
}

/// An answer of one's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, `content-type` among them; none is added.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body.
    #[serde(default)]
    pub body: String,
}

impl Answer {
    /// The documented form of an error.
    #[must_use]
    pub fn error(status: u16, message: &str) -> Self {
        let body = serde_json::json!({ "error": message }).to_string();
        Self {
            status,
            headers: BTreeMap::new(),
            body,
        }
        .header("content-type", "application/json")
    }

    /// Any status and body, without headers.
    #[must_use]
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: BTreeMap::new(),
            body: body.into(),
        }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// What goes wrong.
impl Fault {
    /// A fault that meets every request, always.
    #[must_use]
    pub fn new(effect: Effect) -> Self {
        Self {
            effect,
            method: None,
            target: Target::Any,
            writes_only: false,
            skip: 0,
            times: Times::Always,
            moment: Moment::Before,
        }
    }

    /// This answer.
    #[must_use]
    pub fn answer(answer: Answer) -> Self {
        Self::new(Effect::Answer(answer))
    }

    /// This status, with an error in the documented form.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::answer(Answer::error(status, "the simulator was told to fail"))
    }

    /// This status, with an error in the documented form and `Retry-After`: seconds, or an HTTP date.
    #[must_use]
    pub fn retry_after(status: u16, after: &str) -> Self {
        Self::answer(Answer::error(status, "slow down").header("retry-after", after))
    }

    /// A redirect.
    #[must_use]
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::answer(Answer::new(status, "").header("location", location))
    }

    /// 200 with a page of HTML, as a captive portal or a gateway would give.
    #[must_use]
    pub fn html() -> Self {
        let page = "<!doctype html><html><body><h1>Welcome</h1></body></html>";
        Self::answer(Answer::new(200, page).header("content-type", "text/html; charset=utf-8"))
    }

    /// [`Effect::Delay`].
    #[must_use]
    pub fn delay(by: Duration) -> Self {
        Self::new(Effect::Delay { by })
    }

    /// [`Effect::Stall`].
    #[must_use]
    pub fn stall() -> Self {
        Self::new(Effect::Stall)
    }

    /// [`Effect::Cut`].
    #[must_use]
    pub fn cut() -> Self {
        Self::new(Effect::Cut)
    }

    /// [`Effect::Echo`] in the documented form.
    #[must_use]
    pub fn echo(status: u16) -> Self {
        Self::new(Effect::Echo { status, json: true })
    }

    /// [`Effect::OtherId`].
    #[must_use]
    pub fn other_id(id: &str) -> Self {
        Self::new(Effect::OtherId(id.to_owned()))
    }

    /// [`Effect::Endless`] white space.
    #[must_use]
    pub fn endless() -> Self {
        Self::new(Effect::Endless {
            start: String::new(),
            repeat: String::from(" "),
        })
    }

    /// [`Effect::Oversized`] without a `content-length`.
    #[must_use]
    pub fn oversized(bytes: u64) -> Self {
        Self::new(Effect::Oversized {
            bytes,
            announced: false,
        })
    }

    /// [`Effect::Raw`] bytes, and nothing after them.
    #[must_use]
    pub fn raw(first: impl Into<Vec<u8>>) -> Self {
        Self::babble(first, "", Duration::ZERO)
    }

    /// [`Effect::Raw`].
    #[must_use]
    pub fn babble(first: impl Into<Vec<u8>>, repeat: &str, every: Duration) -> Self {
        Self::new(Effect::Raw {
            first: first.into(),
            repeat: repeat.as_bytes().to_vec(),
            every,
        })
    }

    /// [`Effect::Drip`].
    #[must_use]
    pub fn drip(bytes: usize, every: Duration) -> Self {
        Self::new(Effect::Drip { bytes, every })
    }
}

/// For which requests, when, and how often.
impl Fault {
    /// Only this method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Only this path, exactly.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        self.target = Target::Path(path.to_owned());
        self
    }

    /// Only paths that begin so.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.target = Target::Prefix(prefix.to_owned());
        self
    }

    /// Only the calls of this secret.
    #[must_use]
    pub fn secret(mut self, id: &str) -> Self {
        self.target = Target::Secret(id.to_owned());
        self
    }

    /// Only the list of this vault, creations in it, and the calls of its secrets.
    #[must_use]
    pub fn vault(mut self, id: &str) -> Self {
        self.target = Target::Vault(id.to_owned());
        self
    }

    /// Only requests that ask for a write.
    #[must_use]
    pub fn writes(mut self) -> Self {
        self.writes_only = true;
        self
    }

    /// Lets so many matching requests pass first.
    #[must_use]
    pub fn skip(mut self, count: u64) -> Self {
        self.skip = count;
        self
    }

    /// Only so often.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.times = Times::Count(count);
        self
    }

    /// Only once.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// Only for this share of the matching requests, from 0 to 1.
    #[must_use]
    pub fn share(mut self, share: f64, seed: u64) -> Self {
        self.times = Times::Share { share, seed };
        self
    }

    /// Only after the request was worked on: see [`Moment::After`].
    #[must_use]
    pub fn after(mut self) -> Self {
        self.moment = Moment::After;
        self
    }

    /// Whether a request is one of those it may meet.
    pub(crate) fn matches(&self, method: &str, path: &str, write: bool) -> bool {
        self.method
            .as_deref()
            .is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && (write || !self.writes_only)
            && match &self.target {
                Target::Any => true,
                Target::Path(wanted) => path == wanted,
                Target::Prefix(prefix) => path.starts_with(prefix.as_str()),
                Target::Secret(id) => crate::api::secret_in(path) == Some(id),
                Target::Vault(id) => crate::api::vault_in(path) == Some(id),
            }
    }
}
