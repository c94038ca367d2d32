//! A simulator of the Nairi API, for tests and for people.
//!
//! It answers the documented calls over real HTTP on loopback, plain or with TLS, logs every request byte for byte,
//! and has a switch for everything the documentation leaves open and a fault for everything that can go wrong.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use nairi_sim::{Fault, NewSecret, NewVault, Options, Sim};
//!
//! let sim = Sim::start(Options::default()).await;
//! let vault = sim.add_vault(NewVault::default());
//! let secret = sim.add_secret(&vault, NewSecret { env_key: "TOKEN".into(), ..NewSecret::default() });
//! let fault = sim.fault(Fault::retry_after(503, "2").method("PATCH").secret(&secret).once());
//! assert_eq!(fault.fired(), 0);
//! assert_eq!(sim.log().writes().len(), 0);
//! # }
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `sim` | the handle: start, stop, pause, keys, reads |
//! | `outsider` | changes that no request made |
//! | `behaviour` | the switches |
//! | `fault`, `faults` | what goes wrong; which of it is active |
//! | `log`, `entry` | what arrived, and what became of it |
//! | `api` | the documented calls |
//! | `state` | vaults and secrets |
//! | `exchange`, `body` | one request's way through log, fault, call and answer |
//! | `server`, `tls` | connections |
//! | `control`, `line` | the same by curl, for the program; a request on one line |

mod api;
mod behaviour;
mod body;
mod control;
mod entry;
mod exchange;
mod fault;
mod faults;
mod ids;
mod line;
mod log;
mod millis;
mod outsider;
mod server;
mod sim;
mod state;
mod tls;
mod wire;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use api::BASE;
pub use behaviour::{Behaviour, DomainsOrder, Duplicate, Lag, ListOrder};
pub use entry::{Entries, Entry, Mark, Outcome};
pub use fault::{Answer, Effect, Fault, FaultId, Moment, Target, Times};
pub use faults::{FaultHandle, FaultState, NotSeen};
pub use ids::{TimeFormat, api_key, secret_id, vault_id, well_formed};
pub use line::Line;
pub use log::{Log, Observer, TimedOut};
pub use outsider::{Outsider, Refused};
pub use sim::{Options, Sim, Stored};
pub use state::{NewSecret, NewVault};
pub use tls::{Certificate, Tls};

/// Locks, whatever happened to an earlier holder: a failed test must not fail the next look.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
