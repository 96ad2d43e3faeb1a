//! Sends requests to the first node that responds.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode};

use super::address::Address;
use super::endpoints::{Endpoints, NodeUrl, Unverified};
use super::error_text::{excerpt, reason, timeout_message};
use super::event_reader::EventBuilder;
use super::json_reader::{Builder, JsonError, JsonReader};
use super::member_sync::cluster_id;
use super::request::{Attempts, Content, Expected, HttpRequest, NodeError, Reply, within};
use super::txn_reader::TxnBuilder;
use super::v2_wire::{MAX_RESPONSE_BYTES, too_large};
use super::{ClientError, Trust, tls};
use crate::protocol::quoted;
use crate::tcp::Liveness;

/// The longest accepted body that is kept as text: the message of an error may quote a whole value.
const MAX_TEXT_BYTES: usize = 64 << 20;
/// How much of a large body is kept for the message of an error.
const MAX_EXCERPT_BYTES: usize = 1 << 10;
/// How much of an error response is read, except with [`Policy::etcdctl`]: those errors may quote a whole value.
const MAX_ERROR_BYTES: usize = 64 << 10;
/// How many timeouts a large response may take while bytes keep coming.
const MAX_BODY_TIMEOUTS: u32 = 12;
/// How many redirects are followed; the same as Go's client.
const MAX_REDIRECTS: usize = 10;

/// The address of a store and how to connect to it.
#[derive(Clone, Debug)]
pub struct Config {
    /// URLs of the nodes; one without a scheme gets `scheme`.
    pub nodes: Vec<String>,
    /// A DNS SRV record whose targets replace `nodes`.
    pub srv_record: Option<String>,
    /// `http` or `https`.
    pub scheme: String,
    /// TLS for `https` nodes.
    pub trust: Trust,
    /// How long a node may take to accept a connection, to begin its response, and to continue it.
    pub timeout: Duration,
    /// Whether to sync the list of members from the store.
    pub sync: bool,
}

/// How a client behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    /// How long a connection may take.
    pub(super) connect: Duration,
    /// How long a node may take to begin its response, and to continue it.
    pub(super) timeout: Duration,
    /// Does as etcd's own client: follows redirects, reads every body to its end, with no deadline but that of the whole
    /// request, and sends a read without credentials to any node.
    pub(super) etcdctl: bool,
    /// Receives a line about each request, as a `curl` command.
    pub(super) trace: Option<fn(&str)>,
}

/// A client of a store, with all its nodes.
#[derive(Debug)]
pub struct Client {
    plain: reqwest::Client,
    /// Created for the first request to an `https` node: loading the system's authorities takes milliseconds.
    secure: OnceLock<reqwest::Client>,
    trust: Trust,
    policy: Policy,
    pub(super) endpoints: Endpoints,
    #[cfg(test)]
    pub(super) transport: Option<super::test_transport::TestTransport>,
}

impl Client {
    /// Checks the nodes and loads the certificate files; sends nothing yet.
    ///
    /// # Errors
    /// `Settings` for a node or a combination that cannot work, `File` for a certificate file.
    pub fn new(config: &Config) -> Result<Self, ClientError> {
        let Config { nodes, srv_record, scheme, trust, timeout, sync } = config;
        let endpoints =
            Endpoints::new(nodes, srv_record.as_deref(), scheme, *timeout)?.with_member_sync(*sync, trust);
        let policy = Policy { connect: *timeout, timeout: *timeout, etcdctl: false, trace: None };
        let client = Self::with_policy(endpoints, trust, policy)?;
        client.http(client.endpoints.https())?;
        Ok(client)
    }

    pub(super) fn with_policy(
        endpoints: Endpoints,
        trust: &Trust,
        policy: Policy,
    ) -> Result<Self, ClientError> {
        Ok(Self {
            plain: http(trust, false, policy)?,
            secure: OnceLock::new(),
            trust: trust.clone(),
            policy,
            endpoints,
            #[cfg(test)]
            transport: None,
        })
    }

    /// Returns the HTTP client for nodes without TLS, or the one for nodes with it, which is created on first use.
    pub(super) fn http(&self, https: bool) -> Result<&reqwest::Client, ClientError> {
        if !https {
            return Ok(&self.plain);
        }
        if let Some(secure) = self.secure.get() {
            return Ok(secure);
        }
        let made = http(&self.trust, true, self.policy)?;
        Ok(self.secure.get_or_init(|| made))
    }

    /// Returns the nodes, for logs.
    #[must_use]
    pub fn describe(&self) -> String {
        self.endpoints.describe()
    }

    /// Updates the list of members for ever; a long-running caller runs it concurrently. Does nothing without
    /// [`Config::sync`].
    pub async fn follow_members(&self) -> std::convert::Infallible {
        self.endpoints.follow().await
    }

    /// Returns the time limit of one step of a request.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.policy.timeout
    }

    /// Returns which of the successive clusters of this store is in use.
    pub(crate) fn epoch(&self) -> u64 {
        self.endpoints.epoch()
    }

    /// Returns the response of the first node that serves the request.
    pub(super) async fn request(&self, request: &HttpRequest) -> Result<Reply, ClientError> {
        let mut attempts = Attempts::new();
        let served = self.run(request, &mut attempts).await;
        served.ok_or_else(|| self.unavailable(&attempts.errors))
    }

    /// Does the same with the nodes that `attempts` has not tried yet. `None`: `attempts` has the reasons.
    pub(super) async fn run(&self, request: &HttpRequest, attempts: &mut Attempts) -> Option<Reply> {
        loop {
            let node = match self.endpoints.next(&mut attempts.failover).await {
                Ok(node) => node?,
                Err(why) => {
                    attempts.errors.push((self.describe().into(), NodeError::Other(why)));
                    return None;
                }
            };
            match self.request_at(&node, request).await {
                Ok(reply) => {
                    self.endpoints.served(&node);
                    return Some(reply);
                }
                Err(error) => {
                    self.endpoints.failed(&node);
                    let sent = !matches!(error, NodeError::Unverified(_));
                    attempts.errors.push((node, error));
                    if request.once && sent {
                        return None;
                    }
                }
            }
        }
    }

    /// Returns the response of one node.
    pub(super) async fn request_at(&self, node: &NodeUrl, request: &HttpRequest) -> Result<Reply, NodeError> {
        let response = self.response_head(node, request).await?;
        let (node, status, headers) = (NodeUrl::clone(node), response.status(), response.headers().clone());
        let empty = |node| Reply { node, status, headers, body: Vec::new(), content: None, rest: None };
        let reply = match request.expected {
            Expected::Stream if status.is_success() => {
                return Ok(Reply { rest: Some(response), ..empty(node) });
            }
            Expected::Event if status.is_success() => {
                let (body, content) = self.read_event(response).await?;
                Reply { body, content, ..empty(node) }
            }
            Expected::Txn if status.is_success() => {
                let (body, content) = self.read_json(response, TxnBuilder::default()).await?;
                Reply { body, content: content.map(|txn| txn.map(Content::Txn)), ..empty(node) }
            }
            _ => Reply { body: self.read_body(response).await?, ..empty(node) },
        };
        // etcdctl shows the message of this one; it asks no other endpoint.
        let busy = status == StatusCode::TOO_MANY_REQUESTS && !self.policy.etcdctl;
        if status.is_server_error() || busy {
            return Err(NodeError::Status(Box::new(reply)));
        }
        Ok(reply)
    }

    /// Returns the head of the response of a node, or of the target of its redirect.
    async fn response_head(&self, node: &NodeUrl, request: &HttpRequest) -> Result<Response, NodeError> {
        // A node of another cluster must not get a write or a password, and is not waited for.
        if !self.policy.etcdctl || request.method != Method::GET || request.authorization.is_some() {
            self.endpoints.verify_cluster(node).await.map_err(NodeError::Unverified)?;
        }
        let address =
            Address::parse(node).map_err(|why| NodeError::Unverified(Unverified { why, responds: true }))?;
        let mut url = address.base() + &request.path;
        for hop in 0..=MAX_REDIRECTS {
            if let Some(trace) = self.policy.trace {
                trace(&curl_command(&url, request));
            }
            if let Some(why) = address.unusable_reason() {
                return Err(NodeError::Other(why));
            }
            // A redirect may lead anywhere, so only a known node gets the password.
            let authorization =
                request.authorization.as_ref().filter(|_| hop == 0 || self.is_known_url(&url));
            let response = self.send(node, &url, request, authorization).await?;
            if !response.status().is_redirection() || !self.policy.etcdctl {
                return Ok(response);
            }
            let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
            url = location.ok_or_else(|| NodeError::Other("location header not set".into()))?.to_owned();
            if !url.starts_with("http://") && !url.starts_with("https://") {
                return Err(NodeError::Other(format!("location header not valid URL: {url}")));
            }
        }
        Err(NodeError::Other("client: too many redirects".into()))
    }

    async fn send(
        &self,
        node: &NodeUrl,
        url: &str,
        request: &HttpRequest,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, NodeError> {
        #[cfg(test)]
        if let Some(transport) = &self.transport {
            return transport.send(url, request).await.ok_or_else(|| NodeError::Other("EOF".into()));
        }
        let http =
            self.http(url.starts_with("https:")).map_err(|error| NodeError::Other(error.to_string()))?;
        let mut sent = http.request(request.method.clone(), url);
        if let Some((kind, content)) = &request.body {
            sent = sent.header(CONTENT_TYPE, *kind).body(content.clone());
        } else if request.method == Method::DELETE {
            sent = sent.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        if let Some(value) = authorization {
            sent = sent.header(AUTHORIZATION, value);
        }
        if request.expected == Expected::Stream && request.body.is_some() {
            // Go's server discards the unread rest of a request body when its response begins, unless the connection
            // closes afterwards: the second half of a long list of watches would be lost silently.
            sent = sent.header(CONNECTION, "close");
        }
        let response = within(request.limit, sent.send()).await?.map_err(NodeError::Http)?;
        self.endpoints
            .check_cluster(node, cluster_id(response.headers()))
            .map_err(NodeError::OtherCluster)?;
        Ok(response)
    }

    /// Reads a response to its end.
    pub(super) async fn read_body(&self, mut response: Response) -> Result<Vec<u8>, NodeError> {
        let stall = (!self.policy.etcdctl).then_some(self.policy.timeout);
        let brief = !self.policy.etcdctl && !response.status().is_success();
        let read = async {
            let known = response.content_length().and_then(|length| usize::try_from(length).ok());
            let mut body = Vec::with_capacity(known.unwrap_or(0).min(1 << 20));
            while let Some(chunk) = within(stall, response.chunk()).await?.map_err(NodeError::Interrupted)? {
                if brief && body.len() + chunk.len() > MAX_ERROR_BYTES {
                    break;
                }
                if body.len() + chunk.len() > MAX_TEXT_BYTES {
                    let text = format!("the response is larger than {} MiB", MAX_TEXT_BYTES >> 20);
                    return Err(NodeError::Other(text));
                }
                body.extend_from_slice(&chunk);
            }
            Ok(body)
        };
        within(stall.map(|stall| stall.saturating_mul(MAX_BODY_TIMEOUTS)), read).await?
    }

    /// Reads a response of the v2 keys API: its beginning, and the event in it.
    pub(super) async fn read_event(
        &self,
        response: Response,
    ) -> Result<(Vec<u8>, Option<Result<Content, String>>), NodeError> {
        let (body, event) = self.read_json(response, EventBuilder::default()).await?;
        Ok((body, event.map(|event| event.map(|event| Content::Event(Box::new(event))))))
    }

    /// Reads a JSON response to its end: its beginning, and what `builder` makes of it, `None` for an empty body. The
    /// text itself is not kept.
    async fn read_json<B: Builder>(
        &self,
        mut response: Response,
        builder: B,
    ) -> Result<(Vec<u8>, Option<Result<B::Built, String>>), NodeError> {
        let stall = (!self.policy.etcdctl).then_some(self.policy.timeout);
        let read = async {
            let mut body = Vec::new();
            let mut reader = Ok(JsonReader::new(builder, MAX_RESPONSE_BYTES));
            let mut left = MAX_RESPONSE_BYTES;
            while let Some(chunk) = within(stall, response.chunk()).await?.map_err(NodeError::Interrupted)? {
                body.extend_from_slice(&chunk[..chunk.len().min(MAX_EXCERPT_BYTES - body.len())]);
                left = left.checked_sub(chunk.len()).ok_or_else(|| NodeError::Other(too_large()))?;
                // After a mistake in it the rest is still received, so that the connection can be used again.
                if let Ok(open) = &mut reader
                    && let Err(error) = open.feed(&chunk)
                {
                    reader = Err(error);
                }
                if matches!(reader, Err(JsonError::TooLarge)) {
                    return Err(NodeError::Other(too_large()));
                }
            }
            if body.is_empty() {
                return Ok((body, None));
            }
            match reader.and_then(JsonReader::finish) {
                Ok(built) => Ok((body, Some(Ok(built)))),
                Err(JsonError::Invalid(why)) => Ok((body, Some(Err(why)))),
                Err(JsonError::TooLarge) => Err(NodeError::Other(too_large())),
            }
        };
        within(stall.map(|stall| stall.saturating_mul(MAX_BODY_TIMEOUTS)), read).await?
    }

    fn is_known_url(&self, url: &str) -> bool {
        self.endpoints.known().iter().filter_map(|node| Address::parse(node).ok()).any(|node| {
            let base = format!("{}://{}", node.scheme, node.host);
            url.strip_prefix(&base).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
        })
    }

    /// Returns the error for a watch that ended early.
    pub(super) fn watch_interrupted(&self, node: &NodeUrl, why: &str) -> ClientError {
        self.node_failed(node, &format!("the watch broke off: {why}"))
    }

    /// Returns the error for a node that failed in the middle of a response; another is tried first from now on.
    pub(super) fn node_failed(&self, node: &NodeUrl, why: &str) -> ClientError {
        self.endpoints.failed(node);
        ClientError::Unavailable { why: format!("{node}: {why}") }
    }

    /// Returns the error for nodes that failed.
    pub(super) fn unavailable(&self, errors: &[(NodeUrl, NodeError)]) -> ClientError {
        let errors = errors.iter().map(|(node, error)| format!("{node}: {}", self.describe_error(error)));
        ClientError::Unavailable { why: errors.collect::<Vec<_>>().join("; ") }
    }

    pub(super) fn describe_error(&self, error: &NodeError) -> String {
        match error {
            NodeError::Unverified(Unverified { why, .. })
            | NodeError::OtherCluster(why)
            | NodeError::Other(why) => why.clone(),
            NodeError::TimedOut(limit) => timeout_message(*limit),
            NodeError::Http(error) if error.is_timeout() => timeout_message(self.policy.connect),
            NodeError::Http(error) => reason(error),
            NodeError::Interrupted(error) => format!("the response broke off: {}", reason(error)),
            NodeError::Status(reply) => format!("status {}: {}", reply.status.as_u16(), excerpt(&reply.body)),
        }
    }
}

fn http(trust: &Trust, https: bool, policy: Policy) -> Result<reqwest::Client, ClientError> {
    let mut http = tls::http_client(trust, https)?.connect_timeout(policy.connect);
    if !policy.etcdctl {
        http = http.pool_idle_timeout(Duration::from_secs(15));
    }
    // Keepalive probes detect a dead connection within seconds, also under an idle watch.
    Liveness::TO_STORE
        .configure_client(http)
        .build()
        .map_err(|error| ClientError::Settings(format!("cannot set up the HTTP client: {}", reason(&error))))
}

fn curl_command(url: &str, request: &HttpRequest) -> String {
    let content = |(_, content): &(_, bytes::Bytes)| match request.secret {
        true => quoted("(hidden: it holds a password)"),
        false => quoted(&String::from_utf8_lossy(content)),
    };
    let data = request.body.as_ref().map(content).map_or_else(String::new, |data| format!(" -d {data}"));
    format!("cURL Command: curl -X {} {url}{data}", request.method)
}
