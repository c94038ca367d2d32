//! The pass of an object that is being deleted, as `pass/part` does it.

use std::time::Duration;

use kube::ResourceExt as _;

use super::{
    run::Run,
    world::{Fault, GRACE, connection_of},
};
use crate::{
    api::{Reason, VaultSecretStatus},
    reconcile::{
        claiming,
        fields::Fields,
        pass::same_declaration,
        plan::{
            Claim,
            parting::{self, Farewell, Heir, Key, Parting, Permission, Why},
        },
        status::ready_reason,
        verdict::{Refusal, Retry, Verdict},
    },
};

impl Run<'_> {
    pub(super) fn part(&mut self) -> Verdict {
        self.steps_apart().unwrap_or_else(|verdict| verdict)
    }

    fn steps_apart(&mut self) -> Result<Verdict, Verdict> {
        let (gone, claims) = (self.entry.unbound, self.world.claims.subject(&self.uid));
        let status = claiming::inherited(&self.object, self.previous, gone, claims);
        for _ in 0..3 {
            let known = self.parting(&status);
            let farewell = parting::parting(&known);
            self.say(format!("{farewell:?}"));
            match farewell {
                Farewell::Release(why) => {
                    if why == Why::HandedOver && !self.hands_over(&known) {
                        continue;
                    }
                    self.may_leave(&status);
                    self.hold(false)?;
                    return Ok(Verdict::Released);
                }
                Farewell::AwaitHeir => {
                    return Err(Verdict::Unchecked(Retry::Every(Duration::from_secs(1))));
                }
                Farewell::AwaitCheck => return Err(Verdict::Waiting),
                Farewell::AwaitKey(..) => {
                    let refusal = Refusal::new(Reason::DeletionBlocked, "…")
                        .retried(Retry::Every(Duration::from_mins(1)));
                    return Err(self.blocked(refusal, Fields::NONE));
                }
                Farewell::Delete { secret_id } => {
                    if self.delete(&status, &secret_id)? {
                        self.hold(false)?;
                        return Ok(Verdict::Released);
                    }
                }
            }
        }
        Err(Verdict::Unchecked(Retry::Backoff))
    }

    fn permission(&self) -> Permission {
        if self.world.lives[self.at].permitted {
            Permission::Granted
        } else {
            Permission::Denied
        }
    }

    fn hands_over(&mut self, known: &Parting) -> bool {
        if known.claim != Claim::Held || known.heir != Heir::Claims {
            return true;
        }
        let world = &self.world;
        let given = (world.claims).bequeath(&self.uid, |other| world.inherits(other));
        if given {
            world.ledger.unbound(&self.uid, true);
        }
        given
    }

    fn parting(&self, status: &VaultSecretStatus) -> Parting {
        let (world, spec) = (&self.world, &self.object.spec);
        let number = connection_of(&self.object);
        let key = if world.keys[number].refused {
            Key::Refused
        } else {
            Key::Usable
        };
        let since = self.object.metadata.deletion_timestamp.as_ref();
        let leaving = since.map_or(Duration::ZERO, |since| {
            Duration::try_from(world.now().duration_since(since.0)).unwrap_or_default()
        });
        let said = ready_reason(self.previous) == Some(Reason::DeletionBlocked);
        let already = if said { leaving } else { Duration::ZERO };
        let lacking = (key == Key::Refused).then_some(already);
        let others = world.lives.iter().filter(|other| other.permitted);
        let others = others.filter_map(|other| other.cache.as_ref());
        let heirs = others.filter(|other| claiming::names_the_same(other, &self.object, status));
        let awaited = (world.claims).is_awaited(&self.uid, |other| world.inherits(other));
        Parting {
            policy: spec.deletion_policy,
            suspended: spec.suspend,
            secret_id: status.secret_id.clone(),
            creating: false,
            permission: self.permission(),
            claim: self.claim(),
            heir: parting::heir(
                awaited,
                heirs.map(|other| connection_of(other) == number),
                (world.ledger).leaving(&self.uid, world.instant()),
            ),
            key,
            keyless: (world.ledger).keyless(&self.uid, lacking, world.instant()),
            grace: GRACE,
        }
    }

    /// Deletes the secret; false where the key was refused.
    fn delete(&mut self, status: &VaultSecretStatus, secret_id: &str) -> Result<bool, Verdict> {
        let fault = self.fault();
        self.admitted(Fields::NONE)?;
        self.meanwhile();
        let subject = claiming::secret(&self.object, secret_id);
        let _turn = self.turn(subject.clone())?;
        self.still_leaving(status, secret_id)?;
        if fault == Fault::Outdated {
            return Err(Verdict::Outdated);
        }
        self.may_delete(secret_id);
        self.world.done.deletions += 1;
        self.under_way(secret_id);
        if self.authorised(Fields::NONE).is_err() {
            return Ok(false);
        }
        if matches!(fault, Fault::None | Fault::LostAfter) {
            self.world.vault.delete(secret_id);
        }
        if fault != Fault::None {
            return Err(self.unavailable(Fields::NONE));
        }
        self.vanished(&subject);
        self.world.ledger.unbound(&self.uid, true);
        Ok(true)
    }

    fn still_leaving(&self, status: &VaultSecretStatus, secret_id: &str) -> Result<(), Verdict> {
        let now = self.world.lives[self.at].cache.as_ref();
        let same = now.is_some_and(|now| same_declaration(&self.object, now));
        if same && parting::parting(&self.parting(status)).deletes(secret_id) {
            Ok(())
        } else {
            Err(Verdict::Unchecked(Retry::AfterConflict))
        }
    }

    /// The names of those that have a say in the object's secret.
    pub(super) fn name(&self) -> String {
        self.object.name_any()
    }
}
