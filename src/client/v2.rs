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
/// A watch the store ends without an event sooner than this is a fault.
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
    /// Files have one.
    pub value: Option<String>,
    /// Whether it is a directory.
    #[serde(default)]
    pub dir: bool,
    /// What a directory holds.
    #[serde(default)]
    pub nodes: Vec<Self>,
    /// The index of the last write.
    #[serde(default, rename = "modifiedIndex")]
    pub modified: u64,
}

/// What one recursive read found.
#[derive(Debug)]
pub struct Listing {
    /// The store's index at the read.
    pub index: u64,
    /// `None` when there is no such key.
    pub node: Option<Node>,
}

/// One event of a watch.
#[derive(Debug, Deserialize)]
pub struct Event {
    /// `set`, `create`, `update`, `compareAndSwap`, `delete`, `compareAndDelete` or `expire`.
    pub action: String,
    /// What is there now.
    pub node: Node,
    /// What was there before.
    #[serde(rename = "prevNode")]
    pub before: Option<Node>,
}

/// A watch the store accepted.
#[derive(Debug)]
pub struct Watch {
    /// The store's index when it accepted. As long as no event comes, nothing up to here was for this watch.
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
    /// The v2 API behind `client`.
    #[must_use]
    pub fn new(client: Arc<Client>, login: Option<&Credentials>) -> Self {
        Self { client, authorization: login.map(Credentials::basic) }
    }

    /// Which of the clusters that were this store one after the other is in use: indexes of one mean nothing in the next.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.client.epoch()
    }

    /// Everything at and below `key`, as one member has it.
    ///
    /// # Errors
    /// Any but `Cleared` and `Behind`; a missing key is no error.
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
            // A path through a file leads to nothing as well.
            100 | 104 => Ok(Listing { index: response.index.unwrap_or(failure.index), node: None }),
            _ => Err(refusal(&response, &failure, 0)),
        }
    }

    /// Asks for the first event at or below `key` with an index of `from` or later.
    ///
    /// # Errors
    /// `Cleared` when the history no longer reaches back to `from`; `Behind` when the node has not even come to
    /// `from - 1`; otherwise as `list`.
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

    /// The event of an accepted watch, or `None` when none came in time or the store ended the watch without one.
    /// Cancel-safe.
    ///
    /// # Errors
    /// `Unavailable` when the connection broke, `Invalid` when what came is no event.
    pub async fn event(&self, watch: &mut Watch, within: Duration) -> Result<Option<Event>, ClientError> {
        match tokio::time::timeout(within, watch.lines.next()).await {
            Err(_) => Ok(None),
            Ok(Ok(Some(line))) => parse(&watch.node, &line).map(Some),
            // Something between us and the store may end idle watches; one that does so at once must not be asked in
            // a tight loop.
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

/// Percent-encodes everything but what a path may hold as it is.
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
    let said = if failure.cause.is_empty() {
        failure.message.clone()
    } else {
        format!("{} ({})", failure.message, failure.cause)
    };
    match failure.code {
        110 => ClientError::Refused { node, why: said },
        401 => ClientError::Cleared { from },
        code => invalid(&response.node, &format!("error {code}: {said}")),
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
