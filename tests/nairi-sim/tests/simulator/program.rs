//! The program: its first line, its log, its end.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use reqwest::Certificate;
use serde_json::{Value, json};

use crate::world::builder;

struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    first: Value,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_nairi-sim"))
            .arg("--until-stdin-closes")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let stdin = child.stdin.take();
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let first = lines.next().expect("a first line").expect("text");
        let first = serde_json::from_str(&first).expect("JSON");
        Self {
            child,
            stdin,
            lines,
            first,
        }
    }

    fn text(&self, name: &str) -> &str {
        self.first[name].as_str().expect("a string")
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("a line").expect("text")
    }

    /// Closes stdin, and waits for a clean end.
    fn end(mut self) {
        drop(self.stdin.take());
        assert!(self.child.wait().expect("it ends").success());
        assert!(self.lines.next().is_none(), "nothing more was printed");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn it_says_where_it_is_and_ends_with_stdin() {
    let program = Program::start(&[]);
    let client = builder().build().expect("a client");
    let vault = program.first["vaults"][0].as_str().expect("an id");
    let url = format!(
        "{}/api/public/v1/vaults/{vault}/secrets",
        program.text("url")
    );
    let response = client
        .get(url)
        .bearer_auth(program.text("api_key"))
        .send()
        .await
        .expect("answered");
    assert_eq!(response.json::<Value>().await.expect("JSON"), json!([]));
    program.end();
}

#[tokio::test]
async fn it_logs_field_names_and_never_values() {
    let arguments = [
        "--api-key",
        "nr_one",
        "--api-key",
        "nr_two",
        "--vault",
        "vlt_a=prod",
        "--secret",
        "vlt_b/sec_b/KEY",
    ];
    for format in ["--log", "--log=json"] {
        let mut program = Program::start(&[&arguments[..], &[format]].concat());
        assert_eq!(program.first["vaults"], json!(["vlt_a", "vlt_b"]));
        assert_eq!(program.text("api_key"), "nr_one");
        let client = builder().build().expect("a client");
        let path = "/api/public/v1/vaults/vlt_b/secrets/sec_b";
        let request = client
            .patch(format!("{}{path}", program.text("url")))
            .bearer_auth("nr_two");
        let body = json!({"value": "canary", "allowed_domains": ["a.com"]});
        assert_eq!(
            request.json(&body).send().await.expect("answered").status(),
            200
        );
        let line = program.line();
        assert!(!line.contains("canary") && !line.contains("nr_"), "{line}");
        if format == "--log" {
            let rest = line.strip_prefix(&format!("PATCH {path} {{allowed_domains,value}} 200 "));
            assert!(
                rest.is_some_and(|rest| rest.ends_with("ms applied")),
                "{line}"
            );
        } else {
            let line: Value = serde_json::from_str(&line).expect("JSON");
            assert_eq!(
                (&line["method"], &line["path"]),
                (&json!("PATCH"), &json!(path))
            );
            assert_eq!(
                (&line["fields"], &line["status"]),
                (&json!(["allowed_domains", "value"]), &json!(200))
            );
            assert!(line["milliseconds"].is_f64());
        }
        program.end();
    }
}

#[tokio::test]
async fn it_serves_https_and_reads_a_seed_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let seed = folder.path().join("seed.json");
    let vaults = json!([{"id": "vlt_s", "secrets": [{"id": "sec_s", "env_key": "K", "value": "v", "allowed_domains": ["a.com"]}]}]);
    std::fs::write(&seed, vaults.to_string()).expect("written");
    let tls = folder.path().join("tls");
    let program = Program::start(&[
        "--tls-dir",
        tls.to_str().expect("a path"),
        "--seed",
        seed.to_str().expect("a path"),
        "--latency",
        "1ms",
    ]);
    let pem = std::fs::read(program.text("ca")).expect("the CA");
    let client = builder()
        .tls_certs_only([Certificate::from_pem(&pem).expect("a PEM")])
        .build()
        .expect("a client");
    let url = program.text("url");
    assert!(url.starts_with("https://"));
    let response = client
        .get(format!("{url}/sim/secrets/sec_s"))
        .send()
        .await
        .expect("answered");
    let stored: Value = response.json().await.expect("JSON");
    assert_eq!(
        (&stored["value"], &stored["allowed_domains"]),
        (&json!("v"), &json!(["a.com"]))
    );
    program.end();
}

#[test]
fn it_ends_on_sigterm_and_sigint() {
    for signal in ["TERM", "INT"] {
        let mut program = Program::start(&[]);
        let mut stdin = program.stdin.take().expect("piped");
        stdin.write_all(b"still here\n").expect("it reads");
        let pid = program.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", signal, &pid])
                .status()
                .expect("kill")
                .success()
        );
        assert!(program.child.wait().expect("it ends").success());
    }
}

#[test]
fn it_says_what_is_wrong() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_nairi-sim"))
            .args(arguments)
            .output()
            .expect("it runs");
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (fine, text) = run(&["--secret", "nonsense"]);
    assert!(
        !fine && text.contains("expected VAULT/SECRET_ID/ENV_KEY"),
        "{text}"
    );
    let (fine, text) = run(&["--secret", "v/s/A", "--secret", "v/s/B"]);
    assert!(!fine && text.contains("taken"), "{text}");
}
