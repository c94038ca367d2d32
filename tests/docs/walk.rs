//! docs/getting-started.md and docs/operations.md, read from top to bottom by somebody who pastes each block of
//! commands into one shell, against the installation that the commands themselves make.

use regex::Regex;

use super::{document, node::Node, section, shell::Shell};
use crate::support::*;

const VAULT: &str = "vlt_01KQ27AQH800XQTQPJZ0DH14SJ";

const FIRST: &str = "postgresql://app:first@db.example.com/app";
const SECOND: &str = "postgresql://app:second@db.example.com/app";

/// The blocks that can't be run here, by how they begin, and why.
const NOT_HERE: [(&str, &str); 4] = [
    ("docker build ", "needs docker"),
    (
        "make image\n",
        "takes minutes; it is tried with the image's own tests",
    ),
    ("kind load ", "needs docker, and a cluster of kind's"),
    ("docker push ", "needs docker, and a registry"),
];

/// A block of a document, with its language.
struct Block {
    language: String,
    text: String,
}

/// A reader in front of an empty cluster.
struct Reader {
    sim: Sim,
    namespace: String,
    system: String,
    shell: Shell,
    cluster: &'static Cluster,
    _node: Node,
}

/// A document as this reader takes it, and the titles of the sections that were followed.
struct Page {
    text: String,
    followed: Vec<&'static str>,
}

impl Reader {
    async fn new() -> Self {
        let cluster = Cluster::shared().await;
        let sim = Sim::start(Options::default()).await;
        sim.add_vault(NewVault {
            id: Some(VAULT.to_owned()),
            ..NewVault::default()
        });
        let namespace = format!("docs-{:08x}", fastrand::u32(..));
        let system = format!("{namespace}-system");
        let node = Node::start(cluster, &system, sim.url()).await;
        let own = cluster.files().join(&namespace);
        Self {
            shell: Shell::new(cluster, &own, node.logs()),
            sim,
            namespace,
            system,
            cluster,
            _node: node,
        }
    }

    /// The document with the names of this reader's namespaces. Others share the cluster: the
    /// CustomResourceDefinitions are there, and nobody's.
    fn page(&self, path: &str) -> Page {
        let install = "helm upgrade --install vaultsecret-operator charts/vaultsecret-operator";
        let text = document(path)
            .replace("vaultsecret-system", &self.system)
            .replace("payments", &self.namespace)
            .replace(install, &format!("{install} --set crds.enabled=false"));
        Page {
            text,
            followed: Vec::new(),
        }
    }

    /// Runs all blocks of a section. `input` is what is typed into commands that ask for it.
    async fn follow(&self, page: &mut Page, title: &'static str, input: &str) {
        page.followed.push(title);
        self.run(section(&page.text, title), input).await;
    }

    /// Runs all blocks of a part of a document, and holds what they print against what it says.
    async fn run(&self, part: &str, input: &str) {
        let mut said = String::new();
        for Block { language, text } in blocks(part) {
            match &*language {
                "sh" if NOT_HERE.iter().any(|(begin, _)| text.starts_with(begin)) => {}
                "sh" => said = self.shell.run(&text, input).await,
                "console" => {
                    // What comes before it is left out: helm has much to say.
                    let (said, text) = (stable(&said), stable(&text));
                    assert!(said.ends_with(&text), "{said}\n\n{text}");
                }
                other => panic!("nobody tries a block of {other:?}: {text}"),
            }
        }
    }

    /// What was sent to Nairi that may have changed something, since `mark`.
    fn wrote(&self, mark: nairi_sim::Mark) -> Vec<Sent> {
        let entries = self.sim.log().since(mark).writes();
        entries.iter().map(|entry| Sent::from(&**entry)).collect()
    }

    fn secret(&self, env_key: &str) -> nairi_sim::Stored {
        let all = self.sim.secrets(VAULT);
        let found = all.into_iter().find(|secret| secret.env_key == env_key);
        found.unwrap_or_else(|| panic!("no {env_key} in the vault"))
    }

    /// From nothing to a secret that is in sync.
    async fn install(&self) -> Page {
        let mut page = self.page("docs/getting-started.md");
        let (before, _) = page.text.split_once("\n## ").expect("sections");
        self.run(before, "").await;
        for title in [
            "## 1. Build the image",
            "## 2. Install the operator",
            "## 3. Give it an API key",
            "## 4. Say who may use it for what",
            "## 5. Declare a secret",
        ] {
            self.follow(&mut page, title, self.sim.api_key()).await;
        }
        page
    }
}

impl Page {
    /// Nothing of it was left out.
    fn is_done(&self) {
        let titles = self.text.lines().filter(|line| line.starts_with("## "));
        assert_eq!(self.followed, titles.collect::<Vec<_>>());
    }
}

fn blocks(part: &str) -> Vec<Block> {
    let mut all: Vec<Block> = Vec::new();
    let mut within = false;
    for line in part.lines() {
        if let Some(language) = line.strip_prefix("```") {
            within = !within;
            if within {
                all.push(Block {
                    language: language.to_owned(),
                    text: String::new(),
                });
            }
        } else if within && let Some(block) = all.last_mut() {
            block.text.push_str(line);
            block.text.push('\n');
        }
    }
    all
}

/// What is the same each time: not times, ages, new ids, nor the width of columns.
fn stable(text: &str) -> String {
    let mut text = text.to_owned();
    for (pattern, word) in [
        (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
        (r"\bsec_\w+", "SECRET"),
        (r"\b(\d+[smh])+\b", "AGE"),
        (r"[ \t]+", " "),
    ] {
        let pattern = Regex::new(pattern).expect("a pattern");
        text = pattern.replace_all(&text, word).into_owned();
    }
    let lines = text.lines().map(str::trim_end);
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn getting_started() {
    let _default = super::DEFAULT_CONNECTION.lock().await;
    let reader = Reader::new().await;
    let begin = reader.sim.mark();
    let mut page = reader.install().await;
    let secret = reader.secret("GETTING_STARTED_URL");
    let created = json!({
        "env_key": "GETTING_STARTED_URL",
        "value": FIRST,
        "allowed_domains": ["db.example.com"],
    });
    assert_eq!(reader.wrote(begin), [post(VAULT, created)]);

    let rotated = reader.sim.mark();
    reader.follow(&mut page, "## 6. Rotate it", "").await;
    let value = patch(&secret.id, json!({"value": SECOND}));
    let domains = json!({"allowed_domains": ["db.example.com", "*.example.net"]});
    let expected = [value, patch(&secret.id, domains)];
    assert_eq!(reader.wrote(rotated), expected);
    reader
        .follow(&mut page, "## 7. Look at what it did", "")
        .await;

    let cleaned = reader.sim.mark();
    reader.follow(&mut page, "## 8. Clean up", "").await;
    assert_eq!(reader.wrote(cleaned), [delete(&secret.id)]);
    reader.follow(&mut page, "## From here", "").await;
    page.is_done();
    for (begin, why) in NOT_HERE {
        let left_out = |block: &Block| block.text.starts_with(begin);
        assert!(
            blocks(&page.text).iter().any(left_out),
            "{begin:?} {why}, and is not there"
        );
    }
}

#[tokio::test]
async fn operations() {
    let _default = super::DEFAULT_CONNECTION.lock().await;
    let reader = Reader::new().await;
    reader.install().await;
    let mut page = reader.page("docs/operations.md");
    without_a_write(&reader, &mut page).await;
    forced(&reader, &mut page).await;
    taken_over(&reader, &mut page).await;

    let last = reader.sim.mark();
    for title in ["## Raise its limits", "## Log levels"] {
        reader.follow(&mut page, title, "").await;
    }
    let get = ["get", "deployment", "vaultsecret-operator", "-o", "yaml"];
    let get = [&get[..], &["-n", &reader.system]].concat();
    let deployment = reader.cluster.kubectl(&get).await.ok();
    for part in [
        "--api-concurrency=32",
        "--concurrency=64",
        "--log-filter=info,vaultsecret_operator=debug",
        "memory: 512Mi",
    ] {
        assert!(deployment.contains(part), "{part}: {deployment}");
    }
    for title in [
        "## What to collect for a bug report",
        "## Backup and restore",
        "## Move the operator to another namespace",
        "## Uninstall",
    ] {
        reader.follow(&mut page, title, "").await;
    }
    assert_eq!(reader.wrote(last), [], "nothing of this sends anything");
    page.is_done();

    // Others' operators would see its connection.
    let connection = ["delete", "clustervaultconnection", "default"];
    reader.cluster.kubectl(&connection).await.ok();
}

/// An upgrade, a takeover, another API key, a pause: nothing is written to Nairi.
async fn without_a_write(reader: &Reader, page: &mut Page) {
    let begin = reader.sim.mark();
    for title in [
        "## Install",
        "## Upgrade",
        "## Roll back",
        "## Two replicas",
    ] {
        reader.follow(page, title, "").await;
    }
    let (old, next) = (reader.sim.api_key(), "nr_the-next-one");
    reader.sim.add_key(next);
    reader.follow(page, "## Rotate the API key", next).await;
    let is_used = || async {
        let all = reader.sim.log().all();
        let key = all.iter().next_back()?.header("authorization")?;
        key.ends_with(next).then_some(())
    };
    eventually("the new key is tried", SOON, is_used).await;
    reader.sim.revoke_key(old);
    reader.follow(page, "## Suspend", "").await;
    assert_eq!(reader.wrote(begin), []);
}

async fn forced(reader: &Reader, page: &mut Page) {
    let id = reader.secret("GETTING_STARTED_URL").id;
    let begin = reader.sim.mark();
    reader.follow(page, "## Force a sync", "").await;
    // The second request may come before the first one was carried out: the last one counts.
    let nvs = format!("nvs database-url -n {}", reader.namespace);
    let handled = format!(
        "asked=$(kubectl get {nvs} -o jsonpath='{{.metadata.annotations.nairi\\.ai/sync-requested-at}}')\n\
         kubectl wait --for=jsonpath='{{.status.lastHandledSyncRequest}}'=\"$asked\" {nvs} --timeout=60s"
    );
    reader.shell.run(&handled, "").await;
    let all = json!({"value": FIRST, "allowed_domains": ["db.example.com"]});
    let wrote = reader.wrote(begin);
    let whole = patch(&id, all);
    assert!((1..=2).contains(&wrote.len()), "{wrote:?}");
    assert!(wrote.iter().all(|sent| *sent == whole), "{wrote:?}");
}

/// A secret that is there already, seen dry, written once, and handed to an object of another name.
async fn taken_over(reader: &Reader, page: &mut Page) {
    let existing = NewSecret::new("EXISTING_TOKEN", "by hand", &["old.example.com"]);
    let id = reader.sim.add_secret(VAULT, existing);
    let begin = reader.sim.mark();
    let dry = "## A dry run before existing secrets are taken over";
    reader.follow(page, dry, "").await;
    let all = json!({"value": FIRST, "allowed_domains": ["db.example.com"]});
    assert_eq!(reader.wrote(begin), [patch(&id, all)]);
    let moved = reader.sim.mark();
    reader.follow(page, "## Move objects", "").await;
    assert_eq!(reader.wrote(moved), [patch(&id, json!({"value": FIRST}))]);
}
