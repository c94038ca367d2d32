//! All that the operator shows, searched.

use std::{collections::HashMap, fs, io::ErrorKind};

use super::search::{Found, Search};
#[cfg(feature = "otel")]
use crate::support::Collector;
use crate::support::{Setup, World};

/// What the operator writes or could write to. Secrets are not among them: there the values are.
const CLUSTER_WIDE: [&str; 2] = [
    "/apis/nairi.ai/v1alpha1/clustervaultconnections",
    "/api/v1/namespaces",
];

/// The same in the namespaces of a world, and in `default`, where events about what has no namespace are. What other
/// worlds of this process have is searched by their tests.
const IN_A_NAMESPACE: [(&str, &str); 6] = [
    ("/apis/nairi.ai/v1alpha1", VAULT_SECRETS),
    ("/apis/nairi.ai/v1alpha1", "vaultconnections"),
    ("/apis/events.k8s.io/v1", "events"),
    ("/api/v1", "events"),
    ("/api/v1", "configmaps"),
    ("/apis/coordination.k8s.io/v1", "leases"),
];

pub(super) const VAULT_SECRETS: &str = "vaultsecrets";

/// The places, and how far the growing ones were searched.
#[derive(Debug, Default)]
pub(super) struct Watched {
    searched: HashMap<&'static str, usize>,
    /// Where the operator sends its traces.
    #[cfg(feature = "otel")]
    pub(super) collector: Option<Collector>,
}

impl Watched {
    /// The operator of that world sends its traces here, where it can.
    #[cfg(feature = "otel")]
    pub(super) async fn traced(&mut self, setup: Setup) -> Setup {
        let collector = Collector::start().await;
        let setup = setup
            .flag(&format!("--otlp-endpoint={}", collector.url()))
            .env("OTEL_BSP_SCHEDULE_DELAY", "100");
        self.collector = Some(collector);
        setup
    }

    /// The operator of this build can't send traces.
    #[cfg(not(feature = "otel"))]
    #[expect(clippy::unused_async, reason = "as with the feature")]
    pub(super) async fn traced(&mut self, setup: Setup) -> Setup {
        setup
    }

    /// The first secret that is anywhere.
    pub(super) async fn find(&mut self, world: &World, search: &Search) -> Option<(String, Found)> {
        for (place, text) in self.places(world).await {
            if let Some(found) = search.find(&text) {
                return Some((place, found));
            }
        }
        None
    }

    /// Everything, from the beginning.
    pub(super) async fn find_anew(
        &mut self,
        world: &World,
        search: &Search,
    ) -> Option<(String, Found)> {
        self.searched.clear();
        self.find(world, search).await
    }

    async fn places(&mut self, world: &World) -> Vec<(String, Vec<u8>)> {
        let mut places = Vec::new();
        let log = world.operator.log().into_bytes();
        places.push(("the log".to_owned(), self.unsearched("log", &log)));
        #[cfg(feature = "otel")]
        if let Some(collector) = &self.collector {
            let traces = self.unsearched("traces", &collector.received());
            places.push(("the traces".to_owned(), traces));
        }
        if !world.cluster.is_existing() {
            let audit = fs::read(world.cluster.files().join("audit.log")).expect("the audit log");
            let audit = of_operator(world, &self.unsearched("audit", &audit));
            places.push(("the API server's audit log".to_owned(), audit));
        }
        let spaces = [&*world.namespace, &*world.system, "default"];
        let namespaced = IN_A_NAMESPACE.into_iter().flat_map(|(group, kind)| {
            spaces.map(|namespace| format!("{group}/namespaces/{namespace}/{kind}"))
        });
        for path in CLUSTER_WIDE
            .map(str::to_owned)
            .into_iter()
            .chain(namespaced)
        {
            let text = get(world, &path).await;
            places.push((path, text));
        }
        if world.operator.is_running() {
            for path in ["/metrics", "/readyz", "/livez"] {
                let (_, text) = world.operator.get(path).await.expect("it serves");
                places.push((path.to_owned(), text.into_bytes()));
            }
            for file in ["environ", "cmdline"] {
                let file = format!("/proc/{}/{file}", world.operator.pid());
                let text = match fs::read(&file) {
                    // Root alone may see the environment.
                    Err(error) if error.kind() == ErrorKind::PermissionDenied => continue,
                    text => text.expect("Linux"),
                };
                assert!(!text.is_empty(), "{file}");
                places.push((file, text));
            }
        }
        places
    }

    /// What was not searched so far, with a part of what was: something may stand across the border.
    fn unsearched(&mut self, place: &'static str, text: &[u8]) -> Vec<u8> {
        let from = self.searched.insert(place, text.len()).unwrap_or(0);
        text[from.saturating_sub(1024)..].to_vec()
    }
}

/// Of an audit log, what the operator of this world asked for.
fn of_operator(world: &World, audit: &[u8]) -> Vec<u8> {
    let lines = String::from_utf8_lossy(audit);
    let own = lines.lines().filter(|line| line.contains(&world.user));
    own.collect::<Vec<_>>().join("\n").into_bytes()
}

/// An object or a list, as JSON with everything in it.
pub(super) async fn get(world: &World, path: &str) -> Vec<u8> {
    let request = http::Request::get(path).body(Vec::new()).expect("a path");
    let text = world.client.request_text(request).await;
    text.unwrap_or_else(|error| panic!("{path}: {error}"))
        .into_bytes()
}
