//! The control plane: one for each test process, started at its first use, gone with the process.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, SystemTime},
};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::Deserialize;
use serde_json::Value;

use super::{audit::Audit, operator::Operator};

/// How long the files of a test process that is gone are kept, for whoever wants to read its logs.
const KEPT: Duration = Duration::from_hours(1);

static SHARED: OnceLock<Cluster> = OnceLock::new();

/// A running control plane, with our CustomResourceDefinitions unless it has a node.
#[derive(Debug)]
pub struct Cluster {
    about: About,
    existing: bool,
    files: PathBuf,
    supervisor: Mutex<Supervisor>,
}

/// What the supervisor says of it.
#[derive(Debug, Deserialize)]
struct About {
    kubeconfig: PathBuf,
    kubectl: PathBuf,
    helm: Option<PathBuf>,
    helm3: Option<PathBuf>,
    audit_log: Option<PathBuf>,
}

/// The supervisor ends, and the control plane with it, when its standard input does: with this process,
/// however that ends.
#[derive(Debug)]
struct Supervisor {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// A part of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `etcd`.
    Etcd,
    /// `kube-apiserver`.
    ApiServer,
    /// `kube-controller-manager`.
    ControllerManager,
}

impl Program {
    const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
        }
    }
}

/// A major version of helm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helm {
    /// The one before, which many still have.
    Three,
    /// The newest.
    Four,
}

impl Helm {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Three, Self::Four];
}

/// A program that is away, until [`Outage::end`] or the drop of this.
#[derive(Debug)]
#[must_use = "the outage ends when this is dropped"]
pub struct Outage {
    cluster: &'static Cluster,
    program: Program,
    cure: Option<&'static str>,
}

/// What a command printed.
#[derive(Clone, Debug)]
pub struct Output {
    /// Whether it ended well.
    pub success: bool,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// The standard output of a command that had to end well.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.success, "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// The standard error of a command that had to fail.
    #[track_caller]
    pub fn refused(self) -> String {
        assert!(!self.success, "went well: {}", self.stdout);
        self.stderr
    }
}

impl Cluster {
    /// The control plane of this process. The first run on a machine builds it, which takes minutes and says so.
    pub async fn shared() -> &'static Self {
        blocking(|| {
            SHARED.get_or_init(|| {
                let cluster = Self::start(&[]);
                cluster.install_crds();
                cluster
            })
        })
        .await
    }

    /// One with a node that runs Pods, and has these images. It comes without our CustomResourceDefinitions, and takes
    /// a sandbox; see tests/cluster/README.md.
    pub async fn with_node(images: Vec<PathBuf>) -> &'static Self {
        blocking(move || {
            SHARED.get_or_init(|| {
                let mut args = vec![OsString::from("--node")];
                for image in images {
                    args.extend(["--image".into(), image.into_os_string()]);
                }
                Self::start(&args)
            })
        })
        .await
    }

    fn start(args: &[OsString]) -> Self {
        // kube and reqwest leave the choice to the process; a second call finds it made.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let files = folder();
        let program = build_supervisor(&files);
        let mut process = Command::new(&program)
            .args(["start", "--helm", "--helm3", "--audit-log"])
            .arg(files.join("audit.log"))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the supervisor starts");
        let mut supervisor = Supervisor {
            input: process.stdin.take().expect("piped"),
            output: BufReader::new(process.stdout.take().expect("piped")),
            process,
        };
        let line = supervisor.line();
        let about: About = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("the control plane did not start: {error} {line:?}"));
        // It runs; another process builds its own.
        let _ = fs::remove_file(program);
        Self {
            existing: about.audit_log.is_none(),
            about,
            files,
            supervisor: Mutex::new(supervisor),
        }
    }

    fn install_crds(&self) {
        let crds = vaultsecret_operator::crds::yaml();
        self.run_kubectl(
            &["apply", "--server-side", "--force-conflicts", "-f", "-"],
            &crds,
        )
        .ok();
        let wait = [
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            "-f",
            "-",
        ];
        self.run_kubectl(&wait, &crds).ok();
    }

    /// The kubeconfig of a cluster administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.about.kubeconfig
    }

    /// The program kubectl.
    pub fn kubectl_program(&self) -> &Path {
        &self.about.kubectl
    }

    /// The helm that goes with it, of the newest major version.
    pub fn helm_program(&self) -> &Path {
        self.about.helm.as_deref().expect("helm was asked for")
    }

    /// Helm of that major version.
    pub fn helm_program_of(&self, version: Helm) -> &Path {
        match version {
            Helm::Three => self.about.helm3.as_deref().expect("helm 3 was asked for"),
            Helm::Four => self.helm_program(),
        }
    }

    /// A folder for files of this process; it outlives the process for an hour.
    pub fn files(&self) -> &Path {
        &self.files
    }

    /// The operator of this build as it is now, for the life of this process: a build meanwhile must not replace it
    /// between two starts. A link, never a copy: a copy onto a link of the same file would empty it.
    pub fn operator(&self) -> &Path {
        static KEPT: OnceLock<PathBuf> = OnceLock::new();
        KEPT.get_or_init(|| {
            let program = Operator::program();
            let kept = self.files.join("vaultsecret-operator");
            match fs::hard_link(&program, &kept) {
                Ok(()) => kept,
                // Another file system: as well as it goes.
                Err(_) => program,
            }
        })
    }

    /// Whether this is somebody's own cluster (`USE_EXISTING_CLUSTER`): things have to be cleaned up then.
    pub fn is_existing(&self) -> bool {
        self.existing
    }

    /// A client with all rights. Each test has its own: a client lives on the runtime that made it.
    pub async fn client(&self) -> Client {
        client(self.kubeconfig()).await
    }

    /// The audit log.
    ///
    /// # Panics
    /// An existing cluster's log can't be read.
    pub fn audit(&self) -> Audit {
        let file = self.about.audit_log.clone();
        Audit::new(
            file.expect("needs the audit log, which USE_EXISTING_CLUSTER has not: unset that"),
        )
    }

    /// Runs kubectl as the administrator.
    pub async fn kubectl(&'static self, args: &[&str]) -> Output {
        self.kubectl_with(args, "").await
    }

    /// Runs kubectl as the administrator, with `input`.
    pub async fn kubectl_with(&'static self, args: &[&str], input: &str) -> Output {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        let input = input.to_owned();
        blocking(move || {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            self.run_kubectl(&args, &input)
        })
        .await
    }

    /// Runs helm as the administrator.
    pub async fn helm(&'static self, args: &[&str]) -> Output {
        self.helm_of(Helm::Four, args).await
    }

    /// Runs helm of that major version as the administrator.
    pub async fn helm_of(&'static self, version: Helm, args: &[&str]) -> Output {
        let mut command = Command::new(self.helm_program_of(version));
        command.args(args).env("KUBECONFIG", &self.about.kubeconfig);
        blocking(move || run(&mut command, "")).await
    }

    /// Stops it, and returns once nothing of it runs. Tests leave it to end with their process.
    pub async fn end(&'static self) {
        blocking(|| {
            let mut supervisor = self.supervisor();
            let pid = supervisor.process.id().to_string();
            let _ = Command::new("kill").args(["-TERM", &pid]).status();
            let _ = supervisor.process.wait();
        })
        .await;
    }

    /// Stops a program: what is connected is cut off, and new connections are refused.
    pub async fn stop(&'static self, program: Program) -> Outage {
        self.outage(program, "stop", "start").await
    }

    /// Kills a program with SIGKILL.
    pub async fn kill(&'static self, program: Program) -> Outage {
        self.outage(program, "kill", "start").await
    }

    /// Stops a program's clock: connections are accepted, and nothing answers.
    pub async fn pause(&'static self, program: Program) -> Outage {
        self.outage(program, "pause", "resume").await
    }

    async fn outage(
        &'static self,
        program: Program,
        begin: &'static str,
        cure: &'static str,
    ) -> Outage {
        blocking(move || self.order(begin, program)).await;
        Outage {
            cluster: self,
            program,
            cure: Some(cure),
        }
    }

    fn order(&self, word: &str, program: Program) {
        let mut supervisor = self.supervisor();
        writeln!(supervisor.input, "{word} {}", program.name()).expect("the supervisor listens");
        supervisor.input.flush().expect("the supervisor listens");
        let answer = supervisor.line();
        let ok = serde_json::from_str(&answer).is_ok_and(|answer: Value| answer["ok"] == true);
        assert!(ok, "{word} {}: {answer}", program.name());
    }

    fn supervisor(&self) -> MutexGuard<'_, Supervisor> {
        self.supervisor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The same as [`Cluster::kubectl_with`], for places that can't wait.
    pub(super) fn run_kubectl(&self, args: &[&str], input: &str) -> Output {
        let mut command = Command::new(&self.about.kubectl);
        command
            .arg("--kubeconfig")
            .arg(&self.about.kubeconfig)
            .args(args);
        run(&mut command, input)
    }
}

impl Outage {
    /// Ends the outage; returns once the program serves again.
    pub async fn end(mut self) {
        if let Some(cure) = self.cure.take() {
            let (cluster, program) = (self.cluster, self.program);
            blocking(move || cluster.order(cure, program)).await;
        }
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        if let Some(cure) = self.cure.take() {
            self.cluster.order(cure, self.program);
        }
    }
}

impl Supervisor {
    fn line(&mut self) -> String {
        let mut line = String::new();
        let _ = self.output.read_line(&mut line);
        line
    }
}

/// A client with the rights that a kubeconfig gives.
pub async fn client(kubeconfig: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .expect("a complete kubeconfig");
    config.proxy_url = None;
    Client::try_from(config).expect("a usable kubeconfig")
}

/// Runs what blocks where it holds nobody up.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn run(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    // It reads all of its input before it prints much.
    let mut stdin = child.stdin.take().expect("piped");
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("its output is readable");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Output {
        success: output.status.success(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// Builds the supervisor. Go's cache makes that cheap, and each process has its own copy.
fn build_supervisor(files: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster");
    let program = files.join("cluster");
    let status = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(source)
        .stdin(Stdio::null())
        .status()
        .unwrap_or_else(|error| panic!("go, which builds the control plane: {error}"));
    assert!(status.success(), "tests/cluster does not build");
    program
}

/// A new folder for the files of this process. What earlier ones left is removed after a while.
fn folder() -> PathBuf {
    let all = option_env!("CARGO_TARGET_TMPDIR")
        .map_or_else(env::temp_dir, PathBuf::from)
        .join("vaultsecret-tests");
    let is_old = |path: &Path| {
        let changed = fs::metadata(path).and_then(|folder| folder.modified());
        let age = changed.map(|changed| {
            SystemTime::now()
                .duration_since(changed)
                .unwrap_or_default()
        });
        age.is_ok_and(|age| age > KEPT)
    };
    let runs = |path: &Path| {
        let pid = path
            .file_name()
            .and_then(|name| name.to_str()?.split_once('-'));
        pid.is_some_and(|(_, pid)| Path::new("/proc").join(pid).exists())
    };
    for entry in fs::read_dir(&all).into_iter().flatten().flatten() {
        let path = entry.path();
        if is_old(&path) && !runs(&path) {
            let _ = fs::remove_dir_all(path);
        }
    }
    let started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let name = format!(
        "{}-{}",
        started.unwrap_or_default().as_millis(),
        std::process::id()
    );
    let own = all.join(name);
    fs::create_dir_all(&own).unwrap_or_else(|error| panic!("{}: {error}", own.display()));
    own
}
