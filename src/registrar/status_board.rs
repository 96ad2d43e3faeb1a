//! The status of a registrar: every container, every key, and whether engine and store respond.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::log_queue;

/// The status of one container, and why it is or is not registered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerStatus {
    /// Its full id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// `absent`, `starting`, `passing`, `failing` or `draining`.
    pub state: String,
    /// The reason, if there is one.
    pub why: String,
    /// Its services.
    pub services: Vec<ServiceStatus>,
    /// What is not registered, and why.
    pub skipped: Vec<String>,
}

/// The status of one port of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceStatus {
    /// The name that consumers look up.
    pub name: String,
    /// Distinguishes services of the same name.
    pub id: String,
    /// Its port in the container.
    pub port: String,
    /// `starting`, `passing`, `failing` or `draining`.
    pub state: String,
    /// The reason, if there is one.
    pub why: String,
    /// Its key.
    pub key: String,
    /// The wanted value of the key.
    pub value: String,
    /// The key's state in the store; `None`: nothing was tried.
    pub kept: Option<KeyStatus>,
}

/// A key's state in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyStatus {
    /// Whether the store has it with the wanted value.
    pub held: bool,
    /// If not, the reason.
    pub why: String,
}

/// The status of the whole registrar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// This node's name.
    pub node: String,
    /// The engine's address.
    pub engine: String,
    /// Why the engine is unreachable; empty: it responds.
    pub engine_error: String,
    /// Why the store is unreachable; empty: it responds.
    pub store_error: String,
    /// Whether all containers that ran at the start have been inspected.
    pub complete: bool,
    /// All containers that are or were to be registered, by name.
    pub containers: Vec<ContainerStatus>,
}

/// Events counted since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    Added,
    Removed,
    Refreshed,
    Recreated,
    Conflicts,
    StoreErrors,
    Events,
    Lists,
    Inspections,
    EngineErrors,
    Checks,
    FailedChecks,
}

const COUNTS: [(&str, &str); 12] = [
    ("keys_added_total", "Keys written"),
    ("keys_removed_total", "Keys deleted"),
    ("keys_refreshed_total", "Leases renewed"),
    ("keys_recreated_total", "Keys written again because the store had lost them"),
    ("key_conflicts_total", "Writes skipped because another owner holds the key"),
    ("store_errors_total", "Requests to the store that failed"),
    ("engine_events_total", "Events of the engine"),
    ("engine_lists_total", "Lists of all containers"),
    ("engine_inspections_total", "Inspections of one container"),
    ("engine_errors_total", "Requests to the engine that failed"),
    ("checks_total", "Health checks"),
    ("checks_failed_total", "Health checks that failed"),
];

/// Holds the status. The registrar's loops write it; anybody may read it.
#[derive(Debug, Default)]
pub struct StatusBoard {
    counts: [AtomicU64; COUNTS.len()],
    status: Mutex<Status>,
    keys: Mutex<BTreeMap<String, KeyStatus>>,
    drain_queue: Mutex<Vec<(String, bool)>>,
    drain: Notify,
    outage: Mutex<OutageLog>,
    changed: watch::Sender<()>,
}

/// Which outages of the store were logged. The reconciler that renews keys during a slow start shares it with the one that
/// follows, so that one outage is logged once.
#[derive(Debug, Default)]
pub(super) struct OutageLog {
    /// When the last outage was logged.
    pub(super) last: Option<Instant>,
    /// Its end was not logged yet.
    pub(super) open: bool,
}

impl StatusBoard {
    /// Returns an empty board.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn count(&self, what: Count) {
        self.counts[what as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Changes the status of containers and engine.
    pub(super) fn write(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_replace(());
    }

    pub(super) fn outage(&self) -> MutexGuard<'_, OutageLog> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets a key's state; `None`: the key no longer exists.
    pub(super) fn key(&self, key: &str, how: Option<KeyStatus>) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        match how {
            Some(how) => keys.insert(key.to_owned(), how),
            None => keys.remove(key),
        };
        drop(keys);
        self.changed.send_replace(());
    }

    /// Returns a receiver that wakes whenever the status may have changed.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Returns the current status.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        for service in status.containers.iter_mut().flat_map(|container| container.services.iter_mut()) {
            service.kept = keys.get(&service.key).cloned();
        }
        status
    }

    /// Returns the counters and gauges in Prometheus' text format.
    #[must_use]
    pub fn metrics(&self) -> String {
        let mut text = String::new();
        let mut series = |kind: &str, name: &str, help: &str, value: u64| {
            text.push_str(&format!(
                "# HELP retune_{name} {help}\n# TYPE retune_{name} {kind}\nretune_{name} {value}\n"
            ));
        };
        for ((name, help), count) in COUNTS.iter().zip(&self.counts) {
            series("counter", &format!("register_{name}"), help, count.load(Ordering::Relaxed));
        }
        let help = "Log lines that were dropped because standard error was not read";
        series("counter", "log_lines_dropped_total", help, log_queue::dropped());
        let status = self.status();
        let services = || status.containers.iter().flat_map(|container| &container.services);
        let mut gauge = |name: &str, help: &str, value: usize| {
            series("gauge", &format!("register_{name}"), help, value as u64);
        };
        gauge("containers", "Containers that are or were to be registered", status.containers.len());
        gauge("services", "Services of those", services().count());
        let passing = services().filter(|service| service.state == "passing").count();
        gauge("services_passing", "Healthy services", passing);
        let held = services().filter(|service| service.kept.as_ref().is_some_and(|kept| kept.held)).count();
        gauge("keys_held", "Keys with the wanted value in the store", held);
        let refusals = status.containers.iter().flat_map(|container| &container.skipped);
        let refused = refusals.filter(|skipped| skipped.starts_with("refused")).count();
        gauge("services_refused", "Ports that should be registered and cannot be", refused);
        gauge("engine_up", "Whether the engine responds", usize::from(status.engine_error.is_empty()));
        gauge("store_up", "Whether the store responds", usize::from(status.store_error.is_empty()));
        text
    }

    /// Requests a drain: the container's keys are removed although it runs. Takes an id, its beginning, or a name.
    pub fn request_drain(&self, container: &str) {
        self.drain_queue.lock().unwrap_or_else(PoisonError::into_inner).push((container.to_owned(), true));
        self.drain.notify_one();
    }

    /// Cancels a drain.
    pub fn cancel_drain(&self, container: &str) {
        self.drain_queue.lock().unwrap_or_else(PoisonError::into_inner).push((container.to_owned(), false));
        self.drain.notify_one();
    }

    /// Waits for requests to drain, and takes them.
    pub(super) async fn drain_requests(&self) -> Vec<(String, bool)> {
        loop {
            let asked = std::mem::take(&mut *self.drain_queue.lock().unwrap_or_else(PoisonError::into_inner));
            if !asked.is_empty() {
                return asked;
            }
            self.drain.notified().await;
        }
    }
}
