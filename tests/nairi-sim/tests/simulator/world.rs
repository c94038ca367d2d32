//! What the tests share: a client, and a simulator with one secret.

use std::time::Duration;

use nairi_sim::{BASE, NewSecret, NewVault, Options, Sim};
use reqwest::{Client, ClientBuilder, Method, RequestBuilder, Response, redirect};
use serde_json::Value;

/// How long a test waits for what must come.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// How long a test lets a client wait for what must not come.
pub(crate) const NEVER: Duration = Duration::from_millis(300);

/// A simulator with one vault and one secret, and a client.
pub(crate) struct World {
    pub(crate) sim: Sim,
    pub(crate) vault: String,
    pub(crate) secret: String,
    pub(crate) client: Client,
}

/// A client as the operator builds its own.
pub(crate) fn builder() -> ClientBuilder {
    // A second call finds it installed, which is as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
}

/// A secret to begin with.
pub(crate) fn new_secret(env_key: &str) -> NewSecret {
    NewSecret::new(env_key, "first", &["api.example.com"])
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let sim = Sim::start(options).await;
        let vault = sim.add_vault(NewVault::default());
        let secret = sim.add_secret(&vault, new_secret("TOKEN"));
        let mut client = builder();
        if let Some(pem) = sim.ca_pem() {
            let ca = reqwest::Certificate::from_pem(pem.as_bytes()).expect("a PEM");
            client = client.tls_certs_only([ca]);
        }
        Self {
            sim,
            vault,
            secret,
            client: client.build().expect("a client"),
        }
    }

    pub(crate) fn list_path(&self) -> String {
        format!("{BASE}/vaults/{}/secrets", self.vault)
    }

    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.list_path(), self.secret)
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        self.client
            .request(method, format!("{}{path}", self.sim.url()))
            .bearer_auth(self.sim.api_key())
    }

    pub(crate) fn patching(&self, body: &Value) -> RequestBuilder {
        self.request("PATCH", &self.path()).json(body)
    }

    pub(crate) async fn patch(&self, body: Value) -> (u16, Value) {
        read(self.patching(&body).send().await.expect("an answer")).await
    }

    pub(crate) async fn post(&self, body: Value) -> (u16, Value) {
        read(
            self.request("POST", &self.list_path())
                .json(&body)
                .send()
                .await
                .expect("an answer"),
        )
        .await
    }

    pub(crate) async fn list(&self) -> Vec<Value> {
        let (status, list) = self.get(&self.list_path()).await;
        assert_eq!(status, 200);
        list.as_array().expect("a bare array").clone()
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        read(self.request("GET", path).send().await.expect("an answer")).await
    }

    pub(crate) async fn delete(&self, path: &str) -> u16 {
        self.request("DELETE", path)
            .send()
            .await
            .expect("an answer")
            .status()
            .as_u16()
    }
}

/// Status and JSON body; null where there is none.
pub(crate) async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or_default())
}
