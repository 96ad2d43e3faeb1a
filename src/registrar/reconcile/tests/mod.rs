//! Reconcilers with our own store in the same process, behind a proxy that loses requests and responses.

mod crash;
mod faults;
mod handover;
mod node;
mod other_owners;
mod plain;
mod reconciling;
mod store;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{ReconcilerConfig, Registration, WantedKeys, run_reconciler};
use crate::registrar::settings::{Lease, OnExit};
use crate::registrar::status_board::{ContainerStatus, ServiceStatus, StatusBoard};
use crate::stop::Stop;
use store::Store;

/// A running reconciler.
struct Running {
    wanted: watch::Sender<WantedKeys>,
    status_board: Arc<StatusBoard>,
    stop: Stop,
    tasks: JoinSet<Result<(), String>>,
}

fn config() -> ReconcilerConfig {
    ReconcilerConfig {
        node: "h1".into(),
        host: "machine-1".into(),
        lease: Lease { ttl: Some(Duration::from_secs(2)), refresh: Duration::from_millis(300) },
        on_exit: OnExit::Keep,
        attempts: None,
        pause: Duration::from_millis(10),
        prefix: "/".into(),
        scope: "s".into(),
        publishes: true,
    }
}

/// Returns these wanted keys and values, after everything was inspected.
fn desired(keys: &[(&str, &str)]) -> WantedKeys {
    // Each key has its own service.
    let registration = |key: &str, value: &str| Registration {
        value: value.to_owned(),
        container: "5cf7dd974939aaaaaaaa".into(),
        port: key.to_owned(),
        address: value.to_owned(),
        service: "nginx".into(),
    };
    WantedKeys {
        keys: keys.iter().map(|(key, value)| ((*key).to_owned(), registration(key, value))).collect(),
        complete: true,
        ..WantedKeys::default()
    }
}

impl Running {
    fn start(store: &Store, config: ReconcilerConfig, first: WantedKeys) -> Self {
        let (wanted, listen) = watch::channel(first);
        let (status_board, stop) = (Arc::new(StatusBoard::new()), Stop::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(run_reconciler(store.cluster(), config, listen, Arc::clone(&status_board), stop.clone()));
        Self { wanted, status_board, stop, tasks }
    }

    fn desired(&self, keys: &[(&str, &str)]) {
        self.wanted.send_replace(desired(keys));
    }

    fn count(&self, name: &str) -> u64 {
        let metrics = self.status_board.metrics();
        let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("retune_register_{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
    }

    /// Returns whether a key is held, and why not.
    fn kept(&self, key: &str) -> Option<(bool, String)> {
        let service = ServiceStatus { key: key.to_owned(), ..ServiceStatus::default() };
        let container = ContainerStatus { services: vec![service], ..ContainerStatus::default() };
        self.status_board.write(|status| status.containers = vec![container]);
        let kept = self.status_board.status().containers.remove(0).services.remove(0).kept?;
        Some((kept.held, kept.why))
    }

    /// Stops it regularly.
    async fn end(mut self) -> Result<(), String> {
        self.stop.request();
        self.tasks.join_next().await.unwrap().unwrap()
    }

    /// Stops it as SIGKILL would.
    async fn crash(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Waits until the condition is true; fails after a timeout.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("after 20 s still not: {what}");
}

fn map(keys: &[(&str, &str)]) -> BTreeMap<String, String> {
    keys.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
