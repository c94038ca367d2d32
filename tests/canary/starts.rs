//! A start that fails: what it was given is not quoted where it could hold a credential.

use std::{fs, process::Command};

use serde_json::json;

use super::search::{Search, canary_key};
use crate::support::Operator;

/// What the program says of a kubeconfig, and of an address of the API; it must not start.
fn refused(kubeconfig: &str, api_url: &str, search: &Search) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("kubeconfig");
    fs::write(&file, kubeconfig).expect("a file");
    let output = Command::new("timeout")
        .arg("20")
        .arg(Operator::program())
        .args(["--log-filter=trace", "--http-addr=127.0.0.1:0"])
        .arg(format!("--api-url={api_url}"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("KUBECONFIG", file)
        .output()
        .expect("it runs");
    assert!(!output.status.success());
    assert_eq!(search.find(&output.stdout), None);
    assert_eq!(search.find(&output.stderr), None, "{api_url}");
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn a_start_that_fails_quotes_no_credential() {
    let secret = canary_key();
    let word = &secret[..14];
    let mut search = Search::default();
    search.add("credential", secret.as_bytes());
    let nairi = "https://api.nairi.ai";

    let token = json!(secret);
    for broken in [
        format!("users: [{{name: a, user: {{token: {token}, client-key-data: [{token}]}}}}]"),
        format!("users: [{{name: a, user: {{token: [{token}]}}}}]"),
        format!("users:\n- name: a\n  user:\n    token: {word}\n   : :"),
        secret.clone(),
    ] {
        let said = refused(&broken, nairi, &search);
        assert!(said.contains("no way to reach Kubernetes"), "{said}");
    }

    let kubeconfig = |proxy: Option<String>| {
        let cluster = json!({"server": "http://127.0.0.1:1", "proxy-url": proxy});
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "a", "cluster": cluster}],
            "users": [{"name": "a", "user": {"token": secret}}],
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "current-context": "a",
        })
        .to_string()
    };
    let proxy = format!("socks5://me:{word}@127.0.0.1:1");
    let said = refused(&kubeconfig(Some(proxy)), nairi, &search);
    assert!(said.contains("proxy"), "{said}");

    for address in [
        format!("https://me:{word}@api.nairi.ai"),
        format!("https://api.nairi.ai?key={word}"),
        format!("{word}://api.nairi.ai"),
        format!("http://{word}.example.com"),
    ] {
        let said = refused(&kubeconfig(None), &address, &search);
        assert!(said.contains("the API's address"), "{said}");
    }
}
