//! Which objects refer to which Secret and connection, so that a change wakes just those it concerns.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

use kube::ResourceExt as _;
use kube_runtime::reflector::ObjectRef;
use parking_lot::RwLock;

use crate::{
    api::VaultSecret,
    connections::{Connection, ConnectionId},
};

/// A Secret's namespace and name.
pub type SecretName = (String, String);

/// References between objects, kept current by the watches.
#[derive(Default)]
pub struct Index {
    by_secret: RwLock<Links<SecretName, ObjectRef<VaultSecret>>>,
    by_connection: RwLock<Links<ConnectionId, ObjectRef<VaultSecret>>>,
    key_secrets: RwLock<Links<SecretName, ConnectionId>>,
}

impl Index {
    /// Takes over what `object` refers to.
    pub fn object(&self, object: &VaultSecret) {
        let (me, namespace) = (
            ObjectRef::from_obj(object),
            object.namespace().unwrap_or_default(),
        );
        let connection = ConnectionId::of(&object.spec.connection_ref, &namespace);
        let secret = object
            .spec
            .source_secret()
            .map(|name| (namespace, name.to_owned()));
        self.by_secret.write().set(&me, secret);
        self.by_connection.write().set(&me, Some(connection));
    }

    /// `object` is gone.
    pub fn forget_object(&self, object: &ObjectRef<VaultSecret>) {
        self.by_secret.write().set(object, None);
        self.by_connection.write().set(object, None);
    }

    /// Takes over where `connection` has its key.
    pub fn connection(&self, connection: &impl Connection) {
        let key = connection.key();
        self.key_secrets.write().set(
            &connection.id(),
            Some((key.namespace.to_owned(), key.name.to_owned())),
        );
    }

    /// `connection` is gone.
    pub fn forget_connection(&self, connection: &ConnectionId) {
        self.key_secrets.write().set(connection, None);
    }

    /// The objects whose value comes from this Secret.
    #[must_use]
    pub fn readers(&self, secret: &SecretName) -> Vec<ObjectRef<VaultSecret>> {
        self.by_secret.read().of(secret)
    }

    /// The objects that use this connection.
    #[must_use]
    pub fn users(&self, connection: &ConnectionId) -> Vec<ObjectRef<VaultSecret>> {
        self.by_connection.read().of(connection)
    }

    /// The connections whose key is in this Secret.
    #[must_use]
    pub fn keyed_by(&self, secret: &SecretName) -> Vec<ConnectionId> {
        self.key_secrets.read().of(secret)
    }
}

/// Members, each linked to at most one target, found by it.
struct Links<T, M> {
    members: HashMap<T, HashSet<M>>,
    target: HashMap<M, T>,
}

impl<T, M> Default for Links<T, M> {
    fn default() -> Self {
        Self {
            members: HashMap::new(),
            target: HashMap::new(),
        }
    }
}

impl<T: Clone + Eq + Hash, M: Clone + Eq + Hash> Links<T, M> {
    fn set(&mut self, member: &M, target: Option<T>) {
        if self.target.get(member) == target.as_ref() {
            return;
        }
        if let Some(before) = self.target.remove(member)
            && let Some(members) = self.members.get_mut(&before)
        {
            members.remove(member);
            if members.is_empty() {
                self.members.remove(&before);
            }
        }
        if let Some(target) = target {
            self.members
                .entry(target.clone())
                .or_default()
                .insert(member.clone());
            self.target.insert(member.clone(), target);
        }
    }

    fn of(&self, target: &T) -> Vec<M> {
        self.members
            .get(target)
            .map(|members| members.iter().cloned().collect())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// After any sequence of links, what is found by a target is exactly what was last linked to it,
        /// and nothing is kept for targets without members.
        #[test]
        fn links_are_what_was_set_last(steps in prop::collection::vec((0..6u8, prop::option::of(0..4u8)), 0..60)) {
            let mut links = Links::default();
            let mut model: HashMap<u8, u8> = HashMap::new();
            for (member, target) in steps {
                links.set(&member, target);
                match target {
                    Some(target) => model.insert(member, target),
                    None => model.remove(&member),
                };
            }
            for target in 0..4u8 {
                let mut found = links.of(&target);
                found.sort_unstable();
                let mut expected: Vec<_> = model.iter().filter(|(_, t)| **t == target).map(|(m, _)| *m).collect();
                expected.sort_unstable();
                prop_assert_eq!(found, expected);
            }
            prop_assert_eq!(links.target.len(), model.len());
            prop_assert_eq!(links.members.len(), model.values().collect::<HashSet<_>>().len());
        }
    }
}
