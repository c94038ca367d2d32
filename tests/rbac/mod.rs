//! The operator may do what it does, and nothing else; and nobody else may do that.
//!
//! | file | what is shown |
//! |---|---|
//! | `main` | in each mode: a life that uses every rule of the chart, and no request that none allows |
//! | `life` | that life |
//! | `rules` | what the rules allow, and whether it was asked for |
//! | `listed` | `kubectl auth can-i --list`, as in the files beside this |
//! | `narrow` | what an operator for some namespaces can't see |
//! | `people` | the roles for people: what `edit` and `view` come to hold, and who writes status |
//! | `rendered` | which manifests there are under which values |

mod life;
mod listed;
mod narrow;
mod people;
mod rendered;
mod rules;

use crate::support::*;

/// A world whose operator has not begun yet, so that the log holds all of its life.
async fn unborn(setup: Setup) -> World {
    let setup = setup.cluster_connection().elects().without_barrier();
    setup.unstarted().start().await
}

#[tokio::test]
async fn an_operator_for_one_namespace_needs_all_its_rights_and_no_others() {
    let mut world = unborn(Setup::new().watch_one()).await;
    let began = world.cluster.audit().mark();
    life::live(&mut world).await;
    rules::exactly_used(&world, began).await;
    listed::as_in(&world, include_str!("narrow.txt")).await;
}

/// It sees what the worlds before it left behind, too: that uses no other rights.
#[tokio::test]
async fn an_operator_for_all_namespaces_needs_all_its_rights_and_no_others() {
    let mut world = unborn(Setup::new().watch_all()).await;
    let began = world.cluster.audit().mark();
    life::live(&mut world).await;
    rules::exactly_used(&world, began).await;
    listed::as_in(&world, include_str!("wide.txt")).await;
}
