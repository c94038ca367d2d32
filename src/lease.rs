//! Leader election: of several replicas one acts, by a Lease in the operator's own namespace.
//!
//! `rules` decides (pure), `elector` asks and tells the API server, `record` is the form of what is written. What
//! others need is the [`Fence`]: it is asked right before each write, and lets it pass only under a lease that will
//! hold until the write is over.

pub mod record;
pub mod rules;

mod elector;
mod fence;

use kube::Client;
use tokio::{sync::oneshot, task::JoinHandle};

use self::elector::Elector;
pub use self::{
    fence::Fence,
    rules::{Lost, Timing},
};

/// A replica that waits for the lease.
#[derive(Debug)]
pub struct Candidate(Elector);

/// A replica that leads. Its lease is renewed by a task of its own, however busy the others are.
#[derive(Debug)]
pub struct Leader {
    fence: Fence,
    give_back: oneshot::Sender<()>,
    renewing: JoinHandle<()>,
}

impl Candidate {
    /// A candidate for the Lease of this name. The identity that is written into it is `replica` and something
    /// random: a process that was started again is another one.
    #[must_use]
    pub fn new(client: Client, namespace: &str, lease: &str, replica: &str) -> Self {
        Self(Elector::new(client, namespace, lease, replica))
    }

    /// Waits for the lease, which may be for ever, or until `give_up` ends: then there is none. `standing_by` is called
    /// when the Lease was seen to be somebody else's.
    pub async fn win(
        mut self,
        standing_by: impl Fn(),
        give_up: impl Future<Output = ()>,
    ) -> Option<Leader> {
        let won = tokio::select! {
            fence = self.0.win(standing_by) => Some(fence),
            () = give_up => None,
        };
        if won.is_none() {
            // A write that was under way may have made the lease ours.
            self.0.give_back().await;
        }
        won.map(|fence| Leader::new(self.0, fence))
    }
}

impl Leader {
    fn new(mut elector: Elector, fence: Fence) -> Self {
        let (give_back, ended) = oneshot::channel();
        let renewed = fence.clone();
        let renewing = tokio::spawn(async move {
            tokio::select! {
                () = elector.keep(&renewed) => {}
                Ok(()) = ended => {
                    renewed.lose(Lost::Released);
                    elector.give_back().await;
                }
            }
        });
        Self {
            fence,
            give_back,
            renewing,
        }
    }

    /// What lets writes pass under this lease.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// Gives the lease back, so that another replica need not wait until it has run out. Nothing may be under way:
    /// from here on nothing passes the fence.
    pub async fn give_back(self) {
        // Where it has ended already, the lease is lost, and not ours to give.
        let _ = self.give_back.send(());
        let _ = self.renewing.await;
    }
}
