//! The finalizer, our only write outside of status: it keeps an object under `deletionPolicy: Delete` until its
//! remote secret is gone.

use std::time::Duration;

use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tracing::Instrument as _;

use crate::{
    api::{FINALIZER, VaultSecret},
    lease::Fence,
    spans,
};

/// Whether our finalizer is set on `object`.
#[must_use]
pub fn is_set(object: &VaultSecret) -> bool {
    object.finalizers().iter().any(|name| name == FINALIZER)
}

/// Sets or removes our finalizer on `object`, as far as `resource_version` is its version still; returns the new one.
/// Never returns once the lease is lost.
///
/// # Errors
/// Whatever the API server answers; 409 where the object has moved on.
pub async fn write(
    client: &Client,
    object: &VaultSecret,
    resource_version: &str,
    set: bool,
    (fence, timeout): (&Fence, Duration),
) -> Result<Option<String>, kube::Error> {
    let others = object.finalizers().iter().filter(|name| *name != FINALIZER);
    let ours = FINALIZER.to_owned();
    let finalizers: Vec<_> = others.chain(set.then_some(&ours)).collect();
    let body = json!({
        "metadata": {"resourceVersion": resource_version, "finalizers": finalizers},
    });
    let api: Api<VaultSecret> =
        Api::namespaced(client.clone(), &object.namespace().unwrap_or_default());
    let (name, params, patch) = (
        object.name_any(),
        PatchParams::default(),
        Patch::Merge(body),
    );
    let span = spans::kubernetes("PATCH", "VaultSecret", api.namespace(), &name);
    let request = api.patch_metadata(&name, &params, &patch).instrument(span);
    let written = fence
        .bounded(timeout, request)
        .await
        .map_err(|passed| kube::Error::Service(passed.into()))??;
    Ok(written.metadata.resource_version)
}
