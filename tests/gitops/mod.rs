//! Living with GitOps tools and kubectl: what they say of an object is what a person would, nothing they do costs more
//! than it has to, and nothing the operator does is a difference to them.
//!
//! | file | what is tried |
//! |---|---|
//! | `judge` | what kstatus, Flux and Argo CD say of objects: the Go module beside this |
//! | `health` | of one object for each reason there is, as the operator made it |
//! | `kubectl` | apply, diff, wait, prune |
//! | `generated` | the names of generated Secrets, by the example in `examples/gitops/app` |
//! | `owner` | what the operator writes to an object |
//! | `restore` | a backup that comes back with other uids |

mod generated;
mod health;
mod judge;
mod kubectl;
mod owner;
mod restore;

use std::{fs, path::Path};

use crate::support::*;

/// An example's file.
fn example(path: &str) -> String {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/gitops");
    let path = Path::new(examples).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The documents of a YAML file.
fn documents(yaml: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"))
}
