//! A Kubernetes operator that syncs secrets into the Nairi vault.

pub mod api;
pub mod crds;
