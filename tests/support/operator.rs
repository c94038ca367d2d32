//! The operator, as the process that users run.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt::Write as _,
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use serde_json::Value;

use super::wait::{SOON, eventually};

/// How long the operator may take to end: the promise is 20 s.
const END: Duration = Duration::from_secs(20);

/// How to start the operator.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment, which is nothing else.
    pub env: BTreeMap<String, OsString>,
    /// Where its standard error goes, beside the memory; appended to.
    pub log_file: PathBuf,
}

/// An operator that runs, or has run. Killed on drop, and whatever happens to this process.
#[derive(Debug)]
pub struct Operator {
    launch: Launch,
    http: reqwest::Client,
    running: Option<Running>,
    log: Arc<Mutex<String>>,
    begins: usize,
}

#[derive(Debug)]
struct Running {
    child: Child,
    guard: Guard,
    reader: Option<JoinHandle<()>>,
}

/// Kills a process when this one ends without having done so.
#[derive(Debug)]
pub struct Guard {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Guard {
    /// Of the process with that id.
    pub fn of(pid: u32) -> Self {
        let mut child = Command::new("sh")
            .args([
                "-c",
                "while read -r _; do :; done; kill -9 \"$0\" 2>/dev/null",
            ])
            .arg(pid.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh");
        let stdin = child.stdin.take();
        Self { child, stdin }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // First the guard itself: its charge is gone, and the number may be somebody else's by now.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.stdin.take();
    }
}

impl Operator {
    /// Not started yet.
    pub fn new(launch: Launch) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .build()
            .expect("a client without TLS to set up");
        Self {
            launch,
            http,
            running: None,
            log: Arc::default(),
            begins: 0,
        }
    }

    /// The program of this build: the tests know its place, an example stands in a folder beside it.
    pub fn program() -> PathBuf {
        if let Some(program) = option_env!("CARGO_BIN_EXE_vaultsecret-operator") {
            return program.into();
        }
        let own = std::env::current_exe().expect("this program's place");
        let folder = own.ancestors().nth(2).expect("a folder above");
        folder.join("vaultsecret-operator")
    }

    /// How it is started; changes count from the next start.
    pub fn launch(&mut self) -> &mut Launch {
        &mut self.launch
    }

    /// How it was started.
    pub fn launched(&self) -> &Launch {
        &self.launch
    }

    /// Starts it, and waits until `/readyz` says that it is ready.
    pub async fn start(&mut self) {
        self.start_unready();
        self.wait_ready().await;
    }

    /// Starts it, and waits for nothing.
    pub fn start_unready(&mut self) {
        assert!(self.running.is_none(), "it runs already");
        self.begins = self.log().len();
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(&self.launch.log_file)
            .unwrap_or_else(|error| panic!("{}: {error}", self.launch.log_file.display()));
        let Launch {
            program, args, env, ..
        } = &self.launch;
        let mut child = Command::new(program)
            .args(args)
            .env_clear()
            .envs(env)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{}: {error}: is it built?", program.display());
            });
        let guard = Guard::of(child.id());
        let mut lines = BufReader::new(child.stderr.take().expect("piped"));
        let log = Arc::clone(&self.log);
        let reader = std::thread::spawn(move || {
            let mut line = Vec::new();
            while lines
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                let _ = file.write_all(&line);
                log.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        self.running = Some(Running {
            child,
            guard,
            reader: Some(reader),
        });
    }

    /// Waits until it is ready: every store is filled.
    pub async fn wait_ready(&mut self) {
        for _ in 0..600 {
            if let Some(status) = self.ended() {
                panic!("the operator ended with {status}:\n{}", self.tail(30));
            }
            if let Some(ready) = self.get("/readyz").await
                && ready.0 == 200
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the operator did not get ready:\n{}", self.tail(30));
    }

    /// Ends it by SIGTERM; it has to end well, and in time.
    pub async fn stop(&mut self) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -TERM");
        let status = self.wait_ended(END).await;
        assert!(
            status.success(),
            "after SIGTERM: {status}\n{}",
            self.tail(30)
        );
    }

    /// Kills it by SIGKILL.
    pub fn kill(&mut self) {
        let mut running = self.running.take().expect("it runs");
        running.end();
    }

    /// Sends it any signal, such as `STOP` and `CONT`.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -{name}");
    }

    /// Ends it by SIGTERM and starts it again.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.start().await;
    }

    /// Waits until it has ended by itself or by a signal.
    pub async fn wait_ended(&mut self, deadline: Duration) -> ExitStatus {
        let began = std::time::Instant::now();
        loop {
            if let Some(status) = self.ended() {
                self.running.take().expect("it ran").end();
                return status;
            }
            assert!(
                began.elapsed() < deadline,
                "it still runs after {deadline:?}:\n{}",
                self.tail(30)
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Its exit status, once it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let running = self.running.as_mut()?;
        running.child.try_wait().expect("a child of ours")
    }

    /// Whether it was started and not ended by this test.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.running.as_ref().expect("it runs").child.id()
    }

    /// Everything it ever logged, over all starts.
    pub fn log(&self) -> String {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The file with the same.
    pub fn log_file(&self) -> &Path {
        &self.launch.log_file
    }

    /// The lines since the last start, as JSON; others are left out.
    pub fn log_lines(&self) -> Vec<Value> {
        self.log()[self.begins..]
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Waits for a line since the last start.
    pub async fn wait_log(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(what, SOON, || async {
            self.log_lines().into_iter().find(|line| wanted(line))
        })
        .await
    }

    /// Where it serves HTTP, once it has said so.
    pub fn http_address(&self) -> Option<String> {
        let starting = self
            .log_lines()
            .into_iter()
            .find(|line| line["message"] == "starting");
        if let Some(line) = starting {
            return line["http"].as_str().map(str::to_owned);
        }
        // In the other log format.
        let log = self.log();
        let (_, rest) = log[self.begins..].split_once(" http=")?;
        rest.split_whitespace().next().map(str::to_owned)
    }

    /// Status and body of a GET, if it answers.
    pub async fn get(&self, path: &str) -> Option<(u16, String)> {
        let address = self.http_address()?;
        let url = format!("http://{address}{path}");
        let answer = self.http.get(url).send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.text().await.ok()?))
    }

    /// Its metrics.
    pub async fn metrics(&self) -> Metrics {
        let (status, text) = self.get("/metrics").await.expect("it serves");
        assert_eq!(status, 200, "{text}");
        Metrics(text)
    }

    /// How much memory it has in use, in KiB (Linux).
    pub fn rss_kib(&self) -> u64 {
        self.memory_kib("VmRSS:")
    }

    /// How much memory it had in use at most since its start, in KiB (Linux).
    pub fn most_memory_kib(&self) -> u64 {
        self.memory_kib("VmHWM:")
    }

    fn memory_kib(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("Linux");
        let line = status.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
            .expect("a line of that name")
    }

    /// The end of its log, for messages.
    pub fn tail(&self, lines: usize) -> String {
        let log = self.log();
        let all: Vec<_> = log.lines().collect();
        let mut text = String::new();
        for line in &all[all.len().saturating_sub(lines)..] {
            let _ = writeln!(text, "  {line}");
        }
        let _ = write!(text, "  ({})", self.launch.log_file.display());
        text
    }
}

impl Running {
    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// What `/metrics` said once.
#[derive(Clone, Debug)]
pub struct Metrics(pub String);

impl Metrics {
    /// The value of a sample as it is spelled, such as `vaultsecret_patched_fields_total{field="value"}`; 0 if there
    /// is none.
    pub fn sample(&self, name: &str) -> f64 {
        self.samples()
            .find(|(sample, _)| *sample == name)
            .map_or(0.0, |(_, value)| value)
    }

    /// The sum over all labels of a sample, such as `vaultsecret_reconcile_total`.
    pub fn sum(&self, name: &str) -> f64 {
        self.samples()
            .filter(|(sample, _)| {
                let rest = sample.strip_prefix(name);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
            })
            .map(|(_, value)| value)
            .sum()
    }

    fn samples(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .filter_map(|(sample, value)| Some((sample, value.parse().ok()?)))
    }
}
