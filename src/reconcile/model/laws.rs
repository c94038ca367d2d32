//! What must hold of every write at the instant it is sent, as somebody sees it who knows all objects.

use kube::ResourceExt as _;

use super::{
    run::Run,
    vault::Sending,
    world::{Life, connection_of},
};
use crate::{
    api::{CreationPolicy, DeletionPolicy, Reason, VaultSecret, VaultSecretStatus},
    reconcile::{desired::Desired, finalizer, status::ready_reason},
};

/// Whether `object` names the secret of this id and environment key.
pub(super) fn names(object: &VaultSecret, id: &str, env_key: &str) -> bool {
    let spec = &object.spec;
    spec.secret_id.as_ref().is_none_or(|named| named == id)
        && spec.env_key.as_ref().is_none_or(|named| named == env_key)
}

/// The order of claims: older first, then the lower uid.
pub(super) fn seniority(object: &VaultSecret) -> (i64, String) {
    let created = object.metadata.creation_timestamp.as_ref();
    let created = created.map_or(0, |created| created.0.as_second());
    (created, object.uid().unwrap_or_default())
}

impl Run<'_> {
    /// The other objects with a claim on the secret: permitted, there to stay, bound to it, and shown it as they are
    /// declared now.
    fn claimants(&self, id: &str) -> impl Iterator<Item = &VaultSecret> {
        let claims = move |life: &Life| {
            let object = life.cache.as_ref()?;
            let entry = self.world.ledger.entry(&object.uid()?);
            let status = entry.status(object);
            let stays = object.metadata.deletion_timestamp.is_none() || finalizer::is_set(object);
            let bound = status.secret_id.as_deref() == Some(id)
                && status.observed_generation == object.metadata.generation;
            let shown = life.shown.as_deref() == Some(id);
            Some(life.permitted && stays && bound && shown && !entry.unbound)
        };
        let others = self.world.lives.iter().enumerate();
        others
            .filter(move |(at, life)| *at != self.at && claims(life) == Some(true))
            .filter_map(|(_, life)| life.cache.as_ref())
    }

    fn must(&self, holds: bool, law: &str) {
        assert!(
            holds,
            "{} {law}: {:#?} {:#?}",
            self.name(),
            self.world.told(),
            self.world.trace
        );
    }

    /// What is true of every write.
    fn may_write(&self) {
        let life = &self.world.lives[self.at];
        let now = life.cache.as_ref();
        let spec = &self.object.spec;
        self.must(life.permitted, "writes without permission");
        self.must(!spec.suspend, "writes though suspended");
        self.must(
            now.is_some_and(|now| now.metadata.uid == self.object.metadata.uid),
            "writes though it is gone",
        );
    }

    /// Whether the finalizer was there when the pass began, or was set by it.
    fn is_held(&self) -> bool {
        finalizer::is_set(&self.object) || self.held
    }

    pub(super) fn may_patch(&mut self, desired: &Desired, id: &str, sending: &Sending) {
        self.may_write();
        self.must(
            self.object.metadata.deletion_timestamp.is_none(),
            "writes while it is being deleted",
        );
        let own = seniority(&self.object);
        let junior = self.claimants(id).all(|other| own < seniority(other));
        self.must(junior, "writes to an older one's secret");
        let deletes = self.object.spec.deletion_policy == DeletionPolicy::Delete;
        self.must(!deletes || self.is_held(), "writes before it is held");
        let remote = self.world.vault.get(id);
        let named = remote.is_none_or(|secret| names(&self.object, id, &secret.env_key));
        self.must(named, "writes to a secret it does not name");
        let truth = &mut self.world.lives[self.at].truth;
        if let Some(against) = truth.judge(desired, sending, remote) {
            self.must(
                false,
                &format!("{against} ({:?})", self.world.lives[self.at].truth),
            );
        }
    }

    pub(super) fn may_create(&self, env_key: &str) {
        self.may_write();
        let spec = &self.object.spec;
        let asked = spec.creation_policy == CreationPolicy::IfMissing;
        self.must(
            asked && spec.env_key.as_deref() == Some(env_key),
            "creates what is not asked for",
        );
        let deletes = spec.deletion_policy == DeletionPolicy::Delete;
        self.must(!deletes || self.is_held(), "creates before it is held");
        let vault = &self.world.vault;
        self.must(
            !vault.has_key(env_key) || vault.blurred || self.world.foreign_keys.contains(env_key),
            "creates a second secret of one key",
        );
    }

    pub(super) fn may_delete(&self, id: &str) {
        self.may_write();
        let spec = &self.object.spec;
        let leaving = self.object.metadata.deletion_timestamp.is_some();
        self.must(leaving, "deletes the secret of one that stays");
        self.must(
            spec.deletion_policy == DeletionPolicy::Delete,
            "deletes what is to stay",
        );
        let life = &self.world.lives[self.at];
        let had = (life.had).contains(&(self.uid.clone(), id.to_owned()))
            || ready_reason(self.previous) == Some(Reason::Conflict);
        self.must(had, "deletes what it never had");
        self.must(
            self.claimants(id).next().is_none(),
            "deletes what another has a claim on",
        );
        self.must(self.heirs(id).next().is_none(), "leaves an heir nothing");
    }

    /// Other objects that are there to stay, name the secret, and may use it with the same key.
    fn heirs(&self, id: &str) -> impl Iterator<Item = &VaultSecret> {
        let env_key = self.world.vault.get(id).map(|secret| &secret.env_key);
        let others = self.world.lives.iter().enumerate();
        others
            .filter(|(at, life)| *at != self.at && life.permitted)
            .filter_map(|(_, life)| life.cache.as_ref())
            .filter(|other| other.metadata.deletion_timestamp.is_none())
            .filter(|other| connection_of(other) == connection_of(&self.object))
            .filter(move |other| env_key.is_some_and(|env_key| names(other, id, env_key)))
    }

    /// An object is released without its secret being deleted: it must not be one whose secret goes with it.
    pub(super) fn may_leave(&self, status: &VaultSecretStatus) {
        let life = &self.world.lives[self.at];
        let spec = &self.object.spec;
        let Some(id) = &status.secret_id else {
            return;
        };
        let takes_it_along = spec.deletion_policy == DeletionPolicy::Delete
            && !spec.suspend
            && life.permitted
            && life.shown.as_ref() == Some(id)
            && !self.world.keys[connection_of(&self.object)].refused
            && self.world.vault.get(id).is_some();
        let env_key = self.world.vault.get(id).map(|secret| &secret.env_key);
        let wanted = self.world.lives.iter().enumerate().any(|(at, other)| {
            let named = other.cache.as_ref().zip(env_key);
            let named = named.is_some_and(|(other, env_key)| names(other, id, env_key));
            at != self.at && other.permitted && named
        });
        self.must(!takes_it_along || wanted, "leaves its secret behind");
    }
}
