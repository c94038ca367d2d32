//! What the terminal shows: numbered steps, aligned times, what is being waited for; colour only on a terminal.

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

/// Where the times end.
const WIDTH: usize = 92;

/// How long something may take before a line says that it is waited for, where lines can't be taken back.
const SLOW: Duration = Duration::from_secs(2);

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const CYAN: &str = "36";

pub(crate) struct Screen {
    terminal: bool,
    colour: bool,
    steps: usize,
    /// The step under way, for whoever has to say where it stopped.
    pub(crate) step: String,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let terminal = io::stdout().is_terminal();
        let plain = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        Self {
            terminal,
            colour: terminal && !plain("NO_COLOR"),
            steps: 0,
            step: "the beginning".to_owned(),
        }
    }

    pub(crate) fn title(&self, text: &str) {
        line(&self.paint(BOLD, text));
    }

    /// Begins a step.
    pub(crate) fn step(&mut self, title: &str) {
        self.steps += 1;
        self.step = format!("step {}: {title}", self.steps);
        line("");
        line(&self.paint(BOLD, &format!("{:>2}  {title}", self.steps)));
    }

    /// A plain sentence within a step.
    pub(crate) fn say(&self, text: &str) {
        line(&format!("    {}", self.paint(DIM, text)));
    }

    /// A command that is run now.
    pub(crate) fn command(&self, command: &str) {
        line(&format!("    {} {command}", self.paint(DIM, "$")));
    }

    /// A program that is run now, as one would type it.
    pub(crate) fn call(&self, program: &str, args: &[&str]) {
        let said: Vec<_> = args.iter().map(|arg| quoted(arg)).collect();
        self.command(&format!("{program} {}", said.join(" ")));
    }

    /// What a command printed, as it printed it.
    pub(crate) fn output(&self, text: &str) {
        for text in text.lines() {
            line(&format!("      {}", self.paint(DIM, text)));
        }
    }

    /// A request that arrived at the vault.
    pub(crate) fn request(&self, text: &str) {
        line(&format!("    {} {text}", self.paint(CYAN, "→")));
    }

    /// Something that was checked, and holds; with a time where that matters.
    pub(crate) fn good(&self, text: &str, took: Option<Duration>) {
        let took = took.map(span).unwrap_or_default();
        let gap = WIDTH
            .saturating_sub(6 + text.chars().count())
            .max(took.len() + 2);
        let took = self.paint(CYAN, &format!("{took:>gap$}"));
        line(format!("    {} {text}{took}", self.paint(GREEN, "✓")).trim_end());
    }

    /// Something that does not hold.
    pub(crate) fn bad(&self, text: &str) {
        let mut lines = text.lines();
        line(&format!(
            "    {} {}",
            self.paint(RED, "✗"),
            self.paint(RED, lines.next().unwrap_or_default())
        ));
        for text in lines {
            line(&format!("      {text}"));
        }
    }

    /// Says what is waited for until it is there; returns it and the time it took.
    pub(crate) async fn wait<T>(&self, what: &str, work: impl Future<Output = T>) -> (T, Duration) {
        let began = Instant::now();
        let hint = self.paint(DIM, &format!("    … waiting for {what}"));
        if self.terminal {
            put(&hint);
        }
        let mut work = std::pin::pin!(work);
        let done = tokio::select! {
            done = &mut work => done,
            () = tokio::time::sleep(SLOW), if !self.terminal => {
                line(&hint);
                work.await
            }
        };
        self.clear();
        (done, began.elapsed())
    }

    /// The same for what prints lines of its own meanwhile: this one stays.
    pub(crate) async fn wait_beside<T>(
        &self,
        what: &str,
        work: impl Future<Output = T>,
    ) -> (T, Duration) {
        let began = Instant::now();
        line(&self.paint(DIM, &format!("    … waiting for {what}")));
        (work.await, began.elapsed())
    }

    /// Takes back the line of what was waited for.
    pub(crate) fn clear(&self) {
        if self.terminal {
            put("\r\x1b[2K");
        }
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour && !text.trim().is_empty() {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// A time for people. None at all is what is left where something came before it was waited for.
pub(crate) fn span(time: Duration) -> String {
    if time.is_zero() {
        return "at once".to_owned();
    }
    let ms = time.as_secs_f64() * 1e3;
    match ms {
        ..10.0 => format!("{ms:.1} ms"),
        ..1000.0 => format!("{ms:.0} ms"),
        _ => format!("{:.1} s", ms / 1e3),
    }
}

fn quoted(arg: &str) -> String {
    if arg.contains(['{', '"', ' ', '*']) {
        format!("'{arg}'")
    } else {
        arg.to_owned()
    }
}

fn line(text: &str) {
    put(&format!("{text}\n"));
}

/// A reader that is gone must not end the demo before it has put things away.
fn put(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}
