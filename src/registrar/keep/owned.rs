//! The list of keys that are this node's, in the store itself: what tells a key of ours from somebody else's after a crash.
//!
//! A value is on the list before it is written to its key, so that no crash leaves a key that nobody knows.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::ReconcilerConfig;
use super::held::Owner;
use super::request::{EXISTS, NEWEST, NOT_FOUND, OTHER, refusal, soon};
use crate::client::cluster::{Cluster, Delete, RequestError, Set};
use crate::registrar::node;

/// Where the lists of all nodes lie. Hidden: a listing of the root does not show it.
const OWNED: &str = "/_retune/owned";
/// A longer list is not kept.
const MAX_LIST_BYTES: usize = 1 << 20;
/// The list outlives a weekend's outage of the registrar when leases are long, and a day at least.
const MIN_LIST_TTL: Duration = Duration::from_secs(86_400);
/// How often it is written anew although nothing changed.
const LIST_RENEWAL_INTERVAL: Duration = Duration::from_secs(3_600);
/// What is no longer ours may stay on the list for so long.
const LIST_REMOVAL_DELAY: Duration =
    if cfg!(test) { Duration::from_millis(300) } else { Duration::from_secs(5) };

/// What is known of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Entry {
    /// What may stand there and is ours, each value with the service that it is for; two while a value changes.
    pub(super) values: BTreeMap<String, Owner>,
}

/// What the list holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct List {
    host: String,
    keys: BTreeMap<String, Entry>,
}

/// Where the list of a registrar lies.
pub(super) fn place(config: &ReconcilerConfig) -> String {
    format!("{OWNED}/{}/{}", node::segment(&config.node), config.scope)
}

/// What a reading found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// The list is this host's to write; `None`: there is none yet.
    Ours { index: Option<u64>, keys: BTreeMap<String, Entry> },
    /// Another host that is alive uses this node's name.
    Foreign { host: String },
    /// The store does not let us.
    Refused { why: String },
}

/// Reads the list and says whose it is.
pub(super) async fn read(cluster: &Cluster, config: &ReconcilerConfig) -> Result<Reading, RequestError> {
    let event = match soon(cluster).get(place(config).as_bytes(), NEWEST).await {
        Ok(event) => event,
        Err(error) => {
            return match error {
                RequestError::Etcd(error) if error.code == NOT_FOUND => {
                    Ok(Reading::Ours { index: None, keys: BTreeMap::new() })
                }
                RequestError::Etcd(error) => Ok(Reading::Refused { why: refusal(&error) }),
                error => Err(error),
            };
        }
    };
    let index = Some(event.node.modified);
    let list: List = serde_json::from_str(&event.node.value).unwrap_or_else(|error| {
        tracing::warn!(
            "the list of this node's keys at {} cannot be read and is begun anew: {error}",
            event.node.key
        );
        List { host: config.host.clone(), ..List::default() }
    });
    if list.host == config.host {
        return Ok(Reading::Ours { index, keys: list.keys });
    }
    if let Some(host) = node::living(cluster, &config.node).await?.filter(|host| *host != config.host) {
        return Ok(Reading::Foreign { host });
    }
    // This host before a reboot, or one whose name it took over. Where nodes publish no records that one may live: what it left
    // then ends by itself, and nothing is deleted on the word of its list.
    let keys = if config.publishes { list.keys } else { BTreeMap::new() };
    Ok(Reading::Ours { index, keys })
}

/// What a writing came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    Done {
        index: u64,
    },
    /// The list is not as it was left.
    Changed,
    Refused {
        why: String,
    },
}

/// Writes the list, if it is as it was left.
pub(super) async fn write(
    cluster: &Cluster,
    config: &ReconcilerConfig,
    guard: Option<u64>,
    keys: &BTreeMap<String, Entry>,
) -> Result<Writing, RequestError> {
    let list = List { host: config.host.clone(), keys: keys.clone() };
    let body = serde_json::to_string(&list).unwrap_or_default();
    if body.len() > MAX_LIST_BYTES {
        return Ok(Writing::Refused { why: format!("it is longer than {} KiB", MAX_LIST_BYTES >> 10) });
    }
    let ttl = config.lease.ttl.map_or(0, |ttl| (ttl * 10).max(MIN_LIST_TTL).as_secs());
    let how = match guard {
        Some(index) => Set { previous_index: index, ttl, ..Set::default() },
        None => Set { exists: Some(false), ttl, ..Set::default() },
    };
    match soon(cluster).set(place(config).as_bytes(), body.as_bytes(), &how).await {
        Ok(event) => Ok(Writing::Done { index: event.node.modified }),
        Err(RequestError::Etcd(error)) => Ok(match error.code {
            NOT_FOUND | OTHER | EXISTS => Writing::Changed,
            _ => Writing::Refused { why: refusal(&error) },
        }),
        Err(error) => Err(error),
    }
}

/// Deletes the list, if it is as it was left.
pub(super) async fn delete(cluster: &Cluster, config: &ReconcilerConfig, guard: u64) {
    let how = Delete { previous_index: guard, ..Delete::default() };
    // It ends by itself, and says nothing that is not so.
    soon(cluster).delete(place(config).as_bytes(), &how).await.ok();
}

/// The list as this keeper knows it.
#[derive(Clone, Debug)]
pub(super) enum OwnedListState {
    /// To be read, from then on.
    Unread { from: Instant },
    /// Another host's: this keeper does without, and looks again then.
    Foreign { from: Instant },
    /// The store refuses it: this keeper does without.
    Off,
    /// As it was written last.
    Ours { index: Option<u64>, written: BTreeMap<String, Entry>, at: Instant, stale: Option<Instant> },
}

impl OwnedListState {
    /// Whether `value` may be written to `key`: it is on the list, or there is none.
    pub(super) fn covers(&self, key: &str, value: &str) -> bool {
        match self {
            Self::Unread { .. } => false,
            Self::Foreign { .. } | Self::Off => true,
            Self::Ours { written, .. } => {
                written.get(key).is_some_and(|entry| entry.values.contains_key(value))
            }
        }
    }

    /// When the list is to be written so that it says `now_ours`; `None`: it does.
    pub(super) fn write_at(&mut self, now_ours: &BTreeMap<String, Entry>, now: Instant) -> Option<Instant> {
        let Self::Ours { written, at, stale, index } = self else { return None };
        let has = |key: &String, entry: &Entry| {
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
