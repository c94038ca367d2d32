//! One pass of the driver, as `reconcile` does it, from being due to a status.

use std::collections::VecDeque;

use kube::ResourceExt as _;

use super::{
    events::Event,
    objects::Unwritten,
    run::Run,
    world::{Fault, StatusFault, World},
};
use crate::{
    api::{VaultSecret, VaultSecretStatus},
    reconcile::{
        claiming, conclude, finalizer, status,
        verdict::{Retry, Verdict},
    },
    sync_request,
};

/// What meets a pass on its way.
#[derive(Clone, Debug, Default)]
pub(super) struct Course {
    /// For its requests, in turn.
    pub(super) faults: VecDeque<Fault>,
    /// What happens before each of its requests, and while that is under way.
    pub(super) meanwhile: VecDeque<Option<Event>>,
}

/// How one pass ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) verdict: Verdict,
    pub(super) steps: usize,
}

impl World {
    /// One pass over the object, if there is anything to do for it.
    pub(super) fn pass(
        &mut self,
        at: usize,
        course: &mut Course,
        status_fault: StatusFault,
    ) -> Option<Ended> {
        let object = self.lives[at].cache.clone()?;
        let uid = object.uid().expect("a uid");
        let leaving = object.metadata.deletion_timestamp.is_some();
        if leaving && !finalizer::is_set(&object) {
            self.claims.lapse(&uid);
            return None;
        }
        (self.lives[at].running, self.lives[at].unnoticed) = (true, false);
        let entry = self.ledger.entry(&uid);
        let (hint, previous) = (entry.hint.clone(), entry.status(&object));
        let mut run = Run::new(self, course, at, object.clone(), entry, &previous);
        let verdict = if leaving { run.part() } else { run.run() };
        let (confirmed, steps) = run.ended();
        let ledger = &self.ledger;
        conclude::remember_unsaid(ledger, &uid, &previous, &verdict, confirmed.as_ref());
        let unheeded = matches!(
            verdict,
            Verdict::Waiting | Verdict::Unchecked(_) | Verdict::Outdated
        );
        if let Some(hint) = hint.filter(|_| !unheeded) {
            self.ledger.heeded(&uid, hint.began);
        }
        self.lives[at].running = false;
        self.vault.clock += 1;
        if status_fault == StatusFault::Crash {
            self.restart();
        } else {
            self.conclude(at, &object, &previous, &verdict, status_fault);
            let now = self.lives[at]
                .cache
                .as_ref()
                .and_then(kube::ResourceExt::uid);
            if now.as_ref() != Some(&uid) {
                self.ledger.forget(&uid);
            }
            if now.is_none() {
                self.claims.lapse(&uid);
            }
        }
        Some(Ended { verdict, steps })
    }

    /// What `conclude` does with a verdict: the status is written where it differs, and remembered.
    fn conclude(
        &mut self,
        at: usize,
        object: &VaultSecret,
        previous: &VaultSecretStatus,
        verdict: &Verdict,
        fault: StatusFault,
    ) {
        let uid = object.uid().expect("a uid");
        conclude::note(&self.ledger, &uid, previous, verdict);
        let retry = match verdict {
            Verdict::Unchecked(retry) => *retry,
            Verdict::Blocked { refusal, .. } => refusal.retry,
            _ => Retry::OnChange,
        };
        if retry != Retry::OnChange {
            self.later.insert(at);
        }
        let generation = object.metadata.generation;
        let asked = sync_request::of(object);
        let Some(mut next) = status::next(previous, generation, asked, verdict, false, self.now())
        else {
            return;
        };
        claiming::say_by_which_connection(object, self.claims.subject(&uid).as_ref(), &mut next);
        let entry = self.ledger.entry(&uid);
        let cached = (self.lives[at].cache.as_ref())
            .filter(|cached| cached.metadata.uid == object.metadata.uid)
            .unwrap_or(object);
        let (shown, version) = entry.shown(cached);
        if next == shown {
            self.ledger.caught_up(&uid);
            return;
        }
        let written = if fault == StatusFault::NotWritten {
            None
        } else {
            match self.write_status(at, (&uid, &version), next.clone()) {
                Ok(version) => Some(version),
                Err(Unwritten::Conflict) => None,
                Err(Unwritten::Gone) => {
                    self.ledger.remember(&uid, next, None);
                    return;
                }
            }
        };
        let written = written.filter(|_| fault != StatusFault::LostAfter);
        if written.is_none() {
            self.later.insert(at);
        }
        self.ledger.remember(&uid, next, written);
        let cached = self.lives[at].cache.as_ref();
        if let Some(version) = cached.and_then(kube::ResourceExt::resource_version) {
            self.ledger.cached(&uid, &version);
        }
    }
}
