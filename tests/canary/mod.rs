//! A value is never seen outside the Secret it lives in and the TLS connection to Nairi; nor is an API key.
//!
//! Canary values and keys go through everything that can go well or wrong, at the lowest log level. After each step
//! they are searched for, in every form, in all that the operator shows: logs, events, objects, metrics, its
//! environment and arguments. Each step has a value of its own, so that a finding names the step it is from.
//!
//! | file | holds |
//! |---|---|
//! | `search` | canaries, and the search for them in any form |
//! | `watched` | the places that are searched |
//! | `steps` | a world with a canary in it, and what most steps have in common |
//! | `answers` | whatever Nairi may answer |
//! | `hostile` | answers that no honest server gives |
//! | `life` | rotations, restarts, kills, keys that come and go |
//! | `templates` | templates that render, and those that can't |
//! | `garbled`, `proxy` | Kubernetes answers that no API server would send |
//! | `eavesdropper` | a proxy on the way to Nairi |
//! | `panics` | a reconcile that panics |
//! | `starts` | a start that fails |

mod answers;
mod eavesdropper;
mod garbled;
mod hostile;
mod life;
mod panics;
mod proxy;
mod search;
mod starts;
mod steps;
mod templates;
mod watched;

use crate::support::Setup;

/// A world in the making whose operator logs in that format.
fn setup(format: &str) -> Setup {
    Setup::new().flag(&format!("--log-format={format}"))
}
