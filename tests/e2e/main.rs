//! `make e2e`: the operator in Pods, as the chart installs it, on a real node.
//!
//! It runs within `cluster sandbox`, in namespaces of its own: the control plane, the node, the simulator of the Nairi
//! API and this program share a network that nobody else is in. It ends with 0 only if every step happened. See
//! README.md beside this.

#[path = "../../examples/demo/commands.rs"]
mod commands;
#[path = "../../examples/demo/ending.rs"]
mod ending;
mod install;
mod names;
mod pods;
#[path = "../../examples/demo/requests.rs"]
mod requests;
#[path = "../../examples/demo/screen.rs"]
mod screen;
mod stage;
mod steps;
#[path = "../support/mod.rs"]
mod support;

use std::{path::PathBuf, process::ExitCode, sync::Mutex, time::Instant};

use self::{
    ending::{INTERRUPTED, Signals, enter, hold_panics, unless_ended},
    screen::Screen,
    stage::Stage,
};

fn main() -> ExitCode {
    // `charts/` and `examples/` mean the same wherever this was started.
    let _ = std::env::set_current_dir(env!("CARGO_MANIFEST_DIR"));
    let mut keep = false;
    let mut images = Vec::new();
    for arg in std::env::args_os().skip(1) {
        if arg == "--keep" {
            keep = true;
        } else {
            images.push(PathBuf::from(arg));
        }
    }
    let panicked = hold_panics();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let code = runtime.block_on(run(keep, images, &panicked));
    // Whoever reads standard input still does.
    runtime.shutdown_background();
    code
}

async fn run(keep: bool, images: Vec<PathBuf>, panicked: &Mutex<String>) -> ExitCode {
    let mut signals = Signals::new();
    let mut screen = Screen::new();
    let mut stage = Stage::new(images);
    let began = Instant::now();
    let mut outcome = {
        let play = Box::pin(play(&mut screen, &mut stage));
        unless_ended(&mut signals, panicked, play).await
    };
    if matches!(outcome, Some(Ok(()))) {
        if keep {
            stage.introduce(&screen);
            enter(&mut signals).await;
        }
        let uninstall = Box::pin(stage.uninstall(&mut screen));
        outcome = unless_ended(&mut signals, panicked, uninstall).await;
    }
    screen.clear();
    let code = match outcome {
        Some(Ok(())) => {
            screen.say("");
            screen.good("every step happened", Some(began.elapsed()));
            ExitCode::SUCCESS
        }
        Some(Err(message)) => {
            screen.bad(&message);
            screen.bad(&format!("stopped at {}", screen.step));
            stage.explain(&screen).await;
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
    screen.title("vaultsecret-operator: in Pods, as the chart installs it, on a real node");
    stage.node(screen).await?;
    stage.vault(screen).await?;
    stage.install(screen).await?;
    stage.look_inside(screen).await?;
    stage.declare(screen).await?;
    stage.rotate(screen).await?;
    stage.delete_the_leader(screen).await?;
    stage.kill_the_leader(screen).await?;
    stage.upgrade(screen).await
}
