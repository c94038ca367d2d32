//! What the tests share: a real control plane, the running operator, the simulator of the Nairi API.
//!
//! ```ignore
//! mod support;
//! use support::*;
//!
//! #[tokio::test]
//! async fn a_promise() {
//!     let world = World::start().await;                        // control plane, namespaces, simulator, operator
//!     let id = world.remote("TOKEN", "old", &["api.example.com"]); // a secret in the vault
//!     world.create_secret("source", &[("key", "new")]).await;
//!     world.create(world.vault_secret("token").env_key("TOKEN").value_from("source", "key")).await;
//!     world.synced("token").await;
//!
//!     let mark = world.mark().await;                           // everything before has come to rest
//!     world.set_secret("source", "key", "newer").await;
//!     let seen = world.since(&mark).await;                     // everything after has come to rest, too
//!     seen.sent_exactly(&[patch(&id, json!({"value": "newer"}))]);
//! }
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `cluster` | the control plane, one for each test process: kubectl, helm, outages |
//! | `audit` | what a user did to Kubernetes, by the API server's own log |
//! | `world` | one test's namespaces, vault, connection and operator |
//! | `rights` | what the chart allows the operator, for each mode rendered once |
//! | `collector` | an OpenTelemetry collector, with the feature `otel` |
//! | `objects` | creating, changing and awaiting Kubernetes objects |
//! | `events` | what the operator said in events |
//! | `operator` | the operator as a process: start, stop, kill, logs, metrics |
//! | `rest` | coming to rest, and everything that was sent between two rests |
//! | `wait` | waiting with a deadline |
//!
//! Tests of one process run beside each other; a world made with [`Setup::alone`] has the control plane for
//! itself, as outages need it, and operators that watch all namespaces.

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "each test uses a part of this"
)]

pub mod audit;
pub mod cluster;
#[cfg(feature = "otel")]
pub mod collector;
pub mod events;
pub mod objects;
pub mod operator;
pub mod rest;
pub mod rights;
pub mod wait;
pub mod world;

pub use audit::{Audit, AuditEvent, AuditMark};
pub use cluster::{Cluster, Helm, Outage, Output, Program};
#[cfg(feature = "otel")]
pub use collector::{Collector, attribute};
pub use events::event_lines;
pub use nairi_sim::{Behaviour, Fault, NewSecret, NewVault, Options, Sim};
pub use objects::VaultSecretBuilder;
pub use operator::{Guard, Metrics, Operator};
pub use rest::{Mark, Seen, Sent, delete, list, list_vaults, patch, post};
pub use rights::{Spaces, Watched};
pub use serde_json::{Value, json};
pub use wait::{QUIET, SOON, eventually};
pub use world::{API_KEY_SECRET, Setup, World, undisturbed};
