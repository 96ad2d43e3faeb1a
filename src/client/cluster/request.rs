//! Sends one request to the first endpoint that responds.

use std::time::Duration;

use rand::seq::SliceRandom as _;
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::endpoint_error;
use super::error::RequestError;
use crate::client::address::Address;
use crate::client::endpoints::{Endpoints, NodeUrl};
use crate::client::http::Policy;
use crate::client::request::{Attempts, HttpRequest, NodeError, Reply, within};
use crate::client::{Client, ClientError, Credentials, SetBy, Trust};
use crate::protocol::{cleaned, escape, quoted};

/// How long a name lookup and a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// The address of a cluster and how to connect to it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Base URLs as they were typed.
    pub endpoints: Vec<String>,
    /// TLS for `https` endpoints.
    pub trust: Trust,
    /// Sent with each request.
    pub login: Option<Credentials>,
    /// How long one endpoint may take until its response begins; zero: no limit. A watch has no such limit.
    pub timeout: Duration,
    /// The time limit of a connection, if shorter than half a minute.
    pub dial: Duration,
    /// Receives a line about each request, as a `curl` command.
    pub trace: Option<fn(&str)>,
    /// Whether to sync the list of members from the cluster; the given endpoints remain as a fallback.
    pub sync: bool,
}

/// A v2 cluster.
#[derive(Debug)]
pub struct Cluster {
    pub(super) client: Client,
    options: Options,
    authorization: Option<HeaderValue>,
}

impl Cluster {
    /// Checks the endpoints and loads the certificate files; sends nothing yet. Shuffles the endpoints, so that clients
    /// spread over them.
    ///
    /// # Errors
    /// `Refused` for an endpoint or a certificate file.
    pub fn new(options: Options) -> Result<Self, RequestError> {
        let Options { trust, dial, timeout, trace, .. } = &options;
        let mut nodes = parse_endpoints(&options.endpoints)?;
        nodes.shuffle(&mut rand::rng());
        let endpoints = Endpoints::of(nodes).with_member_sync(options.sync, trust);
        let connect = if dial.is_zero() { CONNECT_TIMEOUT } else { CONNECT_TIMEOUT.min(*dial) };
        let policy = Policy { connect, timeout: *timeout, etcdctl: true, trace: *trace };
        let client = Client::with_policy(endpoints, trust, policy)
            .map_err(|error| RequestError::Refused(file_error_text(&error, trust.set_by)))?;
        let authorization = options.login.as_ref().map(Credentials::basic);
        Ok(Self { client, options, authorization })
    }

    /// Returns a cluster whose requests go over `transport` instead of the network.
    #[cfg(test)]
    pub(crate) fn with_transport(
        transport: crate::client::test_transport::TestTransport,
        options: Options,
    ) -> Result<Self, RequestError> {
        let mut cluster = Self::new(options)?;
        cluster.client.transport = Some(transport);
        Ok(cluster)
    }

    /// Returns the endpoints, in the order they are tried.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.client.endpoints.known().iter().map(|node| node.to_string()).collect()
    }

    /// Updates the list of members for ever; a long-running caller runs it concurrently. Does nothing without
    /// [`Options::sync`].
    pub async fn follow_members(&self) -> std::convert::Infallible {
        self.client.follow_members().await
    }

    /// Returns how often another cluster has replaced the previous one, as after a restore. An index of one cluster
    /// means nothing in the next.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.client.epoch()
    }

    /// Replaces the endpoints, unless they are the same.
    pub(super) fn replace(&self, endpoints: &[String]) -> Result<(), RequestError> {
        if endpoints.is_empty() {
            return Err(RequestError::NoEndpoints);
        }
        self.client.endpoints.replace(parse_endpoints(endpoints)?);
        Ok(())
    }

    /// Returns a request without a body.
    pub(super) fn request(&self, method: Method, path: &[u8], query: &str) -> HttpRequest {
        let mark = if query.is_empty() { "" } else { "?" };
        let path = format!("{}{mark}{query}", escape(&cleaned(path)));
        let limit = Some(self.options.timeout).filter(|limit| !limit.is_zero());
        HttpRequest { method, authorization: self.authorization.clone(), limit, ..HttpRequest::get(path) }
    }

    /// Returns the response of the first endpoint that serves the request.
    pub(super) async fn execute(
        &self,
        request: &HttpRequest,
        deadline: Option<Instant>,
    ) -> Result<Reply, RequestError> {
        let mut attempts = Attempts::new();
        let limit = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match within(limit, self.client.run(request, &mut attempts)).await {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) => Err(self.failure(request, attempts).await),
            Err(_) => {
                // Otherwise an endpoint that does not respond would delay every later request.
                attempts.failover.last().inspect(|node| self.client.endpoints.failed(node));
                Err(RequestError::Deadline)
            }
        }
    }

    /// Returns the response, if it has one of these statuses.
    pub(super) async fn expect_status(
        &self,
        request: &HttpRequest,
        deadline: Option<Instant>,
        wanted: &[u16],
    ) -> Result<Reply, RequestError> {
        let reply = self.execute(request, deadline).await?;
        let status = reply.status.as_u16();
        if wanted.contains(&status) { Ok(reply) } else { Err(RequestError::Status(status)) }
    }

    /// Returns the error for a request that no endpoint has served.
    pub(super) async fn failure(&self, request: &HttpRequest, attempts: Attempts) -> RequestError {
        let mut failed = attempts.errors;
        if let Some((node, error)) =
            failed.pop_if(|(_, error)| request.once && !matches!(error, NodeError::Unverified(_)))
        {
            return RequestError::OneFailed(
                endpoint_error::translate(&node, error, &self.options.trust).await,
            );
        }
        // Only our own store names a reason, and that says more than what the others return.
        let refused = failed.iter().find_map(|(node, error)| match error {
            NodeError::Status(reply) => Some(format!("{node} refused: {}", reply.header("x-retune-reason")?)),
            _ => None,
        });
        if let Some(refused) = refused {
            return RequestError::Refused(refused);
        }
        let mut errors = Vec::new();
        for (node, error) in failed {
            let error = endpoint_error::translate(&node, error, &self.options.trust).await;
            // An endpoint that was given twice counts twice, as in etcd's client.
            errors.extend(std::iter::repeat_n(error, self.times_given(&node).max(1)));
        }
        if errors.is_empty() { RequestError::NoEndpoints } else { RequestError::AllFailed(errors) }
    }

    fn times_given(&self, node: &NodeUrl) -> usize {
        let same = |given: &&String| Address::parse(given).is_ok_and(|address| address.text() == **node);
        self.options.endpoints.iter().filter(same).count()
    }

    /// Fetches `url` unchanged and returns the body; the error is the reason as text.
    pub(super) async fn fetch(&self, url: &str, limit: Duration) -> Result<Vec<u8>, String> {
        let address = Address::parse(url)?;
        let answer = within(Some(limit), async {
            if let Some(why) = address.unusable_reason() {
                return Err(NodeError::Other(why));
            }
            let http = self.client.http(address.scheme == "https");
            let http = http.map_err(|error| NodeError::Other(error.to_string()))?;
            self.client.read_body(http.get(url).send().await.map_err(NodeError::Http)?).await
        });
        let why = match answer.await {
            Ok(Ok(body)) => return Ok(body),
            Ok(Err(error)) => endpoint_error::translate(&url.into(), error, &self.options.trust).await.text,
            Err(_) => "context deadline exceeded".to_owned(),
        };
        Err(format!("Get {}: {why}", quoted(url)))
    }
}

pub(super) fn parse<T: DeserializeOwned>(reply: &Reply) -> Result<T, RequestError> {
    serde_json::from_slice(&reply.body).map_err(|_| RequestError::NotJson)
}

/// Describes a missing certificate file in Go's words for etcdctl, and other errors in ours.
fn file_error_text(error: &ClientError, set_by: SetBy) -> String {
    match error {
        ClientError::File { path, .. } if set_by == SetBy::Etcdctl && !path.exists() => {
            format!("open {}: no such file or directory", path.display())
        }
        other => other.to_string(),
    }
}

/// Parses the base URLs; the result is spelt as Go prints them.
fn parse_endpoints(endpoints: &[String]) -> Result<Vec<NodeUrl>, RequestError> {
    let parse = |text: &String| Address::parse(text).map(|address| NodeUrl::from(address.text()));
    endpoints.iter().map(parse).collect::<Result<_, _>>().map_err(RequestError::Refused)
}
