//! A real Prometheus, built like the control plane, and promtool.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::SystemTime,
};

use serde::Deserialize;
use tempfile::TempDir;

use crate::support::*;

/// How often it scrapes, and evaluates the rules.
const INTERVAL: &str = "500ms";

/// The programs.
#[derive(Debug, Deserialize)]
pub(super) struct Programs {
    prometheus: PathBuf,
    promtool: PathBuf,
}

impl Programs {
    /// Built by the first who asks on this machine, which takes minutes.
    pub(super) async fn get() -> &'static Self {
        static PROGRAMS: OnceLock<Programs> = OnceLock::new();
        let get = || PROGRAMS.get_or_init(Self::build);
        tokio::task::spawn_blocking(get)
            .await
            .expect("Prometheus is built")
    }

    fn build() -> Self {
        let module = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster");
        let built = Command::new("go")
            .args(["run", "-C", module, ".", "prometheus"])
            .stderr(Stdio::inherit())
            .output()
            .expect("go");
        assert!(built.status.success(), "Prometheus is not built");
        serde_json::from_slice(&built.stdout).expect("one line of JSON")
    }

    /// What promtool says, which has to be content.
    pub(super) fn promtool(&self, args: &[&str], input: &Path) -> String {
        let input = fs::File::open(input).expect("its input");
        let output = Command::new(&self.promtool)
            .args(args)
            .stdin(input)
            .output()
            .expect("promtool");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "promtool {args:?}: {said}");
        said
    }
}

/// A Prometheus that runs until it is dropped.
#[derive(Debug)]
pub(super) struct Prometheus {
    child: Child,
    _guard: Guard,
    folder: TempDir,
    url: String,
    http: reqwest::Client,
    log: Arc<Mutex<String>>,
    began: SystemTime,
}

impl Prometheus {
    /// Starts one that evaluates `rules`, and scrapes nothing so far.
    pub(super) async fn start(rules: &str) -> Self {
        let programs = Programs::get().await;
        let folder = tempfile::tempdir().expect("a folder");
        let config = format!(
            "
global: {{scrape_interval: {INTERVAL}, scrape_timeout: {INTERVAL}, evaluation_interval: {INTERVAL}}}
rule_files: [rules.yaml]
scrape_configs:
  - job_name: operator
    file_sd_configs: [{{files: [targets.json], refresh_interval: 1s}}]
"
        );
        for (name, content) in [
            ("prometheus.yaml", &*config),
            ("rules.yaml", rules),
            ("targets.json", "[]"),
        ] {
            fs::write(folder.path().join(name), content).expect("a file");
        }
        let mut child = Command::new(&programs.prometheus)
            .arg("--config.file=prometheus.yaml")
            .args([
                "--storage.tsdb.path=data",
                "--web.listen-address=127.0.0.1:0",
            ])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("Prometheus");
        let guard = Guard::of(child.id());
        let lines = BufReader::new(child.stderr.take().expect("piped"));
        let log = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                let _ = writeln!(kept, "{line}");
            }
        });
        let said = || log.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let address = eventually("Prometheus listens", SOON, || async {
            let said = said();
            let mut lines = said.lines();
            let line = lines.find(|line| line.contains(r#"msg="Listening on""#))?;
            Some(line.rsplit_once(" address=")?.1.to_owned())
        })
        .await;
        let http = reqwest::Client::builder().no_proxy().build();
        let prometheus = Self {
            child,
            _guard: guard,
            folder,
            url: format!("http://{address}"),
            http: http.expect("a client without TLS to set up"),
            log,
            began: SystemTime::now(),
        };
        eventually("Prometheus is ready", SOON, || async {
            let ready = format!("{}/-/ready", prometheus.url);
            let answer = prometheus.http.get(ready).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        prometheus
    }

    /// Scrapes these operators from now on, of that namespace.
    pub(super) fn scrape<'a>(
        &self,
        namespace: &str,
        operators: impl IntoIterator<Item = &'a Operator>,
    ) {
        let addresses = operators.into_iter().map(Operator::http_address);
        let targets: Vec<_> = addresses.map(|it| it.expect("it serves")).collect();
        let targets = json!([{"targets": targets, "labels": {"namespace": namespace}}]);
        // In one step: it reads the file when it changes.
        let (new, file) = (
            self.folder.path().join("new.json"),
            self.folder.path().join("targets.json"),
        );
        fs::write(&new, targets.to_string()).expect("a file");
        fs::rename(new, file).expect("a file");
    }

    /// `data` of an answer of its API.
    pub(super) async fn ask(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let url = format!("{}/api/v1/{path}", self.url);
        let url = reqwest::Url::parse_with_params(&url, query).expect("an address");
        let answer = self.http.get(url).send().await.expect("it answers");
        let mut answer: Value = answer
            .text()
            .await
            .map(|text| serde_json::from_str(&text).expect("JSON"))
            .expect("an answer");
        assert_eq!(answer["status"], "success", "{path} {query:?}: {answer}");
        answer["data"].take()
    }

    /// What `query` gives now: labels and value of each series.
    pub(super) async fn now(&self, query: &str) -> Vec<(Value, f64)> {
        let mut data = self.ask("query", &[("query", query)]).await;
        let result = data["result"].as_array_mut().map(std::mem::take);
        let value = |sample: &Value| sample["value"][1].as_str()?.parse().ok();
        let series = |mut sample: Value| (sample["metric"].take(), value(&sample));
        let all = result.unwrap_or_default().into_iter().map(series);
        all.map(|(labels, value)| (labels, value.expect("a value")))
            .collect()
    }

    /// The series that `query` gave since it was started, with their values that are numbers.
    pub(super) async fn ever(&self, query: &str) -> Vec<(Value, Vec<f64>)> {
        let time = |at: SystemTime| {
            let since = at.duration_since(SystemTime::UNIX_EPOCH);
            since.expect("after 1970").as_secs_f64().to_string()
        };
        let range = [
            ("query", query),
            ("start", &time(self.began)),
            ("end", &time(SystemTime::now())),
            ("step", "1"),
        ];
        let mut data = self.ask("query_range", &range).await;
        let result = data["result"].as_array_mut().map(std::mem::take);
        let series = |mut series: Value| {
            let values = series["values"].as_array().into_iter().flatten();
            let values = values.filter_map(|value| value[1].as_str()?.parse::<f64>().ok());
            let values = values.filter(|value| value.is_finite()).collect();
            (series["metric"].take(), values)
        };
        result.unwrap_or_default().into_iter().map(series).collect()
    }

    /// Waits until an alert of that name fires; all that do then.
    pub(super) async fn fires(&self, name: &str) -> Vec<Value> {
        eventually(&format!("{name} fires"), 2 * SOON, || async {
            let mut data = self.ask("alerts", &[]).await;
            let alerts = data["alerts"].as_array_mut().map(std::mem::take)?;
            let firing =
                |alert: &Value| alert["labels"]["alertname"] == name && alert["state"] == "firing";
            let alerts: Vec<_> = alerts.into_iter().filter(firing).collect();
            (!alerts.is_empty()).then_some(alerts)
        })
        .await
    }

    /// What it complained about.
    pub(super) fn complaints(&self) -> Vec<String> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let complains = |line: &&str| line.contains("level=WARN") || line.contains("level=ERROR");
        log.lines()
            .filter(complains)
            .map(ToOwned::to_owned)
            .collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
