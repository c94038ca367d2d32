//! A tenant may break whatever is its own, in any number: the others' secrets rotate as ever, and what the tenant
//! costs the API and the API server is bounded.

mod confusing;
mod flood;
mod garbage;
mod neighbour;
mod slow;
mod values;

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use crate::support::*;
use vaultsecret_operator::api::ConnectionKind;

use self::neighbour::Neighbour;

/// The neighbour that means no good.
const MALLORY: &str = "mallory";

/// How long a change of another tenant's Secret may take to reach the vault, at the 99th percentile.
const PROMISE: Duration = Duration::from_secs(2);

/// `TENANT_OBJECTS`, or `few`.
fn many_objects(few: usize) -> usize {
    std::env::var("TENANT_OBJECTS").map_or(few, |text| text.parse().expect("a number"))
}

/// A secret of the well-behaved tenant, rotated over and over.
struct Rotation<'a> {
    world: &'a World,
    id: String,
    rounds: usize,
    /// How long the changes of the Secret took.
    writes: Vec<Duration>,
    /// And how long it was from there until the vault had the new value.
    took: Vec<Duration>,
}

impl<'a> Rotation<'a> {
    /// In sync to begin with.
    async fn begin(world: &'a World) -> Self {
        let id = world.remote("ALICE", "", &["alice.example.com"]);
        world.create_secret("alice", &[("key", "round-0")]).await;
        let object = world.vault_secret("alice").env_key("ALICE");
        world.create(object.value_from("alice", "key")).await;
        world.synced("alice").await;
        Self {
            world,
            id,
            rounds: 0,
            writes: Vec::new(),
            took: Vec::new(),
        }
    }

    /// Changes the Secret, and waits until the vault has the new value.
    async fn once(&mut self) {
        self.rounds += 1;
        let value = format!("round-{}", self.rounds);
        let began = Instant::now();
        self.world.set_secret("alice", "key", &value).await;
        let written = Instant::now();
        let arrived = eventually("the rotation", 2 * SOON, || async {
            let requests = self.world.requests().secret(&self.id).writes();
            let last = requests.iter().last()?;
            let carries = last.json()?["value"] == value.as_str();
            carries.then_some(last.ended).flatten()
        })
        .await;
        self.writes.push(written - began);
        self.took.push(arrived.saturating_duration_since(written));
    }

    /// Rotates as long as `work` goes on, many times a second.
    async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let done = Cell::new(false);
        let rotate = async {
            while !done.get() {
                self.once().await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let work = async {
            let outcome = work.await;
            done.set(true);
            outcome
        };
        tokio::join!(work, rotate).0
    }

    /// The promise was kept. A machine that is busy otherwise is given the time in which it takes a write to Kubernetes,
    /// for each of the three steps from there to the vault.
    #[track_caller]
    fn was_prompt(&self) {
        let (median, worst) = (percentile(&self.took, 50), percentile(&self.took, 99));
        let write = percentile(&self.writes, 99);
        let rounds = self.took.len();
        #[expect(
            clippy::print_stderr,
            reason = "the numbers are of interest by themselves"
        )]
        {
            eprintln!("{rounds} rotations: p50 {median:?}, p99 {worst:?} (writes: {write:?})");
        }
        assert!(worst < PROMISE + 3 * write, "{:?}", self.took);
    }
}

/// So many of a hundred took no longer than this.
fn percentile(took: &[Duration], of: usize) -> Duration {
    let mut took = took.to_vec();
    took.sort_unstable();
    took[(took.len() * of / 100).min(took.len() - 1)]
}
