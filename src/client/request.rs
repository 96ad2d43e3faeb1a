//! A request for any node, a node's response, and why a node has none.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use super::ClientError;
use super::endpoints::{Failover, NodeUrl, Unverified};
use super::error_text::excerpt;
use super::member_sync::cluster_id;
use super::txn_reader::Txn;
use super::v2_wire::Event;

/// What the body of a success is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// A short text.
    Bytes,
    /// A response of the v2 keys API, which may be a large tree.
    Event,
    /// A transaction of the v3 API, which may hold many pairs.
    Txn,
    /// Left to the caller.
    Stream,
}

/// One request, for any node. Its body may hold a password, so there is no `Debug`.
#[derive(Clone)]
pub(crate) struct HttpRequest {
    pub(crate) method: Method,
    /// Path and query, percent-encoded.
    pub(crate) path: String,
    /// Content type and content.
    pub(crate) body: Option<(&'static str, Bytes)>,
    pub(crate) authorization: Option<HeaderValue>,
    /// How long a node may take to begin its response; `None`: no limit.
    pub(crate) limit: Option<Duration>,
    pub(crate) expected: Expected,
    /// Must go to one node only, because a repetition would have another result.
    pub(crate) once: bool,
    /// The body must not be shown.
    pub(crate) secret: bool,
}

impl HttpRequest {
    pub(crate) fn get(path: String) -> Self {
        Self {
            method: Method::GET,
            path,
            body: None,
            authorization: None,
            limit: None,
            expected: Expected::Bytes,
            once: false,
            secret: false,
        }
    }
}

/// A response with a status that no other node would improve.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) node: NodeUrl,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Only its beginning when `content` is what it holds; empty when `rest` has it.
    pub(crate) body: Vec<u8>,
    /// What a large body holds; the error is the reason as text.
    pub(crate) content: Option<Result<Content, String>>,
    /// The response of a stream.
    pub(crate) rest: Option<Response>,
}

/// What a large body holds.
#[derive(Debug)]
pub(crate) enum Content {
    Event(Box<Event>),
    Txn(Txn),
}

impl Reply {
    /// Takes the event that the body holds. The error is the reason as text.
    pub(crate) fn take_event(&mut self) -> Result<Event, String> {
        match self.content.take() {
            Some(Ok(Content::Event(event))) => Ok(*event),
            Some(Err(why)) => Err(why),
            _ => Err("it is empty".to_owned()),
        }
    }

    /// Takes the event that the body holds.
    pub(super) fn event(&mut self, api: &'static str) -> Result<Event, ClientError> {
        self.take_event().map_err(|why| unreadable(&self.node, api, &why, &self.body))
    }

    /// Takes the transaction that the body holds.
    pub(super) fn txn(&mut self, api: &'static str) -> Result<Txn, ClientError> {
        match self.content.take() {
            Some(Ok(Content::Txn(txn))) => Ok(txn),
            Some(Err(why)) => Err(unreadable(&self.node, api, &why, &self.body)),
            _ => Err(unreadable(&self.node, api, "it is empty", &self.body)),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns etcd v2's index.
    pub(crate) fn index(&self) -> Option<u64> {
        self.header("x-etcd-index")?.parse().ok()
    }

    /// Returns the id of the cluster, if the node reports it.
    pub(crate) fn cluster(&self) -> Option<u64> {
        cluster_id(&self.headers)
    }

    pub(super) fn parse<'a, T: Deserialize<'a>>(&'a self, api: &'static str) -> Result<T, ClientError> {
        parse(&self.node, api, &self.body)
    }

    pub(super) fn invalid(&self, api: &'static str, why: &str) -> ClientError {
        invalid(&self.node, api, why)
    }

    /// Returns the error for a rejection whose body is not of this API.
    pub(super) fn foreign(&self, api: &'static str) -> ClientError {
        let (node, why) = (self.node.to_string(), excerpt(&self.body));
        match self.status {
            StatusCode::NOT_FOUND => ClientError::NotServed { node, api },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ClientError::Refused { node, why },
            status => self.invalid(api, &format!("status {} with {why}", status.as_u16())),
        }
    }
}

pub(super) fn parse<'a, T: Deserialize<'a>>(
    node: &NodeUrl,
    api: &'static str,
    body: &'a [u8],
) -> Result<T, ClientError> {
    serde_json::from_slice(body).map_err(|error| unreadable(node, api, &error.to_string(), body))
}

/// Reads the event in one line of a watch.
pub(super) fn parse_event(node: &NodeUrl, api: &'static str, line: &[u8]) -> Result<Event, ClientError> {
    Event::parse(line).map_err(|why| unreadable(node, api, &why, line))
}

fn unreadable(node: &NodeUrl, api: &'static str, why: &str, body: &[u8]) -> ClientError {
    invalid(node, api, &format!("{why}; it begins: {}", excerpt(body)))
}

pub(super) fn invalid(node: &NodeUrl, api: &'static str, why: &str) -> ClientError {
    ClientError::Invalid { node: node.to_string(), api, why: why.to_owned() }
}

/// Why one node did not serve a request.
#[derive(Debug)]
pub(crate) enum NodeError {
    /// It is unknown whether it belongs to the store, so nothing was sent to it.
    Unverified(Unverified),
    /// It responded for another cluster.
    OtherCluster(String),
    /// The response did not begin or continue in time.
    TimedOut(Duration),
    /// The connection failed, or ended without a response.
    Http(reqwest::Error),
    /// The connection ended within the response.
    Interrupted(reqwest::Error),
    /// It cannot serve now.
    Status(Box<Reply>),
    Other(String),
}

/// The nodes that a request was sent to, and why each failed.
#[derive(Debug)]
pub(super) struct Attempts {
    pub(super) failover: Failover,
    pub(super) errors: Vec<(NodeUrl, NodeError)>,
}

impl Attempts {
    pub(super) fn new() -> Self {
        Self { failover: Failover::new(), errors: Vec::new() }
    }
}

/// Runs `work` until the limit. The timer is coarser than the shortest possible limit, so the clock decides.
pub(super) async fn within<T>(
    limit: Option<Duration>,
    work: impl Future<Output = T>,
) -> Result<T, NodeError> {
    match limit.and_then(|limit| Some((limit, Instant::now().checked_add(limit)?))) {
        Some((limit, by)) => {
            let done = timeout_at(by, work).await.ok().filter(|_| Instant::now() < by);
            done.ok_or(NodeError::TimedOut(limit))
        }
        None => Ok(work.await),
    }
}
