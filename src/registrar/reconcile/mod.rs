//! Writes, renews and removes registration keys.
//!
//! Owns: the difference between the wanted keys and those in the store ([`plan`]), leases and their renewal, the
//! list of keys that are this node's, and recovery after a crash of either side.
//! Promises: within one reconciliation the store confirms a new key before the key that it replaces is deleted or given
//! to another service ([`handover`]); another owner's key is neither replaced nor deleted; a renewal wakes no watcher;
//! a key that the store lost is written again; a directory that a removal leaves empty is deleted; an unreachable store
//! is retried for ever, with growing delays.
//! Leaves out: which keys are wanted (`model`).

mod actions;
mod availability;
mod dirs;
mod dry_run;
mod handover;
mod held;
mod outcome;
mod owned;
mod plan;
mod reconciler;
pub(super) mod request;
mod shutdown;

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

pub(super) use dry_run::dry_run;

/// The keys that should exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WantedKeys {
    /// By key.
    pub(super) keys: BTreeMap<String, Registration>,
    /// Keys that are no longer wanted but left to their leases rather than deleted.
    pub(super) released: BTreeSet<String>,
    /// Whether all containers that ran at the start have been inspected. Before that, a key of ours that is not wanted
    /// may still become wanted, so it is not deleted.
    pub(super) complete: bool,
    /// Whether containers were listed: from then on `unknown` names all containers of unknown state.
    pub(super) listed: bool,
    /// Healthy services whose key belongs to another, as container and port: their previous keys stay for a while.
    pub(super) unplaced: BTreeSet<(String, String)>,
    /// Id prefixes of containers of unknown state: the keys that an earlier run left for them stay.
    pub(super) unknown: BTreeSet<String>,
}

/// One wanted key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Registration {
    pub(super) value: String,
    /// The container's id.
    pub(super) container: String,
    /// The container's port; with the container it identifies the service.
    pub(super) port: String,
    /// The address that consumers use, independent of key and value.
    pub(super) address: String,
    /// The service's id, for the log.
    pub(super) service: String,
}

/// A reconciler's configuration.
#[derive(Clone, Debug)]
pub(super) struct ReconcilerConfig {
    /// The node's name. Two reconcilers may share it only if they want the same keys: each treats a key that is on the
    /// list of this name and that it does not want as left by a crash. A sidecar's reconciler has its own name.
    pub(super) node: String,
    /// Separates this registrar's keys from those of others on its node: another prefix, another engine, a sidecar.
    pub(super) scope: String,
    /// Whether registrars publish node records, by which a running one of this name can be detected.
    pub(super) publishes: bool,
    /// Identifies this host, to detect another host with the same name.
    pub(super) host: String,
    pub(super) lease: Lease,
    pub(super) on_exit: OnExit,
    /// Number of attempts to reach the store at start; `None`: no limit.
    pub(super) attempts: Option<u32>,
    pub(super) pause: std::time::Duration,
    /// The directory of all keys, normalised; neither it nor its parents are ever removed. `/`: no directory.
    pub(super) prefix: String,
}

/// Keeps the store in the state `wanted` until the stop.
///
/// # Errors
/// All attempts to reach the store failed.
pub(super) async fn run_reconciler(
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
