//! Waiting with a deadline.

use std::time::{Duration, Instant};

/// How long a test waits for what must come: long, for a busy machine. It costs nothing when all goes well.
pub const SOON: Duration = Duration::from_secs(30);

/// How long a test watches that something does not come.
pub const QUIET: Duration = Duration::from_millis(500);

const INTERVAL: Duration = Duration::from_millis(40);

/// Asks again and again until there is an answer, and returns it.
///
/// # Panics
/// When there is none within `deadline`; says `what` was waited for.
pub async fn eventually<T, F>(what: &str, deadline: Duration, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(
            began.elapsed() < deadline,
            "{what}: not within {deadline:?}"
        );
        tokio::time::sleep(INTERVAL).await;
    }
}
