//! etcd's v2 keys API: recursive reads and one-shot watches.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::header::HeaderValue;
use serde::Deserialize;

use super::endpoints::NodeUrl as Url;
use super::error_text::excerpt;
use super::http::{HttpRequest, HttpResponse, Opened};
use super::lines::Lines;
use super::{Client, ClientError, Credentials};
use crate::protocol::{percent_encoded, unreserved};

const API: &str = "the etcd v2 API";
/// A watch that the store ends without an event before this time is an error.
const MIN_WATCH_DURATION: Duration = Duration::from_secs(5);

/// The v2 API of a store.
#[derive(Debug)]
pub struct V2 {
    client: Arc<Client>,
    authorization: Option<HeaderValue>,
}

/// A file or a directory of the store.
#[derive(Debug, Default, Deserialize)]
pub struct Node {
    /// Absolute; the root has none.
    #[serde(default)]
    pub key: String,
    /// The value of a file.
    pub value: Option<String>,
    /// Whether it is a directory.
    #[serde(default)]
    pub dir: bool,
    /// A directory's entries.
    #[serde(default)]
    pub nodes: Vec<Self>,
    /// The index of the last write.
    #[serde(default, rename = "modifiedIndex")]
    pub modified: u64,
}

/// The result of a recursive read.
#[derive(Debug)]
pub struct Listing {
    /// The store's index at the read.
    pub index: u64,
    /// `None` when the key does not exist.
    pub node: Option<Node>,
}

/// One event of a watch.
#[derive(Debug, Deserialize)]
pub struct Event {
    /// `set`, `create`, `update`, `compareAndSwap`, `delete`, `compareAndDelete` or `expire`.
    pub action: String,
    /// The node after the event.
    pub node: Node,
    /// The node before the event.
    #[serde(rename = "prevNode")]
    pub before: Option<Node>,
}

/// A watch that the store accepted.
#[derive(Debug)]
pub struct Watch {
    /// The store's index when it accepted. Until an event comes, the watch has missed nothing up to this index.
    pub index: u64,
    node: Url,
    lines: Lines,
    since: Instant,
}

#[derive(Deserialize)]
struct Read {
    node: Node,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(rename = "errorCode")]
    code: u32,
    #[serde(default)]
    message: String,
    #[serde(default)]
    cause: String,
    #[serde(default)]
    index: u64,
}

impl V2 {
    /// Returns the v2 API of `client`.
    #[must_use]
    pub fn new(client: Arc<Client>, login: Option<&Credentials>) -> Self {
        Self { client, authorization: login.map(Credentials::basic) }
    }

    /// Returns which of the successive clusters of this store is in use: indexes of one mean nothing in the next.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.client.epoch()
    }

    /// Reads everything at and below `key` from one member.
    ///
    /// # Errors
    /// Any but `Cleared` and `Behind`; a missing key is not an error.
    pub async fn list(&self, key: &str) -> Result<Listing, ClientError> {
        let response = self.client.request(&self.call(key, "recursive=true&quorum=false")).await?;
        if response.status.is_success() {
            let node = parse::<Read>(&response.node, &response.body)?.node;
            return match response.index {
                Some(index) => Ok(Listing { index, node: Some(node) }),
                None => Err(invalid(&response.node, "it has no X-Etcd-Index header")),
            };
        }
        let failure = failure(&response)?;
        match failure.code {
            // 104: a parent of the key is a file, so the key does not exist.
            100 | 104 => Ok(Listing { index: response.index.unwrap_or(failure.index), node: None }),
            _ => Err(refusal(&response, &failure, 0)),
        }
    }

    /// Requests the first event at or below `key` with an index of `from` or later.
    ///
    /// # Errors
    /// `Cleared` when the history no longer reaches back to `from`; `Behind` when the node has not reached `from - 1`;
    /// otherwise as `list`.
    pub async fn watch(&self, key: &str, from: u64) -> Result<Watch, ClientError> {
        let query = format!("wait=true&recursive=true&waitIndex={from}");
        match self.client.open(&self.call(key, &query)).await? {
            Opened::Stream { node, index: Some(index), lines } => {
                if index + 1 < from {
                    return Err(ClientError::Behind { node: node.to_string(), index, seen: from - 1 });
                }
                Ok(Watch { index, node, lines, since: Instant::now() })
            }
            Opened::Stream { node, index: None, .. } => {
                Err(invalid(&node, "a watch has no X-Etcd-Index header"))
            }
            Opened::Answer(response) => {
                let failure = failure(&response)?;
                Err(refusal(&response, &failure, from))
            }
        }
    }

    /// Returns the event of an accepted watch, or `None` when none came in time or the store ended the watch without
    /// one. Cancel-safe.
    ///
    /// # Errors
    /// `Unavailable` when the connection broke, `Invalid` when the response is not an event.
    pub async fn event(&self, watch: &mut Watch, within: Duration) -> Result<Option<Event>, ClientError> {
        match tokio::time::timeout(within, watch.lines.next()).await {
            Err(_) => Ok(None),
            Ok(Ok(Some(line))) => parse(&watch.node, &line).map(Some),
            // A proxy may end idle watches; the error prevents a tight loop when it does so at once.
            Ok(Ok(None)) if watch.since.elapsed() >= MIN_WATCH_DURATION => Ok(None),
            Ok(Ok(None)) => Err(self.broken(watch, "it ended without an event")),
            Ok(Err(why)) => Err(self.broken(watch, &why)),
        }
    }

    fn broken(&self, watch: &Watch, why: &str) -> ClientError {
        self.client.failed(&watch.node);
        ClientError::Unavailable { why: format!("{}: the watch broke off: {why}", watch.node) }
    }

    fn call(&self, key: &str, query: &str) -> HttpRequest {
        let key = if key == "/" { "" } else { key };
        let path = format!("/v2/keys{}?{query}", escape(key));
        HttpRequest { path, body: None, authorization: self.authorization.clone() }
    }
}

/// Percent-encodes everything that must be encoded in a path.
fn escape(key: &str) -> String {
    percent_encoded(key.as_bytes(), |byte| unreserved(byte) || byte == b'/')
}

fn parse<'a, T: Deserialize<'a>>(node: &Url, body: &'a [u8]) -> Result<T, ClientError> {
    serde_json::from_slice(body)
        .map_err(|error| invalid(node, &format!("{error}; it begins: {}", excerpt(body))))
}

fn invalid(node: &Url, why: &str) -> ClientError {
    ClientError::Invalid { node: node.to_string(), api: API, why: why.to_owned() }
}

fn failure(response: &HttpResponse) -> Result<Failure, ClientError> {
    if let Ok(failure) = serde_json::from_slice(&response.body) {
        return Ok(failure);
    }
    let node = response.node.to_string();
    match response.status {
        StatusCode::NOT_FOUND => Err(ClientError::NotServed { node, api: API }),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(ClientError::Refused { node, why: excerpt(&response.body) })
        }
        status => Err(invalid(
            &response.node,
            &format!("status {} with {}", status.as_u16(), excerpt(&response.body)),
        )),
    }
}

fn refusal(response: &HttpResponse, failure: &Failure, from: u64) -> ClientError {
    let node = response.node.to_string();
    let message = if failure.cause.is_empty() {
        failure.message.clone()
    } else {
        format!("{} ({})", failure.message, failure.cause)
    };
    match failure.code {
        110 => ClientError::Refused { node, why: message },
        401 => ClientError::Cleared { from },
        code => invalid(&response.node, &format!("error {code}: {message}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_escaped_byte_by_byte() {
        assert_eq!(escape("/a b/ü?#%+"), "/a%20b/%C3%BC%3F%23%25%2B");
    }
}
