//! etcd's v3 API through its JSON gateway: ranges at one revision, and watches.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::header::HeaderValue;
use reqwest::{Method, StatusCode};

use super::credentials::header;
use super::endpoints::NodeUrl;
use super::lines::Lines;
use super::request::{Expected, HttpRequest, Reply, invalid, parse};
use super::v3_wire::{Authenticated, Failure, Header, ProbeReply, StreamError, WatchLine, WatchResult};
use super::{Client, ClientError, Credentials};

pub use super::v3_wire::{Event, Pair};

const API: &str = "the etcd v3 JSON gateway";
/// Takes a name and a password and returns a token.
const LOGIN: &str = "/auth/authenticate";
/// The gateway's path in releases of etcd: 3.4 and later, 3.3, 3.2.
const PREFIXES: [&str; 3] = ["/v3", "/v3beta", "/v3alpha"];
/// etcd's default limit of operations in one transaction.
pub const MAX_OPERATIONS: usize = 128;

/// The v3 API of a store.
#[derive(Debug)]
pub struct V3 {
    client: Arc<Client>,
    login: Option<Credentials>,
    token: Mutex<Option<HeaderValue>>,
    prefix: AtomicUsize,
}

/// The keys from `from` up to but not including `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first key.
    pub from: String,
    /// The end of the range, which is not part of it.
    pub to: String,
}

/// All pairs of some ranges, at one revision.
#[derive(Debug)]
pub struct Ranges {
    /// The revision read.
    pub revision: u64,
    /// The pairs of each range.
    pub pairs: Vec<Vec<Pair>>,
}

/// An open stream of watches.
#[derive(Debug)]
pub struct Watch {
    node: NodeUrl,
    lines: Lines,
    from: u64,
    expected: usize,
    /// Maps the store's watch numbers to ranges; the store accepts the watches in the order of the requests.
    accepted: HashMap<u64, usize>,
}

impl Watch {
    /// Returns the node that sends the stream.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }
}

/// One message of a stream.
#[derive(Debug)]
pub struct Message {
    /// The range that it is about.
    pub range: usize,
    /// The store's revision when it was sent.
    pub revision: u64,
    /// Empty in a progress notification.
    pub events: Vec<Event>,
}

impl V3 {
    /// Returns the v3 API of `client`.
    #[must_use]
    pub fn new(client: Arc<Client>, login: Option<Credentials>) -> Self {
        Self { client, login, token: Mutex::new(None), prefix: AtomicUsize::new(0) }
    }

    /// Returns which of the successive clusters of this store is in use: revisions of one mean nothing in the next.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.client.epoch()
    }

    /// Reads up to [`MAX_OPERATIONS`] ranges in one transaction, at `revision` or at the newest.
    ///
    /// # Errors
    /// `Cleared` when `revision` is compacted, and any other but `Behind`.
    pub async fn ranges(&self, ranges: &[Range], revision: Option<u64>) -> Result<Ranges, ClientError> {
        self.pairs(ranges, revision, None).await
    }

    /// Reads the first `limit` pairs of one range.
    ///
    /// # Errors
    /// Any.
    pub async fn first(&self, range: Range, limit: usize) -> Result<Ranges, ClientError> {
        self.pairs(&[range], None, Some(limit)).await
    }

    async fn pairs(
        &self,
        ranges: &[Range],
        revision: Option<u64>,
        limit: Option<usize>,
    ) -> Result<Ranges, ClientError> {
        let mut body = String::with_capacity(ranges.len() * 160 + 32);
        body.push_str(r#"{"success":["#);
        for (at, range) in ranges.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let (key, end) = (STANDARD.encode(&range.from), STANDARD.encode(&range.to));
            // Writing to a string cannot fail.
            let _ = write!(body, r#"{comma}{{"request_range":{{"key":"{key}","range_end":"{end}""#);
            if let Some(revision) = revision {
                let _ = write!(body, r#","revision":"{revision}""#);
            }
            if let Some(limit) = limit {
                let _ = write!(body, r#","limit":"{limit}""#);
            }
            body.push_str("}}");
        }
        body.push_str("]}");
        let mut reply = self.post("/kv/txn", body.into(), revision.unwrap_or(0), Expected::Txn).await?;
        let txn = reply.txn(API)?;
        self.check_cluster(&reply.node, &txn.header)?;
        // An empty store is at revision 1, so 0 means that the response is not of this API.
        if txn.header.revision == 0 || txn.pairs.len() != ranges.len() {
            return Err(reply.invalid(API, "a transaction's response is incomplete"));
        }
        Ok(Ranges { revision: revision.unwrap_or(txn.header.revision), pairs: txn.pairs })
    }

    /// Opens one stream that watches every range, each from its own revision on, and waits for its first message.
    ///
    /// # Errors
    /// `Cleared` when a revision is compacted, `Behind` when the node has not reached the one before, any other.
    pub async fn watch(&self, ranges: &[(Range, u64)]) -> Result<Watch, ClientError> {
        let mut body = String::with_capacity(ranges.len() * 200);
        for (range, from) in ranges {
            let (key, end) = (STANDARD.encode(&range.from), STANDARD.encode(&range.to));
            let _ = write!(body, r#"{{"create_request":{{"key":"{key}","range_end":"{end}","#);
            let _ = writeln!(body, r#""start_revision":"{from}","progress_notify":true}}}}"#);
        }
        let body = Bytes::from(body);
        let from = ranges.iter().map(|(_, from)| *from).max().unwrap_or(0);
        match self.start(&body, ranges.len(), from).await {
            // The token may have expired; the store only reports that it rejects the request.
            Err(ClientError::Refused { .. }) if self.forget_token() => {
                self.start(&body, ranges.len(), from).await
            }
            other => other,
        }
    }

    async fn start(&self, body: &Bytes, expected: usize, from: u64) -> Result<Watch, ClientError> {
        let Reply { node, rest, .. } =
            self.post("/watch", Bytes::clone(body), from, Expected::Stream).await?;
        let lines = Lines::new(rest.ok_or_else(|| invalid(&node, API, "a watch without a stream"))?);
        let mut watch = Watch { node, lines, from, expected, accepted: HashMap::with_capacity(expected) };
        let line = watch.lines.next_within(self.client.timeout()).await;
        let Some(line) = line.map_err(|why| self.broken(&watch, &why))? else {
            return Err(self.broken(&watch, "it ended before it was accepted"));
        };
        // The first line can only be an acceptance: events belong to an accepted watch.
        self.read(&mut watch, &line)?;
        Ok(watch)
    }

    /// Returns the next message of a stream. Cancel-safe.
    ///
    /// # Errors
    /// `Unavailable` when the stream broke, `Cleared` when the store cancelled it for a compaction, any other.
    pub async fn next(&self, watch: &mut Watch) -> Result<Message, ClientError> {
        loop {
            // Without the acceptance, a watch would be lost silently.
            let line = if watch.accepted.len() < watch.expected {
                watch.lines.next_within(self.client.timeout()).await
            } else {
                watch.lines.next().await
            };
            let Some(line) = line.map_err(|why| self.broken(watch, &why))? else {
                return Err(self.broken(watch, "the store ended it"));
            };
            if let Some(message) = self.read(watch, &line)? {
                return Ok(message);
            }
        }
    }

    /// Returns a message that has already arrived, without waiting.
    ///
    /// # Errors
    /// As `next`.
    pub fn ready(&self, watch: &mut Watch) -> Result<Option<Message>, ClientError> {
        while let Some(line) = watch.lines.ready() {
            let line = line.map_err(|why| self.broken(watch, &why))?;
            if let Some(message) = self.read(watch, &line)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// Checks that the node of a stream still responds, with a cheap read on another connection.
    ///
    /// # Errors
    /// `Unavailable` when it does not.
    pub async fn probe(&self, node: &str, key: &str) -> Result<(), ClientError> {
        let body = format!(
            r#"{{"key":"{}","count_only":true,"limit":"1","serializable":true}}"#,
            STANDARD.encode(key)
        );
        let (node, call) =
            (NodeUrl::from(node), self.gateway_request("/kv/range", body.into(), Expected::Bytes));
        let reply = self.client.request_at(&node, &call).await;
        let reply =
            reply.map_err(|error| self.client.node_failed(&node, &self.client.describe_error(&error)))?;
        // A rejection counts as a response: this checks that the node is alive, not its data.
        if reply.status.is_success() {
            reply.parse::<ProbeReply>(API)?;
        }
        Ok(())
    }

    /// Parses a line; returns `None` for an acceptance.
    fn read(&self, watch: &mut Watch, line: &[u8]) -> Result<Option<Message>, ClientError> {
        let parsed: WatchLine = parse(&watch.node, API, line)?;
        if let Some(error) = parsed.error {
            return Err(self.stream_error(watch, error));
        }
        let result = parsed.result.ok_or_else(|| invalid(&watch.node, API, "a message without a result"))?;
        if result.canceled {
            return Err(cancelled(watch, result));
        }
        if result.created {
            self.check_cluster(&watch.node, &result.header)?;
            watch.accepted.insert(result.watch_id, watch.accepted.len());
            let (index, seen) = (result.header.revision, watch.from.saturating_sub(1));
            if index < seen {
                return Err(ClientError::Behind { node: watch.node.to_string(), index, seen });
            }
            return Ok(None);
        }
        match watch.accepted.get(&result.watch_id) {
            Some(range) => {
                Ok(Some(Message { range: *range, revision: result.header.revision, events: result.events }))
            }
            None => Err(invalid(&watch.node, API, "an event of an unknown watch")),
        }
    }

    fn stream_error(&self, watch: &Watch, error: StreamError) -> ClientError {
        match error.http_code {
            401 | 403 => ClientError::Refused { node: watch.node.to_string(), why: error.message },
            _ => self.broken(watch, &error.message),
        }
    }

    fn broken(&self, watch: &Watch, why: &str) -> ClientError {
        self.client.watch_interrupted(&watch.node, why)
    }

    /// Checks the cluster; the gateway reports it in the response itself.
    fn check_cluster(&self, node: &NodeUrl, header: &Header) -> Result<(), ClientError> {
        let id = Some(header.cluster_id).filter(|id| *id != 0);
        self.client.endpoints.check_cluster(node, id).map_err(|why| self.client.node_failed(node, &why))
    }

    /// Posts to the gateway at its known path, with a new token when the current one has expired.
    async fn post(
        &self,
        path: &str,
        body: Bytes,
        revision: u64,
        expected: Expected,
    ) -> Result<Reply, ClientError> {
        self.log_in().await?;
        let mut reply = self.post_to_gateway(path, &body, expected).await?;
        if reply.status == StatusCode::UNAUTHORIZED && self.forget_token() {
            self.log_in().await?;
            reply = self.post_to_gateway(path, &body, expected).await?;
        }
        if reply.status.is_success() { Ok(reply) } else { Err(refusal(&reply, revision)) }
    }

    /// Posts to the gateway's current path, and to its other paths if that does not exist.
    async fn post_to_gateway(
        &self,
        path: &str,
        body: &Bytes,
        expected: Expected,
    ) -> Result<Reply, ClientError> {
        let mut missing = 0;
        loop {
            let reply = self.client.request(&self.gateway_request(path, Bytes::clone(body), expected)).await;
            let reply = reply.inspect_err(|error| {
                // etcd does not respond to a request whose token is newer than its data, as after a restore: it waits
                // until its data has caught up.
                if matches!(error, ClientError::Unavailable { .. }) {
                    self.forget_token();
                }
            })?;
            if reply.status != StatusCode::NOT_FOUND {
                return Ok(reply);
            }
            // After the last path comes the first again.
            self.prefix.store((self.prefix.load(Ordering::Relaxed) + 1) % PREFIXES.len(), Ordering::Relaxed);
            missing += 1;
            if missing == PREFIXES.len() {
                return Err(reply.foreign(API));
            }
        }
    }

    fn gateway_request(&self, path: &str, body: Bytes, expected: Expected) -> HttpRequest {
        let prefix = PREFIXES[self.prefix.load(Ordering::Relaxed) % PREFIXES.len()];
        HttpRequest {
            method: Method::POST,
            body: Some(("application/json", body)),
            authorization: self.token(),
            limit: Some(self.client.timeout()),
            secret: path == LOGIN,
            expected,
            ..HttpRequest::get(format!("{prefix}{path}"))
        }
    }

    /// Gets a token if there is a login and no token yet.
    async fn log_in(&self) -> Result<(), ClientError> {
        let Some(login) = &self.login else { return Ok(()) };
        if self.token().is_some() {
            return Ok(());
        }
        let body = serde_json::json!({ "name": login.name, "password": login.password.expose() });
        let reply = self.post_to_gateway(LOGIN, &body.to_string().into(), Expected::Bytes).await?;
        if reply.status.is_success() {
            let token = reply.parse::<Authenticated>(API)?.token;
            let token = header(&token);
            let token = token.ok_or_else(|| reply.invalid(API, "its token does not fit into a header"))?;
            *self.lock() = Some(token);
            return Ok(());
        }
        match refusal(&reply, 0) {
            // A store without authentication needs no token.
            ClientError::Invalid { why, .. } if why.contains("authentication is not enabled") => Ok(()),
            ClientError::Invalid { node, why, .. } => Err(ClientError::Refused { node, why }),
            other => Err(other),
        }
    }

    fn token(&self) -> Option<HeaderValue> {
        self.lock().clone()
    }

    /// Drops the token; returns whether there was one, so that a retry may help.
    fn forget_token(&self) -> bool {
        self.lock().take().is_some()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<HeaderValue>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cancelled(watch: &Watch, result: WatchResult) -> ClientError {
    let node = watch.node.to_string();
    if result.compact_revision > 0 {
        return ClientError::Cleared { from: watch.from };
    }
    let why = result.cancel_reason;
    if why.contains("permission denied") || why.contains("PermissionDenied") || why.contains("auth token") {
        return ClientError::Refused { node, why };
    }
    ClientError::Unavailable { why: format!("{node}: the store cancelled the watch: {why}") }
}

fn refusal(reply: &Reply, from: u64) -> ClientError {
    let Ok(failure) = serde_json::from_slice::<Failure>(&reply.body) else { return reply.foreign(API) };
    let (node, why) = (reply.node.to_string(), failure.text());
    match reply.status {
        _ if why.contains("has been compacted") => ClientError::Cleared { from },
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ClientError::Refused { node, why },
        _ if why.contains("user name is empty") => ClientError::Refused { node, why },
        status => reply.invalid(API, &format!("status {}: {why}", status.as_u16())),
    }
}
