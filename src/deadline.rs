//! A time limit that holds for a process that was stopped meanwhile, too.

use std::{future::poll_fn, pin::pin, task::Poll};

use tokio::time::{Instant, sleep_until};

/// The time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it did not end in time")]
pub struct Passed;

/// Does `work`, no longer than to the deadline.
///
/// tokio's own timeout lets the work go on first and looks at the clock then: a process that is continued long after
/// the deadline would send what it was about to send when it was stopped. Here the clock comes first, every time.
///
/// # Errors
/// The deadline passed. What the work might have had to show by then is dropped with it.
pub async fn before<T>(deadline: Instant, work: impl Future<Output = T>) -> Result<T, Passed> {
    let (mut work, mut over) = (pin!(work), pin!(sleep_until(deadline)));
    poll_fn(|context| {
        if Instant::now() >= deadline {
            return Poll::Ready(Err(Passed));
        }
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(Ok(done));
        }
        over.as_mut().poll(context).map(|()| Err(Passed))
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::{future::pending, time::Duration};

    use super::*;

    const MOMENT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn work_that_ends_in_time_has_its_outcome() {
        let work = async {
            tokio::time::sleep(MOMENT).await;
            7
        };
        assert_eq!(before(Instant::now() + 500 * MOMENT, work).await, Ok(7));
    }

    #[tokio::test]
    async fn work_that_takes_too_long_is_given_up() {
        let outcome = before(Instant::now() + MOMENT, pending::<()>()).await;
        assert_eq!(outcome, Err(Passed));
    }

    /// The process is stopped between two steps of the work, and continued when its time is over.
    #[tokio::test]
    async fn nothing_is_done_after_the_deadline() {
        let mut steps = 0;
        let work = poll_fn(|context| {
            steps += 1;
            context.waker().wake_by_ref();
            std::thread::sleep(2 * MOMENT);
            Poll::<()>::Pending
        });
        assert_eq!(before(Instant::now() + MOMENT, work).await, Err(Passed));
        assert_eq!(steps, 1);
    }
}
