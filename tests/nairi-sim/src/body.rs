//! The bodies of answers: whole, without an end, padded, or dripping.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How much white space or repetition goes out at a time.
const CHUNK: usize = 64 * 1024;

/// The body of an answer.
pub(crate) enum Reply {
    /// All at once.
    Whole(Bytes),
    /// A start, then the same chunk for ever.
    Endless { start: Bytes, chunk: Bytes },
    /// White space, then the body; the last field tells whether the size is announced.
    Padded {
        padding: u64,
        body: Bytes,
        announced: bool,
    },
    /// So many bytes at every tick.
    Drip {
        body: Bytes,
        bytes: usize,
        ticks: Interval,
    },
}

impl Reply {
    pub(crate) fn endless(start: &str, repeat: &str) -> Self {
        let unit = if repeat.is_empty() { " " } else { repeat };
        let chunk = Bytes::from(unit.repeat(CHUNK.div_ceil(unit.len())));
        Self::Endless {
            start: Bytes::copy_from_slice(start.as_bytes()),
            chunk,
        }
    }

    pub(crate) fn padded(body: Bytes, size: u64, announced: bool) -> Self {
        Self::Padded {
            padding: size.saturating_sub(body.len() as u64),
            body,
            announced,
        }
    }

    pub(crate) fn drip(body: Bytes, bytes: usize, every: Duration) -> Self {
        let mut ticks = interval(every.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.reset();
        Self::Drip {
            body,
            bytes: bytes.max(1),
            ticks,
        }
    }

    /// The next bytes; none at the end.
    fn next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let next = match self {
            Self::Endless { start, chunk } if start.is_empty() => chunk.clone(),
            Self::Endless { start, .. } => std::mem::take(start),
            Self::Whole(body)
            | Self::Padded {
                padding: 0, body, ..
            } => std::mem::take(body),
            Self::Padded { padding, .. } => {
                let size = usize::try_from(*padding).unwrap_or(CHUNK).min(CHUNK);
                *padding -= size as u64;
                Bytes::from(vec![b' '; size])
            }
            Self::Drip { body, .. } if body.is_empty() => Bytes::new(),
            Self::Drip { body, bytes, ticks } => {
                ready!(ticks.poll_tick(context));
                body.split_to((*bytes).min(body.len()))
            }
        };
        Poll::Ready((!next.is_empty()).then_some(next))
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.next(context)
            .map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(body) if body.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) | Self::Drip { body, .. } => SizeHint::with_exact(body.len() as u64),
            Self::Padded {
                padding,
                body,
                announced: true,
            } => SizeHint::with_exact(padding + body.len() as u64),
            Self::Padded { .. } | Self::Endless { .. } => SizeHint::default(),
        }
    }
}
