//! How a play ends: well, by a failure, or by a signal.

use std::{
    io::Read as _,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Mutex, PoisonError},
};

use futures::FutureExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The exit status after SIGINT, as shells have it.
pub(crate) const INTERRUPTED: u8 = 130;

/// How `work` ended, a panic being a failure too; `None` if a signal came first.
pub(crate) async fn unless_ended(
    signals: &mut Signals,
    panicked: &Mutex<String>,
    work: impl Future<Output = Result<(), String>>,
) -> Option<Result<(), String>> {
    let of_panic = || {
        panicked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    };
    tokio::select! {
        ended = AssertUnwindSafe(work).catch_unwind() => {
            Some(ended.unwrap_or_else(|_| Err(of_panic())))
        }
        () = signals.next() => None,
    }
}

/// Waits for Enter, or for a signal.
pub(crate) async fn enter(signals: &mut Signals) {
    let (pressed, enter) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let read = std::io::stdin().lock().read(&mut [0; 64]);
        if read.is_ok_and(|read| read > 0) {
            let _ = pressed.send(());
        }
    });
    tokio::select! {
        // The end of standard input is no Enter: without a terminal only a signal ends it.
        Ok(()) = enter => {}
        () = signals.next() => {}
    }
}

/// SIGINT and SIGTERM.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn new() -> Self {
        Self {
            interrupt: signal(SignalKind::interrupt()).expect("SIGINT can be caught"),
            terminate: signal(SignalKind::terminate()).expect("SIGTERM can be caught"),
        }
    }

    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The harness panics when something it waits for does not come: that is a step that failed, told as such.
pub(crate) fn hold_panics() -> Arc<Mutex<String>> {
    let held = Arc::new(Mutex::new(String::new()));
    let told = Arc::clone(&held);
    panic::set_hook(Box::new(move |panic| {
        let message = panic.payload_as_str().unwrap_or("it panicked");
        message.clone_into(&mut told.lock().unwrap_or_else(PoisonError::into_inner));
    }));
    held
}
