//! The v2 keys API, with typed responses.

use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use super::error::RequestError;
use super::escape;
use super::reply::Reply;
use super::request::{Cluster, ClusterRequest};
use super::waiting::WatchPosition;
use crate::protocol::quoted;

const FORM: &str = "application/x-www-form-urlencoded";

/// The delay before a watch that ended without an event is opened again.
const WATCH_RETRY_DELAY: Duration = Duration::from_millis(200);

/// A watch without events is reopened after this time at the index it has reached, so that its position is still in
/// the history when it must move to another member.
const IDLE_WATCH_INTERVAL: Duration =
    if cfg!(test) { Duration::from_millis(600) } else { Duration::from_secs(50) };

/// A file or a directory of the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Node {
    /// Absolute; the root has none.
    #[serde(default)]
    pub key: String,
    /// Whether it is a directory.
    #[serde(default)]
    pub dir: bool,
    /// A file's text; invalid UTF-8 is replaced by replacement characters.
    #[serde(default)]
    pub value: String,
    /// A directory's entries; missing where the store does not list them.
    #[serde(default)]
    pub nodes: Option<Vec<Self>>,
    /// The index of the write that created it.
    #[serde(default, rename = "createdIndex")]
    pub created: u64,
    /// The index of the last write.
    #[serde(default, rename = "modifiedIndex")]
    pub modified: u64,
    /// When it expires, as the store wrote it.
    #[serde(default)]
    pub expiration: Option<String>,
    /// Seconds left; 0: no expiry.
    #[serde(default)]
    pub ttl: i64,
}

/// The result of a request, or an event of a watch.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Event {
    /// `get`, `set`, `create`, `update`, `compareAndSwap`, `delete`, `compareAndDelete` or `expire`.
    #[serde(default)]
    pub action: String,
    /// The node after the event.
    pub node: Node,
    /// The node before the event.
    #[serde(default, rename = "prevNode")]
    pub before: Option<Node>,
    /// The store's index at the response.
    #[serde(skip)]
    pub index: u64,
    /// The id of the responding cluster, if it reports one.
    #[serde(skip)]
    pub cluster: Option<u64>,
}

/// Options of a read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Get {
    /// Also read everything below.
    pub recursive: bool,
    /// Sort directory entries by name.
    pub sorted: bool,
    /// Read only what the majority has.
    pub quorum: bool,
}

/// Options and conditions of a write.
#[derive(Clone, Debug, Default)]
pub struct Set {
    /// Write a directory, which has no value.
    pub dir: bool,
    /// Seconds to live; 0: no expiry.
    pub ttl: u64,
    /// The required current value; empty: no condition.
    pub previous_value: Vec<u8>,
    /// The required index of the current node; 0: no condition.
    pub previous_index: u64,
    /// Whether the key must or must not exist.
    pub exists: Option<bool>,
    /// Only change the TTL of an existing key; the value stays and no watcher wakes. Needs `ttl`.
    pub refresh: bool,
}

/// Options and conditions of a deletion.
#[derive(Clone, Debug, Default)]
pub struct Delete {
    /// Also delete an empty directory.
    pub dir: bool,
    /// Also delete a directory with its content.
    pub recursive: bool,
    /// The required current value; empty: no condition.
    pub previous_value: Vec<u8>,
    /// The required index of the current node; 0: no condition.
    pub previous_index: u64,
}

/// The keys of a cluster, with one deadline for all requests of this value; a watch has none.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'c> {
    cluster: &'c Cluster,
    deadline: Option<Instant>,
}

impl<'c> Keys<'c> {
    /// Returns access to the keys of `cluster`.
    #[must_use]
    pub const fn new(cluster: &'c Cluster, deadline: Option<Instant>) -> Self {
        Self { cluster, deadline }
    }

    /// Reads `key`.
    ///
    /// # Errors
    /// Any.
    pub async fn get(&self, key: &[u8], how: Get) -> Result<Event, RequestError> {
        let flag = |flag: bool| if flag { b"true".to_vec() } else { b"false".to_vec() };
        let query = vec![
            ("quorum", flag(how.quorum)),
            ("recursive", flag(how.recursive)),
            ("sorted", flag(how.sorted)),
        ];
        self.execute(Method::GET, key, query, None, false).await
    }

    /// Writes `value`, or creates a directory.
    ///
    /// # Errors
    /// Any; `One` when the key must not exist, because a second attempt could find the key of the first.
    pub async fn set(&self, key: &[u8], value: &[u8], how: &Set) -> Result<Event, RequestError> {
        let (mut query, mut form) = (Vec::new(), Vec::new());
        if how.dir {
            query.push(("dir", b"true".to_vec()));
        } else {
            if !how.previous_value.is_empty() {
                query.push(("prevValue", how.previous_value.clone()));
            }
            if how.refresh {
                query.push(("refresh", b"true".to_vec()));
            } else {
                form.push(("value", value.to_vec()));
            }
        }
        if how.previous_index != 0 {
            query.push(("prevIndex", how.previous_index.to_string().into_bytes()));
        }
        if let Some(exists) = how.exists {
            query.push(("prevExist", exists.to_string().into_bytes()));
        }
        if how.ttl > 0 {
            form.push(("ttl", how.ttl.to_string().into_bytes()));
        }
        self.execute(Method::PUT, key, query, Some(form), how.exists == Some(false)).await
    }

    /// Writes `value` under a new name in `dir`; such names sort by age.
    ///
    /// # Errors
    /// Any.
    pub async fn create_in_order(&self, dir: &[u8], value: &[u8], ttl: u64) -> Result<Event, RequestError> {
        let mut form = vec![("value", value.to_vec())];
        if ttl > 0 {
            form.push(("ttl", ttl.to_string().into_bytes()));
        }
        self.execute(Method::POST, dir, Vec::new(), Some(form), false).await
    }

    /// Deletes `key`.
    ///
    /// # Errors
    /// Any; `One` when an endpoint failed, because a second attempt could miss what the first deleted.
    pub async fn delete(&self, key: &[u8], how: &Delete) -> Result<Event, RequestError> {
        let mut query = Vec::new();
        if !how.previous_value.is_empty() {
            query.push(("prevValue", how.previous_value.clone()));
        }
        if how.previous_index != 0 {
            query.push(("prevIndex", how.previous_index.to_string().into_bytes()));
        }
        if how.dir {
            query.push(("dir", b"true".to_vec()));
        }
        if how.recursive {
            query.push(("recursive", b"true".to_vec()));
        }
        self.execute(Method::DELETE, key, query, None, true).await
    }

    /// Waits for the first event at (`recursive`: or below) `key` from index `from` on; 0: from now on. A watch that
    /// moves to another endpoint continues at its position.
    ///
    /// # Errors
    /// Any; `Replaced` when another cluster replaces this one.
    pub async fn next(&self, key: &[u8], from: u64, recursive: bool) -> Result<Event, RequestError> {
        self.next_of(key, (from, self.cluster.epoch()), recursive).await
    }

    /// Does the same from an index that was obtained at [`Cluster::epoch`] `epoch`.
    ///
    /// # Errors
    /// Any; `Replaced` when another cluster has replaced that one.
    pub async fn next_of(
        &self,
        key: &[u8],
        (from, epoch): (u64, u64),
        recursive: bool,
    ) -> Result<Event, RequestError> {
        let wait = Some(WatchPosition::new(from, epoch, recursive));
        let outgoing = ClusterRequest { wait, ..ClusterRequest::get(&path(key)) };
        loop {
            let asked = self.cluster.execute(&outgoing, None);
            let reply = if self.cluster.learns() {
                let Ok(reply) = timeout(IDLE_WATCH_INTERVAL, asked).await else {
                    outgoing.wait.as_ref().inspect(|waiting| waiting.quiet());
                    continue;
                };
                reply
            } else {
                asked.await
            };
            match event(&reply?) {
                // A proxy ended an idle watch; the delay prevents a tight loop when it does so at once.
                Err(RequestError::Empty) => tokio::time::sleep(WATCH_RETRY_DELAY).await,
                answer => return answer,
            }
        }
    }

    async fn execute(
        &self,
        method: Method,
        key: &[u8],
        query: Vec<(&'static str, Vec<u8>)>,
        form: Option<Vec<(&'static str, Vec<u8>)>>,
        once: bool,
    ) -> Result<Event, RequestError> {
        let body = form.map(|form| (FORM, escape::pairs(form)));
        let outgoing = ClusterRequest {
            method,
            path: path(key),
            query: escape::pairs(query),
            body,
            once,
            wait: None,
            secret: false,
        };
        event(&self.cluster.execute(&outgoing, self.deadline).await?)
    }
}

fn path(key: &[u8]) -> Vec<u8> {
    let slash: &[u8] = if key.is_empty() || key.starts_with(b"/") { b"" } else { b"/" };
    [b"/v2/keys", slash, key].concat()
}

fn event(reply: &Reply) -> Result<Event, RequestError> {
    if !matches!(reply.status, 200 | 201) {
        return Err(serde_json::from_slice(&reply.body).map_or(RequestError::NotJson, RequestError::Etcd));
    }
    if reply.body.is_empty() {
        return Err(RequestError::Empty);
    }
    let mut event: Event = serde_json::from_slice(&reply.body).map_err(|error| {
        // The parser's own limit; serde_json has no other way to recognise it.
        if error.to_string().starts_with("recursion limit") {
            RequestError::TooDeep
        } else {
            RequestError::NotJson
        }
    })?;
    event.cluster = reply.cluster;
    event.index = match reply.index.as_deref() {
        None | Some("") => 0,
        Some(text) => text.parse().map_err(|_| {
            RequestError::Refused(format!("strconv.ParseUint: parsing {}: invalid syntax", quoted(text)))
        })?,
    };
    Ok(event)
}
