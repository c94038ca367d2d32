//! A panic's payload may be made of anything: none of it is printed, and the next object is reconciled.
//!
//! Nothing makes the real program panic on demand, so this program runs itself again with the real logs, the real
//! queue, and a reconcile that panics.

use std::{
    env,
    io::Write as _,
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use clap::Parser as _;
use kube_runtime::{
    reflector::{ObjectRef, store::Writer},
    watcher::Event,
};
use vaultsecret_operator::{
    api::VaultSecret,
    args::Cli,
    queue::{self, Action, Queue},
    telemetry,
};

use super::search::{Search, canary};
use crate::support::VaultSecretBuilder;

const CHILD: &str = "CANARY_CHILD";
const VALUE: &str = "CANARY_VALUE";

/// How the child panics.
const WAYS: [&str; 6] = [
    "string",
    "expect",
    "assert",
    "nested",
    "in a task",
    "in a drop",
];

fn run(way: &str, format: &str, value: &str) -> Output {
    let program = env::current_exe().expect("this program's place");
    Command::new(program)
        .args([
            "--exact",
            "canary::panics::child",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(CHILD, format!("{format} {way}"))
        .env(VALUE, value)
        .env("RUST_BACKTRACE", "full")
        .output()
        .expect("this program runs")
}

#[test]
fn a_panic_says_nothing_of_its_payload_and_holds_up_nobody() {
    for format in ["json", "text"] {
        for way in WAYS {
            let value = canary();
            let mut search = Search::default();
            search.add("value", value.as_bytes());
            let output = run(way, format, &value);
            let (stdout, stderr) = (
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr),
            );
            let all = format!("{format}, {way}:\n{stdout}\n{stderr}");
            assert!(output.status.success(), "{all}");
            assert_eq!(search.find(all.as_bytes()), None, "{format}, {way}");
            assert!(stderr.contains("panics.rs"), "where it was: {all}");
            assert!(stderr.contains("a reconcile panicked"), "{all}");
            assert!(stdout.contains("reconciled second, 1 panicked"), "{all}");
        }
    }
}

/// The same search finds what the same child logs.
#[test]
fn a_logged_value_is_found() {
    for format in ["json", "text"] {
        let value = canary();
        let mut search = Search::default();
        search.add("value", value.as_bytes());
        let output = run("leak", format, &value);
        let found = search.find(&output.stderr).expect("it is there");
        assert_eq!(found.secret, "value", "{format}");
    }
}

/// Does nothing but as a child.
#[test]
fn child() {
    let Ok(how) = env::var(CHILD) else { return };
    let value = env::var(VALUE).expect("set with it");
    let (format, way) = how.split_once(' ').expect("two words");
    let flags = ["run", "--log-filter=trace", "--log-format", format];
    let args = Cli::parse_from(flags).run;
    let _traces = telemetry::start(&args).expect("a level");
    if way == "leak" {
        tracing::error!(value, "leaked");
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(reconcile(way.to_owned(), value));
}

async fn reconcile(way: String, value: String) {
    let (queue, due) = Queue::<VaultSecret>::new(4);
    let mut writer = Writer::<VaultSecret>::default();
    let store = writer.as_reader();
    let named = |name: &str| {
        let mut object = VaultSecretBuilder::new(name, "vlt_1").build();
        object.metadata.namespace = Some("default".to_owned());
        object
    };
    writer.apply_watcher_event(&Event::Init);
    for name in ["first", "second"] {
        writer.apply_watcher_event(&Event::InitApply(named(name)));
    }
    writer.apply_watcher_event(&Event::InitDone);
    let panicked = Arc::new(AtomicUsize::new(0));
    let (done, ended) = tokio::sync::watch::channel(false);
    let done = Arc::new(done);
    let second = {
        let panicked = Arc::clone(&panicked);
        move |object: Arc<VaultSecret>| {
            let (way, value) = (way.clone(), value.clone());
            let (panicked, done) = (Arc::clone(&panicked), Arc::clone(&done));
            async move {
                if object.metadata.name.as_deref() == Some("first") {
                    tokio::task::yield_now().await;
                    panic_with(&way, &value).await;
                } else {
                    let count = panicked.load(Ordering::SeqCst);
                    let _ = writeln!(std::io::stdout(), "reconciled second, {count} panicked");
                    let _ = done.send(true);
                }
                Action::await_change()
            }
        }
    };
    queue.wake(ObjectRef::from_obj(&named("first")));
    let counted = Arc::clone(&panicked);
    let woken = queue.clone();
    let mut ended = ended;
    queue::drain(
        due,
        store,
        async move {
            let _ = ended.wait_for(|ended| *ended).await;
        },
        move |object, _| second(object),
        move || {
            counted.fetch_add(1, Ordering::SeqCst);
            // Only now, so that it comes after the panic.
            woken.wake(ObjectRef::from_obj(&named("second")));
        },
    )
    .await;
}

struct Grenade(String);

impl Drop for Grenade {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "dropped {}", self.0);
    }
}

async fn panic_with(way: &str, value: &str) {
    match way {
        "string" => std::panic::panic_any(value.to_owned()),
        "expect" => {
            let refused: Result<(), &str> = value.parse::<u8>().map(drop).map_err(|_| value);
            refused.expect("a number");
        }
        "assert" => assert_eq!(value, "another value"),
        "nested" => {
            let _ = std::panic::catch_unwind(|| panic!("{value}"));
            panic!("again {value:?}");
        }
        "in a task" => {
            let value = value.to_owned();
            let task = tokio::spawn(async move { panic!("{value}") });
            task.await.expect("it goes well");
        }
        _ => drop(Grenade(value.to_owned())),
    }
}
