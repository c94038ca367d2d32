//! The operator against a real API server and a simulated Nairi: a file or a folder for each promise.
//!
//! One program, so that the control plane starts once and no core waits for the last test of a file: `cargo test --test
//! operator drift::` runs the tests of one. `outages.rs` is a program of its own: it takes the control plane away.

mod aftermath;
mod support;

mod admission;
mod bad_input;
mod binary;
mod canary;
mod chart;
mod claims;
mod comes_back;
mod connection_health;
mod crd_rules;
mod crds;
mod creates;
mod deletes;
mod docs;
mod drift;
mod dry_run;
mod force;
mod gitops;
mod hostile_server;
mod hostile_tenants;
mod leader;
mod nairi_is_down;
mod nothing_is_lost;
mod observability;
mod one_patch;
mod rbac;
mod release;
mod stop;
mod suspend;
mod sweep;
mod sync;
mod templates;
mod tenancy;
#[cfg(feature = "otel")]
mod traces;
