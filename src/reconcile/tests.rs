use kube_runtime::{reflector::store::Writer, watcher::Event};

use super::*;
use crate::api::{VaultSecretSpec, VaultSecretStatus};

fn object(uid: &str, version: &str) -> VaultSecret {
    let mut object = VaultSecret::new("object", VaultSecretSpec::default());
    object.metadata.namespace = Some("ns".into());
    object.metadata.uid = Some(uid.into());
    object.metadata.resource_version = Some(version.into());
    object
}

/// The queue took the object at version 1; before its pass began the watch brought version 2, and with it the
/// status that the ledger had kept until then.
#[test]
fn a_pass_begins_with_the_object_that_the_ledger_gave_way_to() {
    let (mut writer, ledger) = (Writer::default(), Ledger::default());
    let store = writer.as_reader();
    let taken = object("u", "1");
    let key = ObjectRef::from_obj(&taken);
    writer.apply_watcher_event(&Event::Apply(taken));
    ledger.remember("u", VaultSecretStatus::default(), Some("2".into()));
    writer.apply_watcher_event(&Event::Apply(object("u", "2")));
    ledger.cached("u", "2");
    let (now, entry) = current(&store, &ledger, &key, "u").expect("there");
    assert!(entry.latest.is_none());
    assert_eq!(now.resource_version().as_deref(), Some("2"));

    writer.apply_watcher_event(&Event::Apply(object("another", "3")));
    assert!(
        current(&store, &ledger, &key, "u").is_none(),
        "made anew under its name"
    );
    writer.apply_watcher_event(&Event::Delete(object("another", "3")));
    assert!(current(&store, &ledger, &key, "another").is_none());
}
