//! A backup that comes back: objects with other uids, with their status or without, and with or without the key of the
//! fingerprints.

use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use vaultsecret_operator::{api::VaultSecret, fingerprint::keeper};

use super::*;
use crate::aftermath::{own_secrets, start, writes};

const NAMES: [&str; 3] = ["adopted", "created", "named"];

/// Three objects in sync: one found by its key, one created, one named by id.
async fn world() -> World {
    let world = World::start().await;
    world.create_secret("source", &[("key", "value")]).await;
    let domains = ["api.example.com"];
    let both = |declared: VaultSecretBuilder| declared.value_from("source", "key").domains(domains);
    world.remote("ADOPTED", "old", &domains);
    let named = world.remote("NAMED", "old", &domains);
    world
        .create(both(world.vault_secret("adopted").env_key("ADOPTED")))
        .await;
    let created = both(world.vault_secret("created").env_key("CREATED"));
    world.create(created.create_if_missing()).await;
    world
        .create(both(world.vault_secret("named").secret_id(&named)))
        .await;
    for name in NAMES {
        world.synced(name).await;
    }
    world.rest().await;
    world
}

/// All of them are deleted, and made again out of `backup`, while no operator runs.
async fn restore(world: &World, backup: &[VaultSecret], with_status: bool) {
    let api = world.vault_secrets();
    for object in backup {
        let name = object.metadata.name.clone();
        let known = name.clone().expect("a name");
        world.delete(&known).await;
        world.gone(&known).await;
        let metadata = ObjectMeta {
            name,
            ..ObjectMeta::default()
        };
        let (spec, status) = (object.spec.clone(), object.status.clone());
        let made = VaultSecret {
            metadata,
            spec,
            status: None,
        };
        let made = api
            .create(&PostParams::default(), &made)
            .await
            .expect("a free name");
        assert_ne!(made.metadata.uid, object.metadata.uid);
        if with_status {
            let status = Patch::Merge(json!({ "status": status }));
            let params = PatchParams::default();
            api.patch_status(&known, &params, &status)
                .await
                .expect("it exists");
        }
    }
}

/// The operator starts; all come to be in sync.
async fn comes_back(world: &mut World) -> Vec<VaultSecret> {
    start(world).await;
    world.rest().await;
    let mut objects = Vec::new();
    for name in NAMES {
        objects.push(world.synced(name).await);
    }
    objects
}

/// Since the mark the value of each was sent once, or nothing was; nothing else was written to the vault.
async fn cost(world: &World, mark: &Mark, objects: &[VaultSecret], sent: bool) {
    let seen = world.since(mark).await;
    let mut writes = writes(&seen);
    let bound = objects.iter().map(|object| {
        let status = object.status.as_ref();
        let id = status.and_then(|it| it.secret_id.as_deref());
        patch(id.expect("it is bound"), json!({"value": "value"}))
    });
    let mut expected: Vec<_> = bound.filter(|_| sent).collect();
    let order = |sent: &Sent| format!("{sent:?}");
    writes.sort_by_key(order);
    expected.sort_by_key(order);
    assert_eq!(writes, expected);
    assert_eq!(world.sim.secrets(&world.vault).len(), NAMES.len());
}

#[tokio::test]
async fn it_costs_one_patch_for_each_object_with_another_uid_and_creates_nothing() {
    let mut world = world().await;
    let mut backup = Vec::new();
    for name in NAMES {
        backup.push(world.get(name).await);
    }
    // The Secret comes back too, or was never away: then a status that comes back is still true.
    for (with_status, with_secret, sent) in [
        (false, true, true),
        (true, true, true),
        (true, false, false),
    ] {
        world.operator.stop().await;
        let mark = world.mark_now();
        if with_secret {
            world.delete_secret("source").await;
            world.create_secret("source", &[("key", "value")]).await;
        }
        restore(&world, &backup, with_status).await;
        backup = comes_back(&mut world).await;
        cost(&world, &mark, &backup, sent).await;
    }

    // The same objects, as from a backup of etcd; the fingerprints' key comes back, or does not.
    let keys = own_secrets(&world);
    for key_comes_back in [true, false] {
        world.operator.stop().await;
        let mark = world.mark_now();
        let mut key = keys
            .get(keeper::SECRET)
            .await
            .expect("the operator made it");
        let gone = keys.delete(keeper::SECRET, &DeleteParams::default()).await;
        gone.expect("it was there");
        if key_comes_back {
            key.metadata = ObjectMeta {
                name: key.metadata.name,
                ..ObjectMeta::default()
            };
            keys.create(&PostParams::default(), &key)
                .await
                .expect("a free name");
        }
        backup = comes_back(&mut world).await;
        cost(&world, &mark, &backup, false).await;
    }
    // That it is another one shows when the values are read the next time.
    for sent in [true, false] {
        let mark = world.mark_now();
        let touch = if sent { "1" } else { "2" };
        world.set_secret("source", "other", touch).await;
        cost(&world, &mark, &backup, sent).await;
    }
}
