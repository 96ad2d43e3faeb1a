//! etcd's v2 keys API: recursive reads and one-shot watches.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::HeaderValue;

use super::endpoints::NodeUrl;
use super::lines::Lines;
use super::request::{Expected, HttpRequest, Reply, invalid, parse_event};
use super::v2_wire::EtcdError;
use super::{Client, ClientError, Credentials};
use crate::protocol::{percent_encoded, unreserved};

pub use super::v2_wire::{Event, Node, Walked};

const API: &str = "the etcd v2 API";
/// A watch that the store ends without an event before this time is an error.
const MIN_WATCH_DURATION: Duration = Duration::from_secs(5);

/// The v2 API of a store.
#[derive(Debug)]
pub struct V2 {
    client: Arc<Client>,
    authorization: Option<HeaderValue>,
}

/// The result of a recursive read.
#[derive(Debug)]
pub struct Listing {
    /// The store's index at the read.
    pub index: u64,
    /// `None` when the key does not exist.
    pub node: Option<Node>,
}

/// A watch that the store accepted.
#[derive(Debug)]
pub struct Watch {
    /// The store's index when it accepted. Until an event comes, the watch has missed nothing up to this index.
    pub index: u64,
    /// The first index that was asked for.
    from: u64,
    node: NodeUrl,
    lines: Lines,
    since: Instant,
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
        let mut reply = self.request(key, "recursive=true&quorum=false", Expected::Event).await?;
        if reply.status.is_success() {
            let node = Some(reply.event(API)?.node);
            let index = reply.index().ok_or_else(|| reply.invalid(API, "it has no X-Etcd-Index header"))?;
            return Ok(Listing { index, node });
        }
        let error = rejection(&reply)?;
        match error.code {
            // 104: a parent of the key is a file, so the key does not exist.
            100 | 104 => Ok(Listing { index: reply.index().unwrap_or(error.index), node: None }),
            _ => Err(refusal(&reply, error, 0)),
        }
    }

    /// Requests the first event at or below `key` with an index of `from` or later.
    ///
    /// # Errors
    /// `Cleared` when the history no longer reaches back to `from`; `Behind` when the node has not reached `from - 1`;
    /// otherwise as `list`.
    pub async fn watch(&self, key: &str, from: u64) -> Result<Watch, ClientError> {
        let query = format!("wait=true&recursive=true&waitIndex={from}");
        let mut reply = self.request(key, &query, Expected::Stream).await?;
        let Some(rest) = reply.rest.take() else { return Err(refusal(&reply, rejection(&reply)?, from)) };
        let index = reply.index().ok_or_else(|| reply.invalid(API, "a watch has no X-Etcd-Index header"))?;
        if index.saturating_add(1) < from {
            return Err(ClientError::Behind { node: reply.node.to_string(), index, seen: from - 1 });
        }
        Ok(Watch { index, from, node: reply.node, lines: Lines::new(rest), since: Instant::now() })
    }

    /// Returns the event of an accepted watch, or `None` when none came in time or the store ended the watch without
    /// one. Cancel-safe.
    ///
    /// # Errors
    /// `Unavailable` when the connection broke, `Invalid` when the response is not an event from the wanted index on.
    pub async fn event(&self, watch: &mut Watch, within: Duration) -> Result<Option<Event>, ClientError> {
        match tokio::time::timeout(within, watch.lines.next()).await {
            Err(_) => Ok(None),
            Ok(Ok(Some(line))) => self.checked(watch, parse_event(&watch.node, API, &line)?).map(Some),
            // A proxy may end idle watches; the error prevents a tight loop when it does so at once.
            Ok(Ok(None)) if watch.since.elapsed() >= MIN_WATCH_DURATION => Ok(None),
            Ok(Ok(None)) => Err(self.client.watch_interrupted(&watch.node, "it ended without an event")),
            Ok(Err(why)) => Err(self.client.watch_interrupted(&watch.node, &why)),
        }
    }

    /// Rejects an event from before the wanted index: with it the watch would never move forward, and would be opened
    /// again at once, for ever.
    fn checked(&self, watch: &Watch, event: Event) -> Result<Event, ClientError> {
        let (found, from) = (event.node.modified, watch.from);
        if found >= from {
            return Ok(event);
        }
        self.client.endpoints.failed(&watch.node);
        Err(invalid(&watch.node, API, &old_event(found, from)))
    }

    async fn request(&self, key: &str, query: &str, expected: Expected) -> Result<Reply, ClientError> {
        let key = if key == "/" { "" } else { key };
        let path = format!("/v2/keys{}?{query}", escape(key));
        let (authorization, limit) = (self.authorization.clone(), Some(self.client.timeout()));
        let request = HttpRequest { authorization, limit, expected, ..HttpRequest::get(path) };
        self.client.request(&request).await
    }
}

/// Percent-encodes everything that must be encoded in a path.
fn escape(key: &str) -> String {
    percent_encoded(key.as_bytes(), |byte| unreserved(byte) || byte == b'/')
}

/// Returns the message for an event of index `found`, although those from `from` on were asked for.
pub(super) fn old_event(found: u64, from: u64) -> String {
    format!("an event of index {found}, although those from {from} on were asked for")
}

fn rejection(reply: &Reply) -> Result<EtcdError, ClientError> {
    let error: Option<EtcdError> = serde_json::from_slice(&reply.body).ok();
    error.filter(|error| error.code != 0).ok_or_else(|| reply.foreign(API))
}

fn refusal(reply: &Reply, error: EtcdError, from: u64) -> ClientError {
    let EtcdError { code, message, cause, .. } = error;
    let why = if cause.is_empty() { message } else { format!("{message} ({cause})") };
    match code {
        110 => ClientError::Refused { node: reply.node.to_string(), why },
        401 => ClientError::Cleared { from },
        code => reply.invalid(API, &format!("error {code}: {why}")),
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
