//! One step after the other, with a new canary for each, and a search behind it.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use nairi_sim::FaultHandle;
use vaultsecret_operator::{api::ConnectionKind, fingerprint::keeper};

use super::{
    search::{Search, canary},
    watched::{VAULT_SECRETS, Watched, get},
};
use crate::support::*;

/// The object that most steps are about; its Secret is `source`, key `key`.
pub(super) const OBJECT: &str = "token";

/// A world, its canaries, and the search for them.
pub(super) struct Canary {
    /// The world.
    pub(super) world: World,
    /// The remote secret of [`OBJECT`].
    pub(super) id: String,
    search: Search,
    watched: Watched,
}

impl Canary {
    /// [`OBJECT`] in sync, its Secret and the API key's made by client-side `kubectl apply`.
    pub(super) async fn start(setup: Setup, api_key: &str) -> Self {
        Self::start_with(setup, Options::tls(), api_key).await
    }

    /// The same with such a simulator.
    pub(super) async fn start_with(setup: Setup, options: Options, api_key: &str) -> Self {
        let options = Options {
            api_key: Some(api_key.to_owned()),
            ..options
        };
        let setup = setup.options(options).log_filter("trace");
        let mut watched = Watched::default();
        let setup = watched.traced(setup).await;
        let world = setup.start().await;
        let id = world.remote("TOKEN", "old", &["api.example.com"]);
        let mut canary = Self {
            world,
            id,
            search: Search::default(),
            watched,
        };
        canary.search.add("API key", api_key.as_bytes());
        let fingerprint_key = canary.fingerprint_key().await;
        canary.also("fingerprint key", &fingerprint_key);
        canary.apply_key(api_key).await;
        let value = canary.value("first value");
        canary.apply(&value).await;
        let declared = canary.world.vault_secret(OBJECT).env_key("TOKEN");
        let declared = declared.value_from("source", "key");
        canary
            .world
            .create(declared.domains(["api.example.com"]))
            .await;
        canary.in_vault(&value).await;
        canary.quiet("the first sync").await;
        canary
    }

    async fn fingerprint_key(&self) -> Vec<u8> {
        let secrets: Api<Secret> = Api::namespaced(self.world.client.clone(), &self.world.system);
        let secret = secrets.get(keeper::SECRET).await.expect("it was made");
        let data = secret.data.expect("it holds a key");
        data["key"].0.clone()
    }

    /// A new value to look for.
    pub(super) fn value(&mut self, name: &str) -> String {
        let value = canary();
        self.search.add(name, value.as_bytes());
        value
    }

    /// Looks for that, too.
    pub(super) fn also(&mut self, name: &str, secret: &[u8]) {
        self.search.add(name, secret);
    }

    /// Puts `value` into the Secret by client-side apply, which keeps all of it in an annotation.
    pub(super) async fn apply(&self, value: &str) {
        let namespace = &self.world.namespace;
        self.apply_secret(namespace, ("source", "key"), value).await;
    }

    /// The same for the API key.
    pub(super) async fn apply_key(&self, key: &str) {
        let namespace = self.world.key_namespace();
        self.apply_secret(namespace, API_KEY_SECRET, key).await;
    }

    async fn apply_secret(&self, namespace: &str, (name, key): (&str, &str), value: &str) {
        let manifest = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "stringData": {key: value},
        });
        let (cluster, manifest) = (self.world.cluster, manifest.to_string());
        let applied = cluster.kubectl_with(&["apply", "-f", "-"], &manifest).await;
        applied.ok();
    }

    /// Waits until the vault holds `value`, and the status says so.
    pub(super) async fn in_vault(&self, value: &str) {
        eventually("the value reaches the vault", SOON, || async {
            (self.world.sim.value(&self.id)? == value).then_some(())
        })
        .await;
        self.world.synced(OBJECT).await;
    }

    /// Whatever secrets there are, none is anywhere.
    pub(super) async fn quiet(&mut self, after: &str) {
        let found = self.watched.find(&self.world, &self.search).await;
        assert!(found.is_none(), "after {after}: {found:#?}");
    }

    /// The same, and what `kubectl describe` shows.
    pub(super) async fn described(&mut self, after: &str) {
        self.quiet(after).await;
        let connection = match self.world.connection.kind {
            ConnectionKind::VaultConnection => "vaultconnection",
            ConnectionKind::ClusterVaultConnection => "clustervaultconnection",
        };
        for what in [
            ["vaultsecret", OBJECT],
            [connection, &self.world.connection.name],
        ] {
            let describe = ["describe", what[0], what[1]];
            let shown = self.world.kubectl(&describe).await.ok();
            assert!(shown.contains("Type:"), "{shown}");
            let found = self.search.find(shown.as_bytes());
            assert!(found.is_none(), "described after {after}: {found:#?}");
        }
    }

    /// The same as [`Canary::quiet`], and the whole log once more.
    pub(super) async fn quiet_throughout(&mut self) {
        let found = self.watched.find_anew(&self.world, &self.search).await;
        assert!(found.is_none(), "at the end: {found:#?}");
    }

    /// Rotates the value into `fault`, made of it; waits for `reason`, and searches. Then puts it right.
    pub(super) async fn fault(
        &mut self,
        what: &str,
        reason: &str,
        fault: impl FnOnce(&str) -> Fault,
    ) {
        let value = self.value(what);
        let fault = self
            .world
            .sim
            .fault(fault(&value).secret(&self.id).writes());
        self.apply(&value).await;
        self.met(&fault).await;
        self.world.reason(OBJECT, reason).await;
        self.described(what).await;
        fault.remove();
        self.cure(what).await;
    }

    /// A new value, that goes well.
    pub(super) async fn cure(&mut self, after: &str) {
        let value = self.value(&format!("value after {after}"));
        self.apply(&value).await;
        self.in_vault(&value).await;
        self.quiet(&format!("the cure of {after}")).await;
    }

    /// Waits until a fault was met.
    pub(super) async fn met(&self, fault: &FaultHandle) {
        let met = fault.wait_fired(1, SOON).await;
        assert!(met.is_ok(), "{met:?}:\n{}", self.world.operator.tail(20));
    }

    /// The search finds what is there to be found: in what was sent, in the Secret, and in a log with a leak in it.
    pub(super) async fn found_where_it_is(&mut self) {
        let sent = self.world.sim.log().all();
        let value = sent
            .iter()
            .find_map(|entry| self.search.find(&entry.body))
            .expect("a value was sent");
        assert_eq!(value.secret, "first value");
        let key = sent
            .iter()
            .find_map(|entry| self.search.find(entry.header("authorization")?.as_bytes()))
            .expect("a key was sent");
        assert_eq!(key.secret, "API key");
        let path = format!("/api/v1/namespaces/{}/secrets/source", self.world.namespace);
        let secret = get(&self.world, &path).await;
        assert!(self.search.find(&secret).is_some(), "the Secret holds one");

        let leak = self.value("leaked on purpose");
        let domains = [leak.as_str()];
        let object = self
            .world
            .vault_secret("leak")
            .secret_id("sec_leak")
            .suspended();
        let object = object.with(|object| {
            let annotations = object.metadata.annotations.get_or_insert_default();
            annotations.insert("leak".to_owned(), json!(domains).to_string());
            object.spec.allowed_domains = Some(vec!["api.example.com".to_owned()]);
        });
        self.world.create(object).await;
        let found = self.watched.find(&self.world, &self.search).await;
        let (place, found) = found.expect("it is in an object");
        assert!(place.ends_with(VAULT_SECRETS), "{place}");
        assert_eq!(found.secret, "leaked on purpose");
        self.world.delete("leak").await;
        self.world.gone("leak").await;
    }
}
