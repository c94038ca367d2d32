//! A Kubernetes operator that syncs secrets into the Nairi vault: the map of the house.
//!
//! Follow one change from the watch to the PATCH and back:
//!
//! ```text
//! watch event → watch → queue → reconcile: resolve → desired → observe → plan → apply → status
//! ```
//!
//! 1. [`watch`] keeps pruned copies of what the operator reacts to, and knows whom a change concerns.
//! 2. [`queue`] holds the objects that are due, each once, and hands them to
//! 3. [`mod@reconcile`], which asks its pure steps what to do next and does it, until nothing is left to do.
//! 4. [`nairi`] is the API on the other side; it knows nothing of Kubernetes.
//!
//! Beside the line: [`connections`] has the API keys, [`claims`] who owns which remote secret, [`vaults`] the lists of
//! vaults, [`mod@sweep`] has each made once an interval and wakes the objects that differ, [`template`] makes a value
//! of several keys of a Secret, [`ledger`] is what this process did, [`fingerprint`] how a value is recognised without
//! being kept, [`sync_request`] how one sync is asked for, [`lease`] which of several replicas acts, and the fence that
//! each write has to pass, [`fair`] how namespaces share what there is. [`mod@run`] puts them together.

pub mod api;
pub mod args;
pub mod backoff;
pub mod claims;
pub mod connections;
pub mod context;
pub mod crds;
pub mod deadline;
pub mod events;
pub mod fair;
pub mod fingerprint;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod grants;
pub mod http;
pub mod lease;
pub mod ledger;
pub mod metrics;
pub mod nairi;
pub mod queue;
pub mod reconcile;
pub mod reminder;
pub mod run;
pub mod seal;
pub mod source;
pub mod spans;
pub mod sweep;
pub mod sync_request;
pub mod telemetry;
pub mod template;
pub mod vaults;
pub mod watch;
