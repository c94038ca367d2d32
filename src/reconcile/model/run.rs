//! The steps of one pass, as `pass` takes them.

use std::time::Instant;

use kube::ResourceExt as _;
use kube_runtime::reflector::ObjectRef;

use super::{
    course::Course,
    objects::Unwritten,
    world::{Fault, World, connection_of, fingerprints, place},
};
use crate::{
    api::{DeletionPolicy, FINALIZER, Reason, VaultSecret, VaultSecretStatus},
    claims::{Standing, Subject, Turn},
    ledger::Entry,
    nairi::{RemoteSecret, same_instant},
    reconcile::{
        claiming,
        desired::{Desired, Target, Value},
        failure,
        fields::Fields,
        finalizer, observe,
        pass::{MOST_STEPS, no_more, same_declaration},
        plan::{Claim, Observed, Plan, Remote, plan},
        record::Confirmed,
        status,
        verdict::{Refusal, Retry, Verdict},
    },
    vaults::{self, Gaps},
};

pub(super) struct Run<'a> {
    pub(super) world: &'a mut World,
    pub(super) course: &'a mut Course,
    pub(super) at: usize,
    pub(super) object: VaultSecret,
    pub(super) uid: String,
    pub(super) entry: Entry,
    pub(super) previous: &'a VaultSecretStatus,
    pub(super) read: Option<String>,
    pub(super) looked: Instant,
    pub(super) confirmed: Option<Confirmed>,
    /// Whether the pass has set the finalizer.
    pub(super) held: bool,
    steps: usize,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        world: &'a mut World,
        course: &'a mut Course,
        at: usize,
        object: VaultSecret,
        entry: Entry,
        previous: &'a VaultSecretStatus,
    ) -> Self {
        Self {
            world,
            course,
            at,
            uid: object.uid().expect("a uid"),
            object,
            entry,
            previous,
            read: None,
            looked: Instant::now(),
            confirmed: None,
            held: false,
            steps: 0,
        }
    }

    pub(super) fn run(&mut self) -> Verdict {
        self.steps().unwrap_or_else(|verdict| verdict)
    }

    /// What the API confirmed, and how many steps it took.
    pub(super) fn ended(self) -> (Option<Confirmed>, usize) {
        (self.confirmed, self.steps)
    }

    pub(super) fn say(&mut self, what: impl std::fmt::Display) {
        let line = format!("  {}: {what}", self.at);
        self.world.trace.push(line);
    }

    fn steps(&mut self) -> Result<Verdict, Verdict> {
        let permitted = self.world.lives[self.at].permitted;
        self.world.claims.permitted(&self.uid, permitted);
        if !permitted {
            self.world.ledger.unwatched(&self.uid);
        }
        let stays = self.object.spec.deletion_policy == DeletionPolicy::Retain;
        if stays && finalizer::is_set(&self.object) {
            self.hold(false)?;
        }
        if self.object.spec.suspend {
            return Ok(Verdict::Suspended);
        }
        if !permitted {
            return Err(Refusal::new(Reason::NotPermitted, "…").verdict());
        }
        let mut desired = Desired::from_spec(&self.object.spec).map_err(Refusal::verdict)?;
        let source = self.world.source_version(self.at);
        let mut observed = observe::recorded(
            &self.object,
            &desired,
            self.previous,
            &self.entry,
            Some(&source),
        );
        self.shown(&desired, &observed);
        for step in 1..=MOST_STEPS {
            self.steps = step;
            observed.claim = self.claim();
            let plan = plan(&desired, &observed);
            self.say(brief(&plan));
            let requested = observed.requested(&desired);
            match plan {
                Plan::Settled(confirmed) => {
                    let had = &mut self.world.lives[self.at].had;
                    had.insert((self.uid.clone(), confirmed.secret_id.clone()));
                    return Ok(Verdict::Synced(self.settle(confirmed)));
                }
                Plan::Report {
                    confirmed,
                    drift,
                    pending,
                } => {
                    return Ok(Verdict::Drifted {
                        confirmed,
                        drift,
                        pending,
                    });
                }
                Plan::Refuse(refusal) => {
                    self.world.ledger.told(&self.uid);
                    return Err(self.blocked(refusal, Fields::NONE));
                }
                Plan::Hold => {
                    self.hold(true)
                        .map_err(|verdict| self.unless_in_sync(requested, verdict))?;
                    observed.held = true;
                }
                Plan::ReadSource => {
                    let value = self.world.source_value(self.at);
                    self.read = Some(self.world.source_version(self.at));
                    observed.evidence =
                        observe::evidence(fingerprints(), &self.object, &observed, &value);
                    desired.value = Value::Read(value);
                }
                Plan::Look => {
                    let bound = observed.confirmed.as_ref().map(|c| c.secret_id.as_str());
                    observed.remote = self
                        .find(&desired.target, bound)
                        .map_err(|verdict| self.unless_in_sync(requested, verdict))?;
                    self.shown(&desired, &observed);
                }
                Plan::ReadRemote { secret_id } => {
                    let answer = self
                        .read_remote(&secret_id)
                        .map_err(|verdict| self.unless_in_sync(requested, verdict))?;
                    if let Remote::Listed(listed) = &observed.remote
                        && !same_instant(&listed.updated_at, &answer.updated_at)
                    {
                        self.world.ledger.outdated(&self.uid, &listed.updated_at);
                    }
                    if observed.saw(&desired, answer) {
                        self.confirmed.clone_from(&observed.confirmed);
                    }
                    self.shown(&desired, &observed);
                }
                Plan::Create {
                    env_key,
                    allowed_domains,
                } => self.create(&desired, &mut observed, &env_key, &allowed_domains)?,
                Plan::Patch(change) => self.patch(&desired, &mut observed, &change)?,
            }
        }
        panic!("no end after {MOST_STEPS} steps: {:#?}", self.world.trace);
    }

    fn settle(&mut self, mut confirmed: Confirmed) -> Confirmed {
        if let Some(version) = &self.read {
            self.world.ledger.checked(&self.uid, version);
            let generation = self.object.metadata.generation;
            if self.confirmed.is_some()
                || status::is_news(self.previous, generation, Reason::Synced)
            {
                confirmed.source_version = Some(version.clone());
            }
        }
        confirmed
    }

    /// Where the object stands now.
    pub(super) fn claim(&self) -> Claim {
        let world = &self.world;
        match (world.claims).standing(&self.uid, |other| world.counts(other)) {
            Standing::Unproven => Claim::Unproven,
            Standing::Holds => Claim::Held,
            Standing::Waits(_) => Claim::Lost { to: None },
        }
    }

    pub(super) fn shown(&mut self, desired: &Desired, observed: &Observed) {
        let stake = claiming::by_what_was_shown(desired, observed);
        if stake != claiming::Stake::AsBefore {
            self.world.lives[self.at].shown = match &stake {
                claiming::Stake::On(Subject::Secret { secret_id, .. }) => Some(secret_id.clone()),
                _ => None,
            };
        }
        stake.enter(&self.world.claims, &self.object);
    }

    /// Sets our finalizer, or removes it.
    pub(super) fn hold(&mut self, set: bool) -> Result<(), Verdict> {
        let fault = self.fault();
        self.meanwhile();
        let (shown, version) = self.world.ledger.entry(&self.uid).shown(&self.object);
        if matches!(fault, Fault::Refused | Fault::LostBefore) {
            return Err(self.unavailable(Fields::NONE));
        }
        let answer = (self.world).write_finalizer(self.at, (&self.uid, &version), set);
        if answer.is_ok() && fault == Fault::LostAfter {
            return Err(self.unavailable(Fields::NONE));
        }
        match answer {
            Ok(version) => {
                self.held = set;
                if *self.previous == shown {
                    (self.world.ledger).remember(&self.uid, shown, Some(version));
                }
                Ok(())
            }
            Err(Unwritten::Conflict) => Err(Verdict::Unchecked(Retry::AfterConflict)),
            Err(Unwritten::Gone) => Err(Verdict::Outdated),
        }
    }

    /// As a list shows the secret; one that is bound is asked itself where the list does not tell.
    fn find(&mut self, target: &Target, bound: Option<&str>) -> Result<Remote, Verdict> {
        let (list, gaps) = self.list()?;
        vaults::find(&list, &gaps, target, bound)
            .or(bound.map(|_| Remote::Absent))
            .ok_or_else(|| self.unavailable(Fields::NONE))
    }

    fn list(&mut self) -> Result<(Vec<RemoteSecret>, Gaps), Verdict> {
        self.meanwhile();
        self.admitted(Fields::NONE)?;
        self.current()?;
        self.looked = Instant::now();
        self.authorised(Fields::NONE)?;
        let list = self.world.vault.list();
        list.ok_or_else(|| self.unavailable(Fields::NONE))
    }

    fn read_remote(&mut self, secret_id: &str) -> Result<RemoteSecret, Verdict> {
        self.admitted(Fields::NONE)?;
        let fault = self.fault();
        self.meanwhile();
        self.current()?;
        if fault != Fault::None {
            return Err(self.unavailable(Fields::NONE));
        }
        self.world.done.reads += 1;
        self.authorised(Fields::NONE)?;
        let Some(answer) = self.world.vault.answer(secret_id) else {
            return Err(self.gone(secret_id));
        };
        self.world.ledger.asked(&self.uid);
        Ok(answer)
    }

    /// To whoever has the same key the API would say the same.
    pub(super) fn vanished(&self, subject: &Subject) {
        let (world, key) = (&self.world, connection_of(&self.object));
        let told = |other: &ObjectRef<VaultSecret>| {
            let other = world.lives[place(other)].cache.as_ref();
            other.is_some_and(|other| connection_of(other) == key)
        };
        world.claims.vanished(&self.uid, subject, told);
    }

    pub(super) fn gone(&mut self, secret_id: &str) -> Verdict {
        let subject = claiming::secret(&self.object, secret_id);
        self.vanished(&subject);
        self.world.lives[self.at].shown = None;
        let named = Target::of(&self.object.spec);
        let verdict = no_more(&self.world.ledger, &self.uid, &named, self.entry.unbound);
        if matches!(verdict, Verdict::Waiting) {
            self.world.wake(self.at);
        }
        verdict
    }

    pub(super) fn fault(&mut self) -> Fault {
        self.course.faults.pop_front().unwrap_or(Fault::None)
    }

    /// What happens between the decision and the request.
    pub(super) fn meanwhile(&mut self) {
        if let Some(Some(event)) = self.course.meanwhile.pop_front() {
            self.world.happen(&event);
        }
    }

    /// What happens while a write to `what` is under way.
    pub(super) fn under_way(&mut self, what: &str) {
        let alone = self.world.in_flight.insert(what.to_owned());
        assert!(alone, "two write to {what}: {:#?}", self.world.trace);
        self.meanwhile();
        self.world.in_flight.remove(what);
    }

    pub(super) fn turn(&self, subject: Subject) -> Result<Turn, Verdict> {
        let key = ObjectRef::from_obj(&self.object);
        (self.world.claims)
            .begin(&key, subject)
            .map_err(|_| Verdict::Waiting)
    }

    /// As in `pass`, right before something is sent.
    pub(super) fn current(&self) -> Result<(), Verdict> {
        let life = &self.world.lives[self.at];
        let same = life.cache.as_ref().is_some_and(|now| {
            same_declaration(&self.object, now)
                && now.metadata.deletion_timestamp.is_none()
                && life.permitted
                && !matches!(self.claim(), Claim::Lost { .. })
        });
        if same { Ok(()) } else { Err(Verdict::Outdated) }
    }

    /// Whether the gate of the object's key lets it through.
    pub(super) fn admitted(&self, pending: Fields) -> Result<(), Verdict> {
        if self.world.keys[connection_of(&self.object)].refused {
            return Err(self.blocked(
                failure::unauthorized(&self.object.spec.connection_ref),
                pending,
            ));
        }
        Ok(())
    }

    /// Whether the API takes the object's key.
    pub(super) fn authorised(&mut self, pending: Fields) -> Result<(), Verdict> {
        let key = &mut self.world.keys[connection_of(&self.object)];
        key.refused |= key.revoked;
        self.admitted(pending)
    }

    fn unless_in_sync(&self, requested: Fields, verdict: Verdict) -> Verdict {
        let generation = self.object.metadata.generation;
        if self.entry.unbound {
            // The API said that its secret is gone.
            return verdict;
        }
        status::unless_in_sync(self.previous, generation, requested, verdict)
    }

    pub(super) fn unavailable(&self, pending: Fields) -> Verdict {
        let refusal = Refusal::new(Reason::ApiUnavailable, "…").retried(Retry::Backoff);
        self.blocked(refusal, pending)
    }

    pub(super) fn blocked(&self, refusal: Refusal, pending: Fields) -> Verdict {
        Verdict::Blocked {
            refusal,
            pending,
            confirmed: self.confirmed.clone(),
        }
    }
}

fn brief(plan: &Plan) -> String {
    match plan {
        Plan::Look => "look".to_owned(),
        Plan::ReadSource => "read source".to_owned(),
        Plan::ReadRemote { secret_id } => format!("read {secret_id}"),
        Plan::Patch(change) => format!(
            "patch {} {:?}, leaves {:?}",
            change.secret_id,
            change.fields.names(),
            change.leaves
        ),
        Plan::Report { drift, .. } => format!("report {drift:?}"),
        Plan::Settled(confirmed) => format!(
            "settled {} {} {:?}",
            confirmed.secret_id, confirmed.updated_at, confirmed.allowed_domains
        ),
        Plan::Refuse(refusal) => format!("refuse {}", refusal.message),
        Plan::Hold => format!("set {FINALIZER}"),
        Plan::Create { env_key, .. } => format!("create {env_key}"),
    }
}
