//! The record of this node, from which others choose where a container may run.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::reconcile::request::{
    COMPARE_FAILED, KEY_EXISTS, NEWEST, NOT_FOUND, UNAUTHORIZED, keys_of, one_line,
};
use super::settings::{Lease, OnExit};
use super::status_board::{Count, StatusBoard};
use crate::backoff::Backoff;
use crate::client::cluster::{Cluster, Delete, RequestError, Set};
use crate::placement;
use crate::stop::Stop;

/// The directory of all nodes' records. Hidden: a listing of the root does not show it.
pub const NODES: &str = "/_retune/nodes";

/// A record longer than this is published without its images.
const MAX_RECORD_BYTES: usize = 1 << 20;
/// The lease of a record where keys have none: a record always has one.
const DEFAULT_TTL: Duration = Duration::from_secs(60);
/// The shortest interval between two writes of a record that keeps changing.
const MIN_WRITE_INTERVAL: Duration = Duration::from_secs(1);
/// How long the removal may take.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(3);

/// Returns a node's name as one segment of a key.
pub(super) fn segment(node: &str) -> String {
    let name = node.replace('/', "_");
    // These names mean directories.
    if matches!(name.as_str(), "" | "." | "..") { "_".repeat(name.len().max(1)) } else { name }
}

/// Returns the key of a node's record.
pub(super) fn record_key(node: &str) -> String {
    format!("{NODES}/{}", segment(node))
}

#[derive(Serialize)]
struct RecordBody<'n> {
    #[serde(flatten)]
    node: &'n placement::Node,
    host: &'n str,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RecordHost {
    host: String,
}

/// Returns the host that published the record of a node's name, if there is one.
pub(super) async fn published_host(cluster: &Cluster, node: &str) -> Result<Option<String>, RequestError> {
    match keys_of(cluster).get(record_key(node).as_bytes(), NEWEST).await {
        Ok(event) => Ok(Some(host_of(&event.node.value))),
        // No record, or no permission to read it: no evidence of a running host.
        Err(RequestError::Etcd(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn host_of(record: &str) -> String {
    serde_json::from_str(record).unwrap_or(RecordHost::default()).host
}

/// Publishes the record under its lease, each time it changes, until the stop; then removes it if the keys are removed.
/// `host` identifies this host, to detect another host with the same name.
pub(super) async fn publish(
    cluster: Arc<Cluster>,
    host: String,
    (lease, on_exit): (Lease, OnExit),
    mut facts: watch::Receiver<Option<placement::Node>>,
    status_board: Arc<StatusBoard>,
    stop: Stop,
) -> Result<(), String> {
    // A record shows that its host is running, so its lease is short, however long keys live.
    let ttl = lease.ttl.unwrap_or(DEFAULT_TTL).min(DEFAULT_TTL);
    let refresh = if lease.ttl == Some(ttl) { lease.refresh } else { ttl / 3 };
    let ttl = ttl.as_secs().max(1);
    let mut publisher =
        Publisher { cluster, host, ttl, refresh, status_board, current: None, reported: Reported::default() };
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    while !stop.requested() {
        let (node, tried) = (facts.borrow_and_update().clone(), Instant::now());
        let node_is_known = node.is_some();
        let wait = match node {
            Some(node) => publisher.turn(&node, &mut backoff).await,
            None => refresh,
        };
        let next = Instant::now() + wait;
        // There is nothing to write yet, so the first record is written at once.
        let apart = if node_is_known { tried + MIN_WRITE_INTERVAL } else { tried };
        tokio::select! {
            () = stop.wait() => break,
            () = sleep_until(next) => {}
            Ok(()) = facts.changed() => tokio::select! {
                () = stop.wait() => break,
                () = sleep_until(apart) => {}
            }
        }
    }
    // Where the keys stay, the record stays as well; both expire with their leases.
    if on_exit == OnExit::Remove {
        timeout(REMOVAL_TIMEOUT, publisher.remove_record()).await.ok();
    }
    Ok(())
}

/// The record in the store, as far as known.
struct PublishedRecord {
    key: String,
    /// `None`: a write got no response.
    body: Option<String>,
    index: Option<u64>,
    due: Instant,
}

/// What was logged before and is not repeated.
#[derive(Default)]
struct Reported {
    foreign: bool,
    refused: bool,
    long: bool,
}

struct Publisher {
    cluster: Arc<Cluster>,
    host: String,
    ttl: u64,
    refresh: Duration,
    status_board: Arc<StatusBoard>,
    current: Option<PublishedRecord>,
    reported: Reported,
}

impl Publisher {
    /// Writes or renews the record, and returns how long that lasts.
    async fn turn(&mut self, node: &placement::Node, backoff: &mut Backoff) -> Duration {
        let Some(body) = self.body(node) else { return self.refresh };
        let (key, now) = (record_key(&node.name), Instant::now());
        if let Some(current) = &self.current
            && current.body.as_ref() == Some(&body)
            && now < current.due
        {
            return current.due - now;
        }
        match self.write(&key, body).await {
            Ok(()) => {
                backoff.reset();
                self.refresh
            }
            Err(RequestError::Etcd(error)) => {
                if !std::mem::replace(&mut self.reported.refused, true) {
                    let right =
                        if error.code == UNAUTHORIZED { "; grant the role readwrite on it" } else { "" };
                    tracing::warn!(
                        "cannot publish the record of this node at {key}: the store returned {error}{right}"
                    );
                }
                self.refresh
            }
            Err(error) => {
                self.status_board.count(Count::StoreErrors);
                tracing::debug!("cannot write the record of this node: {}", one_line(&error));
                backoff.next()
            }
        }
    }

    async fn write(&mut self, key: &str, body: String) -> Result<(), RequestError> {
        let stood = self.current.take();
        let mut refresh = stood.as_ref().is_some_and(|current| current.body.as_ref() == Some(&body));
        let mut guard = stood.and_then(|current| current.index);
        let (unsure, due) = (key.to_owned(), Instant::now());
        self.current = Some(PublishedRecord { key: unsure, body: None, index: guard, due });
        // A lost response, a lost key or an earlier run's record needs no more requests than this.
        for _ in 0..4 {
            let set = Set {
                ttl: self.ttl,
                previous_index: guard.unwrap_or(0),
                exists: if guard.is_none() { Some(false) } else { refresh.then_some(true) },
                refresh,
                ..Set::default()
            };
            let sent = Instant::now();
            match keys_of(&self.cluster).set(key.as_bytes(), body.as_bytes(), &set).await {
                Ok(event) => {
                    let (index, due) = (Some(event.node.modified), sent + self.refresh);
                    self.current =
                        Some(PublishedRecord { key: key.to_owned(), body: Some(body), index, due });
                    self.reported.foreign = false;
                    return Ok(());
                }
                Err(error) => match error.code() {
                    Some(NOT_FOUND) => guard = None,
                    Some(KEY_EXISTS | COMPARE_FAILED) => {
                        let event = keys_of(&self.cluster).get(key.as_bytes(), NEWEST).await?;
                        let host = host_of(&event.node.value);
                        if !host.is_empty() && host != self.host {
                            self.current = None;
                            self.foreign(key, &host);
                            return Ok(());
                        }
                        guard = Some(event.node.modified);
                    }
                    _ => return Err(error),
                },
            }
            refresh = false;
        }
        Ok(())
    }

    fn foreign(&mut self, key: &str, host: &str) {
        if !std::mem::replace(&mut self.reported.foreign, true) {
            tracing::error!(
                "another host ({host}) publishes {key}, the record of this node's name: give each host its own name \
                 with --node-name"
            );
        }
    }

    /// Returns the record as text; `None`: it is too long even without images.
    fn body(&mut self, node: &placement::Node) -> Option<String> {
        let text = |node| serde_json::to_string(&RecordBody { node, host: &self.host }).unwrap_or_default();
        let whole = text(node);
        if whole.len() <= MAX_RECORD_BYTES {
            return Some(whole);
        }
        let small = text(&placement::Node { images: Vec::new(), ..node.clone() });
        let fits = small.len() <= MAX_RECORD_BYTES;
        if !std::mem::replace(&mut self.reported.long, true) {
            let longest = MAX_RECORD_BYTES >> 10;
            if fits {
                tracing::warn!(
                    "the record of this node is published without its images: it is longer than {longest} KiB"
                );
            } else {
                tracing::error!("the record of this node is not published: it is longer than {longest} KiB");
            }
        }
        fits.then_some(small)
    }

    async fn remove_record(&mut self) {
        let Some(current) = self.current.take() else { return };
        let (key, mut guard) = (current.key.as_bytes(), current.index.filter(|_| current.body.is_some()));
        loop {
            let Some(index) = guard else {
                // The response of a write was lost, or the record is another host's by now.
                let Ok(event) = keys_of(&self.cluster).get(key, NEWEST).await else { return };
                if host_of(&event.node.value) != self.host {
                    return;
                }
                guard = Some(event.node.modified);
                continue;
            };
            let how = Delete { previous_index: index, ..Delete::default() };
            match keys_of(&self.cluster).delete(key, &how).await {
                Err(error) if error.code() == Some(COMPARE_FAILED) => guard = None,
                // Without a response, leave the record to its lease.
                _ => return,
            }
        }
    }
}
