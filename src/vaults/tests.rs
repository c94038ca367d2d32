use kube_runtime::{reflector::store::Writer, watcher::Event};
use nairi_sim::{Answer, Fault, FaultHandle, NewSecret, NewVault, Options, Sim};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::{
    api::VaultSecretSpec,
    connections::KeySource,
    nairi::{Admission, ApiKey, Gates, SecretPatch, unobserved},
    queue::{Action, Due},
};

const PATIENCE: Duration = Duration::from_secs(5);

fn target(secret_id: Option<&str>, env_key: Option<&str>) -> Target {
    Target {
        vault_id: "vlt_1".into(),
        secret_id: secret_id.map(str::to_owned),
        env_key: env_key.map(str::to_owned),
    }
}

/// A simulated API, one key with `slots` at its gate, and the objects `a` and `b`.
struct World {
    sim: Sim,
    vaults: Arc<Vaults>,
    credential: Credential,
    due: Due<VaultSecret>,
    lists: UnboundedReceiver<Listed>,
}

fn waiter(name: &str) -> Waiter {
    ObjectRef::new(name).within("ns")
}

async fn world(slots: usize) -> World {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let sim = Sim::start(Options::default()).await;
    sim.add_vault(NewVault::with_id("vlt_1"));
    sim.add_secret(
        "vlt_1",
        NewSecret::new("A", "x", &["a.com"]).with_id("sec_a"),
    );
    let client = nairi::Client::new(nairi::Config {
        base_url: sim.url().to_owned(),
        ca_file: None,
        allow_insecure_http: false,
        timeout: PATIENCE,
        user_agent: "test".into(),
        observer: unobserved(),
    })
    .expect("a client");
    let (queue, due) = Queue::new(8);
    let wake = queue.clone();
    let gates = Gates::new(slots, Arc::new(move |object| wake.wake(object))).expect("randomness");
    let connections = Arc::new(Connections::new(gates, Box::new(|_| {})));
    let key = ApiKey::parse(sim.api_key()).expect("a key");
    let credential = connections.credential(key, KeySource::made_up("one"));
    let mut objects = Writer::default();
    for (name, env_key) in [("a", "A"), ("b", "B")] {
        let spec = VaultSecretSpec {
            vault_id: "vlt_1".into(),
            env_key: Some(env_key.into()),
            ..VaultSecretSpec::default()
        };
        let mut object = VaultSecret::new(name, spec);
        object.metadata.namespace = Some("ns".into());
        objects.apply_watcher_event(&Event::Apply(object));
    }
    let (listed, lists) = unbounded_channel();
    let vaults = Vaults::new(client, connections, objects.as_reader(), queue, listed);
    World {
        sim,
        vaults: Arc::new(vaults),
        credential,
        due,
        lists,
    }
}

impl World {
    fn permit(&self, name: &str) -> Option<Permit<Waiter>> {
        match self.credential.gate.admit(&waiter(name), Instant::now()) {
            Admission::Pass(permit) => Some(permit),
            _ => None,
        }
    }

    fn look(&self, name: &str, env_key: &str, since: Instant) -> Look {
        let mut permit = self.permit(name);
        assert!(permit.is_some(), "no slot");
        let target = target(None, Some(env_key));
        (self.vaults).look(
            &self.credential,
            &mut permit,
            &target,
            None,
            (&waiter(name), since),
        )
    }

    async fn woken(&mut self) -> String {
        let next = tokio::time::timeout(PATIENCE, self.due.begin()).await;
        let (object, _) = next.expect("somebody is woken");
        self.due.end(&object, Action::await_change());
        object.name
    }

    /// Lists of the vault so far.
    fn lists(&self) -> usize {
        self.sim.log().all().method("GET").len()
    }

    fn stall_list(&self) -> FaultHandle {
        self.sim.fault(Fault::stall().method("GET").after().once())
    }
}

fn shown(look: &Look) -> &str {
    match look {
        Look::Shown(Remote::Listed(secret)) => &secret.id,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_list_serves_all_who_wait() {
    let mut world = world(8).await;
    let stalled = world.stall_list();
    let since = Instant::now();
    for (name, env_key) in [("a", "A"), ("b", "B"), ("a", "A")] {
        assert!(matches!(world.look(name, env_key, since), Look::Awaited));
    }
    stalled.wait_stalled(1, PATIENCE).await.expect("a list");
    stalled.release();
    let mut woken = [world.woken().await, world.woken().await];
    woken.sort();
    assert_eq!(woken, ["a", "b"], "each once");
    assert_eq!(shown(&world.look("a", "A", since)), "sec_a");
    assert!(matches!(
        world.look("b", "B", since),
        Look::Shown(Remote::Absent)
    ));
    assert_eq!(world.lists(), 1);
}

#[tokio::test]
async fn a_list_from_before_shows_what_is_there_but_proves_no_absence() {
    let mut world = world(8).await;
    assert!(matches!(
        world.look("a", "A", Instant::now()),
        Look::Awaited
    ));
    world.woken().await;
    let later = Instant::now();
    assert_eq!(shown(&world.look("a", "A", later)), "sec_a");
    assert_eq!(world.lists(), 1);
    assert!(matches!(world.look("b", "B", later), Look::Awaited));
    assert_eq!(world.woken().await, "b");
    assert!(matches!(
        world.look("b", "B", later),
        Look::Shown(Remote::Absent)
    ));
    assert_eq!(world.lists(), 2);
}

/// Otherwise its slot would go to the next in line, who would find the secret and lose the slot likewise.
#[tokio::test]
async fn who_finds_a_secret_keeps_the_slot_to_go_on_with() {
    let mut world = world(1).await;
    let since = Instant::now();
    assert!(matches!(world.look("a", "A", since), Look::Awaited));
    assert!(world.permit("b").is_none(), "the list has the slot");
    world.woken().await;
    let mut permit = None;
    for name in ["b", "a"] {
        permit = permit.or_else(|| world.permit(name));
    }
    let target = target(None, Some("A"));
    let look = (world.vaults).look(
        &world.credential,
        &mut permit,
        &target,
        None,
        (&waiter("b"), since),
    );
    assert_eq!(shown(&look), "sec_a");
    assert!(permit.is_some());
}

#[tokio::test]
async fn a_failed_list_is_not_repeated_before_its_delay_is_over() {
    let mut world = world(8).await;
    world.sim.fault(Fault::status(500).method("GET").once());
    assert!(matches!(
        world.look("a", "A", Instant::now()),
        Look::Awaited
    ));
    world.woken().await;
    for name in ["a", "b"] {
        assert!(matches!(
            world.look(name, "A", Instant::now()),
            Look::Failed(_)
        ));
    }
    assert_eq!(world.lists(), 1);
    tokio::time::sleep(backoff::delay(1)).await;
    let since = Instant::now();
    assert!(matches!(world.look("a", "A", since), Look::Awaited));
    world.woken().await;
    assert_eq!(shown(&world.look("a", "A", since)), "sec_a");
}

/// The gate paces those: who is let through again must not be told of the old refusal, and then wait for ever.
#[tokio::test]
async fn a_refused_key_is_forgotten_once_its_gate_is_open() {
    for fault in [Fault::status(401), Fault::retry_after(429, "1")] {
        let mut world = world(8).await;
        world.sim.fault(fault.method("GET").once());
        let since = Instant::now();
        assert!(matches!(world.look("a", "A", since), Look::Awaited));
        world.woken().await;
        assert!(world.permit("a").is_none(), "the gate is closed");
        world.credential.gate.open();
        while world.credential.gate.is_closed(Instant::now()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(matches!(world.look("a", "A", since), Look::Awaited));
        world.woken().await;
        assert_eq!(shown(&world.look("a", "A", since)), "sec_a");
    }
}

#[tokio::test]
async fn a_list_with_an_element_that_cannot_be_read_tells_what_it_shows_and_no_more() {
    let mut world = world(8).await;
    let good = r#"{"id":"sec_a","env_key":"A","updated_at":"u"}"#;
    let torn = Answer::new(200, format!("[{good},null]"));
    let torn = world.sim.fault(Fault::answer(torn).method("GET"));
    let since = Instant::now();
    assert!(matches!(world.look("b", "B", since), Look::Awaited));
    world.woken().await;
    assert!(matches!(world.look("b", "B", since), Look::Unclear));
    assert!(matches!(world.look("a", "A", since), Look::Unclear));
    let by_id = |since| {
        let target = target(Some("sec_a"), Some("A"));
        let of = (&waiter("a"), since);
        (world.vaults).look(&world.credential, &mut None, &target, None, of)
    };
    assert_eq!(shown(&by_id(since)), "sec_a");
    // Nor is it asked for anew at once, whoever comes next.
    let later = Instant::now();
    assert!(matches!(world.look("b", "B", later), Look::Unclear));
    assert_eq!(world.lists(), 1);
    torn.remove();
    tokio::time::sleep(untold_delay(1)).await;
    assert!(matches!(world.look("b", "B", later), Look::Awaited));
    world.woken().await;
    assert!(matches!(
        world.look("b", "B", later),
        Look::Shown(Remote::Absent)
    ));
    assert_eq!(shown(&world.look("a", "A", later)), "sec_a");
    assert_eq!(world.lists(), 2);
}

#[tokio::test]
async fn an_answer_outranks_lists_that_began_before_it() {
    let mut world = world(8).await;
    let since = Instant::now();
    let stalled = world.stall_list();
    assert!(matches!(world.look("a", "A", since), Look::Awaited));
    stalled.wait_stalled(1, PATIENCE).await.expect("a list");
    let patch = SecretPatch {
        allowed_domains: Some(vec!["b.com".into()]),
        ..SecretPatch::default()
    };
    let answer = (world.vaults.nairi)
        .patch_secret(&world.credential.key, "vlt_1", "sec_a", &patch)
        .await
        .expect("an answer");
    world.vaults.learn(&world.credential, "vlt_1", &answer);
    stalled.release();
    world.woken().await;
    let Look::Shown(Remote::Listed(secret)) = world.look("a", "A", since) else {
        panic!("shown");
    };
    assert_eq!(secret, answer, "though the list began before");
    let later = RemoteSecret {
        updated_at: "later".into(),
        ..answer
    };
    world.vaults.learn(&world.credential, "vlt_1", &later);
    world
        .vaults
        .learn(&world.credential, "vlt_1", &secret_of_others());
    assert!(
        matches!(world.look("a", "A", since), Look::Shown(Remote::Listed(now)) if now == later)
    );
}

fn secret_of_others() -> RemoteSecret {
    RemoteSecret {
        id: "sec_other".into(),
        env_key: "OTHER".into(),
        allowed_domains: vec![],
        created_at: None,
        updated_at: "u".into(),
    }
}

#[tokio::test]
async fn a_list_that_shows_what_is_gone_counts_no_more() {
    let mut world = world(8).await;
    let since = Instant::now();
    assert!(matches!(world.look("a", "A", since), Look::Awaited));
    world.woken().await;
    world.sim.outsider().delete("sec_a").expect("there");
    world
        .sim
        .add_secret("vlt_1", NewSecret::new("A", "x", &[]).with_id("sec_new"));
    assert_eq!(
        shown(&world.look("a", "A", since)),
        "sec_a",
        "from the list"
    );
    world.vaults.gone(&world.credential, "vlt_1", "sec_a");
    assert!(matches!(world.look("a", "A", since), Look::Awaited));
    world.woken().await;
    assert_eq!(shown(&world.look("a", "A", since)), "sec_new");
    world.vaults.gone(&world.credential, "vlt_1", "sec_a");
    assert_eq!(
        shown(&world.look("a", "A", since)),
        "sec_new",
        "no list showed it any more"
    );
}

#[tokio::test]
async fn a_list_under_way_when_a_secret_proves_gone_is_made_again() {
    let mut world = world(8).await;
    let since = Instant::now();
    let stalled = world.stall_list();
    assert!(matches!(world.look("a", "A", since), Look::Awaited));
    stalled.wait_stalled(1, PATIENCE).await.expect("a list");
    world.sim.outsider().delete("sec_a").expect("there");
    world.vaults.gone(&world.credential, "vlt_1", "sec_a");
    stalled.release();
    world.woken().await;
    assert!(matches!(world.look("a", "A", since), Look::Awaited));
    world.woken().await;
    assert!(matches!(
        world.look("a", "A", since),
        Look::Shown(Remote::Absent)
    ));
}

#[tokio::test]
async fn who_is_gone_is_not_woken() {
    let mut world = world(8).await;
    let stalled = world.stall_list();
    let since = Instant::now();
    assert!(matches!(world.look("a", "A", since), Look::Awaited));
    assert!(matches!(world.look("b", "B", since), Look::Awaited));
    stalled.wait_stalled(1, PATIENCE).await.expect("a list");
    world.vaults.forget(&waiter("a"));
    stalled.release();
    assert_eq!(world.woken().await, "b");
    assert!(world.due.pass_one().is_none());
}

#[tokio::test]
async fn a_sweep_lists_unless_that_is_under_way_and_is_told_of_every_list() {
    let mut world = world(8).await;
    let sweep = |world: &World| {
        let permit = world
            .credential
            .gate
            .spare(&waiter("a"), Instant::now())
            .expect("a slot");
        world
            .vaults
            .sweep(world.credential.clone(), "vlt_1", permit);
    };
    sweep(&world);
    let listed = world.lists.recv().await.expect("a list");
    assert!(listed.swept);
    let secrets = listed.outcome.expect("it succeeds");
    assert_eq!(secrets.0.len(), 1, "those that objects name");

    let stalled = world.stall_list();
    let since = Instant::now();
    assert!(matches!(world.look("b", "B", since), Look::Awaited));
    stalled.wait_stalled(1, PATIENCE).await.expect("a list");
    sweep(&world);
    stalled.release();
    assert_eq!(world.woken().await, "b");
    let listed = world.lists.recv().await.expect("a list");
    assert!(!listed.swept && listed.began >= since);
    assert_eq!(world.lists(), 2);

    // What a sweep shows serves those who look.
    sweep(&world);
    world.lists.recv().await.expect("a list");
    assert!(matches!(
        world.look("b", "B", since),
        Look::Shown(Remote::Absent)
    ));
    assert_eq!(world.lists(), 3);

    world.sim.fault(Fault::status(500).method("GET").once());
    sweep(&world);
    let listed = world.lists.recv().await.expect("a list");
    assert_eq!(listed.outcome, Err(Class::Transient));
}
