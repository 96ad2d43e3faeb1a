//! The v2 keys API, with typed responses.

use reqwest::Method;
use tokio::time::Instant;

use super::error::RequestError;
use super::escape::{Parameters, pairs};
use super::request::Cluster;
use super::watch::{KeyWatch, event};
use crate::client::request::{Expected, HttpRequest};
use crate::client::v2_wire::Event;

const FORM: &str = "application/x-www-form-urlencoded";

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
    /// Any; `OneFailed` when the key must not exist, because a second attempt could find the key of the first.
    pub async fn set(&self, key: &[u8], value: &[u8], how: &Set) -> Result<Event, RequestError> {
        let previous: &[u8] = if how.dir { b"" } else { &how.previous_value };
        let (mut query, mut form) = (conditions(previous, how.previous_index), Vec::new());
        if how.dir {
            query.push(("dir", b"true".to_vec()));
        } else if how.refresh {
            query.push(("refresh", b"true".to_vec()));
        } else {
            form.push(("value", value.to_vec()));
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
    /// Any; `OneFailed` when an endpoint failed, because a second attempt could miss what the first deleted.
    pub async fn delete(&self, key: &[u8], how: &Delete) -> Result<Event, RequestError> {
        let mut query = conditions(&how.previous_value, how.previous_index);
        if how.dir {
            query.push(("dir", b"true".to_vec()));
        }
        if how.recursive {
            query.push(("recursive", b"true".to_vec()));
        }
        self.execute(Method::DELETE, key, query, None, true).await
    }

    /// Waits for the first event at (`recursive`: or below) `key` from an index on (0: from now on) that was obtained at
    /// [`Cluster::epoch`] `epoch`. A watch that moves to another endpoint continues at its position.
    ///
    /// # Errors
    /// Any; `Replaced` when another cluster has replaced that one.
    pub async fn next(
        &self,
        key: &[u8],
        (from, epoch): (u64, u64),
        recursive: bool,
    ) -> Result<Event, RequestError> {
        KeyWatch::new(self.cluster, path(key), (from, epoch), recursive).next().await
    }

    async fn execute(
        &self,
        method: Method,
        key: &[u8],
        query: Parameters,
        form: Option<Parameters>,
        once: bool,
    ) -> Result<Event, RequestError> {
        let body = form.map(|form| (FORM, pairs(form).into()));
        let request = self.cluster.request(method, &path(key), &pairs(query));
        let request = HttpRequest { body, once, expected: Expected::Event, ..request };
        event(self.cluster.execute(&request, self.deadline).await?)
    }
}

/// Returns the conditions of a write; an empty value and 0 are none.
fn conditions(previous_value: &[u8], previous_index: u64) -> Parameters {
    let value = (!previous_value.is_empty()).then(|| ("prevValue", previous_value.to_vec()));
    let index = (previous_index != 0).then(|| ("prevIndex", previous_index.to_string().into_bytes()));
    value.into_iter().chain(index).collect()
}

fn path(key: &[u8]) -> Vec<u8> {
    let slash: &[u8] = if key.is_empty() || key.starts_with(b"/") { b"" } else { b"/" };
    [b"/v2/keys", slash, key].concat()
}
