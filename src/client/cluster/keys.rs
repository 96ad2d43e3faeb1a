//! The v2 keys API with typed answers.

use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use super::error::RequestError;
use super::escape;
use super::request::{Cluster, ClusterRequest, Reply};
use super::waiting::WatchPosition;

const FORM: &str = "application/x-www-form-urlencoded";

/// Before a watch that was ended without an event is opened again.
const WATCH_RETRY_DELAY: Duration = Duration::from_millis(200);

/// A watch that saw nothing for this long is asked anew from the index it has proven, so that its place is still in
/// the history when it has to move to another member.
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
    /// A file's text; what was no UTF-8 came as replacement characters.
    #[serde(default)]
    pub value: String,
    /// What a directory holds; the store leaves it out where it is not asked for.
    #[serde(default)]
    pub nodes: Option<Vec<Self>>,
    /// The index of the write that made it.
    #[serde(default, rename = "createdIndex")]
    pub created: u64,
    /// The index of the last write.
    #[serde(default, rename = "modifiedIndex")]
    pub modified: u64,
    /// When it expires, as the store wrote it.
    #[serde(default)]
    pub expiration: Option<String>,
    /// Seconds left; 0 without a limit.
    #[serde(default)]
    pub ttl: i64,
}

/// What a request did, or what a watch saw.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Event {
    /// `get`, `set`, `create`, `update`, `compareAndSwap`, `delete`, `compareAndDelete` or `expire`.
    #[serde(default)]
    pub action: String,
    /// What is there now.
    pub node: Node,
    /// What was there before.
    #[serde(default, rename = "prevNode")]
    pub before: Option<Node>,
    /// The store's index at the answer.
    #[serde(skip)]
    pub index: u64,
    /// The id of the cluster that answered, where it says so.
    #[serde(skip)]
    pub cluster: Option<u64>,
}

/// How to read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Get {
    /// Everything below as well.
    pub recursive: bool,
    /// Entries of directories by name.
    pub sorted: bool,
    /// Only what the majority has.
    pub quorum: bool,
}

/// How to write, and on which conditions.
#[derive(Clone, Debug, Default)]
pub struct Set {
    /// A directory, which has no value.
    pub dir: bool,
    /// Seconds to live; 0 is for ever.
    pub ttl: u64,
    /// What must be there; empty is no condition.
    pub previous_value: Vec<u8>,
    /// The index of what must be there; 0 is no condition.
    pub previous_index: u64,
    /// Whether something must or must not be there.
    pub exists: Option<bool>,
    /// A new time to live for what is there; the value stays and no watcher is told. Needs `ttl`.
    pub refresh: bool,
}

/// How to delete, and on which conditions.
#[derive(Clone, Debug, Default)]
pub struct Delete {
    /// Also an empty directory.
    pub dir: bool,
    /// Also a directory with all it holds.
    pub recursive: bool,
    /// What must be there; empty is no condition.
    pub previous_value: Vec<u8>,
    /// The index of what must be there; 0 is no condition.
    pub previous_index: u64,
}

/// The keys of a cluster, with one deadline for whatever is asked through this value; a watch has none.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'c> {
    cluster: &'c Cluster,
    deadline: Option<Instant>,
}

impl<'c> Keys<'c> {
    /// The keys behind `cluster`.
    #[must_use]
    pub const fn new(cluster: &'c Cluster, deadline: Option<Instant>) -> Self {
        Self { cluster, deadline }
    }

    /// What is at `key`.
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

    /// Writes `value`, or makes a directory.
    ///
    /// # Errors
    /// Any; `One` when nothing may be there yet, because a second try could find the first one's work.
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

    /// Deletes what is at `key`.
    ///
    /// # Errors
    /// Any; `One` when an endpoint failed, because a second try could miss the first one's work.
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

    /// Waits for the first event at (`recursive`: or below) `key` from index `from` on; 0 is from now on. A watch that
    /// moves to another endpoint goes on where it was.
    ///
    /// # Errors
    /// Any; `Replaced` when another cluster takes the place of this one.
    pub async fn next(&self, key: &[u8], from: u64, recursive: bool) -> Result<Event, RequestError> {
        self.next_of(key, (from, self.cluster.epoch()), recursive).await
    }

    /// The same from an index that was told at [`Cluster::epoch`] `epoch`.
    ///
    /// # Errors
    /// Any; `Replaced` when another cluster has taken the place of that one.
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
                // Something between us and the store ended an idle watch; one that does so at once is not asked in a
                // tight loop.
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
        // The parser's own bound, which serde_json says in no other way.
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
            RequestError::Refused(format!(
                "strconv.ParseUint: parsing {}: invalid syntax",
                escape::quoted(text)
            ))
        })?,
    };
    Ok(event)
}
