//! What the libraries below log.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use super::server::answer;
use super::*;

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("a lock").extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_deepest_log_level_shows_neither_key_nor_value() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    tracing::trace!("the log is on");
    let echo = format!("{{\"error\":\"{VALUE} {KEY}\"}}");
    let bench = Bench::new(vec![
        answer(200, "", GOOD),
        answer(400, "", &echo),
        answer(201, "", GOOD),
        answer(409, "", &echo),
    ]);
    bench.patch(&value()).await.expect("a secret");
    bench.patch(&value()).await.expect_err("an error");
    bench.create().await.expect("a secret");
    bench.create().await.expect_err("an error");
    let logged = log.0.lock().expect("a lock").clone();
    let logged = String::from_utf8_lossy(&logged);
    assert!(logged.contains("the log is on"));
    assert!(!logged.contains(VALUE) && !logged.contains(KEY), "{logged}");
}
