//! The list of this node's keys, kept in the store: after a crash it distinguishes our keys from those of others.
//!
//! A value goes on the list before it is written to its key, so after a crash the list has every key.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::ReconcilerConfig;
use super::actions::ActionError;
use super::held::Owner;
use super::request::{COMPARE_FAILED, KEY_EXISTS, NEWEST, NOT_FOUND, keys_of};
use crate::client::cluster::{Cluster, Delete, Set};
use crate::registrar::node;

/// The directory of all nodes' lists. Hidden: a listing of the root does not show it.
const OWNED: &str = "/_retune/owned";
/// The longest list that is kept.
const MAX_LIST_BYTES: usize = 1 << 20;
/// The shortest lease of the list. Otherwise it is ten times that of the keys, to survive an outage of the registrar.
const MIN_LIST_TTL: Duration = Duration::from_secs(86_400);
/// How often the list is rewritten although nothing changed.
const LIST_RENEWAL_INTERVAL: Duration = Duration::from_secs(3_600);
/// How long an entry may stay on the list after it is no longer ours.
const LIST_REMOVAL_DELAY: Duration =
    if cfg!(test) { Duration::from_millis(300) } else { Duration::from_secs(5) };

/// The entry of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct OwnedKey {
    /// The values that are ours and may be at the key, each with its service; two while a value changes.
    pub(super) values: BTreeMap<String, Owner>,
}

/// The content of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct OwnedList {
    host: String,
    keys: BTreeMap<String, OwnedKey>,
}

/// Returns the path of a registrar's list.
pub(super) fn list_key(config: &ReconcilerConfig) -> String {
    format!("{OWNED}/{}/{}", node::segment(&config.node), config.scope)
}

/// The result of a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ListRead {
    /// This host may write the list; `None`: there is none yet.
    Ours { index: Option<u64>, keys: BTreeMap<String, OwnedKey> },
    /// Another running host uses this node's name.
    Foreign { host: String },
}

/// Reads the list and determines its owner.
pub(super) async fn read(cluster: &Cluster, config: &ReconcilerConfig) -> Result<ListRead, ActionError> {
    let event = match keys_of(cluster).get(list_key(config).as_bytes(), NEWEST).await {
        Ok(event) => event,
        Err(error) if error.code() == Some(NOT_FOUND) => {
            return Ok(ListRead::Ours { index: None, keys: BTreeMap::new() });
        }
        Err(error) => return Err(error.into()),
    };
    let index = Some(event.node.modified);
    let list: OwnedList = serde_json::from_str(&event.node.value).unwrap_or_else(|error| {
        tracing::warn!(
            "the list of this node's keys at {} is unreadable; starting a new one: {error}",
            event.node.key
        );
        OwnedList { host: config.host.clone(), ..OwnedList::default() }
    });
    if list.host == config.host {
        return Ok(ListRead::Ours { index, keys: list.keys });
    }
    if let Some(host) = node::published_host(cluster, &config.node).await?.filter(|host| *host != config.host)
    {
        return Ok(ListRead::Foreign { host });
    }
    // The list is of this host before a reboot, or of a host whose name it took over. Without node records that host
    // may still be running: then its keys expire by themselves, and its list causes no deletions.
    let keys = if config.publishes { list.keys } else { BTreeMap::new() };
    Ok(ListRead::Ours { index, keys })
}

/// Writes the list, if nobody else changed it; returns its new index. `None`: somebody changed it.
pub(super) async fn write(
    cluster: &Cluster,
    config: &ReconcilerConfig,
    guard: Option<u64>,
    keys: &BTreeMap<String, OwnedKey>,
) -> Result<Option<u64>, ActionError> {
    let list = OwnedList { host: config.host.clone(), keys: keys.clone() };
    let body = serde_json::to_string(&list).unwrap_or_default();
    if body.len() > MAX_LIST_BYTES {
        return Err(ActionError::Refused { why: format!("it is longer than {} KiB", MAX_LIST_BYTES >> 10) });
    }
    let ttl = config.lease.ttl.map_or(0, |ttl| (ttl * 10).max(MIN_LIST_TTL).as_secs());
    let how = match guard {
        Some(index) => Set { previous_index: index, ttl, ..Set::default() },
        None => Set { exists: Some(false), ttl, ..Set::default() },
    };
    match keys_of(cluster).set(list_key(config).as_bytes(), body.as_bytes(), &how).await {
        Ok(event) => Ok(Some(event.node.modified)),
        Err(error) if matches!(error.code(), Some(NOT_FOUND | COMPARE_FAILED | KEY_EXISTS)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Deletes the list, if nobody else changed it.
pub(super) async fn delete(cluster: &Cluster, config: &ReconcilerConfig, guard: u64) {
    let how = Delete { previous_index: guard, ..Delete::default() };
    // On failure it expires by itself, and until then it is correct.
    keys_of(cluster).delete(list_key(config).as_bytes(), &how).await.ok();
}

/// The state of the list as this reconciler knows it.
#[derive(Clone, Debug)]
pub(super) enum OwnedListState {
    /// To be read at this time.
    Unread { from: Instant },
    /// Another host's: this reconciler works without a list, and reads again at this time.
    Foreign { from: Instant },
    /// The store rejects it: this reconciler works without a list.
    Off,
    /// The content as last written.
    Ours { index: Option<u64>, written: BTreeMap<String, OwnedKey>, at: Instant, stale: Option<Instant> },
}

impl OwnedListState {
    /// Returns whether `value` may be written to `key`: the list has it, or there is no list.
    pub(super) fn covers(&self, key: &str, value: &str) -> bool {
        match self {
            Self::Unread { .. } => false,
            Self::Foreign { .. } | Self::Off => true,
            Self::Ours { written, .. } => {
                written.get(key).is_some_and(|entry| entry.values.contains_key(value))
            }
        }
    }

    /// Returns when the list must be written so that it matches `now_ours`; `None`: it matches.
    pub(super) fn write_at(
        &mut self,
        now_ours: &BTreeMap<String, OwnedKey>,
        now: Instant,
    ) -> Option<Instant> {
        let Self::Ours { written, at, stale, index } = self else { return None };
        let has = |key: &String, entry: &OwnedKey| {
            written
                .get(key)
                .is_some_and(|known| entry.values.keys().all(|value| known.values.contains_key(value)))
        };
        if !now_ours.iter().all(|(key, entry)| has(key, entry)) {
            return Some(now);
        }
        if now_ours != written {
            return Some(*stale.get_or_insert(now) + LIST_REMOVAL_DELAY);
        }
        *stale = None;
        (index.is_some() && !written.is_empty()).then(|| *at + LIST_RENEWAL_INTERVAL)
    }
}
