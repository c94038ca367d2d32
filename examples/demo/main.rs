//! `make demo`: the operator at work, on a Kubernetes of its own, against a simulator of the Nairi API.
//!
//! Whatever it prints was observed: the requests are those in the simulator's log. It ends with 0 only if
//! every step happened, and leaves nothing running.

mod lifecycle;
mod screen;
mod stage;
mod steps;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::{
    io::Read as _,
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use futures::FutureExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::{screen::Screen, stage::Stage, support::Operator};

/// The exit status after SIGINT, as shells have it.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    // `examples/` means the same wherever this was started.
    let _ = std::env::set_current_dir(env!("CARGO_MANIFEST_DIR"));
    let keep = std::env::args().skip(1).any(|arg| arg == "--keep");
    let panicked = hold_panics();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let code = runtime.block_on(run(keep, &panicked));
    // Whoever reads standard input still does.
    runtime.shutdown_background();
    code
}

async fn run(keep: bool, panicked: &Mutex<String>) -> ExitCode {
    let mut signals = Signals::new();
    let mut screen = Screen::new();
    let mut stage = Stage::default();
    let mut outcome = {
        let play = Box::pin(play(&mut screen, &mut stage));
        unless_ended(&mut signals, panicked, play).await
    };
    if matches!(outcome, Some(Ok(()))) {
        if keep {
            stage.introduce(&screen);
            enter(&mut signals).await;
        }
        outcome = unless_ended(&mut signals, panicked, stage.close(&mut screen)).await;
    }
    screen.clear();
    let code = match outcome {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(message)) => {
            screen.bad(&message);
            screen.bad(&format!("stopped at {}", screen.step));
            if let Some(status) = stage.operator.as_mut().and_then(Operator::ended) {
                screen.bad(&format!("the operator had ended: {status}"));
            }
            // A failure of the harness shows it already.
            if let Some(log) = stage.log_tail().filter(|log| !message.contains(log)) {
                screen.say("the operator's log ends:");
                screen.output(&log);
            }
            ExitCode::FAILURE
        }
        None => {
            screen.bad(&format!("interrupted at {}", screen.step));
            ExitCode::from(INTERRUPTED)
        }
    };
    stage.end(code == ExitCode::SUCCESS).await;
    code
}

async fn play(screen: &mut Screen, stage: &mut Stage) -> Result<(), String> {
    screen.title("vaultsecret-operator: one change, one PATCH, only the fields that differ");
    stage.control_plane(screen).await?;
    stage.vault(screen).await?;
    stage.start(screen).await?;
    stage.declare(screen).await?;
    stage.rotate(screen).await?;
    stage.redirect(screen).await?;
    stage.touch(screen).await?;
    stage.restart(screen).await?;
    stage.rotate_often(screen).await?;
    stage.weigh(screen)?;
    stage.meddle(screen).await?;
    stage.create_and_delete(screen).await?;
    stage.search(screen).await
}

/// How `work` ended, a panic being a failure too; `None` if a signal came first.
async fn unless_ended(
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
async fn enter(signals: &mut Signals) {
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
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Self {
        Self {
            interrupt: signal(SignalKind::interrupt()).expect("SIGINT can be caught"),
            terminate: signal(SignalKind::terminate()).expect("SIGTERM can be caught"),
        }
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The harness panics when something it waits for does not come: that is a step that failed, told as such.
fn hold_panics() -> Arc<Mutex<String>> {
    let held = Arc::new(Mutex::new(String::new()));
    let told = Arc::clone(&held);
    panic::set_hook(Box::new(move |panic| {
        let message = panic.payload_as_str().unwrap_or("it panicked");
        message.clone_into(&mut told.lock().unwrap_or_else(PoisonError::into_inner));
    }));
    held
}
