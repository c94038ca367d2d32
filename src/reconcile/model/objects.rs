//! What happens to objects at the API server: by those who use the operator, and by the operator.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    Fields,
    truth::Truth,
    world::{World, source},
};
use crate::{
    api::{CreationPolicy, FINALIZER, VaultSecret, VaultSecretSpec, VaultSecretStatus},
    reconcile::finalizer,
    sync_request,
};

impl World {
    fn next_version(&mut self) -> String {
        self.versions += 1;
        self.versions.to_string()
    }

    /// Somebody creates the object, unless there is one of this name.
    pub(super) fn create(&mut self, at: usize, spec: VaultSecretSpec) {
        if self.lives[at].server.is_some() {
            return;
        }
        let mut object = VaultSecret::new(&at.to_string(), spec);
        // Of two that were created in one second the later may have the lower uid.
        object.metadata.uid = Some(format!("uid {}-{}", self.born * 7 % 10, self.born));
        self.born += 1;
        object.metadata.generation = Some(1);
        object.metadata.creation_timestamp = Some(Time(self.now()));
        object.metadata.resource_version = Some(self.next_version());
        self.lives[at].server = Some(object);
        self.lives[at].truth = Truth::default();
        self.lives[at].shown = None;
    }

    /// Somebody deletes the object: it goes once nothing of ours keeps it.
    pub(super) fn delete(&mut self, at: usize) {
        let (now, version) = (self.now(), self.next_version());
        let server = &mut self.lives[at].server;
        match server {
            Some(object) if finalizer::is_set(object) => {
                if object.metadata.deletion_timestamp.is_none() {
                    object.metadata.deletion_timestamp = Some(Time(now));
                    *object.metadata.generation.get_or_insert(0) += 1;
                    object.metadata.resource_version = Some(version);
                }
            }
            _ => *server = None,
        }
    }

    /// Somebody changes the declaration, as far as the API server admits it.
    pub(super) fn respecify(&mut self, at: usize, change: impl FnOnce(&mut VaultSecretSpec)) {
        let version = self.next_version();
        let Some(object) = &mut self.lives[at].server else {
            return;
        };
        let mut spec = object.spec.clone();
        change(&mut spec);
        if spec != object.spec && admitted(object, &spec) {
            object.spec = spec;
            *object.metadata.generation.get_or_insert(0) += 1;
            object.metadata.resource_version = Some(version);
        }
    }

    /// The same, and the watch shows it.
    pub(super) fn declare(&mut self, at: usize, change: impl FnOnce(&mut VaultSecretSpec)) {
        self.respecify(at, change);
        self.catch_up(at);
    }

    /// What is managed no more is forgotten, and may be sent anew.
    pub(super) fn forget_unmanaged(&mut self) {
        for life in &mut self.lives {
            if let Some(object) = &life.server {
                life.truth.forget_unmanaged(&object.spec);
            }
        }
    }

    /// Somebody takes all finalizers off, and the watch had shown those. (It shows every version while it lasts.)
    pub(super) fn strip(&mut self, at: usize) {
        self.catch_up(at);
        let version = self.next_version();
        if let Some(object) = &mut self.lives[at].server {
            object.metadata.finalizers = None;
            object.metadata.resource_version = Some(version);
            if object.metadata.deletion_timestamp.is_some() {
                self.lives[at].server = None;
            }
        }
    }

    pub(super) fn manage_value(&mut self, at: usize, managed: bool) {
        self.declare(at, |spec| spec.value_from = managed.then(source));
    }

    /// Somebody sets the annotation that asks for a sync, or removes it.
    pub(super) fn request(&mut self, at: usize, value: Option<u8>) {
        let version = self.next_version();
        let Some(object) = &mut self.lives[at].server else {
            return;
        };
        // Each is a new value: what no status says was handled can't be told from what was before.
        object.metadata.annotations = value.map(|value| {
            let request = format!("{value} at {version}");
            BTreeMap::from([(sync_request::ANNOTATION.into(), request)])
        });
        object.metadata.resource_version = Some(version);
        let object = object.clone();
        let latest = self.entry(at).latest;
        let status = latest.map_or_else(|| self.status(at), |latest| latest.status);
        self.lives[at].truth.asked = sync_request::is_pending(&object, &status);
        self.catch_up(at);
    }
}

/// Whether the API server admits `spec` in place of what `object` declares, by the rules of the CRD.
fn admitted(object: &VaultSecret, spec: &VaultSecretSpec) -> bool {
    let old = &object.spec;
    let bound = (object.status.as_ref()).is_some_and(|status| status.secret_id.is_some());
    let kept = |old: &Option<String>, new: &Option<String>| old.is_none() || old == new;
    valid(spec)
        && (!bound || (kept(&old.secret_id, &spec.secret_id) && kept(&old.env_key, &spec.env_key)))
}

/// Whether the API server admits `spec` at all.
pub(super) fn valid(spec: &VaultSecretSpec) -> bool {
    let managed = (spec.value_from.is_some(), spec.allowed_domains.is_some());
    let complete = managed == (true, true) && spec.env_key.is_some() && spec.secret_id.is_none();
    managed != (false, false) && (spec.creation_policy != CreationPolicy::IfMissing || complete)
}

/// Why the API server refuses a write of ours.
#[derive(Debug)]
pub(super) enum Unwritten {
    /// It is based on an older version.
    Conflict,
    /// There is no such object, or it is being deleted and takes no finalizer.
    Gone,
}

/// Our writes to the API server.
impl World {
    fn ours(&mut self, at: usize, uid: &str, version: &str) -> Result<&mut VaultSecret, Unwritten> {
        let object = (self.lives[at].server.as_mut())
            .filter(|object| object.metadata.uid.as_deref() == Some(uid))
            .ok_or(Unwritten::Gone)?;
        if object.metadata.resource_version.as_deref() == Some(version) {
            Ok(object)
        } else {
            Err(Unwritten::Conflict)
        }
    }

    pub(super) fn write_status(
        &mut self,
        at: usize,
        (uid, version): (&str, &str),
        status: VaultSecretStatus,
    ) -> Result<String, Unwritten> {
        let next = self.next_version();
        let object = self.ours(at, uid, version)?;
        object.status = Some(status);
        object.metadata.resource_version = Some(next.clone());
        self.done.status_writes += 1;
        self.lives[at].truth.unrecorded = Fields::NONE;
        Ok(next)
    }

    pub(super) fn write_finalizer(
        &mut self,
        at: usize,
        (uid, version): (&str, &str),
        set: bool,
    ) -> Result<String, Unwritten> {
        let next = self.next_version();
        let object = self.ours(at, uid, version)?;
        if set && object.metadata.deletion_timestamp.is_some() {
            return Err(Unwritten::Gone);
        }
        object.metadata.finalizers = set.then(|| vec![FINALIZER.to_owned()]);
        object.metadata.resource_version = Some(next.clone());
        if object.metadata.deletion_timestamp.is_some() {
            self.lives[at].server = None;
        }
        self.done.finalizer_writes += 1;
        Ok(next)
    }
}
