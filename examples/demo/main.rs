//! `make demo`: the operator at work, on a Kubernetes of its own, against a simulator of the Nairi API.
//!
//! Whatever it prints was observed: the requests are those in the simulator's log. It ends with 0 only if
//! every step happened, and leaves nothing running.

mod commands;
mod ending;
mod lifecycle;
mod requests;
mod screen;
mod stage;
mod steps;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::{process::ExitCode, sync::Mutex};

use self::{
    ending::{INTERRUPTED, Signals, enter, hold_panics, unless_ended},
    screen::Screen,
    stage::Stage,
    support::Operator,
};

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
