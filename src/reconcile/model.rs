//! A small world in which the pure steps run: a vault with its switches, an API server, a process with its
//! ledger, others who write to the vault; and what must hold of every history in it.

mod histories;
mod quiet;
mod truth;
mod world;

use secrecy::ExposeSecret as _;

use self::world::{Fault, Sending, StatusFault, World, domains, fingerprints};
use super::{
    compare::{Listing, compare},
    conclude,
    desired::{Desired, Value},
    fields::Fields,
    observe,
    pass::MOST_STEPS,
    plan::{Change, Claim, Observed, Plan, Remote, plan},
    record::{Confirmed, Sent},
    status::next,
    verdict::{Refusal, Retry, Verdict},
};
use crate::{
    api::{FINALIZER, Reason, VaultSecretStatus},
    nairi::same_instant,
    vaults,
};

const UID: &str = "uid";

/// How one pass ended.
#[derive(Debug)]
struct Ended {
    verdict: Verdict,
    steps: usize,
}

/// One pass of the driver, with `faults` for its requests in turn. `sweep`: the vault was listed just before.
fn pass(world: &mut World, faults: &[Fault], status_fault: StatusFault, sweep: bool) -> Ended {
    let mut faults = faults.iter().copied().chain(std::iter::repeat(Fault::None));
    let previous = match world.ledger.entry(UID).latest {
        Some(latest) => latest.status,
        None => world.cache.0.clone(),
    };
    if sweep {
        world.sweep(&previous);
    }
    let hint = world.ledger.entry(UID).hint;
    let mut run = Run {
        world,
        previous: &previous,
        read: None,
        confirmed: None,
        steps: 0,
    };
    let verdict = run.steps(&mut faults).unwrap_or_else(|verdict| verdict);
    let Run {
        confirmed, steps, ..
    } = run;
    conclude::remember_unsaid(&world.ledger, UID, &previous, &verdict, confirmed.as_ref());
    if let Some(hint) = hint.filter(|_| !matches!(verdict, Verdict::Outdated)) {
        world.ledger.heeded(UID, hint.began);
    }
    world.conclude(&previous, &verdict, status_fault);
    Ended { verdict, steps }
}

fn brief(plan: &Plan) -> String {
    let (name, what) = match plan {
        Plan::Look => ("look", String::new()),
        Plan::ReadSource => ("read source", String::new()),
        Plan::ReadRemote { .. } => ("read remote", String::new()),
        Plan::Patch(change) => (
            "patch",
            format!("{:?}, leaves {:?}", change.fields.names(), change.leaves),
        ),
        Plan::Report { drift, .. } => ("report", format!("{drift:?}")),
        Plan::Settled(confirmed) => (
            "settled",
            format!("{} {:?}", confirmed.updated_at, confirmed.allowed_domains),
        ),
        Plan::Refuse(refusal) => ("refuse", refusal.message.clone()),
        Plan::Hold => ("hold", String::new()),
        Plan::Create { .. } => ("create", String::new()),
    };
    format!("  {name} {what}")
}

struct Run<'a> {
    world: &'a mut World,
    previous: &'a VaultSecretStatus,
    read: Option<String>,
    confirmed: Option<Confirmed>,
    steps: usize,
}

impl Run<'_> {
    fn steps(&mut self, faults: &mut impl Iterator<Item = Fault>) -> Result<Verdict, Verdict> {
        let mut desired = Desired::from_spec(&self.world.object.spec).map_err(Refusal::verdict)?;
        let entry = self.world.ledger.entry(UID);
        let source = self.world.source_version();
        let mut observed = observe::recorded(
            &self.world.object,
            &desired,
            self.previous,
            &entry,
            Some(&source),
        );
        observed.claim = Claim::Held;
        for step in 1..=MOST_STEPS {
            self.steps = step;
            let plan = plan(&desired, &observed);
            self.world.trace.push(brief(&plan));
            match plan {
                Plan::Settled(mut confirmed) => {
                    if let Some(version) = &self.read {
                        self.world.ledger.checked(UID, version);
                        confirmed.source_version = Some(version.clone());
                    }
                    return Ok(Verdict::Synced(confirmed));
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
                Plan::Refuse(refusal) => return Err(refusal.verdict()),
                Plan::Hold => {
                    self.world.object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
                    observed.held = true;
                }
                Plan::Create { .. } => panic!("no object here asks for it"),
                Plan::ReadSource => {
                    let value = self.world.source_value();
                    self.read = Some(self.world.source_version());
                    observed.evidence =
                        observe::evidence(fingerprints(), &self.world.object, &observed, &value);
                    desired.value = Value::Read(value);
                }
                Plan::Look => {
                    let bound = observed.confirmed.as_ref().map(|c| c.secret_id.as_str());
                    let list = [self.world.listed()];
                    observed.remote = vaults::find(&list, &desired.target, bound);
                }
                Plan::ReadRemote { secret_id } => {
                    assert_eq!(secret_id, self.world.remote.id);
                    if faults.next() != Some(Fault::None) {
                        return Err(self.unavailable(Fields::NONE));
                    }
                    self.world.reads += 1;
                    self.world.ledger.asked(UID);
                    let answer = self.world.answer();
                    if let Remote::Listed(listed) = &observed.remote
                        && !same_instant(&listed.updated_at, &answer.updated_at)
                    {
                        self.world.ledger.outdated(UID, &listed.updated_at);
                    }
                    if observed.saw(&desired, answer) {
                        self.confirmed.clone_from(&observed.confirmed);
                    }
                }
                Plan::Patch(change) => {
                    let fault = faults.next().unwrap_or(Fault::None);
                    self.patch(&desired, &mut observed, change, fault)?;
                }
            }
        }
        panic!("no end after {MOST_STEPS} steps: {:#?}", self.world.trace);
    }

    fn patch(
        &mut self,
        desired: &Desired,
        observed: &mut Observed,
        change: Change,
        fault: Fault,
    ) -> Result<(), Verdict> {
        if fault == Fault::Outdated {
            return Err(Verdict::Outdated);
        }
        let fields = change.fields;
        assert!(!fields.is_empty(), "a PATCH of nothing");
        let value = match &desired.value {
            Value::Read(value) if fields.value => Some(value),
            other => {
                assert!(!fields.value, "value to be sent, yet {other:?}");
                None
            }
        };
        let allowed = desired
            .allowed_domains
            .as_ref()
            .filter(|_| fields.allowed_domains);
        assert_eq!(
            allowed.is_some(),
            fields.allowed_domains,
            "unmanaged domains are to be sent"
        );
        self.world.judge(desired, fields);

        let doubt = self.world.ledger.entry(UID).uncertain;
        self.world.ledger.sending(UID, fields);
        let sending = Sending {
            value: value.map(|v| v.expose_secret().to_owned()),
            domains: allowed.cloned(),
        };
        self.world.sent.push(fields);
        self.world.ledger.asked(UID);
        match fault {
            Fault::None | Fault::Outdated => {}
            Fault::Refused => {
                self.world.ledger.answered(UID, doubt);
                return Err(self.unavailable(fields));
            }
            Fault::LostBefore => {
                self.world.doubt(fields);
                return Err(self.unavailable(fields));
            }
            Fault::LostAfter => {
                self.world.store(sending);
                self.world.doubt(fields);
                return Err(self.unavailable(fields));
            }
        }
        self.world.store(sending);
        self.world.certain(fields, desired);
        self.world.ledger.answered(UID, doubt - fields);
        self.world.ledger.unbound(UID, false);
        let answer = self.world.answer();
        for old in [&change.before.updated_at]
            .into_iter()
            .chain(&change.foreign_updated_at)
        {
            if !same_instant(old, &answer.updated_at) {
                self.world.ledger.outdated(UID, old);
            }
        }
        let sent = Sent {
            fields,
            allowed_domains: allowed.cloned(),
            value_fingerprint: value.map(|value| {
                observe::fingerprint(fingerprints(), &self.world.object, &change.secret_id, value)
            }),
            source_version: self.read.clone().filter(|_| fields.value),
            at: crate::api::condition::whole_seconds(self.world.now()),
            leaves: change.leaves,
        };
        let confirmed = change.before.after_patch(&answer, &sent);
        self.confirmed = Some(confirmed.clone());
        observed.patched(fields, answer, confirmed);
        Ok(())
    }

    fn unavailable(&self, pending: Fields) -> Verdict {
        Verdict::Blocked {
            refusal: Refusal::new(Reason::ApiUnavailable, "…").retried(Retry::Backoff),
            pending,
            confirmed: self.confirmed.clone(),
        }
    }
}
