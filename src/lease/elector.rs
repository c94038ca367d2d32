//! What `rules` decides, asked of the API server and told to it.

use std::{
    future::Future,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    pin::Pin,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use k8s_openapi::{api::coordination::v1::Lease, jiff::Timestamp};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams, WatchEvent, WatchParams},
};
use tracing::{info, warn};

use super::{
    Fence, Lost, Timing,
    record::{Entry, Record},
    rules::{Return, Rules, Step},
};
use crate::{backoff, deadline, reminder::Reminder, source::brief};

/// How long one request may take: short enough that another can follow before a lease is over.
const LIMIT: Duration = Duration::from_secs(4);

/// How long it may take to give the lease back: who can't, lets it run out.
const GIVE_BACK: Duration = Duration::from_millis(1500);

/// How soon its holder tries again after a failure.
const AGAIN: Duration = Duration::from_secs(1);

/// How long one watch goes on, in seconds.
const WATCH: u32 = 290;

/// Ends when the Lease may have become free.
type Freed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One replica's part in the election.
#[derive(Debug)]
pub(super) struct Elector {
    api: Api<Lease>,
    /// Namespace and name, for sentences.
    place: String,
    name: String,
    timing: Timing,
    rules: Rules,
    reminder: Reminder,
}

/// A request that failed.
enum Failure {
    /// The Lease is not what it was taken for: it has to be read again.
    Outdated,
    /// Something else.
    Other(String),
}

impl Elector {
    pub(super) fn new(client: Client, namespace: &str, name: &str, replica: &str) -> Self {
        // As good as any random number: its keys are the system's.
        let random = RandomState::new().build_hasher().finish();
        let timing = Timing::DEFAULT;
        Self {
            api: Api::namespaced(client, namespace),
            place: format!("{namespace}/{name}"),
            name: name.to_owned(),
            timing,
            rules: Rules::new(format!("{replica}_{random:016x}"), timing),
            reminder: Reminder::default(),
        }
    }

    /// Waits until the lease is ours.
    pub(super) async fn win(&mut self, standing_by: impl Fn()) -> Fence {
        let mut freed: Option<Freed> = None;
        let mut leader = None;
        loop {
            if let Some(renewed) = self.rules.renewed() {
                info!(
                    lease = self.place,
                    identity = self.rules.identity(),
                    "leading"
                );
                return Fence::held(self.timing, renewed);
            }
            match self.rules.next(Instant::now()) {
                Step::Wait(wait) => {
                    if let Some(other) = self.rules.other() {
                        if leader.as_deref() != Some(other) {
                            info!(lease = self.place, leader = other, "standing by");
                            leader = Some(other.to_owned());
                        }
                        standing_by();
                    }
                    let watch = freed.get_or_insert_with(|| self.watch());
                    tokio::select! {
                        () = tokio::time::sleep(backoff::jittered(wait)) => {}
                        () = watch => freed = None,
                    }
                }
                step => {
                    if let Err(failure) = self.take(step).await {
                        self.reminder
                            .say(format!("waiting for the lease {}: {failure}", self.place));
                        tokio::time::sleep(backoff::jittered(self.timing.retry)).await;
                    }
                }
            }
        }
    }

    /// Renews the lease until it is lost, and tells the fence of both.
    pub(super) async fn keep(&mut self, fence: &Fence) {
        tokio::select! {
            biased;
            // Somebody met the fence first.
            _ = fence.lost() => {}
            lost = self.renew(fence) => fence.lose(lost),
        }
    }

    async fn renew(&mut self, fence: &Fence) -> Lost {
        loop {
            match self.rules.next(Instant::now()) {
                Step::Lose(lost) => return lost,
                Step::Wait(wait) => tokio::time::sleep(wait).await,
                step => {
                    if let Err(failure) = self.take(step).await {
                        warn!(
                            lease = self.place,
                            error = failure,
                            "could not renew the lease; trying again"
                        );
                        let wait = backoff::jittered(AGAIN);
                        tokio::time::sleep(self.rules.patience(Instant::now(), wait)).await;
                    }
                    if let Some(renewed) = self.rules.renewed() {
                        fence.renewed(renewed);
                    }
                }
            }
        }
    }

    /// Gives the lease back if it is ours, or may be.
    pub(super) async fn give_back(&mut self) {
        let given_back = tokio::time::timeout(GIVE_BACK, self.clear()).await;
        let lease = &self.place;
        match given_back {
            Ok(Ok(false)) => {}
            Ok(Ok(true)) => info!(lease, "gave the lease back"),
            Ok(Err(error)) => warn!(lease, error, "could not give the lease back; it runs out"),
            Err(_) => warn!(lease, "could not give the lease back in time; it runs out"),
        }
    }

    /// Takes our name out of the Lease; says whether it was there.
    async fn clear(&mut self) -> Result<bool, String> {
        loop {
            match self.rules.give_back() {
                Return::Nothing => return Ok(false),
                Return::Look => self.look().await?,
                Return::Clear(record) => {
                    let entry = Entry {
                        holder: None,
                        duration: Duration::ZERO,
                        now: Timestamp::now(),
                    };
                    match self.patch(&entry, &record).await {
                        Ok(_) => return Ok(true),
                        Err(Failure::Outdated) => {}
                        Err(Failure::Other(error)) => return Err(error),
                    }
                }
            }
        }
    }

    /// Takes one step that is a request. That it met another Lease than was known is no error.
    async fn take(&mut self, step: Step) -> Result<(), String> {
        let identity = self.rules.identity().to_owned();
        let entry = Entry {
            holder: Some(&identity),
            duration: self.timing.duration,
            now: Timestamp::now(),
        };
        let sent = Instant::now();
        let written = match step {
            Step::Look => return self.look().await,
            Step::Create => self.create(&entry).await,
            Step::Take(record) | Step::Renew(record) => self.patch(&entry, &record).await,
            Step::Wait(_) | Step::Lose(_) => return Ok(()),
        };
        match written {
            Ok(record) => self.rules.accepted(sent, Instant::now(), record),
            Err(Failure::Outdated) => {}
            Err(Failure::Other(error)) => return Err(error),
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<(), String> {
        let (api, name) = (self.api.clone(), self.name.clone());
        let found = self
            .request(api.get_opt(&name))
            .await
            .map_err(|failure| match failure {
                Failure::Outdated => "it comes and goes".to_owned(),
                Failure::Other(error) => error,
            })?;
        let record = found.as_ref().map(Record::of);
        self.rules.saw(Instant::now(), record);
        Ok(())
    }

    async fn create(&mut self, entry: &Entry<'_>) -> Result<Record, Failure> {
        let (api, lease) = (self.api.clone(), entry.lease(&self.name));
        let params = PostParams::default();
        self.write(api.create(&params, &lease)).await
    }

    async fn patch(&mut self, entry: &Entry<'_>, before: &Record) -> Result<Record, Failure> {
        let (api, name) = (self.api.clone(), self.name.clone());
        let (params, patch) = (PatchParams::default(), Patch::Merge(entry.over(before)));
        self.write(api.patch(&name, &params, &patch)).await
    }

    async fn write(
        &mut self,
        request: impl Future<Output = kube::Result<Lease>>,
    ) -> Result<Record, Failure> {
        self.rules.sending();
        Ok(Record::of(&self.request(request).await?))
    }

    async fn request<T>(
        &mut self,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Failure> {
        let patience = self.rules.patience(Instant::now(), LIMIT);
        match deadline::before(tokio::time::Instant::now() + patience, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                let kube::Error::Api(status) = &error else {
                    return Err(Failure::Other(brief(&error)));
                };
                if status.code < 500 {
                    self.rules.refused();
                }
                // A conflict, one that exists already, or one that is gone.
                if [404, 409].contains(&status.code) {
                    return Err(Failure::Outdated);
                }
                Err(Failure::Other(brief(&error)))
            }
            Err(_) => Err(Failure::Other(
                "the API server did not answer in time".to_owned(),
            )),
        }
    }

    /// Watches the Lease from what was seen of it last until it is free or gone, or the watch broke.
    ///
    /// It only makes a handover quick: who waits looks every two seconds anyway, and decides by what that shows.
    fn watch(&self) -> Freed {
        let (api, name) = (self.api.clone(), self.name.clone());
        let (version, pause) = (self.rules.version().to_owned(), self.timing.retry);
        Box::pin(async move {
            let only = format!("metadata.name={name}");
            let params = WatchParams::default().fields(&only).timeout(WATCH);
            if let Ok(events) = api.watch(&params, &version).await {
                let mut events = std::pin::pin!(events);
                while let Some(Ok(event)) = events.next().await {
                    match event {
                        WatchEvent::Added(lease) | WatchEvent::Modified(lease)
                            if Record::of(&lease).holder.is_some() => {}
                        WatchEvent::Bookmark(_) => {}
                        WatchEvent::Error(_) => break,
                        _ => return,
                    }
                }
            }
            tokio::time::sleep(pause).await;
        })
    }
}
