//! A tenant may break whatever is its own, in any number: the others' secrets rotate as ever, and what the tenant
//! costs the API and the API server is bounded.

mod flood;
mod neighbour;

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use crate::support::*;

use self::neighbour::Neighbour;

/// The neighbour that means no good.
const MALLORY: &str = "mallory";

/// How long a change of another tenant's Secret may take to reach the vault, at the 99th percentile.
const PROMISE: Duration = Duration::from_secs(2);

/// A secret of the well-behaved tenant, rotated over and over.
struct Rotation<'a> {
    world: &'a World,
    id: String,
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
            took: Vec::new(),
        }
    }

    /// Changes the Secret, and waits until the vault has the new value.
    async fn once(&mut self) {
        let value = format!("round-{}", self.took.len() + 1);
        let began = Instant::now();
        self.world.set_secret("alice", "key", &value).await;
        let arrived = eventually("the rotation", 2 * SOON, || async {
            let requests = self.world.requests().secret(&self.id).writes();
            let last = requests.iter().last()?;
            let carries = last.json()?["value"] == value.as_str();
            carries.then_some(last.ended).flatten()
        })
        .await;
        self.took.push(arrived - began);
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

    /// The share `of` all rotations took no longer than this.
    fn percentile(&self, of: usize) -> Duration {
        let mut took = self.took.clone();
        took.sort_unstable();
        took[(took.len() * of / 100).min(took.len() - 1)]
    }

    /// The promise was kept.
    #[track_caller]
    fn was_prompt(&self) {
        let (median, worst) = (self.percentile(50), self.percentile(99));
        #[expect(
            clippy::print_stderr,
            reason = "the numbers are of interest by themselves"
        )]
        {
            eprintln!(
                "{} rotations: p50 {median:?}, p99 {worst:?}",
                self.took.len()
            );
        }
        assert!(worst < PROMISE, "{:?}", self.took);
    }
}
