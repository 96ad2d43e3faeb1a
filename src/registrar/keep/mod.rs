//! What of it stands in the store.
//!
//! Owns: the difference between the keys that should be and those that are ([`reconcile`]), leases and their renewal, the list
//! of keys that are this node's, and being right again after a crash of either side.
//! Promises: within one reconciliation a new key is confirmed by the store before the key that it replaces is deleted or
//! given to another service ([`handover`]); a key that somebody else wrote is neither replaced nor deleted; a renewal wakes no watcher; a key that the
//! store lost is written again; a directory that a removal leaves empty goes too; a store that is away is tried for ever,
//! with growing pauses.
//! Leaves out: which keys there should be (`model`).

mod act;
mod availability;
mod difference;
mod dirs;
mod ending;
mod handover;
mod held;
mod outcome;
mod owned;
#[cfg(test)]
mod planted;
mod reconcile;
mod reconciler;
pub(super) mod request;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;

use super::settings::{Lease, OnExit};
use super::status_board::StatusBoard;
use crate::client::cluster::Cluster;
use crate::stop::Stop;
use reconciler::Reconciler;

pub(super) use difference::difference;
#[cfg(test)]
pub(super) use planted::{Planted, is as is_planted, planted};

/// The keys that should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WantedKeys {
    /// By key.
    pub(super) keys: BTreeMap<String, Registration>,
    /// Keys that are no longer wanted but left to their leases rather than deleted.
    pub(super) released: BTreeSet<String>,
    /// Whether every container that was there at the start has been looked at: before that, a key of ours that nobody wants may
    /// yet turn out to be wanted, and is not deleted.
    pub(super) complete: bool,
    /// Whether containers were listed: from then on `unknown` names every one of which nothing more is known.
    pub(super) listed: bool,
    /// Services that are well and whose key is another service's, as container and port: what they had before stays for a while.
    pub(super) unplaced: BTreeSet<(String, String)>,
    /// The beginnings of the ids of containers of which it is not known how they are: what an earlier life left of theirs stays.
    pub(super) unknown: BTreeSet<String>,
}

/// One key that should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Registration {
    pub(super) value: String,
    /// The container's id.
    pub(super) container: String,
    /// The container's port; with the container it tells which service this is.
    pub(super) port: String,
    /// Where consumers go, whatever key and value make of it.
    pub(super) address: String,
    /// The service's id, for the log.
    pub(super) service: String,
}

/// What a reconciler needs to know.
#[derive(Clone, Debug)]
pub(super) struct ReconcilerConfig {
    /// The name of this node. Two reconcilers that live at once share it only if they want the same keys: each takes what the list
    /// under this name says and nobody wants for what a crash left. A reconciler of one container has a name of its own.
    pub(super) node: String,
    /// What tells this registrar's keys from those of others on its node: another prefix, another engine, a sidecar.
    pub(super) scope: String,
    /// Whether a living registrar of this node's name can be told by its record.
    pub(super) publishes: bool,
    /// What tells this host from another one that took the same name.
    pub(super) host: String,
    pub(super) lease: Lease,
    pub(super) on_exit: OnExit,
    /// Tries of the store at start; `None`: for ever.
    pub(super) attempts: Option<u32>,
    pub(super) pause: std::time::Duration,
    /// The directory of all keys, clean; neither it nor what lies above it is ever removed. `/` for none.
    pub(super) prefix: String,
}

/// Keeps the store as `wanted` says until the stop.
///
/// # Errors
/// The store was tried as often as it was to be, and never answered.
pub(super) async fn keep(
    cluster: Arc<Cluster>,
    config: ReconcilerConfig,
    mut wanted: watch::Receiver<WantedKeys>,
    status_board: Arc<StatusBoard>,
    stop: Stop,
) -> Result<(), String> {
    let mut reconciler = Reconciler::new(cluster, config, status_board);
    tokio::select! {
        begun = reconciler.begin() => begun?,
        () = stop.wait() => return Ok(()),
    }
    reconciler.run(&mut wanted, &stop).await;
    reconciler.end(&mut wanted).await;
    Ok(())
}
